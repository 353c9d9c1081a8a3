//! Who takes the next request.
//!
//! A node knows two things about how busy another is: what that one last said of itself, which is exact but old, and what
//! it has itself sent there and not had back, which is fresh but only its own share. [`Candidate::in_flight`] joins them:
//! the report, moved by what this node sent and got back since. Without that correction a whole herd runs to whoever
//! looked idle in the last gossip. (Mitzenmacher, “How Useful Is Old Information?”, 2000, section 4.)
//!
//! The policy is behind [`Selector`]; the counters behind it are not, for being exact is not a matter of taste.

use crate::id::{Label, NodeId};
use crate::message::Status;
use crate::record::Version;
use crate::rng::Rng;
use crate::view::{Seen, View};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A policy for choosing the member that takes the next request.
pub trait Selector: Send + Sync + 'static {
    /// Picks one of `candidates`, by its place, that is not among `tried`; `None` where there is none.
    fn select(&self, candidates: &[Candidate], tried: &[NodeId], rng: &mut Rng) -> Option<usize>;
}

/// How far a candidate is to be trusted, the best first. A worse one is asked only where no better one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Confirmed, and heard of in time.
    Alive,
    /// Confirmed, but silent for longer than `failure_timeout`.
    Suspect,
    /// Known only through others.
    Hearsay,
}

/// A member that could take a request.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who.
    pub id: NodeId,
    /// How far it is to be trusted.
    pub standing: Standing,
    /// Whether it is this node, whose own count is the whole truth.
    pub is_me: bool,
    /// The requests it last said it was running.
    pub reported: u32,
    /// The requests that this node has sent there and not had back.
    pub counter: Arc<Counter>,
}

impl Candidate {
    /// Everyone in `view` who runs `agent` and takes requests, in the view's order.
    pub fn all(view: &View, agent: &Label, in_flight: &InFlight) -> Vec<Self> {
        view.carriers(agent)
            .filter(|seen| seen.takes_requests())
            .map(|seen| Self::of(seen, in_flight))
            .collect()
    }

    /// This member, whether it takes requests or not.
    pub fn of(seen: &Seen, in_flight: &InFlight) -> Self {
        let standing = match (seen.confirmed || seen.is_me, seen.status) {
            (false, _) => Standing::Hearsay,
            (true, Status::Alive) => Standing::Alive,
            (true, _) => Standing::Suspect,
        };
        Self {
            id: seen.id().clone(),
            standing,
            is_me: seen.is_me,
            reported: seen.record.load.active_requests(),
            counter: in_flight.counter(seen.id()),
        }
    }

    /// How many requests it is running, by what this node knows best: never fewer than it sent there itself.
    pub fn in_flight(&self) -> u32 {
        let own = self.counter.now();
        if self.is_me {
            return own;
        }
        let at_report = self.counter.at_report.load(Ordering::Relaxed);
        own.max(self.reported.saturating_add(own).saturating_sub(at_report))
    }
}

/// Least connections: the best standing, then the fewest requests in flight; at a tie this node itself, or else one at
/// random.
///
/// ```
/// use maia::id::NodeId;
/// use maia::rng::Rng;
/// use maia::selector::{Candidate, InFlight, LeastConnections, Selector, Standing};
///
/// let in_flight = InFlight::default();
/// let candidate = |id: &str| {
///     let id = NodeId::new(id).expect("a plain id");
///     let counter = in_flight.counter(&id);
///     Candidate { id, standing: Standing::Alive, is_me: false, reported: 0, counter }
/// };
/// let candidates = [candidate("ana"), candidate("bob")];
///
/// let mut rng = Rng::from_seed(7);
/// let first = LeastConnections.select(&candidates, &[], &mut rng).expect("there are two");
/// let running = candidates[first].counter.begin();
/// let second = LeastConnections.select(&candidates, &[], &mut rng).expect("there are two");
/// assert_ne!(first, second);
///
/// drop(running);
/// assert_eq!(candidates[first].in_flight(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastConnections;

