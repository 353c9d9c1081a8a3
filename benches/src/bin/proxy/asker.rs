//! One connection that is asked the same again and again, at as little cost as may be: on a thread that waits for it, or on
//! one that has others to wait for as well.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// No answer takes as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fields of an answer's head.
const FIELDS: usize = 64;

/// The bytes of a request's body.
const BODY_BYTES: usize = 256;

/// Longer than any answer.
const ANSWER_BYTES: usize = 16 * 1_024;

/// A client that keeps its connection and waits.
pub(crate) struct Asker {
    address: SocketAddr,
    request: Vec<u8>,
    stream: Option<TcpStream>,
    answer: Reading,
}

/// A client that keeps its connection and lets others go on meanwhile.
pub(crate) struct AsyncAsker {
    address: SocketAddr,
    request: Vec<u8>,
    stream: Option<tokio::net::TcpStream>,
    answer: Reading,
}

impl Asker {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            request: request(address),
            stream: None,
            answer: Reading::new(),
        }
    }

    /// Asks once. Whether the answer was whole, and 200.
    pub(crate) fn ask(&mut self) -> bool {
        let answered = self.try_ask();
        if answered.is_none() {
            self.stream = None;
        }
        answered == Some(200)
    }

    /// The status of the answer, and `None` where the connection is of no use any more.
    fn try_ask(&mut self) -> Option<u16> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(connected(self.address)?),
        };
        stream.write_all(&self.request).ok()?;
        self.answer.length = 0;
        loop {
            let read = stream.read(self.answer.room()).ok()?;
            if let Some(status) = self.answer.grown(read)? {
                return Some(status);
            }
        }
    }
}

impl AsyncAsker {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            request: request(address),
            stream: None,
            answer: Reading::new(),
        }
    }

    /// Asks once. Whether the answer was whole, and 200.
    pub(crate) async fn ask(&mut self) -> bool {
        let answered = self.try_ask().await;
        if answered.is_none() {
            self.stream = None;
        }
        answered == Some(200)
    }

    async fn try_ask(&mut self) -> Option<u16> {
        if self.stream.is_none() {
            let stream = tokio::net::TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut()?;
        stream.write_all(&self.request).await.ok()?;
        self.answer.length = 0;
        loop {
            let read = stream.read(self.answer.room()).await.ok()?;
            if let Some(status) = self.answer.grown(read)? {
                return Some(status);
            }
        }
    }
}

fn request(address: SocketAddr) -> Vec<u8> {
    let filling = BODY_BYTES - "{\"query\":\"\"}".len();
    let body = format!("{{\"query\":\"{}\"}}", "q".repeat(filling));
    let head = format!(
        "POST /v1/agents/demo/run HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn connected(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// An answer as far as it has come.
struct Reading {
    buffer: Box<[u8]>,
    length: usize,
}

impl Reading {
    fn new() -> Self {
        Self {
            buffer: vec![0; ANSWER_BYTES].into(),
            length: 0,
        }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.length..]
    }

    /// The status, once the answer is whole; `None` where nothing more will come of it.
    fn grown(&mut self, read: usize) -> Option<Option<u16>> {
        if read == 0 {
            return None;
        }
        self.length += read;
        let head = head(&self.buffer[..self.length])?;
        Some(head.and_then(|(status, whole)| (self.length >= whole).then_some(status)))
    }
}

/// The status and the length of the whole answer, once its head is there; `None` where it is no answer with a length.
fn head(bytes: &[u8]) -> Option<Option<(u16, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_bytes) = answer.parse(bytes).ok()? else {
        return Some(None);
    };
    let length = answer
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = std::str::from_utf8(length.value).ok()?.parse().ok()?;
    Some(Some((answer.code?, head_bytes + length)))
}
