//! The JSON bodies of the daemon's own calls: one struct each, for the daemon, the command line and the tests alike.
//!
//! The six calls of the mesh have theirs in `maia::wire`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The header that names the node which received a request (percent-encoded outside visible ASCII).
pub const NODE_HEADER: &str = "x-astromesh-node";
/// The header that names the node which ran a request, likewise.
pub const ROUTED_TO_HEADER: &str = "x-astromesh-routed-to";
/// The header that counts how often a request was passed from node to node.
pub const HOPS_HEADER: &str = "x-astromesh-hops";
/// The header by which a node tells the one that passed a request to it how many requests it is running.
pub const ACTIVE_HEADER: &str = "x-astromesh-active";
/// The header by which a node tells the one that passed a request to it that this may be run twice: `true`.
pub const IDEMPOTENT_HEADER: &str = "x-astromesh-idempotent";
/// The header that counts how many nodes were tried.
pub const ATTEMPTS_HEADER: &str = "x-astromesh-attempts";
/// The header that says how long the router held a request beyond the node that ran it, in milliseconds.
pub const OVERHEAD_HEADER: &str = "x-astromesh-overhead-ms";
/// The header that names the one provider that a request for a model may go to, and in answers the one that gave it.
pub const PROVIDER_HEADER: &str = "x-astromesh-provider";
/// The header that names the node whose provider answered, percent-encoded as the others.
pub const INFERENCE_NODE_HEADER: &str = "x-astromesh-inference-node";

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Trouble {
    /// What is wrong, and what to do.
    pub detail: String,
}

/// `GET /v1/health`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Health {
    /// `healthy`
    pub status: String,
    /// The daemon's release.
    pub version: String,
    /// Since the daemon's start.
    pub uptime_seconds: f64,
}

/// `GET /readyz`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Readiness {
    /// Whether the node takes traffic: whether all conditions hold.
    pub ready: bool,
    /// `ready`, `joining`, `draining` or `left`.
    pub status: String,
    /// What readiness depends on.
    pub conditions: Vec<Condition>,
}

/// One thing that readiness depends on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Condition {
    /// `mesh` or `traffic`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// Why it does not, or that it does: which seed fails and why.
    pub detail: String,
}

/// `GET /v1/system/status`: one node and the mesh as it sees it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct SystemStatus {
    /// The node that answers.
    pub node: NodeStatus,
    /// What it does with requests.
    pub requests: RequestStatus,
    /// The mesh; `None` where it is off on this node.
    pub mesh: Option<MeshStatus>,
    /// The static peers, where there is no mesh.
    pub peers: Vec<PeerStatus>,
    /// Whoever serves models to this node; absent in older releases.
    #[serde(default)]
    pub providers: Vec<ProviderStatus>,
}

/// A provider of models, as the answering node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProviderStatus {
    /// What it is called there.
    pub name: String,
    /// `openai`, `anthropic` or `ollama`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is.
    pub url: String,
    /// How many models it is known to have.
    pub models: usize,
    /// Why it could not answer last time, if it could not.
    pub trouble: Option<String>,
    /// Requests to it, by what came of them: `answered`, `refused`, `lacks_model`, `failed`, `untranslatable`.
    pub requests: BTreeMap<String, u64>,
}

/// The answering node.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct NodeStatus {
    /// What people call it.
    pub name: String,
    /// `full`, `gateway`, `worker`, `inference`, or `custom`.
    pub role: String,
    /// Where others reach it.
    pub url: String,
    /// The daemon's release.
    pub version: String,
    /// Since the daemon's start.
    pub uptime_seconds: f64,
    /// Services that are on.
    pub services: Vec<String>,
    /// Agents it runs.
    pub agents: Vec<String>,
    /// Agents that it has and does not offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// What it keeps of conversations.
    #[serde(default)]
    pub sessions: SessionStatus,
}

/// An agent that a node has and does not offer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Withheld {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The histories that a node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionStatus {
    /// How many.
    pub kept: usize,
    /// What they take.
    pub bytes: usize,
}

