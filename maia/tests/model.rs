//! Every short schedule of three real nodes: one may leave, two may start anew, and the network loses, repeats, delays and
//! reorders what it likes.
//!
//! A schedule is the fair one but for a few turns, at any of its steps. All of them are tried, up to a bound on steps and
//! turns; where two come to the same state, one goes on. A node cannot be copied, so each schedule is played from the
//! start, and each ends in peace, in which the mesh must become whole.
#![allow(
    clippy::print_stderr,
    reason = "how much was covered, for those who ask to see it"
)]

mod three;

use std::collections::{BTreeMap, VecDeque};
use three::{Turn, World};

/// How many turns of each kind a schedule may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    faults: u8,
    leaves: u8,
    starts: u8,
}

impl Allowed {
    /// Whether all that `other` allows is allowed.
    fn covers(self, other: Self) -> bool {
        self.faults >= other.faults && self.leaves >= other.leaves && self.starts >= other.starts
    }

    /// What is left after `turn`; `None` if it may not be taken.
    fn after(self, turn: Turn) -> Option<Self> {
        let mut left = self;
        let spent = match turn {
            Turn::Leave(_) => &mut left.leaves,
            Turn::Restart(_) | Turn::Kill(_) => &mut left.starts,
            _ => &mut left.faults,
        };
        *spent = spent.checked_sub(1)?;
        Some(left)
    }
}

/// What is searched.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// Begins when the three have met, or with their start.
    settled: bool,
    /// Whether a node that is started again keeps its id.
    same_id: bool,
    /// Steps at which a turn may be taken.
    steps: usize,
    allowed: Allowed,
    seed: u64,
}

/// What was covered.
#[derive(Clone, Copy, Debug, Default)]
struct Covered {
    schedules: u64,
    states: usize,
    inputs: u64,
}

/// A schedule in the making: which turns it takes at which steps, and those it may still take.
type Schedule = (Vec<(usize, Turn)>, Allowed);

/// Says which schedule was being played, should it end badly.
struct Told<'a>(&'a Search, &'a Schedule);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?} of {:?}", self.1.0, self.0);
        }
    }
}

/// The states that were met, and with which turns still allowed.
#[derive(Default)]
struct Seen(BTreeMap<(u64, usize), Vec<Allowed>>);

impl Seen {
    /// Notes a state; false if all that may follow it follows one that was met before.
    fn is_news(&mut self, print: u64, step: usize, allowed: Allowed) -> bool {
        let with = self.0.entry((print, step)).or_default();
        let news = !with.iter().any(|before| before.covers(allowed));
        if news {
            with.push(allowed);
        }
        news
    }
}

/// Plays every schedule there is, those with the fewest turns first.
fn explore(search: Search) -> Covered {
    let (mut covered, mut seen) = (Covered::default(), Seen::default());
    let mut to_play = VecDeque::from([(Vec::new(), search.allowed)]);
    while let Some(schedule) = to_play.pop_front() {
        let told = Told(&search, &schedule);
        covered.schedules += 1;
        covered.inputs += play(search, &schedule, &mut seen, &mut to_play);
        drop(told);
    }
    covered.states = seen.0.len();
    eprintln!("{covered:?} of {search:?}");
    covered
}

/// Plays one schedule, notes those that differ from it by one turn more, and returns how many inputs it took.
fn play(
    search: Search,
    (taken, allowed): &Schedule,
    seen: &mut Seen,
    to_play: &mut VecDeque<Schedule>,
) -> u64 {
    let mut world = World::new(search.same_id, search.seed);
    if search.settled {
        world.settle();
    }
    let mut turns = taken.iter().peekable();
    for step in 0..search.steps {
        while let Some((_, turn)) = turns.next_if(|(at, _)| *at == step) {
            world.take(*turn);
        }
        if turns.peek().is_none() {
            if !seen.is_news(world.fingerprint(), step, *allowed) {
                return world.inputs;
            }
            for turn in world.turns() {
                if let Some(left) = allowed.after(turn) {
                    let taken = taken.iter().copied().chain([(step, turn)]).collect();
                    to_play.push_back((taken, left));
                }
            }
        }
        world.go_on();
    }
    world.make_peace();
    world.inputs
}

const fn allowed(faults: u8, leaves: u8, starts: u8) -> Allowed {
    Allowed {
        faults,
        leaves,
        starts,
    }
}

/// From a mesh that has met, and from its start; nodes that are started again have a new id, or their old one.
fn explore_all(steps: usize, allowed: Allowed) {
    for (settled, same_id) in [(true, false), (true, true), (false, false)] {
        if same_id && allowed.starts == 0 {
            continue;
        }
        let covered = explore(Search {
            settled,
            same_id,
            steps,
            allowed,
            seed: 1,
        });
        assert!(covered.schedules > 1_000, "{covered:?}");
    }
}

#[test]
fn one_leave_and_two_starts_at_any_steps() {
    explore_all(4, allowed(0, 1, 2));
}

#[test]
fn one_leave_and_one_fault_of_the_network() {
    explore_all(10, allowed(1, 1, 0));
}

#[test]
fn one_start_and_one_fault_of_the_network() {
    explore_all(7, allowed(1, 0, 1));
}

#[test]
fn two_faults_of_the_network() {
    explore_all(10, allowed(2, 0, 0));
}

/// A million and a half schedules.
#[test]
#[ignore = "takes five minutes in release: cargo test --release -p astromesh-maia --test model -- --ignored --nocapture"]
fn one_leave_two_starts_and_one_fault_of_the_network() {
    explore_all(8, allowed(1, 1, 2));
    explore_all(20, allowed(1, 1, 0));
    explore_all(20, allowed(1, 0, 1));
    explore_all(30, allowed(2, 0, 0));
}
