//! Models: `POST /v1/chat/completions` as OpenAI's clients call it, `POST /v1/messages` as Anthropic's do, and
//! `GET /v1/models`, on any node.
//!
//! A request goes where every request goes, through the router: to a node with the service `inference`, which lets one of
//! its [`Providers`](providers::Providers) answer. Unlike all others it is read here, whole and within bounds, for only its body says which
//! model it is for.

mod list;

use crate::answer::{Answer, header_text, not_found, wrong_method};
use crate::bodies::Longest;
use crate::catalog::Holders;
use crate::gate::Gate;
use crate::here::{Here, Visitor};
use crate::providers::{self, Ask, Dialect};
use crate::router::{self, Origin, Wanted};
use crate::traces::{Kind, Span};
use astromesh_core::api::{INFERENCE_NODE_HEADER, NODE_HEADER, PROVIDER_HEADER};
use astromesh_core::http::{Body, full};
use astromesh_core::settings::Service;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderName};
use hyper::{Method, Request, StatusCode, Uri};
use maia::id::Label;
use maia::selector::candidates::Candidate;
use maia::view::Want;
use std::sync::Arc;
use std::time::Instant;

const MODELS: &str = "/v1/models";

/// Whether a call at `path` is about models.
pub(crate) fn is_call(path: &str) -> bool {
    Dialect::at(path).is_some() || path.strip_prefix(MODELS).is_some_and(is_end_of_name)
}

fn is_end_of_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// Answers a call about models.
pub(crate) async fn answer(
    here: &Arc<Here>,
    visitor: &Visitor,
    request: Request<Incoming>,
) -> Answer {
    let origin = Origin::of(here, request.headers());
    let path = request.uri().path();
    if !here.offers(Service::Api) && !origin.is_node() {
        return not_found(path);
    }
    let Some(dialect) = Dialect::at(path) else {
        return list::answer(here, origin, &request).await;
    };
    if let Some(refusal) = wrong_method(request.method(), "POST") {
        return refusal;
    }
    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    infer(here, Some(visitor), origin, dialect, request).await
}

/// Lets a model answer on behalf of this node itself, for those whom the router runs: the same way through the mesh as a
/// client's `POST /v1/chat/completions`, with the same answers and refusals.
///
/// They are below the router and this is above it, so they reach it as [`Here::chat`]:
///
/// ```text
/// let mut request = Request::new(full(body));               // a body of OpenAI's shape; method and path are filled in
/// request.headers_mut().insert(PROVIDER_HEADER, provider);  // only where one provider is wanted and no other
/// let answer = here.chat(hops, request).await;              // status, headers and body as a client would get them
/// ```
///
/// `hops` is how often the request that this is for had been passed on before this node ran it. The answer's
/// `X-Astromesh-Inference-Node` names the node that served it. Dropping the future, or the answer's body, ends it
/// everywhere.
pub(crate) async fn chat(here: Arc<Here>, hops: u32, request: Request<Body>) -> Answer {
    let (origin, dialect) = (Origin::Here { hops }, Dialect::OpenAi);
    let (mut head, body) = request.into_parts();
    (head.method, head.uri) = (Method::POST, Uri::from_static(dialect.path()));
    let request = Request::from_parts(head, body);
    infer(&here, None, origin, dialect, request).await
}

async fn infer(
    here: &Arc<Here>,
    visitor: Option<&Visitor>,
    origin: Origin,
    dialect: Dialect,
    request: Request<Body>,
) -> Answer {
    let (mut head, body) = request.into_parts();
    let limits = &here.settings.limits;
    let longest = Longest {
        bytes: limits.inference_body_bytes,
        limit: "inference_body_bytes",
    };
    let read = here
        .bodies
        .try_read(body, longest, limits.body_timeout)
        .await;
    let bytes = match read {
        // A model may take minutes: what it was asked is not counted among what is being read.
        Ok(whole) => whole.into_bytes(),
        Err(refusal) => {
            let told = refusal.told_by(|status, detail| dialect.trouble(status, None, detail));
            return refused(here, told);
        }
    };
    let ask = match Ask::read(dialect, &head.headers, bytes) {
        Ok(ask) => ask,
        Err(wrong) => {
            return refused(here, dialect.bad_request(&wrong.field, &wrong.to_string()));
        }
    };
    // What goes on is as long as what was read, however that had come.
    head.headers.remove(CONTENT_LENGTH);
    let request = Request::from_parts(head, full(ask.body.clone()));
    let is_asked_around = !origin.is_node() || goes_on(here, origin.hops());
    let holders = match &here.mesh {
        Some(mesh) if is_asked_around => list::holders(here, mesh, &ask.model).await,
        _ => Holders::default(),
    };
    let model = Model {
        service: here.inference.clone(),
        ask,
        holders,
    };
    router::run(here, visitor, origin, &model, request, None).await
}

