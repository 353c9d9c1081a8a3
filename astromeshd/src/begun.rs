//! Bodies that have been begun to be read: what has come, and the rest.

use astromesh_core::http::{Body, BoxError};
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body that began with `first` and goes on as `rest`.
pub(crate) fn with(first: Frame<Bytes>, rest: Body) -> Body {
    Body::new(Begun {
        first: Some(first),
        rest,
    })
}

/// The whole of a body of `length` bytes where it came along with its head, as short ones do: it is in memory as it is. Else
/// the body, of which nothing is lost.
pub(crate) async fn at_hand(mut body: Body, length: u64) -> Result<Bytes, Body> {
    if length == 0 {
        return Ok(Bytes::new());
    }
    let now = poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await;
    let Poll::Ready(Some(Ok(frame))) = now else {
        return Err(match now {
            Poll::Ready(Some(Err(error))) => broken(error),
            _ => body,
        });
    };
    match frame.into_data() {
        Ok(data) if data.len() as u64 == length => Ok(data),
        Ok(data) => Err(with(Frame::data(data), body)),
        Err(trailers) => Err(with(trailers, body)),
    }
}

/// A body that fails as it did.
fn broken(error: BoxError) -> Body {
    struct Broken(Option<BoxError>);

    impl hyper::body::Body for Broken {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.take().map(Err))
        }
    }
    Body::new(Broken(Some(error)))
}

/// A body whose first frame has been taken off it.
struct Begun {
    first: Option<Frame<Bytes>>,
    rest: Body,
}

impl hyper::body::Body for Begun {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref);
        let taken = first.map_or(0, Bytes::len) as u64;
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(taken + rest),
            None => SizeHint::default(),
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
    async fn what_came_along_is_at_hand() {
        let hello = || full("hello");
        assert_eq!(at_hand(hello(), 5).await.expect("it is there"), "hello");
        assert_eq!(at_hand(full(""), 0).await.expect("it is there"), "");
    }

    #[tokio::test]
    async fn of_what_did_not_nothing_is_lost() {
        let begun = || with(Frame::data("hel".into()), full("lo"));
        assert_eq!(begun().size_hint().exact(), Some(5));
        let body = at_hand(begun(), 5).await.expect_err("more is to come");
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(whole(body).await, "hello");
        let body = at_hand(broken("it broke".into()), 5).await;
        let failed = body.expect_err("it is broken").collect().await;
        assert_eq!(failed.expect_err("it fails").to_string(), "it broke");
    }
}
