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
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
    seeds: Arc<BTreeSet<Url>>,
}

impl HttpTransport {
    /// A transport for a node that joins through `seeds`. `on_loopback` says, and goes on saying, whether the node is
    /// reached on loopback itself, so that it may call others there.
    pub fn new(seeds: impl IntoIterator<Item = Url>, on_loopback: Arc<AtomicBool>) -> Self {
        Self {
            peers: Pool::new(PoolSettings::new(Reach::Peers { on_loopback })),
            anywhere: Pool::new(PoolSettings::new(Reach::Anywhere)),
            seeds: Arc::new(seeds.into_iter().collect()),
        }
    }
}

impl Transport for HttpTransport {
    fn exchange(
        &self,
        from: NodeId,
        to: Url,
        request: Message,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static {
        let pool = if self.seeds.contains(&to) {
            &self.anywhere
        } else {
            &self.peers
        };
        let pool = pool.clone();
        async move {
            let endpoint = Endpoint::of(&request);
            let call = written(&from, wire::encode_request(&request));
            match pool.send(&to, call).await {
                Ok(response) => understood(endpoint, response).await,
                Err(trouble) => Err(failure(&trouble)),
            }
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
) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let from = head.headers.get(NODE_ID_HEADER);
    let from = from.map(HeaderValue::as_bytes);
    let body = read_bounded(body, ANSWER_BYTES).await;
    let body = body.map_err(|error| Failure::Unusable(error.to_string()))?;
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