impl Selector for LeastConnections {
    fn select(&self, candidates: &[Candidate], tried: &[NodeId], rng: &mut Rng) -> Option<usize> {
        let mut best: Option<(Standing, u32, bool)> = None;
        let (mut chosen, mut ties) = (None, 0);
        for (place, candidate) in candidates.iter().enumerate() {
            if tried.contains(&candidate.id) {
                continue;
            }
            let rank = (candidate.standing, candidate.in_flight(), !candidate.is_me);
            if best.is_none_or(|best| rank < best) {
                (best, chosen, ties) = (Some(rank), Some(place), 1);
            } else if best == Some(rank) {
                // Each of the ties found so far stays with the same chance.
                ties += 1;
                if rng.below(ties) == 0 {
                    chosen = Some(place);
                }
            }
        }
        chosen
    }
}

/// How many requests this node has in flight to each member. Counters belong to ids, not to rows of the table, so they
/// survive whatever happens to the membership.
#[derive(Debug, Default)]
pub struct InFlight {
    counters: Mutex<BTreeMap<NodeId, Arc<Counter>>>,
}

/// The requests in flight to one member.
#[derive(Debug, Default)]
pub struct Counter {
    now: AtomicU32,
    at_report: AtomicU32,
    report: Mutex<Version>,
}

/// A request in flight. Dropping it is the decrement, so that no way out can forget it.
#[derive(Debug)]
#[must_use = "the request counts as over when this is dropped"]
pub struct Running(Arc<Counter>);

impl InFlight {
    /// The counter of the member with this id, made where there is none yet.
    pub fn counter(&self, id: &NodeId) -> Arc<Counter> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry(id.clone()).or_default())
    }

    /// Takes note of the reports in `view`: from now on what is sent and comes back is counted against them. Counters of
    /// members that are gone and that nobody holds go too.
    pub fn note_reports(&self, view: &View) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in &view.members {
            if let Some(counter) = counters.get(seen.id()) {
                counter.note_report(seen.record.version);
            }
        }
        if counters.len() > view.members.len() {
            counters
                .retain(|id, counter| view.member(id).is_some() || Arc::strong_count(counter) > 1);
        }
    }

    /// All requests in flight, to whomever.
    pub fn total(&self) -> u32 {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.values().map(|counter| counter.now()).sum()
    }
}

