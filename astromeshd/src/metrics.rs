//! What this node counts for Prometheus as it happens. What it knows anyway is read when somebody asks: see [`scrape`].
//!
//! No caller, peer or provider can make a label of its own: whoever would be one too many is counted with the `other`s.

mod bounded;
mod labels;
mod models;
mod scrape;

pub(crate) use labels::Route;
pub(crate) use scrape::answer;

use crate::here::Here;
use astromesh_core::http::{Exchanged, Observer};
use bounded::Bounded;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use labels::{Answered, Call, Code, Gossip, Happened, Loaded, Node, Ran};
use maia::wire::Endpoint;
use models::Models;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// As many different answers are told apart: of each route, node and code.
const ANSWERS: usize = 4_096;

/// As many pairs of route and node have durations of their own, which are 16 series each.
const DURATIONS: usize = 512;

/// Half a millisecond to two minutes: from a node next door to a model that thinks.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// The counts since the start.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Bounded<Answered, Counter>,
    durations: Bounded<Ran, Histogram, fn() -> Histogram>,
    /// Attempts at another node after one that failed.
    pub(crate) retries: Counter,
    /// Nodes that were shut out because they failed or were too slow.
    pub(crate) ejections: Counter,
    /// Models: their tokens, and how soon they begin.
    pub(crate) models: Models,
    events: Family<Happened, Counter>,
    loads: Family<Loaded, Counter>,
    messages: Family<Gossip, Counter>,
    bytes: Family<Gossip, Counter>,
    exchanges: Family<Call, Histogram, fn() -> Histogram>,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Both are there from the start: of a count that begins with 1 nobody sees that it grew.
fn none_yet() -> Family<Loaded, Counter> {
    let loads = Family::default();
    for taken in [true, false] {
        drop(loads.get_or_create(&Loaded::as_it_was(taken)));
    }
    loads
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Bounded::new(ANSWERS, Family::default(), Answered::OTHER),
            durations: Bounded::new(
                DURATIONS,
                Family::new_with_constructor(seconds as fn() -> Histogram),
                Ran::OTHER,
            ),
            retries: Counter::default(),
            ejections: Counter::default(),
            models: Models::default(),
            events: Family::default(),
            loads: none_yet(),
            messages: Family::default(),
            bytes: Family::default(),
            exchanges: Family::new_with_constructor(seconds as fn() -> Histogram),
        }
    }
}

impl Metrics {
    /// A request was answered, or the answer has begun, after this long.
    pub(crate) fn answered(
        &self,
        here: &Here,
        route: Route,
        ran_by: Option<&HeaderValue>,
        status: StatusCode,
        took: Duration,
    ) {
        let node = Node::named(ran_by);
        let code = Code::of(status);
        let ran = Ran { route, node };
        let answered = Answered {
            route,
            node: ran.node.clone(),
            code,
        };
        let is_known = || ran.node.is_known(here);
        self.requests.with(&answered, is_known, |count| {
            count.inc();
        });
        self.durations
            .with(&ran, is_known, |times| times.observe(took.as_secs_f64()));
    }

    /// Something happened in the mesh.
    pub(crate) fn happened(&self, event: String) {
        self.events.get_or_create(&Happened { event }).inc();
    }

    /// A configuration was read, and taken or not.
    pub(crate) fn loaded(&self, taken: bool) {
        self.loads.get_or_create(&Loaded::as_it_was(taken)).inc();
    }

    /// Another node called this one.
    pub(crate) fn was_called(&self, call: Endpoint, received: u64, sent: u64, taken: bool) {
        let result = if taken { "ok" } else { "refused" };
        self.gossip("in", call, result, received + sent);
    }

    fn gossip(&self, direction: &'static str, call: Endpoint, result: &'static str, bytes: u64) {
        let labels = Gossip {
            direction,
            call: labels::call(call),
            result,
        };
        self.messages.get_or_create(&labels).inc();
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests answered, by what was called, the node that ran it and the status",
            self.requests.family(),
        );
        registry.register(
            "request_duration_seconds",
            "Time until the answer began, by what was called and the node that ran it",
            self.durations.family(),
        );
        registry.register(
            "retries",
            "Attempts at another node after one that failed",
            self.retries.clone(),
        );
        registry.register(
            "ejections",
            "Nodes shut out because they refused, broke off or took too long",
            self.ejections.clone(),
        );
        registry.register(
            "mesh_events",
            "What happened in the mesh as this node sees it, by kind",
            self.events.clone(),
        );
        registry.register(
            "configuration_loads",
            "Configurations read, at the start and when agent files changed, by whether they were taken",
            self.loads.clone(),
        );
        registry.register(
            "gossip_messages",
            "Calls between nodes, made (out) and answered (in), by what came of them",
            self.messages.clone(),
        );
        registry.register(
            "gossip_bytes",
            "Bytes of their bodies, questions and answers together",
            self.bytes.clone(),
        );
        registry.register(
            "gossip_exchange_duration_seconds",
            "Time from a call to another node until its answer was read",
            self.exchanges.clone(),
        );
        self.models.register(registry);
    }
}

impl Observer for Metrics {
    fn exchanged(&self, exchanged: &Exchanged) {
        let &Exchanged {
            endpoint,
            sent,
            received,
            took,
            answered,
        } = exchanged;
        let result = if answered { "ok" } else { "failed" };
        self.gossip("out", endpoint, result, sent + received);
        let call = labels::call(endpoint);
        self.exchanges
            .get_or_create(&Call { call })
            .observe(took.as_secs_f64());
    }
}
