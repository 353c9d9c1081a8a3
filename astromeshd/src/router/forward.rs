//! One attempt at another node, and the count of what is in flight there.

use super::{headers, outcome_unknown};
use crate::answer::Answer;
use crate::gate::Entry;
use crate::here::Here;
use astromesh_core::http::{Body, BoxError, ConnectError, Pool, SendError, chain};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::{Request, StatusCode};
use maia::address::Url;
use maia::selector::counter::{Counter, Running};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep, timeout};

/// How long a node may take to begin its answer: a model may have to be loaded first.
const FIRST_BYTE: Duration = Duration::from_secs(300);

/// How long an answer that has begun may stand still.
const SILENCE: Duration = Duration::from_secs(120);

/// How long an answer may take in all, for as long as somebody has to be waited for.
const TOTAL: Duration = Duration::from_secs(3_600);

/// What became of an attempt.
pub(super) enum Forwarded {
    /// It answered, and took so long to begin.
    Answered(Answer, Duration),
    /// Nothing was sent.
    NotSent(ConnectError),
    /// It was sent and there is no answer; this is what to say.
    Unknown(StatusCode, String),
}

/// A request that is in flight until this is dropped, whichever way that comes about.
pub(super) struct InHand {
    running: Option<Running>,
    entry: Option<Entry>,
    here: Arc<Here>,
}

impl InHand {
    pub(super) fn new(here: &Arc<Here>, counter: &Arc<Counter>) -> Self {
        let running = Some(counter.begin());
        here.load_changed.notify_one();
        Self {
            running,
            entry: None,
            here: Arc::clone(here),
        }
    }

    /// The same, for as long as it holds one of the places at a gate.
    pub(super) fn within(mut self, entry: Entry) -> Self {
        self.entry = Some(entry);
        self
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        drop(self.entry.take());
        drop(self.running.take());
        self.here.load_changed.notify_one();
    }
}

/// Sends `request` to the node at `url`.
pub(super) async fn forward(
    pool: &Pool,
    url: &Url,
    request: Request<Body>,
    in_hand: InHand,
) -> Forwarded {
    let began = Instant::now();
    match timeout(FIRST_BYTE, pool.send(url, request)).await {
        Ok(Ok(mut answer)) => {
            headers::inbound(&mut answer);
            Forwarded::Answered(held(answer, in_hand), began.elapsed())
        }
        Ok(Err(SendError::NotSent { cause, .. })) => Forwarded::NotSent(cause),
        Ok(Err(error @ SendError::Broken { .. })) if is_clients_fault(&error) => {
            log::debug!("{}", chain(&error));
            Forwarded::Unknown(StatusCode::BAD_REQUEST, "the body broke off".to_owned())
        }
        Ok(Err(error @ SendError::Broken { .. })) => {
            log::warn!("{}", chain(&error));
            Forwarded::Unknown(StatusCode::BAD_GATEWAY, outcome_unknown(url, "broke off"))
        }
        Err(_) => {
            let detail = outcome_unknown(
                url,
                &format!("did not begin to answer within {FIRST_BYTE:?}"),
            );
            Forwarded::Unknown(StatusCode::GATEWAY_TIMEOUT, detail)
        }
    }
}

/// Whether what broke was the request's own body, on its way from the client.
fn is_clients_fault(error: &SendError) -> bool {
    let SendError::Broken { cause, .. } = error else {
        return false;
    };
    cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_user)
}

/// `answer`, whose request is in flight until its last byte is gone.
pub(super) fn held(answer: Answer, in_hand: InHand) -> Answer {
    answer.map(|body| {
        Body::new(Held {
            body,
            _in_hand: in_hand,
            silence: None,
            deadline: Instant::now() + TOTAL,
        })
    })
}

struct Held {
    body: Body,
    _in_hand: InHand,
    /// Set once there is something to wait for, so that most answers need no timer.
    silence: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() {
            self.silence = None;
            return frame;
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wait = || Box::pin(sleep(SILENCE.min(left)));
        let silence = self.silence.get_or_insert_with(wait);
        ready!(silence.as_mut().poll(context));
        let trouble = if left.is_zero() {
            format!("it took longer than {TOTAL:?}")
        } else {
            format!("nothing came for {SILENCE:?}")
        };
        Poll::Ready(Some(Err(trouble.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
