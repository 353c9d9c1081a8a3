//! Looks over every node's shoulder after every event, and notes what must never be.

use crate::config::Config;
use crate::id::NodeId;
use crate::message::Status;
use crate::node::Node;
use crate::record::Version;
use crate::time::Instant;
use crate::view::{Seen, View};
use std::collections::BTreeMap;
use std::time::Duration;

/// Violations that are kept: the first ones tell the most.
const KEPT: usize = 20;

/// Versions of one node whose moment is remembered.
const MOMENTS: usize = 256;

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    config: Config,
    /// When each node wrote which version.
    written: BTreeMap<NodeId, BTreeMap<Version, Instant>>,
    /// Which version of whom each node held last. Hearsay that did not answer is dropped without a trace, so it does not
    /// count.
    held: BTreeMap<NodeId, BTreeMap<NodeId, Version>>,
    violations: Vec<String>,
}

impl Watch {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            written: BTreeMap::new(),
            held: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(super) fn look(&mut self, now: Instant, node: &Node) {
        let view = node.view();
        self.note_writing(now, &view);
        if view.left {
            // It judges nobody until it comes back.
            return;
        }
        for seen in view.members.iter().filter(|seen| !seen.is_me) {
            self.nobody_else_raises_a_version(now, node, seen);
            self.a_version_never_falls(now, node, seen);
            self.silence_is_noticed_in_time(now, node, seen);
            self.nobody_is_given_up_too_soon(now, node, seen);
        }
        self.tables_are_bounded(now, node);
    }

    fn note_writing(&mut self, now: Instant, view: &View) {
        let Some(me) = view.me() else {
            return;
        };
        let moments = self.written.entry(me.id().clone()).or_default();
        moments.entry(me.record.version).or_insert(now);
        if moments.len() > MOMENTS {
            moments.pop_first();
        }
    }

    fn nobody_else_raises_a_version(&mut self, now: Instant, node: &Node, seen: &Seen) {
        let Some(written) = self.written.get(seen.id()).and_then(|w| w.last_key_value()) else {
            return;
        };
        if seen.record.version > *written.0 {
            self.violated(
                now,
                node,
                seen,
                "holds a version that its owner never wrote",
            );
        }
    }

    fn a_version_never_falls(&mut self, now: Instant, node: &Node, seen: &Seen) {
        let held = self.held.entry(node.id().clone()).or_default();
        let before = held.get(seen.id()).copied();
        if seen.confirmed {
            held.insert(seen.id().clone(), seen.record.version);
        }
        if before.is_some_and(|before| before > seen.record.version) {
            self.violated(now, node, seen, "holds an older version than before");
        }
    }

    fn silence_is_noticed_in_time(&mut self, now: Instant, node: &Node, seen: &Seen) {
        // Two questions, one after the other, and what this node slept itself.
        let most = self.config.failure_timeout + Duration::from_secs(3) + node.slept();
        let slack = Duration::from_millis(100);
        if seen.confirmed && seen.status == Status::Alive && now.since(seen.heard) > most + slack {
            self.violated(
                now,
                node,
                seen,
                "is still alive to it after too long a silence",
            );
        }
    }

    fn nobody_is_given_up_too_soon(&mut self, now: Instant, node: &Node, seen: &Seen) {
        let written = self
            .written
            .get(seen.id())
            .and_then(|written| written.get(&seen.record.version));
        // A change between two rounds is written with the heartbeat of the last one.
        let least = self.config.dead_timeout - self.config.gossip_interval;
        let too_soon = written.is_some_and(|written| now.since(*written) < least);
        if seen.status == Status::Dead && seen.since == now && too_soon {
            self.violated(now, node, seen, "is dead to it too soon");
        }
    }

    fn tables_are_bounded(&mut self, now: Instant, node: &Node) {
        let limits = &self.config.limits;
        if node.rows() >= limits.nodes || node.remembered() > limits.remembered {
            let (rows, remembered) = (node.rows(), node.remembered());
            let what = format!(
                "{now:?}: {} holds {rows} rows and {remembered} departed",
                node.id()
            );
            self.note(what);
        }
    }

    fn violated(&mut self, now: Instant, node: &Node, seen: &Seen, what: &str) {
        self.note(format!(
            "{now:?}: of {} {} {what}: {seen:?}",
            seen.id(),
            node.id()
        ));
    }

    fn note(&mut self, violation: String) {
        if self.violations.len() < KEPT {
            self.violations.push(violation);
        }
    }
}
