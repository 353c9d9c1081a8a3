//! A node of release 0.40 on a real socket: the simulator's model of one, behind HTTP as that release speaks it.
//!
//! Nothing it writes has a header or a field of ours. Its own clock runs ten times faster than the world's, so that its
//! round of 2 s fits the quick meshes of these tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use maia::address::{Host, Url};
use maia::id::NodeId;
use maia::message::{Answer, Caller, Failure, Refusal, Reply, Request as Message, Status};
use maia::node::{CallId, Input, Output};
use maia::sim::{OlderNode, Process};
use maia::time::{Instant, Wall};
use maia::wire::{self, ASK_HEADER, Endpoint, NODE_ID_HEADER};
use serde_json::Value;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How much faster its clock runs than the world's.
const SPEED: u32 = 10;

/// How long it waits for an answer, in the world's time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is peculiar about one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// The address that it listens at and calls from.
    pub(crate) host: Ipv4Addr,
    /// Whether it advertises `0.0.0.0`, as the profiles of its release do.
    pub(crate) advertises_nowhere: bool,
    /// How far its wall clock is off.
    pub(crate) clock_off_millis: i64,
    /// Whether it says of everybody else that they are dead, and of itself that it leads.
    pub(crate) lies: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST,
            advertises_nowhere: false,
            clock_off_millis: 0,
            lies: false,
        }
    }
}

/// A running node of release 0.40. It ends when it is dropped.
pub(crate) struct Older {
    inside: Arc<Inside>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Inside {
    model: Mutex<OlderNode>,
    id: NodeId,
    habits: Habits,
    start: tokio::time::Instant,
}

impl Older {
    /// Starts one that joins through `seed`. Its name is its id.
    pub(crate) async fn start(name: &str, seed: Option<Url>, habits: Habits) -> Self {
        let listener = TcpListener::bind((habits.host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let said = match habits.advertises_nowhere {
            true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            false => address.ip(),
        };
        let said = Url::from_parts(Host::Ip(said), address.port());
        let model = OlderNode::new(name, &said, seed, u64::from(address.port()));
        let inside = Arc::new(Inside {
            id: model.id(),
            model: Mutex::new(model),
            habits,
            start: tokio::time::Instant::now(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&inside)));
        tasks.spawn(live(Arc::clone(&inside)));
        Self {
            inside,
            address,
            _tasks: tasks,
        }
    }

    /// Where it is reached, whatever it says.
    pub(crate) fn url(&self) -> Url {
        Url::from_parts(Host::Ip(self.address.ip()), self.address.port())
    }

    pub(crate) fn id(&self) -> &NodeId {
        &self.inside.id
    }

    /// What it makes of a member.
    pub(crate) fn belief(&self, id: &NodeId) -> Option<Status> {
        self.inside.model.lock().unwrap().belief(id)
    }
}

impl Inside {
    /// What the model makes of `input` at this moment of its own clock.
    fn handle(&self, input: Input) -> Vec<Output> {
        let now = Instant::after_start(self.start.elapsed() * SPEED);
        self.model.lock().unwrap().handle(now, input)
    }

    fn wall(&self) -> Wall {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let millis = u64::try_from(since_1970.as_millis()).unwrap();
        let off = self.habits.clock_off_millis;
        Wall::from_unix_millis(millis.saturating_add_signed(off))
    }

    /// A body as it leaves this node.
    fn written(&self, body: Vec<u8>) -> Vec<u8> {
        if body.is_empty() {
            return body;
        }
        let mut json: Value = serde_json::from_slice(&body).unwrap();
        let records = json.get_mut("nodes").and_then(Value::as_array_mut);
        for record in records.into_iter().flatten() {
            assert!(record.get("ext").is_none(), "no 0.40 node writes {record}");
            if self.habits.lies {
                let is_me = record["node_id"] == self.id.as_str();
                record["leader"] = is_me.into();
                record["status"] = if is_me { "alive" } else { "dead" }.into();
            }
        }
        if self.habits.lies && json.get("leader_id").is_some() {
            json["leader_id"] = self.id.as_str().into();
        }
        serde_json::to_vec(&json).unwrap()
    }
}

/// Does what is due, one call after another, as that release does.
async fn live(inside: Arc<Inside>) {
    loop {
        let deadline = inside.model.lock().unwrap().deadline();
        let due = inside.start + deadline.since_start() / SPEED;
        tokio::time::sleep_until(due).await;
        let wall = inside.wall();
        for output in inside.handle(Input::Tick { wall }) {
            let Output::Send {
                exchange,
                to,
                request,
                ..
            } = output
            else {
                continue;
            };
            let asked = timeout(PATIENCE, ask(&inside, &to, &request)).await;
            let answer = asked.unwrap_or(Err(Failure::TimedOut));
            inside.handle(Input::Answer { exchange, answer });
        }
        // Where its clock has run ahead, others still get their turn.
        sleep(Duration::from_millis(1)).await;
    }
}

/// One call, from its own address, with nothing in the head but what any client writes.
async fn ask(inside: &Inside, to: &Url, request: &Message) -> Result<Answer, Failure> {
    let unreachable = |error: std::io::Error| Failure::Unreachable(error.to_string());
    let unusable = |error: hyper::Error| Failure::Unusable(error.to_string());
    let Host::Ip(ip) = to.host() else {
        return Err(Failure::Unreachable("a name".to_owned()));
    };
    let socket = TcpSocket::new_v4().map_err(unreachable)?;
    socket
        .bind((inside.habits.host, 0).into())
        .map_err(unreachable)?;
    let place = SocketAddr::new(*ip, to.port());
    let stream = socket.connect(place).await.map_err(unreachable)?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unusable)?;
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let call = wire::encode_request(request);
    let request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(HOST, place.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(inside.written(call.body))))
        .unwrap();
    let response = sender.send_request(request).await.map_err(unusable)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(unusable)?;
    let endpoint = Endpoint::at(call.path).unwrap();
    let reply = wire::decode_reply(endpoint, status, &body.to_bytes())?;
    Ok(Answer { from: None, reply })
}

async fn listen(listener: TcpListener, inside: Arc<Inside>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let inside = Arc::clone(&inside);
        connections.spawn(async move {
            let service = service_fn(|request| answer(&inside, request));
            let served = server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            // Whoever goes away in the middle has its own reasons.
            drop(served);
        });
    }
}

async fn answer(
    inside: &Inside,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let reply = match (Endpoint::at(head.uri.path()), body.collect().await) {
        (Some(endpoint), Ok(body)) => {
            let ask = head
                .headers
                .get(ASK_HEADER)
                .and_then(|ask| ask.to_str().ok());
            match wire::decode_request(endpoint, ask, &body.to_bytes()) {
                Ok(request) => replied(inside.handle(Input::Receive {
                    call: CallId::default(),
                    caller: Caller::default(),
                    request,
                })),
                Err(invalid) => Reply::Refused(Refusal::Invalid(invalid)),
            }
        }
        _ => Reply::Refused(Refusal::Left),
    };
    let written = wire::encode_reply(&reply);
    let answer = Response::builder()
        .status(written.status)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(inside.written(written.body))))
        .unwrap();
    assert!(!answer.headers().contains_key(NODE_ID_HEADER));
    Ok(answer)
}

fn replied(outputs: Vec<Output>) -> Reply {
    let reply = outputs.into_iter().find_map(|output| match output {
        Output::Reply { reply, .. } => Some(reply),
        _ => None,
    });
    reply.unwrap()
}
