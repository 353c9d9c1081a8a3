//! Answers that go to a callback: signed as messages are, sent again where nobody took them, and so often and no more.

use super::signature;
use crate::answer::Answer;
use crate::outside::{Outside, OutsideError};
use astromesh_core::api::ChannelAnswer;
use astromesh_core::http::{full, read_bounded};
use astromesh_core::settings;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use maia::address::Url;
use maia::id::Label;
use secrecy::SecretString;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, timeout};

/// The pauses between attempts; one attempt more than that.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer of an agent that is sent on.
const ANSWER_BYTES: usize = 8 * 1_024 * 1_024;

/// Where the answers of a channel go.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    url: Uri,
    outside: Outside,
    secret: SecretString,
}

/// One answer on its way.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) callback: Callback,
    pub(crate) channel: Label,
    pub(crate) message_id: String,
}

impl Callback {
    pub(super) fn of(callback: &settings::Callback, secret: &SecretString) -> Self {
        let usual = if callback.url.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = callback.url.port_u16().unwrap_or(usual);
        let place = Url::new(&format!(
            "http://{}:{port}",
            callback.url.host().unwrap_or_default()
        ));
        let allow = callback.allow.clone();
        Self {
            url: callback.url.clone(),
            // Whoever wrote the address into the settings has named it.
            outside: Outside::within(
                place.map_or_else(|_| callback.allow.clone(), |place| allow.with(&place)),
            ),
            secret: secret.clone(),
        }
    }
}

impl Delivery {
    /// Sends `answer` to the callback; what it counts as.
    pub(crate) async fn deliver(self, answer: Answer) -> &'static str {
        let status = answer.status();
        let said = match timeout(PATIENCE, read_bounded(answer.into_body(), ANSWER_BYTES)).await {
            Ok(Ok(said)) => said,
            _ => b"null".as_slice().into(),
        };
        let text = || Value::from(String::from_utf8_lossy(&said));
        let answer = ChannelAnswer {
            channel: self.channel.to_string(),
            message_id: self.message_id.clone(),
            status: status.as_u16(),
            body: serde_json::from_slice(&said).unwrap_or_else(|_| text()),
        };
        let body =
            serde_json::to_vec(&answer).expect("text keys and finite numbers always make JSON");
        match self.insist(&body).await {
            Ok(()) => "callback_delivered",
            Err(why) => {
                log::warn!(
                    "channel {}: the answer to {} is lost: {why}",
                    self.channel,
                    self.message_id
                );
                "callback_failed"
            }
        }
    }

    async fn insist(&self, body: &[u8]) -> Result<(), String> {
        let mut pauses = PAUSES.iter();
        loop {
            let (why, may_pass) = match timeout(PATIENCE, self.attempt(body)).await {
                Ok(Ok(status)) if status.is_success() => return Ok(()),
                Ok(Ok(status)) => {
                    let may_pass =
                        status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                    (format!("the callback answered {status}"), may_pass)
                }
                Ok(Err(error)) => (
                    error.to_string(),
                    !matches!(error, OutsideError::Refused { .. }),
                ),
                Err(_) => (
                    format!("the callback did not answer within {PATIENCE:?}"),
                    true,
                ),
            };
            match pauses.next().filter(|_| may_pass) {
                Some(pause) => sleep(*pause).await,
                None => return Err(why),
            }
        }
    }

    async fn attempt(&self, body: &[u8]) -> Result<StatusCode, OutsideError> {
        let mut request = Request::new(full(body.to_vec()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.callback.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        signature::sign(&self.callback.secret, headers, body, now);
        Ok(self.callback.outside.send(request).await?.status())
    }
}
