//! The one listener: connections are taken, bounded in what they may take up, and served until they close.
//!
//! Plain runs go by [`express`], and hyper reads and writes all else. How long either may wait is watched here: hyper's own
//! timer does not tell an idle connection from a slow head, and it has none for the rest. Each connection carries a
//! [`Pulse`], and the accept loop looks at all of them about once a second.

mod complaint;
mod connection;
mod crowd;
mod express;
mod heads;
mod passage;
mod pulse;
mod rewound;
mod workers;

use crate::answer::{Answer, not_found, wrong_method};
use crate::here::{Here, Phase, Visitor};
use crate::metrics::{self, Route};
use crate::router::{First, Origin};
use crate::{channel_api, follow, forget, health, inference, listing, mesh_api, runs};
use astromesh_core::api::ROUTED_TO_HEADER;
use astromesh_core::http::Body;
use astromesh_core::settings::{HttpLimits, Service};
use connection::{Connection, Open};
use crowd::Crowd;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use maia::id::Label;
use maia::wire::NODE_ID_HEADER;
use passage::Passage;
use pulse::Pulse;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
pub(crate) use workers::Workers;

/// How often connections are looked at within the shortest time that they are given, so that no deadline is late by more
/// than a fifth. To look is to wake up, which is most of what an idle daemon costs.
const LOOKS: u32 = 5;
const LONGEST_ROUND: Duration = Duration::from_secs(1);
const SHORTEST_ROUND: Duration = Duration::from_millis(20);

/// How long accepting pauses where the process has no more files.
const PAUSE: Duration = Duration::from_millis(10);

/// How many may have connected before they are taken. Whoever comes when there are as many hears nothing, and tries again
/// only after a second; the usual 128 are soon reached. The system may allow fewer.
const WAITING: u32 = 1_024;

/// Listens at `address`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A node that starts again is not kept out by the connections of its life before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Takes connections until `closing` says so, and serves them until they are done. Dropping the future drops them all.
pub(crate) async fn run(
    listener: TcpListener,
    here: Arc<Here>,
    workers: Workers,
    mut closing: watch::Receiver<bool>,
) {
    let mut served = Served {
        here: &here,
        workers,
        crowd: Crowd::default(),
        tasks: JoinSet::new(),
        closing: closing.clone(),
    };
    let mut rounds = interval(round(&here.settings.limits));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => served.take(stream, peer),
                Err(error) => refused(&here, &mut served.crowd, &error).await,
            },
            Some(_) = served.tasks.join_next() => (),
            _ = rounds.tick() => served.crowd.close_overdue(&here),
            _ = closing.changed() => break,
        }
    }
    served.take_rest(&listener);
    drop(listener);
    while served.tasks.join_next().await.is_some() {}
}

/// The connections, and who serves them.
struct Served<'a> {
    here: &'a Arc<Here>,
    crowd: Crowd,
    closing: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    /// After the tasks, which run on them.
    workers: Workers,
}

impl Served<'_> {
    /// Takes those who have connected already, whom closing the listener would cut off.
    fn take_rest(&mut self, listener: &TcpListener) {
        let mut now = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut now) {
            self.take(stream, peer);
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Some(open) = admit(self.here, &mut self.crowd, peer) else {
            return;
        };
        // From now on it is the business of another thread, which has a reactor of its own.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let (pulse, place) = (Arc::new(Pulse::new()), self.workers.place());
        let runtime = place.runtime();
        let connection = Connection::new(stream, peer, open, place);
        let task = connection.serve(Arc::clone(&pulse), self.closing.clone());
        let task = self.tasks.spawn_on(task, &runtime);
        self.crowd.add(&pulse, peer, task);
    }
}

fn round(limits: &HttpLimits) -> Duration {
    let waits = [
        limits.first_byte_timeout,
        limits.headers_timeout,
        limits.idle_timeout,
    ];
    let shortest = waits.into_iter().min().unwrap_or_default();
    (shortest / LOOKS).clamp(SHORTEST_ROUND, LONGEST_ROUND)
}

