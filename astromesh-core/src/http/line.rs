//! One connection, moved along by whoever uses it: it has no task of its own.
//!
//! Between two requests nobody moves it, so nobody is woken by it; whoever takes it up sees first whether it is still good.
//! Dropping it closes it, at once.

use super::body::Body;
use super::connect::{ConnectError, Reach, connect};
use super::tcp::{Expected, Tcp};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use maia::address::Url;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A connection to one place.
pub(super) struct Line {
    url: Url,
    host: HeaderValue,
    sender: SendRequest<Body>,
    /// `None` once it is closed.
    connection: Option<Connection<TokioIo<Tcp>, Body>>,
    expected: Expected,
}

impl Line {
    /// Opens one.
    pub(super) async fn open(
        url: &Url,
        reach: &Reach,
        patience: Duration,
    ) -> Result<Box<Self>, ConnectError> {
        let expected = Expected::default();
        let stream = Tcp::new(connect(url, reach, patience).await?, expected.clone());
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| ConnectError::Unreachable {
            url: url.clone(),
            source: std::io::Error::other(error),
        })?;
        let host = url.as_str().trim_start_matches("http://");
        let host =
            HeaderValue::from_str(host).expect("the authority of a checked URL is visible ASCII");
        Ok(Box::new(Self {
            url: url.clone(),
            host,
            sender,
            connection: Some(connection),
            expected,
        }))
    }

    /// Where it leads.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The place as a request's head names it.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// Whether it can take a request. From now on it wakes nobody, until it is used.
    pub(super) fn is_free(&mut self) -> bool {
        let mut now = Context::from_waker(Waker::noop());
        let connection = &mut self.connection;
        self.expected.quiet(|| advance(connection, &mut now));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer. The body is moved along by [`Line::next_frame`].
    pub(super) async fn ask(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        poll_fn(|context| {
            advance(connection, context);
            // Only the connection can bring it on, and that has just been polled.
            answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// The next frame of the answer's body.
    pub(super) fn next_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.advance(context);
        hyper::body::Body::poll_frame(Pin::new(body), &mut Context::from_waker(Waker::noop()))
    }

    fn advance(&mut self, context: &mut Context<'_>) {
        advance(&mut self.connection, context);
    }
}

/// Reads and writes what can be.
fn advance(connection: &mut Option<Connection<TokioIo<Tcp>, Body>>, context: &mut Context<'_>) {
    let ended = connection
        .as_mut()
        .is_some_and(|connection| Pin::new(connection).poll(context).is_ready());
    if ended {
        *connection = None;
    }
}
