//! An agent that is a server of its own, in whatever language: a run is a `POST` to its URL.
//!
//! It gets the request as it came, and answers with JSON that has at least `answer`; what else belongs to an answer is
//! filled in here. Its own refusals pass through, and so does any other kind of answer, as a stream.
//!
//! Every second it is asked how it is. While it does not answer, the node does not offer the agent; one refused connection
//! is enough, for then there is nobody. A server that is only slow is given a second chance.

use super::{Around, Task};
use crate::answer::{Answer, json, trouble, unavailable};
use crate::hop::strip_hop_by_hop;
use astromesh_core::http::{Body, Pool, SendError, chain, empty, full, read_bounded};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode, Uri};
use maia::address::Url;
use maia::id::Label;
use serde_json::{Map, Value, json as value};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// How long the agent may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The longest JSON answer that is completed; a longer one is no answer of an agent.
const ANSWER_BYTES: usize = 8 * 1_024 * 1_024;

/// How long it may take to say how it is.
const LOOK: Duration = Duration::from_secs(2);

/// How much of that is read.
const LOOK_BYTES: usize = 64 * 1_024;

/// How often in a row it may fail to say so before it is out of the offer.
const CHANCES: u32 = 2;

/// When to come back where it does not answer: by then it was looked at again.
const COME_BACK: Duration = Duration::from_secs(2);

/// Where an agent's own server is, and how.
#[derive(Debug)]
pub(super) struct Server {
    url: Url,
    path: Uri,
    /// What is asked to find out how it is, if not `path`.
    health: Option<Uri>,
    condition: Mutex<Condition>,
    /// How many runs it is busy with.
    busy: Arc<AtomicUsize>,
}

/// How a server is.
#[derive(Debug, Default)]
struct Condition {
    /// Why it is not to be asked, if it is not.
    trouble: Option<String>,
    /// How often in a row it has failed to say how it is.
    failures: u32,
    /// Whether it was ever looked at.
    is_known: bool,
}