/// Counts one more connection. Where there are as many as may be, another makes way, or this is one too many.
fn admit(here: &Arc<Here>, crowd: &mut Crowd, peer: SocketAddr) -> Option<Open> {
    let open = here.connections.load(Ordering::Relaxed);
    if open >= here.settings.limits.connections && crowd.make_room(here, 1) == 0 {
        here.turn_away(peer.ip().to_canonical(), "connections");
        return None;
    }
    Some(Open::new(here))
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

/// Answers one request.
async fn answer(here: &Arc<Here>, visitor: &Visitor, request: Request<Incoming>) -> Answer {
    let work = |request| dispatch(here, visitor, request);
    accounted(here, Instant::now(), request, work).await
}

/// Answers a request to run `agent` that is here to its last byte, and that may have been tried once since it `began`.
async fn run_whole(
    here: &Arc<Here>,
    visitor: &Visitor,
    agent: &Label,
    request: Request<Body>,
    began: Instant,
    first: Option<First>,
) -> Answer {
    let work = |request| runs::run(here, Some(visitor), Origin::Client, agent, request, first);
    accounted(here, began, request, work).await
}

/// The answer by `work`, with what every answer says, and noted where each is noted.
async fn accounted<B, F: Future<Output = Answer>>(
    here: &Here,
    began: Instant,
    mut request: Request<B>,
    work: impl FnOnce(Request<B>) -> F,
) -> Answer {
    let route = Route::of(request.uri().path());
    let passage = Passage::begin(here, route, &mut request);
    let answer = passage.around(work(request)).await;
    let ran_by = answer.headers().get(ROUTED_TO_HEADER);
    here.metrics
        .answered(here, route, ran_by, answer.status(), began.elapsed());
    let mut answer = passage.end(answer, began);
    let headers = answer.headers_mut();
    if here.mesh.is_some() {
        headers.insert(NODE_ID_HEADER, here.id_text.clone());
    }
    if is_closing(here) {
        // Whoever keeps connections is to have none to this node when it is gone.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Whether each connection ends with the answer that is being given.
fn is_closing(here: &Here) -> bool {
    here.phase() == Phase::Draining || here.is_stopping()
}

/// Who answers what.
async fn dispatch(here: &Arc<Here>, visitor: &Visitor, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    if !path.ends_with("/run") {
        here.settled().await;
    }
    if let Some(answer) = health::answer(here, request.method(), &path) {
        return answer;
    }
    match path.as_str() {
        "/metrics" if here.offers(Service::Observability) => {
            return metrics::answer(here, request.method());
        }
        "/v1/mesh/events" => return follow::answer(here, &request),
        "/v1/mesh/forget" => return forget::answer(here, visitor, request).await,
        path if path.starts_with("/v1/mesh/") => {
            return mesh_api::answer(here, visitor, request).await;
        }
        _ => {}
    }
    if inference::is_call(&path) {
        return inference::answer(here, visitor, request).await;
    }
    if let Some(name) = path.strip_prefix("/v1/channels/") {
        return channel_api::answer(here, visitor, name, request).await;
    }
    let Some(rest) = path.strip_prefix("/v1/agents") else {
        return not_found(&path);
    };
    match rest.strip_prefix('/') {
        None if rest.is_empty() => listing::all(here, &request).await,
        Some(rest) => match rest.strip_suffix("/run") {
            Some(name) => run_agent(here, visitor, name, request).await,
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
    let origin = Origin::of(here, request.headers());
    if !here.offers(Service::Api) && !origin.is_node() {
        return not_found(request.uri().path());
    }
    match wrong_method(request.method(), "POST") {
        Some(refusal) => refusal,
        None => match connection::begun(here, request).await {
            Ok(request) => runs::run(here, Some(visitor), origin, &name, request, None).await,
            Err(refusal) => refusal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    /// Shorter than the second after which a system tries again.
    const AT_ONCE: Duration = Duration::from_millis(900);

    #[tokio::test]
    async fn a_crowd_need_not_be_taken_before_the_next_ones_can_connect() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let crowd: Vec<TcpStream> = (0..500)
            .map(|place| {
                let connected = TcpStream::connect_timeout(&address, AT_ONCE);
                connected.unwrap_or_else(|error| panic!("number {place}: {error}"))
            })
            .collect();
        drop(crowd);
    }
}
