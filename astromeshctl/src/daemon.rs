//! Calls to one daemon, and what its answers mean: each is a success, or a [`Failure`] that says what to do.

use crate::outcome::Failure;
use crate::text::{excerpt, one_line};
use astromesh_core::api::{SystemStatus, Trouble};
use astromesh_core::http::{CallError, Client, ConnectError, Stream};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use maia::address::Url;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;

/// What a node says to every call of the mesh while its mesh is off; other 503s pass, this one stays.
const MESH_OFF: &str = "Mesh not enabled on this node";

/// One daemon, and the time until when it is waited for.
#[derive(Debug)]
pub(crate) struct Daemon {
    url: Url,
    patience: Duration,
    deadline: Instant,
    hint: &'static str,
}

/// An answer as it came, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body, not longer than the client lets it be.
    pub(crate) body: Vec<u8>,
}

/// What `GET /v1/system/status` said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// As the rest of the program reads it.
    pub(crate) status: SystemStatus,
    /// As it came.
    pub(crate) json: String,
}

impl Daemon {
    /// The daemon at `url`; all calls together may take as long as `patience`.
    pub(crate) fn new(url: Url, patience: Duration) -> Self {
        Self {
            url,
            patience,
            deadline: Instant::now() + patience,
            hint: "--timeout gives it longer",
        }
    }

    /// The same daemon, with another word on what to do when it takes too long.
    pub(crate) fn hinting(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// How long all calls together may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// How much of that is left.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks what the node is and sees.
    ///
    /// # Errors
    /// Whatever kept the answer from coming or from being one.
    pub(crate) async fn status(&self) -> Result<Seen, Failure> {
        self.status_within(self.time_left()).await
    }

    /// The same, in less than all the time left.
    ///
    /// # Errors
    /// As [`Daemon::status`].
    pub(crate) async fn status_within(&self, patience: Duration) -> Result<Seen, Failure> {
        let answer = self
            .ask(Method::GET, "/v1/system/status", None, patience)
            .await?;
        let json = self.text(&self.success(answer)?)?;
        let status = self.read(json.as_bytes())?;
        Ok(Seen { status, json })
    }

    /// Fetches `path`.
    ///
    /// # Errors
    /// Where no answer came.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, None, self.time_left()).await
    }

    /// Sends JSON to `path`.
    ///
    /// # Errors
    /// Where no answer came.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, Some(body), self.time_left())
            .await
    }

    /// Begins to follow the mesh's events, after the one with that id where there is one.
    ///
    /// # Errors
    /// Where they do not begin in time, or the daemon refuses.
    pub(crate) async fn follow(&self, last_event_id: Option<&str>) -> Result<Stream, Failure> {
        let mut headers = HeaderMap::new();
        let accept = HeaderValue::from_static("text/event-stream");
        headers.insert(ACCEPT, accept);
        let id = last_event_id.and_then(|id| HeaderValue::from_str(id).ok());
        if let Some(id) = id {
            headers.insert("last-event-id", id);
        }
        let client = Client::new(self.patience);
        let failure = |error| self.failure(error, self.patience);
        let stream = client.open(&self.url, "/v1/mesh/events", headers).await;
        let stream = stream.map_err(failure)?;
        if stream.status() != 200 {
            let answer = stream.whole().await.map_err(failure)?;
            let refusal = Answer {
                status: answer.status.as_u16(),
                body: answer.body,
            };
            self.success(refusal)?;
        } else if stream.is_of_type("text/event-stream") {
            return Ok(stream);
        }
        Err(self.strange("what it sends are not server-sent events"))
    }

    /// The body of a success.
    ///
    /// # Errors
    /// The daemon's reason where it answered no.
    pub(crate) fn success(&self, answer: Answer) -> Result<Vec<u8>, Failure> {
        let url = || self.url.clone();
        match answer.status {
            200 => Ok(answer.body),
            status @ 400..=599 => Err(match reason(&answer.body) {
                detail if status == 503 && detail == MESH_OFF => Failure::MeshOff { url: url() },
                detail => Failure::Refused {
                    url: url(),
                    status,
                    detail,
                },
            }),
            other => Err(self.strange(&format!("status {other}"))),
        }
    }

    /// A body as one of the API's types.
    ///
    /// # Errors
    /// Where it is something else.
    pub(crate) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body)
            .map_err(|error| self.strange(&format!("{error} in {}", shown(body))))
    }

    /// A body as text.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub(crate) fn text(&self, body: &[u8]) -> Result<String, Failure> {
        let text = std::str::from_utf8(body);
        text.map(str::to_owned)
            .map_err(|_| self.strange("its body is not UTF-8"))
    }

    /// The failure of an answer that makes no sense.
    pub(crate) fn strange(&self, why: &str) -> Failure {
        Failure::Strange {
            url: self.url.clone(),
            why: one_line(why),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let client = Client::new(patience);
        let answer = client.send(&self.url, method, path, body).await;
        let answer = answer.map_err(|error| self.failure(error, patience))?;
        Ok(Answer {
            status: answer.status.as_u16(),
            body: answer.body,
        })
    }

    fn failure(&self, error: CallError, patience: Duration) -> Failure {
        let url = self.url.clone();
        match error {
            CallError::NotReachable(cause) => Failure::Unreachable {
                url,
                why: one_line(&without_url(&cause)),
            },
            CallError::TimedOut { .. } => Failure::TimedOut {
                url,
                // What is left of a deadline is an odd number; what was asked for is what people know.
                after: if self.time_left().is_zero() {
                    self.patience
                } else {
                    patience
                },
                hint: self.hint,
            },
            CallError::Broken { reason, .. } => Failure::Broken {
                url,
                why: excerpt(&reason),
            },
            other => self.strange(&other.to_string()),
        }
    }
}

/// What the system said, without the place, which is named already.
fn without_url(cause: &ConnectError) -> String {
    match cause {
        ConnectError::Refused { .. } => "connection refused".to_owned(),
        ConnectError::Unresolved { source, .. } | ConnectError::Unreachable { source, .. } => {
            source.to_string()
        }
        other => other.to_string(),
    }
}

/// Why the daemon answered no, in its own words where it has some.
fn reason(body: &[u8]) -> String {
    match serde_json::from_slice::<Trouble>(body) {
        Ok(trouble) => excerpt(&trouble.detail),
        Err(_) => shown(body),
    }
}

fn shown(body: &[u8]) -> String {
    match excerpt(&String::from_utf8_lossy(body)) {
        empty if empty.is_empty() => "an empty body".to_owned(),
        text => text,
    }
}
