//! An answer that is read and written in one go.
//!
//! Plain is a `200 OK` of known length, short, in HTTP/1.1, with a date, and without anything that needs a closer look. All
//! others go on in the ordinary way.

use super::LONGEST_BYTES;
use super::fields::{List, bytes_said, push};
use crate::here::Here;
use crate::hop::is_hop_by_hop;
use crate::router::{PSEUDONYM, REQUEST_ID_HEADER, Spoken, millis};
use astromesh_core::api::{
    ACTIVE_HEADER, ATTEMPTS_HEADER, IDEMPOTENT_HEADER, NODE_HEADER, OVERHEAD_HEADER,
    ROUTED_TO_HEADER,
};
use httparse::{EMPTY_HEADER, Response, Status};
use hyper::header::HeaderValue;
use maia::wire::NODE_ID_HEADER;
use std::cmp::Ordering;
use std::ops::Range;
use std::time::Duration;

/// As many fields are read; with more it is not plain.
const FIELDS: usize = 64;

/// What is added to a head, roughly.
const ADDED_BYTES: usize = 512;

/// What has come of an answer.
pub(super) enum Read {
    Part,
    Plain(Box<Plain>),
    Other,
}

/// A plain answer, on its way to the client.
pub(super) struct Plain {
    /// What the node says of itself and of this run.
    pub(super) spoken: Spoken,
    /// Whether its connection can be used again.
    pub(super) keeps: bool,
    /// The head that goes on, but for what this node adds.
    head: Vec<u8>,
    via: List,
    body: Range<usize>,
}

/// What this node adds to it.
pub(super) struct Added<'a> {
    /// The name of the request.
    pub(super) id: &'a [u8],
    pub(super) ran_by: &'a HeaderValue,
    /// How long this node held it.
    pub(super) overhead: Duration,
    /// Whether nothing more is read of the connection.
    pub(super) is_last: bool,
}

/// What a field is to a plain answer.
enum Field {
    /// It goes on as it is.
    Passed,
    Length,
    Date,
    Kind,
    Via,
    Connection,
    /// Who ran it, how many requests that node is running, and whether this may be run twice.
    RanBy,
    Active,
    Twice,
    /// It goes no further: it is about the connection, or this node says it itself.
    Dropped,
    /// With it, the answer is not plain.
    Other,
}

impl Field {
    fn of(name: &str, here: &Here) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            3 if is("via") => Self::Via,
            4 if is("date") => Self::Date,
            10 if is("connection") => Self::Connection,
            12 if is("content-type") => Self::Kind,
            12 if is("x-request-id") => Self::Dropped,
            14 if is("content-length") => Self::Length,
            17 if is("transfer-encoding") => Self::Other,
            _ if is_hop_by_hop(name) => Self::Dropped,
            _ if !name.as_bytes().starts_with(b"x-") && !name.as_bytes().starts_with(b"X-") => {
                Self::Passed
            }
            _ if is(ROUTED_TO_HEADER) => Self::RanBy,
            _ if is(ACTIVE_HEADER) => Self::Active,
            _ if is(IDEMPOTENT_HEADER) => Self::Twice,
            _ if is(NODE_HEADER) || is(ATTEMPTS_HEADER) || is(OVERHEAD_HEADER) => Self::Dropped,
            _ if is(NODE_ID_HEADER) && here.mesh.is_some() => Self::Dropped,
            _ => Self::Passed,
        }
    }
}

impl Plain {
    /// What the bytes that were heard are.
    pub(super) fn read(heard: &[u8], here: &Here) -> Read {
        let mut fields = [EMPTY_HEADER; FIELDS];
        let mut answer = Response::new(&mut fields);
        let end = match answer.parse(heard) {
            Ok(Status::Complete(end)) => end,
            Ok(Status::Partial) if heard.len() <= LONGEST_BYTES => return Read::Part,
            _ => return Read::Other,
        };
        if answer.version != Some(1) || answer.code != Some(200) {
            return Read::Other;
        }
        let mut plain = Self {
            spoken: Spoken::default(),
            keeps: true,
            head: Vec::with_capacity(end + ADDED_BYTES),
            via: List::default(),
            body: end..end,
        };
        for part in ["HTTP/1.1 200 ", answer.reason.unwrap_or_default(), "\r\n"] {
            plain.head.extend_from_slice(part.as_bytes());
        }
        let (mut length, mut has_date) = (None, false);
        for field in &*answer.headers {
            let is_one_word = |word: &str| field.value.eq_ignore_ascii_case(word.as_bytes());
            match Field::of(field.name, here) {
                Field::Passed => {}
                Field::Date => has_date = true,
                Field::Length if length.is_none() => match bytes_said(field.value) {
                    Some(bytes) => length = Some(bytes),
                    None => return Read::Other,
                },
                Field::Kind if field.value.starts_with(b"text/event-stream") => return Read::Other,
                Field::Kind => {}
                Field::Via => {
                    plain.via.add(field.value);
                    continue;
                }
                Field::Connection if is_one_word("close") => {
                    plain.keeps = false;
                    continue;
                }
                Field::Connection if is_one_word("keep-alive") => continue,
                Field::RanBy => {
                    plain.spoken.ran_by = HeaderValue::from_bytes(field.value).ok();
                    continue;
                }
                Field::Active => {
                    let said = std::str::from_utf8(field.value).ok();
                    plain.spoken.active = said.and_then(|said| said.parse().ok());
                    continue;
                }
                Field::Twice => {
                    plain.spoken.may_run_twice = true;
                    continue;
                }
                Field::Dropped => continue,
                Field::Length | Field::Connection | Field::Other => return Read::Other,
            }
            push(&mut plain.head, field.name, field.value);
        }
        let Some(length) = length.filter(|_| has_date) else {
            return Read::Other;
        };
        plain.body = end..end + length;
        match heard.len().cmp(&plain.body.end) {
            Ordering::Less => Read::Part,
            Ordering::Equal => Read::Plain(Box::new(plain)),
            Ordering::Greater => Read::Other,
        }
    }

    /// What goes to the client, of what was `heard`, and with what this node adds.
    pub(super) fn written(mut self, heard: &[u8], here: &Here, added: &Added<'_>) -> Vec<u8> {
        let head = &mut self.head;
        self.via.push_with(head, "via", PSEUDONYM.as_bytes());
        push(head, NODE_HEADER, here.name_text.as_bytes());
        push(head, REQUEST_ID_HEADER, added.id);
        push(head, ATTEMPTS_HEADER, b"1");
        push(head, OVERHEAD_HEADER, millis(added.overhead).as_bytes());
        push(head, ROUTED_TO_HEADER, added.ran_by.as_bytes());
        if here.mesh.is_some() {
            push(head, NODE_ID_HEADER, here.id_text.as_bytes());
        }
        if added.is_last {
            push(head, "connection", b"close");
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(&heard[self.body]);
        self.head
    }
}
