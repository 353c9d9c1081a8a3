//! What the members of a large set of candidates keep up to date in it, so that nobody has to look at them all: where each
//! stands with this node, and how many it runs.

use super::health::State;
use super::index::Index;
use crate::rng::Rng;
use crate::sync::{AtomicU8, AtomicUsize, Ordering};

/// The changing part of a set of candidates.
#[derive(Debug)]
pub(super) struct Slate {
    states: Box<[AtomicU8]>,
    out: AtomicUsize,
    on_trial: AtomicUsize,
    /// Those that are not shut out.
    index: Index,
}

impl Slate {
    /// For so many members, of whom nothing is known yet.
    pub(super) fn new(members: usize) -> Self {
        let unknown = |_| AtomicU8::new(State::Serving as u8);
        Self {
            states: (0..members).map(unknown).collect(),
            out: AtomicUsize::new(0),
            on_trial: AtomicUsize::new(0),
            index: Index::new(members),
        }
    }

    /// Takes note of how a member stands. By one thread at a time for each member.
    pub(super) fn note(&self, member: usize, state: State, in_flight: u32) {
        let before = State::from(self.states[member].swap(state as u8, Ordering::AcqRel));
        step(&self.out, before.is_out(), state.is_out());
        let waits = |state| state == State::OnTrial;
        step(&self.on_trial, waits(before), waits(state));
        self.index
            .put(member, (!state.is_out()).then_some(in_flight));
    }

    /// How many are shut out.
    pub(super) fn out(&self) -> usize {
        self.out.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for a request to be tried with.
    pub(super) fn has_trials(&self) -> bool {
        self.on_trial.load(Ordering::Relaxed) > 0
    }

    /// Of those that are not shut out, one of the least busy that `suits`.
    pub(super) fn least(&self, rng: &mut Rng, suits: impl Fn(usize) -> bool) -> Option<usize> {
        self.index.least(rng, suits)
    }

    #[cfg(test)]
    pub(super) fn has(&self, member: usize, count: u32) -> bool {
        self.index.has(member, count)
    }
}

fn step(count: &AtomicUsize, before: bool, after: bool) {
    if !before && after {
        count.fetch_add(1, Ordering::AcqRel);
    } else if before && !after {
        count.fetch_sub(1, Ordering::AcqRel);
    }
}
