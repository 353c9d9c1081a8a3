//! How a node runs: a file or a profile, `ASTROMESH_*` variables and flags, checked once into types that cannot be wrong.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. `raw` is the file as it is written,
//! `source` finds the layers and lays them over each other, and `check` makes [`Settings`] of the sum: what is left out gets
//! its default, and what cannot go together is refused at the place that says so.
//!
//! ```
//! use astromesh_core::settings::{Environment, Flags, Settings};
//!
//! let environment = Environment::empty().with("ASTROMESH_PORT", "9000");
//! let settings = Settings::load(&Flags::default(), &environment)?;
//! assert_eq!(settings.api.port, 9000);
//! assert_eq!(settings.origin.to_string(), "built-in profile full");
//! # Ok::<(), astromesh_core::error::ConfigError>(())
//! ```

mod channels;
mod check;
mod profile;
mod providers;
mod raw;
mod secrets;
mod seed;
mod source;
mod traces;

pub use channels::{Callback, Channel, Channels, Signed};
pub use providers::{Provider, ProviderKind};
pub use raw::LogFormat;
pub use seed::{Seed, ServiceName};
pub use source::{Environment, Flags, Origin};

use crate::agent::Orchestration;
use crate::error::ConfigError;
use crate::yaml;
use hyper::Uri;
use log::LevelFilter;
use maia::address::{Host, Url};
use maia::config::Config;
use maia::id::{Label, Name};
use raw::{Document, Merged};
use source::{Layers, Source};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// All that a node needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What these are based on.
    pub origin: Origin,
    /// What was set to no effect. To be logged once the log is up.
    pub warnings: Vec<String>,
    /// What kind of node this is, for people to read: it decides nothing. `ASTROMESH_ROLE`; else the file's
    /// `metadata.name` without `mesh-`; else `custom`.
    pub role: Name,
    /// What people call this node: `spec.mesh.node_name` or `ASTROMESH_NODE_NAME`, else the name of its host. Also without
    /// a mesh.
    pub node_name: Name,
    /// The one listener.
    pub api: Api,
    /// What this node does.
    pub services: Services,
    /// The nodes it passes requests to, in turn. Empty where there is a mesh.
    pub peers: Vec<Peer>,
    /// Whoever serves models to this node, in the order in which they are asked. Empty without the service `inference`.
    pub providers: Vec<Provider>,
    /// What holds for agents that say nothing else.
    pub defaults: Defaults,
    /// The channels. None without the service `channels`.
    pub channels: Channels,
    /// What one who calls can make this node spend.
    pub limits: HttpLimits,
    /// The mesh, unless it is off.
    pub mesh: Option<Mesh>,
    /// The log.
    pub log: Log,
    /// Where traces are sent by OTLP/HTTP: `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces` after it. Nowhere by default.
    pub traces: Option<Uri>,
    /// The folder of the agent files: `agents` beside the configuration file, whether it is there or not; none without a
    /// file.
    pub agents_dir: Option<PathBuf>,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// The address, `0.0.0.0` by default: all there are.
    pub host: IpAddr,
    /// The port, 8000 by default. Never 0 in loaded settings; a test may set 0, for one that is free.
    pub port: u16,
    /// How many threads serve connections, 1 to 256. With 1, the default, the thread that keeps the mesh does it as well;
    /// else that is one more.
    pub threads: usize,
}

/// What a node can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The calls for clients.
    Api,
    /// Running agents.
    Agents,
    /// Serving models.
    Inference,
    /// Advertised only: there is no call behind it yet.
    Memory,
    /// The tools of agents.
    Tools,
    /// The channels.
    Channels,
    /// Advertised only: there is no call behind it yet.
    Rag,
    /// Metrics and traces.
    Observability,
}

impl Service {
    /// All there are, in the order in which the mesh lists them.
    pub const ALL: [Self; 8] = [
        Self::Api,
        Self::Agents,
        Self::Inference,
        Self::Memory,
        Self::Tools,
        Self::Channels,
        Self::Rag,
        Self::Observability,
    ];

