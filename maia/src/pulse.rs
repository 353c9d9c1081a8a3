//! The part of a member that exchanges touch: its count of rounds, and when it last rose here. Those of all members lie in
//! `pulses`, each part in a column; all else that is known of a member lies elsewhere (`member`).
//!
//! Times are milliseconds on the clock that silence is judged by, kept modulo 2^32, which is seven weeks: only differences
//! are ever taken, and nobody is silent for so long and still has a row.

use crate::message::Status;
use crate::record::{Heartbeat, Record};
use crate::time::Instant;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Where the question stands that a silent member is asked before it is called suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inquiry {
    /// Not asked since its last sign of life.
    None,
    /// Asked directly.
    Direct,
    /// Asked through others.
    ThroughOthers,
    /// Nobody could say that it lives.
    Over,
}

/// How this node came to hold a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answered at its address under its id, or a confirmed node of ours vouched for it.
    Confirmed,
    /// Heard of only through others: asked, and gone if it does not answer.
    Hearsay,
}

/// A member's signs of life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    /// Rounds that the owner has counted; zero for an older node, which counts none.
    pub(crate) beat: u64,
    /// The time between two rounds; zero for an older node.
    pub(crate) tick: u32,
    /// When its version last rose here.
    pub(crate) rise: Rise,
    pub(crate) pace: Pace,
    pub(crate) signs: Signs,
}

/// What of a member's signs of life does not change with every round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    pub(crate) standing: Standing,
    pub(crate) status: Status,
    pub(crate) inquiry: Inquiry,
    /// How often its load is still to be passed on.
    pub(crate) load_news: u8,
    pub(crate) says_it_leads: bool,
    pub(crate) is_draining: bool,
    /// Whether it speaks as our nodes do, once it has answered.
    pub(crate) speaks_ours: Option<bool>,
    /// Whether its word has what only ours write.
    writes_ours: bool,
}

impl Deref for Pulse {
    type Target = Signs;

    fn deref(&self) -> &Signs {
        &self.signs
    }
}

impl DerefMut for Pulse {
    fn deref_mut(&mut self) -> &mut Signs {
        &mut self.signs
    }
}

/// How a member's rounds lie on this node's clock: the least of arrival minus rounds, over the last 64 to 128 of
/// them. The quickest arrival is the nearest to when the heartbeat was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    earlier: u32,
    quickest: u32,
}

impl Pace {
    /// What is known where nothing but this lag is.
    fn of(lag: u32) -> Self {
        Self {
            earlier: lag,
            quickest: lag,
        }
    }

    /// The same after a heartbeat of one who ticks so, with this lag.
    #[inline]
    pub(crate) fn after(self, lag: u32, tick: u32, window_is_over: bool) -> Self {
        // No news travels for so long: it is the pace that is wrong, since a count was that nobody had made, or the
        // owner's clock stood still and it could not tell.
        let is_wrong = self.late(lag) > LONGEST_WAY.saturating_mul(tick);
        let earlier = if window_is_over {
            self.quickest
        } else {
            self.earlier
        };
        let quickest = if window_is_over {
            lag
        } else {
            sooner(self.quickest, lag)
        };
        Self {
            earlier: if is_wrong { lag } else { earlier },
            quickest: if is_wrong { lag } else { quickest },
        }
    }

    /// How much later than due a heartbeat with this lag came.
    fn late(self, lag: u32) -> u32 {
        let late = lag.wrapping_sub(sooner(self.quickest, self.earlier));
        (late as i32).max(0).unsigned_abs()
    }
}

/// A difference that is longer is a rise that lies ahead: this node's own sleep was taken off the clock since.
const LONGEST_SILENCE: u32 = u32::MAX / 8 * 7;

/// The most rounds that news is taken to travel for.
const LONGEST_WAY: u32 = 4;

/// Rounds after which the quickest arrival is sought anew.
const WINDOW: u64 = 64;

impl Pulse {
    pub(crate) fn new(record: &Record, standing: Standing, judged: Instant) -> Self {
        let mut pulse = Self {
            beat: 0,
            tick: 0,
            rise: Rise::at(judged),
            pace: Pace::of(0),
            signs: Signs {
                standing,
                status: Status::Alive,
                inquiry: Inquiry::None,
                load_news: 0,
                says_it_leads: false,
                is_draining: false,
                speaks_ours: None,
                writes_ours: false,
            },
        };
        pulse.go_by(record);
        pulse.forget_pace();
        pulse
    }

