//! Where a request goes: to the node that has what it wants and the fewest requests in flight, and that may be this one.
//!
//! Bytes pass through; the router reads heads only. It tries the next node exactly as long as nothing was run, and says who
//! ran it. Who is chosen is the [`Selector`](maia::selector::Selector)'s business, and what a request wants is a
//! [`Wanted`]'s.

mod attempts;
mod budget;
mod first;
mod forward;
mod headers;
mod mesh;
mod peers;
mod replay;
mod wanted;

pub(crate) use budget::Budget;
pub(crate) use first::{Choice, First};
pub(crate) use headers::{PSEUDONYM, REQUEST_ID_HEADER, Spoken, millis};
pub(crate) use wanted::{Run, Wanted};

use crate::answer::Answer;
use crate::here::{Here, Phase, Visitor};
use astromesh_core::api::HOPS_HEADER;
use astromesh_core::http::Body;
use attempts::Attempts;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, StatusCode};
use maia::address::Url;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a request may be passed from node to node.
const MOST_HOPS: u32 = 3;

/// When to come back where nobody is available: by then the mesh has noticed what it can.
const COME_BACK: Duration = Duration::from_secs(2);

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From outside.
    Client,
    /// From another node, which chose this one: it is run here or not at all.
    Node {
        /// How often it has been passed on.
        hops: u32,
    },
    /// From this node, for the sake of a request that it runs.
    Here {
        /// How often that one has been passed on.
        hops: u32,
    },
}

/// One request on its way.
struct Job<'a, W> {
    here: &'a Arc<Here>,
    wanted: &'a W,
    began: Instant,
}

/// What became of a request.
struct Routed {
    answer: Answer,
    /// The name of the node that ran it, as a header's value.
    ran_by: Option<HeaderValue>,
    attempts: u32,
    /// How long another node, or an agent here, took to begin its answer.
    waited: Duration,
    /// What it counts as.
    outcome: &'static str,
}

impl Origin {
    /// What the headers say, as far as they are to be believed: hops are taken from members, and where there is no mesh
    /// from anybody, for two nodes that list each other must not pass a request to and fro.
    pub(crate) fn of(here: &Here, headers: &HeaderMap) -> Self {
        let said = headers.get(HOPS_HEADER).and_then(|hops| hops.to_str().ok());
        let is_number = |hops: &&str| !hops.is_empty() && hops.bytes().all(|b| b.is_ascii_digit());
        let Some(hops) = said.filter(is_number) else {
            return Self::Client;
        };
        // A number too great to be held is past any bound.
        let hops = hops.parse().unwrap_or(u32::MAX);
        let is_member = here
            .view()
            .is_none_or(|view| here.sender(&view, headers).is_some());
        if is_member && hops > 0 {
            Self::Node { hops }
        } else {
            Self::Client
        }
    }

    /// Whether it comes from another node.
    pub(crate) fn is_node(self) -> bool {
        matches!(self, Self::Node { .. })
    }

    /// How often it has been passed on.
    pub(crate) fn hops(self) -> u32 {
        match self {
            Self::Client => 0,
            Self::Node { hops } | Self::Here { hops } => hops,
        }
    }
}

/// Lets the node that is best for it run what is wanted. A request of this node's own has no visitor; one that was tried
/// already goes on after that `first` attempt.
pub(crate) async fn run<W: Wanted>(
    here: &Arc<Here>,
    visitor: Option<&Visitor>,
    origin: Origin,
    wanted: &W,
    mut request: Request<Body>,
    first: Option<First>,
) -> Answer {
    let job = Job {
        here,
        wanted,
        began: first.as_ref().map_or_else(Instant::now, First::began),
    };
    if origin.is_node() {
        here.was_chosen();
    }
    let id = headers::request_id(request.headers());
    headers::outbound(request.headers_mut(), here, visitor, origin.hops(), &id);
    here.budget.request(here.started.elapsed().as_secs());
    let routed = job.route(origin, request, first).await;
    let ran_here = routed.outcome == "local";
    here.tally.count(routed.outcome);
    if routed.attempts > 1 {
        here.metrics.retries.inc_by(u64::from(routed.attempts - 1));
    }
    let mut answer = job.finished(routed, id);
    if origin.is_node() {
        let active = HeaderValue::from(here.running.now());
        answer.headers_mut().insert(headers::ACTIVE, active);
        if ran_here && wanted.may_run_twice(here) {
            let yes = HeaderValue::from_static("true");
            answer.headers_mut().insert(headers::IDEMPOTENT, yes);
        }
    }
    answer
}

impl<W: Wanted> Job<'_, W> {
    async fn route(&self, origin: Origin, request: Request<Body>, first: Option<First>) -> Routed {
        if origin.hops() > MOST_HOPS {
            let detail = format!(
                "passed on {} times, which is a loop: at most {MOST_HOPS} are allowed",
                origin.hops()
            );
            let answer = self.wanted.complaint(StatusCode::LOOP_DETECTED, detail);
            return Routed::refused(answer, "loop");
        }
        if self.here.phase() == Phase::Left {
            let detail = "this node has left the mesh and takes no requests".to_owned();
            let answer = self.wanted.unavailable(detail, COME_BACK);
            return Routed::refused(answer, "unavailable");
        }
        match &self.here.mesh {
            _ if origin.is_node() && !self.wanted.goes_on(self.here, origin.hops()) => {
                self.only_here(request).await
            }
            Some(mesh) => self.through_mesh(mesh, request, first).await,
            None => self.through_peers(request, first).await,
        }
    }

    /// Another node chose this one: there is nobody else to ask.
    async fn only_here(&self, request: Request<Body>) -> Routed {
        let mut attempts = Attempts::new(self, request);
        match attempts.here(None).await {
            Some(routed) => routed,
            None => attempts.in_vain(false),
        }
    }

    /// The answer with what every answer of the router says.
    fn finished(&self, routed: Routed, id: HeaderValue) -> Answer {
        let mut answer = routed.answer;
        let overhead = self.began.elapsed().saturating_sub(routed.waited);
        let headers = answer.headers_mut();
        headers.reserve(headers::ADDED_TO_ANSWERS);
        headers.insert(headers::NODE, self.here.name_text.clone());
        headers.insert(headers::REQUEST_ID, id);
        headers.insert(headers::ATTEMPTS, HeaderValue::from(routed.attempts));
        headers.insert(headers::OVERHEAD, millis(overhead));
        match routed.ran_by {
            Some(name) => drop(headers.insert(headers::ROUTED_TO, name)),
            None => drop(headers.remove(headers::ROUTED_TO)),
        }
        answer
    }
}

impl Routed {
    /// Nobody ran it.
    fn refused(answer: Answer, outcome: &'static str) -> Self {
        Self {
            answer,
            ran_by: None,
            attempts: 0,
            waited: Duration::ZERO,
            outcome,
        }
    }
}

/// What a failed attempt at `url` says to whoever asked.
fn outcome_unknown(url: &Url, what: &str) -> String {
    format!("{url} {what} after the request was sent: its outcome is unknown")
}
