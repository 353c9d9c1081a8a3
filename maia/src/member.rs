//! One belief about one node: its own word, and what this node makes of its silence.

use crate::address::Url;
use crate::beats::LoadAt;
use crate::event::Reason;
use crate::message::Status;
use crate::record::{Heartbeat, Record};
use crate::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// How this node came to hold a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answered at its address under its id, or a confirmed node of ours vouched for it.
    Confirmed,
    /// Heard of only through others: asked, and gone if it does not answer.
    Hearsay { since: Instant, failures: u8 },
}

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

/// What somebody said of a member that its owner has to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It left; with its own word on it, where that came along.
    SaidToLeave(Option<Arc<Record>>),
    /// A node of the same name is at another address.
    NameElsewhere,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The owner's word.
    pub(crate) record: Arc<Record>,
    /// Stands for that word, but for heartbeat and load.
    pub(crate) fingerprint: u64,
    /// The count of rounds at which its load was told, and how often that is still to be passed on.
    pub(crate) load_beat: u64,
    pub(crate) load_news: u8,
    pub(crate) standing: Standing,
    pub(crate) status: Status,
    /// Since when it has that status.
    pub(crate) since: Instant,
    /// When its version last rose here, for people.
    pub(crate) heard: Instant,
    /// The first and the last rise of its version here, on the clock that silence is judged by.
    pub(crate) first_rise: Instant,
    pub(crate) last_rise: Instant,
    pace: Pace,
    pub(crate) inquiry: Inquiry,
    pub(crate) doubt: Option<Doubt>,
    pub(crate) reason: Option<Reason>,
    /// Whether it speaks as our nodes do, once it has answered.
    pub(crate) speaks_ours: Option<bool>,
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

impl Member {
    pub(crate) fn new(
        record: Arc<Record>,
        standing: Standing,
        now: Instant,
        judged: Instant,
    ) -> Self {
        let mut member = Self {
            fingerprint: record.fingerprint(),
            load_beat: record.beat().unwrap_or(0),
            load_news: 0,
            record,
            standing,
            status: Status::Alive,
            since: now,
            heard: now,
            first_rise: judged,
            last_rise: judged,
            pace: Pace::default(),
            inquiry: Inquiry::None,
            doubt: None,
            reason: None,
            speaks_ours: None,
            failures: 0,
            plain_until: Instant::START,
            helpers: 0,
            cut_off: false,
            reach: None,
        };
        member.pace.observe(judged, member.record.version.heartbeat);
        member
    }

    /// Where it is called.
    pub(crate) fn url(&self) -> &Url {
        self.reach.as_ref().unwrap_or(&self.record.card.url)
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.standing == Standing::Confirmed
    }

    /// Whether it is one of those that make up the mesh: confirmed, and neither given up nor gone.
    pub(crate) fn is_present(&self) -> bool {
        self.is_confirmed() && matches!(self.status, Status::Alive | Status::Suspect)
    }

    /// Whether it is one of our nodes, as far as is known: it answered like one, or its record still has what only ours
    /// write.
    pub(crate) fn is_ours(&self) -> bool {
        self.speaks_ours.unwrap_or(self.record.ext.is_some())
    }

    /// Takes a newer word in. True if that was a sign of life.
    pub(crate) fn take(&mut self, word: &Record, now: Instant, judged: Instant) -> bool {
        let merged = self.record.merged(word);
        let risen = merged.version > self.record.version;
        if merged.version.incarnation > self.record.version.incarnation {
            self.pace = Pace::default();
            self.first_rise = judged;
        }
        self.hold(merged);
        if risen {
            self.load_beat = self.record.beat().unwrap_or(0);
            self.pace.observe(judged, self.record.version.heartbeat);
            self.show_life(now, judged);
        }
        risen
    }

    /// Holds another word of the owner from now on.
    pub(crate) fn hold(&mut self, record: Record) {
        self.fingerprint = record.fingerprint();
        self.record = Arc::new(record);
    }

    /// Takes in how many rounds the owner has counted. True if that was a sign of life.
    pub(crate) fn raise(&mut self, heartbeat: Heartbeat, now: Instant, judged: Instant) -> bool {
        let risen = heartbeat > self.record.version.heartbeat;
        if risen {
            self.record = Arc::new(self.record.with_heartbeat(heartbeat));
            self.pace.observe(judged, heartbeat);
            self.show_life(now, judged);
        }
        risen
    }

    /// The heartbeat of that round of its owner's; `None` where it counts none.
    pub(crate) fn heartbeat_of(&self, beat: u64) -> Option<Heartbeat> {
        self.record.ext.as_ref()?.rounds?.heartbeat(beat)
    }

    /// Takes in a load figure, if it is newer than what is held. It is news, then, to be passed on `times` times.
    pub(crate) fn take_load(&mut self, told: &LoadAt, times: u8) -> bool {
        let newer = told.beat > self.load_beat;
        if newer {
            let mut record = Record::clone(&self.record);
            let mut card = (*record.card).clone();
            card.load = told.load;
            record.card = Arc::new(card);
            self.record = Arc::new(record);
            self.load_beat = told.beat;
            self.load_news = times;
        }
        newer
    }

    /// What it adds to the fingerprint of the whole mesh.
    pub(crate) fn weight(&self) -> u64 {
        if self.is_present() {
            self.fingerprint
        } else {
            0
        }
    }

    /// Notes a sign of life.
    pub(crate) fn show_life(&mut self, now: Instant, judged: Instant) {
        self.heard = now;
        self.last_rise = judged;
        self.inquiry = Inquiry::None;
    }

    /// How long it has been silent, counting from the arrival of its last sign of life.
    pub(crate) fn silent(&self, judged: Instant) -> Duration {
        judged.since(self.last_rise)
    }

    /// How long it has been silent, counting from when its last sign of life was due by its own pace: news that
    /// travelled long does not stretch the silence. An older node keeps no pace, so its arrivals count.
    pub(crate) fn silent_by_its_pace(&self, judged: Instant, tick: Duration) -> Duration {
        if self.record.ext.is_none() {
            return self.silent(judged);
        }
        let due = self.pace.due(self.record.version.heartbeat);
        judged.since(due.clamp(self.last_rise - 4 * tick, self.last_rise))
    }
}

/// How a member's heartbeats lie on this node's clock: the least of arrival minus heartbeat, over the last 64 to 128 of
/// them. The quickest arrival is the nearest to when the heartbeat was made.
#[derive(Clone, Copy, Debug)]
struct Pace {
    earlier_millis: i64,
    least_millis: i64,
    seen: u8,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            earlier_millis: i64::MAX,
            least_millis: i64::MAX,
            seen: 0,
        }
    }
}

impl Pace {
    const WINDOW: u8 = 64;

    fn observe(&mut self, arrival: Instant, heartbeat: Heartbeat) {
        if self.seen == Self::WINDOW {
            self.earlier_millis = self.least_millis;
            self.least_millis = i64::MAX;
            self.seen = 0;
        }
        self.seen += 1;
        let lag = millis(arrival).saturating_sub_unsigned(heartbeat.unix_millis());
        self.least_millis = self.least_millis.min(lag);
    }

    fn due(&self, heartbeat: Heartbeat) -> Instant {
        let least = self.least_millis.min(self.earlier_millis);
        let due = least.saturating_add_unsigned(heartbeat.unix_millis());
        Instant::after_start(Duration::from_millis(u64::try_from(due).unwrap_or(0)))
    }
}

fn millis(instant: Instant) -> i64 {
    i64::try_from(instant.since_start().as_millis()).unwrap_or(i64::MAX)
}
