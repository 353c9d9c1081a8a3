//! HTTP from the calling side: connections kept and reused, a deadline on everything, and places that are never called.
//!
//! [`Pool`] is the ground: it sends one request to one place and says of a failure whether anything was sent. On it stand
//! the [`HttpTransport`] by which `maia` reaches peers, and the [`Client`] of the command line and the tests.

mod body;
mod client;
mod connect;
mod line;
mod patient;
mod pool;
mod reply;
mod shelf;
mod stream;
mod tcp;
mod timer;
mod transport;
mod wire;

pub use body::{Body, BoxError, ReadError, chain, empty, full, read_bounded};
pub use client::{Answer, CallError, Client};
pub use connect::{ConnectError, Reach};
pub use patient::patient;
pub use pool::{Pool, PoolSettings, SendError};
pub use reply::reply;
pub use stream::Stream;
pub use timer::TokioTimer;
pub use transport::{Exchanged, HttpTransport, Observer};
pub use wire::{Wire, WriteError, poll_read};
