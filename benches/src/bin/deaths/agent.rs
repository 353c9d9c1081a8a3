//! The agents' own server of one worker: it answers after a while, and knows how many it has at this moment.

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) takes: Duration,
    /// How many it works on at a time.
    pub(crate) at_once: usize,
}

/// One that runs until the program ends.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    held: Arc<AtomicUsize>,
}

/// Counts a request until it is answered, or whoever sent it is gone.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Agent {
    pub(crate) async fn start(manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let agent = Self {
            address: listener.local_addr()?,
            held: Arc::default(),
        };
        let (held, free) = (
            Arc::clone(&agent.held),
            Arc::new(Semaphore::new(manner.at_once)),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (held, free) = (Arc::clone(&held), Arc::clone(&free));
                let service = service_fn(move |request: Request<Incoming>| {
                    answer(request, manner.takes, Arc::clone(&held), Arc::clone(&free))
                });
                drop(stream.set_nodelay(true));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Ok(agent)
    }

    /// How many it has now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

async fn answer(
    request: Request<Incoming>,
    takes: Duration,
    held: Arc<AtomicUsize>,
    free: Arc<Semaphore>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    held.fetch_add(1, Ordering::Relaxed);
    let _held = Held(held);
    drop(request);
    let _place = free.acquire().await;
    sleep(takes).await;
    let mut answer = Response::new(Full::from(r#"{"answer":"done"}"#));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    Ok(answer)
}
