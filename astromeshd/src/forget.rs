//! `POST /v1/mesh/forget`: a person has this node drop the row of a dead member before its time.
//!
//! It is this node's table and no other's: each node forgets for itself. So it is taken only from this node's own machine.

use crate::answer::{Answer, json, mesh_off, trouble, unavailable, wrong_method};
use crate::bodies::Longest;
use crate::here::{Here, Mesh, Visitor};
use astromesh_core::api::{ForgetRequest, Forgotten};
use astromesh_core::http::BoxError;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use maia::id::NodeId;
use maia::message::{Caller, Request as Message, Status};
use maia::node::Command;
use std::time::Duration;

/// Answers a call of `/v1/mesh/forget`.
pub(crate) async fn answer<B>(here: &Here, visitor: &Visitor, request: Request<B>) -> Answer
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if let Some(refusal) = wrong_method(request.method(), "POST") {
        return refusal;
    }
    let Some(mesh) = &here.mesh else {
        return mesh_off();
    };
    if !visitor.is_on_this_host() {
        let detail =
            "a node forgets only on the word of its own machine; call it on 127.0.0.1 there";
        return trouble(StatusCode::FORBIDDEN, detail);
    }
    match wanted(here, request).await {
        Ok(id) => forget(mesh, &id).await,
        Err(refusal) => refusal,
    }
}

/// Who is to be forgotten.
async fn wanted<B>(here: &Here, request: Request<B>) -> Result<NodeId, Answer>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let limits = &here.settings.limits;
    let longest = Longest {
        bytes: limits.body_bytes,
        limit: "body_bytes",
    };
    let read = here
        .bodies
        .read(request.into_body(), longest, limits.body_timeout);
    let body = read.await?;
    let wrong = |why: String| trouble(StatusCode::BAD_REQUEST, why);
    let ForgetRequest { node_id } = serde_json::from_slice(&body)
        .map_err(|error| wrong(format!("expected {{\"node_id\": …}}: {error}")))?;
    NodeId::new(&node_id).map_err(|invalid| wrong(invalid.to_string()))
}

async fn forget(mesh: &Mesh, id: &NodeId) -> Answer {
    let Some((name, status)) = standing(mesh, id) else {
        let detail = format!("node_id: there is no member {id} here");
        return trouble(StatusCode::NOT_FOUND, detail);
    };
    if status != Status::Dead {
        return not_dead(&name, status);
    }
    mesh.handle.tell(Command::Forget(id.clone()));
    // The node takes its mail in order: once this is answered, the command has been followed.
    let asked = mesh.handle.call(Caller::default(), Message::State).await;
    if asked.is_none() {
        return unavailable("this node is stopping", Duration::from_secs(1));
    }
    if let Some((name, status)) = standing(mesh, id) {
        // It gave a sign of life at the last moment.
        return not_dead(&name, status);
    }
    log::info!("{name} ({id}) is forgotten on request");
    let node_id = id.to_string();
    json(StatusCode::OK, &Forgotten { node_id, name })
}

/// What people call the member `id`, and how it stands; hearsay is nobody here.
fn standing(mesh: &Mesh, id: &NodeId) -> Option<(String, Status)> {
    let view = mesh.view.load();
    let seen = view
        .member(id)
        .filter(|seen| seen.confirmed || seen.is_me)?;
    Some((seen.name().to_string(), seen.status))
}

fn not_dead(name: &str, status: Status) -> Answer {
    let detail = format!(
        "{name} is {status}, and only the dead are forgotten; to take it out of the mesh, run astromeshctl mesh leave on it"
    );
    trouble(StatusCode::CONFLICT, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Daemon;
    use astromesh_core::http::full;
    use std::net::SocketAddr;

    #[tokio::test]
    async fn another_host_is_refused_before_it_is_read() {
        let daemon = Daemon::alone().await;
        let local: SocketAddr = "10.0.0.1:8000".parse().expect("an address");
        for (peer, status) in [
            ("10.0.0.9:4711", StatusCode::FORBIDDEN),
            ("10.0.0.1:4711", StatusCode::BAD_REQUEST),
            ("127.0.0.1:4711", StatusCode::BAD_REQUEST),
        ] {
            let peer = peer.parse().expect("an address");
            let mut request = Request::new(full("rubbish"));
            *request.method_mut() = hyper::Method::POST;
            let answer = answer(&daemon.here, &Visitor::new(peer, local), request).await;
            assert_eq!(answer.status(), status, "{peer}");
        }
    }
}
