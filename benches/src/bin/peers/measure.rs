//! What is done to every mesh, whoever made its nodes, and what is noted of it.

use crate::machine;
use crate::peer::Peer;
use maia::rng::Rng;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How often one looks whether a mesh is whole.
const GLANCE: Duration = Duration::from_millis(100);

/// A row that takes longer says how far it is.
const LONG: Duration = Duration::from_secs(20);

/// Nodes of one make in the imagined network. Node 0 is whom the others join through.
pub(crate) trait Mesh {
    /// Virtual time.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn run_for(&mut self, time: Duration);
    fn start(&mut self, node: usize);
    /// Kills a node. Says when it gave its last sign of life, where that can be told; else this is now.
    fn crash(&mut self, node: usize) -> Duration;
    /// Whether every node that runs holds every other that runs for a member, and nobody else.
    fn is_whole(&self) -> bool;
    /// Begins or ends to count bytes, where that takes time.
    fn weigh(&mut self, _is_wanted: bool) {}
    /// Bytes that all nodes together sent while they were counted.
    fn bytes(&self) -> u64;
    /// Gives a node another load; false where nodes tell no load.
    fn move_load(&mut self, node: usize, rng: &mut Rng) -> bool;
    fn lose(&mut self, part: f64);
    /// Cuts the mesh in two before this node, or mends it.
    fn cut(&mut self, before: Option<usize>);
    /// What nodes made of each other since this was asked last.
    fn verdicts(&mut self) -> Vec<Verdict>;
}

/// What one node makes of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) at: Duration,
    pub(crate) of: usize,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Suspect,
    Dead,
    /// A node learned that it is taken for dead, and joined anew.
    Rejoin,
}

/// For how long each thing is done, in seconds of virtual time. Zero leaves it out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// At most this until all see all.
    pub(crate) join: u64,
    /// From the last start until counting begins, unless joining takes longer.
    pub(crate) settle: u64,
    pub(crate) count: u64,
    pub(crate) crash: u64,
    pub(crate) loss: u64,
    /// At 30 % loss.
    pub(crate) heavy_loss: u64,
    pub(crate) cut: u64,
    /// At most this until all see all again.
    pub(crate) heal: u64,
}

/// What was measured of one mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) nodes: usize,
    pub(crate) plan: Plan,
    /// Seconds from the last start until all saw all.
    pub(crate) join: Option<f64>,
    /// Bytes a node sent a second.
    pub(crate) idle: f64,
    /// The same, while every tenth load moved every five seconds.
    pub(crate) moving: Option<f64>,
    pub(crate) crash: Known,
    pub(crate) crash_at_loss: Option<Known>,
    pub(crate) loss: Option<Wrong>,
    pub(crate) heavy_loss: Option<Wrong>,
    /// Seconds until a cut was healed; none within the plan's time.
    pub(crate) healed: Option<f64>,
    /// Microseconds of processor a node took each second of the idle time, with its share of the simulator.
    pub(crate) cpu_micros: Option<f64>,
    /// Bytes of memory for each observer and subject, with their share of the simulator.
    pub(crate) pair_bytes: Option<f64>,
    /// Seconds that measuring took.
    pub(crate) took: f64,
}

/// How a crash became known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Seconds until the first and the last other node called it dead.
    pub(crate) spread: Option<(f64, f64)>,
    /// How many did, and how many should have.
    pub(crate) by: usize,
    pub(crate) of: usize,
}

/// What was said wrongly of nodes that ran all the time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Wrong {
    pub(crate) suspicions: usize,
    pub(crate) deaths: usize,
    pub(crate) rejoins: usize,
    pub(crate) node_seconds: u64,
}

struct Trial<'a> {
    mesh: &'a mut dyn Mesh,
    name: String,
    nodes: usize,
    crashed: Vec<usize>,
    rng: Rng,
}

