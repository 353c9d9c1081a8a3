//! The one listener: connections are taken, bounded in what they may take up, and served until they close.
//!
//! hyper reads and writes HTTP; how long it may wait is watched here, for its own timer does not tell an idle connection
//! from a slow head and it has none for the rest. Each connection carries a [`Pulse`], and the accept loop looks at all of
//! them a few times a second.

mod complaint;
mod crowd;
mod pulse;

use crate::answer::{Answer, not_found, wrong_method};
use crate::here::{Here, Phase, Visitor};
use crate::{follow, forget, health, inference, listing, mesh_api, router};
use astromesh_core::settings::Service;
use crowd::Crowd;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use maia::wire::NODE_ID_HEADER;
use pulse::{Attended, Pulse};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often connections are looked at: by so much a deadline may be late.
const ROUND: Duration = Duration::from_millis(250);

/// How long accepting pauses where the process has no more files.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes connections until `closing` says so, and serves them until they are done. Dropping the future drops them all.
pub(crate) async fn run(
    listener: TcpListener,
    here: Arc<Here>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut crowd = Crowd::default();
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(open) = admit(&here, &mut crowd, peer) else {
                        continue;
                    };
                    let pulse = Arc::new(Pulse::new());
                    let served = serve(stream, peer, open, Arc::clone(&pulse), closing.clone());
                    crowd.add(&pulse, peer, connections.spawn(served));
                }
                Err(error) => refused(&here, &mut crowd, &error).await,
            },
            Some(_) = connections.join_next() => (),
            _ = rounds.tick() => crowd.close_overdue(&here),
            _ = closing.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Counts one more connection. Where there are as many as may be, another makes way, or this is one too many.
fn admit(here: &Arc<Here>, crowd: &mut Crowd, peer: SocketAddr) -> Option<Open> {
    let open = here.connections.load(Ordering::Relaxed);
    if open >= here.settings.limits.connections && crowd.make_room(here, 1) == 0 {
        here.turn_away(peer.ip().to_canonical(), "connections");
        return None;
    }
    here.connections.fetch_add(1, Ordering::Relaxed);
    Some(Open(Arc::clone(here)))
}

/// A connection could not be taken.
async fn refused(here: &Here, crowd: &mut Crowd, error: &io::Error) {
    // A caller that went away meanwhile is nobody's trouble.
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        return;
    }
    // Most likely there are no more files to be had, and this node needs some for its own calls as well.
    let open = here.connections.load(Ordering::Relaxed);
    let closed = crowd.make_room(here, open.div_ceil(4));
    let what = format!("cannot take a connection: {error}; closed {closed} of {open} that waited");
    here.complain(&what);
    tokio::time::sleep(PAUSE).await;
}

/// Counts an open connection, until it is dropped.
struct Open(Arc<Here>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    open: Open,
    pulse: Arc<Pulse>,
    mut closing: watch::Receiver<bool>,
) {
    let here = &open.0;
    // Only a hint: without it small answers wait for an acknowledgement.
    drop(stream.set_nodelay(true));
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let visitor = Visitor { peer, local };
    let limits = &here.settings.limits;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(64 * 1_024));
    let service = service_fn(|request| {
        let pulse = Arc::clone(&pulse);
        async move {
            pulse.begin();
            let answer = answer(here, visitor, request).await;
            Ok::<_, Infallible>(answer.map(|body| pulse::until_sent(body, pulse)))
        }
    });
    let io = Attended::new(TokioIo::new(stream), Arc::clone(&pulse), limits);
    let mut connection = pin!(http.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        if error.is_parse_too_large() {
            here.turn_away(visitor.address(), "headers");
        }
        log::debug!("connection from {peer}: {error}");
    }
}

/// Returns once no more requests are to be read.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error says that the daemon is gone altogether.
    drop(closing.wait_for(|closing| *closing).await);
}

/// Answers one request.
async fn answer(here: &Arc<Here>, visitor: Visitor, request: Request<Incoming>) -> Answer {
    let mut answer = dispatch(here, visitor, request).await;
    let headers = answer.headers_mut();
    if here.mesh.is_some() {
        let id = HeaderValue::from_str(here.id.as_str()).expect("a checked id is visible ASCII");
        headers.insert(NODE_ID_HEADER, id);
    }
    if here.phase() == Phase::Draining {
        // Whoever keeps connections is to have none to this node when it is gone.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Who answers what.
async fn dispatch(here: &Arc<Here>, visitor: Visitor, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some(answer) = health::answer(here, request.method(), &path) {
        return answer;
    }
    match path.as_str() {
        "/v1/mesh/events" => return follow::answer(here, &request),
        "/v1/mesh/forget" => return forget::answer(here, &visitor, request).await,
        path if path.starts_with("/v1/mesh/") => {
            return mesh_api::answer(here, &visitor, request).await;
        }
        _ => {}
    }
    if inference::is_call(&path) {
        return inference::answer(here, &visitor, request).await;
    }
    let Some(rest) = path.strip_prefix("/v1/agents") else {
        return not_found(&path);
    };
    match rest.strip_prefix('/') {
        None if rest.is_empty() => listing::all(here, &request).await,
        Some(rest) => match rest.strip_suffix("/run") {
            Some(name) => run_agent(here, &visitor, name, request).await,
            None => listing::one(here, rest, &request).await,
        },
        None => not_found(&path),
    }
}

async fn run_agent(
    here: &Arc<Here>,
    visitor: &Visitor,
    name: &str,
    request: Request<Incoming>,
) -> Answer {
    let Some(name) = listing::agent_name(name) else {
        return not_found(request.uri().path());
    };
    let origin = router::Origin::of(here, request.headers());
    if !here.offers(Service::Api) && !origin.is_node() {
        return not_found(request.uri().path());
    }
    match wrong_method(request.method(), "POST") {
        Some(refusal) => refusal,
        None => {
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            router::run(here, Some(visitor), origin, &router::Run(&name), request).await
        }
    }
}
