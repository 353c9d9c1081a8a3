//! `GET /metrics`: all counts, and what this node knows at the moment that it is asked.

use super::labels::By;
use crate::answer::{Answer, wrong_method};
use crate::health::{VERSION, is_ready};
use crate::here::{Here, Mesh};
use astromesh_core::http::full;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use maia::driver::Timer;
use maia::message::Status;
use maia::view::View;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Answers the call.
pub(crate) fn answer(here: &Here, method: &Method) -> Answer {
    wrong_method(method, "GET, HEAD").unwrap_or_else(|| {
        let mut text = String::new();
        let written = prometheus_text::encode(&mut text, &read(here));
        written.expect("text takes whatever is written to it");
        let mut answer = Answer::new(full(text));
        let kind = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    })
}

fn read(here: &Here) -> Registry {
    let mut registry = Registry::with_prefix("astromesh");
    here.metrics.register(&mut registry);
    let mut reading = Reading(&mut registry);
    reading.node(here);
    reading.requests(here);
    if let Some(mesh) = &here.mesh {
        reading.mesh(here, mesh);
    }
    registry
}

/// What is known now, on its way into a registry.
struct Reading<'a>(&'a mut Registry);

impl Reading<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    fn gauges<K: Into<String>>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (K, f64)>,
    ) {
        let family = Family::<By, Gauge<f64, AtomicU64>>::default();
        for (key, value) in values {
            family.get_or_create(&[(label, key.into())]).set(value);
        }
        self.0.register(name, help, family);
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: BTreeMap<String, u64>,
    ) {
        let family = Family::<By, Counter>::default();
        for (key, value) in values {
            family.get_or_create(&[(label, key)]).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn node(&mut self, here: &Here) {
        let build = Info::new(vec![("version", VERSION)]);
        self.0.register("build", "The release of this node", build);
        let name = Info::new(vec![("name", here.name().to_owned())]);
        self.0.register(
            "node",
            "The name of this node, for joining with what else it says",
            name,
        );
        let started = SystemTime::now()
            .checked_sub(here.started.elapsed())
            .and_then(|started| started.duration_since(UNIX_EPOCH).ok());
        self.gauge(
            "start_time_seconds",
            "When this node started, in seconds since 1970",
            started.unwrap_or_default().as_secs_f64(),
        );
        self.gauge(
            "ready",
            "1 where this node takes traffic, as /readyz says",
            f64::from(u8::from(is_ready(here))),
        );
        let open = here.connections.load(Ordering::Relaxed);
        self.gauge("connections", "Connections that are open", open as f64);
        let (sessions, bytes) = here.agents.sessions();
        self.gauge("sessions", "Conversations kept here", sessions as f64);
        self.gauge(
            "sessions_bytes",
            "Memory that they take, about",
            bytes as f64,
        );
    }

    fn requests(&mut self, here: &Here) {
        let running = here.running.now();
        let elsewhere = here.in_flight.total().saturating_sub(running);
        self.gauges(
            "requests_in_flight",
            "Requests under way, run by this node (here) or passed on by it (elsewhere)",
            "at",
            [("here", running.into()), ("elsewhere", elsewhere.into())],
        );
        self.gauges(
            "requests_queued",
            "Requests that wait until this node can run them",
            "for",
            [
                ("agents", here.agents_gate.waiting() as f64),
                ("models", here.models_gate.waiting() as f64),
            ],
        );
        self.gauge(
            "nodes_ejected",
            "Nodes that are sent nothing but trials now, for they failed or were too slow",
            here.in_flight.out().len() as f64,
        );
        self.counters(
            "requests_ended",
            "Requests that came to the router, by how they ended",
            "outcome",
            here.tally.so_far(),
        );
        self.counters(
            "turned_away",
            "What was turned away at a bound, by its name",
            "bound",
            here.turned_away.so_far(),
        );
        if let Some(traces) = &here.traces {
            self.counters(
                "trace_spans",
                "Parts of traces that the collector took (sent), or never got (lost)",
                "result",
                traces.so_far(),
            );
        }
    }

    fn mesh(&mut self, here: &Here, mesh: &Mesh) {
        let view = mesh.view.load();
        self.members(&view);
        let leader = view.leader.as_ref().map(|id| {
            let name = view.member(id).map(|seen| seen.name().to_string());
            (name.unwrap_or_else(|| id.to_string()), 1.0)
        });
        self.gauges(
            "leader",
            "1 for the node that this one takes for the leader; advisory",
            "node",
            leader,
        );
        let leads = view.leader.as_ref() == Some(&here.id);
        self.gauge(
            "leads",
            "1 where that is this node itself",
            f64::from(u8::from(leads)),
        );
        self.gauge(
            "joined",
            "1 where this node has met the mesh and not left it",
            f64::from(u8::from(view.joined && !view.left)),
        );
        let now = mesh.timer.now();
        let ages = view.members.iter().filter(|seen| {
            let is_other = !seen.is_me && seen.confirmed;
            is_other && seen.status == Status::Alive
        });
        let ages: Vec<Duration> = ages.map(|seen| now.since(seen.heard)).collect();
        let oldest = ages.iter().max().copied().unwrap_or_default();
        let mean = ages.iter().sum::<Duration>().as_secs_f64() / ages.len().max(1) as f64;
        self.gauge(
            "heartbeat_age_mean_seconds",
            "How long ago the last signs of life of the alive members came, on average; half of gossip_interval, and what news takes to travel",
            mean,
        );
        self.gauge(
            "heartbeat_age_max_seconds",
            "The same, of the one that was silent for longest",
            oldest.as_secs_f64(),
        );
        let published = mesh.published.borrow().elapsed();
        self.gauge(
            "view_age_seconds",
            "How long ago this node last renewed its view of the mesh",
            published.as_secs_f64(),
        );
        self.counters(
            "mesh_refused",
            "What this node refused in calls of others, or could not do in its own, by what it was",
            "what",
            crate::health::counters(&view.counters),
        );
    }

    fn members(&mut self, view: &View) {
        let count = |status: Status| {
            let with = view
                .members
                .iter()
                .filter(|seen| (seen.confirmed || seen.is_me) && seen.status == status);
            with.count() as f64
        };
        let statuses = [Status::Alive, Status::Suspect, Status::Dead];
        self.gauges(
            "members",
            "Members of the mesh as this node sees it, itself among them",
            "status",
            statuses.map(|status| (status.to_string(), count(status))),
        );
        let hearsay = view
            .members
            .iter()
            .filter(|seen| !seen.confirmed && !seen.is_me);
        self.gauge(
            "members_unconfirmed",
            "Nodes that are only heard of",
            hearsay.count() as f64,
        );
    }
}
