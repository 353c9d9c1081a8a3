//! One request, one answer, one deadline: for the command line and the tests.

use super::body::{Body, chain, empty, full, read_bounded};
use super::connect::{ConnectError, Reach};
use super::pool::{Pool, PoolSettings, SendError};
use crate::api::Trouble;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use maia::address::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// The longest answer that is read.
const ANSWER_BYTES: usize = 64 * 1_024 * 1_024;

/// Asks a daemon. It follows no redirect and tries nothing twice.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) pool: Pool,
    pub(super) timeout: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection to be had; nothing was sent.
    #[error(transparent)]
    NotReachable(ConnectError),
    /// The connection broke; whether the request was carried out is unknown.
    #[error("{url} broke off: {reason}")]
    Broken {
        /// Who was asked.
        url: Url,
        /// What happened.
        reason: String,
    },
    /// No whole answer in time.
    #[error("{url} did not answer within {after:?}")]
    TimedOut {
        /// Who was asked.
        url: Url,
        /// How long was waited.
        after: Duration,
    },
    /// The answer is a refusal.
    #[error("{url} answered {status}: {detail}")]
    Status {
        /// Who was asked.
        url: Url,
        /// The status, not 2xx.
        status: StatusCode,
        /// What it said of the reason.
        detail: String,
    },
    /// The answer is not what such an answer should be.
    #[error("cannot make sense of the answer of {url}{path}: {reason}")]
    Unusable {
        /// Who was asked.
        url: Url,
        /// For what.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Client {
    /// A client that waits `timeout` for each answer, from connecting to the last byte.
    pub fn new(timeout: Duration) -> Self {
        let settings = PoolSettings {
            connect_timeout: timeout,
            ..PoolSettings::new(Reach::Anywhere)
        };
        let pool = Pool::new(settings);
        Self { pool, timeout }
    }

    /// `GET`s `path` and reads the JSON that comes back.
    ///
    /// # Errors
    /// Where there is no answer, a refusal, or not that JSON.
    pub async fn get<A: DeserializeOwned>(&self, url: &Url, path: &str) -> Result<A, CallError> {
        let answer = self.send(url, Method::GET, path, None).await?;
        answer.read(url, path)
    }

    /// `POST`s `body` as JSON to `path` and reads the JSON that comes back.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<A: DeserializeOwned>(
        &self,
        url: &Url,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, CallError> {
        let unusable = |error: serde_json::Error| CallError::Unusable {
            url: url.clone(),
            path: path.to_owned(),
            reason: format!("the request itself cannot be written: {error}"),
        };
        let body = serde_json::to_vec(body).map_err(unusable)?;
        let answer = self.send(url, Method::POST, path, Some(body)).await?;
        answer.read(url, path)
    }

    /// Sends one request with that body (said to be JSON) and returns the answer, whatever its status.
    ///
    /// # Errors
    /// Where there is no whole answer in time.
    pub async fn send(
        &self,
        url: &Url,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, CallError> {
        let uri: Uri = path.parse().map_err(|error| CallError::Unusable {
            url: url.clone(),
            path: path.to_owned(),
            reason: format!("that is not a path: {error}"),
        })?;
        let mut request = Request::new(body.map_or_else(empty, full));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        self.send_request(url, request).await
    }

    /// Sends a request made by the caller, whose URI is a path, and returns the answer, whatever its status.
    ///
    /// # Errors
    /// Where there is no whole answer in time.
    pub async fn send_request(
        &self,
        url: &Url,
        request: Request<Body>,
    ) -> Result<Answer, CallError> {
        let whole = async {
            let response = self.pool.send(url, request).await.map_err(call_error)?;
            let (head, body) = response.into_parts();
            let body = read_bounded(body, ANSWER_BYTES).await;
            let body = body.map_err(|error| CallError::Broken {
                url: url.clone(),
                reason: chain(&error),
            })?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.into(),
            })
        };
        timeout(self.timeout, whole).await.unwrap_or_else(|_| {
            Err(CallError::TimedOut {
                url: url.clone(),
                after: self.timeout,
            })
        })
    }
}

impl Answer {
    /// The JSON in the body.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn json<A: DeserializeOwned>(&self) -> Result<A, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// What a refusal says of its reason, or else the beginning of what it says.
    pub fn detail(&self) -> String {
        match self.json::<Trouble>() {
            Ok(trouble) => trouble.detail,
            Err(_) => String::from_utf8_lossy(&self.body)
                .chars()
                .take(200)
                .collect(),
        }
    }

    fn read<A: DeserializeOwned>(&self, url: &Url, path: &str) -> Result<A, CallError> {
        if !self.status.is_success() {
            return Err(CallError::Status {
                url: url.clone(),
                status: self.status,
                detail: self.detail(),
            });
        }
        self.json().map_err(|error| CallError::Unusable {
            url: url.clone(),
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}

pub(super) fn call_error(error: SendError) -> CallError {
    match error {
        SendError::NotSent {
            cause: ConnectError::TimedOut { url, after },
            ..
        } => CallError::TimedOut { url, after },
        SendError::NotSent { cause, .. } => CallError::NotReachable(cause),
        SendError::Broken { url, cause } => CallError::Broken {
            url,
            reason: chain(&*cause),
        },
    }
}
