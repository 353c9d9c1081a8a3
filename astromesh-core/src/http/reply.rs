//! An answer that comes in on a [`Wire`], in the form in which all others are passed on.

use super::body::{Body, BoxError};
use super::pool::Pool;
use super::wire::Wire;
use hyper::body::{Buf, Bytes, Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Response, StatusCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The longest head that is read, and the most fields in it.
const HEAD_BYTES: usize = 64 * 1_024;
const FIELDS: usize = 100;

/// The longest line between two chunks, and the most that is passed over after the last one.
const CHUNK_LINE_BYTES: usize = 1_024;
const TRAILER_BYTES: usize = 16 * 1_024;

/// The answer on `wire` of which `read` has come already, once its head is there. Its body keeps the wire for the next, in
/// `pool`, when it is over; trailers are passed over.
///
/// # Errors
/// Where what comes is no answer, or ends before its head does.
pub async fn reply(
    pool: Pool,
    mut wire: Wire,
    mut read: Vec<u8>,
) -> Result<Response<Body>, BoxError> {
    let head = loop {
        if let Some(head) = Head::read(&read)? {
            read.drain(..head.bytes);
            if !head.status.is_informational() {
                break head;
            }
            continue;
        }
        if read.len() > HEAD_BYTES {
            return Err(format!("the head of the answer has more than {HEAD_BYTES} bytes").into());
        }
        if poll_fn(|context| wire.poll_read(context, &mut read)).await? == 0 {
            return Err("the connection closed before an answer".into());
        }
    };
    let mut body = Coming {
        kept: Some((pool, wire)),
        keeps: head.keeps,
        read: read.into(),
        left: head.left,
    };
    if body.left == Left::Bytes(0) {
        body.end();
    }
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if let Some(reason) = head.reason {
        response.extensions_mut().insert(reason);
    }
    Ok(response)
}

/// The head of an answer.
struct Head {
    /// How long it is.
    bytes: usize,
    status: StatusCode,
    /// What it is called, where that is not the usual.
    reason: Option<ReasonPhrase>,
    fields: HeaderMap,
    left: Left,
    /// Whether there may be another answer after this one.
    keeps: bool,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// So many bytes.
    Bytes(u64),
    /// So many of this chunk, and then others.
    OfChunk(u64),
    /// The end of a chunk's line.
    ChunkEnd,
    /// A chunk's length.
    ChunkLength,
    /// Fields that come after the last chunk, of which so many bytes have come.
    Trailers(usize),
    /// All that comes until the connection closes.
    UntilClosed,
    Nothing,
}

impl Head {
    /// The head at the beginning of `read`, once all of it is there.
    fn read(read: &[u8]) -> Result<Option<Self>, BoxError> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(bytes) = head.parse(read)? else {
            return Ok(None);
        };
        let status = StatusCode::from_u16(head.code.unwrap_or_default())?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err("it changes to a protocol that nobody asked for".into());
        }
        let reason = head.reason.unwrap_or_default();
        let is_usual = status.canonical_reason() == Some(reason);
        let reason = (!is_usual).then(|| reason.as_bytes().try_into());
        let mut fields = HeaderMap::with_capacity(head.headers.len() + 8);
        for field in &*head.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes())?;
            fields.append(name, HeaderValue::from_bytes(field.value)?);
        }
        let says_close = lists(&fields, &CONNECTION, "close");
        let left = left_after(status, &mut fields)?;
        Ok(Some(Self {
            bytes,
            status,
            reason: reason.transpose()?,
            keeps: head.version == Some(1) && !says_close && left != Left::UntilClosed,
            fields,
            left,
        }))
    }
}

/// Whether one of the words in the fields of that name is `word`.
fn lists(fields: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = fields.get_all(name).iter();
    let words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words
        .map(<[u8]>::trim_ascii)
        .any(|one| one.eq_ignore_ascii_case(word.as_bytes()))
}

/// How the end of the body is known. (RFC 9112, section 6.3.)
fn left_after(status: StatusCode, fields: &mut HeaderMap) -> Result<Left, BoxError> {
    let has_none = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut encodings = fields.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        _ if has_none => return Ok(Left::Bytes(0)),
        (None, _) => {}
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            fields.remove(CONTENT_LENGTH);
            return Ok(Left::ChunkLength);
        }
        _ => return Err("of transfer encodings only chunked can be read".into()),
    }
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next().cloned() else {
        return Ok(Left::UntilClosed);
    };
    if lengths.any(|other| *other != length) {
        return Err("it says twice how long it is, and not the same".into());
    }
    let digits = length.to_str()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("its length is {digits:?}").into());
    }
    fields.insert(CONTENT_LENGTH, length.clone());
    Ok(Left::Bytes(digits.parse()?))
}

