//! A service of one's own as a member of the mesh: `maia` with hyper, and nothing else of Astromesh. With the example
//! `local_cluster` running, start `cargo run --example embed [-- --seed URL]`, and see it in `astromeshctl mesh nodes`.
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::{client::legacy, rt};
use maia::driver::{Driver, Handle, Timer};
use maia::message::{Answer, Caller, Failure, Request as Message};
use maia::node::{Identity, Node};
use maia::time::{Instant, Wall};
use maia::wire::{self, ASK_HEADER, Endpoint, NODE_ID_HEADER};
use maia::{address::Url, config::Config, id::NodeId, rng::Rng};
use std::{error::Error, net::IpAddr, time::SystemTime};

type Whatever<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Page = Response<Full<Bytes>>;
type Http = legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>;

/// How a message reaches a peer.
async fn send(http: Http, me: NodeId, to: Url, message: Message) -> Result<Answer, Failure> {
    let call = wire::encode_request(&message);
    let mut head = Request::builder().method(call.method);
    head = head.uri(format!("{to}{}", call.path));
    head = head.header(NODE_ID_HEADER, me.as_str());
    if let Some(id) = call.ask {
        head = head.header(ASK_HEADER, id.as_str());
    }
    let whole = head.body(call.body.into()).expect("checked parts");
    let lost = |error| Failure::Unreachable(format!("{error}"));
    let (head, body) = http.request(whole).await.map_err(lost)?.into_parts();
    let broken = |error| Failure::Unusable(format!("{error}"));
    let body = whole_of(body).await.map_err(broken)?;
    let from = head.headers.get(NODE_ID_HEADER).map(|id| id.as_bytes());
    wire::decode_answer(Endpoint::of(&message), head.status.as_u16(), from, &body)
}

/// How one waits, and what time it is.
struct Clock(tokio::time::Instant);

impl Timer for Clock {
    fn now(&self) -> Instant {
        Instant::after_start(self.0.elapsed())
    }
    fn wall(&self) -> Wall {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Wall::from_unix_millis(since_1970.as_millis() as u64)
    }
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(self.0 + deadline.since_start())
    }
}

async fn whole_of(body: Incoming) -> Whatever<Bytes> {
    Ok(Limited::new(body, 8 << 20).collect().await?.to_bytes())
}

/// Answers the mesh, and everybody else with what this service is there for.
async fn answer(node: Handle, peer: IpAddr, asked: Request<Incoming>) -> Whatever<Page> {
    let (head, body) = asked.into_parts();
    let header = |name| head.headers.get(name)?.to_str().ok();
    let caller = Caller::at(peer, [127, 0, 0, 1].into(), header(NODE_ID_HEADER));
    let call = (head.method.as_str(), head.uri.path());
    let body = whole_of(body).await?;
    let Some(said) = node.answer(caller, call, header(ASK_HEADER), &body).await else {
        return Ok(Response::new("hello from embed\n".into()));
    };
    let me = node.view().me().map(|me| me.id().to_string());
    let head = Response::builder().header(NODE_ID_HEADER, me.unwrap_or_default());
    Ok(head.status(said.status).body(said.body.into())?)
}

/// Joins through `seed`, and serves on a free port of this machine.
pub(crate) async fn run(seed: Url) -> Whatever<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?).parse()?;
    let clock = Clock(tokio::time::Instant::now());
    let fresh = clock.wall().unix_millis();
    let me = Identity::new(format!("embed-{fresh}").parse()?, "embed".parse()?, url);
    let mut config = Config::default();
    config.seeds.push(seed);
    let node = Node::new(config, me, clock.now(), clock.wall(), Rng::from_seed(fresh))?;
    let http = legacy::Client::builder(rt::TokioExecutor::new()).build_http();
    let transport = move |me, to, message| send(http.clone(), me, to, message);
    let (driver, node) = Driver::new(node, transport, clock);
    tokio::spawn(driver.on_event(|event| println!("{event}")).run());
    loop {
        let (stream, peer) = listener.accept().await?;
        let node = node.clone();
        let service = service_fn(move |asked| answer(node.clone(), peer.ip(), asked));
        tokio::spawn(http1::Builder::new().serve_connection(rt::TokioIo::new(stream), service));
    }
}

#[tokio::main]
async fn main() -> Whatever<()> {
    let seed = std::env::args().skip_while(|word| word != "--seed").nth(1);
    run(seed.as_deref().unwrap_or("http://127.0.0.1:8000").parse()?).await
}
