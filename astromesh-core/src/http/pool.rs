//! Connections kept and reused, by place.
//!
//! The router must know of a failed request whether anything of it went out: only then is it free to try elsewhere. So a
//! request is not handed to a connection that may not exist: first there is a connection, then the request is written, and
//! [`SendError::NotSent`] gives it back whole.

use super::body::{Body, BoxError};
use super::connect::{ConnectError, Reach, connect};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use maia::address::Url;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

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
    /// How many unused connections are kept to one place. 256.
    pub idle_connections: usize,
    /// How many unused connections are kept to all places together. 1,024.
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

type Sender = http1::SendRequest<Body>;

#[derive(Debug)]
struct Shared {
    settings: PoolSettings,
    idle: Mutex<HashMap<Url, Vec<Idle>>>,
    /// When the places were last gone through.
    swept: Mutex<Option<Instant>>,
    /// The tasks that move the bytes; dropped with the pool, and the connections with them.
    connections: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    /// A pool without connections yet.
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                idle: Mutex::default(),
                swept: Mutex::default(),
                connections: Mutex::default(),
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
        let host = url.as_str().trim_start_matches("http://");
        let host =
            HeaderValue::from_str(host).expect("the authority of a checked URL is visible ASCII");
        request.headers_mut().insert(HOST, host);
        loop {
            let (mut sender, reused) = match self.checkout(url) {
                Some(sender) => (sender, true),
                None => match self.open(url).await {
                    Ok(sender) => (sender, false),
                    Err(cause) => {
                        let request = Box::new(request);
                        return Err(SendError::NotSent { request, cause });
                    }
                },
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.keep_after(url, sender, response)),
                Err(mut trouble) => match trouble.take_message() {
                    // A kept connection had closed meanwhile.
                    Some(unsent) if reused => request = unsent,
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

    /// The connection to `url` that was used last, if it is still good.
    fn checkout(&self, url: &Url) -> Option<Sender> {
        let mut idle = self.shared.idle();
        self.shared.sweep(&mut idle, Instant::now());
        let kept = idle.get_mut(url)?;
        let mut found = None;
        while let Some(Idle { sender, since }) = kept.pop() {
            if since.elapsed() > self.shared.settings.idle_timeout {
                // Those below were used even earlier.
                kept.clear();
                break;
            }
            if sender.is_ready() {
                found = Some(sender);
                break;
            }
        }
        if kept.is_empty() {
            idle.remove(url);
        }
        found
    }

    async fn open(&self, url: &Url) -> Result<Sender, ConnectError> {
        let settings = &self.shared.settings;
        let stream = connect(url, &settings.reach, settings.connect_timeout).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(128)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ConnectError::Unreachable {
                url: url.clone(),
                source: std::io::Error::other(error),
            })?;
        self.shared.run(async move { drop(connection.await) });
        // Its task has to be polled once before it takes a request.
        let source = match sender.ready().await {
            Ok(()) => return Ok(sender),
            Err(error) => std::io::Error::other(error),
        };
        let url = url.clone();
        Err(ConnectError::Unreachable { url, source })
    }

    fn keep_after(
        &self,
        url: &Url,
        sender: Sender,
        response: Response<Incoming>,
    ) -> Response<Body> {
        let (head, incoming) = response.into_parts();
        let mut body = Kept {
            incoming,
            keep: Some(Keep {
                sender,
                url: url.clone(),
                pool: Arc::downgrade(&self.shared),
            }),
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        Response::from_parts(head, Body::new(body))
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<Url, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn put_back(&self, url: Url, sender: Sender) {
        let mut idle = self.idle();
        let since = Instant::now();
        let in_all: usize = idle.values().map(Vec::len).sum();
        let to_one = idle.get(&url).map_or(0, Vec::len);
        if to_one < self.settings.idle_connections && in_all < self.settings.idle_in_all {
            idle.entry(url).or_default().push(Idle { sender, since });
        }
    }

    /// Drops what was not used for too long, wherever it leads: nobody may ask for that place again.
    fn sweep(&self, idle: &mut HashMap<Url, Vec<Idle>>, now: Instant) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_some_and(|swept| now.duration_since(swept) < PAUSE) {
            return;
        }
        *swept = Some(now);
        idle.retain(|_, kept| {
            kept.retain(|one| {
                now.duration_since(one.since) <= self.settings.idle_timeout
                    && !one.sender.is_closed()
            });
            !kept.is_empty()
        });
    }
}

/// The body of an answer, which gives the connection back at its end.
struct Kept {
    incoming: Incoming,
    keep: Option<Keep>,
}

struct Keep {
    sender: Sender,
    url: Url,
    pool: Weak<Shared>,
}

impl Kept {
    fn end(&mut self) {
        let Some(Keep {
            mut sender,
            url,
            pool,
        }) = self.keep.take()
        else {
            return;
        };
        let Some(shared) = pool.upgrade() else {
            return;
        };
        if sender.is_ready() {
            shared.put_back(url, sender);
        } else if !sender.is_closed() {
            // Its task has yet to see the end, or our own body is still on its way.
            shared.run(async move {
                let ready = timeout(Duration::from_secs(1), sender.ready()).await;
                if let (Ok(Ok(())), Some(shared)) = (ready, pool.upgrade()) {
                    shared.put_back(url, sender);
                }
            });
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
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
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
