//! Counts by name: how requests ended, and which bound turned them away.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use thread_local::ThreadLocal;

/// How many requests ended how. The names are few and fixed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What each thread has counted: its lock is taken by another only to read.
    counts: ThreadLocal<Mutex<Counts>>,
}

type Counts = BTreeMap<&'static str, u64>;

impl Tally {
    /// One more.
    pub(crate) fn count(&self, outcome: &'static str) {
        let mut counts = locked(self.counts.get_or_default());
        *counts.entry(outcome).or_default() += 1;
    }

    /// All so far.
    pub(crate) fn so_far(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for counts in &self.counts {
            for (name, count) in &*locked(counts) {
                *all.entry((*name).to_owned()).or_default() += count;
            }
        }
        all
    }
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
