//! What this node knows of how busy another is, and how it does.
//!
//! Three sources: what this node has itself sent there and not had back, which is exact; what the other last said of itself
//! in gossip, which is old; and what it said with its last answer, which is fresh where there is traffic. The first is
//! counted. The others tell, by the difference at the moment they came, how many the other has from elsewhere, and that is
//! held until there is newer word. So the sum moves with all that is sent and comes back. (Mitzenmacher, “How Useful Is Old
//! Information?”, 2000, section 4.)

use super::health::{Answered, Health, Pace, State, Usual, median};
use super::slate::Slate;
use crate::id::NodeId;
use crate::record::Incarnation;
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Mutex, Ordering, locked};
use crate::time::Instant;
use crate::view::{Seen, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many requests this node has in flight to each member. Counters belong to ids, not to rows of the table, so they
/// survive whatever happens to the membership.
#[derive(Debug, Default)]
pub struct InFlight {
    counters: Mutex<BTreeMap<NodeId, Arc<Counter>>>,
}

/// The requests in flight at one member, and how it does. Reading it takes no lock.
#[derive(Debug, Default)]
pub struct Counter {
    /// Above: in flight from elsewhere, by the last word of it. Below: from here.
    counts: AtomicU64,
    pace: Pace,
    /// How many it was running when it last refused one more; 0 where it never did.
    full_at: AtomicU32,
    /// As in `health`.
    state: AtomicU8,
    health: Mutex<Health>,
    report: Mutex<Option<Report>>,
    seats: Mutex<Vec<Seat>>,
    is_seated: AtomicBool,
    /// Changes that the seats have not heard of.
    unheard: AtomicU32,
}

/// A request in flight. Dropping it is the decrement, so that no way out can forget it.
#[derive(Debug)]
#[must_use = "the request counts as over when this is dropped"]
pub struct Running {
    counter: Arc<Counter>,
    is_trial: bool,
}

/// What a report is known by: a member says the same again with every heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    incarnation: Incarnation,
    beat: u64,
    active: u32,
}

/// Where a member sits in a large set of candidates.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) slate: Arc<Slate>,
    pub(super) place: usize,
}

const FROM_HERE: u64 = u32::MAX as u64;

impl InFlight {
    /// The counter of the member with this id, made where there is none yet.
    pub fn counter(&self, id: &NodeId) -> Arc<Counter> {
        let mut counters = locked(&self.counters);
        Arc::clone(counters.entry(id.clone()).or_default())
    }

    /// Takes note of the reports in `view`, and returns the counters of its members, in the view's order. Counters of members
    /// that are gone and that nobody holds go too.
    pub fn note_reports(&self, view: &View) -> Vec<Arc<Counter>> {
        let mut counters = locked(&self.counters);
        let noted = view.members.iter().map(|seen| {
            let counter = counters.entry(seen.id().clone()).or_default();
            counter.note_report(seen);
            Arc::clone(counter)
        });
        let noted: Vec<_> = noted.collect();
        if counters.len() > view.members.len() {
            counters
                .retain(|id, counter| view.member(id).is_some() || Arc::strong_count(counter) > 1);
        }
        noted
    }

    /// Compares how all do, shuts out who is too slow, and lets those be tried again who have waited for it. To be called
    /// every 100 ms or so. Returns the ids of those that were [away](State::Away): whoever finds that one of them takes
    /// connections again says [`Counter::returned`].
    pub fn review(&self, now: Instant) -> Vec<NodeId> {
        let counters = locked(&self.counters);
        let present = counters
            .values()
            .filter(|counter| counter.state() != State::Away);
        let median = median(
            present
                .filter_map(|counter| counter.pace.measured())
                .collect(),
        );
        let answers = counters
            .values()
            .map(|counter| u64::from(counter.pace.answers()))
            .sum();
        let mut away = Vec::new();
        for (id, counter) in &*counters {
            counter.pace.set_limit(median);
            match counter.state() {
                State::Serving if !counter.pace.is_too_slow() => {}
                State::Away => away.push(id.clone()),
                _ => counter.change(|health, pace| health.review(now, answers, pace)),
            }
        }
        away
    }

