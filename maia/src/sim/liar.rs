//! A member that says of others, and of itself, what is not so.

use super::process::Process;
use crate::address::Url;
use crate::beats::{Beats, Held};
use crate::id::NodeId;
use crate::message::{Entry, Reply, Request, Status};
use crate::node::{Input, Node, Output};
use crate::record::{Card, Heartbeat, Incarnation, Record};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::sync::Arc;

/// The part of its words that are not true.
const LIES: f64 = 0.1;

/// What is not true of what a liar says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// How others stand, which nobody takes from anybody.
    Statuses,
    /// Versions too, and departures, addresses, and counts of rounds: what a member's answers are evidence of.
    Everything,
}

/// A node that takes part as any other does, and forges a part of what it says: versions that their owners never wrote,
/// others dead or departed, others and itself somewhere else.
#[derive(Debug)]
pub struct Liar {
    node: Node,
    lie: Lie,
    rng: Rng,
}

impl Liar {
    /// Lets `node` lie, by chance.
    pub fn new(node: Node, lie: Lie, rng: Rng) -> Self {
        Self { node, lie, rng }
    }

    fn forge_request(&mut self, request: &mut Request) {
        match request {
            Request::Join(entry) | Request::Heartbeat { entry, .. } => self.forge(entry),
            Request::Gossip(table) | Request::Reconcile { table, .. } => {
                self.forge_all(&mut table.entries);
            }
            Request::Exchange(beats) => self.miscount(beats),
            Request::State | Request::Rejoin | Request::Leave(_) | Request::Election => {}
        }
    }

    fn forge_reply(&mut self, reply: &mut Reply) {
        match reply {
            Reply::State(state) => self.forge_all(&mut state.table.entries),
            Reply::Gossip(table) => self.forge_all(&mut table.entries),
            Reply::Held(Held::Same(beats)) => self.miscount(beats),
            Reply::Held(Held::Other(listed)) => {
                for one in listed {
                    one.beat = self.wrong(one.beat);
                }
            }
            Reply::Heartbeat { node, asked } => {
                node.iter_mut()
                    .chain(asked)
                    .for_each(|entry| self.forge(entry));
            }
            Reply::Leave | Reply::Election(_) | Reply::Refused(_) => {}
        }
    }

    fn forge_all(&mut self, entries: &mut [Entry]) {
        entries.iter_mut().for_each(|entry| self.forge(entry));
    }

    /// Now and then makes another record of one.
    fn forge(&mut self, entry: &mut Entry) {
        if !self.rng.chance(LIES) {
            return;
        }
        let mut record = Record::clone(&entry.record);
        let kinds = if self.lie == Lie::Everything { 5 } else { 1 };
        match self.rng.below(kinds) {
            0 => entry.status = [Status::Suspect, Status::Dead][self.rng.below(2)],
            1 => raise_heartbeat(&mut record, 1 + self.rng.below(7_200_000) as u64),
            2 => raise_incarnation(&mut record, self.rng.below(86_400_000) as u64),
            3 => say_goodbye(&mut record),
            _ => {
                raise_heartbeat(&mut record, 1);
                self.send_elsewhere(&mut record);
            }
        }
        entry.record = Arc::new(record);
    }

    /// To another member's address, or to one where nobody is.
    fn send_elsewhere(&mut self, record: &mut Record) {
        let nowhere = Url::new("http://10.200.0.1:8000").expect("an address");
        let view = self.node.view();
        let place = self.rng.below(view.members.len() + 1);
        let taken = view.members.get(place);
        let url = taken.map_or(nowhere, |seen| seen.url.clone());
        record.card = Arc::new(Card {
            url,
            ..(*record.card).clone()
        });
    }

    fn miscount(&mut self, beats: &mut Beats) {
        for beat in &mut beats.beats {
            *beat = self.wrong(*beat);
        }
    }

    fn wrong(&mut self, beat: u64) -> u64 {
        if self.lie == Lie::Everything && self.rng.chance(LIES) {
            beat + self.rng.below(1_000) as u64
        } else {
            beat
        }
    }
}

fn raise_heartbeat(record: &mut Record, by_millis: u64) {
    let millis = record.version.heartbeat.unix_millis() + by_millis;
    if let Some(heartbeat) = Heartbeat::from_unix_millis(millis) {
        record.version.heartbeat = heartbeat;
    }
}

fn raise_incarnation(record: &mut Record, by_millis: u64) {
    let millis = record.version.incarnation.unix_millis() + by_millis;
    let next = Incarnation::default().next(Wall::from_unix_millis(millis));
    record.version.incarnation = next.unwrap_or(record.version.incarnation);
}

fn say_goodbye(record: &mut Record) {
    if let Some(ext) = &record.ext {
        let mut ext = (**ext).clone();
        ext.n += 1_000;
        ext.left = true;
        record.ext = Some(Arc::new(ext));
    }
}

impl Process for Liar {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut outputs = self.node.handle(now, input);
        for output in &mut outputs {
            match output {
                Output::Send { request, .. } => self.forge_request(request),
                Output::Reply { reply, .. } => self.forge_reply(reply),
                _ => {}
            }
        }
        outputs
    }

    fn deadline(&self) -> Instant {
        self.node.deadline()
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(self.node.id().clone())
    }

    fn id(&self) -> NodeId {
        self.node.id().clone()
    }

    fn lies(&self) -> bool {
        true
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.node.status(id)
    }
}
