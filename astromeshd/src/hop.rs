//! Header fields that are about one connection, and not about the message.

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// The known ones. (RFC 9110, section 7.6.1.)
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Whether a field of that name is one of them.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    let mut known = HOP_BY_HOP.iter();
    known.any(|known| known.as_str().eq_ignore_ascii_case(name))
}

/// Whether a body is coded in another way than in chunks, of which nothing is said any more when it is passed on.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Takes away what is about one connection, and what `Connection` names besides.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most heads have none of them, and looking through a short list is quicker than asking for each.
    let known = headers.keys().filter(|name| HOP_BY_HOP.contains(name));
    let mut taken: Vec<HeaderName> = known.cloned().collect();
    if taken.contains(&CONNECTION) {
        let listed = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse::<HeaderName>().ok());
        taken.extend(listed);
    }
    for name in &taken {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn what_is_about_the_connection_stays_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Mine"),
            ("keep-alive", "timeout=5"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
            ("traceparent", "00-a-b-01"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "traceparent"]);
    }
}
