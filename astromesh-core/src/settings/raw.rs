//! `runtime.yaml` as it is written: every key there may be, each value checked for itself, nothing completed.

use super::Service;
use super::channels::{Pointer, Signed};
use super::providers::{BaseUrl, ModelName, ProviderKind};
use super::secrets::Variable;
use super::seed::{NameServer, Seed};
use crate::agent::{Endpoint, OrchestrationPart, Text};
use crate::allow::Entry;
use crate::leaf::{
    ApiVersion, Bind, Checked, Count, Leaf, Listen, Place, Port, Scalar, Span, Switch,
    deserialize_checked, exactly, one_of, or_default,
};
use crate::wording::excerpt;
use log::LevelFilter;
use maia::id::{Label, Name};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The whole file.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with apiVersion, kind and spec"
)]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: Metadata,
    /// Read for its complaints; what counts is the [`Merged`] one.
    #[serde(default, deserialize_with = "or_default", rename = "spec")]
    _spec: Spec,
}

struct Kind;

impl Leaf for Kind {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        exactly("RuntimeConfig", scalar).map(|()| Self)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with name")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: Option<Checked<Name>>,
    /// For people and their tools; read by nobody here.
    #[serde(default, rename = "version")]
    _version: Option<Value>,
    #[serde(default, rename = "namespace")]
    _namespace: Option<Checked<Name>>,
    #[serde(default, rename = "labels")]
    _labels: Option<Map<String, Value>>,
}

/// What file, variables and flags say together.
#[derive(Deserialize)]
pub(super) struct Merged {
    #[serde(default)]
    pub(super) role: Option<Checked<Name>>,
    #[serde(default)]
    pub(super) spec: Spec,
    #[serde(default)]
    pub(super) log: LogPart,
}

#[derive(Default, Deserialize)]
pub(super) struct LogPart {
    #[serde(default)]
    pub(super) filter: Option<LogFilter>,
    #[serde(default)]
    pub(super) format: Option<LogFormat>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with api, services, mesh and so on"
)]
pub(super) struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) api: Api,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) services: ServicesPart,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) peers: Vec<PeerPart>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) providers: Vec<ProviderPart>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) defaults: DefaultsPart,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) channels: BTreeMap<String, ChannelPart>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) limits: LimitsPart,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) mesh: MeshPart,
}

#[derive(Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a map with host, port and threads"
)]
pub(super) struct Api {
    pub(super) host: Option<Listen>,
    pub(super) port: Option<Port>,
    pub(super) threads: Option<Count<1, 256>>,
}

#[derive(Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a map of services, each true or false"
)]
pub(super) struct ServicesPart {
    pub(super) api: Option<Switch>,
    pub(super) agents: Option<Switch>,
    pub(super) inference: Option<Switch>,
    pub(super) memory: Option<Switch>,
    pub(super) tools: Option<Switch>,
    pub(super) channels: Option<Switch>,
    pub(super) rag: Option<Switch>,
    pub(super) observability: Option<Switch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with name and url")]
pub(super) struct PeerPart {
    pub(super) name: Checked<Name>,
    pub(super) url: Place,
    #[serde(default)]
    pub(super) services: Option<Vec<Checked<Service>>>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with name, type, base_url and so on"
)]
pub(super) struct ProviderPart {
    pub(super) name: Checked<Label>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<ProviderKind>,
    #[serde(default)]
    pub(super) base_url: Option<BaseUrl>,
    #[serde(default)]
    pub(super) api_key_env: Option<Variable>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) models: Vec<ModelName>,
}

