//! Which agents there are, and who carries them.

use crate::answer::{Answer, json, not_found, trouble, wrong_method};
use crate::here::Here;
use astromesh_core::api::{AgentList, AgentStatus, Carrier, HOPS_HEADER};
use astromesh_core::http::{empty, read_bounded};
use astromesh_core::settings::{Peer, Service};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode, Uri};
use maia::id::Label;
use maia::message::Status;
use maia::view::View;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a static peer may take to say what it has.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The longest list that is read of one.
const LIST_BYTES: usize = 4 * 1_024 * 1_024;

type Carriers = BTreeMap<String, Vec<Carrier>>;

/// `GET /v1/agents`
pub(crate) async fn all<B>(here: &Arc<Here>, request: &Request<B>) -> Answer {
    match refused(here, request) {
        Some(refusal) => refusal,
        None => json(StatusCode::OK, &list(here, request).await),
    }
}

/// `GET /v1/agents/{name}`
pub(crate) async fn one<B>(here: &Arc<Here>, name: &str, request: &Request<B>) -> Answer {
    if let Some(refusal) = refused(here, request) {
        return refusal;
    }
    let wanted = agent_name(name);
    let found = list(here, request).await.agents.into_iter();
    match found.into_iter().find(|agent| {
        wanted
            .as_ref()
            .is_some_and(|wanted| wanted.as_str() == agent.name)
    }) {
        Some(agent) => json(StatusCode::OK, &agent),
        None => trouble(
            StatusCode::NOT_FOUND,
            format!("no node has an agent {name:?}"),
        ),
    }
}

/// The agent that a part of a path names, if it can be one.
pub(crate) fn agent_name(part: &str) -> Option<Label> {
    let decoded = percent_decode_str(part).decode_utf8().ok()?;
    Label::new(&decoded).ok()
}

fn refused<B>(here: &Here, request: &Request<B>) -> Option<Answer> {
    refuse_clients(here, request.uri().path())
        .or_else(|| wrong_method(request.method(), "GET, HEAD"))
}

/// Whether this node answers clients at all: without the service `api` all but the mesh and health calls is absent.
fn refuse_clients(here: &Here, path: &str) -> Option<Answer> {
    (!here.offers(Service::Api)).then(|| not_found(path))
}

async fn list<B>(here: &Arc<Here>, request: &Request<B>) -> AgentList {
    let carriers = match here.view() {
        Some(view) => in_mesh(&view),
        // A peer that asks wants to know what is here, or two nodes that list each other would ask for ever.
        None if request.headers().contains_key(HOPS_HEADER) => own(here),
        None => with_peers(here).await,
    };
    let agents = carriers
        .into_iter()
        .map(|(name, nodes)| AgentStatus { name, nodes });
    AgentList {
        agents: agents.collect(),
        withheld: here.agents.withheld(),
    }
}

/// Everybody's who is alive or suspect.
fn in_mesh(view: &View) -> Carriers {
    let carriers = view.agents().map(|agent| {
        let nodes = view
            .carriers(agent)
            .filter(|seen| seen.confirmed || seen.is_me)
            .filter(|seen| matches!(seen.status, Status::Alive | Status::Suspect))
            .map(|seen| Carrier {
                node_id: seen.id().to_string(),
                name: seen.name().to_string(),
                url: seen.url.to_string(),
                status: seen.status.to_string(),
            });
        (agent.to_string(), nodes.collect::<Vec<_>>())
    });
    carriers.filter(|(_, nodes)| !nodes.is_empty()).collect()
}

/// This node's alone.
fn own(here: &Here) -> Carriers {
    let carrier = || Carrier {
        node_id: String::new(),
        name: here.name().to_owned(),
        url: here.url().to_string(),
        status: "alive".to_owned(),
    };
    let names = here.agents.names().into_iter();
    names
        .map(|agent| (agent.to_string(), vec![carrier()]))
        .collect()
}

/// This node's, and those of the static peers that answer in time.
async fn with_peers(here: &Arc<Here>) -> Carriers {
    let mut carriers = own(here);
    let mut asked = JoinSet::new();
    for peer in here
        .settings
        .peers
        .iter()
        .filter(|peer| peer.services.has(Service::Agents))
    {
        asked.spawn(agents_of(Arc::clone(here), peer.clone()));
    }
    for (name, carrier) in asked.join_all().await.into_iter().flatten() {
        carriers.entry(name).or_default().push(carrier);
    }
    for nodes in carriers.values_mut() {
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
    }
    carriers
}

/// What one peer has itself; nothing where it does not say.
async fn agents_of(here: Arc<Here>, peer: Peer) -> Vec<(String, Carrier)> {
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static("/v1/agents");
    request
        .headers_mut()
        .insert(HOPS_HEADER, HeaderValue::from_static("1"));
    let said = async {
        let answer = here.listed.send(&peer.url, request).await.ok()?;
        let body = read_bounded(answer.into_body(), LIST_BYTES).await.ok()?;
        serde_json::from_slice::<AgentList>(&body).ok()
    };
    let list = timeout(PATIENCE, said).await.ok().flatten();
    let agents = list.map(|list| list.agents).unwrap_or_default();
    let carrier = || Carrier {
        node_id: String::new(),
        name: peer.name.to_string(),
        url: peer.url.to_string(),
        status: "alive".to_owned(),
    };
    agents
        .into_iter()
        .map(|agent| (agent.name, carrier()))
        .collect()
}
