//! This node, as everyone who answers a request sees it: what it was told, what it is doing, and the mesh around it.

use crate::advertise::Advertised;
use crate::affinity::Affinity;
use crate::agents::Agents;
use crate::agents::models::{Awaited, Models};
use crate::answer::header_text;
use crate::bodies::Bodies;
use crate::catalog::Catalog;
use crate::channels::Channels;
use crate::events::Events;
use crate::gate::Gate;
use crate::lookout::Nap;
use crate::metrics::Metrics;
use crate::providers::Providers;
use crate::refusals::Refusals;
use crate::router::Budget;
use crate::seeds::Seeds;
use crate::tally::Tally;
use crate::traces::Traces;
use arc_swap::ArcSwap;
use astromesh_core::http::{Body, Pool, TokioTimer};
use astromesh_core::settings::{Peer, Service, Settings};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request};
use maia::address::{Host, Url};
use maia::driver::Handle;
use maia::id::{Label, NodeId};
use maia::rng::Rng;
use maia::selector::InTurn;
use maia::selector::candidates::{Candidate, Candidates, Standing};
use maia::selector::choices::Choices;
use maia::selector::counter::{Counter, InFlight};
use maia::time;
use maia::view::{Seen, View};
use maia::wire::NODE_ID_HEADER;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, watch};

/// One node, shared by all who work for it.
pub(crate) struct Here {
    /// What it was told.
    pub(crate) settings: Settings,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Since when.
    pub(crate) started: Instant,
    /// Its id, in the mesh or out of it.
    pub(crate) id: NodeId,
    /// Its id as a header's value, and its name, percent-encoded outside visible ASCII.
    pub(crate) id_text: HeaderValue,
    pub(crate) name_text: HeaderValue,
    /// What it can run.
    pub(crate) agents: Agents,
    /// Whose models it serves.
    pub(crate) providers: Providers,
    /// Which models the others serve.
    pub(crate) catalog: Catalog,
    /// The service of those who serve models, as members list it.
    pub(crate) inference: Label,
    /// The mesh, unless it is off.
    pub(crate) mesh: Option<Mesh>,
    /// What it has in flight, to itself and to others.
    pub(crate) in_flight: Arc<InFlight>,
    /// Of these, what it runs itself.
    pub(crate) running: Arc<Counter>,
    /// Connections to places that the operator wrote down: static peers and agents' own servers.
    pub(crate) listed: Pool,
    /// How requests ended.
    pub(crate) tally: Tally,
    /// What is counted for Prometheus.
    pub(crate) metrics: Arc<Metrics>,
    /// The way to the collector of traces, if there is one.
    pub(crate) traces: Option<Arc<Traces>>,
    /// What was turned away at a bound, by the name of the bound.
    pub(crate) turned_away: Arc<Tally>,
    /// Whose refused calls the log has heard of.
    pub(crate) refusals: Refusals,
    /// Open connections.
    pub(crate) connections: AtomicUsize,
    /// Bodies that are being read or answered.
    pub(crate) bodies: Bodies,
    /// Permits for gossip that is being answered.
    pub(crate) gossip: Semaphore,
    /// Held by the one whose table is being looked at: read, it takes a multiple of its bytes.
    pub(crate) table_turn: Semaphore,
    /// Rung when a request begins or ends.
    pub(crate) load_changed: Notify,
    /// Ends when a request is sent to another node.
    pub(crate) nap: Nap,
    /// Rung when an agent turns out to be out of reach.
    pub(crate) offer_changed: Notify,
    /// Held by whoever makes the node leave or return.
    pub(crate) turnstile: tokio::sync::Mutex<()>,
    /// Which sessions ran where.
    pub(crate) affinity: Affinity,
    /// The way in for programs that know nothing of agents.
    pub(crate) channels: Channels,
    /// The static peers, by what they are asked for.
    pub(crate) peers: BTreeMap<Service, Candidates>,
    /// Whose turn it is among them.
    pub(crate) turn: InTurn,
    /// The way in for runs of agents, and for requests for models: an agent that runs may need a model.
    pub(crate) agents_gate: Gate,
    pub(crate) models_gate: Gate,
    /// What may be tried again.
    pub(crate) budget: Budget,
    /// Agents elsewhere that may be run twice, by what their nodes say.
    pub(crate) idempotent: ArcSwap<BTreeSet<Label>>,
    chat: Chat,
    /// When another node last sent a request, since the start.
    chosen_millis: AtomicU64,
    phase: AtomicU8,
    stopping: AtomicBool,
    seed: AtomicU64,
}

/// The way to a model for those whom the router runs. It leads back through the router, which is above them, so whoever
/// makes a node puts it in.
pub(crate) type Chat = fn(Arc<Here>, u32, Request<Body>) -> Awaited;

