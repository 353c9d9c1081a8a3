//! Looks over every node's shoulder after every event, and notes what must never be.

use super::glimpse::{Glimpse, Row};
use super::lies::Lies;
use super::routing::Routing;
use crate::address::Url;
use crate::config::Config;
use crate::event::Reason;
use crate::id::NodeId;
use crate::message::{Entry, Reply, Request, Status};
use crate::node::{Node, Output};
use crate::record::{Incarnation, Version};
use crate::selector::Selector;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Violations that are kept: the first ones tell the most.
const KEPT: usize = 20;

/// Versions of one node whose moment is remembered.
const MOMENTS: usize = 256;

/// Calls that a node may keep waiting while it asks others on the callers' behalf, and until those have heard that it
/// leaves who are told at once.
const CALLS_KEPT: usize = 64 + 64;

/// Exchanges that a node may have under way: questions, farewells and news, and a few for every row.
const EXCHANGES: usize = 256;
const EXCHANGES_A_ROW: usize = 5;

/// Clocks of whole milliseconds, and nodes that are woken a moment late.
const SLACK: Duration = Duration::from_millis(100);

/// When and how something happened to a node.
#[derive(Debug)]
pub(super) struct Moment {
    /// By nobody's clock.
    pub(super) now: Instant,
    /// By the monotonic clock of its machine.
    pub(super) local: Instant,
    /// For how long it has been due for a tick that it did not get.
    pub(super) overdue: Duration,
    /// If it was a tick: how late that came.
    pub(super) late: Duration,
    /// Whether what happened was that nobody listens where it called.
    pub(super) refused: bool,
}

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    config: Config,
    routing: Routing,
    /// What each node wrote.
    written: BTreeMap<NodeId, Written>,
    /// What each node held when it was last looked at.
    observers: BTreeMap<NodeId, Observer>,
    lies: Lies,
    violations: Vec<String>,
}

/// What a node wrote of itself.
#[derive(Debug, Default)]
struct Written {
    latest: Version,
    /// When it wrote which version.
    moments: BTreeMap<Version, Instant>,
    /// Where it said it is, and whether it ever left.
    url: Option<Url>,
    has_left: bool,
}

/// What a node held.
#[derive(Debug, Default)]
struct Observer {
    rows: Vec<Row>,
    /// Which version of whom it held last, be there a row still or not. Hearsay that did not answer is dropped without a
    /// trace, so it does not count.
    held: BTreeMap<NodeId, Version>,
    /// Of whom it took a version that was a lie, and of which life: the owner may write the same later, and until its next
    /// life is judged by a pace that it never had. A node that leaves and comes back keeps its rows, and with them that.
    misled: BTreeMap<NodeId, Incarnation>,
}

