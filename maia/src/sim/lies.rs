//! What was said that its owner did not say.
//!
//! The protocol promises nothing where a confirmed member is dishonest: its answers are evidence to others. What it does
//! promise is that the owner refutes what is said of it as soon as it hears of that. So the watch notes each untruth when
//! it is told, lets others believe that much and no more, and once its owner is above it, nothing is forgiven.

use crate::id::NodeId;
use crate::message::{Entry, Reply, Request, Subject};
use crate::record::{Incarnation, Version};
use std::collections::{BTreeMap, BTreeSet};

/// All untruths so far.
#[derive(Debug, Default)]
pub(super) struct Lies {
    /// Whose words were forged, and of which life: the versions of that one may be anything.
    about: BTreeMap<NodeId, Incarnation>,
    /// Who was said to have left, in a word that passed for its own.
    departed: BTreeSet<NodeId>,
    /// Who was said to have left by somebody else.
    said_to_leave: BTreeSet<NodeId>,
    /// Whether counts of rounds were untrue: they are about everybody.
    counts: bool,
}

impl Lies {
    pub(super) fn note_request(&mut self, request: &Request) {
        self.note_all(entries_of_request(request));
        self.counts |= matches!(request, Request::Exchange(_));
        if let Request::Leave(Subject::Id(id)) = request {
            self.said_to_leave.insert(id.clone());
        }
    }

    pub(super) fn note_reply(&mut self, reply: &Reply) {
        self.note_all(&entries_of_reply(reply));
        self.counts |= matches!(reply, Reply::Held(_));
    }

    /// Notes what damage made of a request.
    pub(super) fn note_damaged_request(&mut self, request: &Request, other: &Request) {
        self.note_other(entries_of_request(request), entries_of_request(other));
        self.counts |= matches!(other, Request::Exchange(_));
    }

    /// Notes what damage made of a reply.
    pub(super) fn note_damaged_reply(&mut self, reply: &Reply, other: &Reply) {
        self.note_other(&entries_of_reply(reply), &entries_of_reply(other));
        self.counts |= matches!(other, Reply::Held(_));
    }

    fn note_other(&mut self, entries: &[Entry], others: &[Entry]) {
        let untrue = others.iter().filter(|other| !entries.contains(other));
        untrue.for_each(|entry| self.note(entry));
    }

    fn note_all(&mut self, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.note(entry));
    }

    fn note(&mut self, entry: &Entry) {
        let record = &entry.record;
        let life = self.about.entry(record.id.clone()).or_default();
        *life = record.version.incarnation.max(*life);
        if record.has_left() {
            self.departed.insert(record.id.clone());
        }
    }

    /// Whether somebody may hold `version` of `id`, whose owner has written no more than `written`.
    pub(super) fn excuse(&self, id: &NodeId, version: Version, written: Version) -> bool {
        let counted = self.counts && version.incarnation <= written.incarnation;
        let told = self.about.get(id);
        counted || told.is_some_and(|told| version.incarnation <= *told)
    }

    /// Whether somebody may believe that `id` left; `refused` says that it asked, and nobody listens there any more.
    pub(super) fn excuse_departure(&self, id: &NodeId, refused: bool) -> bool {
        self.departed.contains(id) || refused && self.said_to_leave.contains(id)
    }
}

fn entries_of_request(request: &Request) -> &[Entry] {
    match request {
        Request::Join(entry) | Request::Heartbeat { entry, .. } => std::slice::from_ref(entry),
        Request::Gossip(table) | Request::Reconcile { table, .. } => &table.entries,
        _ => &[],
    }
}

fn entries_of_reply(reply: &Reply) -> Vec<Entry> {
    match reply {
        Reply::State(state) => state.table.entries.clone(),
        Reply::Gossip(table) => table.entries.clone(),
        Reply::Heartbeat { node, asked } => node.iter().chain(asked).cloned().collect(),
        _ => Vec::new(),
    }
}
