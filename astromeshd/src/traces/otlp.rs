//! Spans as OTLP/HTTP wants them in JSON. A collector that takes protobuf takes this on the same port.

use super::context::Context;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest text in an attribute. A longer one is cut: callers choose some of them.
const LONGEST: usize = 256;

/// What role this node has in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It does something by itself.
    Internal = 1,
    /// It was called.
    Server = 2,
    /// It calls somebody.
    Client = 3,
}

/// Who tells.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The node's name.
    pub(crate) name: String,
    /// Its id, a new one for each start.
    pub(crate) id: String,
    /// Its role, for people.
    pub(crate) role: String,
}

/// A value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Text(String),
    Number(u64),
}

impl Attribute {
    pub(super) fn text(text: &str) -> Self {
        let end = text.floor_char_boundary(LONGEST);
        Self::Text(text[..end].to_owned())
    }
}

/// A span that is over.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) context: Context,
    pub(super) parent: Option<u64>,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Since 1970.
    pub(super) began: Duration,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
    /// What went wrong, if anything did.
    pub(super) error: Option<String>,
}

/// The body of one call, with these spans.
pub(super) fn body(node: &Node, spans: &[Ended]) -> Vec<u8> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", "astromesh"),
        ("service.version", VERSION),
        ("service.instance.id", &node.id),
        ("astromesh.node.name", &node.name),
        ("astromesh.node.role", &node.role),
    ];
    let resource: Vec<_> = resource
        .iter()
        .map(|(key, text)| attribute(key, &Attribute::text(text)))
        .collect();
    let spans: Vec<_> = spans.iter().map(span).collect();
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "astromeshd", "version": VERSION},
            "spans": spans,
        }],
    }]});
    body.to_string().into_bytes()
}

fn span(span: &Ended) -> Value {
    let attributes = span.attributes.iter();
    let attributes: Vec<_> = attributes
        .map(|(key, value)| attribute(key, value))
        .collect();
    let mut written = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": span.began.as_nanos().to_string(),
        "endTimeUnixNano": (span.began + span.took).as_nanos().to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(error) = &span.error {
        written["status"] = json!({"code": 2, "message": error});
    }
    written
}

fn attribute(key: &str, value: &Attribute) -> Value {
    // Whole numbers of 64 bits are text in this JSON.
    let value = match value {
        Attribute::Text(text) => json!({"stringValue": text}),
        Attribute::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": key, "value": value})
}