/// The answering node's requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RequestStatus {
    /// Running on this node now.
    pub active: u32,
    /// In flight from this node to others now.
    pub forwarded: u32,
    /// Answered, by what came of them: `local`, `forwarded`, `unavailable`, …
    pub total: BTreeMap<String, u64>,
    /// Turned away at a bound, by the name that the bound has under `spec.limits`; `agent_files` that cannot be used; and
    /// messages to channels with wrong `signatures`.
    #[serde(default)]
    pub turned_away: BTreeMap<String, u64>,
}

/// The mesh as the answering node sees it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct MeshStatus {
    /// The answering node's id.
    pub node_id: String,
    /// Whether it has met the mesh.
    pub joined: bool,
    /// Whether it has left.
    pub left: bool,
    /// Whether it takes no new requests.
    pub draining: bool,
    /// Whom it takes for the leader.
    pub leader: Option<LeaderStatus>,
    /// Its seeds.
    pub seeds: Vec<SeedStatus>,
    /// Everyone, the answering node included; the dead until they are forgotten; nobody who left, and no hearsay.
    pub members: Vec<MemberStatus>,
    /// What was turned away so far, by name.
    pub counters: BTreeMap<String, u64>,
}

/// The leader.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct LeaderStatus {
    /// Its id.
    pub node_id: String,
    /// What people call it.
    pub name: String,
    /// How long the answering node has taken it for the leader.
    pub since_seconds: f64,
}

/// One seed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SeedStatus {
    /// Its address, or the name, as the settings have it.
    pub url: String,
    /// `trying`, `joined` or `failing`; `itself` where it leads to the answering node and nobody else.
    pub status: String,
    /// Why it fails.
    pub reason: Option<String>,
    /// Where it leads, for a name that leads to several places or is that of a service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct MemberStatus {
    /// Its id.
    pub node_id: String,
    /// What people call it.
    pub name: String,
    /// Where it is reached.
    pub url: String,
    /// `alive`, `suspect` or `dead`.
    pub status: String,
    /// How long it has been that.
    pub since_seconds: f64,
    /// How long ago its last sign of life came.
    pub silent_seconds: f64,
    /// Whether it takes no new requests.
    pub draining: bool,
    /// Whether it is the leader, to the answering node.
    pub leader: bool,
    /// Whether it is the answering node.
    pub here: bool,
    /// What it does.
    pub services: Vec<String>,
    /// The agents it runs.
    pub agents: Vec<String>,
    /// Processor time in use, in percent.
    pub cpu_percent: f64,
    /// Memory in use, in percent.
    pub memory_percent: f64,
    /// Requests it runs.
    pub active_requests: u32,
    /// Why it is not alive, where it is not.
    pub reason: Option<String>,
    /// What happens next, where it is not alive: `becomes dead in 9s`, `forgotten in 40s`.
    pub next: Option<String>,
}

/// One event of `GET /v1/mesh/events`: something that happened in the mesh, as the answering node sees it.
///
/// What an event has nothing to say of is absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct MeshEvent {
    /// Rises by one with each event since the daemon's start. A `reset` has the id of the event before it.
    pub id: u64,
    /// When it happened, in unix seconds.
    pub at: f64,
    /// `joined`, `suspect`, `alive` (again), `dead`, `left`, `forgotten`, `replaced`, `conflict`, `leader`, `refuted`,
    /// `joined_through`, `seed_failed`, `myself`, or `reset`; more may come.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, for people: it goes on where `name` left off.
    pub message: String,
    /// The member that it is about; in events about no other, the answering node.
    pub node_id: String,
    /// What people call it.
    pub name: String,
    /// Where it is, or which address or seed it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `suspect`, `dead`: how long it had been silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<f64>,
    /// How long what ended had lasted. `joined`: it had been heard of. `alive`: it had been suspect, dead or gone.
    /// `left`, `replaced`: it had been known. `forgotten`: it had been dead or gone. `leader`: the one before had led, or
    /// nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<f64>,
    /// `leader`: the id of who leads now; absent where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// `replaced`: the id of who came. `conflict`: of the other. `leader`: of who led before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_id: Option<String>,
    /// `reset`: the mesh as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Box<MeshStatus>>,
}

/// `POST /v1/mesh/forget`, from the node's own machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// The dead member's id.
    pub node_id: String,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Forgotten {
    /// The id of who was forgotten.
    pub node_id: String,
    /// What people called it.
    pub name: String,
}