/// Does everything in `plan` to `nodes` nodes of this mesh.
pub(crate) fn measure(peer: Peer, mesh: &mut dyn Mesh, nodes: usize, plan: Plan, seed: u64) -> Row {
    let began = Instant::now();
    let memory = machine::resident_bytes();
    let rng = Rng::from_seed(seed ^ 0xc057);
    let crashed = Vec::new();
    let mut trial = Trial {
        mesh,
        name: format!("{}:{nodes}", peer.name()),
        nodes,
        crashed,
        rng,
    };
    let join = trial.join(plan);
    trial.tell("joined", began);
    let (idle, cpu_micros) = trial.idle(plan.count);
    let pair_bytes = grown(memory, machine::resident_bytes(), nodes);
    let moving = trial.moving(plan.count);
    trial.tell("weighed", began);
    let crash = trial.crash(1, plan.crash);
    let loss = trial.lossy(0.05, plan.loss);
    let crash_at_loss = loss.map(|_| trial.crash(2, plan.crash));
    let heavy_loss = trial.lossy(0.30, plan.heavy_loss);
    trial.tell("seen through crashes and losses", began);
    let healed = trial.halves(plan);
    Row {
        peer,
        nodes,
        plan,
        join,
        idle,
        moving,
        crash,
        crash_at_loss,
        loss,
        heavy_loss,
        healed,
        cpu_micros,
        pair_bytes,
        took: began.elapsed().as_secs_f64(),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What memory grew by, for each pair. In a small mesh the simulator is most of it, so it is not told.
fn grown(before: Option<u64>, after: Option<u64>, nodes: usize) -> Option<f64> {
    let grown = after?.saturating_sub(before?) as f64;
    (nodes >= 1_000).then(|| grown / (nodes * nodes) as f64)
}

impl Trial<'_> {
    /// How far it is, beside the table: a row may take minutes.
    fn tell(&self, how_far: &str, began: Instant) {
        let took = began.elapsed();
        if took >= LONG {
            eprintln!("{}: {how_far}, {:.0} s", self.name, took.as_secs_f64());
        }
    }

    /// Starts all nodes within a second, and waits until all see all.
    fn join(&mut self, plan: Plan) -> Option<f64> {
        self.mesh.start(0);
        let pause = Duration::from_secs_f64(1.0 / self.nodes as f64);
        for node in 1..self.nodes {
            self.mesh.run_for(pause.mul_f64(2.0 * self.rng.fraction()));
            self.mesh.start(node);
        }
        let start = self.mesh.now();
        let whole = self.until_whole(seconds(plan.join));
        let settled = start + seconds(plan.settle);
        self.mesh.run_for(settled.saturating_sub(self.mesh.now()));
        whole
    }

    fn until_whole(&mut self, most: Duration) -> Option<f64> {
        let start = self.mesh.now();
        while !self.mesh.is_whole() {
            if self.mesh.now() - start >= most {
                return None;
            }
            self.mesh.run_for(GLANCE);
        }
        Some((self.mesh.now() - start).as_secs_f64())
    }

    fn running(&self) -> usize {
        self.nodes - self.crashed.len()
    }

    /// Bytes and microseconds of processor a node takes each second.
    fn idle(&mut self, count: u64) -> (f64, Option<f64>) {
        let node_seconds = self.nodes as f64 * count as f64;
        let before = machine::cpu_time();
        let bytes = self.weighed(count, |_, _| {});
        let used = machine::cpu_time()
            .zip(before)
            .map(|(now, before)| now - before);
        (
            bytes,
            used.map(|used| used.as_secs_f64() * 1e6 / node_seconds),
        )
    }

    fn moving(&mut self, count: u64) -> Option<f64> {
        let mut tells_load = true;
        let bytes = self.weighed(count, |trial, second| {
            if second % 5 == 0 {
                tells_load &= trial.move_loads();
            }
        });
        tells_load.then_some(bytes)
    }

    /// Bytes a node sends a second, while `each_second` is done.
    fn weighed(&mut self, count: u64, mut each_second: impl FnMut(&mut Self, u64)) -> f64 {
        self.mesh.weigh(true);
        let before = self.mesh.bytes();
        for second in 0..count {
            each_second(self, second);
            self.mesh.run_for(seconds(1));
        }
        self.mesh.weigh(false);
        let bytes = (self.mesh.bytes() - before) as f64;
        bytes / self.running() as f64 / count as f64
    }

    /// Every tenth node has another load.
    fn move_loads(&mut self) -> bool {
        let some = self
            .rng
            .sample((0..self.nodes).collect(), self.nodes.div_ceil(10));
        some.into_iter()
            .all(|node| self.mesh.move_load(node, &mut self.rng))
    }

    /// How soon the others know that `node` crashed.
    fn crash(&mut self, node: usize, time: u64) -> Known {
        let since = self.mesh.crash(node);
        self.crashed.push(node);
        self.mesh.verdicts();
        self.mesh.run_for(seconds(time));
        let said = self.mesh.verdicts();
        let died = said
            .iter()
            .filter(|verdict| verdict.of == node && verdict.what == What::Dead);
        let after: Vec<f64> = died
            .map(|verdict| verdict.at.saturating_sub(since).as_secs_f64())
            .collect();
        let first = after.iter().copied().reduce(f64::min);
        let last = after.iter().copied().reduce(f64::max);
        Known {
            spread: first.zip(last),
            by: after.len(),
            of: self.running(),
        }
    }

    /// What nodes say wrongly while this part of all messages is lost. The loss stays.
    fn lossy(&mut self, part: f64, time: u64) -> Option<Wrong> {
        self.mesh.lose(part);
        self.mesh.verdicts();
        self.mesh.run_for(seconds(time));
        let said = self.mesh.verdicts();
        let count = |what| {
            let wrongly = said.iter().filter(|verdict| verdict.what == what);
            wrongly
                .filter(|verdict| !self.crashed.contains(&verdict.of))
                .count()
        };
        (time > 0).then(|| Wrong {
            suspicions: count(What::Suspect),
            deaths: count(What::Dead),
            rejoins: count(What::Rejoin),
            node_seconds: self.running() as u64 * time,
        })
    }

    /// How long two halves take to find together.
    fn halves(&mut self, plan: Plan) -> Option<f64> {
        self.mesh.lose(0.0);
        self.mesh.run_for(seconds(plan.cut.min(60)));
        self.mesh.cut(Some(self.nodes / 2));
        self.mesh.run_for(seconds(plan.cut));
        self.mesh.cut(None);
        self.until_whole(seconds(plan.heal))
            .filter(|_| plan.cut > 0)
    }
}
