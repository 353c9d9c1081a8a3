//! A node as a value: start it, ask where it is, stop it.

use crate::advertise::Advertised;
use crate::agents::Agents;
use crate::events::Events;
use crate::here::{Here, Mesh, Parts, Phase};
use crate::identity::identity;
use crate::metrics::Metrics;
use crate::refusals::Told;
use crate::seeds::{self, Seeds};
use crate::server::{self, Workers};
use crate::traces::{self, Traces};
use crate::{inference, leave, load, lookout, moved, offer};
use arc_swap::ArcSwap;
use astromesh_core::api::Withheld;
use astromesh_core::error::ConfigError;
use astromesh_core::http::{HttpTransport, Observer, Pool, PoolSettings, Reach, TokioTimer};
use astromesh_core::settings::{self, Settings};
use maia::address::Url;
use maia::config::Config;
use maia::driver::{Driver, Timer};
use maia::error::Invalid;
use maia::event::Event;
use maia::id::NodeId;
use maia::node::{Identity, Node};
use maia::rng::Rng;
use maia::selector::choices::Choices;
use maia::selector::counter::InFlight;
use maia::view::View;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

/// How long connections are still read after the others know that this node is gone: nobody who kept one is cut off in the
/// middle of a request.
const LINGER: Duration = Duration::from_secs(1);

/// How long connecting to a member may take before another is tried.
const CONNECT: Duration = Duration::from_millis(500);

/// A running node. Dropping it stops everything at once, as [`Daemon::kill`] does.
pub struct Daemon {
    pub(crate) here: Arc<Here>,
    tasks: JoinSet<()>,
    serving: JoinSet<()>,
    closing: watch::Sender<bool>,
}

