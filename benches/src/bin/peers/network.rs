//! The network that foca and chitchat are put into, as `maia::sim` imagines it too: 0.5 to 1.5 ms one way, each message
//! lost for itself; and things to come, in order of time.

use maia::rng::Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The shortest time a message takes.
const LEAST: Duration = Duration::from_micros(500);
/// By how much the longest is longer.
const SPREAD: Duration = Duration::from_millis(1);

/// Whether a message arrives, and after how long.
pub(crate) struct Network {
    /// The part of all messages that is lost.
    pub(crate) loss: f64,
    /// Where the mesh is cut in two, the first node of the second half.
    pub(crate) cut: Option<usize>,
    rng: Rng,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            loss: 0.0,
            cut: None,
            rng: Rng::from_seed(seed),
        }
    }

    /// How long a message takes; `None` for one that is lost.
    pub(crate) fn delay(&mut self, from: usize, to: usize) -> Option<Duration> {
        let is_cut = self.cut.is_some_and(|cut| (from < cut) != (to < cut));
        let is_lost = is_cut || self.rng.chance(self.loss);
        (!is_lost).then(|| LEAST + SPREAD.mul_f64(self.rng.fraction()))
    }
}

/// What is to come. Of two things due at one moment, what was planned first comes first.
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Planned<T>>>,
    sequence: u64,
}

struct Planned<T> {
    at: Duration,
    sequence: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: Duration, what: T) {
        self.sequence += 1;
        self.heap.push(Reverse(Planned {
            at,
            sequence: self.sequence,
            what,
        }));
    }

    /// Takes out what comes next, if that is not after `end`.
    pub(crate) fn next(&mut self, end: Duration) -> Option<(Duration, T)> {
        let is_due = self.heap.peek().is_some_and(|Reverse(next)| next.at <= end);
        let next = is_due.then(|| self.heap.pop()).flatten();
        next.map(|Reverse(next)| (next.at, next.what))
    }
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<T> Eq for Planned<T> {}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_at_one_moment_what_was_planned_first() {
        let mut queue = Queue::new();
        for (second, what) in [(2, 'c'), (1, 'a'), (3, 'd'), (1, 'b')] {
            queue.plan(Duration::from_secs(second), what);
        }
        let due = std::iter::from_fn(|| queue.next(Duration::from_secs(2)));
        assert_eq!(due.map(|(_, what)| what).collect::<String>(), "abc");
    }

    #[test]
    fn a_cut_lets_through_what_stays_on_its_side() {
        let mut network = Network::new(1);
        network.cut = Some(2);
        assert!(network.delay(0, 1).is_some() && network.delay(3, 2).is_some());
        assert_eq!(network.delay(1, 2), None);
        assert_eq!(network.delay(2, 1), None);
    }

    #[test]
    fn messages_are_lost_as_often_as_said_and_take_as_long() {
        let mut network = Network::new(7);
        network.loss = 0.3;
        let delays: Vec<Duration> = (0..10_000).filter_map(|_| network.delay(0, 1)).collect();
        assert!((6_800..7_200).contains(&delays.len()), "{}", delays.len());
        let most = LEAST + SPREAD;
        assert!(delays.iter().all(|delay| (LEAST..=most).contains(delay)));
    }
}