    /// Goes by `record`, its owner's word.
    pub(crate) fn go_by(&mut self, record: &Record) {
        self.tick = record.rounds().map_or(0, |rounds| rounds.interval_millis);
        self.beat = record.beat().unwrap_or(0);
        self.says_it_leads = record.says_it_leads();
        self.is_draining = record.is_draining();
        self.writes_ours = record.ext.is_some();
    }

    pub(crate) fn counts_rounds(&self) -> bool {
        self.tick > 0
    }

    /// How far the heartbeat would leap if its owner had counted `beat` rounds.
    pub(crate) fn leap(&self, beat: u64) -> Duration {
        let rounds = beat.saturating_sub(self.beat);
        Duration::from_millis(rounds.saturating_mul(u64::from(self.tick)))
    }

    /// Takes a greater count in, which is a sign of life.
    pub(crate) fn raise(&mut self, beat: u64, rise: Rise) {
        let window_is_over = is_over(self.beat, beat);
        self.beat = beat;
        self.show_life(rise);
        self.observe(window_is_over);
    }

    /// Notes a sign of life.
    pub(crate) fn show_life(&mut self, rise: Rise) {
        self.rise = rise;
        self.inquiry = Inquiry::None;
    }

    /// Notes that the newest heartbeat has just arrived.
    pub(crate) fn observe(&mut self, window_is_over: bool) {
        self.pace = self.pace.after(self.lag(), self.tick, window_is_over);
    }

    /// Seeks the quickest arrival anew, in another life of the owner's.
    pub(crate) fn forget_pace(&mut self) {
        self.pace = Pace::of(self.lag());
    }

    /// Its owner counts its rounds from another moment on: what was observed of them holds for the heartbeats.
    pub(crate) fn move_origin(&mut self, before: Option<u64>, after: Option<u64>) {
        let by = after.unwrap_or(0).wrapping_sub(before.unwrap_or(0)) as u32;
        self.pace.earlier = self.pace.earlier.wrapping_add(by);
        self.pace.quickest = self.pace.quickest.wrapping_add(by);
    }

    /// How long it has been silent, counting from the arrival of its last sign of life.
    pub(crate) fn silent(&self, judged: Instant) -> Duration {
        Duration::from_millis(self.silent_millis(judged))
    }

    /// The same, in whole milliseconds.
    #[inline]
    pub(crate) fn silent_millis(&self, judged: Instant) -> u64 {
        u64::from(self.rise.silent_millis(millis_down(judged)))
    }

    /// How long it has been silent, counting from when its last sign of life was due by its own pace: news that
    /// travelled long, by up to [`LONGEST_WAY`] times `tick`, does not stretch the silence. An older node keeps no pace,
    /// so its arrivals count.
    pub(crate) fn silent_by_its_pace(&self, judged: Instant, tick: Duration) -> Duration {
        let silent = self.silent(judged);
        if !self.counts_rounds() {
            return silent;
        }
        silent + Duration::from_millis(u64::from(self.late())).min(LONGEST_WAY * tick)
    }

    /// How much later than due by its pace the newest heartbeat arrived.
    fn late(&self) -> u32 {
        self.pace.late(self.lag())
    }

    /// When the newest heartbeat arrived, less the time that all rounds take together.
    fn lag(&self) -> u32 {
        lag(self.rise, self.beat, self.tick)
    }
}

impl Signs {
    /// Whether it is one of our nodes, as far as is known: it answered like one, or its word still has what only ours
    /// write.
    pub(crate) fn is_ours(&self) -> bool {
        self.speaks_ours.unwrap_or(self.writes_ours)
    }

    /// Whether it is one of those that make up the mesh: confirmed, and neither given up nor gone.
    #[inline]
    pub(crate) fn is_present(&self) -> bool {
        self.standing == Standing::Confirmed
            && matches!(self.status, Status::Alive | Status::Suspect)
    }

