//! Where a request goes: to the node that has the agent and the fewest requests in flight, and that may be this one.
//!
//! Bytes pass through; the router reads heads only. It tries the next node exactly as long as nothing of the request was
//! sent, and says who ran it. Who is chosen is the [`Selector`]'s business, and what a run is the agents'.

mod forward;
mod headers;
mod peers;

use crate::agents::Around;
use crate::answer::{Answer, header_text, trouble, unavailable};
use crate::here::{Here, Mesh, Phase, Visitor};
use astromesh_core::api::{
    ATTEMPTS_HEADER, HOPS_HEADER, NODE_HEADER, OVERHEAD_HEADER, ROUTED_TO_HEADER,
};
use astromesh_core::http::Body;
use forward::{Forwarded, InHand};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use maia::address::Url;
use maia::id::Label;
use maia::selector::{Candidate, LeastConnections, Selector};
use maia::view::Seen;
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
}

/// One request on its way.
struct Job<'a> {
    here: &'a Arc<Here>,
    agent: &'a Label,
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

    fn hops(self) -> u32 {
        match self {
            Self::Client => 0,
            Self::Node { hops } => hops,
        }
    }
}

/// Lets `agent` run the request, wherever it is.
pub(crate) async fn run(
    here: &Arc<Here>,
    visitor: &Visitor,
    origin: Origin,
    agent: &Label,
    mut request: Request<Incoming>,
) -> Answer {
    let job = Job {
        here,
        agent,
        began: Instant::now(),
    };
    if origin.is_node() {
        here.was_chosen();
    }
    let id = headers::request_id(request.headers());
    headers::outbound(request.headers_mut(), here, visitor, origin.hops(), &id);
    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    let routed = job.route(origin, request).await;
    here.tally.count(routed.outcome);
    job.finished(routed, id)
}

