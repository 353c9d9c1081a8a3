//! A stand-in for a node: it takes as long as it is told to, and then answers with 256 bytes of JSON, or with a stream.
//!
//! One thread, so that three of them and what is measured share a small machine.

use crate::random::Times;
use anyhow::Context;
use astromesh_core::http::{Body, BoxError, full};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Interval, interval, sleep};

/// How many bytes an answer has.
const ANSWER_BYTES: usize = 256;

/// The path that says how many answers are begun and not ended.
pub const OPEN_PATH: &str = "/open";

/// How a stand-in behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The mean of the time that an answer takes, exponentially distributed. Zero: none.
    pub takes: Duration,
    /// How many it answers at a time; the others wait.
    pub at_a_time: usize,
    /// Events of a stream, for requests that ask for one.
    pub events: u64,
    /// The time between two of them.
    pub pause: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            takes: Duration::ZERO,
            at_a_time: Semaphore::MAX_PERMITS,
            events: 20,
            pause: Duration::from_millis(25),
        }
    }
}

struct Node {
    manner: Manner,
    turns: Semaphore,
    times: Mutex<Times>,
    answer: Bytes,
    open: Arc<AtomicU64>,
}

/// Answers at that port of loopback, for good.
///
/// # Errors
/// Where the port cannot be had.
pub async fn serve(port: u16, manner: Manner) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.with_context(|| format!("cannot listen on port {port}"))?;
    let filling = ANSWER_BYTES - "{\"answer\":\"\"}".len();
    let node = Arc::new(Node {
        manner,
        turns: Semaphore::new(manner.at_a_time),
        times: Mutex::new(Times::from_seed(u64::from(port))),
        answer: format!("{{\"answer\":\"{}\"}}", "a".repeat(filling)).into(),
        open: Arc::default(),
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let node = Arc::clone(&node);
                async move { Ok::<_, Infallible>(node.answer(request).await) }
            });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Whoever goes away in the middle is no trouble here.
            drop(serving.await);
        });
    }
}

impl Node {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() == OPEN_PATH {
            return Response::new(full(self.open.load(Ordering::Relaxed).to_string()));
        }
        let open = Open::new(&self.open);
        let Ok(asked) = request.into_body().collect().await else {
            return Response::new(full("the request broke off"));
        };
        let asked = asked.to_bytes();
        let wants_stream = asked.windows(13).any(|part| part == b"\"stream\":true");
        let _turn = self.turns.acquire().await;
        if !self.manner.takes.is_zero() {
            sleep(self.draw()).await;
        }
        let (body, kind) = if wants_stream {
            (Body::new(self.stream(open)), "text/event-stream")
        } else {
            (full(self.answer.clone()), "application/json")
        };
        let mut answer = Response::new(body);
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer
    }

    /// How long an answer takes.
    fn draw(&self) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.next(self.manner.takes)
    }

    fn stream(&self, open: Open) -> Events {
        Events {
            left: self.manner.events,
            clock: interval(self.manner.pause),
            _open: open,
        }
    }
}

/// Counts an answer that is begun and not ended.
struct Open(Arc<AtomicU64>);

impl Open {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Server-sent events, each with the moment at which it was sent: see [`crate::machine::moment_nanos`].
struct Events {
    left: u64,
    clock: Interval,
    _open: Open,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.clock.poll_tick(context));
        self.left -= 1;
        let event = format!("data: {{\"at\":{}}}\n\n", crate::machine::moment_nanos());
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
