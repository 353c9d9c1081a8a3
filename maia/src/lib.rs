//! Gossip-based discovery for a mesh of nodes: who is there, who is gone, who leads, and who takes the next request.
//!
//! A node is given one or more seed addresses and the rest happens by itself. Members are discovered by gossip; silence
//! becomes suspicion and suspicion becomes death, judged by every node for itself; the greatest id leads, by a rule that
//! every node applies for itself; requests go to the member with the fewest in flight.
//!
//! This crate is the protocol and nothing else. [`node::Node`] is a state machine: what happened goes in, what is to be
//! done comes out. It reads no clock, opens no socket, starts no thread and draws no randomness but from the generator it
//! was given, so the same inputs give the same outputs, and [`sim`] can run hundreds of real nodes on virtual time.
//!
//! # Embedding
//! Implement [`driver::Transport`] (how a request reaches a peer) and [`driver::Timer`] (how one waits) for your runtime,
//! spawn [`driver::Driver::run`], and hand what peers send you to [`driver::Handle::call`]. With the feature `wire`, the
//! module `wire` reads and writes the JSON that Astromesh nodes speak, and `Handle::answer` takes a call as HTTP brought it.
//!
//! Without a runtime, by hand:
//! ```
//! use maia::config::Config;
//! use maia::node::{Identity, Input, Node, Output};
//! use maia::rng::Rng;
//! use maia::time::{Instant, Wall};
//!
//! let config = Config {
//!     seeds: vec!["http://10.0.0.1:8000".parse()?],
//!     ..Config::default()
//! };
//! let me = Identity {
//!     id: "b3c1".parse()?,
//!     name: "worker".parse()?,
//!     url: "http://10.0.0.2:8000".parse()?,
//!     services: vec!["agents".parse()?],
//!     agents: vec!["echo".parse()?],
//!     version: None,
//! };
//! let wall = Wall::from_unix_millis(1_767_225_600_000);
//! let mut node = Node::new(config, me, Instant::START, wall, Rng::from_seed(7))?;
//!
//! // Its deadline has come: it wants to join.
//! let outputs = node.handle(node.deadline(), Input::Tick { wall });
//! assert!(matches!(&outputs[0], Output::Send { to, .. } if to.as_str() == "http://10.0.0.1:8000"));
//! # Ok::<(), maia::error::Invalid>(())
//! ```
//!
//! # The house
//! From the roof to the ground; a file uses those below it and none above: `sim` · `driver` (over `mailbox`) · `node` ·
//! `gossip`, `detector`, `election`, `selector` (over `sync`) · `book`, `table` · `member` · `view` · `wire` ·
//! `message` · `event` · `record` · `config` · `address`, `id`, `time`, `rng`, `error`.
//!
//! # Limits
//! Whoever reaches a node's port is a member: nothing here proves who speaks. Leadership is advisory: in a partition each
//! side names a leader.

#![deny(missing_docs)]

pub mod address;
pub mod beats;
mod book;
pub mod config;
mod detector;
pub mod driver;
pub mod election;
pub mod error;
pub mod event;
mod gossip;
pub mod id;
mod mailbox;
mod member;
pub mod message;
pub mod node;
mod pulse;
mod pulses;
pub mod record;
pub mod rng;
pub mod selector;
pub mod sim;
mod sync;
mod table;
pub mod time;
pub mod view;
#[cfg(feature = "wire")]
pub mod wire;
