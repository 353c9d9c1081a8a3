//! Heads that can be read in two ways are refused: whoever stands before or behind this node might read them otherwise.
//!
//! hyper refuses most of them itself. It takes what the standard only permits a server to take: two lengths that agree, a
//! length beside chunks, lines that end without CR. Of these nothing is left once it has read the head, so the bytes are
//! looked at before: not to find out what they mean, only whether they are plain.

use hyper::Request;
use hyper::header::{HOST, TRANSFER_ENCODING};
use std::sync::atomic::{AtomicU8, Ordering};

/// What was seen of the bytes of the next head, on its way to whoever answers the request.
#[derive(Debug, Default)]
pub(super) struct Seen(AtomicU8);

/// Nothing: it came while the request before it was being answered.
const UNSEEN: u8 = 0;
const PLAIN: u8 = 1;
const TWO_LENGTHS: u8 = 2;
const BARE_LINE_FEED: u8 = 3;

/// The head that is coming in, as far as it is not there yet. Most come in one piece, and then it keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Watch {
    partial: Vec<u8>,
    is_complete: bool,
}

impl Watch {
    /// These bytes have come, and belong to a head, or follow one.
    pub(super) fn look(&mut self, bytes: &[u8], seen: &Seen) {
        if self.is_complete {
            return;
        }
        let found = if self.partial.is_empty() {
            judge(bytes)
        } else {
            self.partial.extend_from_slice(bytes);
            judge(&self.partial)
        };
        if let Some(found) = found {
            seen.0.store(found, Ordering::Relaxed);
            self.is_complete = true;
            self.partial = Vec::new();
        } else if self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// The next bytes begin another head.
    pub(super) fn begin(&mut self) {
        self.is_complete = false;
        self.partial.clear();
    }
}

/// What a head is like; `None` as long as its end is not there.
fn judge(bytes: &[u8]) -> Option<u8> {
    let (mut lengths, mut has_chunks, mut has_bare_line_feed, mut has_begun) =
        (0, false, false, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n")?;
        has_bare_line_feed |= !line.ends_with(b"\r");
        match line {
            b"\r" | b"" if has_begun => {
                return Some(match (lengths, has_chunks) {
                    _ if has_bare_line_feed => BARE_LINE_FEED,
                    (0, _) | (1, false) => PLAIN,
                    _ => TWO_LENGTHS,
                });
            }
            // Empty lines before the first one do no harm.
            b"\r" | b"" => {}
            [b'c' | b'C', ..] if begins(line, b"content-length") => lengths += 1,
            [b't' | b'T', ..] if begins(line, b"transfer-encoding") => has_chunks = true,
            _ => {}
        }
        has_begun |= line.len() > 1;
    }
    None
}

/// Whether a head can be read in one way alone; `None` as long as its end is not there.
pub(super) fn is_plain(head: &[u8]) -> Option<bool> {
    judge(head).map(|found| found == PLAIN)
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Why this request is refused, if it is: what was seen of its bytes, and what hyper made of them.
pub(super) fn refusal<B>(request: &Request<B>, seen: &Seen) -> Option<&'static str> {
    let seen = seen.0.swap(UNSEEN, Ordering::Relaxed);
    let headers = request.headers();
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = match (encodings.next(), encodings.next()) {
        (None, _) => false,
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Some("of transfer encodings only chunked is possible, and only once"),
    };
    let hosts = headers.get_all(HOST).iter().count();
    match seen {
        TWO_LENGTHS => Some("its head says twice how long its body is"),
        BARE_LINE_FEED => Some("a line of its head ends with LF alone"),
        UNSEEN if is_chunked => {
            Some("it is chunked, and was sent before the one before it was answered")
        }
        _ if hosts > 1 => Some("its head names more than one Host"),
        _ if hosts == 0 && request.version() == hyper::Version::HTTP_11 => {
            Some("its head names no Host")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_in_two_ways_is_seen() {
        let start = "POST / HTTP/1.1\r\nHost: x\r\n";
        for (rest, expected) in [
            ("\r\n", PLAIN),
            ("Content-Length: 5\r\n\r\nhello", PLAIN),
            ("content-length: 5\r\n\r\nContent-Length: 5\r\n\r\n", PLAIN),
            ("transfer-encoding: chunked\r\n\r\n0\r\n\r\n", PLAIN),
            ("X-Content-Length: 5\r\ncontent-length: 5\r\n\r\n", PLAIN),
            (
                "Content-Length: 5\r\ncontent-length: 5\r\n\r\n",
                TWO_LENGTHS,
            ),
            (
                "CONTENT-LENGTH: 5\r\ntransfer-encoding: chunked\r\n\r\n",
                TWO_LENGTHS,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                TWO_LENGTHS,
            ),
            ("content-length: 5\n\r\n", BARE_LINE_FEED),
            ("content-length: 5\r\n\n", BARE_LINE_FEED),
        ] {
            let head = format!("{start}{rest}");
            assert_eq!(judge(head.as_bytes()), Some(expected), "{rest:?}");
            assert_eq!(
                judge(format!("\r\n{head}").as_bytes()),
                Some(expected),
                "{rest:?}"
            );
        }
        assert_eq!(judge(start.as_bytes()), None);
    }

    #[test]
    fn a_head_that_comes_in_pieces_is_seen_as_a_whole() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 1..head.len() - 5 {
            let (mut watch, seen) = (Watch::default(), Seen::default());
            watch.look(&head[..cut], &seen);
            watch.look(&head[cut..], &seen);
            assert_eq!(seen.0.load(Ordering::Relaxed), TWO_LENGTHS, "{cut}");
        }
    }
}