/// Why a node did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the port, or it may not be had.
    #[error(
        "cannot listen on {address}; another program may have the port: stop it, or set spec.api.port or --port"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no more threads.
    #[error("cannot start the threads that serve requests; spec.api.threads says how many")]
    Threads(#[source] io::Error),
    /// An agent file cannot be used.
    #[error("cannot use the agents")]
    Agents(#[from] ConfigError),
    /// What this node would say of itself cannot be said in a mesh.
    #[error("cannot take part in a mesh")]
    Node(#[from] Invalid),
}

impl StartError {
    /// Whether the configuration is at fault, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, Self::Listen { .. } | Self::Threads(_))
    }
}

impl Daemon {
    /// Starts a node; returns once it listens. With port 0 it takes one that is free.
    ///
    /// # Errors
    /// Where it cannot listen, or the agents or the node's own word cannot be used.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (agents, folder) = Agents::load(&settings)?;
        let listed = Pool::new(PoolSettings::new(Reach::Anywhere));
        // What is offered from the first moment on is there.
        agents.all().look_after(&listed).await;
        for Withheld { name, reason } in agents.withheld() {
            log::warn!("agent {name} is not offered: {reason}");
        }
        let address = SocketAddr::new(settings.api.host, settings.api.port);
        let listening = |source| StartError::Listen { address, source };
        let listener = server::listen(address).map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let workers = Workers::start(settings.api.threads).map_err(StartError::Threads)?;

        let uuid = Uuid::new_v4();
        let id = NodeId::new(&uuid.to_string())?;
        let (seed, node_seed) = uuid.as_u64_pair();
        let in_flight = Arc::new(InFlight::default());
        let metrics = Arc::new(Metrics::default());
        metrics.loaded(true);
        let mut tasks = JoinSet::new();
        let mesh = match &settings.mesh {
            Some(mesh) => {
                let seeds = Arc::new(Seeds::find(mesh, id.clone()).await);
                let advertised = Advertised::find(&settings, mesh, &seeds.places(), address).await;
                let identity = identity(&settings, agents.names(), &id, &advertised.url)?;
                let rng = Rng::from_seed(node_seed);
                let shared = Shared {
                    in_flight: Arc::clone(&in_flight),
                    metrics: Arc::clone(&metrics),
                };
                Some(drive(
                    mesh, identity, seeds, advertised, rng, shared, &mut tasks,
                )?)
            }
            None => None,
        };
        let teller = traces::Node {
            name: settings.node_name.to_string(),
            id: id.to_string(),
            role: settings.role.to_string(),
        };
        let traces = Traces::to_collector(&settings, teller).map(|(traces, carrier)| {
            tasks.spawn(carrier);
            Arc::new(traces)
        });
        let here = Arc::new(Here::new(Parts {
            settings,
            address,
            id,
            agents,
            mesh,
            metrics,
            traces,
            in_flight,
            listed,
            seed,
            chat: |here, hops, request| Box::pin(inference::chat(here, hops, request)),
        }));
        tasks.spawn(offer::look_after(Arc::clone(&here)));
        if let Some(folder) = folder {
            tasks.spawn(offer::keep_up(Arc::clone(&here), folder));
        }
        tasks.spawn(load::keep_telling(Arc::clone(&here)));
        tasks.spawn(lookout::keep_looking(Arc::clone(&here)));
        tasks.spawn(moved::keep_true(Arc::clone(&here)));
        let (closing, closes) = watch::channel(false);
        let mut serving = JoinSet::new();
        serving.spawn(server::run(listener, Arc::clone(&here), workers, closes));
        Ok(Self {
            here,
            tasks,
            serving,
            closing,
        })
    }

    /// Where others reach it; without a mesh, where it listens, on loopback if that is everywhere.
    pub fn url(&self) -> Url {
        self.here.url()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.here.address
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        self.here.name()
    }

    /// Its id, a fresh one for each start.
    pub fn id(&self) -> &NodeId {
        &self.here.id
    }

    /// The mesh as it sees it; `None` where the mesh is off.
    pub fn view(&self) -> Option<Arc<View>> {
        self.here.view()
    }

    /// The requests that it is running or has passed on and not finished.
    pub fn in_flight(&self) -> u32 {
        self.here.in_flight.total()
    }

    /// Stops in good order: it is told that no more is taken, what is in flight finishes, the mesh hears a goodbye, and
    /// then the listener closes. Takes at most 25 s; what has not finished by then is cut off.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + leave::GRACE;
        self.here.stop();
        if self.here.phase() != Phase::Left {
            self.hand_over(deadline).await;
        }
        if let Some(mesh) = &self.here.mesh {
            mesh.events.close();
        }
        let lingering = Instant::now() + LINGER;
        while self.here.connections.load(Ordering::Relaxed) > 0
            && Instant::now() < lingering.min(deadline)
        {
            sleep(Duration::from_millis(10)).await;
        }
        self.closing.send_replace(true);
        let served = timeout_at(
            deadline.max(Instant::now() + LINGER),
            self.serving.join_next(),
        )
        .await;
        if served.is_err() {
            let open = self.here.connections.load(Ordering::Relaxed);
            log::warn!("{open} connections are cut off: they did not end in time");
        }
        if let Some(traces) = &self.here.traces {
            traces.flush().await;
        }
        self.kill().await;
    }

    /// Finishes what is in flight and leaves the mesh.
    async fn hand_over(&self, deadline: Instant) {
        // What follows needs a little of the time as well.
        let grace = deadline
            .saturating_duration_since(Instant::now())
            .mul_f64(0.8);
        self.here.enter(Phase::Draining);
        let handing_over = async {
            if self.here.mesh.is_some() {
                // Told to nobody where the driver is gone; then there is nothing to leave.
                drop(leave::leave(&self.here, grace).await);
            } else {
                self.here.finish(Duration::ZERO, grace).await;
            }
        };
        if timeout_at(deadline, handing_over).await.is_err() {
            log::warn!("the mesh could not be told in time that this node leaves");
        }
    }

    /// Stops everything at once and says nothing to anybody, as if the process had been killed.
    pub async fn kill(mut self) {
        self.serving.shutdown().await;
        self.tasks.shutdown().await;
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("name", &self.name())
            .field("address", &self.here.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Daemon {
    /// A gateway for a test: in a mesh of its own, on a free port of this machine.
    pub(crate) async fn alone() -> Self {
        Self::in_role("gateway", "").await
    }

    /// The same in any role, with these seeds.
    pub(crate) async fn in_role(role: &str, seeds: &str) -> Self {
        let environment = settings::Environment::empty()
            .with("ASTROMESH_ROLE", role)
            .with("ASTROMESH_NODE_NAME", role)
            .with("ASTROMESH_SEEDS", seeds)
            .with("ASTROMESH_MESH_ENABLED", "true");
        let settings = Settings::load(&settings::Flags::default(), &environment);
        let mut settings = settings.expect("a profile of ours");
        (settings.api.host, settings.api.port) = (std::net::Ipv4Addr::LOCALHOST.into(), 0);
        Self::start(settings).await.expect("it starts")
    }

    pub(crate) fn here(&self) -> &Arc<Here> {
        &self.here
    }
}

/// What the task that owns the node shares with those who answer requests.
struct Shared {
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
}

/// Makes the node and the task that owns it.
fn drive(
    mesh: &settings::Mesh,
    identity: Identity,
    seeds: Arc<Seeds>,
    advertised: Advertised,
    rng: Rng,
    Shared { in_flight, metrics }: Shared,
    tasks: &mut JoinSet<()>,
) -> Result<Mesh, Invalid> {
    let timer = TokioTimer::start();
    let events = Arc::new(Events::new(&identity.id));
    let node = Node::new(
        Config {
            seeds: seeds.places(),
            seeds_follow: seeds.may_change(),
            ..mesh.config.clone()
        },
        identity,
        timer.now(),
        timer.wall(),
        rng,
    )?;
    let on_loopback = Arc::clone(&advertised.on_loopback);
    let transport = HttpTransport::new(seeds.places(), Arc::clone(&on_loopback));
    let transport = transport.observed_by(Arc::clone(&metrics) as Arc<dyn Observer>);
    let view = Arc::new(ArcSwap::new(node.view()));
    let (driver, handle) = Driver::new(node, transport.clone(), timer);
    let round = mesh.config.gossip_interval;
    tasks.spawn(seeds::keep_up(
        Arc::clone(&seeds),
        round,
        transport,
        handle.clone(),
    ));
    let choices = Choices::of(&view.load(), &in_flight, &Choices::default());
    let choices = Arc::new(ArcSwap::from_pointee(choices));
    let published = watch::Sender::new(std::time::Instant::now());
    let publishing = published.clone();
    let (newest, reports) = (Arc::clone(&view), in_flight);
    let chosen_from = Arc::clone(&choices);
    let (before, noted) = (Arc::clone(&view), Arc::clone(&events));
    let driver = driver.on_event(move |event| {
        report(&event);
        metrics.happened(noted.note(&event, &before.load()));
    });
    let mut told = Told::default();
    let driver = driver.on_view(move |view| {
        if let Some(news) = told.news(view.counters, std::time::Instant::now()) {
            log::warn!(target: "astromeshd::mesh", "{news}");
        }
        let next = Choices::of(&view, &reports, &chosen_from.load());
        chosen_from.store(Arc::new(next));
        newest.store(view);
        publishing.send_replace(std::time::Instant::now());
    });
    tasks.spawn(driver.run());
    Ok(Mesh {
        handle,
        timer,
        view,
        choices,
        published,
        events,
        advertised,
        seeds,
        members: Pool::new(PoolSettings {
            connect_timeout: CONNECT,
            ..PoolSettings::new(Reach::Peers { on_loopback })
        }),
    })
}

/// Writes an event to the log, as loud as it is of interest.
fn report(event: &Event) {
    let level = match event {
        Event::Suspected { .. }
        | Event::Died { .. }
        | Event::SeedFailed { .. }
        | Event::Conflict { .. } => log::Level::Warn,
        _ => log::Level::Info,
    };
    log::log!(target: "astromeshd::mesh", level, "{event}");
}
