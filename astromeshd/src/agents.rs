//! The agents that this node runs, and one run of one of them.
//!
//! An agent is run in one of the ways of [`Runner`]; a new way is a new variant with its file below. What all have in
//! common is here: reading the request, once and within bounds, and turning trouble into an answer. Which agents there are
//! may change at any time; a run goes on with the one that it began with.

mod completion;
mod echo;
mod http;
mod live;
mod llm;
pub(crate) mod models;
mod sessions;
mod tools;
mod turns;

use crate::answer::{Answer, trouble};
use crate::bodies::{Bodies, Longest};
use crate::session_id;
use crate::traces::Trail;
use arc_swap::ArcSwap;
use astromesh_core::agent::folder::Folder;
use astromesh_core::agent::{Agent, AgentKind};
use astromesh_core::api::{RunRequest, Withheld};
use astromesh_core::error::ConfigError;
use astromesh_core::http::{BoxError, Pool};
use astromesh_core::settings::{Service, Settings};
use hyper::StatusCode;
use hyper::body::Bytes;
use maia::id::{Label, NodeId};
use models::Models;
use serde_json::{Map, Value};
use sessions::Sessions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The longest request that is read: a long conversation as its context.
const REQUEST: Longest = Longest {
    bytes: 8 * 1_024 * 1_024,
    limit: "run_body_bytes",
};

/// The longest name of a session.
const SESSION_BYTES: usize = 256;

/// The name of the built-in agent.
const ECHO: &str = "echo";

/// What this node can run.
#[derive(Debug)]
pub(crate) struct Agents {
    catalogue: ArcSwap<Catalogue>,
    sessions: Arc<Sessions>,
}

/// What it can run at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    carried: BTreeMap<Label, Arc<Carried>>,
    withheld: Vec<Withheld>,
}

/// One agent.
#[derive(Debug)]
pub(crate) struct Carried {
    /// As its file describes it; `None` for the one that is built in.
    agent: Option<Agent>,
    runner: Runner,
}

/// How an agent is run.
#[derive(Debug)]
enum Runner {
    /// It answers with the query.
    Echo,
    /// A server of its own does it.
    Http(Box<http::Server>),
    /// A model does it, with tools.
    Llm(Arc<llm::Llm>),
}

/// What a run needs of the node that it runs on.
pub(crate) struct Around<'a> {
    /// The node's name.
    pub(crate) node: &'a str,
    /// The node's id.
    pub(crate) id: &'a NodeId,
    /// Connections to places that the operator wrote down.
    pub(crate) listed: &'a Pool,
    /// Where bodies are read.
    pub(crate) bodies: &'a Bodies,
    /// How long the request's body may take.
    pub(crate) body_timeout: Duration,
    /// Rung where an agent turns out to be out of reach.
    pub(crate) offer_changed: &'a Notify,
    /// Whoever knows models.
    pub(crate) models: Arc<dyn Models>,
    /// How often the request had been passed on before it came to this node.
    pub(crate) hops: u32,
    /// To which trace the request belongs.
    pub(crate) trail: Trail,
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
    pub(crate) fn load(settings: &Settings) -> Result<(Self, Option<Folder>), ConfigError> {
        let agents = Self {
            catalogue: ArcSwap::default(),
            sessions: Arc::new(Sessions::new(&settings.limits)),
        };
        let folder = match &settings.agents_dir {
            Some(dir) if settings.services.has(Service::Agents) => Some(Folder::open(dir)?),
            _ => None,
        };
        let described = folder.iter().flat_map(Folder::agents);
        agents.replace(agents.put_together(settings, described));
        Ok((agents, folder))
    }

    /// What this node can run with the agents that are `described`. Those that stayed as they were go on as they are.
    pub(crate) fn put_together<'a>(
        &self,
        settings: &Settings,
        described: impl IntoIterator<Item = &'a Agent>,
    ) -> Catalogue {
        let before = self.catalogue.load();
        let mut now = Catalogue::default();
        if settings.services.has(Service::Agents) && settings.defaults.echo {
            let name = Label::new(ECHO).expect("it is short and plain");
            let (agent, runner) = (None, Runner::Echo);
            now.carried
                .insert(name, Arc::new(Carried { agent, runner }));
        }
        for agent in described {
            let same = |held: &&Arc<Carried>| held.agent.as_ref() == Some(agent);
            let carried = match before.carried.get(&agent.name).filter(same) {
                Some(held) => Ok(Arc::clone(held)),
                None => Runner::of(agent, settings, &self.sessions).map(|runner| {
                    let agent = Some(agent.clone());
                    Arc::new(Carried { agent, runner })
                }),
            };
            match carried {
                Ok(carried) => drop(now.carried.insert(agent.name.clone(), carried)),
                Err(reason) => now.withheld.push(Withheld {
                    name: agent.name.to_string(),
                    reason,
                }),
            }
        }
        now
    }

    /// From now on.
    pub(crate) fn replace(&self, catalogue: Catalogue) {
        self.catalogue.store(Arc::new(catalogue));
    }

    /// The one of that name, whether it can be asked now or not.
    pub(crate) fn find(&self, name: &Label) -> Option<Arc<Carried>> {
        self.catalogue.load().carried.get(name).cloned()
    }

    /// Whether it may be run twice for one request.
    pub(crate) fn is_idempotent(&self, name: &Label) -> bool {
        let agent = |carried: &Arc<Carried>| {
            let described = carried.agent.as_ref();
            described.is_none_or(|agent| agent.idempotent)
        };
        self.catalogue.load().carried.get(name).is_some_and(agent)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }

    /// The names of those that can be asked now, in order.
    pub(crate) fn names(&self) -> Vec<Label> {
        self.catalogue.load().names()
    }

    /// The agents that cannot be asked now, each with the reason.
    pub(crate) fn withheld(&self) -> Vec<Withheld> {
        self.catalogue.load().withheld()
    }

    /// How many sessions are kept, and their bytes.
    pub(crate) fn sessions(&self) -> (usize, usize) {
        self.sessions.size()
    }
}