/// One static peer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PeerStatus {
    /// What people call it.
    pub name: String,
    /// Where it is reached.
    pub url: String,
    /// What it is asked for; empty where everything.
    pub services: Vec<String>,
}

/// `GET /v1/agents`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AgentList {
    /// In order of name.
    pub agents: Vec<AgentStatus>,
    /// Agents that the answering node has and does not offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
}

/// `GET /v1/agents/{name}`, and one of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AgentStatus {
    /// Its name.
    pub name: String,
    /// The nodes that carry it, alive or suspect.
    pub nodes: Vec<Carrier>,
}

/// A node that carries an agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Carrier {
    /// Its id; empty for a static peer, which has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node_id: String,
    /// What people call it.
    pub name: String,
    /// Where it is reached.
    pub url: String,
    /// `alive` or `suspect`.
    pub status: String,
}

/// `POST /v1/agents/{name}/run`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct RunRequest {
    /// What the agent is asked.
    pub query: String,
    /// The conversation that this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Whatever the agent should know besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<serde_json::Value>,
    /// Whether the answer is wanted as server-sent events.
    #[serde(default)]
    pub stream: bool,
}

/// `POST /v1/channels/{name}` where the answer goes to a callback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Accepted {
    /// Names the message in what the callback is sent.
    pub message_id: String,
}

/// What a channel's callback is sent.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ChannelAnswer {
    /// The channel.
    pub channel: String,
    /// As in [`Accepted`]. What comes twice has one id.
    pub message_id: String,
    /// What came of it: 200, or the status of the refusal.
    pub status: u16,
    /// What the agent answered; or why it did not, as [`Trouble`].
    pub body: serde_json::Value,
}

/// What an agent answered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct RunAnswer {
    /// The answer.
    pub answer: String,
    /// The conversation.
    pub session_id: String,
    /// The model that was used.
    pub model: String,
    /// Tokens used.
    pub usage: Usage,
    /// What the agent did on the way, a line each.
    pub steps: Vec<serde_json::Value>,
    /// The name of the node that ran it.
    pub node: String,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Usage {
    /// Read by the model.
    pub prompt_tokens: u64,
    /// Written by the model.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

/// `GET /v1/models`: a list that clients of OpenAI read as well as those of Anthropic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ModelList {
    /// `list`
    pub object: String,
    /// In order of id, none twice.
    pub data: Vec<Model>,
    /// `false`: all are here.
    pub has_more: bool,
    /// The first id; `None` where there is none.
    pub first_id: Option<String>,
    /// The last.
    pub last_id: Option<String>,
    /// What the names begin with of models that are there besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Whether somebody could not be asked, or never says what it has.
    #[serde(default)]
    pub incomplete: bool,
}

/// `GET /v1/models/{id}`, and one of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Model {
    /// What requests call it by.
    pub id: String,
    /// `model`, for OpenAI's clients.
    pub object: String,
    /// `model`, for Anthropic's.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was made, in seconds since 1970; 0 where nobody says.
    pub created: i64,
    /// The same moment, as RFC 3339 has it.
    pub created_at: String,
    /// Who says that it is theirs; the provider's name where nobody does.
    pub owned_by: String,
    /// What people call it.
    pub display_name: String,
}

impl ModelList {
    /// Whether `model` is there, listed or not.
    pub fn has(&self, model: &str) -> bool {
        let is_listed = || {
            self.data
                .binary_search_by(|held| held.id.as_str().cmp(model))
                .is_ok()
        };
        self.prefixes.iter().any(|prefix| model.starts_with(prefix)) || is_listed()
    }

    /// The list of these models: of two with one id the first.
    pub fn of(mut data: Vec<Model>) -> Self {
        data.sort_by(|a, b| a.id.cmp(&b.id));
        data.dedup_by(|a, b| a.id == b.id);
        Self {
            object: "list".to_owned(),
            has_more: false,
            first_id: data.first().map(|model| model.id.clone()),
            last_id: data.last().map(|model| model.id.clone()),
            prefixes: Vec::new(),
            incomplete: false,
            data,
        }
    }
}