impl Counter {
    /// How many are in flight.
    pub fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Counts one more, until the answer is dropped.
    pub fn begin(self: &Arc<Self>) -> Running {
        self.now.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    fn note_report(&self, version: Version) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if *report != version {
            *report = version;
            self.at_report.store(self.now(), Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> NodeId {
        NodeId::new(text).expect("a plain id")
    }

    fn candidate(in_flight: &InFlight, name: &str, standing: Standing, reported: u32) -> Candidate {
        Candidate {
            id: id(name),
            standing,
            is_me: name == "me",
            reported,
            counter: in_flight.counter(&id(name)),
        }
    }

    fn chosen(candidates: &[Candidate], tried: &[NodeId]) -> Option<String> {
        let place = LeastConnections.select(candidates, tried, &mut Rng::from_seed(1))?;
        Some(candidates[place].id.to_string())
    }

    #[test]
    fn the_one_with_the_fewest_in_flight_takes_it() {
        let all = InFlight::default();
        let candidates = [
            candidate(&all, "ana", Standing::Alive, 3),
            candidate(&all, "bob", Standing::Alive, 2),
        ];
        assert_eq!(chosen(&candidates, &[]).as_deref(), Some("bob"));
        let _two = [candidates[1].counter.begin(), candidates[1].counter.begin()];
        assert_eq!(chosen(&candidates, &[]).as_deref(), Some("ana"));
    }

    #[test]
    fn the_worse_of_standing_wait_until_nobody_better_is_left() {
        let all = InFlight::default();
        let candidates = [
            candidate(&all, "heard", Standing::Hearsay, 0),
            candidate(&all, "silent", Standing::Suspect, 0),
            candidate(&all, "alive", Standing::Alive, 99),
        ];
        let mut tried = Vec::new();
        for expected in ["alive", "silent", "heard"] {
            assert_eq!(chosen(&candidates, &tried).as_deref(), Some(expected));
            tried.push(id(expected));
        }
        assert_eq!(chosen(&candidates, &tried), None);
    }

    #[test]
    fn this_node_takes_it_where_it_is_no_busier() {
        let all = InFlight::default();
        let candidates = [
            candidate(&all, "ana", Standing::Alive, 1),
            candidate(&all, "me", Standing::Alive, 77),
        ];
        let _one = candidates[1].counter.begin();
        assert_eq!(chosen(&candidates, &[]).as_deref(), Some("me"));
        let _two = candidates[1].counter.begin();
        assert_eq!(chosen(&candidates, &[]).as_deref(), Some("ana"));
    }

    #[test]
    fn ties_go_to_each_in_turn_at_random() {
        let all = InFlight::default();
        let names = ["ana", "bob", "eve"];
        let candidates = names.map(|name| candidate(&all, name, Standing::Alive, 0));
        let mut rng = Rng::from_seed(3);
        let mut taken = [0; 3];
        for _ in 0..3_000 {
            taken[LeastConnections
                .select(&candidates, &[], &mut rng)
                .expect("three")] += 1;
        }
        assert!(
            taken.iter().all(|&count| (900..1_100).contains(&count)),
            "{taken:?}"
        );
    }

    #[test]
    fn a_report_is_moved_by_what_was_sent_and_came_back_since() {
        let all = InFlight::default();
        let ana = candidate(&all, "ana", Standing::Alive, 5);
        let before = ana.counter.begin();
        ana.counter.note_report(version(1));
        assert_eq!(ana.in_flight(), 5, "the one in flight is in the report");
        let after = [ana.counter.begin(), ana.counter.begin()];
        assert_eq!(ana.in_flight(), 7);
        drop(before);
        assert_eq!(ana.in_flight(), 6);
        ana.counter.note_report(version(1));
        assert_eq!(ana.in_flight(), 6, "a report counts once");
        drop(after);
        assert_eq!(ana.in_flight(), 4);
    }

    #[test]
    fn it_is_never_fewer_than_this_node_sent() {
        let all = InFlight::default();
        let ana = candidate(&all, "ana", Standing::Alive, 0);
        let _three = [
            ana.counter.begin(),
            ana.counter.begin(),
            ana.counter.begin(),
        ];
        ana.counter.note_report(version(1));
        assert_eq!(ana.in_flight(), 3);
    }

    #[test]
    fn a_counter_outlives_the_membership_while_somebody_holds_it() {
        let all = InFlight::default();
        let running = all.counter(&id("ana")).begin();
        all.note_reports(&View::default());
        assert_eq!(all.counter(&id("ana")).now(), 1);
        drop(running);
        all.note_reports(&View::default());
        assert!(all.counters.lock().expect("not poisoned").is_empty());
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "counting from several threads is what is tested"
    )]
    fn the_count_is_exact_from_many_threads() {
        let all = Arc::new(InFlight::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let all = Arc::clone(&all);
                std::thread::spawn(move || {
                    for _ in 0..10_000 {
                        drop(all.counter(&id("ana")).begin());
                    }
                    all.counter(&id("ana")).begin()
                })
            })
            .collect();
        let running: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect();
        assert_eq!(all.total(), 4);
        drop(running);
        assert_eq!(all.total(), 0);
    }

    fn version(millis: u64) -> Version {
        let heartbeat = crate::record::Heartbeat::from_unix_millis(millis).expect("before 2100");
        Version {
            heartbeat,
            ..Version::default()
        }
    }
}