impl Catalogue {
    /// The names of those that can be asked now, in order.
    pub(crate) fn names(&self) -> Vec<Label> {
        let offered = self
            .carried
            .iter()
            .filter(|(_, carried)| carried.trouble().is_none());
        offered.map(|(name, _)| name.clone()).collect()
    }

    /// The agents that cannot be asked now, each with the reason.
    pub(crate) fn withheld(&self) -> Vec<Withheld> {
        let troubled = self.carried.iter().filter_map(|(name, carried)| {
            Some(Withheld {
                name: name.to_string(),
                reason: carried.trouble()?,
            })
        });
        self.withheld.iter().cloned().chain(troubled).collect()
    }

    /// Asks every agent that is a server of its own how it is. True if that is another answer than before.
    pub(crate) async fn look_after(&self, listed: &Pool) -> bool {
        let mut looks = tokio::task::JoinSet::new();
        for (name, carried) in &self.carried {
            if let Runner::Http(_) = &carried.runner {
                let (name, carried, listed) = (name.clone(), Arc::clone(carried), listed.clone());
                looks.spawn(async move { carried.look_after(&name, &listed).await });
            }
        }
        looks.join_all().await.contains(&true)
    }
}

impl Carried {
    /// Why it cannot be asked now, if it cannot.
    fn trouble(&self) -> Option<String> {
        match &self.runner {
            Runner::Http(server) => server.trouble(),
            Runner::Echo | Runner::Llm(_) => None,
        }
    }

    async fn look_after(&self, name: &Label, listed: &Pool) -> bool {
        match &self.runner {
            Runner::Http(server) => server.look_after(name, listed).await,
            Runner::Echo | Runner::Llm(_) => false,
        }
    }

    /// Runs it once. An error says that nothing was run, and why.
    pub(crate) async fn run<B>(
        &self,
        around: &Around<'_>,
        name: &Label,
        body: B,
    ) -> Result<Answer, Answer>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let task = match Task::read(around, body).await {
            Ok(task) => task,
            Err(refusal) => return Ok(refusal),
        };
        match &self.runner {
            Runner::Echo => Ok(echo::run(around, task.request)),
            Runner::Http(server) => server.run(around, name, task).await,
            Runner::Llm(llm) => Ok(llm.run(around, name, task.request).await),
        }
    }
}

impl Runner {
    /// How `agent` is run here, or why it cannot be.
    fn of(agent: &Agent, settings: &Settings, sessions: &Arc<Sessions>) -> Result<Self, String> {
        match &agent.kind {
            AgentKind::Http { url, health } => {
                let server = http::Server::at(url, health.as_ref())?;
                Ok(Self::Http(Box::new(server)))
            }
            AgentKind::Llm(spec) => {
                if !spec.tools.is_empty() && !settings.services.has(Service::Tools) {
                    return Err("it has tools, and this node has not the service tools".to_owned());
                }
                if spec.endpoint.is_some() {
                    log::warn!(
                        "agent {}: spec.model.primary.endpoint is ignored: inference nodes say where a provider is (spec.providers)",
                        agent.name
                    );
                }
                let llm = llm::Llm::new(spec, &settings.defaults.orchestration, sessions);
                Ok(Self::Llm(Arc::new(llm)))
            }
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

impl Around<'_> {
    /// The session that was named, or a new one on this node.
    fn session(&self, named: Option<String>) -> String {
        named.unwrap_or_else(|| session_id::mint(self.id))
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
    let session_id = text(&mut fields, "session_id")?;
    if session_id
        .as_ref()
        .is_some_and(|id| id.len() > SESSION_BYTES)
    {
        return Err(format!(
            "session_id: expected at most {SESSION_BYTES} bytes"
        ));
    }
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
        session_id,
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