impl Watch {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            routing: Routing::default(),
            written: BTreeMap::new(),
            observers: BTreeMap::new(),
            lies: Lies::default(),
            violations: Vec::new(),
        }
    }

    /// Tries this selector from now on.
    pub(super) fn route_by(&mut self, selector: impl Selector) {
        self.routing = Routing::by(selector);
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Looks at `node`, to which something has just happened that `outputs` came of.
    pub(super) fn look(&mut self, moment: &Moment, node: &Node, outputs: &[Output]) {
        let mut glimpse = Glimpse::of(node);
        // What it writes late counts from when it was due, as others judge it by its pace.
        self.note_writing(moment.now - moment.late, node.id(), &glimpse);
        self.it_is_well_in_its_own_eyes(moment, node, &glimpse, outputs);
        let mut observer = self.observers.remove(node.id()).unwrap_or_default();
        if glimpse.has_left {
            // It judges nobody until it comes back.
            observer.rows.clear();
        } else {
            let before = std::mem::take(&mut observer.rows);
            self.compare(moment, node, &before, &mut glimpse, &mut observer);
            observer.rows = std::mem::take(&mut glimpse.rows);
            self.tables_are_bounded(moment, node, &glimpse, &observer.rows);
            self.requests_go_where_they_may(moment, node, &glimpse);
        }
        self.observers.insert(node.id().clone(), observer);
    }

    /// Looks at what waits at `node`: calls that it has not answered, exchanges that it has begun.
    pub(super) fn look_at_queues(&mut self, now: Instant, node: &Node, calls: usize, open: usize) {
        let most = EXCHANGES + EXCHANGES_A_ROW * node.rows();
        if calls > CALLS_KEPT || open > most {
            let id = node.id();
            self.note(format!(
                "{now:?}: {id} keeps {calls} calls waiting and has {open} exchanges under way"
            ));
        }
    }

    fn note_writing(&mut self, due: Instant, id: &NodeId, glimpse: &Glimpse) {
        if !self.written.contains_key(id) {
            self.written.insert(id.clone(), Written::default());
        }
        let Some(written) = self.written.get_mut(id) else {
            return;
        };
        written.has_left |= glimpse.has_left;
        if written.latest != glimpse.own_version {
            written.latest = glimpse.own_version.max(written.latest);
            written.moments.entry(glimpse.own_version).or_insert(due);
            written.url.clone_from(&glimpse.own_url);
            if written.moments.len() > MOMENTS {
                written.moments.pop_first();
            }
        }
    }

    /// A node is never suspect to itself, nor does it tell others that it is.
    fn it_is_well_in_its_own_eyes(
        &mut self,
        moment: &Moment,
        node: &Node,
        glimpse: &Glimpse,
        outputs: &[Output],
    ) {
        let is_well = |status| matches!(status, Status::Alive | Status::Left);
        let told = outputs.iter().flat_map(told_in);
        let mut told = told.filter(|entry| entry.record.id == *node.id());
        if !is_well(glimpse.own_status) || told.any(|entry| !is_well(entry.status)) {
            let (now, id) = (moment.now, node.id());
            self.note(format!("{now:?}: {id} is not alive to itself"));
        }
    }

    /// Goes through the rows of before and of now, both in order of id.
    fn compare(
        &mut self,
        moment: &Moment,
        node: &Node,
        before: &[Row],
        glimpse: &mut Glimpse,
        observer: &mut Observer,
    ) {
        let judged = moment.local.since_start().saturating_sub(glimpse.slept);
        let mut before = before.iter().peekable();
        for row in &mut glimpse.rows {
            while let Some(gone) = before.next_if(|old| old.id < row.id) {
                self.note_gone(moment, node, gone, observer);
            }
            let old = before.next_if(|old| old.id == row.id);
            match old.filter(|old| row.version <= old.version) {
                Some(old) => row.risen = old.risen,
                None => {
                    row.risen = judged;
                    if self.nobody_else_raises_a_version(moment, node, row) {
                        let life = row.version.incarnation;
                        observer.misled.insert(row.id.clone(), life);
                    }
                }
            }
            row.misled = observer.misled.get(&row.id) == Some(&row.version.incarnation);
            self.a_version_never_falls(moment, node, old, row, observer);
            if let (Some(old), true) = (old.filter(|old| old.confirmed), row.confirmed) {
                self.status_follows_from_silence(moment, node, old, row, judged);
            }
            self.silence_is_noticed_in_time(moment, node, row, judged);
        }
        for gone in before {
            self.note_gone(moment, node, gone, observer);
        }
    }

    /// Returns whether the version is one that somebody lied about.
    fn nobody_else_raises_a_version(&mut self, moment: &Moment, node: &Node, row: &Row) -> bool {
        let written = self.written.get(&row.id);
        let Some(latest) = written.map(|written| written.latest) else {
            return false;
        };
        let is_raised = row.version > latest;
        if is_raised && !self.lies.excuse(&row.id, row.version, latest) {
            let what = "holds a version that its owner never wrote";
            self.violated(moment, node, row, what);
        }
        is_raised
    }

    fn a_version_never_falls(
        &mut self,
        moment: &Moment,
        node: &Node,
        old: Option<&Row>,
        row: &Row,
        observer: &mut Observer,
    ) {
        if old.is_some_and(|old| old.version == row.version && old.confirmed == row.confirmed) {
            return;
        }
        let held = observer.held.get(&row.id).copied();
        if held.is_some_and(|held| held > row.version) {
            self.violated(moment, node, row, "holds an older version than before");
        }
        if row.confirmed {
            observer.held.insert(row.id.clone(), row.version);
        }
    }

    /// How a member stands changes for a reason: it was silent for so long, nobody listens at its address, or it gave a
    /// sign of life.
    fn status_follows_from_silence(
        &mut self,
        moment: &Moment,
        node: &Node,
        old: &Row,
        row: &Row,
        judged: Duration,
    ) {
        if old.status == row.status {
            return;
        }
        let silent = judged.saturating_sub(row.risen) + SLACK;
        let refused = row.reason == Some(Reason::Refusal) && moment.refused;
        let what = match row.status {
            Status::Suspect if silent < self.config.failure_timeout && !refused => {
                "is suspect to it too soon"
            }
            Status::Dead if self.is_given_up_too_soon(moment.now, row, silent) => {
                "is dead to it too soon"
            }
            Status::Alive if row.version <= old.version && row.is_ours => {
                "is alive to it again without a sign of life"
            }
            _ => return,
        };
        self.violated(moment, node, row, what);
    }

    fn is_given_up_too_soon(&self, now: Instant, row: &Row, silent: Duration) -> bool {
        let written = self.written.get(&row.id).filter(|_| !row.misled);
        let written = written.and_then(|written| written.moments.get(&row.version));
        // A change between two rounds is written with the heartbeat of the last one.
        let least = self.config.dead_timeout - self.config.gossip_interval;
        // News may have travelled for so long that it does not count as so fresh when it arrives.
        let travelled = 4 * self.config.gossip_interval;
        let least_here = self.config.dead_timeout.saturating_sub(travelled);
        let least_here = least_here.max(self.config.failure_timeout);
        silent < least_here || written.is_some_and(|written| now.since(*written) + SLACK < least)
    }

    fn silence_is_noticed_in_time(
        &mut self,
        moment: &Moment,
        node: &Node,
        row: &Row,
        judged: Duration,
    ) {
        // Two questions, one after the other, and a tick that has not come yet.
        let most = self.config.failure_timeout + Duration::from_secs(3) + moment.overdue;
        let silent = judged.saturating_sub(row.risen);
        // An older node's answer is a sign of life, too, whatever it brings.
        if row.confirmed && row.is_ours && row.status == Status::Alive && silent > most + SLACK {
            let what = "is still alive to it after too long a silence";
            self.violated(moment, node, row, what);
        }
    }

    /// A row is no more, or its member left.
    fn note_gone(&mut self, moment: &Moment, node: &Node, gone: &Row, observer: &mut Observer) {
        observer.misled.remove(&gone.id);
        self.only_leavers_leave(moment, node, gone);
    }

    fn only_leavers_leave(&mut self, moment: &Moment, node: &Node, gone: &Row) {
        let Some(written) = self.written.get(&gone.id) else {
            return;
        };
        // Who is there now may have left, and answered so.
        let mut others = self.written.values();
        let has_left = others.any(|other| other.has_left && other.url == written.url);
        let excused = has_left || self.lies.excuse_departure(&gone.id, moment.refused);
        if gone.confirmed && !excused && node.status(&gone.id) == Some(Status::Left) {
            let what = "has left to it, and never did";
            self.violated(moment, node, gone, what);
        }
    }

    fn tables_are_bounded(
        &mut self,
        moment: &Moment,
        node: &Node,
        glimpse: &Glimpse,
        rows: &[Row],
    ) {
        let limits = &self.config.limits;
        let hearsay = rows.iter().filter(|row| !row.confirmed).count();
        let (members, remembered) = (glimpse.members, glimpse.remembered);
        if members > limits.nodes || remembered > limits.remembered || hearsay > limits.nodes / 2 {
            let (now, id) = (moment.now, node.id());
            self.note(format!(
                "{now:?}: {id} holds {members} members, {hearsay} of them hearsay, and {remembered} departed"
            ));
        }
    }

    fn requests_go_where_they_may(&mut self, moment: &Moment, node: &Node, glimpse: &Glimpse) {
        if let Some(what) = self.routing.try_on(&glimpse.view) {
            let (now, id) = (moment.now, node.id());
            self.note(format!("{now:?}: {id} sends a request {what}"));
        }
    }

    /// Hears what a process says that does not tell the truth.
    pub(super) fn hear_lies_in(&mut self, output: &Output) {
        match output {
            Output::Send { request, .. } => self.lies.note_request(request),
            Output::Reply { reply, .. } => self.lies.note_reply(reply),
            _ => {}
        }
    }

    /// Hears what a stranger asks.
    pub(super) fn hear_stranger(&mut self, request: &Request) {
        if let Request::Leave(_) = request {
            self.lies.note_request(request);
        }
    }

    /// Hears a message that came otherwise than it was sent.
    pub(super) fn hear_damaged_request(&mut self, request: &Request, other: &Request) {
        self.lies.note_damaged_request(request, other);
    }

    pub(super) fn hear_damaged_reply(&mut self, reply: &Reply, other: &Reply) {
        self.lies.note_damaged_reply(reply, other);
    }

    pub(super) fn forget_the_past(&mut self) {
        self.routing.forget();
    }

    fn violated(&mut self, moment: &Moment, node: &Node, row: &Row, what: &str) {
        let (now, by) = (moment.now, node.id());
        self.note(format!("{now:?}: of {} {by} {what}: {row:?}", row.id));
    }

    pub(super) fn note(&mut self, violation: String) {
        if self.violations.len() < KEPT {
            self.violations.push(violation);
        }
    }
}

/// The records that an output tells.
fn told_in(output: &Output) -> &[Entry] {
    match output {
        Output::Send { request, .. } => match request {
            Request::Join(entry) | Request::Heartbeat { entry, .. } => std::slice::from_ref(entry),
            Request::Gossip(table) | Request::Reconcile { table, .. } => &table.entries,
            _ => &[],
        },
        Output::Reply { reply, .. } => match reply {
            Reply::State(state) => &state.table.entries,
            Reply::Gossip(table) => &table.entries,
            Reply::Heartbeat { node, .. } => node.as_slice(),
            _ => &[],
        },
        _ => &[],
    }
}
