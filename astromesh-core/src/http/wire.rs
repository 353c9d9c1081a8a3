//! A connection as it is: bytes go out, bytes come in. For who writes and reads heads of HTTP himself.
//!
//! Nobody moves it along but who uses it, and dropping it closes it, at once.

use super::connect::{ConnectError, Reach, connect};
use super::tcp::is_quiet;
use maia::address::Url;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The least room that is made for what comes in.
const ROOM_BYTES: usize = 4 * 1_024;

/// A connection to one place, by [`Pool::wire`](super::Pool::wire).
#[derive(Debug)]
pub struct Wire {
    url: Url,
    stream: TcpStream,
}

/// Bytes could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke after {sent} bytes of the request")]
pub struct WriteError {
    /// How many were.
    pub sent: usize,
    /// What happened.
    #[source]
    pub cause: io::Error,
}

impl Wire {
    /// Opens one.
    pub(super) async fn open(
        url: &Url,
        reach: &Reach,
        patience: Duration,
    ) -> Result<Self, ConnectError> {
        let stream = connect(url, reach, patience).await?;
        Ok(Self {
            url: url.clone(),
            stream,
        })
    }

    /// Where it leads.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether nothing has come that nobody asked for, the end before all.
    pub(super) fn is_free(&self) -> bool {
        is_quiet(&self.stream)
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Says how many of them were written before it broke.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]).await {
                Ok(0) => {
                    let cause = io::ErrorKind::WriteZero.into();
                    return Err(WriteError { sent, cause });
                }
                Ok(count) => sent += count,
                Err(cause) => return Err(WriteError { sent, cause }),
            }
        }
        Ok(())
    }

    /// Reads what is there to the end of `bytes`, and makes room for it only then. `0` is the end.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        poll_read(&mut self.stream, context, bytes)
    }
}

/// Reads what is there on `stream` to the end of `bytes`, and makes room for it only then. `0` is the end.
pub fn poll_read(
    stream: &mut TcpStream,
    context: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    ready!(stream.poll_read_ready(context))?;
    bytes.reserve(ROOM_BYTES);
    pin!(stream.read_buf(bytes)).poll(context)
}
