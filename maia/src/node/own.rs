//! This node's own word: the only record that it writes.
//!
//! The heartbeat counts gossip rounds on the monotonic clock and is written as the time of day of the first
//! round plus that many intervals: it rises at an even pace whatever the wall clock does, and is close to the time of day, by
//! which older nodes judge. Where the two drift apart by more than [`DRIFT`], the wall clock was set or the machine slept:
//! a new incarnation begins.

use super::Identity;
use crate::id::{Label, NodeId};
use crate::record::{Card, Ext, Heartbeat, Incarnation, Load, Record, Version};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::sync::Arc;
use std::time::Duration;

/// How far the heartbeat may be from the time of day.
const DRIFT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Own {
    pub(super) record: Arc<Record>,
    card: Card,
    ext: Ext,
    /// What it does when it is not on its way out.
    services: Vec<Label>,
    agents: Vec<Label>,
    tick: Duration,
    /// The first round of this incarnation, and the heartbeat of that round.
    epoch: Instant,
    zero_millis: u64,
    /// Rounds up to now.
    beats: u64,
    /// The time of day as it last came in, and when.
    wall: Wall,
    wall_at: Instant,
}

impl Own {
    pub(super) fn new(me: Identity, tick: Duration, now: Instant, wall: Wall) -> Option<Self> {
        let card = Card {
            name: me.name,
            url: me.url,
            services: me.services,
            agents: me.agents,
            load: Load::default(),
        };
        let ext = Ext {
            n: 1,
            version: me.version,
            ..Ext::default()
        };
        let version = Version {
            incarnation: Incarnation::default().next(wall)?,
            heartbeat: Heartbeat::from_unix_millis(wall.unix_millis())?,
        };
        let record = Record {
            id: me.id,
            version,
            card: Arc::new(card.clone()),
            ext: Some(Arc::new(ext.clone())),
        };
        Some(Self {
            record: Arc::new(record),
            services: card.services.clone(),
            agents: card.agents.clone(),
            card,
            ext,
            tick,
            epoch: now,
            zero_millis: wall.unix_millis(),
            beats: 0,
            wall,
            wall_at: now,
        })
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.record.id
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
        Duration::from_millis(ahead)
    }

    /// A sign of life: one beat for every round that has gone by, and one at the least.
    pub(super) fn beat(&mut self, now: Instant) {
        if self.beats == 0 {
            // By the monotonic clock, for the time of day may have been set since the incarnation began.
            let since = u64::try_from(now.since(self.epoch).as_millis()).unwrap_or(0);
            self.zero_millis = self.zero_millis.saturating_add(since);
            self.epoch = now;
        }
        let rounds = 1 + now.since(self.epoch).as_nanos() / self.tick.as_nanos().max(1);
        self.beats = (self.beats + 1).max(u64::try_from(rounds).unwrap_or(u64::MAX));
        let due = self.due_millis();
        if due.abs_diff(self.wall_now(now)) > DRIFT.as_millis() as u64 {
            self.begin_anew(now, Incarnation::default(), None);
        } else {
            self.write(due);
        }
    }

    /// How busy it is; told with the next heartbeat.
    pub(super) fn set_load(&mut self, load: Load) {
        self.card.load = load;
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

    /// Comes back after leaving, in a new life.
    pub(super) fn come_back(&mut self, now: Instant) {
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
        self.record = Arc::new(record);
        self.epoch = now;
        self.zero_millis = wall;
        self.beats = 0;
        self.ext.n = 0;
        self.write(wall);
        self.write_ext();
    }

    /// The time of day, as far as the last tick told.
    fn wall_now(&self, now: Instant) -> u64 {
        let since = now.since(self.wall_at).as_millis();
        self.wall.unix_millis() + u64::try_from(since).unwrap_or(0)
    }

    fn due_millis(&self) -> u64 {
        let intervals = u128::from(self.beats.saturating_sub(1));
        let elapsed = self.tick.as_nanos().saturating_mul(intervals) / 1_000_000;
        self.zero_millis
            .saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
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
            record.card = Arc::new(self.card.clone());
        }
        self.record = Arc::new(record);
    }

    /// Writes the part that only our nodes know.
    fn write_ext(&mut self) {
        self.ext.n += 1;
        let mut record = Record::clone(&self.record);
        record.ext = Some(Arc::new(self.ext.clone()));
        self.record = Arc::new(record);
    }
}

/// An id that nobody has yet: 128 random bits.
fn fresh_id(rng: &mut Rng) -> NodeId {
    let text = format!("{:016x}{:016x}", rng.draw(), rng.draw());
    NodeId::new(&text).expect("hexadecimal digits make an id")
}
