//! This node's own word: the only record that it writes.
//!
//! The heartbeat counts gossip rounds on the monotonic clock and is written as the time of day of the first
//! round plus that many intervals: it rises at an even pace whatever the wall clock does, and is close to the time of day, by
//! which older nodes judge. Where the two drift apart by more than [`DRIFT`], the wall clock was set or the machine slept:
//! a new incarnation begins.

use super::Identity;
use crate::beats::LoadAt;
use crate::id::{Label, NodeId};
use crate::record::{Card, Ext, Heartbeat, Incarnation, Load, Record, Rounds, Version};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::sync::Arc;
use std::time::Duration;

/// How far the heartbeat may be from the time of day.
const DRIFT: Duration = Duration::from_secs(10);

/// A jump of the time of day ahead of the monotonic clock that is more than the two drifting apart.
const SHORT_SLEEP: Duration = Duration::from_millis(100);

/// How far its count may be from that of the mesh before it is begun anew.
const OUT_OF_STEP: u64 = 3;

#[derive(Debug)]
pub(super) struct Own {
    pub(super) record: Arc<Record>,
    /// Stands for that record, but for heartbeat and load.
    fingerprint: u64,
    card: Card,
    load: Load,
    ext: Ext,
    /// What it does when it is not on its way out.
    services: Vec<Label>,
    agents: Vec<Label>,
    tick: Duration,
    /// When the next round is due.
    next_round: Instant,
    /// How heartbeats count rounds, and the count.
    rounds: Rounds,
    beats: u64,
    /// A round of this incarnation, and its count.
    epoch: Instant,
    epoch_beat: u64,
    /// The time of day as it last came in, and when.
    wall: Wall,
    wall_at: Instant,
    /// The load as others were last told, and how often it is still to be passed on.
    pub(super) told_load: LoadAt,
    pub(super) load_news: u8,
}

impl Own {
    pub(super) fn new(
        me: Identity,
        tick: Duration,
        now: Instant,
        wall: Wall,
        next_round: Instant,
    ) -> Option<Self> {
        let card = Card {
            name: me.name,
            url: me.url,
            services: me.services,
            agents: me.agents,
        };
        let ext = Ext {
            version: me.version,
            ..Ext::default()
        };
        let record = Record {
            id: me.id,
            version: Version::default(),
            card: Arc::new(card.clone()),
            load: Load::default(),
            ext: None,
        };
        Incarnation::default().next(wall)?;
        let tick_millis = u32::try_from(tick.as_millis()).unwrap_or(u32::MAX).max(1);
        let mut own = Self {
            fingerprint: record.fingerprint(),
            record: Arc::new(record),
            services: card.services.clone(),
            agents: card.agents.clone(),
            card,
            load: Load::default(),
            ext,
            tick: Duration::from_millis(u64::from(tick_millis)),
            next_round,
            rounds: Rounds {
                origin_millis: 0,
                interval_millis: tick_millis,
            },
            beats: 0,
            epoch: now,
            epoch_beat: 0,
            wall,
            wall_at: now,
            told_load: LoadAt {
                load: Load::default(),
                beat: 0,
            },
            load_news: 0,
        };
        own.begin_anew(now, Incarnation::default(), None);
        Some(own)
    }

    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.record.id
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn has_left(&self) -> bool {
        self.ext.left
    }

    pub(super) fn is_draining(&self) -> bool {
        self.ext.draining
    }

    /// Takes note of the time of day, and says how far ahead of the monotonic clock it went: a machine that is suspended
    /// stops that one.
    pub(super) fn set_wall(&mut self, now: Instant, wall: Wall) -> Duration {
        let ahead = wall.unix_millis().saturating_sub(self.wall_now(now));
        self.wall = wall;
        self.wall_at = now;
        let ahead = Duration::from_millis(ahead);
        if ahead > DRIFT && !self.has_left() {
            self.begin_anew(now, Incarnation::default(), None);
        } else if ahead > SHORT_SLEEP {
            self.go_on_after(ahead);
        }
        ahead
    }

    /// Goes on at the pace of the time of day after a short sleep of its clock: heartbeats that stayed behind for good
    /// would make it look silent for longer than it is.
    fn go_on_after(&mut self, sleep: Duration) {
        self.rounds.origin_millis += u64::try_from(sleep.as_millis()).unwrap_or(0);
        self.write(self.due_millis());
        self.write_ext();
    }

