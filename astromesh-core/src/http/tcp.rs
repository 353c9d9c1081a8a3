//! Connections of which is known what is true of them now: the runtime hears of an end only when it next looks, and until
//! then a connection to one who has just died seems as good as ever.

use socket2::SockRef;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Whether nothing has come that is not read, the end before all. Asks the system.
pub(super) fn is_quiet(stream: &TcpStream) -> bool {
    let came = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    came.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A stream that whoever reads it finds broken, instead of empty, once it [ought to be quiet](Expected) and is not.
pub(super) struct Tcp {
    stream: TcpStream,
    expected: Expected,
}

/// Whether a stream is expected to be quiet just now. For whoever has given the stream itself away.
#[derive(Clone, Default)]
pub(super) struct Expected(Arc<AtomicBool>);

impl Expected {
    /// Does `what`, while it is.
    pub(super) fn quiet<T>(&self, what: impl FnOnce() -> T) -> T {
        self.0.store(true, Ordering::Relaxed);
        let done = what();
        self.0.store(false, Ordering::Relaxed);
        done
    }
}

impl Tcp {
    pub(super) fn new(stream: TcpStream, expected: Expected) -> Self {
        Self { stream, expected }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.as_mut().stream().poll_read(context, buffer);
        let is_asked = read.is_pending() && self.expected.0.load(Ordering::Relaxed);
        if is_asked && !is_quiet(&self.stream) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        read
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
