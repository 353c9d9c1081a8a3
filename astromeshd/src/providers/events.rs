//! Server-sent events as they are written.

use hyper::body::Bytes;
use serde::Serialize;

/// An event of OpenAI's, which has no name.
pub(super) fn data(value: &impl Serialize) -> Bytes {
    format!("data: {}\n\n", text(value)).into()
}

/// The end of a stream of OpenAI's.
pub(super) fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

/// An event of Anthropic's, which has one.
pub(super) fn named(name: &str, value: &impl Serialize) -> Bytes {
    format!("event: {name}\ndata: {}\n\n", text(value)).into()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text keys and finite numbers always make JSON")
}
