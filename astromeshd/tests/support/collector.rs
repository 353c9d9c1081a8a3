//! A collector of traces, and what it was told, read as OTLP's specification of its JSON says.

use super::place::Place;
use astromesh_core::http::full;
use hyper::Response;
use serde_json::{Value, json};

/// A collector that takes everything.
pub(crate) async fn collector() -> Place {
    Place::new(|_, _| Some(Response::new(full("{}")))).await
}

/// A span as a collector sees it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) node: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) is_error: bool,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) attributes: Vec<(String, Value)>,
}

impl Span {
    pub(crate) fn says(&self, name: &str) -> Option<&Value> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }
}

/// Attributes as OTLP writes them, numbers as numbers.
fn attributes(of: &Value) -> Vec<(String, Value)> {
    let read = |attribute: &Value| {
        let value = &attribute["value"];
        let number = value["intValue"].as_str();
        let number = number.map(|number| json!(number.parse::<u64>().unwrap()));
        let value = number.unwrap_or_else(|| value["stringValue"].as_str().unwrap().into());
        (attribute["key"].as_str().unwrap().to_owned(), value)
    };
    let all = of["attributes"].as_array().unwrap();
    all.iter().map(read).collect()
}

/// All that a collector was told.
pub(crate) fn told(collector: &Place) -> Vec<Span> {
    let mut spans = Vec::new();
    for heard in collector.heard() {
        assert_eq!(heard.path, "/v1/traces");
        assert_eq!(heard.headers["content-type"], "application/json");
        let body = heard.json();
        for resource in body["resourceSpans"].as_array().unwrap() {
            let of = attributes(&resource["resource"]);
            let value = |name| {
                let found = of.iter().find(|(key, _)| key == name).unwrap();
                found.1.as_str().unwrap().to_owned()
            };
            assert_eq!(value("service.name"), "astromesh");
            for scope in resource["scopeSpans"].as_array().unwrap() {
                let told = scope["spans"].as_array().unwrap();
                spans.extend(
                    told.iter()
                        .map(|span| read(span, value("astromesh.node.name"))),
                );
            }
        }
    }
    spans
}

fn read(span: &Value, node: String) -> Span {
    let text = |name: &str| span[name].as_str().unwrap().to_owned();
    let time = |name: &str| text(name).parse::<u64>().unwrap();
    Span {
        node,
        trace: text("traceId"),
        id: text("spanId"),
        parent: span["parentSpanId"].as_str().map(str::to_owned),
        name: text("name"),
        kind: span["kind"].as_u64().unwrap(),
        is_error: span["status"]["code"] == 2,
        began: time("startTimeUnixNano"),
        ended: time("endTimeUnixNano"),
        attributes: attributes(span),
    }
}
