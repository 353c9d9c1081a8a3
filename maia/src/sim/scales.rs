//! What messages weigh: the bytes that the real encoders write, with the heads that HTTP puts before them.

use crate::message::{Reply, Request};

/// The head of a request of the daemon, and that of its answer, both with an id of 36 characters, as `peers` of `benches`
/// measures them on a socket.
const REQUEST_HEAD: usize = 175;
const REPLY_HEAD: usize = 175;

/// Bytes of a request on the wire, TCP and IP not counted.
pub(super) fn request_bytes(request: &Request) -> usize {
    REQUEST_HEAD
        + match request {
            Request::Exchange(beats) => beats.encode().len(),
            other => json_request_bytes(other),
        }
}

/// Bytes of an answer on the wire, TCP and IP not counted.
pub(super) fn reply_bytes(reply: &Reply) -> usize {
    REPLY_HEAD
        + match reply {
            Reply::Held(held) => held.encode().len(),
            other => json_reply_bytes(other),
        }
}

#[cfg(feature = "wire")]
fn json_request_bytes(request: &Request) -> usize {
    crate::wire::encode_request(request).body.len()
}

#[cfg(feature = "wire")]
fn json_reply_bytes(reply: &Reply) -> usize {
    crate::wire::encode_reply(reply).body.len()
}

/// Without the encoder: what the records take at the most.
#[cfg(not(feature = "wire"))]
fn json_request_bytes(request: &Request) -> usize {
    match request {
        Request::Join(entry) | Request::Heartbeat { entry, .. } => entry.record.size_bytes(),
        Request::Gossip(table) | Request::Reconcile { table, .. } => table_bytes(table),
        _ => 0,
    }
}

#[cfg(not(feature = "wire"))]
fn json_reply_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::State(state) => table_bytes(&state.table),
        Reply::Gossip(table) => table_bytes(table),
        Reply::Heartbeat { node, asked } => node
            .iter()
            .chain(asked)
            .map(|entry| entry.record.size_bytes())
            .sum(),
        _ => 0,
    }
}

#[cfg(not(feature = "wire"))]
fn table_bytes(table: &crate::message::Table) -> usize {
    table
        .entries
        .iter()
        .map(|entry| entry.record.size_bytes())
        .sum()
}
