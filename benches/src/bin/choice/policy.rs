//! How a gateway of the simulation chooses: by the real selector, told more or less.

use maia::id::Label;
use maia::rng::Rng;
use maia::selector::candidates::Candidates;
use maia::selector::choices::Choices;
use maia::selector::counter::{InFlight, Running};
use maia::selector::health::Answered;
use maia::selector::{LeastConnections, Selector};
use maia::time::Instant;
use maia::view::{View, Want};
use std::time::Duration;

/// What an imagined service time is: what is said of times in milliseconds then has a meaning.
const SERVICE: Duration = Duration::from_millis(100);

/// How a node is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// One of the shortest queues, as they are at that moment.
    Oracle,
    /// Any.
    Random,
    /// The fewest by the last report alone.
    Reports,
    /// The real selector without the counts that answers carry.
    OwnCounts,
    /// The real selector.
    Ours,
}

impl Policy {
    /// All that are compared with the oracle, ours last.
    pub(crate) const MEASURED: [Self; 4] =
        [Self::Random, Self::Reports, Self::OwnCounts, Self::Ours];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Random => "random",
            Self::Reports => "fewest in the last report",
            Self::OwnCounts => "the selector, without the counts on answers",
            Self::Ours => "the selector",
        }
    }
}

/// One gateway: its counts, and its candidates.
pub(crate) struct Gateway {
    policy: Policy,
    in_flight: InFlight,
    candidates: Candidates,
    reported: Vec<u32>,
    rng: Rng,
}

impl Gateway {
    pub(crate) fn new(policy: Policy, view: &View, seed: u64) -> Self {
        let in_flight = InFlight::default();
        let choices = Choices::of(view, &in_flight, &Choices::default());
        let agent: Label = super::mesh::AGENT.parse().expect("plain");
        let candidates = choices.get(Want::Agent(&agent)).expect("all have it");
        Self {
            policy,
            candidates: candidates.clone(),
            in_flight,
            reported: vec![0; view.members.len()],
            rng: Rng::from_seed(seed),
        }
    }

    /// Chooses a node. `queues` is the truth, for the oracle alone.
    pub(crate) fn choose(&mut self, queues: &[u32]) -> usize {
        let rng = &mut self.rng;
        match self.policy {
            Policy::Oracle => fewest(queues, rng),
            Policy::Random => rng.below(queues.len()),
            Policy::Reports => fewest(&self.reported, rng),
            Policy::OwnCounts | Policy::Ours => LeastConnections
                .select(&self.candidates, &[], rng)
                .expect("all are alive"),
        }
    }

    pub(crate) fn begin(&self, node: usize) -> Option<Running> {
        let counts = matches!(self.policy, Policy::OwnCounts | Policy::Ours);
        counts.then(|| self.candidates.members()[node].counter.begin())
    }

    /// A node reports that so many are with it.
    pub(crate) fn report(&mut self, node: usize, count: u32) {
        self.reported[node] = count;
        self.candidates.members()[node].counter.heard(count);
    }

    /// It answers after `took` service times; so many are with it, the one that is answered among them.
    pub(crate) fn answered(&self, node: usize, took: f64, count: u32, running: Option<Running>) {
        let counter = &self.candidates.members()[node].counter;
        if self.policy == Policy::Ours {
            counter.heard(count);
            let took = SERVICE.mul_f64(took);
            counter.answered(Answered::Well(took), self.candidates.usual());
        }
        drop(running);
    }

    /// What the daemon does every tenth of a second.
    pub(crate) fn review(&self, now: f64) {
        let now = Instant::after_start(SERVICE.mul_f64(now));
        let away = self.in_flight.review(now);
        debug_assert!(away.is_empty(), "nobody dies here");
    }
}

fn fewest(counts: &[u32], rng: &mut Rng) -> usize {
    let least = counts.iter().min();
    let ties: Vec<usize> = (0..counts.len())
        .filter(|node| counts.get(*node) == least)
        .collect();
    ties[rng.below(ties.len())]
}
