//! The agents that this node runs, and one run of one of them.
//!
//! An agent is run in one of the ways of [`Runner`]; a new way is a new variant with its file below. What all have in
//! common is here: reading the request, once and within bounds, and turning trouble into an answer.

mod echo;
mod http;

use crate::answer::{Answer, trouble};
use crate::bodies::{Bodies, Longest};
use astromesh_core::agent::{self, Agent, AgentKind};
use astromesh_core::api::RunRequest;
use astromesh_core::error::ConfigError;
use astromesh_core::http::{BoxError, Pool};
use astromesh_core::settings::{Service, Settings};
use hyper::StatusCode;
use hyper::body::Bytes;
use maia::id::Label;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The longest request that is read: a long conversation as its context.
const REQUEST: Longest = Longest {
    bytes: 8 * 1_024 * 1_024,
    limit: "run_body_bytes",
};

/// The name of the built-in agent.
const ECHO: &str = "echo";

/// What this node can run.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    runners: BTreeMap<Label, Runner>,
    idempotent: BTreeSet<Label>,
    withheld: Vec<String>,
}

/// How an agent is run.
#[derive(Clone, Debug)]
pub(crate) enum Runner {
    /// It answers with the query.
    Echo,
    /// A server of its own does it.
    Http(http::Server),
}

/// What a run needs of the node that it runs on.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    /// The node's name.
    pub(crate) node: &'a str,
    /// Connections to places that the operator wrote down.
    pub(crate) listed: &'a Pool,
    /// Where bodies are read.
    pub(crate) bodies: &'a Bodies,
    /// How long the request's body may take.
    pub(crate) body_timeout: Duration,
}

/// What an agent is asked.
#[derive(Debug)]
struct Task {
    /// As it came, to be handed on.
    bytes: Bytes,
    /// As it is meant.
    request: RunRequest,
}

impl Agents {
    /// Reads the agent files, and adds what is built in. A node without the service `agents` has none.
    ///
    /// # Errors
    /// Where a file cannot be read or is wrong.
    pub(crate) fn load(settings: &Settings) -> Result<Self, ConfigError> {
        let mut agents = Self::default();
        if !settings.services.has(Service::Agents) {
            return Ok(agents);
        }
        if settings.defaults.echo {
            let name = Label::new(ECHO).expect("it is short and plain");
            agents.runners.insert(name.clone(), Runner::Echo);
            agents.idempotent.insert(name);
        }
        let Some(folder) = &settings.agents_dir else {
            return Ok(agents);
        };
        for agent in agent::load_dir(folder)? {
            if agent.idempotent {
                agents.idempotent.insert(agent.name.clone());
            } else {
                agents.idempotent.remove(&agent.name);
            }
            match Runner::of(&agent) {
                Ok(runner) => drop(agents.runners.insert(agent.name, runner)),
                Err(reason) => agents.withheld.push(format!(
                    "{}: agent {} is not offered: {reason}",
                    folder.display(),
                    agent.name
                )),
            }
        }
        Ok(agents)
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Label> {
        self.runners.keys()
    }

    /// The agents that this node cannot run, each with the reason.
    pub(crate) fn withheld(&self) -> &[String] {
        &self.withheld
    }

    /// Whether it may be run twice for one request.
    pub(crate) fn is_idempotent(&self, name: &Label) -> bool {
        self.idempotent.contains(name)
    }

    /// The one of that name.
    pub(crate) fn find(&self, name: &Label) -> Option<&Runner> {
        self.runners.get(name)
    }
}

impl Runner {
    /// How `agent` is run here, or why it cannot be.
    fn of(agent: &Agent) -> Result<Self, String> {
        match &agent.kind {
            AgentKind::Echo => Ok(Self::Echo),
            AgentKind::Http { url } => http::Server::at(url).map(Self::Http),
            AgentKind::Llm(llm) => Err(format!(
                "this release runs no models: of the providers it knows only echo, and the file says {:?}",
                llm.provider
            )),
        }
    }

    /// Runs it once.
    pub(crate) async fn run<B>(&self, around: &Around<'_>, name: &Label, body: B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let task = match Task::read(around, body).await {
            Ok(task) => task,
            Err(refusal) => return refusal,
        };
        match self {
            Self::Echo => echo::run(around.node, task.request),
            Self::Http(server) => server.run(around, name, task).await,
        }
    }
}

impl Task {
    /// Reads what is asked, or says what is wrong with it.
    async fn read<B>(around: &Around<'_>, body: B) -> Result<Self, Answer>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let read = around.bodies.read(body, REQUEST, around.body_timeout);
        // A run may take minutes: what it was asked is not counted among what is being read.
        let bytes = read.await?.into_bytes();
        let request =
            understood(&bytes).map_err(|reason| trouble(StatusCode::BAD_REQUEST, reason))?;
        Ok(Self { bytes, request })
    }
}

/// What is asked, or which field is wrong.
fn understood(bytes: &[u8]) -> Result<RunRequest, String> {
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("body: expected JSON: {error}"))?;
    let Value::Object(mut fields) = body else {
        return Err("body: expected a JSON object with the field query".to_owned());
    };
    let query = text(&mut fields, "query")?;
    let stream = match fields.remove("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(stream)) => stream,
        Some(other) => {
            return Err(format!(
                "stream: expected true or false, found {}",
                excerpt(&other)
            ));
        }
    };
    Ok(RunRequest {
        query: query.ok_or("query: expected a string, found nothing")?,
        session_id: text(&mut fields, "session_id")?,
        context: fields.remove("context"),
        stream,
    })
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!(
            "{name}: expected a string, found {}",
            excerpt(&other)
        )),
    }
}

fn excerpt(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (body, said) in [
            ("", "body: expected JSON"),
            ("{", "body: expected JSON"),
            ("[]", "body: expected a JSON object"),
            ("\"hi\"", "body: expected a JSON object"),
            ("{}", "query: expected a string, found nothing"),
            (
                r#"{"query":null}"#,
                "query: expected a string, found nothing",
            ),
            (r#"{"query":7}"#, "query: expected a string, found 7"),
            (
                r#"{"query":"a","session_id":7}"#,
                "session_id: expected a string",
            ),
            (
                r#"{"query":"a","stream":"yes"}"#,
                "stream: expected true or false",
            ),
        ] {
            let reason = understood(body.as_bytes()).expect_err(body);
            assert!(reason.starts_with(said), "{body}: {reason}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_alone() {
        let request = understood(br#"{"query":"a","more":[1],"context":{"b":1}}"#).expect("right");
        assert_eq!(request.query, "a");
        assert!(!request.stream);
        assert!(request.context.is_some());
    }
}
