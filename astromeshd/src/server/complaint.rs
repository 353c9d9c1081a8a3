//! What hyper says of its own accord, in words: it answers a head that it cannot read with a bare status.

use astromesh_core::api::Trouble;
use astromesh_core::settings::HttpLimits;

/// The answer in place of `written`, the whole of an answer by hyper, and what it counts as. `None` where it is none that
/// is known.
pub(super) fn instead_of(written: &[u8], limits: &HttpLimits) -> Option<(&'static str, Vec<u8>)> {
    let head = std::str::from_utf8(written).ok()?;
    let (status, _) = head.strip_prefix("HTTP/1.1 ")?.split_once("\r\n")?;
    let (bound, detail) = match status.get(..3)? {
        "400" => (
            "unreadable",
            "this is no HTTP request that can be read".to_owned(),
        ),
        "414" => (
            "headers",
            "the address in the request is too long".to_owned(),
        ),
        "431" => (
            "headers",
            format!(
                "the head of the request has more than {} bytes or {} fields",
                limits.header_bytes, limits.headers
            ),
        ),
        _ => return None,
    };
    let body = serde_json::to_string(&Trouble { detail }).expect("text always makes JSON");
    let answer = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Some((bound, answer.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_status_gets_a_body() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let (bound, answer) = instead_of(bare, &HttpLimits::default()).expect("it is known");
        assert_eq!(bound, "headers");
        let answer = String::from_utf8(answer).expect("it is text");
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(body.starts_with("{\"detail\":\"") && body.contains("16384 bytes or 64 fields"));
        assert!(answer.contains(&format!("content-length: {}\r\n", body.len())));
    }

    #[test]
    fn what_is_not_known_is_left_alone() {
        for written in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 4", "", "431"] {
            assert_eq!(instead_of(written.as_bytes(), &HttpLimits::default()), None);
        }
    }
}
