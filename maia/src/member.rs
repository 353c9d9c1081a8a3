//! One belief about one node: its own word, and what this node makes of its silence.
//!
//! What every exchange touches is the [`Pulse`]; the rest is the [`Row`], with what is out of the ordinary in a box that
//! most members do not have. A [`Member`] is both, to be looked at; a [`MemberMut`] is both, to be changed.

use crate::address::Url;
use crate::beats::LoadAt;
use crate::event::Reason;
use crate::message::Status;
use crate::pulse::{Pulse, Rise, Standing, heartbeat_at};
use crate::record::{Heartbeat, Load, Record, Version};
use crate::time::Instant;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// What somebody said of a member that its owner has to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It left; with its own word on it, where that came along.
    SaidToLeave(Option<Arc<Record>>),
    /// A node of the same name is at another address.
    NameElsewhere,
}

/// What is known of a member, but for its pulse.
#[derive(Debug)]
pub(crate) struct Row {
    /// The owner's word as it last came whole; heartbeat and load may have risen since.
    word: Arc<Record>,
    /// Stands for that word, but for heartbeat and load.
    pub(crate) fingerprint: u64,
    /// How busy it is, and the count of rounds at which it said so.
    load: Load,
    load_beat: u64,
    /// Since when it has its status.
    pub(crate) since: Instant,
    /// The first rise of its version here, on the clock that silence is judged by.
    pub(crate) first_rise: Instant,
    odd: Option<Box<Odd>>,
}

/// What is out of the ordinary about a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Odd {
    /// When it was first heard of, and how often it was asked in vain, while it is hearsay.
    pub(crate) hearsay_since: Instant,
    pub(crate) asked_in_vain: u8,
    pub(crate) doubt: Option<Doubt>,
    pub(crate) reason: Option<Reason>,
    /// Exchanges of ours with it that failed in a row.
    pub(crate) failures: u8,
    /// Others that were asked whether they can reach it, and have not come back.
    pub(crate) helpers: usize,
    /// Neither this node nor those it asked could reach it.
    pub(crate) cut_off: bool,
    /// Until when it is not offered the cheap exchange, for it refused.
    pub(crate) plain_until: Instant,
    /// Where it is reached although its own URL names no machine: this node's own finding.
    pub(crate) reach: Option<Url>,
}

/// Most members have nothing odd about them.
static NOTHING_ODD: Odd = Odd {
    hearsay_since: Instant::START,
    asked_in_vain: 0,
    doubt: None,
    reason: None,
    failures: 0,
    helpers: 0,
    cut_off: false,
    plain_until: Instant::START,
    reach: None,
};

impl Row {
    pub(crate) fn new(record: Arc<Record>, now: Instant, judged: Instant) -> Self {
        Self {
            fingerprint: record.fingerprint(),
            load: record.load,
            load_beat: record.beat().unwrap_or(0),
            word: record,
            since: now,
            first_rise: judged,
            odd: None,
        }
    }

    /// The owner's word, but for heartbeat and load, which may be out of date.
    pub(crate) fn word(&self) -> &Arc<Record> {
        &self.word
    }

    /// Where it is called.
    pub(crate) fn url(&self) -> &Url {
        self.odd().reach.as_ref().unwrap_or(&self.word.card.url)
    }

    /// What is out of the ordinary about it.
    pub(crate) fn odd(&self) -> &Odd {
        self.odd.as_deref().unwrap_or(&NOTHING_ODD)
    }

    pub(crate) fn odd_mut(&mut self) -> &mut Odd {
        self.odd.get_or_insert_default()
    }

    /// Takes in a load figure, if it is newer than what is held.
    pub(crate) fn take_load(&mut self, told: &LoadAt) -> bool {
        let newer = told.beat > self.load_beat;
        if newer {
            (self.load, self.load_beat) = (told.load, told.beat);
        }
        newer
    }

    /// How busy it is, and since when that is known.
    pub(crate) fn load(&self) -> LoadAt {
        LoadAt {
            load: self.load,
            beat: self.load_beat,
        }
    }

    /// Drops what is no longer out of the ordinary.
    pub(crate) fn tidy(&mut self) {
        if self.odd.as_deref() == Some(&NOTHING_ODD) {
            self.odd = None;
        }
    }
}

/// One member, to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) pulse: Pulse,
    pub(crate) row: &'a Row,
}

