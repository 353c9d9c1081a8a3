//! The tools of one agent: how they are described to its model, and what a call of one comes to.
//!
//! A tool answers with text. What goes wrong is text too, for the model to make the best of.

mod datetime;
mod request;

use crate::outside::Outside;
use astromesh_core::agent::tool::{Tool, ToolKind};
use serde_json::{Map, Value, json as value};
use std::time::Duration;
use tokio::time::timeout;

/// How much of a tool's answer the model is shown.
const ANSWER_BYTES: usize = 64 * 1_024;

/// The tools of one agent.
#[derive(Debug)]
pub(super) struct Toolbox {
    tools: Vec<Ready>,
    /// As the model is told of them.
    described: Value,
}

/// A tool that is ready to be called.
#[derive(Debug)]
struct Ready {
    name: String,
    kind: Kind,
    patience: Duration,
}

#[derive(Debug)]
enum Kind {
    DatetimeNow,
    HttpRequest(Outside),
    Remote { url: String, outside: Outside },
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) struct Trouble {
    /// In a word, one of a few.
    pub(super) kind: &'static str,
    /// For the model to read.
    pub(super) detail: String,
}

/// What a model passes to a tool.
type Arguments = Map<String, Value>;

impl Toolbox {
    /// These tools.
    pub(super) fn of(tools: &[Tool]) -> Self {
        Self {
            tools: tools.iter().map(Ready::of).collect(),
            described: tools.iter().map(described).collect(),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// As OpenAI's requests describe tools.
    pub(super) fn described(&self) -> Value {
        self.described.clone()
    }

    /// Calls one.
    pub(super) async fn call(&self, name: &str, arguments: &str) -> Result<String, Trouble> {
        let trouble = |kind, detail| Trouble { kind, detail };
        let found = self.tools.iter().find(|tool| tool.name == name);
        let tool = found.ok_or_else(|| {
            let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
            let names = names.join(", ");
            let detail = format!("there is no tool {name:?}; there are: {names}");
            trouble("unknown_tool", detail)
        })?;
        let arguments = match arguments.trim() {
            "" => Arguments::new(),
            text => serde_json::from_str(text).map_err(|error| {
                let detail = format!("the arguments are not a JSON object: {error}");
                trouble("bad_arguments", detail)
            })?,
        };
        match timeout(tool.patience, tool.kind.call(&arguments)).await {
            Ok(result) => result.map_err(|detail| trouble("tool_error", detail)),
            Err(_) => {
                let detail = format!("no answer within {:?}", tool.patience);
                Err(trouble("timeout", detail))
            }
        }
    }
}

impl Ready {
    fn of(tool: &Tool) -> Self {
        Self {
            name: tool.name.clone(),
            kind: match &tool.kind {
                ToolKind::DatetimeNow => Kind::DatetimeNow,
                ToolKind::HttpRequest { allow } => {
                    Kind::HttpRequest(Outside::within(allow.clone()))
                }
                ToolKind::Remote { url, .. } => Kind::Remote {
                    url: url.to_string(),
                    outside: Outside::to(url),
                },
            },
            patience: tool.timeout,
        }
    }
}

impl Kind {
    async fn call(&self, arguments: &Arguments) -> Result<String, String> {
        match self {
            Self::DatetimeNow => datetime::now(arguments),
            Self::HttpRequest(outside) => request::send(outside, arguments).await,
            Self::Remote { url, outside } => request::ask(outside, url, arguments).await,
        }
    }
}

fn described(tool: &Tool) -> Value {
    let (description, parameters) = match &tool.kind {
        ToolKind::DatetimeNow => datetime::described(),
        ToolKind::HttpRequest { allow } => request::described(allow),
        ToolKind::Remote {
            description,
            parameters,
            ..
        } => (description.clone(), value!(parameters)),
    };
    value!({
        "type": "function",
        "function": {"name": tool.name, "description": description, "parameters": parameters},
    })
}