    /// The name, as in files and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Agents => "agents",
            Self::Inference => "inference",
            Self::Memory => "memory",
            Self::Tools => "tools",
            Self::Channels => "channels",
            Self::Rag => "rag",
            Self::Observability => "observability",
        }
    }

    /// The name, as a node's record has it.
    pub fn label(self) -> Label {
        Label::new(self.as_str()).expect("the names of services are labels")
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(BTreeSet<Service>);

impl Services {
    /// Every service.
    pub fn all() -> Self {
        Service::ALL.into_iter().collect()
    }

    /// Whether `service` is one of them.
    pub fn has(&self, service: Service) -> bool {
        self.0.contains(&service)
    }

    /// Each of them, in the order in which the mesh lists them.
    pub fn iter(&self) -> impl Iterator<Item = Service> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        Self(services.into_iter().collect())
    }
}

/// A node that is listed by hand. No two have one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called here.
    pub name: Name,
    /// Where it is.
    pub url: Url,
    /// What it does: everything, unless the file says.
    pub services: Services,
}

/// What holds for agents that say nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How the loop of model and tools runs.
    pub orchestration: Orchestration,
    /// Whether the agent and the provider `echo` are there. `true` by default.
    pub echo: bool,
}

/// Bounds on what one who calls over HTTP can make a node keep and do. What the mesh bounds by itself is in
/// [`Config::limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a body of `/v1/mesh/gossip`. 8 MiB.
    pub gossip_body_bytes: usize,
    /// Bytes of a body of the other mesh calls. 64 KiB.
    pub body_bytes: usize,
    /// Bytes of all bodies that are in memory because they are being read or answered. 32 MiB.
    pub all_bodies_bytes: usize,
    /// Bytes of a request's head. 16 KiB, at least 8.
    pub header_bytes: usize,
    /// Headers of a request. 64, at most 1,024.
    pub headers: usize,
    /// Gossip exchanges answered at once. 64.
    pub concurrent_gossip: usize,
    /// Requests that this node itself runs at once: of agents, and as many of models. 1,024.
    pub concurrent_requests: usize,
    /// Requests that wait for that. Half as many: whoever waits is then let in within half the time that a request takes.
    pub queued_requests: usize,
    /// Bytes of a request for a model. 8 MiB.
    pub inference_body_bytes: usize,
    /// Bytes of a model's answer that has to be translated, or of one event of it. 8 MiB.
    pub inference_answer_bytes: usize,
    /// How long a provider may take to begin its answer. 240 s, which is less than other nodes wait for this one.
    pub inference_first_byte_timeout: Duration,
    /// How long a provider's answer that has begun may stand still. 60 s.
    pub inference_idle_timeout: Duration,
    /// How long another node may take to begin its answer. 300 s: a model may have to be loaded first.
    pub node_first_byte_timeout: Duration,
    /// How long another node's answer that has begun may stand still. 120 s.
    pub node_idle_timeout: Duration,
    /// How long another node's answer may take from its beginning to its end. 1 h.
    pub node_answer_timeout: Duration,
    /// Open connections. 4,096; fewer where the process may not have so many files.
    pub connections: usize,
    /// From a connection's opening to its first byte. 5 s.
    pub first_byte_timeout: Duration,
    /// From a request's first byte to the end of its head. 5 s.
    pub headers_timeout: Duration,
    /// From there to the end of its body. 10 s.
    pub body_timeout: Duration,
    /// Between two requests on one connection. 60 s.
    pub idle_timeout: Duration,
    /// Sessions whose history is kept; beyond, the one that was used longest ago goes. 4,096.
    pub sessions: usize,
    /// Messages of a session that are kept, of which the oldest go first. 100.
    pub session_messages: usize,
    /// Bytes of a session's messages, likewise. 256 KiB.
    pub session_bytes: usize,
    /// Bytes of all sessions; beyond, the one that was used longest ago goes. 64 MiB.
    pub all_sessions_bytes: usize,
    /// For how long a session that nobody uses is kept. 1 h.
    pub session_timeout: Duration,
    /// Bytes of a message to a channel. 1 MiB.
    pub channel_body_bytes: usize,
    /// Messages that are being answered by callback at once. 64.
    pub callbacks: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            gossip_body_bytes: 8 * 1_024 * 1_024,
            body_bytes: 64 * 1_024,
            all_bodies_bytes: 32 * 1_024 * 1_024,
            header_bytes: 16 * 1_024,
            headers: 64,
            concurrent_gossip: 64,
            concurrent_requests: 1_024,
            queued_requests: 512,
            inference_body_bytes: 8 * 1_024 * 1_024,
            inference_answer_bytes: 8 * 1_024 * 1_024,
            inference_first_byte_timeout: Duration::from_secs(240),
            inference_idle_timeout: Duration::from_secs(60),
            node_first_byte_timeout: Duration::from_secs(300),
            node_idle_timeout: Duration::from_secs(120),
            node_answer_timeout: Duration::from_secs(60 * 60),
            connections: 4_096,
            first_byte_timeout: Duration::from_secs(5),
            headers_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            sessions: 4_096,
            session_messages: 100,
            session_bytes: 256 * 1_024,
            all_sessions_bytes: 64 * 1_024 * 1_024,
            session_timeout: Duration::from_secs(3_600),
            channel_body_bytes: 1_024 * 1_024,
            callbacks: 64,
        }
    }
}