impl Deref for Member<'_> {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.row
    }
}

impl Member<'_> {
    pub(crate) fn status(self) -> Status {
        self.pulse.status
    }

    pub(crate) fn is_confirmed(self) -> bool {
        self.pulse.standing == Standing::Confirmed
    }

    pub(crate) fn is_present(self) -> bool {
        self.pulse.is_present()
    }

    pub(crate) fn is_ours(self) -> bool {
        self.pulse.is_ours()
    }

    /// The newest version that is known of it.
    pub(crate) fn version(self) -> Version {
        Version {
            heartbeat: self.heartbeat(),
            ..self.row.word.version
        }
    }

    fn heartbeat(self) -> Heartbeat {
        heartbeat_at(&self.row.word, self.pulse.beat)
    }

    /// Its owner's word with the newest heartbeat and load.
    pub(crate) fn record(self) -> Arc<Record> {
        let word = &self.row.word;
        let (heartbeat, load) = (self.heartbeat(), self.row.load);
        if (heartbeat, load) == (word.version.heartbeat, word.load) {
            return Arc::clone(word);
        }
        let mut record = word.with_heartbeat(heartbeat);
        record.load = load;
        Arc::new(record)
    }

    /// Whether `word` is news of it.
    pub(crate) fn is_superseded_by(self, word: &Record) -> bool {
        word.supersedes_risen(&self.row.word, self.version(), self.row.load)
    }

    /// How long it has been silent.
    pub(crate) fn silent(self, judged: Instant) -> Duration {
        self.pulse.silent(judged)
    }

    /// How long its signs of life span here, from the first to the last.
    pub(crate) fn steady_for(self, judged: Instant) -> Duration {
        judged
            .since(self.row.first_rise)
            .saturating_sub(self.silent(judged))
    }

    /// What it adds to the fingerprint of the whole mesh.
    pub(crate) fn weight(self) -> u64 {
        if self.is_present() {
            self.row.fingerprint
        } else {
            0
        }
    }
}

/// One member, to be changed.
#[derive(Debug)]
pub(crate) struct MemberMut<'a> {
    pub(crate) pulse: &'a mut Pulse,
    pub(crate) row: &'a mut Row,
}

impl Deref for MemberMut<'_> {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.row
    }
}

impl DerefMut for MemberMut<'_> {
    fn deref_mut(&mut self) -> &mut Row {
        self.row
    }
}

impl MemberMut<'_> {
    pub(crate) fn as_member(&self) -> Member<'_> {
        Member {
            pulse: *self.pulse,
            row: self.row,
        }
    }

    /// Takes a newer word in. True if that was a sign of life.
    pub(crate) fn take(&mut self, word: &Arc<Record>, judged: Instant) -> bool {
        let held = self.as_member().record();
        let merged = held.merged(word);
        let risen = merged.version > held.version;
        let new_life = merged.version.incarnation > held.version.incarnation;
        let in_step = merged.counts_in_step_with(&held);
        self.hold(Arc::new(merged));
        if risen {
            self.load_beat = self.pulse.beat;
            self.show_life(judged);
        }
        if new_life {
            self.first_rise = judged;
        }
        if new_life || !in_step {
            self.pulse.forget_pace();
        } else if risen {
            self.pulse.observe(false);
        }
        risen
    }

    /// Holds another word of the owner from now on.
    pub(crate) fn hold(&mut self, word: Arc<Record>) {
        self.row.fingerprint = word.fingerprint();
        self.row.load = word.load;
        self.pulse.go_by(&word);
        let origin = |word: &Record| word.rounds().map(|rounds| rounds.origin_millis);
        let (before, after) = (origin(&self.row.word), origin(&word));
        if before != after {
            self.pulse.move_origin(before, after);
        }
        self.row.word = word;
    }

    /// Notes a sign of life.
    pub(crate) fn show_life(&mut self, judged: Instant) {
        self.pulse.show_life(Rise::at(judged));
    }

    /// Takes in the heartbeat of one who counts no rounds. True if that was a sign of life.
    pub(crate) fn raise_unevenly(&mut self, heartbeat: Heartbeat, judged: Instant) -> bool {
        let risen = heartbeat > self.word.version.heartbeat;
        if risen {
            self.row.word = Arc::new(self.row.word.with_heartbeat(heartbeat));
            self.show_life(judged);
        }
        risen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<Option<Row>>(), 64);
    }
}
