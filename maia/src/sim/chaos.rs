//! Random runs: faults drawn from a seed, for as many events as one likes, and now and then peace, in which the mesh must
//! become whole again.
//!
//! Each run does without some kinds of fault, drawn too: a fault that heals or hides another would otherwise always be
//! there. (Groce et al., “Swarm Testing”, 2012.)

mod faults;

use super::{Network, Sim};
use crate::config::Config;
use crate::rng::Rng;
use crate::time::Instant;
use faults::Fault;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long the mesh may take to become whole once everything works again.
const RECOVERY: Duration = Duration::from_secs(180);

/// The longest that a run goes on between two faults.
const LONGEST_PAUSE_SECONDS: f64 = 40.0;

/// How many faults before a violation an outcome tells.
const TOLD: usize = 40;

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
    /// How often each kind of fault struck.
    pub struck: BTreeMap<&'static str, u64>,
    /// The last faults, and when they struck.
    pub story: Vec<String>,
    /// What must never be, and was; empty if all is well.
    pub violations: Vec<String>,
    /// The fingerprint of the run.
    pub trace_hash: u64,
}

/// One random run of `nodes` nodes, from 3 up, over at least `events` events.
pub fn run(seed: u64, nodes: usize, events: u64) -> Outcome {
    let mut chaos = Chaos::new(seed, nodes.max(3));
    while chaos.sim.happened() < events && chaos.is_well() {
        chaos.strike();
        let pause = chaos.rng.fraction() * chaos.rng.fraction() * LONGEST_PAUSE_SECONDS;
        chaos.sim.run_for(Duration::from_secs_f64(pause));
    }
    if chaos.is_well() {
        chaos.make_peace();
    }
    Outcome {
        seed,
        nodes: chaos.names.len(),
        events: chaos.sim.happened(),
        time: chaos.sim.now().since_start(),
        struck: chaos.struck,
        story: chaos.story.into(),
        violations: chaos.sim.violations().to_vec(),
        trace_hash: chaos.sim.trace_hash(),
    }
}

/// What can strike, by the names that [`Outcome::struck`] counts it under.
pub fn kinds() -> BTreeSet<&'static str> {
    faults::ALL.iter().map(|fault| fault.as_str()).collect()
}

#[derive(Debug)]
struct Chaos {
    sim: Sim,
    rng: Rng,
    names: Vec<String>,
    faults: Vec<Fault>,
    struck: BTreeMap<&'static str, u64>,
    story: VecDeque<String>,
    crashed: BTreeSet<String>,
    /// Stopped, alone or with the machine.
    paused: BTreeSet<String>,
    /// Since when machines stand still.
    suspended: BTreeMap<String, Instant>,
    left: BTreeSet<String>,
    draining: BTreeSet<String>,
    starved: BTreeSet<String>,
    liars: BTreeSet<String>,
    /// Ways that were cut one by one.
    cuts: Vec<(String, String)>,
}

impl Chaos {
    fn new(seed: u64, nodes: usize) -> Self {
        let mut rng = Rng::from_seed(seed ^ 0x5eed);
        let mut chaos = Self {
            sim: Sim::empty(seed, Config::default()),
            names: (0..nodes).map(|n| format!("n{n:02}")).collect(),
            faults: faults::some(&mut rng),
            rng,
            struck: BTreeMap::new(),
            story: VecDeque::new(),
            crashed: BTreeSet::new(),
            paused: BTreeSet::new(),
            suspended: BTreeMap::new(),
            left: BTreeSet::new(),
            draining: BTreeSet::new(),
            starved: BTreeSet::new(),
            liars: BTreeSet::new(),
            cuts: Vec::new(),
        };
        chaos.sim.watch();
        for place in 0..nodes {
            let seeds = if place == 0 { "n01" } else { "n00" };
            chaos.sim.start(&chaos.names[place].clone(), &[seeds]);
        }
        chaos
    }

    fn is_well(&self) -> bool {
        self.sim.violations().is_empty()
    }

    /// Lets something happen, if there is anything for it to happen to.
    fn strike(&mut self) {
        let fault = self.faults[self.rng.below(self.faults.len())];
        let Some(whom) = self.happen(fault) else {
            return;
        };
        *self.struck.entry(fault.as_str()).or_default() += 1;
        if self.story.len() == TOLD {
            self.story.pop_front();
        }
        let now = self.sim.now().since_start();
        self.story
            .push_back(format!("{now:?}: {} {whom}", fault.as_str()));
    }

    /// Mends everything, and sees whether the mesh comes together and everybody drops what was never so.
    fn make_peace(&mut self) {
        *self.sim.network() = Network::default();
        self.cuts.clear();
        for name in std::mem::take(&mut self.starved) {
            self.sim.starve(&name, None);
        }
        while self.resume_one().is_some() {}
        while self.rejoin_one().is_some() {}
        while self.restart_one().is_some() {}
        while self.unmask_one().is_some() {}
        self.sim.must_become_whole(RECOVERY);
        self.sim.forget_the_past();
    }
}
