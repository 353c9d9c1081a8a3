//! What one agent is: its file (`agents/*.agent.yaml`), read and checked.
//!
//! An agent is run in one of two ways: by a model (`spec.model.primary`), or by a server at a local URL (`spec.http.url`).
//! Which one it is shows in [`AgentKind`], so that nobody has to ask again. `raw` is the file as it is written, [`tool`]
//! what a model may call, and [`folder`] the files as they come, change and go.

pub mod folder;
mod raw;
pub mod tool;

pub(crate) use raw::{Endpoint, OrchestrationPart, Text, uri};

use crate::error::ConfigError;
use crate::yaml;
use http::Uri;
use http::uri::PathAndQuery;
use maia::id::Label;
use raw::Document;
use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tool::Tool;

/// What the name of every agent file ends in.
pub const FILE_SUFFIX: &str = ".agent.yaml";

/// The built-in provider, and its one model.
const ECHO: &str = "echo";

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
    /// A server of its own, at a plain `http` URL that may have a path.
    Http {
        /// Where requests are posted.
        url: Uri,
        /// What is asked there to find out how it is. Unset: `url`, where any answer but 502, 503 and 504 will do.
        health: Option<PathAndQuery>,
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
    /// The tools on offer. No two have one name.
    pub tools: Vec<Tool>,
}

/// How the loop of model and tools runs. What is unset follows `spec.defaults.orchestration` of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orchestration {
    /// The loop's shape. [`Pattern::React`] where nobody says.
    pub pattern: Option<Pattern>,
    /// How many times the model may be asked, at least 1. 10 where nobody says.
    pub max_iterations: Option<u32>,
    /// How long it may take in all (`timeout_seconds`). 120 s where nobody says.
    pub timeout: Option<Duration>,
}

/// The shape of the loop of model and tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// The model calls tools and sees what they say, until it answers.
    #[default]
    React,
    /// The model makes a plan first, without tools, and then goes on as with [`Pattern::React`].
    PlanAndExecute,
}

impl Orchestration {
    /// The same, and where something is unset what `others` say.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            pattern: self.pattern.or(others.pattern),
            max_iterations: self.max_iterations.or(others.max_iterations),
            timeout: self.timeout.or(others.timeout),
        }
    }
}

impl Pattern {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::React, Self::PlanAndExecute];

    /// The name, as in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::React => "react",
            Self::PlanAndExecute => "plan_and_execute",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
            (Some(_), None) if !spec.tools.is_empty() => {
                let reason = "expected none, for a server of the agent's own brings its own tools";
                return Err(refuse("spec.tools", reason));
            }
            (Some(server), None) => AgentKind::Http {
                url: server.url.0,
                health: server.health.map(|path| path.0),
            },
            (None, Some(model)) => {
                let primary = model.primary;
                let provider = primary.provider.0;
                let name = match primary.model {
                    Some(name) => name.0,
                    None if provider == ECHO => ECHO.to_owned(),
                    None => return Err(refuse("spec.model.primary", "missing key \"model\"")),
                };
                AgentKind::Llm(Box::new(Llm {
                    provider,
                    model: name,
                    endpoint: primary.endpoint.map(|endpoint| endpoint.0),
                    parameters: primary.parameters,
                    system_prompt: spec.prompts.system.map(|system| system.0),
                    orchestration: spec.orchestration.into(),
                    tools: tool::checked(spec.tools)
                        .map_err(|(key, reason)| refuse(&key, &reason))?,
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
