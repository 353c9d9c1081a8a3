//! Random runs: faults drawn from a seed, for as many events as one likes, and then peace, in which the mesh must become
//! whole again.

use super::Sim;
use crate::config::Config;
use crate::rng::Rng;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the mesh may take to become whole once everything works again.
const RECOVERY: Duration = Duration::from_secs(180);

/// What came of a random run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed it was drawn from, which brings the same run again.
    pub seed: u64,
    /// Nodes in it.
    pub nodes: usize,
    /// Events that happened.
    pub events: u64,
    /// How much virtual time they took.
    pub time: Duration,
    /// What must never be, and was; empty if all is well.
    pub violations: Vec<String>,
    /// The fingerprint of the run.
    pub trace_hash: u64,
}

/// One random run of `nodes` nodes, from 3 up, over at least `events` events.
pub fn run(seed: u64, nodes: usize, events: u64) -> Outcome {
    let mut chaos = Chaos::new(seed, nodes.max(3));
    while chaos.sim.happened() < events && chaos.sim.violations().is_empty() {
        chaos.strike();
        let pause = chaos.rng.fraction() * chaos.rng.fraction() * 40.0;
        chaos.sim.run_for(Duration::from_secs_f64(pause));
    }
    chaos.make_peace();
    let whole = chaos.sim.run_until(RECOVERY, Sim::is_whole);
    let mut violations = chaos.sim.violations().to_vec();
    if whole.is_none() {
        violations.push(chaos.what_is_missing());
    }
    Outcome {
        seed,
        nodes: chaos.names.len(),
        events: chaos.sim.happened(),
        time: chaos.sim.now().since_start(),
        violations,
        trace_hash: chaos.sim.trace_hash(),
    }
}

#[derive(Debug)]
struct Chaos {
    sim: Sim,
    rng: Rng,
    names: Vec<String>,
    crashed: BTreeSet<String>,
    paused: BTreeSet<String>,
    left: BTreeSet<String>,
}

impl Chaos {
    fn new(seed: u64, nodes: usize) -> Self {
        let mut chaos = Self {
            sim: Sim::empty(seed, Config::default()),
            rng: Rng::from_seed(seed ^ 0x5eed),
            names: (0..nodes).map(|n| format!("n{n:02}")).collect(),
            crashed: BTreeSet::new(),
            paused: BTreeSet::new(),
            left: BTreeSet::new(),
        };
        chaos.sim.watch();
        for place in 0..nodes {
            let seeds = if place == 0 { "n01" } else { "n00" };
            chaos.sim.start(&chaos.names[place].clone(), &[seeds]);
        }
        chaos
    }

    fn strike(&mut self) {
        let name = self.names[self.rng.below(self.names.len())].clone();
        let other = self.names[self.rng.below(self.names.len())].clone();
        match self.rng.below(16) {
            0 | 1 => self.crash(&name),
            2 | 3 => self.restart_one(),
            4 => self.pause(&name),
            5 | 6 => self.resume_one(),
            7 => self.sim.isolate(&name),
            8 => self.split(),
            9 => self.sim.cut_one_way(&name, &other),
            10 | 11 => self.sim.heal(),
            12 => self.make_weather(),
            13 => self.leave(&name),
            14 => self.rejoin_one(),
            _ => self.set_clock(&name),
        }
    }

    fn crash(&mut self, name: &str) {
        if self.crashed.len() + 2 < self.names.len() {
            self.sim.crash(name);
            self.paused.remove(name);
            self.left.remove(name);
            self.crashed.insert(name.to_owned());
        }
    }

    fn restart_one(&mut self) {
        if let Some(name) = self.crashed.pop_first() {
            self.sim.restart(&name);
        }
    }

    fn pause(&mut self, name: &str) {
        if !self.crashed.contains(name) {
            self.sim.pause(name);
            self.paused.insert(name.to_owned());
        }
    }

    fn resume_one(&mut self) {
        if let Some(name) = self.paused.pop_first() {
            self.sim.resume(&name);
        }
    }

    fn leave(&mut self, name: &str) {
        if !self.crashed.contains(name) && self.left.len() + 2 < self.names.len() {
            self.sim.leave(name);
            self.left.insert(name.to_owned());
        }
    }

    fn rejoin_one(&mut self) {
        if let Some(name) = self.left.pop_first() {
            self.sim.rejoin(&name);
        }
    }

    fn split(&mut self) {
        let side: Vec<String> = self
            .names
            .iter()
            .filter(|_| self.rng.chance(0.5))
            .cloned()
            .collect();
        let side: Vec<&str> = side.iter().map(String::as_str).collect();
        self.sim.split(&side);
    }

    fn make_weather(&mut self) {
        let loss = [0.0, 0.05, 0.3][self.rng.below(3)];
        let duplication = [0.0, 0.2][self.rng.below(2)];
        let delay = [2, 50, 700][self.rng.below(3)];
        let network = self.sim.network();
        network.loss = loss;
        network.duplication = duplication;
        network.delay_at_most = Duration::from_millis(delay);
    }

    fn set_clock(&mut self, name: &str) {
        let off = [-86_400_000, -7_000, 0, 7_000, 86_400_000][self.rng.below(5)];
        self.sim.set_wall_off(name, off);
    }

    fn make_peace(&mut self) {
        *self.sim.network() = super::Network::default();
        self.sim.heal();
        while !self.paused.is_empty() {
            self.resume_one();
        }
        while !self.left.is_empty() {
            self.rejoin_one();
        }
        while !self.crashed.is_empty() {
            self.restart_one();
        }
    }

    fn what_is_missing(&self) -> String {
        let mut text = format!("not whole {RECOVERY:?} after all faults were mended:");
        for by in &self.names {
            let views: Vec<String> = self
                .names
                .iter()
                .filter(|of| self.sim.belief(by, of) != Some(crate::message::Status::Alive))
                .map(|of| format!("{of} {:?}", self.sim.belief(by, of)))
                .collect();
            text += &format!(
                " {by} (leader {:?}) misses [{}];",
                self.sim.leader(by),
                views.join(", ")
            );
        }
        text
    }
}
