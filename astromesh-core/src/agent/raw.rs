//! An agent's file as it is written: every key there may be, each value checked for itself, nothing completed.

use super::tool::ToolPart;
use super::{Orchestration, Pattern};
use crate::leaf::{
    ApiVersion, Checked, Count, Leaf, Scalar, Span, Switch, deserialize_checked, exactly, one_of,
    or_default,
};
use http::Uri;
use http::uri::{Authority, PathAndQuery};
use maia::id::Label;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with apiVersion, kind, metadata and spec"
)]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

struct Kind;

impl Leaf for Kind {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        exactly("Agent", scalar).map(|()| Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with name")]
pub(super) struct Metadata {
    pub(super) name: Checked<Label>,
    /// For people and their tools; read by nobody here.
    #[serde(default, rename = "version")]
    _version: Option<Value>,
    #[serde(default, rename = "namespace")]
    _namespace: Option<Text>,
    #[serde(default, rename = "labels")]
    _labels: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with model or http")]
pub(super) struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) identity: Identity,
    #[serde(default)]
    pub(super) model: Option<Model>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prompts: Prompts,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) orchestration: OrchestrationPart,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tools: Vec<ToolPart>,
    #[serde(default)]
    pub(super) idempotent: Option<Switch>,
    #[serde(default)]
    pub(super) http: Option<Server>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with description")]
pub(super) struct Identity {
    /// For people; requests go by `metadata.name`.
    #[serde(default, rename = "display_name")]
    _display_name: Option<Text>,
    #[serde(default)]
    pub(super) description: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with primary")]
pub(super) struct Model {
    pub(super) primary: Primary,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with provider and model")]
pub(super) struct Primary {
    pub(super) provider: Text,
    #[serde(default)]
    pub(super) model: Option<Text>,
    #[serde(default)]
    pub(super) endpoint: Option<Endpoint>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) parameters: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with system")]
pub(super) struct Prompts {
    #[serde(default)]
    pub(super) system: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with url and health")]
pub(super) struct Server {
    pub(super) url: ServerUrl,
    #[serde(default)]
    pub(super) health: Option<HealthPath>,
}

/// How an [`Orchestration`] is written, in an agent's file and among a node's defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with pattern, max_iterations and timeout_seconds"
)]
pub(crate) struct OrchestrationPart {
    #[serde(default)]
    pattern: Option<Checked<Pattern>>,
    #[serde(default)]
    max_iterations: Option<Count>,
    #[serde(default)]
    timeout_seconds: Option<Span>,
}

impl From<OrchestrationPart> for Orchestration {
    fn from(part: OrchestrationPart) -> Self {
        Self {
            pattern: part.pattern.map(|pattern| pattern.0),
            max_iterations: part.max_iterations.map(|turns| turns.0),
            timeout: part.timeout_seconds.map(|span| span.0),
        }
    }
}

/// Text that is not empty.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) String);

impl Leaf for Text {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        match scalar {
            Scalar::Text(text) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            found => Err(format!("expected text, found {found}")),
        }
    }
}

/// Where a server of the agent's own is.
pub(super) struct ServerUrl(pub(super) Uri);

impl Leaf for ServerUrl {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        uri(scalar, &["http"]).map(Self).map_err(|found| {
            format!("expected a plain http URL, such as http://127.0.0.1:9000/run, found {found}")
        })
    }
}

/// What is asked of such a server to find out how it is.
pub(super) struct HealthPath(pub(super) PathAndQuery);

impl Leaf for HealthPath {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let path = match scalar {
            Scalar::Text(text) if text.starts_with('/') => text.parse().ok(),
            _ => None,
        };
        path.map(Self)
            .ok_or_else(|| format!("expected a path, such as /healthz, found {scalar}"))
    }
}

impl Leaf for Pattern {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        one_of("pattern", &Self::ALL, Self::as_str, scalar)
    }
}

/// Where a provider or a tool is.
#[derive(Debug)]
pub(crate) struct Endpoint(pub(crate) Uri);

impl Leaf for Endpoint {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        uri(scalar, &["http", "https"])
            .map(Self)
            .map_err(|found| format!("expected an http or https URL, found {found}"))
    }
}

/// An absolute URL of one of `schemes`, without user or password; else what was found instead.
pub(crate) fn uri<'a>(scalar: Scalar<'a>, schemes: &[&str]) -> Result<Uri, Scalar<'a>> {
    let Scalar::Text(text) = scalar else {
        return Err(scalar);
    };
    text.trim()
        .parse()
        .ok()
        .filter(|uri: &Uri| {
            uri.scheme_str()
                .is_some_and(|scheme| schemes.contains(&scheme))
        })
        .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
        .filter(|uri| uri.authority().is_some_and(is_host_and_port))
        .ok_or(scalar)
}

fn is_host_and_port(authority: &Authority) -> bool {
    let beyond_host = authority.as_str().strip_prefix(authority.host());
    // A port that is no number counts as none for the parser.
    beyond_host == Some("")
        || authority.port_u16().is_some_and(|port| port > 0) && beyond_host.is_some()
}

deserialize_checked!(Kind, Text, ServerUrl, HealthPath, Endpoint);
