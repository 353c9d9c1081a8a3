//! How an answer is written, so that its end is known. (RFC 9112, section 6.)

use super::fields::push;
use astromesh_core::http::Body;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use hyper::http::response::Parts;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use std::io::Write;

/// How the end of a body is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunks,
    /// By its status the answer has none.
    Bodiless,
}

impl Framing {
    /// What suits that body.
    pub(super) fn of(status: StatusCode, body: &Body) -> Self {
        let has_none = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match body.size_hint().exact() {
            _ if has_none => Self::Bodiless,
            Some(bytes) => Self::Length(bytes),
            None => Self::Chunks,
        }
    }

    /// The head as it is written.
    pub(super) fn head(&self, head: &Parts) -> Vec<u8> {
        let given = head.extensions.get::<ReasonPhrase>();
        let usual = || head.status.canonical_reason().unwrap_or_default();
        let reason = given.map_or_else(|| usual().as_bytes(), ReasonPhrase::as_bytes);
        let mut out = Vec::with_capacity(1_024);
        for part in [b"HTTP/1.1 ", head.status.as_str().as_bytes(), b" ", reason] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"\r\n");
        let about_the_end = |name| name == CONTENT_LENGTH || name == TRANSFER_ENCODING;
        for (name, value) in head
            .headers
            .iter()
            .filter(|(name, _)| !about_the_end(*name))
        {
            push(&mut out, name.as_str(), value.as_bytes());
        }
        if !head.headers.contains_key(DATE)
            && let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now())
        {
            push(&mut out, "date", date.as_bytes());
        }
        match self {
            Self::Length(bytes) => {
                push(&mut out, "content-length", bytes.to_string().as_bytes());
            }
            Self::Chunks => push(&mut out, "transfer-encoding", b"chunked"),
            Self::Bodiless => {}
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Writes some more of the body. False where there is more of it than there can be.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, data: &[u8]) -> bool {
        match self {
            Self::Length(left) => {
                let Some(less) = left.checked_sub(data.len() as u64) else {
                    return false;
                };
                *left = less;
                out.extend_from_slice(data);
            }
            // A chunk without bytes is the last one.
            Self::Chunks if data.is_empty() => {}
            Self::Chunks => {
                out.reserve(data.len() + 20);
                write!(out, "{:x}\r\n", data.len()).expect("memory takes all");
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Self::Bodiless => {}
        }
        true
    }

    /// Writes what comes after the last of it. False where some is missing.
    pub(super) fn end(&self, out: &mut Vec<u8>) -> bool {
        if *self == Self::Chunks {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        matches!(self, Self::Length(0) | Self::Chunks | Self::Bodiless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astromesh_core::http::full;
    use hyper::Response;
    use hyper::header::HeaderValue;

    /// What is written of an answer whose body comes in those pieces; and whether its end can be told.
    fn written(mut framing: Framing, pieces: &[&str]) -> (String, bool) {
        let mut out = Vec::new();
        let fits = pieces
            .iter()
            .all(|piece| framing.push(&mut out, piece.as_bytes()));
        let is_whole = framing.end(&mut out);
        (String::from_utf8(out).expect("text"), fits && is_whole)
    }

    #[test]
    fn the_end_of_a_body_is_known() {
        for (framing, pieces, text, is_whole) in [
            (Framing::Length(5), &["he", "", "llo"][..], "hello", true),
            (Framing::Length(5), &["he"], "he", false),
            (Framing::Length(1), &["he"], "", false),
            (Framing::Length(0), &[], "", true),
            (
                Framing::Chunks,
                &["he", "", "llo"],
                "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
                true,
            ),
            (Framing::Chunks, &[], "0\r\n\r\n", true),
            (Framing::Bodiless, &["hello"], "", true),
        ] {
            assert_eq!(written(framing, pieces), (text.to_owned(), is_whole));
        }
    }

    #[test]
    fn a_head_says_one_length_whatever_it_said_before() {
        let mut answer = Response::new(full("hello"));
        let headers = answer.headers_mut();
        headers.insert(DATE, HeaderValue::from_static("today"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        let framing = Framing::of(answer.status(), answer.body());
        let head = String::from_utf8(framing.head(&answer.into_parts().0)).expect("text");
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 5\r\n\r\n"
        );
    }
}