/// How a node takes part in a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// The protocol's settings, which go together: [`Config::check`] has passed. Its seeds are left to whoever resolves
    /// those below.
    pub config: Config,
    /// Through whom it joins.
    pub seeds: Vec<Seed>,
    /// Who is asked where the seeds' names lead. Empty: whoever the system asks.
    pub name_servers: Vec<SocketAddr>,
    /// Where others are told to call this node. Unset: to be found out.
    pub advertise: Option<Url>,
    /// The host of an older file's `mesh.bind`, which may serve to find that out. It is not listened on.
    pub bind_host: Option<Host>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The level for all targets that have none of their own. `info` by default.
    pub level: LevelFilter,
    /// The level for a target and what is below it.
    pub targets: Vec<(String, LevelFilter)>,
    /// How a line is written.
    pub format: LogFormat,
}

impl Settings {
    /// Reads and checks everything: the file of `--config`; else the first that is found; else the built-in profile that
    /// `ASTROMESH_ROLE` and `ASTROMESH_MESH_ENABLED` name; then variables; then flags.
    ///
    /// With a file, `ASTROMESH_ROLE` names the role and no more, and `ASTROMESH_MESH_ENABLED` overrides `spec.mesh.enabled`.
    /// With `ASTROMESH_AUTO_CONFIG=false` there must be a file.
    ///
    /// # Errors
    /// The first mistake found, with its place: a line of the file, a variable, or a flag.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let source = Source::find(flags, environment)?;
        let document: Document =
            yaml::read(&source.text).map_err(|fault| source.complaint(fault))?;
        let layers = Layers::of(&source, environment, flags)?;
        let Merged { role, spec, log } = layers.merged()?;

        let api = check::api(&spec, &layers)?;
        let mesh = check::mesh(&spec, &layers)?;
        let peers = check::peers(spec.peers, &layers)?;
        let file_role = document
            .metadata
            .name
            .map(|name| check::plain_role(&name.0));
        let services = check::services(&spec.services);
        let providers = match services.has(Service::Inference) {
            true => providers::providers(spec.providers, &layers, environment)?,
            false => Vec::new(),
        };
        let idle_channels = check::channels_warning(&spec.channels, &services);
        let channels = match services.has(Service::Channels) {
            true => channels::channels(spec.channels, &layers, environment)?,
            false => Channels::default(),
        };
        let role = role.map(|role| role.0);
        let mut warnings = source::idle_variables(environment, mesh.is_some())?;
        warnings.extend(check::role_warning(
            role.as_ref(),
            file_role.as_ref(),
            &source.origin,
        ));
        warnings.extend(check::peers_warning(&peers, mesh.as_ref()));
        warnings.extend(providers::warnings(&providers));
        warnings.extend(idle_channels);
        let traces = traces::endpoint(environment)?;
        warnings.extend(traces::warning(environment, traces.as_ref()));
        Ok(Self {
            warnings,
            role: role.or(file_role).unwrap_or_else(check::custom_role),
            node_name: check::node_name(spec.mesh.node_name)?,
            api,
            services,
            peers: if mesh.is_some() { Vec::new() } else { peers },
            providers,
            defaults: check::defaults(spec.defaults),
            channels,
            limits: check::http_limits(&spec.limits),
            mesh,
            log: check::log_settings(log),
            traces,
            agents_dir: source.agents_dir,
            origin: source.origin,
        })
    }

    /// Reads and checks as [`Settings::load`] does, and gives a `runtime.yaml` in which that is written down: what
    /// variables and flags said stands in it, what nobody said does not. It holds the secrets that the file holds.
    ///
    /// # Errors
    /// Those of [`Settings::load`].
    pub fn as_file(flags: &Flags, environment: &Environment) -> Result<String, ConfigError> {
        Self::load(flags, environment)?;
        let source = Source::find(flags, environment)?;
        Layers::of(&source, environment, flags)?.as_file()
    }
}
