//! Bodies of every call and every answer: they are read or refused, and what was read is written so that it reads the same.
//!
//! The first byte says which call, and whether it is the call, a heartbeat with a header in its first line, an answer, or
//! a refusal ([`first_byte`]); the rest is the body.

use maia::message::{Entry, Reply, Request, Table};
use maia::wire::{Endpoint, decode_reply, decode_request, encode_reply, encode_request};

/// Every call, in the order in which the first byte counts them.
pub const ENDPOINTS: [Endpoint; 8] = [
    Endpoint::State,
    Endpoint::Join,
    Endpoint::Gossip,
    Endpoint::Exchange,
    Endpoint::Reconcile,
    Endpoint::Heartbeat,
    Endpoint::Leave,
    Endpoint::Election,
];

/// Statuses that are no success, by the higher bits of the first byte.
const REFUSALS: [u16; 8] = [0, 204, 400, 403, 404, 409, 500, 503];

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body of a call.
    Call,
    /// The header `X-Astromesh-Ask`, up to the first newline, and the body of a call.
    CallWithHeader,
    /// The body of an answer with status 200.
    Answer,
    /// The body of an answer with another status.
    Refusal,
}

const KINDS: [Kind; 4] = [
    Kind::Call,
    Kind::CallWithHeader,
    Kind::Answer,
    Kind::Refusal,
];

/// What comes before a body of that kind.
pub fn first_byte(endpoint: Endpoint, kind: Kind) -> u8 {
    let place = ENDPOINTS.iter().position(|other| *other == endpoint);
    let place = place.expect("every call is listed") as u8;
    place + 8 * kind as u8
}

/// One input: see the head of this file.
pub fn run(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let endpoint = ENDPOINTS[usize::from(first % 8)];
    match KINDS[usize::from(first / 8 % 4)] {
        Kind::Call => call(endpoint, None, body),
        Kind::CallWithHeader => {
            let (header, body) = first_line(body);
            call(endpoint, std::str::from_utf8(header).ok(), body);
        }
        Kind::Answer => answer(endpoint, 200, body),
        Kind::Refusal => answer(endpoint, REFUSALS[usize::from(first / 32)], body),
    }
}

/// What is before the first newline, and what is after it.
pub(crate) fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}

fn call(endpoint: Endpoint, ask: Option<&str>, body: &[u8]) {
    let mut request = match decode_request(endpoint, ask, body) {
        Ok(request) => request,
        Err(invalid) => return names_something(&invalid.to_string()),
    };
    assert_eq!(Endpoint::of(&request), endpoint);
    match &mut request {
        // No node makes this call: what it writes has no ids in it, and a ballot without ids is refused.
        Request::Election => return,
        Request::Join(entry) | Request::Heartbeat { entry, .. } => one_entry(entry),
        Request::Gossip(table) | Request::Reconcile { table, .. } => entries(table),
        _ => {}
    }
    let written = encode_request(&request);
    let ask = written.ask.as_ref().map(|id| id.as_str());
    let again = decode_request(endpoint, ask, &written.body);
    assert_eq!(again.as_ref(), Ok(&request));
}

fn answer(endpoint: Endpoint, status: u16, body: &[u8]) {
    let mut reply = match decode_reply(endpoint, status, body) {
        Ok(reply) => reply,
        Err(failure) => return names_something(&failure.to_string()),
    };
    assert_eq!(status, 200, "only a success brings a reply");
    match &mut reply {
        Reply::State(state) => entries(&mut state.table),
        Reply::Gossip(table) => entries(table),
        Reply::Heartbeat { node, asked } => node.iter().chain(&*asked).for_each(one_entry),
        _ => {}
    }
    let again = decode_reply(endpoint, status, &encode_reply(&reply).body);
    assert_eq!(again.as_ref(), Ok(&reply));
}

/// A complaint says something, and says it shortly: a peer's words are not repeated as long as they are.
fn names_something(complaint: &str) {
    assert!(!complaint.is_empty());
    assert!(complaint.lines().count() == 1, "{complaint:?}");
    assert!(complaint.chars().count() <= 600, "{complaint:?}");
}

/// Complaints about records are not written again.
fn entries(table: &mut Table) {
    table
        .spoiled
        .drain(..)
        .for_each(|invalid| names_something(&invalid.to_string()));
    table.entries.iter().for_each(one_entry);
}

/// A record takes no more bytes in a message than it says, and its words about itself agree.
fn one_entry(entry: &Entry) {
    let record = &entry.record;
    let bytes = encode_request(&Request::Join(entry.clone())).body.len();
    let most = record.size_bytes();
    assert!(
        bytes <= most,
        "{bytes} bytes, at the most {most}: {record:?}"
    );
    assert!(!record.supersedes(record));
    assert_eq!(record.merged(record), **record);
}
