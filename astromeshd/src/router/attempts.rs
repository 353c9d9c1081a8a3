//! One request, tried on one node after the other until one has run it.
//!
//! Another node is tried where nothing was run, because nothing was sent or the node says so, and where what was sent may
//! be run twice; as far as the body can still be sent and there have not been too many such attempts of late.

use super::first::First;
use super::forward::{Forwarded, InHand, forward, held};
use super::headers::Spoken;
use super::replay::Repeatable;
use super::wanted::Wanted;
use super::{COME_BACK, Job, Routed};
use crate::answer::{Answer, header_text};
use crate::gate::Gate;
use crate::traces::{Kind, Span};
use astromesh_core::api::{NODE_HEADER, ROUTED_TO_HEADER};
use astromesh_core::http::{Body, Pool};
use hyper::header::HeaderName;
use hyper::{Method, Request, StatusCode};
use maia::address::Url;
use maia::selector::candidates::Candidate;
use maia::selector::health::{Answered, Usual};
use std::time::{Duration, Instant};

/// The attempts at one request.
pub(super) struct Attempts<'a, W> {
    job: &'a Job<'a, W>,
    request: Repeatable,
    made: u32,
    /// Why those that could not be reached could not.
    troubles: Vec<String>,
    /// What the last one said that could not run it.
    passed_on: Option<Routed>,
    /// What to say if nobody can repeat what may have been run.
    unknown: Option<Routed>,
    may_run_twice: bool,
}

/// Who names a request by this promises that it may come twice.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl<'a, W: Wanted> Attempts<'a, W> {
    pub(super) fn new(job: &'a Job<'a, W>, request: Request<Body>) -> Self {
        Self {
            job,
            may_run_twice: request.method() == Method::GET
                || request.headers().contains_key(IDEMPOTENCY_KEY)
                || job.wanted.may_run_twice(job.here),
            unknown: None,
            request: Repeatable::new(request, job.wanted.kept_bytes()),
            made: 0,
            troubles: Vec::new(),
            passed_on: None,
        }
    }

    /// Tries this node, if it can. `None`: another one is to be tried.
    pub(super) async fn here(&mut self, usual: Option<&Usual>) -> Option<Routed> {
        let here = self.job.here;
        if !self.job.wanted.is_here(here) {
            return None;
        }
        let Some(request) = self.request.begin() else {
            return Some(self.in_vain(true));
        };
        self.made += 1;
        let in_hand = InHand::new(here, &here.running);
        let began = Instant::now();
        let entry = match Gate::enter(here, self.job.wanted.gate()).await {
            Ok(entry) => entry,
            Err(after) => {
                here.turned_away.count("concurrent_requests");
                let detail = format!("{} runs as many requests as it can", here.name());
                self.pass_on(self.job.wanted.full(detail, after));
                return None;
            }
        };
        let ran = self.job.wanted.run(here, request).await;
        let waited = began.elapsed();
        let (Ok(answer) | Err(answer)) = &ran;
        if let Some(usual) = usual {
            here.running.answered(how(answer, waited), usual);
        }
        match ran {
            Ok(answer) => Some(Routed {
                answer: held(answer, in_hand.within(entry)),
                ran_by: Some(here.name_text.clone()),
                attempts: self.made,
                waited,
                outcome: "local",
            }),
            Err(answer) => {
                self.pass_on(answer);
                None
            }
        }
    }

    /// Tries another node. `None`: yet another one is to be tried.
    pub(super) async fn at(
        &mut self,
        pool: &Pool,
        candidate: &Candidate,
        usual: &Usual,
    ) -> Option<Routed> {
        let Some(mut request) = self.request.begin() else {
            return Some(self.in_vain(true));
        };
        self.made += 1;
        let span = self.span(&mut request, &candidate.url);
        let in_hand = InHand::new(self.job.here, &candidate.counter);
        let forwarded = forward(pool, &candidate.url, request, in_hand).await;
        self.judge(candidate, usual, span, forwarded)
    }

    /// Goes on after an attempt that was made for this request before it came here. `None`: another one is to be tried.
    pub(super) fn after(&mut self, first: First) -> Option<Routed> {
        self.made += 1;
        let First { choice, forwarded } = first;
        let usual = choice.candidates().usual();
        self.judge(choice.candidate(), usual, Span::default(), forwarded)
    }

    /// What follows from what became of an attempt.
    fn judge(
        &mut self,
        candidate: &Candidate,
        usual: &Usual,
        mut span: Span,
        forwarded: Forwarded,
    ) -> Option<Routed> {
        let (name, counter) = (&candidate.name, &candidate.counter);
        match forwarded {
            Forwarded::Answered(mut answer, waited) => {
                span.ended_with(answer.status());
                let spoken = Spoken::take(&mut answer);
                spoken.heed(self.job.here, self.job.wanted, counter, answer.status());
                counter.answered(how(&answer, waited), usual);
                if ran_nothing(&answer) && self.may_go_on(answer.status()) {
                    self.pass_on(answer);
                    return None;
                }
                // Who ran it, it says itself where it is one of ours.
                Some(Routed {
                    answer: span.until_gone(answer),
                    ran_by: Some(spoken.ran_by.unwrap_or_else(|| header_text(name.as_str()))),
                    attempts: self.made,
                    waited,
                    outcome: "forwarded",
                })
            }
            Forwarded::Unknown(status, detail) => {
                let how = match status {
                    StatusCode::BAD_GATEWAY => {
                        counter.failed();
                        "broken"
                    }
                    StatusCode::GATEWAY_TIMEOUT => {
                        counter.answered(Answered::Badly, usual);
                        "timeout"
                    }
                    _ => "request_broke_off",
                };
                span.failed(how);
                let unknown = Routed {
                    attempts: self.made,
                    ..Routed::refused(self.job.wanted.complaint(status, detail), "broken")
                };
                if status == StatusCode::BAD_GATEWAY && self.may_run_twice && self.may_go_on(status)
                {
                    self.unknown = Some(unknown);
                    return None;
                }
                Some(unknown)
            }
            Forwarded::NotSent(cause) => {
                span.failed("not_sent");
                if !cause.is_shortage() {
                    counter.failed();
                }
                self.troubles.push(format!("{name}: {cause}"));
                if self.may_go_on(StatusCode::SERVICE_UNAVAILABLE) {
                    None
                } else {
                    Some(self.in_vain(true))
                }
            }
        }
    }

    /// The attempt that begins at the node at `url`, which the request names from now on as what it belongs to.
    fn span(&self, request: &mut Request<Body>, url: &Url) -> Span {
        let method = request.method().clone();
        let traces = self.job.here.traces.as_ref();
        let name = || method.as_str().to_owned();
        let mut span = Span::begin(traces, Kind::Client, request.headers_mut(), name);
        if span.is_told() {
            span.say("http.request.method", method.as_str());
            span.say("server.address", &url.host().to_string());
            span.count("server.port", url.port().into());
            span.count("astromesh.attempt", self.made.into());
        }
        span
    }

    /// Whether there may be another attempt after one that ended so. Who has not got what is wanted is no trouble.
    fn may_go_on(&self, status: StatusCode) -> bool {
        let here = self.job.here;
        status == StatusCode::NOT_FOUND || here.budget.spend(here.started.elapsed().as_secs())
    }

    /// Nobody ran it, though it is known, or not, that somebody can.
    pub(super) fn in_vain(&mut self, is_known: bool) -> Routed {
        if let Some(unknown) = self.unknown.take() {
            return unknown;
        }
        let routed = match self.passed_on.take() {
            // One that could not be asked may be able to run it.
            Some(routed) if self.troubles.is_empty() => routed,
            None if self.troubles.is_empty() && !is_known => self.absent(),
            _ => self.unavailable(),
        };
        Routed {
            attempts: self.made,
            ..routed
        }
    }

    fn absent(&self) -> Routed {
        match self.job.wanted.absent(self.job.here) {
            Some(answer) => Routed::refused(answer, "not_found"),
            None => self.unavailable(),
        }
    }

    fn unavailable(&self) -> Routed {
        let named = self.job.wanted.named();
        let mut detail = format!("No available node provides {named}");
        if !self.troubles.is_empty() {
            detail = format!("{detail} ({})", self.troubles.join("; "));
        }
        let answer = self.job.wanted.unavailable(detail, COME_BACK);
        Routed::refused(answer, "unavailable")
    }

    /// Keeps the answer of one that could not run it. One that could at another time says more than one that never can.
    fn pass_on(&mut self, answer: Answer) {
        let outcome = match answer.status() {
            StatusCode::NOT_FOUND if self.passed_on.is_some() => return,
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::TOO_MANY_REQUESTS => "overloaded",
            _ => "unavailable",
        };
        self.passed_on = Some(Routed::refused(answer, outcome));
    }
}

