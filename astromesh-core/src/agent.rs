//! What one agent is: its file (`agents/*.agent.yaml`), read and checked.
//!
//! An agent is run in one of two ways: by a model (`spec.model.primary`), or by a server at a local URL (`spec.http.url`).
//! Which one it is shows in [`AgentKind`], so that nobody has to ask again.

use crate::error::ConfigError;
use crate::leaf::{
    ApiVersion, Checked, Count, Leaf, Scalar, Span, Switch, deserialize_checked, exactly,
    or_default,
};
use crate::wording::excerpt;
use crate::yaml;
use http::Uri;
use http::uri::Authority;
use maia::id::Label;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the name of every agent file ends in.
pub const FILE_SUFFIX: &str = ".agent.yaml";

/// One agent, as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// What requests call it by.
    pub name: Label,
    /// What it is for, in its author's words (`spec.identity.description`).
    pub description: Option<String>,
    /// Whether a request that may have run already may be run again. `false` unless the file says otherwise.
    pub idempotent: bool,
    /// What runs it.
    pub kind: AgentKind,
}

/// What runs an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentKind {
    /// The built-in provider `echo`, which answers with the query.
    Echo,
    /// A server of its own, at a plain `http` URL that may have a path.
    Http {
        /// Where requests are posted.
        url: Uri,
    },
    /// A model, reached through the mesh's inference nodes.
    Llm(Box<Llm>),
}

/// How a model runs an agent. The provider's own settings are kept as they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Llm {
    /// Who serves the model: `ollama`, `openai`, `anthropic`, …
    pub provider: String,
    /// The model, by the provider's name for it.
    pub model: String,
    /// Where the provider is, if not at its usual place; `http` or `https`.
    pub endpoint: Option<Uri>,
    /// What is passed to the provider with every request.
    pub parameters: Map<String, Value>,
    /// The system prompt.
    pub system_prompt: Option<String>,
    /// How the loop of model and tools runs.
    pub orchestration: Orchestration,
    /// The tools on offer, as they were written.
    pub tools: Vec<Value>,
}

/// How the loop of model and tools runs. What is unset follows `spec.defaults.orchestration` of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orchestration {
    /// The loop's shape, by name.
    pub pattern: Option<String>,
    /// How many turns there may be, at least 1.
    pub max_iterations: Option<u32>,
    /// How long it may take in all (`timeout_seconds`).
    pub timeout: Option<Duration>,
}

impl Agent {
    /// Reads an agent from the `text` of its file; `path` stands in the complaint.
    ///
    /// # Errors
    /// Names the line, the key, and what was expected there.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let document: Document = yaml::read(text).map_err(|fault| fault.in_file(path))?;
        let refuse = |key: &str, reason: &str| yaml::fault_at(text, key, reason).in_file(path);
        let spec = document.spec;
        let kind = match (spec.http, spec.model) {
            (Some(_), Some(_)) => {
                return Err(refuse(
                    "spec.http",
                    "expected this or spec.model, found both",
                ));
            }
            (None, None) => {
                return Err(refuse(
                    "spec",
                    "expected model.primary or http.url, found neither",
                ));
            }
            (Some(server), None) => AgentKind::Http { url: server.url.0 },
            (None, Some(model)) if model.primary.provider.0 == "echo" => AgentKind::Echo,
            (None, Some(model)) => {
                let primary = model.primary;
                let name = primary
                    .model
                    .ok_or_else(|| refuse("spec.model.primary", "missing key \"model\""))?;
                AgentKind::Llm(Box::new(Llm {
                    provider: primary.provider.0,
                    model: name.0,
                    endpoint: primary.endpoint.map(|endpoint| endpoint.0),
                    parameters: primary.parameters,
                    system_prompt: spec.prompts.system.map(|system| system.0),
                    orchestration: spec.orchestration.into(),
                    tools: spec.tools,
                }))
            }
        };
        Ok(Self {
            name: document.metadata.name.0,
            description: spec.identity.description.map(|description| description.0),
            idempotent: spec.idempotent.is_some_and(|idempotent| idempotent.0),
            kind,
        })
    }
}

/// Reads every agent file in `dir`, by name. Other files are left alone.
///
/// # Errors
/// Where the folder or a file cannot be read, a file is wrong, or two files describe an agent of the same name.
pub fn load_dir(dir: &Path) -> Result<Vec<Agent>, ConfigError> {
    let mut found: Vec<(Agent, PathBuf)> = Vec::new();
    for path in agent_files(dir)? {
        let text =
            fs::read_to_string(&path).map_err(|cause| ConfigError::unreadable(&path, cause))?;
        let agent = Agent::parse(&path, &text)?;
        if let Some((_, other)) = found.iter().find(|(held, _)| held.name == agent.name) {
            let reason = format!(
                "{} is already the name of the agent in {}",
                excerpt(agent.name.as_str()),
                other.display()
            );
            return Err(yaml::fault_at(&text, "metadata.name", &reason).in_file(&path));
        }
        found.push((agent, path));
    }
    let mut agents: Vec<Agent> = found.into_iter().map(|(agent, _)| agent).collect();
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(agents)
}

/// The agent files in `dir`, in the order of their paths, so that a complaint about two of them is always the same one.
fn agent_files(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |cause| ConfigError::unreadable(dir, cause);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name().to_string_lossy().ends_with(FILE_SUFFIX) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with apiVersion, kind, metadata and spec"
)]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    metadata: Metadata,
    spec: Spec,
}

struct Kind;

impl Leaf for Kind {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        exactly("Agent", scalar).map(|()| Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with name")]
struct Metadata {
    name: Checked<Label>,
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
struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    identity: Identity,
    #[serde(default)]
    model: Option<Model>,
    #[serde(default, deserialize_with = "or_default")]
    prompts: Prompts,
    #[serde(default, deserialize_with = "or_default")]
    orchestration: OrchestrationPart,
    #[serde(default, deserialize_with = "or_default")]
    tools: Vec<Value>,
    #[serde(default)]
    idempotent: Option<Switch>,
    #[serde(default)]
    http: Option<Server>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with description")]
struct Identity {
    /// For people; requests go by `metadata.name`.
    #[serde(default, rename = "display_name")]
    _display_name: Option<Text>,
    #[serde(default)]
    description: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with primary")]
struct Model {
    primary: Primary,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with provider and model")]
struct Primary {
    provider: Text,
    #[serde(default)]
    model: Option<Text>,
    #[serde(default)]
    endpoint: Option<Endpoint>,
    #[serde(default, deserialize_with = "or_default")]
    parameters: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with system")]
struct Prompts {
    #[serde(default)]
    system: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with url")]
struct Server {
    url: ServerUrl,
}

/// How an [`Orchestration`] is written, in an agent's file and among a node's defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with pattern, max_iterations and timeout_seconds"
)]
pub(crate) struct OrchestrationPart {
    #[serde(default)]
    pattern: Option<Text>,
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
struct Text(String);

impl Leaf for Text {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        match scalar {
            Scalar::Text(text) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            found => Err(format!("expected text, found {found}")),
        }
    }
}

/// Where a server of the agent's own is.
struct ServerUrl(Uri);

impl Leaf for ServerUrl {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        uri(scalar, &["http"]).map(Self).map_err(|found| {
            format!("expected a plain http URL, such as http://127.0.0.1:9000/run, found {found}")
        })
    }
}

/// Where a provider is.
struct Endpoint(Uri);

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

deserialize_checked!(Kind, Text, ServerUrl, Endpoint);
