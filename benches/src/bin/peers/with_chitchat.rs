//! chitchat's nodes on tokio's paused clock, which goes no further than whole milliseconds: delays are rounded up to them.
//!
//! Its randomness comes from the system, so no two runs are the same. It tells nobody when it takes a node for dead; so
//! each node is asked twice in each of its rounds.

use crate::measure::{Mesh, Verdict, What};
use crate::network::Network;
use anyhow::Context;
use chitchat::transport::{ChannelTransport, RecvOutcome, SendOutcome, Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatEnvelope, ChitchatHandle, ChitchatId, FailureDetectorConfig,
    ProtocolVersion, spawn_chitchat,
};
use maia::rng::Rng;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

/// chitchat's own default.
const ROUND: Duration = Duration::from_secs(1);

/// As much as a datagram holds.
const MOST_BYTES: usize = 65_507;

pub(crate) struct WithChitchat {
    runtime: Runtime,
    handles: Vec<Option<ChitchatHandle>>,
    /// Whom each node held for alive when it was asked last.
    alive: Vec<Vec<bool>>,
    air: Air,
    began: Instant,
    now: Duration,
    verdicts: Vec<Verdict>,
}

/// The imagined network, as all sockets share it.
#[derive(Clone)]
struct Air(Arc<Mutex<Between>>);

struct Between {
    network: Network,
    bytes: u64,
    inboxes: BTreeMap<SocketAddr, UnboundedSender<RecvOutcome>>,
}

struct Wire {
    address: SocketAddr,
    air: Air,
    inbox: UnboundedReceiver<RecvOutcome>,
    scales: Scales,
}

/// chitchat's own way to write a message and to read it again, which only its in-process transport offers.
struct Scales {
    near: Box<dyn Socket>,
    far: Box<dyn Socket>,
}

fn address(place: usize) -> SocketAddr {
    let [.., high, low] = place.to_be_bytes();
    (Ipv4Addr::new(10, 0, high, low), 8_000).into()
}

fn place(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(address) => {
            let [.., high, low] = address.ip().octets();
            usize::from(u16::from_be_bytes([high, low]))
        }
        SocketAddr::V6(_) => unreachable!("all addresses here are of the fourth version"),
    }
}

impl Scales {
    async fn new() -> anyhow::Result<Self> {
        let own = ChannelTransport::default();
        Ok(Self {
            near: own.open(address(0)).await?,
            far: own.open(address(1)).await?,
        })
    }

    async fn weighed(&mut self, envelope: ChitchatEnvelope) -> anyhow::Result<RecvOutcome> {
        self.near.send(address(1), envelope).await?;
        self.far.recv().await
    }
}

impl Air {
    fn between(&self) -> MutexGuard<'_, Between> {
        self.0.lock().expect("nobody panics with it in hand")
    }

    /// The way to `to`, and how long it takes; `None` for a message that is lost.
    fn way(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: usize,
    ) -> Option<(Duration, UnboundedSender<RecvOutcome>)> {
        let mut between = self.between();
        between.bytes += bytes as u64;
        let delay = between.network.delay(place(from), place(to))?;
        let inbox = between.inboxes.get(&to)?.clone();
        (bytes <= MOST_BYTES).then_some((delay, inbox))
    }
}

#[async_trait::async_trait]
impl Transport for Air {
    async fn open(&self, address: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let (sender, inbox) = unbounded_channel();
        self.between().inboxes.insert(address, sender);
        Ok(Box::new(Wire {
            address,
            air: self.clone(),
            inbox,
            scales: Scales::new().await?,
        }))
    }
}

#[async_trait::async_trait]
impl Socket for Wire {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.address)
    }

    async fn send(
        &mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> anyhow::Result<SendOutcome> {
        let mut message = self.scales.weighed(envelope).await?;
        message.from_addr = self.address;
        let num_bytes_sent = message.num_bytes_received;
        if let Some((delay, inbox)) = self.air.way(self.address, to, num_bytes_sent) {
            tokio::spawn(async move {
                sleep(delay).await;
                // Whoever is gone gets nothing.
                _ = inbox.send(message);
            });
        }
        Ok(SendOutcome { num_bytes_sent })
    }

    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        self.inbox.recv().await.context("the network is gone")
    }
}

