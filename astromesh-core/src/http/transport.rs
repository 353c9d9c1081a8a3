//! How `maia` reaches peers: its six calls over HTTP.

use super::body::{chain, full, read_bounded};
use super::connect::{ConnectError, Reach};
use super::pool::{Pool, PoolSettings, SendError};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use maia::address::Url;
use maia::driver::Transport;
use maia::id::NodeId;
use maia::message::{Answer, Failure, Request as Message};
use maia::wire::{self, ASK_HEADER, Call, Endpoint, NODE_ID_HEADER};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The longest answer that is read.
const ANSWER_BYTES: usize = 8 * 1_024 * 1_024;

/// The mesh's calls over HTTP/1.1, on connections that are kept.
///
/// Peers are called only where peers may send us; the seeds, which the operator wrote down, anywhere. Redirects are not
/// followed.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    peers: Pool,
    anywhere: Pool,
    seeds: Arc<RwLock<BTreeSet<Url>>>,
    observer: Option<Arc<dyn Observer>>,
}

/// One call to a peer, after it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// What was called.
    pub endpoint: Endpoint,
    /// Bytes of the request's body.
    pub sent: u64,
    /// Bytes of the answer's body; 0 where none was read.
    pub received: u64,
    /// From the call to the end of the answer, or to the failure.
    pub took: Duration,
    /// Whether there was an answer that could be understood and that took what was said.
    pub answered: bool,
}

/// Told of each call to a peer after it is over. It must not take long: a round waits for it.
pub trait Observer: Debug + Send + Sync {
    /// This call is over.
    fn exchanged(&self, exchanged: &Exchanged);
}

impl HttpTransport {
    /// A transport for a node that joins through `seeds`. `on_loopback` says, and goes on saying, whether the node is
    /// reached on loopback itself, so that it may call others there.
    pub fn new(seeds: impl IntoIterator<Item = Url>, on_loopback: Arc<AtomicBool>) -> Self {
        Self {
            peers: Pool::new(PoolSettings::new(Reach::Peers { on_loopback })),
            anywhere: Pool::new(PoolSettings::new(Reach::Anywhere)),
            seeds: Arc::new(RwLock::new(seeds.into_iter().collect())),
            observer: None,
        }
    }

    /// The same, which tells `observer` of every call.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Takes `seeds` for the seeds from now on, for every clone of this transport.
    pub fn set_seeds(&self, seeds: impl IntoIterator<Item = Url>) {
        let mut held = self.seeds.write().unwrap_or_else(PoisonError::into_inner);
        *held = seeds.into_iter().collect();
    }

    fn is_seed(&self, url: &Url) -> bool {
        let seeds = self.seeds.read().unwrap_or_else(PoisonError::into_inner);
        seeds.contains(url)
    }
}

impl Transport for HttpTransport {
    fn exchange(
        &self,
        from: NodeId,
        to: Url,
        request: Message,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static {
        let pool = if self.is_seed(&to) {
            &self.anywhere
        } else {
            &self.peers
        };
        let (pool, observer) = (pool.clone(), self.observer.clone());
        async move {
            let (endpoint, began) = (Endpoint::of(&request), Instant::now());
            let call = wire::encode_request(&request);
            let (sent, mut received) = (call.body.len() as u64, 0);
            let outcome = match pool.send(&to, written(&from, call)).await {
                Ok(response) => understood(endpoint, response, &mut received).await,
                Err(trouble) => Err(failure(&trouble)),
            };
            if let Some(observer) = observer {
                observer.exchanged(&Exchanged {
                    endpoint,
                    sent,
                    received,
                    took: began.elapsed(),
                    answered: outcome.is_ok(),
                });
            }
            outcome
        }
    }
}

fn written(from: &NodeId, call: Call) -> Request<super::Body> {
    let id =
        |id: &NodeId| HeaderValue::from_str(id.as_str()).expect("a checked id is visible ASCII");
    let mut request = Request::new(full(call.body));
    *request.method_mut() = call.method.parse().expect("GET and POST are methods");
    *request.uri_mut() = hyper::Uri::from_static(call.path);
    let headers = request.headers_mut();
    headers.insert(NODE_ID_HEADER, id(from));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    if let Some(ask) = &call.ask {
        headers.insert(ASK_HEADER, id(ask));
    }
    request
}

async fn understood(
    endpoint: Endpoint,
    response: Response<super::Body>,
    received: &mut u64,
) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let from = head.headers.get(NODE_ID_HEADER);
    let from = from.map(HeaderValue::as_bytes);
    let body = read_bounded(body, ANSWER_BYTES).await;
    let body = body.map_err(|error| Failure::Unusable(error.to_string()))?;
    *received = body.len() as u64;
    wire::decode_answer(endpoint, head.status.as_u16(), from, &body)
}

fn failure(trouble: &SendError) -> Failure {
    match trouble {
        SendError::NotSent { cause, .. } => match cause {
            ConnectError::Refused { .. } => Failure::Refused,
            ConnectError::TimedOut { .. } => Failure::TimedOut,
            other => Failure::Unreachable(chain(other)),
        },
        SendError::Broken { cause, .. } => Failure::InTrouble(chain(&**cause)),
    }
}