/// The mesh as requests need it.
pub(crate) struct Mesh {
    /// The way to the task that owns the node.
    pub(crate) handle: Handle,
    /// The clock that the views' moments are on.
    pub(crate) timer: TokioTimer,
    /// The newest view: read without a lock.
    pub(crate) view: Arc<ArcSwap<View>>,
    /// Who can take what, by that view.
    pub(crate) choices: Arc<ArcSwap<Choices>>,
    /// When it was published, which is in every round.
    pub(crate) published: watch::Sender<Instant>,
    /// What happened lately.
    pub(crate) events: Arc<Events>,
    /// Where others reach this node.
    pub(crate) advertised: Advertised,
    /// Through whom it joins.
    pub(crate) seeds: Arc<Seeds>,
    /// Connections to members, which are called only where peers may send us.
    pub(crate) members: Pool,
}

/// What a node does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes them.
    Running,
    /// Still runs those that come, but has asked not to be sent any.
    Draining,
    /// Out of the mesh: takes none.
    Left,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    peer: SocketAddr,
    /// Where they reached us.
    pub(crate) local: SocketAddr,
    /// Their address as a header's value: one for all of their requests.
    pub(crate) forwarded_for: HeaderValue,
}

impl Here {
    /// A node that begins to run.
    pub(crate) fn new(parts: Parts) -> Self {
        let running = parts.in_flight.counter(&parts.id);
        let limits = &parts.settings.limits;
        let turned_away = Arc::new(Tally::default());
        Self {
            address: parts.address,
            started: Instant::now(),
            agents: parts.agents,
            providers: Providers::new(&parts.settings),
            catalog: Catalog::default(),
            inference: Service::Inference.label(),
            chat: parts.chat,
            mesh: parts.mesh,
            running,
            listed: parts.listed,
            tally: Tally::default(),
            metrics: parts.metrics,
            traces: parts.traces,
            bodies: Bodies::new(limits.all_bodies_bytes, Arc::clone(&turned_away)),
            turned_away,
            refusals: Refusals::default(),
            connections: AtomicUsize::new(0),
            gossip: Semaphore::new(limits.concurrent_gossip.min(Semaphore::MAX_PERMITS)),
            table_turn: Semaphore::new(1),
            load_changed: Notify::new(),
            nap: Nap::default(),
            offer_changed: Notify::new(),
            turnstile: tokio::sync::Mutex::new(()),
            affinity: Affinity::default(),
            channels: Channels::new(&parts.settings),
            peers: by_service(&parts.settings.peers, &parts.in_flight),
            turn: InTurn::default(),
            agents_gate: Gate::new(limits.concurrent_requests, limits.queued_requests),
            models_gate: Gate::new(limits.concurrent_requests, limits.queued_requests),
            budget: Budget::default(),
            idempotent: ArcSwap::default(),
            chosen_millis: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Running as u8),
            stopping: AtomicBool::new(false),
            seed: AtomicU64::new(parts.seed),
            id_text: header_text(parts.id.as_str()),
            name_text: header_text(parts.settings.node_name.as_str()),
            settings: parts.settings,
            id: parts.id,
            in_flight: parts.in_flight,
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        self.settings.node_name.as_str()
    }

