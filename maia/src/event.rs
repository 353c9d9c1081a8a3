//! What happened in the mesh, as this node sees it: for logs, for people, and for whoever embeds it.

use crate::address::Url;
use crate::id::{Name, NodeId};
use std::fmt;
use std::time::Duration;

/// One thing that happened. `Display` is one line fit for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A member was confirmed: it answered, or one that we trust vouched for it.
    Joined {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
        /// Where it is reached.
        url: Url,
    },
    /// A member has been silent for too long, or refused a question.
    Suspected {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
        /// How long it has been silent.
        silent: Duration,
        /// What led to it.
        reason: Reason,
    },
    /// A suspected or dead member gave a sign of life.
    Recovered {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
    },
    /// A member was given up.
    Died {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
        /// How long it has been silent.
        silent: Duration,
    },
    /// A member said goodbye.
    Left {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
    },
    /// A member's row was dropped; a tombstone keeps old gossip from bringing it back.
    Forgotten {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
    },
    /// A member made way for the one that answers at its address now.
    Replaced {
        /// Who went.
        id: NodeId,
        /// Who answers there.
        by: NodeId,
        /// Where.
        url: Url,
    },
    /// Two ids answer in turn at one address: two nodes share it, or advertise it wrongly.
    Conflict {
        /// The address.
        url: Url,
        /// The one that answered before.
        one: NodeId,
        /// The one that answers now.
        other: NodeId,
    },
    /// Another leader is named, or none.
    LeaderChanged {
        /// Who.
        leader: Option<NodeId>,
    },
    /// Somebody said of this node what it did not say itself; it began a new incarnation to refute that.
    Refuted,
    /// This node joined the mesh through that address.
    JoinedThrough {
        /// A seed.
        seed: Url,
    },
    /// A seed did not let this node join; it will be tried again.
    SeedFailed {
        /// The seed.
        seed: Url,
        /// Why.
        failure: String,
    },
    /// An address is this node's own and will not be called again.
    FoundMyself {
        /// The address.
        url: Url,
    },
}

/// What made a member suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was silent, and neither it nor others could say otherwise.
    Silence,
    /// A node of the same name turned up elsewhere, and nobody listens at its address any more.
    Refusal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "silent, and no answer when asked",
            Self::Refusal => "its name turned up elsewhere, and its address refuses connections",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { id, name, url } => write!(f, "{name} joined ({id}, {url})"),
            Self::Suspected { name, silent, reason, .. } => {
                write!(f, "{name} is suspect after {:.1} s: {reason}", silent.as_secs_f64())
            }
            Self::Recovered { name, .. } => write!(f, "{name} is alive again"),
            Self::Died { name, silent, .. } => {
                write!(f, "{name} is dead after {:.1} s of silence", silent.as_secs_f64())
            }
            Self::Left { name, .. } => write!(f, "{name} left"),
            Self::Forgotten { name, .. } => write!(f, "{name} is forgotten"),
            Self::Replaced { id, by, url } => {
                write!(f, "{id} made way for {by}, which answers at {url} now")
            }
            Self::Conflict { url, one, other } => write!(
                f,
                "{one} and {other} answer in turn at {url}: two nodes advertise one address"
            ),
            Self::LeaderChanged { leader: Some(id) } => write!(f, "the leader is {id}"),
            Self::LeaderChanged { leader: None } => f.write_str("there is no leader"),
            Self::Refuted => f.write_str(
                "somebody claims of this node what it did not say; it begins a new incarnation to refute that",
            ),
            Self::JoinedThrough { seed } => write!(f, "joined the mesh through {seed}"),
            Self::SeedFailed { seed, failure } => {
                write!(f, "cannot join through {seed}: {failure}; trying again")
            }
            Self::FoundMyself { url } => write!(f, "{url} is this node itself"),
        }
    }
}