    /// The ids of those that are [shut out](State::is_out) now.
    pub fn out(&self) -> BTreeSet<NodeId> {
        let counters = locked(&self.counters);
        let out = counters
            .iter()
            .filter(|(_, counter)| counter.state().is_out());
        out.map(|(id, _)| id.clone()).collect()
    }

    /// All requests in flight, to whomever.
    pub fn total(&self) -> u32 {
        let counters = locked(&self.counters);
        counters.values().map(|counter| counter.now()).sum()
    }
}

impl Counter {
    /// How many are in flight from here.
    pub fn now(&self) -> u32 {
        (self.counts.load(Ordering::Relaxed) & FROM_HERE) as u32
    }

    /// How many it is running, by what this node knows best: never fewer than it sent there itself.
    pub fn in_flight(&self) -> u32 {
        let counts = self.counts.load(Ordering::SeqCst);
        ((counts & FROM_HERE) as u32).saturating_add((counts >> 32) as u32)
    }

    /// How it stands with this node.
    pub fn state(&self) -> State {
        self.state.load(Ordering::Acquire).into()
    }

    /// Counts one more, until the answer is dropped.
    pub fn begin(self: &Arc<Self>) -> Running {
        self.counts.fetch_add(1, Ordering::SeqCst);
        let is_trial = self.state() == State::OnTrial && self.change(|health, _| health.sent());
        self.changed();
        Running {
            counter: Arc::clone(self),
            is_trial,
        }
    }

