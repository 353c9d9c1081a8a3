//! foca's nodes on a heap of things to come: its own state machine, its own codec, its settings for a local network.

use crate::measure::{Mesh, Verdict, What};
use crate::network::{Network, Queue};
use foca::{Config, Foca, NoCustomBroadcast, Notification, PostcardCodec, Runtime, Timer};
use maia::rng::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::time::Duration;

/// Who a node is: where it is, and which of its lives this is, so that it can come back when it was taken for dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    address: SocketAddrV4,
    life: u16,
}

type Node = Foca<Id, PostcardCodec, SmallRng, NoCustomBroadcast>;

pub(crate) struct WithFoca {
    nodes: Vec<Option<Node>>,
    world: World,
    config: Config,
    seed: u64,
}

/// All but the nodes.
struct World {
    now: Duration,
    queue: Queue<Happening>,
    network: Network,
    bytes: u64,
    verdicts: Vec<Verdict>,
}

enum Happening {
    Arrives { at: usize, data: Vec<u8> },
    Due { at: usize, timer: Timer<Id> },
}

/// What one node does to the world.
struct Hands<'a> {
    world: &'a mut World,
    place: usize,
}

impl Id {
    fn first(place: usize) -> Self {
        let [.., high, low] = place.to_be_bytes();
        Self {
            address: SocketAddrV4::new(Ipv4Addr::new(10, 0, high, low), 8_000),
            life: 0,
        }
    }

    fn place(&self) -> usize {
        let [.., high, low] = self.address.ip().octets();
        usize::from(u16::from_be_bytes([high, low]))
    }
}

impl foca::Identity for Id {
    type Addr = SocketAddrV4;

    fn renew(&self) -> Option<Self> {
        let life = self.life.wrapping_add(1);
        Some(Self {
            life,
            ..self.clone()
        })
    }

    fn addr(&self) -> Self::Addr {
        self.address
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.life > adversary.life
    }
}

impl Runtime<Id> for Hands<'_> {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        let (of, what) = match notification {
            Notification::MemberDown(id) => (id.place(), What::Dead),
            Notification::Rejoin(id) => (id.place(), What::Rejoin),
            _ => return,
        };
        let at = self.world.now;
        self.world.verdicts.push(Verdict { at, of, what });
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        self.world.bytes += data.len() as u64;
        let at = to.place();
        if let Some(delay) = self.world.network.delay(self.place, at) {
            let data = data.to_vec();
            let when = self.world.now + delay;
            self.world.queue.plan(when, Happening::Arrives { at, data });
        }
    }

    fn submit_after(&mut self, timer: Timer<Id>, after: Duration) {
        let at = self.place;
        let when = self.world.now + after;
        self.world.queue.plan(when, Happening::Due { at, timer });
    }
}

impl WithFoca {
    pub(crate) fn new(nodes: usize, seed: u64) -> Self {
        let size = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
        Self {
            nodes: (0..nodes).map(|_| None).collect(),
            world: World {
                now: Duration::ZERO,
                queue: Queue::new(),
                network: Network::new(seed),
                bytes: 0,
                verdicts: Vec::new(),
            },
            config: Config::new_lan(size.expect("a mesh has a node")),
            seed,
        }
    }

    /// What a node refuses, it has dropped: there is nobody to tell.
    fn happen(&mut self, what: Happening) {
        let (Happening::Arrives { at, .. } | Happening::Due { at, .. }) = what;
        let world = &mut self.world;
        let hands = Hands { world, place: at };
        let Some(node) = &mut self.nodes[at] else {
            return;
        };
        _ = match what {
            Happening::Arrives { data, .. } => node.handle_data(&data, hands),
            Happening::Due { timer, .. } => node.handle_timer(timer, hands),
        };
    }
}

impl Mesh for WithFoca {
    fn now(&self) -> Duration {
        self.world.now
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.world.now + time;
        while let Some((at, what)) = self.world.queue.next(end) {
            self.world.now = at;
            self.happen(what);
        }
        self.world.now = end;
    }

    fn start(&mut self, node: usize) {
        let rng = SmallRng::seed_from_u64(self.seed ^ (node as u64 + 1));
        let mut made = Foca::new(Id::first(node), self.config.clone(), rng, PostcardCodec);
        if node > 0 {
            let world = &mut self.world;
            let hands = Hands { world, place: node };
            made.announce(Id::first(0), hands)
                .expect("an announcement fits into a packet");
        }
        self.nodes[node] = Some(made);
    }

    fn crash(&mut self, node: usize) -> Duration {
        self.nodes[node] = None;
        self.world.now
    }

    fn is_whole(&self) -> bool {
        let others = self.nodes.iter().flatten().count() - 1;
        let runs = |id: &Id| self.nodes[id.place()].is_some();
        let sees_all = |node: &Node| {
            let mut members = node.iter_members();
            node.num_members() == others && members.all(|member| runs(member.id()))
        };
        self.nodes.iter().flatten().all(sees_all)
    }

    fn bytes(&self) -> u64 {
        self.world.bytes
    }

    fn move_load(&mut self, _: usize, _: &mut Rng) -> bool {
        false
    }

    fn lose(&mut self, part: f64) {
        self.world.network.loss = part;
    }

    fn cut(&mut self, before: Option<usize>) {
        self.world.network.cut = before;
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.world.verdicts)
    }
}
