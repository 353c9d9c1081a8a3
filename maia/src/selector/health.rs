//! Whether one member does well, by what this node has seen of it.
//!
//! A connection that is refused or breaks shuts a member out at once. One that answers, but slowly, is told from the others
//! by its pace: how long its answers took, measured by what is usual for what was asked, so that a long run of one agent is
//! not held against it. A failure counts as a very slow answer, or the node that fails fastest would look best. Who is shut
//! out is let in again by one request that it is tried with.

use crate::sync::{AtomicU32, Ordering};
use crate::time::Instant;
use std::time::Duration;

/// How many answers an average is over, about.
const MEMORY: f32 = 32.0;

/// With fewer answers nobody is called slow.
const ENOUGH: u32 = 16;

/// As many times as slow as usual counts a failure, and at most any answer: one that hung says no more than one.
const FAILURE: f32 = 10.0;

/// As many times as slow as the median is too slow.
const TOO_SLOW: f32 = 3.0;

/// So much over what is usual is nothing, whatever the ratio: machines do other things too.
const NOTHING: Duration = Duration::from_millis(2);

/// How long a slow one waits for its first trial; each that it fails doubles that.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest it waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Between two trials others give so many answers: a trial may be slow, and so is one of these at most.
const ANSWERS_A_TRIAL: u64 = 200;

/// How a member stands with this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It is sent requests.
    #[default]
    Serving,
    /// Shut out: its answers take much longer than those of others, or are failures.
    Slow,
    /// Shut out: it refused a connection, or broke one.
    Away,
    /// Let in for the next request, to see whether it does better.
    OnTrial,
    /// That request is under way.
    Trying,
}

impl State {
    /// Whether it is shut out: but for a trial it is sent nothing while there are others.
    pub fn is_out(self) -> bool {
        self != Self::Serving
    }
}

impl From<u8> for State {
    fn from(byte: u8) -> Self {
        const ALL: [State; 5] = [
            State::Serving,
            State::Slow,
            State::Away,
            State::OnTrial,
            State::Trying,
        ];
        ALL.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

/// How an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It did what was asked, and began to answer after this time.
    Well(Duration),
    /// It failed: as if it had been very slow.
    Badly,
    /// It refused, and says nothing of how it does: the request may be at fault, or the node be full.
    Neither,
}

/// How long what is asked takes, usually: a median of all answers, by small steps.
#[derive(Debug, Default)]
pub struct Usual(AtomicU32);

impl Usual {
    /// How many times as long as usual an answer took; 1 where it was as quick or quicker. So nobody looks slow beside
    /// others for having answered while the usual time was still being found.
    fn ratio(&self, took: Duration) -> f32 {
        const STEP: f32 = 1.05;
        let took = took.as_secs_f32().max(1e-6);
        let usual = f32::from_bits(self.0.load(Ordering::Relaxed));
        if usual == 0.0 {
            self.0.store(took.to_bits(), Ordering::Relaxed);
            return 1.0;
        }
        let moved = if took > usual {
            usual * STEP
        } else {
            usual / STEP
        };
        self.0.store(moved.to_bits(), Ordering::Relaxed);
        if took < usual + NOTHING.as_secs_f32() {
            1.0
        } else {
            (took / usual).min(FAILURE)
        }
    }
}

/// How slow a member is, as a multiple of what is usual. Two answers at the same moment may count as one.
#[derive(Debug, Default)]
pub(super) struct Pace {
    average: AtomicU32,
    answers: AtomicU32,
    /// Above this average it is too slow; 0 while nobody knows.
    limit: AtomicU32,
}

impl Pace {
    /// Takes in an answer, and says how slow it was.
    pub(super) fn note(&self, answered: Answered, usual: &Usual) -> Option<f32> {
        let ratio = match answered {
            Answered::Well(took) => usual.ratio(took),
            Answered::Badly => FAILURE,
            Answered::Neither => return None,
        };
        let answers = self.answers.fetch_add(1, Ordering::Relaxed);
        let weight = 1.0 / (answers as f32 + 1.0).min(MEMORY);
        let average = f32::from_bits(self.average.load(Ordering::Relaxed));
        let average = average + (ratio - average) * weight;
        self.average.store(average.to_bits(), Ordering::Relaxed);
        Some(ratio)
    }

