//! What goes into a node, and what comes out.

use crate::address::Url;
use crate::event::Event;
use crate::id::{Label, Name, NodeId};
use crate::message::{Answer, Caller, Failure, Reply, Request};
use crate::record::Load;
use crate::time::Wall;

/// Which of the calls that reached this node; made by whoever drives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

impl CallId {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which of the exchanges that this node began; made by the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(u64);

impl ExchangeId {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id: a fresh one for each start, unless there is a reason to keep one.
    pub id: NodeId,
    /// What people call it.
    pub name: Name,
    /// Where others reach it.
    pub url: Url,
    /// What it does.
    pub services: Vec<Label>,
    /// The agents it runs.
    pub agents: Vec<Label>,
    /// The release it runs, if others should know.
    pub version: Option<Name>,
}

impl Identity {
    /// A node that says no more of itself.
    pub fn new(id: NodeId, name: Name, url: Url) -> Self {
        Self {
            id,
            name,
            url,
            services: Vec::new(),
            agents: Vec::new(),
            version: None,
        }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// The deadline has come.
    Tick {
        /// The time of day, which stamps the node's own record and decides nothing else.
        wall: Wall,
    },
    /// A request came in.
    Receive {
        /// Names the call in [`Output::Reply`].
        call: CallId,
        /// Where it came from.
        caller: Caller,
        /// What it says.
        request: Request,
    },
    /// An exchange ended.
    Answer {
        /// The one that [`Output::Send`] named.
        exchange: ExchangeId,
        /// What came of it.
        answer: Result<Answer, Failure>,
    },
    /// The owner of the node has something to say.
    Command(Command),
}

/// What its owner tells a node about itself.
#[derive(Clone, Debug)]
pub enum Command {
    /// It is as busy as this. Travels with the next heartbeat.
    Load(Load),
    /// It runs these agents now. Told at once. Passed over, and counted among the refused requests, where its record would
    /// take more than `limits.record_bytes` with them.
    Agents(Vec<Label>),
    /// Others reach it here. Told at once.
    Url(Url),
    /// Others can be joined through these addresses, in place of those it was told before. What is known of one that it
    /// held already stays known. See [`Config::seeds_follow`](crate::config::Config::seeds_follow).
    Seeds(Vec<Url>),
    /// It is to drop the row of a dead member; one that is not dead stays. Old gossip does not bring it back, and told to
    /// nobody: the others forget for themselves.
    Forget(NodeId),
    /// It takes no new requests from now on: told at once, and its services and agents are withdrawn.
    Drain,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Take `request` to `to`, and bring what comes of it as [`Input::Answer`].
    Send {
        /// Names the exchange.
        exchange: ExchangeId,
        /// This node, for [`Answer::from`]'s counterpart on the wire.
        from: NodeId,
        /// Whom to call.
        to: Url,
        /// What to say.
        request: Request,
    },
    /// Nobody waits for this exchange any more.
    Abandon {
        /// The one that [`Output::Send`] named.
        exchange: ExchangeId,
    },
    /// Answer a call that came in as [`Input::Receive`].
    Reply {
        /// Which.
        call: CallId,
        /// What to say.
        reply: Reply,
    },
    /// Something happened that people may want to know.
    Report(Event),
    /// The mesh looks different now: [`Node::view`](super::Node::view) shows how.
    Changed,
}