/// How an answer speaks for the node that gave it. A refusal says nothing: it may be quick, and the request be at fault.
fn how(answer: &Answer, waited: Duration) -> Answered {
    let status = answer.status();
    if status.is_server_error() {
        Answered::Badly
    } else if status.is_client_error() {
        Answered::Neither
    } else {
        Answered::Well(waited)
    }
}

/// Whether whoever answered ran nothing, for it has not got what is wanted, or cannot do it now. One of ours says who ran
/// it, if anybody did; of others one cannot know, unless they have nothing there.
fn ran_nothing(answer: &Answer) -> bool {
    let is_said = |name| answer.headers().contains_key(name);
    match answer.status() {
        StatusCode::NOT_FOUND => !is_said(ROUTED_TO_HEADER),
        StatusCode::SERVICE_UNAVAILABLE => is_said(NODE_HEADER) && !is_said(ROUTED_TO_HEADER),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::trouble;

    #[test]
    fn whoever_says_that_nothing_was_run_is_believed() {
        for (status, ours, ran_by, nothing) in [
            (404, false, false, true),
            (404, true, false, true),
            (404, true, true, false),
            (503, true, false, true),
            (503, true, true, false),
            (503, false, false, false),
            (429, true, false, false),
            (500, true, false, false),
            (200, true, true, false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let mut answer = trouble(status, "so it is");
            if ours {
                answer.headers_mut().insert(NODE_HEADER, header_text("bob"));
            }
            if ran_by {
                let name = header_text("bob");
                answer.headers_mut().insert(ROUTED_TO_HEADER, name);
            }
            assert_eq!(ran_nothing(&answer), nothing, "{status} {ours} {ran_by}");
        }
    }
}