#[derive(Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a map with orchestration and echo"
)]
pub(super) struct DefaultsPart {
    #[serde(deserialize_with = "or_default")]
    pub(super) orchestration: OrchestrationPart,
    pub(super) echo: Option<Switch>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with agent, secret_env and so on"
)]
pub(super) struct ChannelPart {
    pub(super) agent: Checked<Label>,
    #[serde(default)]
    pub(super) secret_env: Option<Variable>,
    #[serde(default)]
    pub(super) secret_file: Option<Text>,
    #[serde(default)]
    pub(super) signed: Option<Signed>,
    #[serde(default)]
    pub(super) tolerance: Option<Span>,
    #[serde(default)]
    pub(super) query: Option<Pointer>,
    #[serde(default)]
    pub(super) session: Option<Pointer>,
    #[serde(default)]
    pub(super) context: Option<Pointer>,
    #[serde(default)]
    pub(super) callback: Option<CallbackPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with url and allow")]
pub(super) struct CallbackPart {
    pub(super) url: Endpoint,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) allow: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a map of limits")]
pub(super) struct LimitsPart {
    pub(super) nodes: Option<Count<2>>,
    pub(super) record_bytes: Option<Count>,
    pub(super) new_ids_per_second: Option<Count>,
    pub(super) new_ids_burst: Option<Count>,
    pub(super) remembered: Option<Count>,
    pub(super) remember_for: Option<Span>,
    pub(super) exchange_timeout: Option<Span>,
    pub(super) gossip_body_bytes: Option<Count>,
    pub(super) body_bytes: Option<Count>,
    pub(super) all_bodies_bytes: Option<Count>,
    /// The HTTP library reads at least 8 KiB at a time.
    pub(super) header_bytes: Option<Count<8_192>>,
    /// Room for that many is made for each request.
    pub(super) headers: Option<Count<1, 1_024>>,
    pub(super) concurrent_gossip: Option<Count>,
    pub(super) concurrent_requests: Option<Count>,
    pub(super) queued_requests: Option<Count<0>>,
    pub(super) inference_body_bytes: Option<Count>,
    pub(super) inference_answer_bytes: Option<Count>,
    pub(super) inference_first_byte_timeout: Option<Span>,
    pub(super) inference_idle_timeout: Option<Span>,
    pub(super) node_first_byte_timeout: Option<Span>,
    pub(super) node_idle_timeout: Option<Span>,
    pub(super) node_answer_timeout: Option<Span>,
    pub(super) connections: Option<Count>,
    pub(super) first_byte_timeout: Option<Span>,
    pub(super) headers_timeout: Option<Span>,
    pub(super) body_timeout: Option<Span>,
    pub(super) idle_timeout: Option<Span>,
    pub(super) sessions: Option<Count>,
    pub(super) session_messages: Option<Count>,
    pub(super) session_bytes: Option<Count>,
    pub(super) all_sessions_bytes: Option<Count>,
    pub(super) session_timeout: Option<Span>,
    pub(super) channel_body_bytes: Option<Count>,
    pub(super) callbacks: Option<Count>,
}

#[derive(Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a map with enabled, seeds and so on"
)]
pub(super) struct MeshPart {
    pub(super) enabled: Option<Switch>,
    pub(super) node_name: Option<Checked<Name>>,
    pub(super) bind: Option<Bind>,
    pub(super) advertise: Option<Place>,
    #[serde(deserialize_with = "or_default")]
    pub(super) seeds: Vec<Seed>,
    #[serde(deserialize_with = "or_default")]
    pub(super) name_servers: Vec<NameServer>,
    pub(super) heartbeat_interval: Option<Span>,
    pub(super) gossip_interval: Option<Span>,
    pub(super) gossip_fanout: Option<Count>,
    pub(super) failure_timeout: Option<Span>,
    pub(super) dead_timeout: Option<Span>,
    pub(super) stable_after: Option<Span>,
    pub(super) expected_nodes: Option<Count>,
}

impl Leaf for Service {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        one_of("service", &Self::ALL, Self::as_str, scalar)
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line, for machines.
    Json,
}

impl Leaf for LogFormat {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let name = |format| match format {
            Self::Text => "text",
            Self::Json => "json",
        };
        one_of("log format", &[Self::Text, Self::Json], name, scalar)
    }
}

/// `info`, or `warn,astromeshd=debug`: a level for all, and levels for some.
#[derive(Clone, Debug)]
pub(super) struct LogFilter {
    pub(super) level: Option<LevelFilter>,
    pub(super) targets: Vec<(String, LevelFilter)>,
}

impl Leaf for LogFilter {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let refuse = |found| {
            format!(
                "expected error, warn, info, debug, trace or off, or target=level, found {found}"
            )
        };
        let Scalar::Text(text) = scalar else {
            return Err(refuse(scalar.to_string()));
        };
        let mut filter = Self {
            level: None,
            targets: Vec::new(),
        };
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (target, level) = match part.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, part),
            };
            let level = level.parse().map_err(|_| refuse(excerpt(part)))?;
            match target {
                Some("") => return Err(refuse(excerpt(part))),
                Some(target) => filter.targets.push((target.to_owned(), level)),
                None => filter.level = Some(level),
            }
        }
        Ok(filter)
    }
}

deserialize_checked!(Kind, LogFormat, LogFilter);
