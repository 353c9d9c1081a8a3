//! A run of an agent as it comes in: to the node that holds its session before all others.
//!
//! Which one that is, a session's name says, the same at every gateway (`session_id`); what this one has seen itself goes
//! first (`affinity`). A body is looked at for the name where it says that it is short; all else is the router's.

use crate::answer::{Answer, trouble};
use crate::begun;
use crate::bodies::Longest;
use crate::here::{Here, Visitor};
use crate::router::{self, First, Origin, Run};
use crate::session_id;
use astromesh_core::http::{Body, full};
use hyper::body::Body as _;
use hyper::{Request, StatusCode};
use maia::id::{Label, NodeId};
use maia::message::Status;
use maia::view::{Seen, View, Want};
use maia::wire::NODE_ID_HEADER;
use serde::Deserialize;
use std::sync::Arc;

/// The header that names the session of a run whose body is not looked at, for it is long or of unknown length.
const SESSION_HEADER: &str = "x-astromesh-session";

/// The longest body that is looked at; a longer one is passed on as it comes.
const LOOKED_AT: Longest = Longest {
    bytes: 1_024 * 1_024,
    limit: "run_body_bytes",
};

/// The session of one run, and the node it is for.
#[derive(Debug)]
struct Session {
    key: Arc<str>,
    /// Who is to run it, if anybody more than others.
    holder: Option<NodeId>,
}

/// Lets `agent` run a request, wherever it is, and where its session is before all. A request of this node's own has no
/// visitor; one that was tried already goes on after that `first` attempt.
pub(crate) async fn run(
    here: &Arc<Here>,
    visitor: Option<&Visitor>,
    origin: Origin,
    agent: &Label,
    request: Request<Body>,
    first: Option<First>,
) -> Answer {
    if origin.is_node() {
        // It was looked for already.
        return router::run(here, visitor, origin, &Run::of(agent), request, first).await;
    }
    let (session, request) = match look(here, agent, request).await {
        Ok(looked) => looked,
        Err(refusal) => return refusal,
    };
    let wanted = Run {
        agent,
        holder: session.as_ref().and_then(|session| session.holder.as_ref()),
    };
    let answer = router::run(here, visitor, origin, &wanted, request, first).await;
    if let Some(session) = session {
        session.note(here, &answer);
    }
    answer
}

/// Looks for a session in a run that came from a client, and for the node that holds it. Nothing is looked for where there
/// is no choice.
async fn look(
    here: &Here,
    agent: &Label,
    request: Request<Body>,
) -> Result<(Option<Session>, Request<Body>), Answer> {
    let is_choice = {
        let view = here.view();
        view.is_some_and(|view| carriers(&view, agent).nth(1).is_some())
    };
    if !is_choice {
        return Ok((None, request));
    }
    let (session, request) = named(here, request).await?;
    let session = session.map(|session| {
        // Reading the body may have taken its time.
        let view = here.view();
        let carriers = view.iter().flat_map(|view| carriers(view, agent));
        let carriers: Vec<NodeId> = carriers.map(|seen| seen.id().clone()).collect();
        Session::of(here, agent, &session, &carriers)
    });
    Ok((session, request))
}

/// Those that may hold sessions with `agent`.
fn carriers<'a>(view: &'a View, agent: &'a Label) -> impl Iterator<Item = &'a Seen> {
    view.offering(Want::Agent(agent))
        .filter(|seen| holds_sessions(seen))
}

impl Session {
    fn of(here: &Here, agent: &Label, session: &str, carriers: &[NodeId]) -> Self {
        let key: Arc<str> = format!("{agent}/{session}").into();
        let seen = here
            .affinity
            .recall(&key)
            .filter(|id| carriers.contains(id));
        let holder = seen.or_else(|| {
            session_id::holder(session, carriers.iter()).map(|place| carriers[place].clone())
        });
        Self { key, holder }
    }

    /// Takes note of who ran it.
    fn note(self, here: &Here, answer: &Answer) {
        if !answer.status().is_success() {
            return;
        }
        let said = answer
            .headers()
            .get(NODE_ID_HEADER)
            .and_then(|id| id.to_str().ok());
        let ran_by = match said {
            Some(id) => NodeId::new(id).ok(),
            None => Some(here.id.clone()),
        };
        if let Some(id) = ran_by {
            here.affinity.note(self.key, id);
        }
    }
}

fn holds_sessions(seen: &Seen) -> bool {
    (seen.confirmed || seen.is_me) && seen.status == Status::Alive && seen.takes_requests()
}

/// The name of the session, by the header or else by the body, which is read for it where it says that it is short.
async fn named(
    here: &Here,
    request: Request<Body>,
) -> Result<(Option<String>, Request<Body>), Answer> {
    if let Some(name) = request.headers().get(SESSION_HEADER) {
        let name = name.to_str().map(str::to_owned).map_err(|_| {
            let detail = format!("{SESSION_HEADER}: expected visible ASCII");
            trouble(StatusCode::BAD_REQUEST, detail)
        })?;
        return Ok((Some(name), request));
    }
    let length = request.body().size_hint().exact();
    let Some(length) = length.filter(|length| *length <= LOOKED_AT.bytes as u64) else {
        return Ok((None, request));
    };
    let (head, body) = request.into_parts();
    let bytes = match begun::at_hand(body, length).await {
        Ok(bytes) => bytes,
        Err(body) => {
            let patience = here.settings.limits.body_timeout;
            let whole = here.bodies.read(body, LOOKED_AT, patience).await?;
            whole.into_bytes()
        }
    };
    Ok((session_in(&bytes), Request::from_parts(head, full(bytes))))
}

/// What a body says; nothing where it is none, which whoever runs it will complain of.
fn session_in(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        session_id: Option<String>,
    }
    // Most have none, and are not taken apart to find that out.
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.contains("session_id"))?;
    serde_json::from_slice::<Named>(bytes).ok()?.session_id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_at_the_top_of_the_body_alone() {
        for (body, session) in [
            (r#"{"query":"a","session_id":"s"}"#, Some("s")),
            (r#"{"query":"a","context":{"session_id":"s"}}"#, None),
            (r#"{"query":"session_id"}"#, None),
            (r#"{"session_id":null}"#, None),
            (r#"{"session_id":7}"#, None),
            ("session_id", None),
            ("", None),
        ] {
            assert_eq!(session_in(body.as_bytes()).as_deref(), session, "{body}");
        }
    }
}
