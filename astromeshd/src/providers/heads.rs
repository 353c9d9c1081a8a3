//! What of a head passes between a client and a provider. All that is not named here stays: above all what a client says of
//! itself, and what a provider holds about this node.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

/// What a client's head says to a provider as well.
const PASSED: [HeaderName; 8] = [
    ACCEPT,
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
];

/// What a provider's head says to a client as well, beside what begins with one of [`PASSED_BACK_BEGINNINGS`].
const PASSED_BACK: [HeaderName; 6] = [
    CONTENT_TYPE,
    RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-should-retry"),
];

const PASSED_BACK_BEGINNINGS: [&str; 3] = ["anthropic-", "openai-", "x-ratelimit-"];

/// Adds to the head of a request to a provider what the client's head says for it.
pub(super) fn forth(from: &HeaderMap, to: &mut HeaderMap) {
    for name in PASSED {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

/// What a provider's head says for the client. A field with this node's key in it is for nobody.
pub(super) fn back(from: &HeaderMap, key: Option<&str>) -> HeaderMap {
    let is_passed = |name: &HeaderName| {
        let begins = |beginning: &&str| name.as_str().starts_with(beginning);
        PASSED_BACK.contains(name) || PASSED_BACK_BEGINNINGS.iter().any(begins)
    };
    let is_free_of_key =
        |value: &HeaderValue| key.is_none_or(|key| !contains(value.as_bytes(), key));
    let passed = from
        .iter()
        .filter(|(name, value)| is_passed(name) && is_free_of_key(value));
    passed
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Whether `word` is somewhere in `text`.
pub(super) fn contains(text: &[u8], word: &str) -> bool {
    !word.is_empty() && text.windows(word.len()).any(|part| part == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        fields.collect()
    }

    #[test]
    fn what_a_client_says_of_itself_stays_here() {
        let from = headers(&[
            ("authorization", "Bearer theirs"),
            ("x-api-key", "theirs"),
            ("cookie", "a=b"),
            ("x-astromesh-hops", "1"),
            ("anthropic-beta", "b"),
            ("traceparent", "00-a-b-01"),
        ]);
        let mut to = HeaderMap::new();
        forth(&from, &mut to);
        assert_eq!(
            to,
            headers(&[("anthropic-beta", "b"), ("traceparent", "00-a-b-01")])
        );
    }

    #[test]
    fn what_a_provider_says_of_this_node_stays_here() {
        let from = headers(&[
            ("content-type", "application/json"),
            ("set-cookie", "a=b"),
            ("openai-organization", "ours"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("request-id", "with sk-secret in it"),
        ]);
        let passed = back(&from, Some("sk-secret"));
        let expected = headers(&[
            ("content-type", "application/json"),
            ("openai-organization", "ours"),
            ("x-ratelimit-remaining-tokens", "7"),
        ]);
        assert_eq!(passed, expected);
    }
}
