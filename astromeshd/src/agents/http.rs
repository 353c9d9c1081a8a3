//! An agent that is a server of its own, in whatever language: a run is a `POST` to its URL.
//!
//! It gets the request as it came, and answers with JSON that has at least `answer`; what else belongs to an answer is
//! filled in here. Its own refusals pass through, and so does any other kind of answer, as a stream.

use super::{Around, Task};
use crate::answer::{Answer, json, trouble};
use crate::hop::strip_hop_by_hop;
use astromesh_core::http::{Body, SendError, full, read_bounded};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode, Uri};
use maia::address::Url;
use maia::id::Label;
use serde_json::{Map, Value, json as value};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// How long the agent may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The longest JSON answer that is completed; a longer one is no answer of an agent.
const ANSWER_BYTES: usize = 8 * 1_024 * 1_024;

/// Where an agent's own server is.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    url: Url,
    path: Uri,
}

impl Server {
    /// The server at `uri`, if that is a place one can post to.
    pub(super) fn at(uri: &Uri) -> Result<Self, String> {
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{uri} names no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let url = Url::new(&format!("http://{}:{port}", authority.host()))
            .map_err(|error| error.to_string())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { url, path })
    }

    /// Lets it answer.
    pub(super) async fn run(&self, around: &Around<'_>, name: &Label, task: Task) -> Answer {
        let mut request = Request::new(full(task.bytes));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let bad_gateway = |what: String| {
            let detail = format!(
                "agent {:?} at {}{} {what}",
                name.as_str(),
                self.url,
                self.path
            );
            trouble(StatusCode::BAD_GATEWAY, detail)
        };
        match timeout(PATIENCE, around.listed.send(&self.url, request)).await {
            Ok(Ok(response)) if is_no_answer(response.status()) => bad_gateway(format!(
                "answered {}, which is no answer; redirects are not followed",
                response.status()
            )),
            Ok(Ok(response)) if is_answer(&response) => {
                match completed(around, task.request.session_id, response).await {
                    Ok(answer) => answer,
                    Err(what) => bad_gateway(what),
                }
            }
            Ok(Ok(response)) => passed_on(response),
            Ok(Err(SendError::NotSent { cause, .. })) => {
                bad_gateway(format!("cannot be reached: {cause}"))
            }
            Ok(Err(error)) => bad_gateway(format!("broke off, the outcome is unknown: {error}")),
            Err(_) => {
                let detail = format!(
                    "agent {:?} at {} did not answer within {PATIENCE:?}",
                    name.as_str(),
                    self.url
                );
                trouble(StatusCode::GATEWAY_TIMEOUT, detail)
            }
        }
    }
}

/// Whether a status says that the answer is elsewhere, or yet to come, or is none that there is.
fn is_no_answer(status: StatusCode) -> bool {
    status.is_redirection() || status.is_informational() || status.as_u16() >= 600
}

/// Whether this is a whole answer, rather than a refusal or a stream.
fn is_answer(response: &Response<Body>) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    response.status().is_success() && kind.is_some_and(|kind| kind.starts_with("application/json"))
}

/// The agent's answer with what it left out.
async fn completed(
    around: &Around<'_>,
    session: Option<String>,
    response: Response<Body>,
) -> Result<Answer, String> {
    let status = response.status();
    let bytes = timeout(PATIENCE, read_bounded(response.into_body(), ANSWER_BYTES)).await;
    let bytes = bytes.map_err(|_| format!("did not finish its answer within {PATIENCE:?}"))?;
    let bytes = bytes.map_err(|error| format!("did not answer whole: {error}"))?;
    let mut said: Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|error| format!("answered something else than a JSON object: {error}"))?;
    if !matches!(said.get("answer"), Some(Value::String(_))) {
        return Err("answered without a string in the field answer".to_owned());
    }
    let session = session.unwrap_or_else(|| Uuid::new_v4().to_string());
    for (field, default) in [
        ("session_id", value!(session)),
        ("model", value!("")),
        (
            "usage",
            value!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        ),
        ("steps", value!([])),
    ] {
        said.entry(field).or_insert(default);
    }
    said.insert("node".to_owned(), value!(around.node));
    Ok(json(status, &said))
}

/// The agent's answer as it is, but for what belongs to the connection.
fn passed_on(response: Response<Body>) -> Answer {
    let (mut head, body) = response.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(LOCATION);
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(head, body)
}
