//! The imagined network: how long a message takes, and whether it arrives.

use crate::rng::Rng;
use crate::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// What happens to messages on their way. By default they take 0.5 to 1.5 ms and all arrive.
#[derive(Clone, Debug)]
pub struct Network {
    /// The shortest time a message takes.
    pub delay_at_least: Duration,
    /// The longest. Messages overtake each other within that span.
    pub delay_at_most: Duration,
    /// The part of all messages that is lost, 0 to 1.
    pub loss: f64,
    /// The part that arrives twice, 0 to 1.
    pub duplication: f64,
    /// The part that brings an older message with it, 0 to 1: one that was sent once to anybody arrives again, however long
    /// ago that was and whoever runs there now.
    pub replay: f64,
    /// The part that arrives cut short or with flipped bits, 0 to 1. What cannot be read is refused as over HTTP; without
    /// the feature `wire` that is all but the cheap exchange.
    pub damage: f64,
    /// Whether what is damaged and can be read all the same is delivered, with what nobody said in it. Otherwise it counts
    /// as unreadable too: HTTP runs over TCP, which lets next to none of it through.
    pub forging: bool,
    cuts: BTreeSet<(usize, usize)>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay_at_least: Duration::from_micros(500),
            delay_at_most: Duration::from_micros(1_500),
            loss: 0.0,
            duplication: 0.0,
            replay: 0.0,
            damage: 0.0,
            forging: true,
            cuts: BTreeSet::new(),
        }
    }
}

impl Network {
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        if from != to {
            self.cuts.insert((from, to));
        }
    }

    pub(super) fn mend_one(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    pub(super) fn mend(&mut self) {
        self.cuts.clear();
    }

    /// When a message that leaves now arrives: never, once, or twice.
    pub(super) fn arrivals(
        &self,
        from: usize,
        to: usize,
        now: Instant,
        rng: &mut Rng,
    ) -> Vec<Instant> {
        let lost = self.cuts.contains(&(from, to)) || rng.chance(self.loss);
        let copies = match (lost, rng.chance(self.duplication)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let spread = self.delay_at_most.saturating_sub(self.delay_at_least);
        (0..copies)
            .map(|_| now + self.delay_at_least + spread.mul_f64(rng.fraction()))
            .collect()
    }
}
