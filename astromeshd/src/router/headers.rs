//! What a request's head gains and loses on its way.

use super::wanted::Wanted;
use crate::answer::Answer;
use crate::here::{Here, Visitor};
use crate::hop::strip_hop_by_hop;
use astromesh_core::api::{
    ACTIVE_HEADER, ATTEMPTS_HEADER, HOPS_HEADER, IDEMPOTENT_HEADER, NODE_HEADER, OVERHEAD_HEADER,
    ROUTED_TO_HEADER,
};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, EXPECT, Entry, HOST, HeaderName, HeaderValue, VIA};
use hyper::{HeaderMap, StatusCode, Version};
use maia::selector::counter::Counter;
use maia::wire::NODE_ID_HEADER;
use std::time::Duration;
use uuid::Uuid;

/// The header that names a request, in every log that it passes.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);
/// The same as it is written.
pub(crate) const REQUEST_ID_HEADER: &str = "x-request-id";

/// The header that names the node which received a request.
pub(super) const NODE: HeaderName = HeaderName::from_static(NODE_HEADER);

/// The header that names the node which ran it.
pub(super) const ROUTED_TO: HeaderName = HeaderName::from_static(ROUTED_TO_HEADER);

/// The header that counts how many nodes were tried.
pub(super) const ATTEMPTS: HeaderName = HeaderName::from_static(ATTEMPTS_HEADER);

/// The header that says how long the router held a request.
pub(super) const OVERHEAD: HeaderName = HeaderName::from_static(OVERHEAD_HEADER);

/// The header that says how many requests a node is running.
pub(super) const ACTIVE: HeaderName = HeaderName::from_static(ACTIVE_HEADER);

/// The header that says that what a node ran may be run twice.
pub(super) const IDEMPOTENT: HeaderName = HeaderName::from_static(IDEMPOTENT_HEADER);

const HOPS: HeaderName = HeaderName::from_static(HOPS_HEADER);

const NODE_ID: HeaderName = HeaderName::from_static(NODE_ID_HEADER);

/// How many fields a request gains, and an answer, at most: room is made for them once.
const ADDED_TO_REQUESTS: usize = 6;

pub(super) const ADDED_TO_ANSWERS: usize = 8;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How this software is called in `Via`.
pub(crate) const PSEUDONYM: HeaderValue = HeaderValue::from_static("1.1 astromesh");

/// What a node says beside its answer, of itself and of what it ran.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    /// The name of the node that ran it.
    pub(crate) ran_by: Option<HeaderValue>,
    /// How many requests it is running.
    pub(crate) active: Option<u32>,
    /// Whether what it ran may be run twice.
    pub(crate) may_run_twice: bool,
}

impl Spoken {
    /// What it says in this answer. What is for this node alone is taken out.
    pub(super) fn take(answer: &mut Answer) -> Self {
        let headers = answer.headers_mut();
        let active = headers.remove(ACTIVE);
        Self {
            ran_by: headers.get(ROUTED_TO).cloned(),
            active: active.and_then(|said| said.to_str().ok()?.parse().ok()),
            may_run_twice: headers.remove(IDEMPOTENT).is_some(),
        }
    }

    /// Takes note of it. Only members are believed.
    pub(super) fn heed(
        &self,
        here: &Here,
        wanted: &impl Wanted,
        counter: &Counter,
        status: StatusCode,
    ) {
        if here.mesh.is_none() {
            return;
        }
        if let Some(active) = self.active {
            counter.heard(active);
        }
        match (&self.ran_by, self.active) {
            (Some(_), _) => wanted.learn(here, self.may_run_twice),
            (None, Some(active)) if status == StatusCode::TOO_MANY_REQUESTS => {
                counter.refused(active);
            }
            _ => {}
        }
    }
}

/// The name that a request came with, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    const LONGEST: usize = 128;
    let given = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=LONGEST).contains(&id.len()) && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        let fresh = Uuid::new_v4().to_string();
        HeaderValue::from_maybe_shared(Bytes::from(fresh)).expect("a UUID is visible ASCII")
    })
}

/// A time in milliseconds, to the microsecond.
pub(crate) fn millis(time: Duration) -> HeaderValue {
    let micros = time.as_micros();
    let text = format!("{}.{:03}", micros / 1_000, micros % 1_000);
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("digits are visible ASCII")
}

/// Makes the head of a request that came in one that goes out.
pub(super) fn outbound(
    headers: &mut HeaderMap,
    here: &Here,
    visitor: Option<&Visitor>,
    hops: u32,
    id: &HeaderValue,
) {
    strip_hop_by_hop(headers);
    headers.reserve(ADDED_TO_REQUESTS);
    headers.remove(HOST);
    // Whoever wants to be told to go on was told by reading its body.
    headers.remove(EXPECT);
    if let Some(visitor) = visitor {
        append(headers, FORWARDED_FOR, visitor.forwarded_for.clone());
    }
    append(headers, VIA, PSEUDONYM);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(HOPS, HeaderValue::from(hops.saturating_add(1)));
    headers.insert(NODE_ID, here.id_text.clone());
}

/// Makes an answer that came in one that goes on.
pub(super) fn inbound(answer: &mut Answer) {
    // Whoever passes on speaks for himself. (RFC 9110, section 2.5.)
    *answer.version_mut() = Version::HTTP_11;
    strip_hop_by_hop(answer.headers_mut());
    let headers = answer.headers_mut();
    append(headers, VIA, PSEUDONYM);
    if is_event_stream(headers) {
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
}

/// Whether it comes event by event, which no proxy further on may hold back.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Adds to a list, as one field.
fn append(headers: &mut HeaderMap, name: HeaderName, item: HeaderValue) {
    let list = match headers.entry(name) {
        Entry::Occupied(list) => list,
        Entry::Vacant(none) => {
            none.insert(item);
            return;
        }
    };
    let texts = list
        .iter()
        .chain([&item])
        .filter_map(|value| value.to_str().ok());
    let joined = texts.collect::<Vec<_>>().join(", ");
    let joined = HeaderValue::from_str(&joined)
        .expect("addresses and what came as a header are visible ASCII");
    let name = list.remove_entry_mult().0;
    headers.insert(name, joined);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_at_the_end() {
        let mut headers = HeaderMap::new();
        append(
            &mut headers,
            FORWARDED_FOR,
            HeaderValue::from_static("10.0.0.1"),
        );
        headers.append(FORWARDED_FOR, HeaderValue::from_static("10.0.0.2"));
        append(
            &mut headers,
            FORWARDED_FOR,
            HeaderValue::from_static("10.0.0.3"),
        );
        assert_eq!(headers.get_all(FORWARDED_FOR).iter().count(), 1);
        assert_eq!(headers[FORWARDED_FOR], "10.0.0.1, 10.0.0.2, 10.0.0.3");
    }

    #[test]
    fn a_request_keeps_its_name() {
        let mut headers = HeaderMap::new();
        let fresh = request_id(&headers);
        assert_eq!(fresh.len(), 36);
        headers.insert(REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(request_id(&headers), "mine");
    }
}
