//! What a request wants of the node that runs it, which may be this one.
//!
//! The router finds a node and passes bytes. What those nodes have in common, how it is done here, and how trouble reads to
//! whoever asked differ from one kind of request to the next, and are said by a [`Wanted`].

use crate::agents::Around;
use crate::agents::models::Models;
use crate::answer::{Answer, retry_after, trouble};
use crate::gate::Gate;
use crate::here::Here;
use crate::traces::{Kind, Span, Trail};
use astromesh_core::api::HOPS_HEADER;
use astromesh_core::http::Body;
use astromesh_core::settings::Service;
use hyper::{Request, StatusCode};
use maia::id::{Label, NodeId};
use maia::selector::candidates::Candidate;
use maia::view::Want;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One kind of request, and what it is about.
pub(crate) trait Wanted: Sync {
    /// What the members that can run it say they have.
    fn want(&self) -> Want<'_>;

    /// The service of the static peers that are asked.
    fn service(&self) -> Service;

    /// What is wanted, as complaints name it: `agent "coder"`.
    fn named(&self) -> String;

    /// The member that takes it before all others while it is alive: the one that holds its session.
    fn prefers(&self) -> Option<&NodeId> {
        None
    }

    /// The places of those who are not asked in a round, counted from 0: each round is tried to its end before the next.
    /// `None` where there is no such round. Most things are had by all who say so, and there is one round for all.
    fn passed_over(&self, candidates: &[Candidate], round: u32) -> Option<Vec<usize>> {
        let _ = candidates;
        (round == 0).then(Vec::new)
    }

    /// Whether this node may pass on what another, which had it passed on so often, passed to it.
    fn goes_on(&self, here: &Here, hops: u32) -> bool {
        let _ = (here, hops);
        false
    }

    /// How much of a body is kept to be sent again.
    fn kept_bytes(&self) -> usize {
        1_024 * 1_024
    }

    /// Whether this node can try.
    fn is_here(&self, here: &Here) -> bool;

    /// Runs it on this node, where that [is possible](Self::is_here). An error says that nothing was run, and why: another
    /// node may be asked, and if none can do better, this is the answer.
    fn run(
        &self,
        here: &Arc<Here>,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Answer, Answer>> + Send;

    /// The way in to where this node runs it.
    fn gate(&self) -> fn(&Here) -> &Gate;

    /// Whether it is known that it may be run twice for one request.
    fn may_run_twice(&self, here: &Here) -> bool {
        let _ = here;
        false
    }

    /// A node that ran it says whether it may be run twice.
    fn learn(&self, here: &Here, may_run_twice: bool) {
        let _ = (here, may_run_twice);
    }

    /// A complaint of the router, in the form that the client knows.
    fn complaint(&self, status: StatusCode, detail: String) -> Answer {
        trouble(status, detail)
    }

    /// Nobody can run it now: come back `after` that time.
    fn unavailable(&self, detail: String, after: Duration) -> Answer {
        let mut answer = self.complaint(StatusCode::SERVICE_UNAVAILABLE, detail);
        retry_after(&mut answer, after);
        answer
    }

    /// This node runs as many as it can: come back `after` that time.
    fn full(&self, detail: String, after: Duration) -> Answer {
        let mut answer = self.complaint(StatusCode::TOO_MANY_REQUESTS, detail);
        retry_after(&mut answer, after);
        answer
    }

    /// What to say where nobody has it and nobody ever had: `None` where that is no different from nobody being there.
    fn absent(&self, here: &Here) -> Option<Answer> {
        let _ = here;
        None
    }
}

/// A run of an agent.
pub(crate) struct Run<'a> {
    /// The agent's name.
    pub(crate) agent: &'a Label,
    /// Who holds its session, if it has one.
    pub(crate) holder: Option<&'a NodeId>,
}

impl Wanted for Run<'_> {
    fn want(&self) -> Want<'_> {
        Want::Agent(self.agent)
    }

    fn service(&self) -> Service {
        Service::Agents
    }

    fn named(&self) -> String {
        format!("agent {:?}", self.agent.as_str())
    }

    fn prefers(&self) -> Option<&NodeId> {
        self.holder
    }

    fn is_here(&self, here: &Here) -> bool {
        here.agents.find(self.agent).is_some()
    }

    fn gate(&self) -> fn(&Here) -> &Gate {
        |here| &here.agents_gate
    }

    fn may_run_twice(&self, here: &Here) -> bool {
        here.agents.is_idempotent(self.agent) || here.idempotent.load().contains(self.agent)
    }

    fn learn(&self, here: &Here, may_run_twice: bool) {
        if here.idempotent.load().contains(self.agent) == may_run_twice {
            return;
        }
        here.idempotent.rcu(|known| {
            let mut known = BTreeSet::clone(known);
            if may_run_twice {
                known.insert(self.agent.clone());
            } else {
                known.remove(self.agent);
            }
            known
        });
    }

    async fn run(&self, here: &Arc<Here>, mut request: Request<Body>) -> Result<Answer, Answer> {
        let Some(agent) = here.agents.find(self.agent) else {
            return Err(self.not_found(here));
        };
        // Of what goes out, which is one hop more than what came in.
        let hops = request
            .headers()
            .get(HOPS_HEADER)
            .and_then(|hops| hops.to_str().ok());
        let hops = hops.and_then(|hops| hops.parse().ok());
        let name = || format!("invoke_agent {}", self.agent);
        let traces = here.traces.as_ref();
        let mut span = Span::begin(traces, Kind::Internal, request.headers_mut(), name);
        span.say("gen_ai.operation.name", "invoke_agent");
        span.say("gen_ai.agent.name", self.agent.as_str());
        let around = Around {
            node: here.name(),
            id: &here.id,
            listed: &here.listed,
            bodies: &here.bodies,
            body_timeout: here.settings.limits.body_timeout,
            offer_changed: &here.offer_changed,
            models: Arc::<Here>::clone(here) as Arc<dyn Models>,
            hops: hops.map_or(0, |hops: u32| hops.saturating_sub(1)),
            trail: Trail::of(request.headers(), traces),
        };
        let answer = agent.run(&around, self.agent, request.into_body()).await;
        let (Ok(said) | Err(said)) = &answer;
        span.ended_with(said.status());
        answer.map(|answer| span.until_gone(answer))
    }

    fn absent(&self, here: &Here) -> Option<Answer> {
        Some(self.not_found(here))
    }
}

impl<'a> Run<'a> {
    /// One that has no session.
    pub(crate) fn of(agent: &'a Label) -> Self {
        Self {
            agent,
            holder: None,
        }
    }

    fn not_found(&self, here: &Here) -> Answer {
        let named = self.named();
        let detail = match here.mesh {
            Some(_) => format!("no node has an {named}"),
            None => format!("neither this node nor any of its peers has an {named}"),
        };
        self.complaint(StatusCode::NOT_FOUND, detail)
    }
}
