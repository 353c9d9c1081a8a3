//! The six calls of the mesh: what comes in becomes a message to the node, and its reply an answer.

use crate::answer::{
    Answer, json_bytes, mesh_off, not_found, retry_after, trouble, unavailable, wrong_method,
};
use crate::bodies::{Longest, Whole};
use crate::here::{Here, Mesh, Phase, Visitor, node_id};
use crate::leave;
use astromesh_core::http::BoxError;
use hyper::body::{Body as _, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use maia::message::{Caller, Refusal, Reply, Request as Message, Subject};
use maia::node::Command;
use maia::wire::{self, ASK_HEADER, Endpoint};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{SemaphorePermit, TryAcquireError};

/// Answers a call under `/v1/mesh/`.
pub(crate) async fn answer<B>(here: &Arc<Here>, visitor: &Visitor, request: Request<B>) -> Answer
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let Some(endpoint) = Endpoint::at(request.uri().path()) else {
        return not_found(request.uri().path());
    };
    if let Some(refusal) = wrong_method(request.method(), endpoint.method()) {
        return refusal;
    }
    let Some(mesh) = &here.mesh else {
        return mesh_off();
    };
    let path = endpoint.path();
    let received = request.body().size_hint().lower();
    let answer = enabled(here, mesh, visitor, endpoint, request).await;
    let (sent, taken) = (
        answer.body().size_hint().lower(),
        answer.status().is_success(),
    );
    here.metrics.was_called(endpoint, received, sent, taken);
    if !answer.status().is_success() {
        here.tally.count("mesh_refused");
        let what = format!("was refused {path} with {}", answer.status());
        here.complain_of(visitor.address(), &what);
    }
    answer
}

/// Answers a call where there is a mesh.
async fn enabled<B>(
    here: &Arc<Here>,
    mesh: &Mesh,
    visitor: &Visitor,
    endpoint: Endpoint,
    request: Request<B>,
) -> Answer
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if here.phase() == Phase::Left && is_refused_after_leaving(endpoint) {
        return written(&Reply::Refused(Refusal::Left));
    }
    let caller = Caller {
        id: node_id(request.headers()),
        address: Some(visitor.address()),
        on_this_host: visitor.is_on_this_host(),
    };
    let (ask_header, body) = match read(here, endpoint, request).await {
        Ok(read) => read,
        Err(refusal) => return refusal,
    };
    // Not before all is read: whoever sends slowly keeps nobody out.
    let Ok(_permit) = permit(here, is_costly(endpoint)) else {
        return busy(here);
    };
    let _turn = match is_large(endpoint) {
        true => here.table_turn.acquire().await.ok(),
        false => None,
    };
    let message = match wire::decode_request(endpoint, ask_header.as_deref(), &body) {
        Ok(message) => message,
        Err(invalid) => return written(&Reply::Refused(Refusal::Invalid(invalid))),
    };
    drop(body);
    note_address(mesh, visitor, &message);
    match ask(here, mesh, caller, message).await {
        Some(reply) => written(&reply),
        None => unavailable("this node is stopping", Duration::from_secs(1)),
    }
}

/// Leave to take part in what only so many may do at once, where it is `needed`.
fn permit(here: &Here, needed: bool) -> Result<Option<SemaphorePermit<'_>>, TryAcquireError> {
    needed.then(|| here.gossip.try_acquire()).transpose()
}

fn busy(here: &Here) -> Answer {
    here.turned_away.count("concurrent_gossip");
    let most = here.settings.limits.concurrent_gossip;
    let detail = format!("{most} exchanges are under way already");
    unavailable(detail, Duration::from_secs(1))
}

/// Whether its answer grows with the mesh.
fn is_costly(endpoint: Endpoint) -> bool {
    is_large(endpoint) || matches!(endpoint, Endpoint::Join | Endpoint::Exchange)
}

/// Whether whole tables are said there.
fn is_large(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Gossip | Endpoint::Reconcile)
}

/// Whether a node that left says no to it, whatever it says.
fn is_refused_after_leaving(endpoint: Endpoint) -> bool {
    !matches!(endpoint, Endpoint::State | Endpoint::Leave | Endpoint::Join)
}

/// Reads what is said, and the header that belongs to it.
async fn read<B>(
    here: &Here,
    endpoint: Endpoint,
    request: Request<B>,
) -> Result<(Option<String>, Whole<'_>), Answer>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let limits = &here.settings.limits;
    let (bytes, limit) = if is_large(endpoint) {
        (limits.gossip_body_bytes, "gossip_body_bytes")
    } else {
        (limits.body_bytes, "body_bytes")
    };
    let ask = match request.headers().get(ASK_HEADER).map(|ask| ask.to_str()) {
        Some(Err(_)) => {
            let detail = format!("{ASK_HEADER}: expected the id of a node");
            return Err(trouble(StatusCode::BAD_REQUEST, detail));
        }
        Some(Ok(ask)) => Some(ask.to_owned()),
        None => None,
    };
    let longest = Longest { bytes, limit };
    let read = here
        .bodies
        .read(request.into_body(), longest, limits.body_timeout);
    Ok((ask, read.await?))
}

/// The first peer of another host shows where this node is reached, if that was a guess so far.
fn note_address(mesh: &Mesh, visitor: &Visitor, message: &Message) {
    let is_peer = matches!(
        message,
        Message::Join(_)
            | Message::Gossip(_)
            | Message::Exchange(_)
            | Message::Reconcile { .. }
            | Message::Heartbeat { .. }
    );
    if !is_peer || visitor.is_on_this_host() {
        return;
    }
    if let Some(url) = mesh.advertised.reached_at(visitor.local.ip()) {
        log::info!(
            "a peer reached this node at {url}: that is what the others are told from now on"
        );
        mesh.handle.tell(Command::Url(url));
    }
}

/// Lets the node answer, by way of finishing what is in flight where it is to leave.
async fn ask(here: &Arc<Here>, mesh: &Mesh, caller: Caller, message: Message) -> Option<Reply> {
    match message {
        Message::Leave(subject) if caller.on_this_host && is_me(here, &subject) => {
            leave::leave(here, leave::GRACE).await
        }
        Message::Rejoin if caller.on_this_host => leave::rejoin(here, caller).await,
        message => mesh.handle.call(caller, message).await,
    }
}

fn is_me(here: &Here, subject: &Subject) -> bool {
    match subject {
        Subject::Myself => true,
        Subject::Id(id) => *id == here.id,
    }
}

fn written(reply: &Reply) -> Answer {
    let response = wire::encode_reply(reply);
    let status =
        StatusCode::from_u16(response.status).expect("the codec writes statuses that there are");
    let mut answer = json_bytes(status, response.body);
    let kind = HeaderValue::from_static(response.content_type);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    if let Some(after) = response.retry_after {
        retry_after(&mut answer, after);
    }
    answer
}
