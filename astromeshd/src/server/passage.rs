//! A request on its way through this node, as traces and the log see it: only one that lets an agent or a model work.

use crate::answer::Answer;
use crate::here::Here;
use crate::metrics::Route;
use crate::traces::{Kind, Span};
use astromesh_core::api::{ATTEMPTS_HEADER, ROUTED_TO_HEADER};
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use log::Level;
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::time::Instant;

/// Where the log says which requests there were.
pub(super) const LOGGED: &str = "astromeshd::requests";

/// One request.
pub(super) struct Passage(Option<Work>);

struct Work {
    route: &'static str,
    method: Method,
    span: Span,
}

impl Passage {
    /// It has come. Its head says from now on that what is done for it is part of this.
    pub(super) fn begin<B>(here: &Here, route: Route, request: &mut Request<B>) -> Self {
        let Some(route) = route.of_work() else {
            return Self(None);
        };
        let method = request.method().clone();
        let name = || format!("{method} {route}");
        let traces = here.traces.as_ref();
        let mut span = Span::begin(traces, Kind::Server, request.headers_mut(), name);
        span.say("http.request.method", method.as_str());
        span.say("http.route", route);
        Self(Some(Work {
            route,
            method,
            span,
        }))
    }

    /// `work`, whose log lines say which trace it belongs to.
    pub(super) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        crate::traces::within(self.0.as_ref().map(|work| &work.span), work)
    }

    /// It is answered, or the answer has begun.
    pub(super) fn end(self, answer: Answer, began: Instant) -> Answer {
        let Some(mut work) = self.0 else {
            return answer;
        };
        let status = answer.status();
        if log::log_enabled!(target: LOGGED, Level::Debug) {
            let by = ran_by(answer.headers());
            let by = by.map_or_else(String::new, |name| format!(", run by {name}"));
            let Work { method, route, .. } = &work;
            work.span.around_now(|| {
                let took = began.elapsed();
                log::debug!(target: LOGGED, "{method} {route}: {status} after {took:.1?}{by}");
            });
        }
        let span = &mut work.span;
        if span.is_told() {
            let headers = answer.headers();
            if let Some(name) = ran_by(headers) {
                span.say("astromesh.routed_to", &name);
            }
            let attempts = headers.get(ATTEMPTS_HEADER);
            let attempts = attempts.and_then(|count| count.to_str().ok()?.parse().ok());
            span.count("astromesh.attempts", attempts.unwrap_or(0));
            span.ended_with(status);
        }
        work.span.until_gone(answer)
    }
}

/// The name of the node that ran it.
fn ran_by(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let name = headers.get(ROUTED_TO_HEADER)?;
    Some(percent_decode(name.as_bytes()).decode_utf8_lossy())
}