/// A body on its way.
struct Coming {
    /// The wire, and where it goes in the end.
    kept: Option<(Pool, Wire)>,
    keeps: bool,
    /// What has come and was not passed on.
    read: Bytes,
    left: Left,
}

impl Coming {
    fn end(&mut self) {
        self.left = Left::Nothing;
        if let Some((pool, wire)) = self.kept.take()
            && self.keeps
            && self.read.is_empty()
        {
            pool.keep(wire);
        }
    }

    /// Reads more behind what has come. False at the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, BoxError>> {
        let Some((_, wire)) = &mut self.kept else {
            return Poll::Ready(Ok(false));
        };
        if self.read.is_empty() {
            // What was passed on from it would keep all of it as long as nothing comes.
            self.read = Bytes::new();
        }
        let mut more = Vec::new();
        let count = ready!(wire.poll_read(context, &mut more))?;
        self.read = if self.read.is_empty() {
            more.into()
        } else {
            [&self.read[..], &more].concat().into()
        };
        Poll::Ready(Ok(count > 0))
    }

    /// What has come of the next `most` bytes.
    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
        most: u64,
    ) -> Poll<Result<Option<Bytes>, BoxError>> {
        if self.read.is_empty() && !ready!(self.poll_more(context))? {
            return Poll::Ready(Ok(None));
        }
        let count = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.read.len());
        Poll::Ready(Ok(Some(self.read.split_to(count))))
    }

    /// Reads what lies between two chunks, or after the last. `None` where that is not all there.
    fn between_chunks(&mut self) -> Result<Option<Left>, BoxError> {
        match self.left {
            Left::ChunkLength => match httparse::parse_chunk_size(&self.read) {
                Ok(httparse::Status::Complete((bytes, length))) => {
                    self.read.advance(bytes);
                    let is_last = length == 0;
                    Ok(Some(if is_last {
                        Left::Trailers(0)
                    } else {
                        Left::OfChunk(length)
                    }))
                }
                Ok(httparse::Status::Partial) if self.read.len() <= CHUNK_LINE_BYTES => Ok(None),
                _ => Err("it is not chunked as it says".into()),
            },
            Left::ChunkEnd if self.read.len() < 2 => Ok(None),
            Left::ChunkEnd if self.read.starts_with(b"\r\n") => {
                self.read.advance(2);
                Ok(Some(Left::ChunkLength))
            }
            Left::Trailers(bytes) => {
                let Some(line) = self.read.iter().position(|byte| *byte == b'\n') else {
                    let is_too_long = bytes + self.read.len() > TRAILER_BYTES;
                    return if is_too_long {
                        Err("its trailers are too long".into())
                    } else {
                        Ok(None)
                    };
                };
                let is_last = matches!(&self.read[..line], b"" | b"\r");
                self.read.advance(line + 1);
                let so_far = bytes + line + 1;
                if so_far > TRAILER_BYTES {
                    return Err("its trailers are too long".into());
                }
                Ok(Some(if is_last {
                    Left::Nothing
                } else {
                    Left::Trailers(so_far)
                }))
            }
            _ => Err("it is not chunked as it says".into()),
        }
    }
}

