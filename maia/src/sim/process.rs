//! What can run on a simulated machine.

use crate::id::NodeId;
use crate::message::Status;
use crate::node::{Input, Node, Output};
use crate::time::Instant;
use std::fmt::Debug;

/// Something that can run on a simulated machine: a [`Node`], an [`OlderNode`](super::OlderNode), or what a test makes up.
pub trait Process: Debug {
    /// As [`Node::handle`].
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output>;

    /// As [`Node::deadline`].
    fn deadline(&self) -> Instant;

    /// Who it says it is when it answers; older nodes do not say.
    fn speaks_as(&self) -> Option<NodeId>;

    /// The id it goes by.
    fn id(&self) -> NodeId;

    /// The real node, if this is one.
    fn as_node(&self) -> Option<&Node> {
        None
    }

    /// Whether what it says may be untrue: then the watch lets others believe it, as the protocol does not promise that
    /// they will not.
    fn lies(&self) -> bool {
        false
    }

    /// Whom it believes to be in the mesh, and how they stand.
    fn belief(&self, id: &NodeId) -> Option<Status>;
}

impl Process for Node {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        Self::handle(self, now, input)
    }

    fn deadline(&self) -> Instant {
        Self::deadline(self)
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(Self::id(self).clone())
    }

    fn id(&self) -> NodeId {
        Self::id(self).clone()
    }

    fn as_node(&self) -> Option<&Node> {
        Some(self)
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.status(id)
    }
}