    /// It says that it is running `active` requests, just now: those from here among them.
    pub fn heard(&self, active: u32) {
        let update = |counts: u64| {
            let from_here = (counts & FROM_HERE) as u32;
            let elsewhere = u64::from(active.saturating_sub(from_here));
            Some(elsewhere << 32 | u64::from(from_here))
        };
        self.counts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, update)
            .expect("there always is a next value");
        self.changed();
    }

    /// It refused a request because it is running `active` of them, which is as many as it can.
    pub fn refused(&self, active: u32) {
        self.full_at.store(active, Ordering::Relaxed);
    }

    /// Whether it is running as many as when it last refused one.
    pub fn is_full(&self) -> bool {
        let full_at = self.full_at.load(Ordering::Relaxed);
        full_at > 0 && self.in_flight() >= full_at
    }

    /// It answered a request that usually takes as long as `usual` says.
    pub fn answered(&self, answered: Answered, usual: &Usual) {
        let ratio = self.pace.note(answered, usual);
        if self.state() != State::Serving || self.pace.is_too_slow() {
            self.change(|health, pace| health.answered(ratio, pace));
        }
    }

    /// It refused a connection, or broke one: it is sent nothing until it is [found](Self::returned) to be there again.
    pub fn failed(&self) {
        self.change(|health, _| health.failed());
    }

    /// It takes connections again, and may be tried with one request.
    pub fn returned(&self) {
        self.change(|health, _| health.returned());
    }

    /// Seats it anew, there and nowhere else.
    pub(super) fn sit(&self, seats: Vec<Seat>) {
        let mut held = locked(&self.seats);
        let is_same = |(one, other): (&Seat, &Seat)| {
            one.place == other.place && Arc::ptr_eq(&one.slate, &other.slate)
        };
        if held.len() == seats.len() && held.iter().zip(&seats).all(is_same) {
            return;
        }
        self.is_seated.store(!seats.is_empty(), Ordering::SeqCst);
        *held = seats;
        drop(held);
        self.changed();
    }

    fn note_report(&self, seen: &Seen) {
        if seen.is_me {
            // Its own count is the whole truth.
            return;
        }
        let record = &seen.record;
        let said = Report {
            incarnation: record.version.incarnation,
            beat: seen.load_beat,
            active: record.load.active_requests(),
        };
        let mut report = locked(&self.report);
        if *report != Some(said) {
            *report = Some(said);
            drop(report);
            self.heard(said.active);
        }
    }

    /// Changes how it stands, and lets its seats know.
    fn change<T>(&self, change: impl FnOnce(&mut Health, &Pace) -> T) -> T {
        let mut health = locked(&self.health);
        let before = health.state;
        let result = change(&mut health, &self.pace);
        let after = health.state;
        if after != before {
            self.state.store(after as u8, Ordering::Release);
        }
        drop(health);
        if after != before {
            self.changed();
        }
        result
    }

    /// Lets the seats know. Whoever comes first does it for all that come meanwhile, so nobody waits, and each seat hears of
    /// it from one thread at a time.
    fn changed(&self) {
        if !self.is_seated.load(Ordering::SeqCst) {
            return;
        }
        if self.unheard.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        loop {
            let heard = self.unheard.load(Ordering::Acquire);
            let seats = locked(&self.seats);
            let (state, in_flight) = (self.state(), self.in_flight());
            for seat in seats.iter() {
                seat.slate.note(seat.place, state, in_flight);
            }
            drop(seats);
            if self.unheard.fetch_sub(heard, Ordering::AcqRel) == heard {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.counter.counts.fetch_sub(1, Ordering::SeqCst);
        if self.is_trial && self.counter.state() == State::Trying {
            self.counter.change(|health, _| health.tried_in_vain());
        }
        self.counter.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests begin and end, a report comes, and the member is seated anew meanwhile: in the end it is where its count
    /// belongs.
    fn counts_while_it_is_seated(count: fn(&Arc<Counter>)) -> impl Fn() {
        move || {
            let counter = Arc::new(Counter::default());
            let slates = [2, 3].map(|members| Arc::new(Slate::new(members)));
            let sit = |slate: &Arc<Slate>| {
                let slate = Arc::clone(slate);
                counter.sit(vec![Seat { slate, place: 1 }]);
            };
            sit(&slates[0]);
            #[allow(clippy::disallowed_methods, reason = "threads are what is tested")]
            let counting = {
                let counter = Arc::clone(&counter);
                thread::spawn(move || count(&counter))
            };
            let running = counter.begin();
            sit(&slates[1]);
            counting.join().expect("it counts");
            assert_eq!(counter.now(), 1);
            assert!(slates[1].has(1, counter.in_flight()), "{slates:?}");
            drop(running);
            assert_eq!(counter.now(), 0);
            assert!(slates[1].has(1, counter.in_flight()), "{slates:?}");
        }
    }

    fn begin_and_end(counter: &Arc<Counter>) {
        drop(counter.begin());
    }

    fn begin_and_hear(counter: &Arc<Counter>) {
        let running = counter.begin();
        counter.heard(3);
        drop(running);
    }

    /// `RUSTFLAGS="--cfg loom" cargo test --release -p astromesh-maia --lib selector::counter`
    #[cfg(loom)]
    mod every_order {
        use super::*;

        fn try_all(scene: impl Fn() + Send + Sync + 'static) {
            let mut model = loom::model::Builder::new();
            (model.preemption_bound, model.max_branches) = (Some(2), 50_000);
            model.check(scene);
        }

        #[test]
        fn a_count_is_found_where_it_belongs() {
            try_all(counts_while_it_is_seated(begin_and_end));
        }

        #[test]
        fn a_report_is_found_where_it_belongs() {
            try_all(counts_while_it_is_seated(begin_and_hear));
        }
    }

    #[cfg(loom)]
    use loom::thread;
    #[cfg(not(loom))]
    use std::thread;

    #[cfg(not(loom))]
    #[test]
    fn a_count_is_found_where_it_belongs() {
        for _ in 0..2_000 {
            counts_while_it_is_seated(begin_and_end)();
            counts_while_it_is_seated(begin_and_hear)();
        }
    }
}
