//! What a connection is waiting for, and since when.
//!
//! The wrapper around the socket sees bytes come and go, the one around an answer's body sees it end; together they know
//! where in a request a connection is. No timer is set for any of it: moments are only noted.

use super::complaint;
use super::heads::{Seen, Watch};
use crate::here::{Here, Visitor};
use astromesh_core::http::{Body, BoxError};
use astromesh_core::settings::HttpLimits;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
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
    /// Whether anything was ever asked.
    was_asked: AtomicBool,
    /// Whether something of an answer may not have been sent.
    owes: AtomicBool,
    /// What the bytes of the next request's head are like.
    seen: Seen,
}

impl Pulse {
    /// A connection that was just opened.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            stage: AtomicU8::new(NEW),
            since_millis: AtomicU64::new(0),
            stalled_millis: AtomicU64::new(FLOWING),
            was_asked: AtomicBool::new(false),
            owes: AtomicBool::new(false),
            seen: Seen::default(),
        }
    }

    /// A head is complete, and its request about to be answered.
    pub(super) fn begin(&self) {
        self.was_asked.store(true, Ordering::Relaxed);
        self.owes.store(true, Ordering::Relaxed);
        self.enter(ANSWERING);
    }

    /// Nothing is being answered, and all that was is sent.
    pub(super) fn rest(&self) {
        self.owes.store(false, Ordering::Relaxed);
        self.enter(IDLE);
    }

    /// What was seen of the head whose request begins.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether nothing has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == NEW
    }

    fn is_answering(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == ANSWERING
    }

    /// The limit past which it has waited for what it waits for, if it has.
    pub(super) fn overdue(&self, limits: &HttpLimits) -> Option<&'static str> {
        let waited = self.since(&self.since_millis);
        let (limit, bound, waited) = match self.stage.load(Ordering::Relaxed) {
            NEW => ("first_byte_timeout", limits.first_byte_timeout, waited),
            HEAD => ("headers_timeout", limits.headers_timeout, waited),
            IDLE if !self.is_stalled() => ("idle_timeout", limits.idle_timeout, waited),
            _ if !self.is_stalled() => return None,
            _ => {
                let stalled = self.since(&self.stalled_millis);
                ("idle_timeout", limits.idle_timeout, stalled)
            }
        };
        (waited > bound).then_some(limit)
    }

    /// How well it can be spared, the best first; `None` where it is being answered.
    pub(super) fn sparable(&self) -> Option<(bool, u64)> {
        if self.stage.load(Ordering::Relaxed) == ANSWERING {
            return None;
        }
        let was_asked = self.was_asked.load(Ordering::Relaxed);
        let waited = self.since(&self.since_millis).as_millis();
        Some((
            was_asked,
            u64::MAX - u64::try_from(waited).unwrap_or(u64::MAX),
        ))
    }

    fn is_stalled(&self) -> bool {
        self.stalled_millis.load(Ordering::Relaxed) != FLOWING
    }

    /// Whether what is written now can only be hyper's own, about a head that it cannot read: all that was asked is
    /// answered.
    fn is_unasked(&self) -> bool {
        !self.is_answering() && !self.owes.load(Ordering::Relaxed)
    }

    fn all_is_sent(&self) {
        if !self.is_answering() {
            self.owes.store(false, Ordering::Relaxed);
        }
    }

    fn enter(&self, stage: u8) {
        self.since_millis
            .store(self.now_millis(), Ordering::Relaxed);
        self.stage.store(stage, Ordering::Relaxed);
    }

    /// Bytes of a head have come. Whether they are the first of it.
    pub(super) fn bytes_came(&self) -> bool {
        let are_first = matches!(self.stage.load(Ordering::Relaxed), NEW | IDLE);
        if are_first {
            self.enter(HEAD);
        }
        are_first
    }

    pub(super) fn write_waits(&self, waits: bool) {
        if waits != self.is_stalled() {
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

/// A socket whose traffic is noted, and where complaints get words.
pub(super) struct Attended<'a, T> {
    socket: T,
    pulse: Arc<Pulse>,
    here: &'a Here,
    visitor: &'a Visitor,
    head: Watch,
    /// A complaint that is not sent to its end.
    complaint: Vec<u8>,
}

impl<'a, T> Attended<'a, T> {
    pub(super) fn new(socket: T, pulse: Arc<Pulse>, here: &'a Here, visitor: &'a Visitor) -> Self {
        Self {
            socket,
            pulse,
            here,
            visitor,
            head: Watch::default(),
            complaint: Vec::new(),
        }
    }
}

thread_local! {
    /// Where the bytes of heads are looked at, before hyper has them: one for all, as nothing stays in it.
    static DESK: RefCell<Box<[u8]>> = RefCell::new(vec![0; 16 * 1_024].into());
}

impl<T: Read + Unpin> Read for Attended<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pulse.is_answering() {
            return Pin::new(&mut this.socket).poll_read(context, buffer);
        }
        DESK.with_borrow_mut(|desk| {
            let room = desk.len().min(buffer.remaining());
            let mut read = ReadBuf::new(&mut desk[..room]);
            ready!(Pin::new(&mut this.socket).poll_read(context, read.unfilled()))?;
            if this.pulse.bytes_came() {
                this.head.begin();
            }
            this.head.look(read.filled(), &this.pulse.seen);
            buffer.put_slice(read.filled());
            Poll::Ready(Ok(()))
        })
    }
}

