//! What the model of an agent may call: tools that are built in, and tools that are places of the operator's own.

use super::{Endpoint, Text};
use crate::allow::{AllowList, Entry};
use crate::leaf::{Leaf, Scalar, Span, deserialize_checked, or_default};
use crate::wording::{excerpt, suggestion};
use http::Uri;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long a tool may take where its file does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// One tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What the model calls it by: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// What it does.
    pub kind: ToolKind,
    /// How long one call may take. 30 s unless the file says.
    pub timeout: Duration,
}

/// What a tool does.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind {
    /// Says what time it is.
    DatetimeNow,
    /// Sends an HTTP request to a place on the list.
    HttpRequest {
        /// Where it may go.
        allow: AllowList,
    },
    /// Posts what the model says to a place of the operator's own, and tells the model what that answers.
    Remote {
        /// The place; `http` or `https`.
        url: Uri,
        /// What the tool does, for the model.
        description: String,
        /// What it takes, as a JSON schema.
        parameters: Map<String, Value>,
    },
}

/// The names of the tools that are built in.
const BUILT_IN: [&str; 2] = ["datetime_now", "http_request"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with name")]
pub(super) struct ToolPart {
    name: ToolName,
    #[serde(default)]
    description: Option<Text>,
    #[serde(default)]
    url: Option<Endpoint>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "or_default")]
    allow: Option<Vec<Entry>>,
    #[serde(default)]
    timeout_seconds: Option<Span>,
}

/// A name that every provider takes for a function.
#[derive(Debug)]
struct ToolName(String);

impl Leaf for ToolName {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let fits = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            (1..=64).contains(&text.len()) && text.bytes().all(plain)
        };
        match scalar {
            Scalar::Text(text) if fits(text) => Ok(Self(text.to_owned())),
            found => Err(format!(
                "expected 1 to 64 characters of A-Z a-z 0-9 _ -, found {found}"
            )),
        }
    }
}

deserialize_checked!(ToolName);

/// The tools that `parts` describe, or the key that is wrong and why.
pub(super) fn checked(parts: Vec<ToolPart>) -> Result<Vec<Tool>, (String, String)> {
    let mut tools: Vec<Tool> = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let wrong = |key: &str, reason: String| (format!("spec.tools[{index}]{key}"), reason);
        if let Some(held) = tools.iter().position(|tool| tool.name == part.name.0) {
            let name = excerpt(&part.name.0);
            let reason = format!("{name} is already the name of spec.tools[{held}]");
            return Err(wrong(".name", reason));
        }
        tools.push(part.checked().map_err(|(key, reason)| wrong(key, reason))?);
    }
    Ok(tools)
}

impl ToolPart {
    fn checked(self) -> Result<Tool, (&'static str, String)> {
        let is_built_in = BUILT_IN.contains(&self.name.0.as_str());
        let besides = [
            (".url", self.url.is_some() && is_built_in),
            (".description", self.description.is_some() && is_built_in),
            (".parameters", self.parameters.is_some() && is_built_in),
            (
                ".allow",
                self.allow.is_some() && self.name.0 != "http_request",
            ),
        ];
        if let Some((key, _)) = besides.iter().find(|(_, is_idle)| *is_idle) {
            return Err((*key, format!("{:?} takes no such key", self.name.0)));
        }
        let kind = match (self.name.0.as_str(), self.url) {
            ("datetime_now", _) => ToolKind::DatetimeNow,
            ("http_request", _) => ToolKind::HttpRequest {
                allow: AllowList::new(self.allow.ok_or_else(|| {
                    let reason = r#"missing key "allow": the hosts it may call, or "*" for every public one"#;
                    ("", reason.to_owned())
                })?),
            },
            (name, None) => {
                let known = suggestion(name, &BUILT_IN);
                let reason = format!("unknown tool {} without a url; {known}", excerpt(name));
                return Err((".name", reason));
            }
            (name, Some(url)) => ToolKind::Remote {
                url: url.0,
                description: self.description.map_or_else(|| name.to_owned(), |text| text.0),
                parameters: self.parameters.unwrap_or_else(anything),
            },
        };
        Ok(Tool {
            name: self.name.0,
            kind,
            timeout: self.timeout_seconds.map_or(PATIENCE, |span| span.0),
        })
    }
}

/// The schema of an object with whatever the model likes.
fn anything() -> Map<String, Value> {
    [("type", json!("object")), ("properties", json!({}))]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