impl WithChitchat {
    pub(crate) fn new(nodes: usize, seed: u64) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let between = Between {
            network: Network::new(seed),
            bytes: 0,
            inboxes: BTreeMap::new(),
        };
        let began = runtime.block_on(async { Instant::now() });
        Ok(Self {
            runtime,
            began,
            handles: (0..nodes).map(|_| None).collect(),
            alive: vec![vec![false; nodes]; nodes],
            air: Air(Arc::new(Mutex::new(between))),
            now: Duration::ZERO,
            verdicts: Vec::new(),
        })
    }

    /// Asks every node whom it holds for alive.
    fn ask_all(&mut self) {
        for (by, handle) in self.handles.iter().enumerate() {
            let Some(handle) = handle else { continue };
            let mut alive = vec![false; self.handles.len()];
            let chitchat = handle.chitchat();
            let chitchat = self.runtime.block_on(chitchat.lock());
            for id in chitchat.live_nodes() {
                alive[place(id.gossip_advertise_addr)] = true;
            }
            let before = std::mem::replace(&mut self.alive[by], alive);
            let lost = |of: &usize| before[*of] && !self.alive[by][*of];
            let (at, what) = (self.now, What::Dead);
            let lost = (0..self.handles.len()).filter(lost);
            self.verdicts
                .extend(lost.map(|of| Verdict { at, of, what }));
        }
    }
}

fn config(node: usize) -> ChitchatConfig {
    let address = address(node);
    ChitchatConfig {
        chitchat_id: ChitchatId::new(format!("n{node:05}"), 0, address),
        cluster_id: "peers".to_owned(),
        gossip_interval: ROUND,
        listen_addr: address,
        seed_nodes: vec![self::address(0).to_string()],
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(3_600),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: ProtocolVersion::V1,
    }
}

impl Mesh for WithChitchat {
    fn now(&self) -> Duration {
        self.now
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let step = (end - self.now).min(ROUND / 2);
            self.now = self.runtime.block_on(async {
                sleep(step).await;
                self.began.elapsed()
            });
            self.ask_all();
        }
    }

    fn start(&mut self, node: usize) {
        let words = [
            ("services", "agents"),
            ("agents", "echo"),
            ("load", "0 0 0"),
        ];
        let words = words.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let started = spawn_chitchat(config(node), words.to_vec(), &self.air);
        let started = self.runtime.block_on(started);
        self.handles[node] = Some(started.expect("nothing that can fail is asked of the system"));
    }

    fn crash(&mut self, node: usize) -> Duration {
        if let Some(handle) = self.handles[node].take() {
            handle.abort();
        }
        self.now
    }

    fn is_whole(&self) -> bool {
        let runs: Vec<bool> = self.handles.iter().map(Option::is_some).collect();
        let mut observers = self.alive.iter().zip(&runs).filter(|(_, runs)| **runs);
        observers.all(|(alive, _)| *alive == runs)
    }

    fn bytes(&self) -> u64 {
        self.air.between().bytes
    }

    fn move_load(&mut self, node: usize, rng: &mut Rng) -> bool {
        let [cpu, memory, requests] = [101, 101, 100].map(|end| rng.below(end));
        if let Some(handle) = &self.handles[node] {
            let chitchat = handle.chitchat();
            let mut chitchat = self.runtime.block_on(chitchat.lock());
            chitchat
                .self_node_state()
                .set("load", format!("{cpu} {memory} {requests}"));
        }
        true
    }

    fn lose(&mut self, part: f64) {
        self.air.between().network.loss = part;
    }

    fn cut(&mut self, before: Option<usize>) {
        self.air.between().network.cut = before;
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }
}
