//! Answers as this daemon writes them: JSON, for trouble always `{"detail": …}`, and server-sent events, one a read.

use astromesh_core::api::Trouble;
use astromesh_core::http::{Body, BoxError, full};
use hyper::body::{Bytes, Frame};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What goes back to whoever asked.
pub(crate) type Answer = Response<Body>;

/// What a header's value cannot hold as it is: all but visible ASCII, and the sign that escapes.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value).expect("text keys and finite numbers always make JSON");
    json_bytes(status, bytes)
}

/// JSON that is written already.
pub(crate) fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Answer {
    let mut answer = Response::new(full(bytes));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// A refusal or a failure, and why.
pub(crate) fn trouble(status: StatusCode, detail: impl Into<String>) -> Answer {
    let detail = detail.into();
    json(status, &Trouble { detail })
}

/// Not now: come back `after` that time.
pub(crate) fn unavailable(detail: impl Into<String>, after: Duration) -> Answer {
    let mut answer = trouble(StatusCode::SERVICE_UNAVAILABLE, detail);
    retry_after(&mut answer, after);
    answer
}

/// Says when to come back, in whole seconds and at least one.
pub(crate) fn retry_after(answer: &mut Answer, after: Duration) {
    let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
    answer
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
}

/// Makes these headers those of server-sent events, which nobody on the way should hold up.
pub(crate) fn mark_events(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front must not wait for the end.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
}

/// Server-sent events that are all there.
pub(crate) fn events(events: VecDeque<Bytes>) -> Answer {
    let mut answer = Response::new(Body::new(Events(events)));
    mark_events(answer.headers_mut());
    answer
}

struct Events(VecDeque<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front().map(|event| Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// There is no mesh on this node.
pub(crate) fn mesh_off() -> Answer {
    trouble(
        StatusCode::SERVICE_UNAVAILABLE,
        "Mesh not enabled on this node",
    )
}

/// There is no such path here.
pub(crate) fn not_found(path: &str) -> Answer {
    trouble(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
}

/// Refuses `method` where it is not one of `allowed`, which are written as the `Allow` header wants them.
pub(crate) fn wrong_method(method: &Method, allowed: &'static str) -> Option<Answer> {
    if allowed.split(", ").any(|name| name == method.as_str()) {
        return None;
    }
    let detail = format!("{method} is not possible here; use {allowed}");
    let mut answer = trouble(StatusCode::METHOD_NOT_ALLOWED, detail);
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    Some(answer)
}

/// `text` as a header's value, percent-encoded outside visible ASCII.
pub(crate) fn header_text(text: &str) -> HeaderValue {
    let encoded = utf8_percent_encode(text, ESCAPED).to_string();
    HeaderValue::from_str(&encoded).expect("what is not visible ASCII is encoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_in_headers() {
        for (name, written) in [
            ("worker-1", "worker-1"),
            ("wörk № 1", "w%C3%B6rk%20%E2%84%96%201"),
            ("100%", "100%25"),
        ] {
            assert_eq!(header_text(name), written);
        }
    }
}