/// One run that the server is busy with, until its answer has come whole.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn with(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// The server at `uri`, if that is a place one can post to. It says how it is at `health`, or else by answering at all.
    pub(super) fn at(uri: &Uri, health: Option<&PathAndQuery>) -> Result<Self, String> {
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{uri} names no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let url = Url::new(&format!("http://{}:{port}", authority.host()))
            .map_err(|error| error.to_string())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().map_err(|error| format!("{path}: {error}"))?;
        Ok(Self {
            url,
            path,
            health: health.map(|path| Uri::from(path.clone())),
            condition: Mutex::default(),
            busy: Arc::default(),
        })
    }

    /// Why it is not to be asked, if it is not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.condition().trouble.clone()
    }

    /// Asks it how it is. True if that is another answer than before.
    pub(super) async fn look_after(&self, name: &Label, listed: &Pool) -> bool {
        let found = match timeout(LOOK, self.ask_how_it_is(listed)).await {
            Ok(found) => found,
            // One that does a thing at a time says nothing while it runs something, and is well all the same.
            Err(_) if self.busy.load(Ordering::Relaxed) > 0 => return false,
            Err(_) => Err((1, format!("no answer within {LOOK:?}"))),
        };
        self.note(name, found)
    }

    /// Whether it is well; else how much that counts, and why not.
    async fn ask_how_it_is(&self, listed: &Pool) -> Result<(), (u32, String)> {
        let mut request = Request::new(empty());
        *request.uri_mut() = self.health.as_ref().unwrap_or(&self.path).clone();
        let answer = match listed.send(&self.url, request).await {
            Ok(answer) => answer,
            Err(SendError::NotSent { cause, .. }) => {
                let weight = if cause.is_shortage() { 0 } else { CHANCES };
                return Err((weight, chain(&cause)));
            }
            Err(error) => return Err((1, chain(&error))),
        };
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        drop(read_bounded(answer.into_body(), LOOK_BYTES).await);
        let is_well = match &self.health {
            Some(_) => status.is_success(),
            // Whatever it says to such a question, it is there; unless it speaks for somebody who is not.
            None => !matches!(status.as_u16(), 502..=504),
        };
        match is_well {
            true => Ok(()),
            false => Err((1, format!("status {}", status.as_u16()))),
        }
    }

    /// Takes note of how it is. True if it is in the offer now and was not, or the other way round.
    fn note(&self, name: &Label, found: Result<(), (u32, String)>) -> bool {
        let mut condition = self.condition();
        let was_well = condition.trouble.is_none();
        // At the first look there is nothing to be patient for: nobody relies on it yet.
        let chances = if condition.is_known { CHANCES } else { 1 };
        condition.is_known = true;
        match found {
            Ok(()) => {
                *condition = Condition {
                    is_known: true,
                    ..Condition::default()
                }
            }
            Err((weight, why)) => {
                condition.failures = condition.failures.saturating_add(weight);
                if condition.failures >= chances {
                    condition.trouble = Some(format!(
                        "its server at {}{} does not answer: {why}",
                        self.url, self.path
                    ));
                }
            }
        }
        match (was_well, &condition.trouble) {
            (true, Some(trouble)) => log::warn!("agent {name} is not offered: {trouble}"),
            (false, None) => log::info!(
                "agent {name} is offered again: its server at {} answers",
                self.url
            ),
            _ => return false,
        }
        true
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it answer. An error says that nothing was run, and why.
    pub(super) async fn run(
        &self,
        around: &Around<'_>,
        name: &Label,
        task: Task,
    ) -> Result<Answer, Answer> {
        let mut request = Request::new(full(task.bytes));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        around.trail.write(request.headers_mut());
        let bad_gateway = |what: String| {
            let detail = format!(
                "agent {:?} at {}{} {what}",
                name.as_str(),
                self.url,
                self.path
            );
            trouble(StatusCode::BAD_GATEWAY, detail)
        };
        let session = task.request.session_id;
        let busy = Busy::with(&self.busy);
        Ok(
            match timeout(PATIENCE, around.listed.send(&self.url, request)).await {
                Ok(Ok(response)) if is_no_answer(response.status()) => bad_gateway(format!(
                    "answered {}, which is no answer; redirects are not followed",
                    response.status()
                )),
                Ok(Ok(response)) if is_answer(&response) => {
                    match completed(around, session, response).await {
                        Ok(answer) => answer,
                        Err(what) => bad_gateway(what),
                    }
                }
                Ok(Ok(response)) => passed_on(response, busy),
                Ok(Err(SendError::NotSent { cause, .. })) => {
                    let why = chain(&cause);
                    self.note(name, Err((CHANCES, why.clone())));
                    around.offer_changed.notify_one();
                    let detail = format!(
                        "agent {:?} at {}{} cannot be reached: {why}",
                        name.as_str(),
                        self.url,
                        self.path
                    );
                    return Err(unavailable(detail, COME_BACK));
                }
                Ok(Err(error)) => {
                    bad_gateway(format!("broke off, the outcome is unknown: {error}"))
                }
                Err(_) => {
                    let detail = format!(
                        "agent {:?} at {} did not answer within {PATIENCE:?}",
                        name.as_str(),
                        self.url
                    );
                    trouble(StatusCode::GATEWAY_TIMEOUT, detail)
                }
            },
        )
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
    let session = around.session(session);
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
fn passed_on(response: Response<Body>, busy: Busy) -> Answer {
    let (mut head, body) = response.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(LOCATION);
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
    let body = body.map_frame(move |frame| {
        let _ = &busy;
        frame
    });
    Response::from_parts(head, body.boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_not_be_asked_stays_as_it_was() {
        let server = Server::at(&Uri::from_static("http://127.0.0.1:1/"), None).expect("a server");
        let name = Label::new("x").expect("a name");
        let failed = |weight| Err((weight, "no answer".to_owned()));
        for _ in 0..3 {
            assert!(!server.note(&name, failed(0)));
        }
        assert!(server.trouble().is_none());
        assert!(server.note(&name, failed(CHANCES)));
        assert!(!server.note(&name, failed(0)) && server.trouble().is_some());
        assert!(server.note(&name, Ok(())));
    }
}
