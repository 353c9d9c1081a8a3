//! Which models there are: `GET /v1/models` and one of them, and who of the mesh has one that is asked for.

use crate::answer::{Answer, json, wrong_method};
use crate::catalog::Holders;
use crate::here::{Here, Mesh};
use crate::providers::Dialect;
use crate::router::Origin;
use astromesh_core::api::{HOPS_HEADER, ModelList};
use astromesh_core::http::{Pool, empty, read_bounded};
use astromesh_core::settings::Service;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode, Uri};
use maia::address::Url;
use maia::id::NodeId;
use maia::wire::NODE_ID_HEADER;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long another node may take to say what it has: longer than it waits for its providers.
const PATIENCE: Duration = Duration::from_secs(4);

/// The longest list that is read of one.
const LIST_BYTES: usize = 512 * 1_024;

/// Answers a call for what there is.
pub(super) async fn answer<B>(here: &Arc<Here>, origin: Origin, request: &Request<B>) -> Answer {
    if let Some(refusal) = wrong_method(request.method(), "GET, HEAD") {
        return refusal;
    }
    let list = list(here, origin).await;
    let rest = request.uri().path().strip_prefix(super::MODELS);
    let Some(id) = rest.and_then(|rest| rest.strip_prefix('/')) else {
        return json(StatusCode::OK, &list);
    };
    let id = percent_decode_str(id).decode_utf8_lossy();
    match list.data.iter().find(|model| model.id == id) {
        Some(model) => json(StatusCode::OK, model),
        None => {
            let message = format!("no provider has a model {id:?}");
            let dialect = Dialect::of(request.headers());
            dialect.trouble(StatusCode::NOT_FOUND, Some("model_not_found"), &message)
        }
    }
}

/// This node's and the others'; to another node this one's alone, as far as it has any.
async fn list(here: &Arc<Here>, origin: Origin) -> ModelList {
    let mut lists = Vec::new();
    let mut is_any_silent = false;
    if here.offers(Service::Inference) {
        lists.push(Arc::new(here.providers.models().await));
    }
    if !origin.is_node() || super::goes_on(here, origin.hops()) {
        let others = match &here.mesh {
            Some(mesh) => {
                refresh(here, mesh, false).await;
                here.catalog.lists()
            }
            None => of_peers(here, origin.hops()).await,
        };
        lists.extend(others.0);
        is_any_silent = others.1;
    }
    let all = lists.iter().flat_map(|list| &list.data);
    let mut whole = ModelList::of(all.cloned().collect());
    let prefixes = lists.iter().flat_map(|list| list.prefixes.iter().cloned());
    whole.prefixes = prefixes.collect();
    whole.prefixes.sort();
    whole.prefixes.dedup();
    whole.incomplete = is_any_silent || lists.iter().any(|list| list.incomplete);
    whole
}

/// Who in the mesh has `model`, this node apart. Where nobody is known to, those whose word is not of this moment are asked
/// first; else meanwhile.
pub(super) async fn holders(here: &Arc<Here>, mesh: &Mesh, model: &str) -> Holders {
    let known = here.catalog.holders(model);
    if known.has.is_empty() {
        refresh(here, mesh, true).await;
        return here.catalog.holders(model);
    }
    let to_ask = to_ask(here, mesh, false);
    if !to_ask.is_empty() {
        let here = Arc::clone(here);
        tokio::spawn(async move { ask(&here, to_ask).await });
    }
    known
}

async fn refresh(here: &Arc<Here>, mesh: &Mesh, in_need: bool) {
    ask(here, to_ask(here, mesh, in_need)).await;
}

/// The members that are to be asked what they have, and where they are.
fn to_ask(here: &Here, mesh: &Mesh, in_need: bool) -> Vec<(NodeId, Url)> {
    let view = mesh.view.load();
    let serving = view.providers(&here.inference);
    let serving: BTreeMap<NodeId, Url> = serving
        .filter(|seen| !seen.is_me && seen.takes_requests())
        .map(|seen| (seen.id().clone(), seen.url.clone()))
        .collect();
    let ids = serving.keys().cloned().collect();
    let to_ask = here.catalog.to_ask(&ids, in_need, Instant::now());
    to_ask
        .into_iter()
        .filter_map(|id| Some((id.clone(), serving.get(&id)?.clone())))
        .collect()
}

/// Asks all of them at once, and notes what they say.
async fn ask(here: &Arc<Here>, members: Vec<(NodeId, Url)>) {
    let mut asked = JoinSet::new();
    for (id, url) in members {
        let here = Arc::clone(here);
        asked.spawn(async move {
            if let Some(mesh) = &here.mesh {
                let said = list_of(&here, &mesh.members, &url, 1).await;
                here.catalog.note(&id, said);
            }
        });
    }
    asked.join_all().await;
}

/// What the static peers have, and whether one of them does not say.
async fn of_peers(here: &Arc<Here>, hops: u32) -> (Vec<Arc<ModelList>>, bool) {
    let peers = here.settings.peers.iter();
    let peers = peers.filter(|peer| peer.services.has(Service::Inference));
    let mut asked = JoinSet::new();
    for url in peers.map(|peer| peer.url.clone()) {
        let here = Arc::clone(here);
        asked.spawn(async move { list_of(&here, &here.listed, &url, hops + 1).await });
    }
    let said = asked.join_all().await;
    let is_any_silent = said.iter().any(Option::is_none);
    (
        said.into_iter().flatten().map(Arc::new).collect(),
        is_any_silent,
    )
}

/// What one node has; nothing where it does not say.
async fn list_of(here: &Here, pool: &Pool, url: &Url, hops: u32) -> Option<ModelList> {
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static(super::MODELS);
    let headers = request.headers_mut();
    headers.insert(HOPS_HEADER, HeaderValue::from(hops));
    let own = HeaderValue::from_str(here.id.as_str()).expect("a checked id is visible ASCII");
    headers.insert(NODE_ID_HEADER, own);
    let said = async {
        let answer = pool.send(url, request).await.ok()?;
        let body = read_bounded(answer.into_body(), LIST_BYTES).await.ok()?;
        serde_json::from_slice(&body).ok()
    };
    timeout(PATIENCE, said).await.ok().flatten()
}
