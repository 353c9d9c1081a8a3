//! The answer of a run that is told as it comes: server-sent events, made by the run itself.
//!
//! The run is a future inside the body. So it goes on as fast as somebody reads, and where nobody does any more it is
//! dropped, with all that it waits for.

use super::turns::Failed;
use crate::answer::{self, Answer};
use astromesh_core::api::RunAnswer;
use astromesh_core::http::{Body, BoxError};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use serde_json::json as value;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often something is sent while a run has nothing to tell: whoever passes it on must see that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Where a run tells what it does, if anybody wants to hear it.
#[derive(Clone, Debug, Default)]
pub(super) struct Teller(Option<Arc<Mutex<VecDeque<Bytes>>>>);

type Run = Pin<Box<dyn Future<Output = Result<RunAnswer, Failed>> + Send>>;

struct Live {
    run: Option<Run>,
    told: Teller,
    signs: Interval,
}

impl Teller {
    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Tells one thing.
    pub(super) fn tell(&self, what: &impl Serialize) {
        if self.is_heard() {
            let text =
                serde_json::to_string(what).expect("text keys and finite numbers always make JSON");
            self.say(format!("data: {text}\n\n").into());
        }
    }

    fn say(&self, event: Bytes) {
        if let Some(mut events) = self.events() {
            events.push_back(event);
        }
    }

    fn next(&self) -> Option<Bytes> {
        self.events()?.pop_front()
    }

    fn has_news(&self) -> bool {
        self.events().is_some_and(|events| !events.is_empty())
    }

    fn events(&self) -> Option<MutexGuard<'_, VecDeque<Bytes>>> {
        let events = self.0.as_ref()?;
        Some(events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers with what `run` tells, then with what it comes to, then with `[DONE]`. One that fails before it has told
/// anything is answered as if nobody listened.
pub(super) async fn streamed<F>(run: impl FnOnce(Teller) -> F) -> Answer
where
    F: Future<Output = Result<RunAnswer, Failed>> + Send + 'static,
{
    let told = Teller(Some(Arc::default()));
    let mut run: Run = Box::pin(run(told.clone()));
    let ended = poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if told.has_news() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let run = match ended.await {
        Some(Err(failed)) if !told.has_news() => return failed.into_answer(),
        Some(ended) => {
            told.end(&ended);
            None
        }
        None => Some(run),
    };
    let mut signs = interval(SIGN_OF_LIFE);
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    signs.reset();
    let mut answer = Response::new(Body::new(Live { run, told, signs }));
    answer::mark_events(answer.headers_mut());
    answer
}

impl Teller {
    fn end(&self, ended: &Result<RunAnswer, Failed>) {
        match ended {
            Ok(answer) => {
                self.tell(answer);
                self.say(Bytes::from_static(b"data: [DONE]\n\n"));
            }
            Err(failed) => self.tell(&value!({ "detail": failed.detail })),
        }
    }
}

impl hyper::body::Body for Live {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let live = &mut *self;
        if !live.told.has_news()
            && let Some(run) = &mut live.run
            && let Poll::Ready(ended) = run.as_mut().poll(context)
        {
            live.run = None;
            live.told.end(&ended);
        }
        if let Some(event) = live.told.next() {
            live.signs.reset();
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        if live.run.is_none() {
            return Poll::Ready(None);
        }
        live.signs
            .poll_tick(context)
            .map(|_| Some(Ok(Frame::data(Bytes::from_static(b": still at it\n\n")))))
    }

    fn is_end_stream(&self) -> bool {
        self.run.is_none() && !self.told.has_news()
    }
}
