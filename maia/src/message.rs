//! What nodes say to each other: a few calls, each a request and a reply.

use crate::beats::{Beats, Held};
use crate::error::Invalid;
use crate::id::NodeId;
use crate::record::Record;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a member stands, as the node that says so judges it from silence. No node takes another's judgement over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Heard of within `failure_timeout`.
    Alive,
    /// Silent for longer.
    Suspect,
    /// Given up: silent for `dead_timeout`.
    Dead,
    /// Said goodbye. On the wire it is `dead`, the nearest word that older nodes know.
    Left,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead | Self::Left => "dead",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            other => other.as_str(),
        })
    }
}

/// A record as a node hands it on: the owner's word, with the sender's opinion beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The owner's word.
    pub record: Arc<Record>,
    /// How the sender judges it. Ours do so for older nodes and for people, and read it from nobody.
    pub status: Status,
    /// Whether the sender takes it for the leader; likewise.
    pub leader: bool,
}

/// Records as they came in one body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Those that could be read.
    pub entries: Vec<Entry>,
    /// What was wrong with the others.
    pub spoiled: Vec<Invalid>,
}

impl From<Vec<Entry>> for Table {
    fn from(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            spoiled: Vec::new(),
        }
    }
}

/// A node's view of the whole mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Every confirmed member, this node among them.
    pub table: Table,
    /// Whom this node takes for the leader.
    pub leader: Option<NodeId>,
    /// Rises with every change of this node's table; means nothing elsewhere.
    pub version: u64,
}

/// Which node a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The one with this id.
    Id(NodeId),
    /// The node that is called: `"self"` on the wire, and heeded only from its own machine.
    Myself,
}

/// A call from one node, or from a person, to another.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `GET /state`: whom do you see?
    State,
    /// `POST /join`: here I am; whom do you see?
    Join(Entry),
    /// `POST /join` of `"self"`: a node that left joins anew.
    Rejoin,
    /// `POST /gossip`: this is what I hold; what do you?
    Gossip(Table),
    /// `POST /exchange`: the same between our own nodes, in two bits a member.
    Exchange(Beats),
    /// `POST /reconcile`: these words of mine differ from yours; what of those, by the hashes of their ids?
    Reconcile {
        /// The caller's words.
        table: Table,
        /// The hashes of the ids whose words are wanted.
        wanted: Vec<u32>,
    },
    /// `POST /heartbeat`: I am alive; are you? And is `ask`?
    Heartbeat {
        /// The caller.
        entry: Entry,
        /// A third member, to be asked on the caller's behalf.
        ask: Option<NodeId>,
    },
    /// `POST /leave`: this one leaves.
    Leave(Subject),
    /// `POST /election`: whom do you take for the leader? The ids that come along change nothing.
    Election,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To `State`, `Join` and `Rejoin`.
    State(State),
    /// To `Gossip` and `Reconcile`.
    Gossip(Table),
    /// To `Exchange`.
    Held(Held),
    /// To `Heartbeat`. Older nodes say neither.
    Heartbeat {
        /// The answering node, as of now.
        node: Option<Entry>,
        /// The member that was to be asked, if it answered within a second.
        asked: Option<Entry>,
    },
    /// To `Leave`.
    Leave,
    /// To `Election`.
    Election(Option<NodeId>),
    /// To any: no. Nothing was changed.
    Refused(Refusal),
}

/// Why a node did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something in the request is wrong.
    Invalid(Invalid),
    /// Only this node's own machine may say that.
    NotFromHere,
    /// This node has left the mesh.
    Left,
    /// This node has to do with too many at once; come back after that time.
    Busy(Duration),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::NotFromHere => f.write_str(
                "node_id: \"self\" is taken only from this node's own machine; call it on 127.0.0.1 there",
            ),
            Self::Left => f.write_str("this node has left the mesh; POST /v1/mesh/join with {\"node_id\":\"self\"} from its own machine brings it back"),
            Self::Busy(after) => write!(
                f,
                "this node has too many exchanges under way; try again in {} s",
                after.as_secs().max(1)
            ),
        }
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who it says it is (`X-Astromesh-Node-Id`). Anyone can write that.
    pub id: Option<NodeId>,
    /// The address at the other end of the connection, where there is one.
    pub address: Option<IpAddr>,
    /// Whether that is this very machine.
    pub on_this_host: bool,
}

impl Caller {
    /// One that is at `peer`, reached this node at `local`, and said that it is `id`, as the header has it.
    /// ```
    /// use maia::message::Caller;
    ///
    /// let at = |peer: [u8; 4]| Caller::at(peer.into(), [10, 0, 0, 1].into(), Some("b3c1"));
    /// assert!(at([127, 0, 0, 1]).on_this_host && at([10, 0, 0, 1]).on_this_host);
    /// assert!(!at([10, 0, 0, 2]).on_this_host);
    /// assert_eq!(at([10, 0, 0, 2]).id.unwrap().as_str(), "b3c1");
    /// ```
    pub fn at(peer: IpAddr, local: IpAddr, id: Option<&str>) -> Self {
        let (peer, local) = (peer.to_canonical(), local.to_canonical());
        Self {
            id: id.and_then(|id| NodeId::new(id).ok()),
            address: Some(peer),
            on_this_host: peer.is_loopback() || peer == local,
        }
    }
}

/// An answer that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Who it says it is (`X-Astromesh-Node-Id`); `None` from an older node.
    pub from: Option<NodeId>,
    /// What it says.
    pub reply: Reply,
}

/// Why no answer arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The machine answered that nobody listens there.
    Refused,
    /// Nothing came back in time.
    TimedOut,
    /// The place could not be reached at all; says why.
    Unreachable(String),
    /// The node there answered that it is in trouble itself; says which. It may do better the next time.
    InTrouble(String),
    /// Something answered, but not what was asked; says what.
    Unusable(String),
    /// The node there answered that it has left.
    Left,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Self::InTrouble(what) => write!(f, "in trouble: {what}"),
            Self::Unusable(what) => write!(f, "unusable answer: {what}"),
            Self::Left => f.write_str("it has left the mesh"),
        }
    }
}