impl<T: Write + Unpin> Attended<'_, T> {
    /// Writes a complaint with words in place of `bare`, where that is one without.
    fn poll_complain(
        &mut self,
        context: &mut Context<'_>,
        bare: &[u8],
    ) -> Poll<Option<io::Result<usize>>> {
        if self.complaint.is_empty() {
            match complaint::instead_of(bare, &self.here.settings.limits) {
                Some((bound, complaint)) if self.pulse.is_unasked() => {
                    self.here.turn_away(self.visitor.address(), bound);
                    self.complaint = complaint;
                }
                _ => return Poll::Ready(None),
            }
        }
        while !self.complaint.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(context, &self.complaint)) {
                Ok(0) => return Poll::Ready(Some(Err(io::ErrorKind::WriteZero.into()))),
                Ok(sent) => drop(self.complaint.drain(..sent)),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(Some(Ok(bare.len())))
    }

    fn noted<R>(&self, outcome: Poll<R>) -> Poll<R> {
        self.pulse.write_waits(outcome.is_pending());
        outcome
    }
}

impl<T: Write + Unpin> Write for Attended<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.pulse.is_unasked() {
            let complained = self.poll_complain(context, bytes);
            match self.noted(complained) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(sent)) => return Poll::Ready(sent),
                Poll::Pending => return Poll::Pending,
            }
        }
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.noted(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the socket once it has written all it has.
        self.pulse.all_is_sent();
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
        if self.pulse.is_unasked() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(context, first.map_or(&[], |slice| slice));
        }
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.noted(outcome)
    }
}

/// `body`, whose end makes the connection idle again.
pub(super) fn until_sent(body: Body, pulse: Arc<Pulse>) -> Sent {
    Sent { body, pulse }
}

/// See [`until_sent`].
pub(super) struct Sent {
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
                waiting(stage, overdue_after - 1)
                    .overdue(&limits())
                    .is_none(),
                "{stage}"
            );
            assert!(
                waiting(stage, overdue_after + 1)
                    .overdue(&limits())
                    .is_some(),
                "{stage}"
            );
        }
        assert_eq!(waiting(ANSWERING, 99).overdue(&limits()), None);
    }

    #[test]
    fn a_reader_that_stopped_is_not_waited_for() {
        let pulse = waiting(ANSWERING, 99);
        pulse.write_waits(true);
        assert_eq!(pulse.overdue(&limits()), None);
        pulse.stalled_millis.store(0, Ordering::Relaxed);
        assert_eq!(pulse.overdue(&limits()), Some("idle_timeout"));
        pulse.write_waits(false);
        assert_eq!(pulse.overdue(&limits()), None);
    }

    #[test]
    fn those_that_never_asked_can_be_spared_first_then_those_that_asked_long_ago() {
        let asked = |seconds| {
            let pulse = waiting(IDLE, seconds);
            pulse.was_asked.store(true, Ordering::Relaxed);
            pulse
        };
        let in_order = [waiting(HEAD, 3), waiting(NEW, 2), asked(60), asked(5)];
        let standings = in_order.map(|pulse| pulse.sparable().expect("it can be spared"));
        assert!(standings.is_sorted(), "{standings:?}");
        assert_eq!(waiting(ANSWERING, 99).sparable(), None);
    }
}
