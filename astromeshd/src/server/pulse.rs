//! What a connection is waiting for, and since when.
//!
//! The wrapper around the socket sees bytes come and go, the one around an answer's body sees it end; together they know
//! where in a request a connection is. No timer is set for any of it: moments are only noted.

use astromesh_core::http::{Body, BoxError};
use astromesh_core::settings::HttpLimits;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Nothing has come yet.
const NEW: u8 = 0;
/// Between two requests.
const IDLE: u8 = 1;
/// A request's head has begun.
const HEAD: u8 = 2;
/// A request is being answered: how long that may take is not this file's business, unless the reader has stopped.
const ANSWERING: u8 = 3;

/// No write is waiting.
const FLOWING: u64 = u64::MAX;

/// Where a connection stands.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    stage: AtomicU8,
    since_millis: AtomicU64,
    stalled_millis: AtomicU64,
}

impl Pulse {
    /// A connection that was just opened.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            stage: AtomicU8::new(NEW),
            since_millis: AtomicU64::new(0),
            stalled_millis: AtomicU64::new(FLOWING),
        }
    }

    /// A head is complete, and its request about to be answered.
    pub(super) fn begin(&self) {
        self.enter(ANSWERING);
    }

    /// Whether it has waited too long for what it waits for.
    pub(super) fn is_overdue(&self, limits: &HttpLimits) -> bool {
        let waited = self.since(&self.since_millis);
        match self.stage.load(Ordering::Relaxed) {
            NEW => waited > limits.first_byte_timeout,
            IDLE => waited > limits.idle_timeout,
            HEAD => waited > limits.headers_timeout,
            _ => {
                let stalled = self.stalled_millis.load(Ordering::Relaxed) != FLOWING;
                stalled && self.since(&self.stalled_millis) > limits.idle_timeout
            }
        }
    }

    fn enter(&self, stage: u8) {
        self.since_millis
            .store(self.now_millis(), Ordering::Relaxed);
        self.stage.store(stage, Ordering::Relaxed);
    }

    fn bytes_came(&self) {
        if matches!(self.stage.load(Ordering::Relaxed), NEW | IDLE) {
            self.enter(HEAD);
        }
    }

    fn write_waits(&self, waits: bool) {
        let stalled = self.stalled_millis.load(Ordering::Relaxed) != FLOWING;
        if waits != stalled {
            let since = if waits { self.now_millis() } else { FLOWING };
            self.stalled_millis.store(since, Ordering::Relaxed);
        }
    }

    fn now_millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(FLOWING - 1)
    }

    fn since(&self, moment_millis: &AtomicU64) -> Duration {
        Duration::from_millis(
            self.now_millis()
                .saturating_sub(moment_millis.load(Ordering::Relaxed)),
        )
    }
}

/// A socket whose traffic is noted.
#[derive(Debug)]
pub(super) struct Attended<T> {
    socket: T,
    pulse: Arc<Pulse>,
}

impl<T> Attended<T> {
    pub(super) fn new(socket: T, pulse: Arc<Pulse>) -> Self {
        Self { socket, pulse }
    }
}

impl<T: Read + Unpin> Read for Attended<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = outcome {
            self.pulse.bytes_came();
        }
        outcome
    }
}

impl<T: Write + Unpin> Attended<T> {
    fn noted<R>(&self, outcome: Poll<R>) -> Poll<R> {
        self.pulse.write_waits(outcome.is_pending());
        outcome
    }
}

impl<T: Write + Unpin> Write for Attended<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.noted(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.noted(outcome)
    }
}

/// `body`, whose end makes the connection idle again.
pub(super) fn until_sent(body: Body, pulse: Arc<Pulse>) -> Body {
    Body::new(Sent { body, pulse })
}

struct Sent {
    body: Body,
    pulse: Arc<Pulse>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.pulse.enter(IDLE);
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HttpLimits {
        HttpLimits {
            first_byte_timeout: Duration::from_secs(1),
            headers_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(3),
            ..HttpLimits::default()
        }
    }

    /// A connection that has waited so long in that stage.
    fn waiting(stage: u8, seconds: u64) -> Pulse {
        let pulse = Pulse {
            start: Instant::now() - Duration::from_secs(100),
            ..Pulse::new()
        };
        pulse.stage.store(stage, Ordering::Relaxed);
        pulse
            .since_millis
            .store((100 - seconds) * 1_000, Ordering::Relaxed);
        pulse
    }

    #[test]
    fn each_stage_has_its_own_patience() {
        for (stage, overdue_after) in [(NEW, 1), (HEAD, 2), (IDLE, 3)] {
            assert!(
                !waiting(stage, overdue_after - 1).is_overdue(&limits()),
                "{stage}"
            );
            assert!(
                waiting(stage, overdue_after + 1).is_overdue(&limits()),
                "{stage}"
            );
        }
        assert!(!waiting(ANSWERING, 99).is_overdue(&limits()));
    }

    #[test]
    fn a_reader_that_stopped_is_not_waited_for() {
        let pulse = waiting(ANSWERING, 99);
        pulse.write_waits(true);
        assert!(!pulse.is_overdue(&limits()));
        pulse.stalled_millis.store(0, Ordering::Relaxed);
        assert!(pulse.is_overdue(&limits()));
        pulse.write_waits(false);
        assert!(!pulse.is_overdue(&limits()));
    }
}
