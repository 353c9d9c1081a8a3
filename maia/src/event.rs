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
        /// How long it had been heard of before.
        known: Duration,
        /// What makes it a member.
        reason: Reason,
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
        /// How long it had been what it was taken for last: suspect, dead, or gone.
        after: Duration,
        /// Why it had been taken for that.
        reason: Reason,
    },
    /// A member was given up.
    Died {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
        /// How long it has been silent.
        silent: Duration,
        /// What had made it suspect.
        reason: Reason,
    },
    /// A member said goodbye.
    Left {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
        /// How long it had been known here, in this life of its.
        known: Duration,
        /// By what that is known.
        reason: Reason,
    },
    /// A member's row was dropped; a tombstone keeps old gossip from bringing it back.
    Forgotten {
        /// Who.
        id: NodeId,
        /// What people call it.
        name: Name,
        /// How long it had been dead or gone.
        gone: Duration,
        /// Because of that time, or because its owner told this node to.
        reason: Reason,
    },
    /// A member made way for the one that answers at its address now.
    Replaced {
        /// Who went.
        id: NodeId,
        /// What people called it.
        name: Name,
        /// How long it had been known here, in that life of its.
        known: Duration,
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
        /// Whom this node took for it until now.
        before: Option<NodeId>,
        /// For how long, or how long there was none.
        lasted: Duration,
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

/// Why this node takes a member for what it now does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Joined: it answered at its address under its id.
    Answered,
    /// Joined: it stood in the answer of a member that this node trusts.
    Vouched,
    /// Suspect: it was silent, and neither it nor others could say otherwise.
    Silence,
    /// Suspect: a node of the same name turned up elsewhere, and nobody listens at its address any more.
    Refusal,
    /// Left: by its own word.
    Goodbye,
    /// Left: by the word of others, and what is at its address agrees.
    Departure,
    /// Forgotten: it has been dead or gone for long enough.
    Age,
    /// Forgotten: this node was told to.
    Dismissal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "it answered",
            Self::Vouched => "a member vouched for it",
            Self::Silence => "silent, and no answer when asked",
            Self::Refusal => "its name turned up elsewhere, and its address refuses connections",
            Self::Goodbye => "it said goodbye",
            Self::Departure => "it was said to leave, and is not at its address",
            Self::Age => "nothing was heard of it since",
            Self::Dismissal => "this node was told to",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { id, name, url, .. } => write!(f, "{name} joined ({id}, {url})"),
            Self::Suspected {
                name,
                silent,
                reason,
                ..
            } => write!(f, "{name} is suspect after {}: {reason}", Span(*silent)),
            Self::Recovered { name, after, .. } => {
                write!(f, "{name} is alive again after {}", Span(*after))
            }
            Self::Died { name, silent, .. } => {
                write!(f, "{name} is dead after {} of silence", Span(*silent))
            }
            Self::Left {
                name,
                reason: Reason::Goodbye,
                ..
            } => write!(f, "{name} left"),
            Self::Left { name, reason, .. } => write!(f, "{name} left: {reason}"),
            Self::Forgotten {
                name, gone, reason, ..
            } => write!(f, "{name} is forgotten after {}: {reason}", Span(*gone)),
            Self::Replaced {
                id, name, by, url, ..
            } => write!(
                f,
                "{name} ({id}) made way for {by}, which answers at {url} now"
            ),
            Self::Conflict { url, one, other } => write!(
                f,
                "{one} and {other} answer in turn at {url}: two nodes advertise one address"
            ),
            Self::LeaderChanged {
                leader: Some(id), ..
            } => write!(f, "the leader is {id}"),
            Self::LeaderChanged { leader: None, .. } => f.write_str("there is no leader"),
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

/// A time span in a log line.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
