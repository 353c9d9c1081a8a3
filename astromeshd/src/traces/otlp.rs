//! Spans as OTLP/HTTP wants them in JSON. A collector that takes protobuf takes this on the same port.

use super::context::Context;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// The longest name, and the longest text in an attribute. A longer one is cut: callers and models choose some of them.
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
        Self::Text(cut(text))
    }
}

/// As much of a text as is told of it.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
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
    let resource = resource.map(|(key, text)| (key, Attribute::text(text)));
    let body = Body {
        resource_spans: [Resource {
            resource: Attributed {
                attributes: Attributes(&resource),
            },
            scope_spans: [Scope {
                scope: Named {
                    name: "astromeshd",
                    version: VERSION,
                },
                spans: Spans(spans),
            }],
        }],
    };
    serde_json::to_vec(&body).expect("text keys and whole numbers always make JSON")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    resource_spans: [Resource<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    resource: Attributed<'a>,
    scope_spans: [Scope<'a>; 1],
}

#[derive(Serialize)]
struct Attributed<'a> {
    attributes: Attributes<'a>,
}

#[derive(Serialize)]
struct Scope<'a> {
    scope: Named,
    spans: Spans<'a>,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    version: &'static str,
}

struct Spans<'a>(&'a [Ended]);

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Span::of))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    // Whole numbers of 64 bits are text in this JSON.
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Attributes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Failed<'a>>,
}

#[derive(Serialize)]
struct Failed<'a> {
    code: u8,
    message: &'a str,
}

impl<'a> Span<'a> {
    fn of(span: &'a Ended) -> Self {
        const ERROR: u8 = 2;
        let failed = |message: &'a String| Failed {
            code: ERROR,
            message,
        };
        Self {
            trace_id: format!("{:032x}", span.context.trace),
            span_id: format!("{:016x}", span.context.span),
            parent_span_id: span.parent.map(|parent| format!("{parent:016x}")),
            name: &span.name,
            kind: span.kind as u8,
            start_time_unix_nano: span.began.as_nanos().to_string(),
            end_time_unix_nano: (span.began + span.took).as_nanos().to_string(),
            attributes: Attributes(&span.attributes),
            status: span.error.as_ref().map(failed),
        }
    }
}

struct Attributes<'a>(&'a [(&'static str, Attribute)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Said<'a> {
            key: &'static str,
            value: Value<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        enum Value<'a> {
            StringValue(&'a str),
            IntValue(String),
        }
        serializer.collect_seq(self.0.iter().map(|(key, value)| Said {
            key,
            value: match value {
                Attribute::Text(text) => Value::StringValue(text),
                Attribute::Number(number) => Value::IntValue(number.to_string()),
            },
        }))
    }
}