    /// Its average, once that says something.
    pub(super) fn measured(&self) -> Option<f32> {
        let average = f32::from_bits(self.average.load(Ordering::Relaxed));
        (self.answers.load(Ordering::Relaxed) >= ENOUGH).then_some(average)
    }

    pub(super) fn is_too_slow(&self) -> bool {
        self.measured().is_some_and(|average| self.exceeds(average))
    }

    pub(super) fn exceeds(&self, ratio: f32) -> bool {
        let limit = f32::from_bits(self.limit.load(Ordering::Relaxed));
        limit > 0.0 && ratio > limit
    }

    pub(super) fn set_limit(&self, median: Option<f32>) {
        let limit = median.map_or(0.0, |median| median * TOO_SLOW);
        self.limit.store(limit.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// What was is no measure of what will be.
    pub(super) fn begin_anew(&self) {
        self.answers.store(0, Ordering::Relaxed);
        self.average.store(0, Ordering::Relaxed);
    }
}

/// How a member stands, and how it came to that.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) state: State,
    /// Why it was shut out last: slow, or away.
    was_away: bool,
    /// When a review first saw it slow, and how many answers there had been.
    slow_since: Option<(Instant, u64)>,
    failed_trials: u32,
}

impl Health {
    /// A connection to it failed.
    pub(super) fn failed(&mut self) {
        (self.state, self.was_away) = (State::Away, true);
    }

    /// It can be connected to again.
    pub(super) fn returned(&mut self) {
        if self.state == State::Away {
            self.state = State::OnTrial;
        }
    }

    /// A request is sent to it. True if it is what it is tried with.
    pub(super) fn sent(&mut self) -> bool {
        let is_trial = self.state == State::OnTrial;
        if is_trial {
            self.state = State::Trying;
        }
        is_trial
    }

    /// The request that it was tried with ended without saying anything.
    pub(super) fn tried_in_vain(&mut self) {
        if self.state == State::Trying {
            self.state = State::OnTrial;
        }
    }

    /// It answered while it was not serving, or too slowly while it was. `ratio`: how slow that answer was.
    pub(super) fn answered(&mut self, ratio: Option<f32>, pace: &Pace) {
        match (self.state, ratio) {
            (State::Serving, _) if pace.is_too_slow() => self.slow_down(),
            (State::Trying, Some(ratio)) if ratio >= FAILURE || pace.exceeds(ratio) => {
                self.failed_trials += 1;
                self.slow_down();
            }
            (State::Trying, Some(_)) => self.serve(pace),
            (State::Trying, None) if self.was_away => self.serve(pace),
            _ => {}
        }
    }

    /// Looks at it now, `answers` having come from all members together.
    pub(super) fn review(&mut self, now: Instant, answers: u64, pace: &Pace) {
        match self.state {
            State::Serving if pace.is_too_slow() => self.slow_down(),
            State::Slow => match self.slow_since {
                None => self.slow_since = Some((now, answers)),
                Some((since, before))
                    if self.is_due(now.since(since), answers.saturating_sub(before)) =>
                {
                    self.state = State::OnTrial;
                }
                Some(_) => {}
            },
            _ => {}
        }
    }

    fn is_due(&self, waited: Duration, answers: u64) -> bool {
        let pause = PAUSE.saturating_mul(1 << self.failed_trials.min(6));
        let long_enough = waited >= pause.min(LONGEST_PAUSE);
        waited >= LONGEST_PAUSE || long_enough && answers >= ANSWERS_A_TRIAL
    }

    fn slow_down(&mut self) {
        (self.state, self.was_away) = (State::Slow, false);
        self.slow_since = None;
    }

    fn serve(&mut self, pace: &Pace) {
        *self = Self::default();
        pace.begin_anew();
    }
}

/// The lower median of these, where there are two or more.
pub(super) fn median(mut paces: Vec<f32>) -> Option<f32> {
    paces.sort_unstable_by(f32::total_cmp);
    (paces.len() > 1).then(|| paces[(paces.len() - 1) / 2])
}
