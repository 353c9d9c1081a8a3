//! One attempt at another node, and the count of what is in flight there.

use super::{headers, outcome_unknown};
use crate::answer::Answer;
use crate::gate::Entry;
use crate::here::Here;
use crate::hop::is_coded;
use astromesh_core::http::{Body, BoxError, ConnectError, Pool, SendError, chain};
use astromesh_core::settings::HttpLimits;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::{Request, StatusCode};
use maia::address::Url;
use maia::selector::counter::{Counter, Running};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep, timeout};

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
pub(crate) struct InHand {
    running: Option<Running>,
    entry: Option<Entry>,
    here: Arc<Here>,
}

impl InHand {
    pub(super) fn new(here: &Arc<Here>, counter: &Arc<Counter>) -> Self {
        let running = Some(counter.begin());
        here.load_changed.notify_one();
        here.nap.end();
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
    let patience = in_hand.here.settings.limits.node_first_byte_timeout;
    match timeout(patience, pool.send(url, request)).await {
        Ok(Ok(mut answer)) => match unfit(&answer) {
            Some(why) => Forwarded::broken(url, why),
            None => {
                headers::inbound(&mut answer);
                Forwarded::Answered(held(answer, in_hand), began.elapsed())
            }
        },
        Ok(Err(SendError::NotSent { cause, .. })) => Forwarded::NotSent(cause),
        Ok(Err(error @ SendError::Broken { .. })) if is_clients_fault(&error) => {
            log::debug!("{}", chain(&error));
            Forwarded::Unknown(StatusCode::BAD_REQUEST, "the body broke off".to_owned())
        }
        Ok(Err(SendError::Broken { cause, .. })) => Forwarded::broken(url, &chain(&*cause)),
        Err(_) => Forwarded::silent(url, patience),
    }
}

/// Why an answer cannot be passed on, if it cannot.
fn unfit(answer: &Answer) -> Option<&'static str> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        Some("it changes to a protocol that nobody asked for")
    } else if is_coded(answer.headers()) {
        Some("its answer is coded in another way than in chunks")
    } else {
        None
    }
}

impl Forwarded {
    /// The connection to `url` broke after something was sent.
    pub(super) fn broken(url: &Url, cause: &str) -> Self {
        log::warn!("{url} broke off: {cause}");
        Self::Unknown(StatusCode::BAD_GATEWAY, outcome_unknown(url, "broke off"))
    }

    /// Nothing came from `url` for so long after all was sent.
    pub(super) fn silent(url: &Url, patience: Duration) -> Self {
        let what = format!("did not begin to answer within {patience:?}");
        Self::Unknown(StatusCode::GATEWAY_TIMEOUT, outcome_unknown(url, &what))
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
            in_hand,
            began: Instant::now(),
            alarm: None,
        })
    })
}

/// The body of an answer that may stand still for so long and last for so long.
struct Held {
    body: Body,
    in_hand: InHand,
    began: Instant,
    /// Made when there is something to wait for: most answers need none.
    alarm: Option<Alarm>,
}

struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Whether it is set for the present silence.
    is_set: bool,
}

impl Held {
    /// Ready where nothing came for too long, with what is to be said of it.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let limits = &self.in_hand.here.settings.limits;
        let silence = limits.node_idle_timeout;
        let left = limits
            .node_answer_timeout
            .saturating_sub(self.began.elapsed());
        let alarm = self.alarm.get_or_insert_with(|| Alarm {
            sleep: Box::pin(sleep(silence.min(left))),
            is_set: true,
        });
        if !std::mem::replace(&mut alarm.is_set, true) {
            let rings = tokio::time::Instant::now() + silence.min(left);
            alarm.sleep.as_mut().reset(rings);
        }
        alarm.sleep.as_mut().poll(context).map(|()| {
            if self.began.elapsed() >= limits.node_answer_timeout {
                overlong(limits)
            } else {
                format!("nothing came for {silence:?}")
            }
        })
    }
}

fn overlong(limits: &HttpLimits) -> String {
    format!(
        "the answer was not over within {:?}",
        limits.node_answer_timeout
    )
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() {
            return self
                .poll_silence(context)
                .map(|what| Some(Err(what.into())));
        }
        // An answer in one piece has set no alarm, and is not looked at twice.
        if let Some(alarm) = &mut self.alarm {
            alarm.is_set = false;
            let limits = &self.in_hand.here.settings.limits;
            if self.began.elapsed() >= limits.node_answer_timeout {
                return Poll::Ready(Some(Err(overlong(limits).into())));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