    /// A sign of life: one beat for every round that has gone by, and one at the least.
    pub(super) fn beat(&mut self, now: Instant, next_round: Instant) {
        self.next_round = next_round;
        let rounds = now.since(self.epoch).as_nanos() / self.tick.as_nanos().max(1);
        let due = self
            .epoch_beat
            .saturating_add(u64::try_from(rounds).unwrap_or(u64::MAX));
        self.beats = (self.beats + 1).max(due);
        let due = self.due_millis();
        if due.abs_diff(self.wall_now(now)) > DRIFT.as_millis() as u64 {
            self.begin_anew(now, Incarnation::default(), None);
        } else {
            self.write(due);
        }
    }

    /// A heartbeat that it has not written yet: what somebody claims who has counted more rounds of it than it has itself.
    pub(super) fn impossible_heartbeat(&self) -> Heartbeat {
        let next = self.record.version.heartbeat.unix_millis() + 1;
        Heartbeat::from_unix_millis(next).unwrap_or_default()
    }

    /// How many rounds it has counted.
    pub(super) fn beats(&self) -> u64 {
        self.beats
    }

    /// Counts on from `highest`, where the mesh is, if its own count is far behind that. True if that is news.
    pub(super) fn fall_in_step(&mut self, highest: u64) -> bool {
        let behind = highest.saturating_sub(self.beats);
        let shift = behind.saturating_mul(self.tick.as_millis() as u64);
        let Some(origin_millis) = self.rounds.origin_millis.checked_sub(shift) else {
            return false;
        };
        if behind < OUT_OF_STEP {
            return false;
        }
        self.beats += behind;
        self.epoch_beat += behind;
        self.told_load.beat += behind;
        self.rounds.origin_millis = origin_millis;
        self.write_ext();
        true
    }

    /// Tells its load to the others, if that moved enough, or was last told `rounds` rounds ago. It is passed on `times`
    /// times.
    pub(super) fn tell_load(&mut self, rounds: u64, times: u8) {
        let (now, told) = (self.load, self.told_load);
        if moved(&told.load, &now) || self.beats.saturating_sub(told.beat) >= rounds {
            self.told_load = LoadAt {
                load: now,
                beat: self.beats,
            };
            self.load_news = times;
        }
    }

    /// How busy it is; told with the next heartbeat.
    pub(super) fn set_load(&mut self, load: Load) {
        self.load = load;
    }

    /// Bytes that its record would take with these agents, while it offers them.
    pub(super) fn size_with(&self, agents: &[Label]) -> usize {
        let mut record = Record::clone(&self.record);
        record.card = Arc::new(Card {
            services: self.services.clone(),
            agents: agents.to_vec(),
            ..self.card.clone()
        });
        record.size_bytes()
    }

    pub(super) fn set_agents(&mut self, agents: Vec<Label>) {
        self.agents = agents;
        self.write_services();
    }

    pub(super) fn set_url(&mut self, url: crate::address::Url) {
        self.card.url = url;
        self.write(0);
    }

    pub(super) fn drain(&mut self) {
        self.ext.draining = true;
        self.write_services();
    }

    pub(super) fn leave(&mut self) {
        self.ext.left = true;
        self.ext.leads = false;
        self.drain();
    }

    /// Comes back after leaving, in a new life that begins with a round.
    pub(super) fn come_back(&mut self, now: Instant) {
        self.next_round = now;
        self.ext.left = false;
        self.ext.draining = false;
        self.ext.leads = false;
        self.write_services();
        self.begin_anew(now, Incarnation::default(), None);
    }

    /// Says that it leads, or no longer. True if that is news.
    pub(super) fn say_it_leads(&mut self, leads: bool) -> bool {
        let news = self.ext.leads != leads;
        if news {
            self.ext.leads = leads;
            self.write_ext();
        }
        news
    }

    /// Whether `word`, about this node, is something that it did not say.
    pub(super) fn is_misquoted(&self, word: &Record) -> bool {
        let own = &*self.record;
        if word.version.incarnation != own.version.incarnation {
            return word.version.incarnation > own.version.incarnation;
        }
        // The load may be told later than the heartbeat that it came with.
        let card_is_wrong = word.version.heartbeat > own.version.heartbeat
            || word.version.heartbeat == own.version.heartbeat && word.card != own.card;
        let ext_is_wrong = match (&word.ext, &own.ext) {
            (Some(word), Some(own)) => word.n > own.n || word.n == own.n && word != own,
            _ => false,
        };
        card_is_wrong || ext_is_wrong
    }