/// A refusal of what never came to the router: counted, and by whom it says as all answers do.
fn refused(here: &Here, mut refusal: Answer) -> Answer {
    here.tally.count("refused");
    let name = header_text(here.name());
    refusal.headers_mut().insert(NODE_HEADER, name);
    refusal
}

/// Whether a node that was sent a request for a model may pass it on once more: one that serves none itself, and has been
/// asked by one that did not know better, or lists it as its only way to models.
fn goes_on(here: &Here, hops: u32) -> bool {
    const MOST_HOPS: u32 = 1;
    hops <= MOST_HOPS && !here.offers(Service::Inference)
}

/// A request for a model, as the router sees it.
struct Model {
    service: Label,
    ask: Ask,
    holders: Holders,
}

impl Model {
    /// How likely a member is to have it: the place of the round in which it is asked, and `None` for never.
    fn round_of(&self, member: &Candidate) -> Option<u32> {
        match &member.id {
            _ if member.is_me => Some(0),
            id if self.holders.has.contains(id) => Some(0),
            id if self.holders.lacks.contains(id) => None,
            _ => Some(1),
        }
    }
}

impl Wanted for Model {
    fn want(&self) -> Want<'_> {
        Want::Service(&self.service)
    }

    fn service(&self) -> Service {
        Service::Inference
    }

    fn named(&self) -> String {
        format!("model {:?}", self.ask.model)
    }

    fn gate(&self) -> fn(&Here) -> &Gate {
        |here| &here.models_gate
    }

    fn is_here(&self, here: &Here) -> bool {
        here.offers(Service::Inference)
    }

    async fn run(&self, here: &Arc<Here>, mut request: Request<Body>) -> Result<Answer, Answer> {
        let began = Instant::now();
        let name = || format!("chat {}", self.ask.model);
        let traces = here.traces.as_ref();
        let mut span = Span::begin(traces, Kind::Client, request.headers_mut(), name);
        span.say("gen_ai.operation.name", "chat");
        span.say("gen_ai.request.model", &self.ask.model);
        let answer = here.providers.complete(&self.ask, request.headers()).await;
        let (Ok(said) | Err(said)) = &answer;
        span.ended_with(said.status());
        if let Some(provider) = said.headers().get(PROVIDER_HEADER) {
            span.say(
                "gen_ai.provider.name",
                provider.to_str().unwrap_or_default(),
            );
        }
        answer.map(|answer| {
            let models = &here.metrics.models;
            let mut answer = models.heeded(answer, &self.ask.model, began, span);
            let name = HeaderName::from_static(INFERENCE_NODE_HEADER);
            let node = header_text(here.name());
            answer.headers_mut().insert(name, node);
            answer
        })
    }

    fn passed_over(&self, candidates: &[Candidate], round: u32) -> Option<Vec<usize>> {
        let places = candidates.iter().enumerate();
        let others = places.filter(|(_, member)| self.round_of(member) != Some(round));
        (round <= 1).then(|| others.map(|(place, _)| place).collect())
    }

    fn goes_on(&self, here: &Here, hops: u32) -> bool {
        goes_on(here, hops)
    }

    fn kept_bytes(&self) -> usize {
        // It is in memory as it is.
        usize::MAX
    }

    fn complaint(&self, status: StatusCode, detail: String) -> Answer {
        self.ask.dialect.trouble(status, None, &detail)
    }

    fn absent(&self, _: &Here) -> Option<Answer> {
        Some(providers::not_found(&self.ask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::models::Models;
    use crate::daemon::Daemon;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use std::time::Duration;

    async fn asked(daemon: &Daemon, body: &str) -> (StatusCode, Option<String>, Value) {
        let request = Request::new(full(body.to_owned()));
        let answer = Arc::clone(daemon.here()).chat(0, request).await;
        let node = answer.headers().get(INFERENCE_NODE_HEADER);
        let node = node.and_then(|node| node.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        (status, node, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn this_node_itself_can_ask_a_model_elsewhere() {
        let gateway = Daemon::alone().await;
        let inference = Daemon::in_role("inference", gateway.url().as_str()).await;
        let hello = r#"{"model":"echo","messages":[{"role":"user","content":"hello, mesh"}]}"#;
        let meeting = async {
            while asked(&gateway, hello).await.0 != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let met = tokio::time::timeout(Duration::from_secs(20), meeting).await;
        met.expect("the two meet");
        let (_, node, said) = asked(&gateway, hello).await;
        assert_eq!(node.as_deref(), Some("inference"));
        assert_eq!(said["choices"][0]["message"]["content"], "hello, mesh");
        let (status, node, said) = asked(&gateway, r#"{"model":"none","messages":[]}"#).await;
        assert_eq!((status, node), (StatusCode::NOT_FOUND, None));
        assert_eq!(said["error"]["code"], "model_not_found");
        let (status, _, said) = asked(&gateway, r#"{"messages":[]}"#).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(said["error"]["param"], "model");
        inference.kill().await;
        gateway.kill().await;
    }
}
