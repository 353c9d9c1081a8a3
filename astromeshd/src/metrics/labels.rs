//! What metrics are told apart by.

use crate::here::Here;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use maia::wire::Endpoint;
use percent_encoding::percent_decode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::borrow::Cow;
use std::fmt;

/// What was called, as the API's documents write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route(&'static str);

impl Route {
    /// A run of an agent.
    pub(crate) const RUN: Self = Self("/v1/agents/{name}/run");

    /// What is at `path`.
    pub(crate) fn of(path: &str) -> Self {
        let is_below = |name: &str| path.strip_prefix(name).is_some_and(|rest| !rest.is_empty());
        Self(match path {
            "/healthz" => "/healthz",
            "/readyz" => "/readyz",
            "/metrics" => "/metrics",
            "/v1/health" => "/v1/health",
            "/v1/system/status" => "/v1/system/status",
            "/v1/chat/completions" => "/v1/chat/completions",
            "/v1/messages" => "/v1/messages",
            "/v1/models" => "/v1/models",
            "/v1/agents" => "/v1/agents",
            "/v1/mesh/events" => "/v1/mesh/events",
            _ if is_below("/v1/models/") => "/v1/models/{model}",
            _ if is_below("/v1/channels/") => "/v1/channels/{name}",
            _ if is_below("/v1/mesh/") => "/v1/mesh/{call}",
            _ if is_below("/v1/agents/") && path.ends_with("/run") => "/v1/agents/{name}/run",
            _ if is_below("/v1/agents/") => "/v1/agents/{name}",
            _ => OTHER,
        })
    }
}

impl Route {
    /// What was called, where that lets an agent or a model work.
    pub(crate) fn of_work(self) -> Option<&'static str> {
        let works = [
            "/v1/agents/{name}/run",
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/channels/{name}",
        ];
        works.contains(&self.0).then_some(self.0)
    }
}

/// What has no label of its own.
const OTHER: &str = "other";

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }
}

/// Which node ran a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// None: it was answered without running anything, or refused.
    Nobody,
    /// Its name, as headers write it.
    Named(HeaderValue),
    Other,
}

impl Node {
    /// Who goes by this name, as headers write it.
    pub(super) fn named(name: Option<&HeaderValue>) -> Self {
        name.cloned().map_or(Self::Nobody, Self::Named)
    }

    fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Nobody => "".into(),
            Self::Named(name) => percent_decode(name.as_bytes()).decode_utf8_lossy(),
            Self::Other => OTHER.into(),
        }
    }

    /// Whether there is such a node: an answer may say anything.
    pub(super) fn is_known(&self, here: &Here) -> bool {
        let name = self.name();
        let is_member = || {
            let view = here.view();
            view.is_some_and(|view| view.members.iter().any(|seen| seen.name().as_str() == name))
        };
        let mut peers = here.settings.peers.iter();
        *self == Self::Nobody
            || here.name() == name
            || peers.any(|peer| peer.name.as_str() == name)
            || is_member()
    }
}

impl EncodeLabelValue for Node {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.name().encode(encoder)
    }
}

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Code {
    Is(u16),
    Other,
}

impl Code {
    pub(super) fn of(status: StatusCode) -> Self {
        Self::Is(status.as_u16())
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Is(status) => status.encode(encoder),
            Self::Other => OTHER.encode(encoder),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    pub(super) route: Route,
    pub(super) node: Node,
    pub(super) code: Code,
}

impl Answered {
    pub(super) const OTHER: Self = Self {
        route: Route(OTHER),
        node: Node::Other,
        code: Code::Other,
    };
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ran {
    pub(super) route: Route,
    pub(super) node: Node,
}

impl Ran {
    pub(super) const OTHER: Self = Self {
        route: Route(OTHER),
        node: Node::Other,
    };
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Happened {
    pub(super) event: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Loaded {
    result: &'static str,
}

impl Loaded {
    pub(super) fn as_it_was(taken: bool) -> Self {
        let result = if taken { "taken" } else { "refused" };
        Self { result }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Gossip {
    pub(super) direction: &'static str,
    pub(super) call: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    pub(super) call: &'static str,
}

/// A call between nodes in one word.
pub(super) fn call(endpoint: Endpoint) -> &'static str {
    endpoint.path().rsplit('/').next().unwrap_or(OTHER)
}

/// One label, for what is read when somebody asks.
pub(super) type By = [(&'static str, String); 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_was_called_and_no_more() {
        for (path, route) in [
            ("/v1/agents/coder/run", "/v1/agents/{name}/run"),
            ("/v1/agents/coder", "/v1/agents/{name}"),
            ("/v1/agents/", OTHER),
            ("/v1/mesh/gossip", "/v1/mesh/{call}"),
            ("/v1/mesh/events", "/v1/mesh/events"),
            ("/v1/models/a/b", "/v1/models/{model}"),
            ("/v1/modelsx", OTHER),
            ("/wp-login.php", OTHER),
        ] {
            assert_eq!(Route::of(path), Route(route), "{path}");
        }
    }
}
