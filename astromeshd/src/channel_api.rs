//! Ways in for programs that know nothing of agents: `POST /v1/channels/{name}` with a signed message, which an agent
//! answers, here or elsewhere in the mesh.
//!
//! The answer goes back to whoever sent the message; or, where the channel has a callback, the message is taken at once and
//! the answer follows there.

use crate::answer::{Answer, json, not_found, trouble, unavailable, wrong_method};
use crate::bodies::Longest;
use crate::channels::callback::{Callback, Delivery};
use crate::channels::signature;
use crate::here::{Here, Phase, Visitor};
use crate::listing::agent_name;
use crate::router::Origin;
use crate::runs;
use astromesh_core::api::{Accepted, RunRequest};
use astromesh_core::http::{Body, full};
use astromesh_core::settings::{Channel, Service};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use maia::id::Label;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// When to come back where as many messages are being answered as may be.
const COME_BACK: Duration = Duration::from_secs(5);

/// `POST /v1/channels/{name}`
pub(crate) async fn answer(
    here: &Arc<Here>,
    visitor: &Visitor,
    name: &str,
    request: Request<Incoming>,
) -> Answer {
    if !here.offers(Service::Api) || !here.offers(Service::Channels) {
        return not_found(request.uri().path());
    }
    let name = agent_name(name);
    let found = name.and_then(|name| Some((here.settings.channels.get(&name)?, name)));
    let Some((channel, name)) = found else {
        let detail = format!("this node has no channel at {}", request.uri().path());
        return trouble(StatusCode::NOT_FOUND, detail);
    };
    if let Some(refusal) = wrong_method(request.method(), "POST") {
        return refusal;
    }
    match take(here, visitor, channel, request).await {
        Ok(run) => match here.channels.callback(&name) {
            Some(callback) => run_later(here, channel, name, callback, run),
            None => {
                runs::run(
                    here,
                    Some(visitor),
                    Origin::Client,
                    &channel.agent,
                    run,
                    None,
                )
                .await
            }
        },
        Err(refusal) => refusal,
    }
}

/// Reads a message and sees who it is from: the run that it asks for.
async fn take(
    here: &Here,
    visitor: &Visitor,
    channel: &Channel,
    request: Request<Incoming>,
) -> Result<Request<Body>, Answer> {
    let (mut head, body) = request.into_parts();
    let limits = &here.settings.limits;
    let longest = Longest {
        bytes: limits.channel_body_bytes,
        limit: "channel_body_bytes",
    };
    let bytes = here.bodies.read(body, longest, limits.body_timeout).await?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    if let Err(reason) = signature::check(channel, &head.headers, &bytes, now) {
        here.turned_away.count("signatures");
        here.complain_of(
            visitor.address(),
            "sent a channel a message that is not signed as it should be",
        );
        return Err(trouble(StatusCode::UNAUTHORIZED, reason));
    }
    let run = run_of(channel, &bytes).map_err(|reason| trouble(StatusCode::BAD_REQUEST, reason))?;
    let run = serde_json::to_vec(&run).expect("text keys and finite numbers always make JSON");
    // The signature is of the message that came, and goes no further.
    signature::forget(&mut head.headers);
    head.headers.remove(CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    head.headers.insert(CONTENT_TYPE, json);
    head.method = Method::POST;
    head.uri = run_path(&channel.agent);
    Ok(Request::from_parts(head, full(run)))
}

/// What a message asks for, by the places that the channel says.
fn run_of(channel: &Channel, bytes: &[u8]) -> Result<RunRequest, String> {
    let message: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("body: expected JSON: {error}"))?;
    let query = match message.pointer(&channel.query) {
        Some(Value::String(query)) => query.clone(),
        _ => {
            return Err(format!(
                "{}: expected a string, as spec.channels says",
                place(&channel.query)
            ));
        }
    };
    let session = match message.pointer(&channel.session) {
        None | Some(Value::Null) => None,
        Some(Value::String(session)) => Some(session.clone()),
        Some(Value::Number(session)) => Some(session.to_string()),
        Some(_) => {
            return Err(format!(
                "{}: expected a string or a number",
                place(&channel.session)
            ));
        }
    };
    Ok(RunRequest {
        query,
        session_id: session,
        context: message
            .pointer(&channel.context)
            .filter(|context| !context.is_null())
            .cloned(),
        stream: false,
    })
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "body" } else { pointer }
}

fn run_path(agent: &Label) -> Uri {
    let path = format!("/v1/agents/{agent}/run");
    path.parse()
        .expect("the characters of a name are those of a path")
}

/// Takes the message now, and answers it by callback.
fn run_later(
    here: &Arc<Here>,
    channel: &Channel,
    name: Label,
    callback: &Callback,
    run: Request<Body>,
) -> Answer {
    let (Some(permit), Phase::Running) = (here.channels.permit(), here.phase()) else {
        here.turned_away.count("callbacks");
        let detail = "this node answers as many messages as it may; send it again";
        return unavailable(detail, COME_BACK);
    };
    let accepted = Accepted {
        message_id: Uuid::new_v4().to_string(),
    };
    let delivery = Delivery {
        callback: callback.clone(),
        channel: name,
        message_id: accepted.message_id.clone(),
    };
    let (here, agent) = (Arc::clone(here), channel.agent.clone());
    tokio::spawn(async move {
        let answer = runs::run(&here, None, Origin::Client, &agent, run, None).await;
        here.tally.count(delivery.deliver(answer).await);
        drop(permit);
    });
    json(StatusCode::ACCEPTED, &accepted)
}
