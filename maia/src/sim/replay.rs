//! Messages of the past, which the network brings once more.

use crate::message::{Caller, Request};
use crate::rng::Rng;

/// How many are kept.
const KEPT: usize = 64;

/// A request that was sent once.
#[derive(Clone, Debug)]
pub(super) struct Old {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) caller: Caller,
    pub(super) request: Request,
}

/// A sample of what was sent.
#[derive(Debug, Default)]
pub(super) struct Past {
    kept: Vec<Old>,
}

impl Past {
    /// Keeps `new`, and brings up one that was kept before, however long ago: some stay for the length of a run.
    pub(super) fn swap(&mut self, new: Old, rng: &mut Rng) -> Old {
        let old = self.kept.get(rng.below(self.kept.len())).cloned();
        if self.kept.len() < KEPT {
            self.kept.push(new.clone());
        } else {
            let place = rng.below(KEPT);
            self.kept[place] = new.clone();
        }
        old.unwrap_or(new)
    }

    /// Drops all of it.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}