    /// If it may lead, whether it says that it does.
    pub(crate) fn vote(&self) -> Option<bool> {
        let may_lead = self.is_present() && !self.is_draining;
        may_lead.then_some(self.says_it_leads)
    }

    /// Whether its count is all that there is to tell of it and to hear, where it keeps one.
    pub(crate) fn are_plain(&self) -> bool {
        let is_settled = self.standing == Standing::Confirmed && self.status == Status::Alive;
        is_settled && self.inquiry == Inquiry::None && self.load_news == 0
    }
}

#[inline]
pub(crate) fn lag(rise: Rise, beat: u64, tick: u32) -> u32 {
    rise.0.wrapping_sub((beat as u32).wrapping_mul(tick))
}

/// Whether the quickest arrival is sought anew between these counts.
#[inline]
pub(crate) fn is_over(before: u64, after: u64) -> bool {
    before / WINDOW != after / WINDOW
}

/// The moment of a sign of life, as pulses keep it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rise(u32);

impl Rise {
    pub(crate) fn at(judged: Instant) -> Self {
        Self(millis_up(judged))
    }

    /// The milliseconds from then to `judged`, which counts them since the start.
    #[inline]
    pub(crate) fn silent_millis(self, judged: u32) -> u32 {
        let silent = judged.wrapping_sub(self.0);
        let is_yet_to_come = silent > LONGEST_SILENCE;
        if is_yet_to_come { 0 } else { silent }
    }
}

/// Of two differences the lesser.
fn sooner(one: u32, other: u32) -> u32 {
    if (one.wrapping_sub(other) as i32) < 0 {
        one
    } else {
        other
    }
}

/// Rounded so that no silence is ever counted too long.
fn millis_up(instant: Instant) -> u32 {
    instant.since_start().as_nanos().div_ceil(1_000_000) as u32
}

pub(crate) fn millis_down(instant: Instant) -> u32 {
    instant.since_start().as_millis() as u32
}

/// The heartbeat of `record` where its owner has counted `beat` rounds by now.
pub(crate) fn heartbeat_at(record: &Record, beat: u64) -> Heartbeat {
    let written = record.version.heartbeat;
    let counted = record.rounds().and_then(|rounds| rounds.heartbeat(beat));
    counted.map_or(written, |counted| counted.max(written))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::address::Url;
    use crate::id::Name;
    use crate::id::NodeId;
    use crate::record::Rounds;
    use crate::record::{Card, Ext, Load, Version};
    use std::sync::Arc;

    const TICK: Duration = Duration::from_secs(2);

    /// The word of one of ours whose first round was at `origin_millis`, on its clock.
    pub(crate) fn counting_from(origin_millis: u64) -> Record {
        let rounds = Rounds {
            origin_millis,
            interval_millis: TICK.as_millis() as u32,
        };
        Record {
            id: NodeId::new("eve").expect("an id"),
            version: Version::default(),
            card: Arc::new(Card {
                name: Name::new("eve").expect("a name"),
                url: Url::new("http://10.0.0.1:8000").expect("an address"),
                services: Vec::new(),
                agents: Vec::new(),
            }),
            load: Load::default(),
            ext: Some(Arc::new(Ext {
                rounds: Some(rounds),
                ..Ext::default()
            })),
        }
    }

    /// Takes in the count of each round when it was made.
    fn hear_on_time(pulse: &mut Pulse, rounds: std::ops::Range<u64>) -> Instant {
        let made = |beat: u64| Instant::START + TICK * u32::try_from(beat).expect("a few");
        for beat in rounds.clone() {
            pulse.raise(beat, Rise::at(made(beat)));
        }
        made(rounds.end)
    }

    /// A count that was forged is believed until its owner has made as many; that it came so soon says nothing of the
    /// pace of those that follow.
    #[test]
    fn a_forged_count_leaves_no_pace_behind() {
        let mut pulse = Pulse::new(&counting_from(0), Standing::Confirmed, Instant::START);
        let now = hear_on_time(&mut pulse, 1..20);
        pulse.raise(40, Rise::at(now));
        let now = hear_on_time(&mut pulse, 41..44);
        assert_eq!(pulse.silent_by_its_pace(now, TICK), TICK);
    }
}