    /// Begins a new incarnation above `above`. At the end of time there is none: the node takes a new id.
    pub(super) fn begin_anew(&mut self, now: Instant, above: Incarnation, rng: Option<&mut Rng>) {
        let wall = self.wall_now(now);
        let own = self.record.version.incarnation;
        let day = Wall::from_unix_millis(wall);
        let mut record = Record::clone(&self.record);
        record.version.incarnation = match (own.max(above).next(day), rng) {
            (Some(next), _) => next,
            (None, Some(rng)) => {
                record.id = fresh_id(rng);
                Incarnation::default().next(day).unwrap_or(own)
            }
            (None, None) => own,
        };
        record.version.heartbeat = Heartbeat::default();
        self.keep(record);
        self.count_from(now, wall);
        self.ext.n = 0;
        self.write(wall);
        self.write_ext();
    }

    /// Counts on so that the next round's heartbeat is the time of day at which it is due.
    fn count_from(&mut self, now: Instant, wall: u64) {
        let until_due = u64::try_from(self.next_round.since(now).as_millis()).unwrap_or(0);
        self.epoch = self.next_round.max(now);
        self.epoch_beat = self.beats + 1;
        let counted = self.epoch_beat.saturating_mul(self.tick.as_millis() as u64);
        self.rounds.origin_millis = (wall + until_due).saturating_sub(counted);
    }

    /// The time of day, as far as the last tick told.
    fn wall_now(&self, now: Instant) -> u64 {
        let since = now.since(self.wall_at).as_millis();
        self.wall.unix_millis() + u64::try_from(since).unwrap_or(0)
    }

    fn due_millis(&self) -> u64 {
        let counted = self.beats.saturating_mul(self.tick.as_millis() as u64);
        self.rounds.origin_millis.saturating_add(counted)
    }

    /// On its way out a node offers nothing, which older nodes understand too.
    fn write_services(&mut self) {
        let offers = !self.ext.draining;
        self.card.services = if offers {
            self.services.clone()
        } else {
            Vec::new()
        };
        self.card.agents = if offers {
            self.agents.clone()
        } else {
            Vec::new()
        };
        self.write(0);
        self.write_ext();
    }

    /// Writes the card as it is now, with a heartbeat of `millis`, or the next whole millisecond if that is not a rise.
    fn write(&mut self, millis: u64) {
        let mut record = Record::clone(&self.record);
        let next = record.version.heartbeat.unix_millis() + 1;
        if let Some(heartbeat) = Heartbeat::from_unix_millis(millis.max(next)) {
            record.version.heartbeat = heartbeat;
            record.load = self.load;
            if *record.card != self.card {
                record.card = Arc::new(self.card.clone());
            }
        }
        self.keep(record);
    }

    /// Writes the part that only our nodes know.
    fn write_ext(&mut self) {
        self.ext.n += 1;
        self.ext.rounds = Some(self.rounds);
        let mut record = Record::clone(&self.record);
        record.ext = Some(Arc::new(self.ext.clone()));
        self.keep(record);
    }

    fn keep(&mut self, record: Record) {
        let same = |held: &Record| {
            (&held.id, held.version.incarnation, &held.card, &held.ext)
                == (
                    &record.id,
                    record.version.incarnation,
                    &record.card,
                    &record.ext,
                )
        };
        if !same(&self.record) {
            self.fingerprint = record.fingerprint();
        }
        self.record = Arc::new(record);
    }
}

/// An id that nobody has yet: 128 random bits.
fn fresh_id(rng: &mut Rng) -> NodeId {
    let text = format!("{:016x}{:016x}", rng.draw(), rng.draw());
    NodeId::new(&text).expect("hexadecimal digits make an id")
}

/// Whether a load differs enough to be worth telling: by a request and a tenth of them, or by five points.
fn moved(told: &Load, now: &Load) -> bool {
    let requests = told.active_requests().abs_diff(now.active_requests());
    let enough = (told.active_requests() / 10).max(1);
    let points = |one: f64, other: f64| (one - other).abs() >= 5.0;
    requests >= enough
        || points(told.cpu_percent(), now.cpu_percent())
        || points(told.memory_percent(), now.memory_percent())
}
