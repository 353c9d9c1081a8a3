//! Connections kept and reused, by place.
//!
//! The router must know of a failed request whether anything of it went out: only then is it free to try elsewhere. So a
//! request is not handed to a connection that may not exist: first there is a connection, then the request is written, and
//! [`SendError::NotSent`] gives it back whole.

use super::body::{Body, BoxError};
use super::connect::{ConnectError, Reach};
use super::line::Line;
use super::shelf::{Link, Shelf};
use super::wire::Wire;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::header::HOST;
use hyper::{Request, Response};
use maia::address::Url;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thread_local::ThreadLocal;
use tokio::time::sleep;

/// How often unused connections are looked at.
const ROUND: Duration = Duration::from_secs(2);

/// How a pool behaves.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Where it may connect to.
    pub reach: Reach,
    /// How long resolving and connecting may take together. 1 s.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Must be shorter than the other side's patience (60 s for our own nodes), or
    /// a request may meet a closing connection. 30 s.
    pub idle_timeout: Duration,
    /// How many unused connections a thread keeps to one place. 256.
    pub idle_connections: usize,
    /// How many unused connections a thread keeps to all places together. 1,024.
    pub idle_in_all: usize,
}

impl PoolSettings {
    /// The defaults, for places within `reach`.
    pub fn new(reach: Reach) -> Self {
        Self {
            reach,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(30),
            idle_connections: 256,
            idle_in_all: 1_024,
        }
    }
}

/// Connections to any number of places. Cheap to clone; they close when the last clone is dropped.
///
/// Each thread keeps those that it has used, and no thread waits for another.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing was sent; the request may go elsewhere.
    #[error("nothing was sent")]
    NotSent {
        /// The request, untouched.
        request: Box<Request<Body>>,
        /// Why.
        #[source]
        cause: ConnectError,
    },
    /// Some of it may have been sent; whether it was carried out is unknown.
    #[error("the connection to {url} broke before an answer")]
    Broken {
        /// The place.
        url: Url,
        /// What happened.
        #[source]
        cause: BoxError,
    },
}

#[derive(Debug)]
struct Shared {
    settings: PoolSettings,
    /// What each thread keeps. Nobody else takes its lock, but for the last one, who drops it all.
    shelves: ThreadLocal<Mutex<Shelf>>,
}

impl Pool {
    /// A pool without connections yet.
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                shelves: ThreadLocal::new(),
            }),
        }
    }

    /// Sends `request`, whose URI is a path, to `url` and returns once the head of the answer is there. Dropping the
    /// future or the answer's body before its end closes the connection, which tells the other side.
    ///
    /// There is no deadline beyond the one for connecting: the caller knows how long it can wait.
    ///
    /// # Errors
    /// Says whether anything was sent.
    pub async fn send(
        &self,
        url: &Url,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, SendError> {
        loop {
            let (mut line, is_kept) = match self.shared.take::<Box<Line>>(url) {
                Some(line) => (line, true),
                None => match Box::pin(self.open(url)).await {
                    Ok(line) => (line, false),
                    Err(cause) => {
                        let request = Box::new(request);
                        return Err(SendError::NotSent { request, cause });
                    }
                },
            };
            request.headers_mut().insert(HOST, line.host());
            match line.ask(request).await {
                Ok(response) => return Ok(self.keep_after(line, response)),
                Err(mut trouble) => match trouble.take_message() {
                    // A kept connection had closed meanwhile.
                    Some(unsent) if is_kept => request = unsent,
                    Some(unsent) => {
                        let source = std::io::Error::other(trouble.into_error());
                        let url = url.clone();
                        let cause = ConnectError::Unreachable { url, source };
                        let request = Box::new(unsent);
                        return Err(SendError::NotSent { request, cause });
                    }
                    None => {
                        let cause = trouble.into_error().into();
                        let url = url.clone();
                        return Err(SendError::Broken { url, cause });
                    }
                },
            }
        }
    }

    /// A connection to `url` for who writes and reads by himself: one that was [kept](Pool::keep), or else a new one.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn wire(&self, url: &Url) -> Result<Wire, ConnectError> {
        if let Some(wire) = self.shared.take(url) {
            return Ok(wire);
        }
        let settings = &self.shared.settings;
        Box::pin(Wire::open(url, &settings.reach, settings.connect_timeout)).await
    }

    /// Keeps a connection for the next who wants one to the same place. What was asked on it must be answered, to the last
    /// byte.
    pub fn keep(&self, wire: Wire) {
        self.shared.put_back(wire);
    }

    async fn open(&self, url: &Url) -> Result<Box<Line>, ConnectError> {
        let settings = &self.shared.settings;
        Line::open(url, &settings.reach, settings.connect_timeout).await
    }

    fn keep_after(&self, line: Box<Line>, response: Response<Incoming>) -> Response<Body> {
        let (head, incoming) = response.into_parts();
        let mut body = Kept {
            incoming,
            line: Some(line),
            pool: Arc::downgrade(&self.shared),
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        Response::from_parts(head, Body::new(body))
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        let shelf = self.shelves.get_or_default();
        shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take<L: Link>(&self, url: &Url) -> Option<L> {
        self.shelf().take(url, &self.settings)
    }

    fn put_back<L: Link>(self: &Arc<Self>, link: L) {
        let mut shelf = self.shelf();
        shelf.put_back(link, &self.settings);
        if !std::mem::replace(&mut shelf.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Looks at what a thread keeps, wherever it leads: nobody may ask for that place again. Ends where nothing is left.
async fn sweep(pool: Weak<Shared>) {
    loop {
        sleep(ROUND).await;
        let Some(shared) = pool.upgrade() else {
            return;
        };
        let mut shelf = shared.shelf();
        if !shelf.sweep(shared.settings.idle_timeout) {
            shelf.is_swept = false;
            return;
        }
    }
}

/// The body of an answer, which moves its connection along and gives it back at its end.
struct Kept {
    incoming: Incoming,
    line: Option<Box<Line>>,
    pool: Weak<Shared>,
}

impl Kept {
    /// The answer is whole. Where the request is not, for its body is still on its way, the connection is of no more use.
    fn end(&mut self) {
        if let Some(mut line) = self.line.take()
            && let Some(shared) = self.pool.upgrade()
            && line.is_free()
        {
            shared.put_back(line);
        }
    }
}

impl hyper::body::Body for Kept {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { incoming, line, .. } = &mut *self;
        let frame = match line {
            Some(line) => ready!(line.next_frame(incoming, context)),
            None => ready!(Pin::new(incoming).poll_frame(context)),
        };
        if frame.is_none() || self.incoming.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
