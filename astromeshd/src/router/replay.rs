//! A request that can be sent more than once: its head, and a body that keeps the chunks that have gone by, which costs
//! references and no copy, up to a bound.

use astromesh_core::http::{Body, BoxError};
use hyper::Request;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::http::request::Parts;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A request for as many attempts as it takes.
pub(super) struct Repeatable {
    head: Parts,
    body: Replay,
}

impl Repeatable {
    /// One whose body is kept as far as it is no longer than `most_bytes`.
    pub(super) fn new(request: Request<Body>, most_bytes: usize) -> Self {
        let (head, body) = request.into_parts();
        let body = Replay::new(body, most_bytes);
        Self { head, body }
    }

    /// The request from its beginning, unless that is gone. An earlier attempt reads no more.
    pub(super) fn begin(&self) -> Option<Request<Body>> {
        let body = self.body.begin()?;
        Some(Request::from_parts(self.head.clone(), body))
    }
}

/// A body that can be sent more than once.
struct Replay(Arc<Mutex<Kept>>);

struct Kept {
    body: Body,
    most_bytes: usize,
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
    fn new(body: Body, most_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            body,
            most_bytes,
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

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.attempt == self.attempt
            && self.next == kept.frames.len()
            && (kept.ended || kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: usize = kept.frames.iter().skip(self.next).map(Bytes::len).sum();
        match kept.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + waiting as u64),
            None => SizeHint::default(),
        }
    }
}

impl Kept {
    fn keep(&mut self, data: Bytes) {
        self.kept_bytes += data.len();
        if self.overflowed || self.kept_bytes > self.most_bytes {
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

    const KEPT_BYTES: usize = 1_024;
    use astromesh_core::http::full;
    use http_body_util::BodyExt;

    async fn whole(body: Body) -> Bytes {
        body.collect().await.expect("whole").to_bytes()
    }

    #[tokio::test]
    async fn a_body_can_be_sent_again_from_its_beginning() {
        let replay = Replay::new(full("hello"), KEPT_BYTES);
        assert_eq!(whole(replay.begin().expect("first")).await, "hello");
        assert_eq!(whole(replay.begin().expect("second")).await, "hello");
    }

    #[tokio::test]
    async fn an_attempt_that_was_given_up_reads_no_more() {
        let replay = Replay::new(full("hello"), KEPT_BYTES);
        let mut first = replay.begin().expect("first");
        let second = replay.begin().expect("second");
        assert!(first.frame().await.expect("a frame").is_err());
        assert_eq!(whole(second).await, "hello");
    }

    #[tokio::test]
    async fn what_is_too_long_to_keep_passes_once() {
        let replay = Replay::new(full(vec![b'x'; KEPT_BYTES + 1]), KEPT_BYTES);
        assert_eq!(
            whole(replay.begin().expect("first")).await.len(),
            KEPT_BYTES + 1
        );
        assert!(replay.begin().is_none());
    }
}
