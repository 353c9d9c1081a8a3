//! The two ways in which models are spoken to, as far as they differ around a request: its path, and how trouble is told.

use crate::answer::{Answer, json, retry_after};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde_json::{Value, json as value};
use std::time::Duration;

/// Whose calls these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `POST /v1/chat/completions`
    OpenAi,
    /// `POST /v1/messages`
    Anthropic,
}

impl Dialect {
    /// The one that is spoken at `path`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        [Self::OpenAi, Self::Anthropic]
            .into_iter()
            .find(|dialect| dialect.path() == path)
    }

    /// Where it is spoken.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// The one that these headers are of, where a path belongs to both.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// A refusal or a failure, as its clients read it. `code` is for programs; only OpenAI's have it.
    pub(crate) fn trouble(self, status: StatusCode, code: Option<&str>, message: &str) -> Answer {
        json(status, &self.error(status, code, None, message))
    }

    /// A request that cannot be meant, because of `field`.
    pub(crate) fn bad_request(self, field: &str, message: &str) -> Answer {
        let field = Some(field).filter(|field| !field.is_empty());
        let status = StatusCode::BAD_REQUEST;
        json(status, &self.error(status, None, field, message))
    }

    /// Not now: come back `after` that time.
    pub(crate) fn unavailable(self, message: &str, after: Duration) -> Answer {
        let mut answer = self.trouble(StatusCode::SERVICE_UNAVAILABLE, None, message);
        retry_after(&mut answer, after);
        answer
    }

    /// The body of trouble, which is also what a stream says of it that has begun.
    pub(crate) fn error(
        self,
        status: StatusCode,
        code: Option<&str>,
        field: Option<&str>,
        message: &str,
    ) -> Value {
        let kind = self.kind(status);
        match self {
            Self::OpenAi => value!({
                "error": {"message": message, "type": kind, "param": field, "code": code}
            }),
            Self::Anthropic => value!({
                "type": "error", "error": {"type": kind, "message": message}
            }),
        }
    }

    /// What each calls a status.
    fn kind(self, status: StatusCode) -> &'static str {
        match (self, status.as_u16()) {
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 429) => "rate_limit_error",
            (Self::Anthropic, 503) => "overloaded_error",
            (Self::Anthropic, 504) => "timeout_error",
            (Self::OpenAi, 429) => "rate_limit_exceeded",
            (_, 400..=499) => "invalid_request_error",
            (Self::Anthropic, _) => "api_error",
            (Self::OpenAi, _) => "server_error",
        }
    }
}
