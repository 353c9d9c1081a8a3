//! The six calls of the mesh: what comes in becomes a message to the node, and its reply an answer.

use crate::agents::read;
use crate::answer::{
    Answer, json_bytes, mesh_off, not_found, retry_after, trouble, unavailable, wrong_method,
};
use crate::here::{Here, Mesh, Phase, Visitor, node_id};
use crate::leave;
use astromesh_core::http::BoxError;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use maia::message::{Caller, Refusal, Reply, Request as Message, Subject};
use maia::node::Command;
use maia::wire::{self, ASK_HEADER, Endpoint};
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    let answer = enabled(here, mesh, visitor, endpoint, request).await;
    if !answer.status().is_success() {
        here.tally.count("mesh_refused");
        let peer = visitor.address();
        if here.refusals.is_news(peer, Instant::now()) {
            log::warn!(
                "refused {path} from {peer}: {}; its next refusals are only counted",
                answer.status()
            );
        }
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
    let is_costly = is_large(endpoint) || endpoint == Endpoint::Join;
    let Ok(_reading) = permit(here, is_costly) else {
        return busy(here);
    };
    let caller = Caller {
        id: node_id(request.headers()),
        address: Some(visitor.address()),
        on_this_host: visitor.is_on_this_host(),
    };
    let message = match message(here, endpoint, request).await {
        Ok(message) => message,
        Err(refusal) => return refusal,
    };
    // An exchange is small enough to be read without one: whoever sends slowly keeps no exchange out.
    let Ok(_answering) = permit(here, endpoint == Endpoint::Exchange) else {
        return busy(here);
    };
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
    let most = here.settings.limits.concurrent_gossip;
    let detail = format!("{most} exchanges are under way already");
    unavailable(detail, Duration::from_secs(1))
}

/// Whether whole tables are said there.
fn is_large(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Gossip | Endpoint::Reconcile)
}

/// Whether a node that left says no to it, whatever it says.
fn is_refused_after_leaving(endpoint: Endpoint) -> bool {
    !matches!(endpoint, Endpoint::State | Endpoint::Leave | Endpoint::Join)
}

/// Reads what is said, or says what is wrong with it.
async fn message<B>(here: &Here, endpoint: Endpoint, request: Request<B>) -> Result<Message, Answer>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let limits = &here.settings.limits;
    let limit_bytes = if is_large(endpoint) {
        limits.gossip_body_bytes
    } else {
        limits.body_bytes
    };
    let ask = match request.headers().get(ASK_HEADER).map(|ask| ask.to_str()) {
        Some(Err(_)) => {
            let detail = format!("{ASK_HEADER}: expected the id of a node");
            return Err(trouble(StatusCode::BAD_REQUEST, detail));
        }
        Some(Ok(ask)) => Some(ask.to_owned()),
        None => None,
    };
    let body = read(request.into_body(), limit_bytes, limits.body_timeout).await?;
    wire::decode_request(endpoint, ask.as_deref(), &body)
        .map_err(|invalid| written(&Reply::Refused(Refusal::Invalid(invalid))))
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
