//! What the watch sees of a node: the one place that reads a node's state for it.

use crate::address::Url;
use crate::event::Reason;
use crate::id::NodeId;
use crate::message::Status;
use crate::node::Node;
use crate::record::Version;
use crate::view::{Seen, View};
use std::sync::Arc;
use std::time::Duration;

/// A node at one moment.
#[derive(Debug)]
pub(super) struct Glimpse {
    /// Its own word, and whether it left.
    pub(super) own_version: Version,
    pub(super) own_status: Status,
    pub(super) own_url: Option<Url>,
    pub(super) has_left: bool,
    /// How much of its own sleep it does not hold against others.
    pub(super) slept: Duration,
    pub(super) members: usize,
    pub(super) remembered: usize,
    /// All others of whom it has a row and who have not left, in order of id.
    pub(super) rows: Vec<Row>,
    /// What requests are routed by.
    pub(super) view: Arc<View>,
}

/// One member, to that node.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: NodeId,
    pub(super) version: Version,
    /// Whether its record is one of our nodes', which count rounds.
    pub(super) is_ours: bool,
    pub(super) status: Status,
    pub(super) reason: Option<Reason>,
    pub(super) confirmed: bool,
    /// When its version last rose here, by the observer's clock without its sleep; the watch's own note.
    pub(super) risen: Duration,
    /// Whether a version of this incarnation was a lie when it was taken; the watch's note, too.
    pub(super) misled: bool,
}

impl Glimpse {
    pub(super) fn of(node: &Node) -> Self {
        let view = node.view();
        let own = view.me();
        Self {
            own_version: own.map(|own| own.record.version).unwrap_or_default(),
            own_status: own.map_or(Status::Alive, |own| own.status),
            own_url: own.map(|own| own.record.card.url.clone()),
            has_left: view.left,
            slept: node.slept(),
            members: node.rows() + 1,
            remembered: node.remembered(),
            rows: view
                .members
                .iter()
                .filter(|seen| !seen.is_me)
                .map(Row::of)
                .collect(),
            view,
        }
    }
}

impl Row {
    fn of(seen: &Seen) -> Self {
        Self {
            id: seen.id().clone(),
            version: seen.record.version,
            is_ours: seen.record.ext.is_some(),
            status: seen.status,
            reason: seen.reason,
            confirmed: seen.confirmed,
            risen: Duration::ZERO,
            misled: false,
        }
    }
}