    /// Where others reach it; without a mesh, where it listens, and on loopback if that is everywhere.
    pub(crate) fn url(&self) -> Url {
        let advertised = self
            .view()
            .and_then(|view| Some(view.me()?.record.card.url.clone()));
        advertised.unwrap_or_else(|| {
            let ip = match self.address.ip() {
                ip if !ip.is_unspecified() => ip,
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            Url::from_parts(Host::Ip(ip), self.address.port())
        })
    }

    /// What it does with requests now.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Running as u8 => Phase::Running,
            phase if phase == Phase::Draining as u8 => Phase::Draining,
            _ => Phase::Left,
        }
    }

    /// From now on.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The mesh as seen now, unless it is off.
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        self.mesh.as_ref().map(|mesh| mesh.view.load_full())
    }

    /// The process is about to end: whoever keeps connections is to have none to it.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Returns once the view is not from before a long sleep: on waking up the node has to look around first, and other
    /// threads may be quicker than the one that it is on.
    pub(crate) async fn settled(&self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let (Some(mesh), Some(settings)) = (&self.mesh, &self.settings.mesh) else {
            return;
        };
        let slept = 2 * settings.config.gossip_interval + Duration::from_secs(1);
        if mesh.published.borrow().elapsed() > slept {
            let mut published = mesh.published.subscribe();
            drop(tokio::time::timeout(PATIENCE, published.changed()).await);
        }
    }

    /// Whether it has this service.
    pub(crate) fn offers(&self, service: Service) -> bool {
        self.settings.services.has(service)
    }

    /// A generator for one decision. No lock: each begins where the one before would have gone on.
    pub(crate) fn rng(&self) -> Rng {
        const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
        Rng::from_seed(self.seed.fetch_add(STRIDE, Ordering::Relaxed))
    }

    /// The other member that a request says it comes from. Anyone can say so.
    pub(crate) fn sender<'a>(&self, view: &'a View, headers: &HeaderMap) -> Option<&'a Seen> {
        let id = node_id(headers)?;
        view.member(&id).filter(|seen| !seen.is_me)
    }

    /// Counts what was turned away at `bound`, which is the name of a limit or says what was wrong, and lets the log know,
    /// unless it has just heard of that peer.
    pub(crate) fn turn_away(&self, peer: IpAddr, bound: &'static str) {
        self.turned_away.count(bound);
        match bound {
            "unreadable" => self.complain_of(peer, "sent what is no HTTP request"),
            _ => self.complain_of(peer, &format!("reached the bound of limits.{bound}")),
        }
    }

    /// Lets the log know of trouble with callers that is not about one of them, once in a while.
    pub(crate) fn complain(&self, trouble: &str) {
        if self
            .refusals
            .is_news(Ipv4Addr::UNSPECIFIED.into(), Instant::now())
        {
            log::warn!("{trouble}");
        }
    }

    /// Lets the log know what a peer did, unless it has just heard of that peer.
    pub(crate) fn complain_of(&self, peer: IpAddr, what: &str) {
        if self.refusals.is_news(peer, Instant::now()) {
            log::warn!("{peer} {what}; what else is refused to it is only counted for a while");
        }
    }

    /// Takes note that another node has just sent a request.
    pub(crate) fn was_chosen(&self) {
        self.chosen_millis
            .store(self.uptime_millis(), Ordering::Relaxed);
    }

    /// The moment on this node's own clock.
    pub(crate) fn now(&self) -> time::Instant {
        time::Instant::after_start(self.started.elapsed())
    }

    fn uptime_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns once nothing is in flight and no other node has sent anything for `quiet`, or `patience` has run out.
    pub(crate) async fn finish(&self, quiet: Duration, patience: Duration) {
        let began = Instant::now();
        let is_quiet = || {
            let chosen = Duration::from_millis(self.chosen_millis.load(Ordering::Relaxed));
            began.elapsed() >= quiet && self.started.elapsed().saturating_sub(chosen) >= quiet
        };
        let idle = async {
            while self.in_flight.total() > 0 || self.channels.are_busy() || !is_quiet() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(patience, idle).await.is_err() {
            let left = self.in_flight.total();
            log::warn!("{left} requests did not finish within {patience:?}");
        }
    }
}

impl Models for Here {
    /// Wherever in the mesh it is: see [`chat`](crate::inference::chat).
    fn chat(self: Arc<Self>, hops: u32, request: Request<Body>) -> Awaited {
        (self.chat)(self, hops, request)
    }
}

/// What a [`Here`] is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) address: SocketAddr,
    pub(crate) id: NodeId,
    pub(crate) agents: Agents,
    pub(crate) mesh: Option<Mesh>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Option<Arc<Traces>>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) listed: Pool,
    pub(crate) seed: u64,
    pub(crate) chat: Chat,
}

impl Visitor {
    /// The one who is at `peer` and reached us at `local`.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let address = peer.ip().to_canonical().to_string();
        Self {
            peer,
            local,
            forwarded_for: HeaderValue::from_str(&address).expect("an address is visible ASCII"),
        }
    }

    /// Whether they are on this very machine: on loopback, or at the address that they reached.
    pub(crate) fn is_on_this_host(&self) -> bool {
        let peer = self.address();
        peer.is_loopback() || peer == self.local.ip().to_canonical()
    }

    /// Their address, an IPv4 one as such.
    pub(crate) fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

/// The static peers that have each service. They have no ids of their own, so they are counted under their number.
fn by_service(peers: &[Peer], in_flight: &InFlight) -> BTreeMap<Service, Candidates> {
    let candidate = |(number, peer): (usize, &Peer)| {
        let id = NodeId::new(&format!("static-peer-{number}")).expect("it is short and plain");
        Candidate {
            counter: in_flight.counter(&id),
            id,
            name: peer.name.clone(),
            url: peer.url.clone(),
            standing: Standing::Alive,
            is_me: false,
        }
    };
    let with = |service: Service| {
        let peers = peers.iter().enumerate();
        let peers = peers.filter(|(_, peer)| peer.services.has(service));
        (service, Candidates::new(peers.map(candidate).collect()))
    };
    Service::ALL.into_iter().map(with).collect()
}

/// The id in the header by which nodes say who they are, if it is one.
pub(crate) fn node_id(headers: &HeaderMap) -> Option<NodeId> {
    let text = headers.get(NODE_ID_HEADER)?.to_str().ok()?;
    NodeId::new(text).ok()
}
