//! A family of metrics that takes no more than so many sets of labels: what comes after is counted together.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Bounded<L, M, C = fn() -> M> {
    family: Family<L, M, C>,
    most: usize,
    known: AtomicUsize,
    /// The labels of those that have none of their own.
    other: L,
}

impl<L, M, C> Bounded<L, M, C>
where
    L: Clone + Eq + Hash,
    M: Clone,
    C: MetricConstructor<M> + Clone,
{
    pub(super) fn new(most: usize, family: Family<L, M, C>, other: L) -> Self {
        Self {
            family,
            most,
            known: AtomicUsize::new(0),
            other,
        }
    }

    /// Lets `note` have the metric with these labels. Where there is none yet, one is made if `is_known` says that they mean
    /// something and there is room.
    pub(super) fn with(&self, labels: &L, is_known: impl FnOnce() -> bool, note: impl FnOnce(&M)) {
        if let Some(metric) = self.family.get(labels) {
            note(&metric);
            return;
        }
        let is_taken = is_known() && self.known.fetch_add(1, Ordering::Relaxed) < self.most;
        let labels = if is_taken { labels } else { &self.other };
        note(&self.family.get_or_create(labels));
    }

    /// The family itself, which shares its metrics with this one.
    pub(super) fn family(&self) -> Family<L, M, C>
    where
        L: EncodeLabelSet,
    {
        self.family.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    type Labels = [(&'static str, u32); 1];

    #[test]
    fn whoever_comes_too_late_or_is_unknown_is_counted_with_the_others() {
        let others: Labels = [("n", 0)];
        let bounded: Bounded<Labels, Counter> =
            Bounded::new(2, Family::new_with_constructor(Counter::default), others);
        for n in 1..=9 {
            for _ in 0..2 {
                bounded.with(
                    &[("n", n)],
                    || n != 1,
                    |count| {
                        count.inc();
                    },
                );
            }
        }
        let count = |n| bounded.family.get(&[("n", n)]).map(|count| count.get());
        assert_eq!(
            [count(1), count(2), count(3), count(4)],
            [None, Some(2), Some(2), None]
        );
        assert_eq!(count(0), Some(14));
    }
}
