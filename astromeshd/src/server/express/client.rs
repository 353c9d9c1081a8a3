//! The client's side of a connection: what has come of it, and what goes to it.

use super::framing::Framing;
use super::{AHEAD_BYTES, LONGEST_BYTES, Rest};
use crate::answer::Answer;
use crate::server::pulse::Pulse;
use astromesh_core::http::poll_read;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::CONNECTION;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a request that has begun may take to be whole.
const PROMPT: Duration = Duration::from_millis(50);

/// A client, as long as the express serves it.
pub(super) struct Client<'a> {
    stream: TcpStream,
    pulse: &'a Pulse,
    /// What has come and is not answered.
    came: Vec<u8>,
}

/// Whether more has come.
pub(super) enum More {
    Came,
    /// Not in time, or the rest will never come.
    Late,
    /// Between two requests: it is over.
    Closed,
}

impl<'a> Client<'a> {
    pub(super) fn new(stream: TcpStream, pulse: &'a Pulse) -> Self {
        Self {
            stream,
            pulse,
            came: Vec::new(),
        }
    }

    /// What has come and is not answered.
    pub(super) fn came(&self) -> &[u8] {
        &self.came
    }

    /// Waits for more of it. Between two requests it is over once `closed`.
    pub(super) async fn more(&mut self, closed: Pin<&mut impl Future<Output = ()>>) -> More {
        let has_begun = !self.came.is_empty();
        if !has_begun {
            // Of a connection that waits nothing is kept.
            self.came = Vec::new();
        }
        let more = poll_fn(|context| poll_read(&mut self.stream, context, &mut self.came));
        let more = if has_begun {
            timeout(PROMPT, more).await.ok()
        } else {
            tokio::select! {
                biased;
                more = more => Some(more),
                () = closed => return More::Closed,
            }
        };
        match more {
            Some(Ok(1..)) => {
                self.pulse.bytes_came();
                More::Came
            }
            _ if has_begun => More::Late,
            _ => More::Closed,
        }
    }

    /// A request is whole, and about to be answered.
    pub(super) fn begin(&self) {
        self.pulse.begin();
    }

    /// The request of so many bytes needs them no more.
    pub(super) fn took(&mut self, bytes: usize) {
        self.came.drain(..bytes);
        if self.came.is_empty() {
            self.came = Vec::new();
        }
    }

    /// All that was begun is answered.
    pub(super) fn rest(&self) {
        self.pulse.rest();
    }

    /// What is left to be served by others, from the beginning of a request.
    pub(super) fn into_rest(self) -> Rest {
        self.pulse.rest();
        Rest {
            stream: self.stream,
            came: self.came,
        }
    }

    /// Waits for `work` as long as the client is there: what it sends meanwhile is read, for that is how one hears that it is
    /// gone. `None`: it is.
    pub(super) async fn while_there<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_gone(context).map(|()| None),
        })
        .await
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.came.len() <= AHEAD_BYTES {
            match poll_read(&mut self.stream, context, &mut self.came) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// Writes all of `bytes`. False where nobody takes them.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pulse.write_waits(true);
                    if self.stream.writable().await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        self.pulse.write_waits(false);
        true
    }

    /// Writes an answer as it comes. False where nothing more can be said on this connection.
    pub(super) async fn pass(&mut self, answer: Answer) -> bool {
        let (head, mut body) = answer.into_parts();
        let is_last = head
            .headers
            .get(CONNECTION)
            .is_some_and(|word| word == "close");
        let mut framing = Framing::of(head.status, &body);
        let mut out = framing.head(&head);
        // A stream may last for hours.
        drop(head);
        loop {
            let now = poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await;
            let frame = match now {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if !self.send(&std::mem::take(&mut out)).await {
                        return false;
                    }
                    match self.while_there(body.frame()).await {
                        Some(frame) => frame,
                        None => return false,
                    }
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if !framing.push(&mut out, &data) {
                        log::debug!("an answer is longer than it says");
                        return false;
                    }
                }
                Some(Err(error)) => {
                    log::debug!("an answer broke off: {error}");
                    self.send(&out).await;
                    return false;
                }
                None => break,
            }
            if out.len() > LONGEST_BYTES && !self.send(&std::mem::take(&mut out)).await {
                return false;
            }
        }
        // With its last byte here the node is done, whoever has still to read it.
        drop(body);
        let is_whole = framing.end(&mut out);
        self.send(&out).await && is_whole && !is_last
    }
}