impl hyper::body::Body for Coming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            let most = match this.left {
                Left::Nothing | Left::Bytes(0) => {
                    this.end();
                    return Poll::Ready(None);
                }
                Left::Bytes(most) | Left::OfChunk(most) => most,
                Left::UntilClosed => u64::MAX,
                Left::ChunkEnd | Left::ChunkLength | Left::Trailers(_) => {
                    match this.between_chunks() {
                        Ok(Some(left)) => this.left = left,
                        Ok(None) => match ready!(this.poll_more(context)) {
                            Ok(true) => {}
                            Ok(false) => return Poll::Ready(Some(Err(broke_off()))),
                            Err(error) => return Poll::Ready(Some(Err(error))),
                        },
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                    continue;
                }
            };
            let data = match ready!(this.poll_data(context, most)) {
                Ok(Some(data)) => data,
                Ok(None) if this.left == Left::UntilClosed => {
                    this.left = Left::Nothing;
                    continue;
                }
                Ok(None) => return Poll::Ready(Some(Err(broke_off()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let left = most - data.len() as u64;
            this.left = match this.left {
                Left::Bytes(_) => Left::Bytes(left),
                Left::OfChunk(_) if left > 0 => Left::OfChunk(left),
                Left::OfChunk(_) => Left::ChunkEnd,
                other => other,
            };
            if this.left == Left::Bytes(0) {
                this.end();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Left::Nothing
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Bytes(left) => SizeHint::with_exact(left),
            Left::Nothing => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

fn broke_off() -> BoxError {
    "the connection closed in the middle of the answer".into()
}

#[cfg(test)]
mod tests {
    use super::super::{PoolSettings, Reach};
    use super::*;
    use http_body_util::BodyExt;
    use maia::address::Url;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// The answer that a node gives in these pieces, and whether its connection is kept afterwards.
    async fn answered(
        pieces: &[&[u8]],
        closes: bool,
    ) -> (Result<(Response<()>, Bytes), String>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let url = Url::new(&format!("http://{address}")).expect("a url");
        let pool = Pool::new(PoolSettings::new(Reach::Anywhere));
        let wire = pool.wire(&url).await.expect("it listens");
        let (mut node, _) = listener.accept().await.expect("it connects");
        let says = async {
            for piece in pieces {
                node.write_all(piece).await.expect("it is read");
                tokio::task::yield_now().await;
            }
            (!closes).then_some(node)
        };
        let whole = async {
            let (head, body) = reply(pool.clone(), wire, Vec::new()).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, BoxError>((Response::from_parts(head, ()), body))
        };
        let (_node, whole) = tokio::join!(says, whole);
        let again = pool.wire(&url).await.expect("it listens");
        let connected =
            tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept());
        let is_kept = connected.await.is_err();
        drop(again);
        (whole.map_err(|error| error.to_string()), is_kept)
    }

    #[tokio::test]
    async fn a_body_ends_where_its_head_says() {
        let head = "HTTP/1.1 200 OK\r\n";
        for (rest, body, is_kept) in [
            ("content-length: 5\r\n\r\nhello", "hello", true),
            ("content-length: 0\r\n\r\n", "", true),
            (
                "content-length: 5\r\nconnection: close\r\n\r\nhello",
                "hello",
                false,
            ),
            (
                "content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
                "hello",
                true,
            ),
            (
                "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                "hello",
                true,
            ),
            (
                "transfer-encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n",
                "hello",
                true,
            ),
            ("content-length: 5\r\n\r\nhello and more", "hello", false),
        ] {
            let whole = format!("{head}{rest}");
            let bytes: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
            for pieces in [&[whole.as_bytes()][..], &bytes] {
                let (answer, kept) = answered(pieces, false).await;
                let (_, read) = answer.unwrap_or_else(|error| panic!("{rest:?}: {error}"));
                assert_eq!(read, body, "{rest:?}");
                assert_eq!(kept, is_kept, "{rest:?}");
            }
        }
    }

    #[tokio::test]
    async fn without_a_length_it_ends_with_the_connection() {
        let pieces: [&[u8]; 2] = [b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"];
        let (answer, is_kept) = answered(&pieces, true).await;
        assert_eq!(answer.expect("it can be read").1, "hello");
        assert!(!is_kept);
        let (answer, _) = answered(&[b"HTTP/1.1 204 No Content\r\n\r\n"], false).await;
        assert_eq!(answer.expect("it can be read").1, "");
    }

    #[tokio::test]
    async fn what_says_of_the_way_that_it_is_no_news_is_passed_over() {
        let pieces: [&[u8]; 2] = [
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n",
            b"\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nhi",
        ];
        let (head, body) = answered(&pieces, false).await.0.expect("it can be read");
        assert_eq!(
            (head.status(), &body[..]),
            (StatusCode::CREATED, &b"hi"[..])
        );
        assert!(!head.headers().contains_key("link"));
    }

    #[tokio::test]
    async fn what_breaks_off_or_cannot_be_read_says_so() {
        let long_line = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;{}",
            "x".repeat(2_000)
        );
        let trailers = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}\r\n",
            "x: y\r\n".repeat(4_000)
        );
        for (said, what) in [
            ("", "closed before an answer"),
            ("HTTP/1.1 200", "closed before an answer"),
            ("hello there\r\n\r\n", "invalid"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
                "in the middle",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
                "its length",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
                "too large",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
                "twice",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
                "only chunked",
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "protocol"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                "not chunked",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello",
                "not chunked",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
                "in the middle",
            ),
            (&long_line, "not chunked"),
            (&trailers, "trailers"),
        ] {
            let (answer, is_kept) = answered(&[said.as_bytes()], true).await;
            let trouble = answer.map(|(_, body)| body).expect_err(said);
            assert!(trouble.contains(what), "{said:?}: {trouble}");
            assert!(!is_kept, "{said:?}");
        }
    }
}
