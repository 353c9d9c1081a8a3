//! What a request's head gains and loses on its way.

use crate::answer::Answer;
use crate::here::{Here, Visitor};
use crate::hop::strip_hop_by_hop;
use astromesh_core::api::HOPS_HEADER;
use hyper::HeaderMap;
use hyper::header::{EXPECT, HOST, HeaderName, HeaderValue, VIA};
use maia::wire::NODE_ID_HEADER;
use uuid::Uuid;

/// The header that names a request, in every log that it passes.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How this software is called in `Via`.
const PSEUDONYM: &str = "1.1 astromesh";

/// The name that a request came with, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    const LONGEST: usize = 128;
    let given = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=LONGEST).contains(&id.len()) && id.to_str().is_ok());
    given.cloned().unwrap_or_else(|| {
        let fresh = Uuid::new_v4().to_string();
        HeaderValue::from_str(&fresh).expect("a UUID is visible ASCII")
    })
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
    headers.remove(HOST);
    // Whoever wants to be told to go on was told by reading its body.
    headers.remove(EXPECT);
    if let Some(visitor) = visitor {
        append(headers, FORWARDED_FOR, &visitor.address().to_string());
    }
    append(headers, VIA, PSEUDONYM);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(HOPS_HEADER, HeaderValue::from(hops.saturating_add(1)));
    let own = HeaderValue::from_str(here.id.as_str()).expect("a checked id is visible ASCII");
    headers.insert(NODE_ID_HEADER, own);
}

/// Makes an answer that came in one that goes on.
pub(super) fn inbound(answer: &mut Answer) {
    strip_hop_by_hop(answer.headers_mut());
    append(answer.headers_mut(), VIA, PSEUDONYM);
}

/// Adds to a list, as one field.
fn append(headers: &mut HeaderMap, name: HeaderName, item: &str) {
    let before = headers
        .get_all(&name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let list = before.chain([item]).collect::<Vec<_>>().join(", ");
    let list = HeaderValue::from_str(&list)
        .expect("addresses and what came as a header are visible ASCII");
    headers.insert(name, list);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_at_the_end() {
        let mut headers = HeaderMap::new();
        append(&mut headers, FORWARDED_FOR, "10.0.0.1");
        headers.append(FORWARDED_FOR, HeaderValue::from_static("10.0.0.2"));
        append(&mut headers, FORWARDED_FOR, "10.0.0.3");
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