impl Job<'_> {
    async fn route(&self, origin: Origin, request: Request<Body>) -> Routed {
        if origin.hops() > MOST_HOPS {
            let detail = format!(
                "passed on {} times, which is a loop: at most {MOST_HOPS} are allowed",
                origin.hops()
            );
            return Routed::refused(trouble(StatusCode::LOOP_DETECTED, detail), "loop");
        }
        if self.here.phase() == Phase::Left {
            let detail = "this node has left the mesh and takes no requests";
            return Routed::refused(unavailable(detail, COME_BACK), "unavailable");
        }
        match &self.here.mesh {
            _ if origin.is_node() => match self.run_here(request).await {
                Ok(routed) => routed,
                Err(_) => self.nobody_has_it(),
            },
            Some(mesh) => self.through_mesh(mesh, request).await,
            None => self.through_peers(request).await,
        }
    }

    /// Runs it on this node, if that has the agent; else gives it back.
    async fn run_here(&self, request: Request<Body>) -> Result<Routed, Request<Body>> {
        let here = self.here;
        let Some(runner) = here.agents.find(self.agent) else {
            return Err(request);
        };
        let in_hand = InHand::new(here, &here.running);
        let began = Instant::now();
        let around = Around {
            node: here.name(),
            listed: &here.listed,
            bodies: &here.bodies,
            body_timeout: here.settings.limits.body_timeout,
        };
        let answer = runner.run(&around, self.agent, request.into_body()).await;
        Ok(Routed {
            answer: forward::held(answer, in_hand),
            ran_by: Some(header_text(here.name())),
            attempts: 1,
            waited: began.elapsed(),
            outcome: "local",
        })
    }

    async fn through_mesh(&self, mesh: &Mesh, mut request: Request<Body>) -> Routed {
        let view = mesh.view.load_full();
        let carriers: Vec<&Seen> = view
            .carriers(self.agent)
            .filter(|seen| seen.takes_requests())
            .collect();
        let candidates: Vec<Candidate> = carriers
            .iter()
            .map(|seen| Candidate::of(seen, &self.here.in_flight))
            .collect();
        let (mut tried, mut troubles, mut rng) = (Vec::new(), Vec::new(), self.here.rng());
        while let Some(place) = LeastConnections.select(&candidates, &tried, &mut rng) {
            let (seen, candidate) = (carriers[place], &candidates[place]);
            tried.push(candidate.id.clone());
            let attempts = tried.len() as u32;
            if candidate.is_me {
                match self.run_here(request).await {
                    Ok(routed) => return Routed { attempts, ..routed },
                    Err(back) => request = back,
                }
                continue;
            }
            let in_hand = InHand::new(self.here, &candidate.counter);
            match forward::forward(&mesh.members, &seen.url, request, in_hand).await {
                Forwarded::Answered(answer, waited) => {
                    return self.by(seen.name().as_str(), answer, attempts, waited);
                }
                Forwarded::Unknown(answer) => return Routed::unknown(answer, attempts),
                Forwarded::NotSent(back, cause) => {
                    troubles.push(format!("{}: {cause}", seen.name()));
                    request = *back;
                }
            }
        }
        // A node on its way out has withdrawn its agents, but still runs what nobody else can.
        match self.run_here(request).await {
            Ok(routed) => routed,
            Err(_) if view.carriers(self.agent).next().is_some() => {
                self.nobody_available(&troubles, tried.len())
            }
            Err(_) => self.nobody_has_it(),
        }
    }

    /// Another node ran it; which one, it says itself where it is one of ours.
    fn by(&self, name: &str, answer: Answer, attempts: u32, waited: Duration) -> Routed {
        let said = answer.headers().get(ROUTED_TO_HEADER).cloned();
        Routed {
            answer,
            ran_by: Some(said.unwrap_or_else(|| header_text(name))),
            attempts,
            waited,
            outcome: "forwarded",
        }
    }

    fn nobody_has_it(&self) -> Routed {
        let detail = match self.here.mesh {
            Some(_) => format!("no node has an agent {:?}", self.agent.as_str()),
            None => format!(
                "neither this node nor any of its peers has an agent {:?}",
                self.agent.as_str()
            ),
        };
        Routed::refused(trouble(StatusCode::NOT_FOUND, detail), "not_found")
    }

    fn nobody_available(&self, troubles: &[String], attempts: usize) -> Routed {
        let mut detail = format!("No available node provides agent {:?}", self.agent.as_str());
        if !troubles.is_empty() {
            detail = format!("{detail} ({})", troubles.join("; "));
        }
        let attempts = attempts as u32;
        let answer = unavailable(detail, COME_BACK);
        Routed {
            attempts,
            ..Routed::refused(answer, "unavailable")
        }
    }

    /// The answer with what every answer of the router says.
    fn finished(&self, routed: Routed, id: HeaderValue) -> Answer {
        let mut answer = routed.answer;
        let overhead = self.began.elapsed().saturating_sub(routed.waited);
        let headers = answer.headers_mut();
        headers.insert(NODE_HEADER, header_text(self.here.name()));
        headers.insert(headers::REQUEST_ID, id);
        headers.insert(ATTEMPTS_HEADER, HeaderValue::from(routed.attempts));
        let millis = format!("{:.3}", overhead.as_secs_f64() * 1_000.0);
        headers.insert(
            OVERHEAD_HEADER,
            HeaderValue::from_str(&millis).expect("a number is visible ASCII"),
        );
        match routed.ran_by {
            Some(name) => drop(headers.insert(HeaderName::from_static(ROUTED_TO_HEADER), name)),
            None => drop(headers.remove(ROUTED_TO_HEADER)),
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

    /// Somebody may have run it.
    fn unknown(answer: Answer, attempts: u32) -> Self {
        Self {
            attempts,
            ..Self::refused(answer, "broken")
        }
    }
}

/// What a failed attempt at `url` says to whoever asked.
fn outcome_unknown(url: &Url, what: &str) -> String {
    format!("{url} {what} after the request was sent: its outcome is unknown")
}
