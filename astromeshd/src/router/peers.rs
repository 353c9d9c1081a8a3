//! Static peers: listed by hand, asked in turn.
//!
//! Nobody knows which of them has an agent until it answers, so a 404 passes the request on. It was sent by then, and must
//! be sent again: [`Replay`] keeps the chunks that have gone by, which costs references and no copy, up to a bound.

use super::forward::{Forwarded, InHand, forward};
use super::{Job, Routed};
use crate::answer::Answer;
use astromesh_core::api::ROUTED_TO_HEADER;
use astromesh_core::http::{Body, BoxError};
use astromesh_core::settings::{Peer, Service};
use hyper::body::{Bytes, Frame};
use hyper::{Request, StatusCode};
use maia::id::NodeId;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The longest body that is kept to be sent again.
const KEPT_BYTES: usize = 1_024 * 1_024;

/// Under this name requests to static peers are counted; they have no ids.
const COUNTED_AS: &str = "static-peers";

impl Job<'_> {
    /// This node itself, else the peers in turn.
    pub(super) async fn through_peers(&self, request: Request<Body>) -> Routed {
        let request = match self.run_here(request).await {
            Ok(routed) => return routed,
            Err(request) => request,
        };
        let peers: Vec<&Peer> = self
            .here
            .settings
            .peers
            .iter()
            .filter(|peer| peer.services.has(Service::Agents))
            .collect();
        let counter = self
            .here
            .in_flight
            .counter(&NodeId::new(COUNTED_AS).expect("it is short and plain"));
        let first = self.here.turn.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let replay = Replay::new(body);
        let (mut troubles, mut not_found) = (Vec::new(), None);
        for attempt in 0..peers.len() {
            let peer = peers[first.wrapping_add(attempt) % peers.len()];
            let Some(body) = replay.begin() else {
                break;
            };
            let request = Request::from_parts(head.clone(), body);
            let in_hand = InHand::new(self.here, &counter);
            let attempts = attempt as u32 + 1;
            match forward(&self.here.listed, &peer.url, request, in_hand).await {
                Forwarded::Answered(answer, waited) if lacks_the_agent(&answer) => {
                    not_found = Some(self.by(peer.name.as_str(), answer, attempts, waited));
                }
                Forwarded::Answered(answer, waited) => {
                    return self.by(peer.name.as_str(), answer, attempts, waited);
                }
                Forwarded::Unknown(answer) => return Routed::unknown(answer, attempts),
                Forwarded::NotSent(_, cause) => troubles.push(format!("{}: {cause}", peer.name)),
            }
        }
        match not_found {
            // One that could not be asked may have it.
            _ if !troubles.is_empty() => self.nobody_available(&troubles, peers.len()),
            Some(routed) => Routed {
                outcome: "not_found",
                ..routed
            },
            None => self.nobody_has_it(),
        }
    }
}

/// Whether a peer has no such agent: a 404 of an agent that ran says who ran it.
fn lacks_the_agent(answer: &Answer) -> bool {
    answer.status() == StatusCode::NOT_FOUND && !answer.headers().contains_key(ROUTED_TO_HEADER)
}

/// A body that can be sent more than once.
#[derive(Clone)]
struct Replay(Arc<Mutex<Kept>>);

struct Kept {
    body: Body,
    frames: Vec<Bytes>,
    kept_bytes: usize,
    ended: bool,
    /// More went by than is kept.
    overflowed: bool,
    /// Which attempt may read: one that was given up may still be polled once more.
    attempt: u32,
}

/// One reading of it, from the beginning.
struct Reading {
    kept: Arc<Mutex<Kept>>,
    attempt: u32,
    next: usize,
}

impl Replay {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            body,
            frames: Vec::new(),
            kept_bytes: 0,
            ended: false,
            overflowed: false,
            attempt: 0,
        })))
    }

    /// The body from its beginning, unless that is gone. An earlier reading ends.
    fn begin(&self) -> Option<Body> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.overflowed {
            return None;
        }
        kept.attempt += 1;
        Some(Body::new(Reading {
            kept: Arc::clone(&self.0),
            attempt: kept.attempt,
            next: 0,
        }))
    }
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let reading = self.get_mut();
        let mut kept = reading.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.attempt != reading.attempt {
            return Poll::Ready(Some(Err("this attempt was given up".into())));
        }
        if let Some(frame) = kept.frames.get(reading.next) {
            reading.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(frame.clone()))));
        }
        if kept.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut kept.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let data = data.clone();
                    kept.keep(data);
                    reading.next = kept.frames.len();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                kept.ended = true;
                Poll::Ready(None)
            }
            other => other,
        }
    }
}

impl Kept {
    fn keep(&mut self, data: Bytes) {
        self.kept_bytes += data.len();
        if self.overflowed || self.kept_bytes > KEPT_BYTES {
            self.overflowed = true;
            self.frames.clear();
        } else {
            self.frames.push(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astromesh_core::http::full;
    use http_body_util::BodyExt;

    async fn whole(body: Body) -> Bytes {
        body.collect().await.expect("whole").to_bytes()
    }

    #[tokio::test]
    async fn a_body_can_be_sent_again_from_its_beginning() {
        let replay = Replay::new(full("hello"));
        assert_eq!(whole(replay.begin().expect("first")).await, "hello");
        assert_eq!(whole(replay.begin().expect("second")).await, "hello");
    }

    #[tokio::test]
    async fn an_attempt_that_was_given_up_reads_no_more() {
        let replay = Replay::new(full("hello"));
        let mut first = replay.begin().expect("first");
        let second = replay.begin().expect("second");
        assert!(first.frame().await.expect("a frame").is_err());
        assert_eq!(whole(second).await, "hello");
    }

    #[tokio::test]
    async fn what_is_too_long_to_keep_passes_once() {
        let replay = Replay::new(full(vec![b'x'; KEPT_BYTES + 1]));
        assert_eq!(
            whole(replay.begin().expect("first")).await.len(),
            KEPT_BYTES + 1
        );
        assert!(replay.begin().is_none());
    }
}
