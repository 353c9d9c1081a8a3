//! A body that may stand still for so long and no longer.

use super::body::{Body, BoxError};
use hyper::body::{Bytes, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// `body`, which breaks off where nothing comes of it for `patience`. A body that never waits sets no timer.
pub fn patient(body: Body, patience: Duration) -> Body {
    Body::new(Patient {
        body,
        patience,
        silence: None,
    })
}

struct Patient {
    body: Body,
    patience: Duration,
    silence: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Patient {
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
        let patience = self.patience;
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match silence.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Some(Err(format!("nothing came for {patience:?}").into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
