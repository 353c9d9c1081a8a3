//! Looks after those that requests are not sent to: compares how all do, and asks whether who was away is there again.
//!
//! It asks for the node's health, so that no request has to be risked to find out; the first one after that is still a
//! trial. Gossip has no part in it: it notices a restart later, and some paths fail that it does not use.

use crate::here::Here;
use astromesh_core::http::{Pool, empty};
use hyper::{Request, Uri};
use maia::address::Url;
use maia::id::NodeId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

/// How often it looks, and how often it asks each that is away.
const ROUND: Duration = Duration::from_millis(100);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Goes on until it is dropped.
pub(crate) async fn keep_looking(here: Arc<Here>) {
    let mut rounds = interval(ROUND);
    let (mut asked, mut out) = (BTreeSet::new(), BTreeSet::new());
    let mut answers = JoinSet::new();
    loop {
        rounds.tick().await;
        while let Some(answer) = answers.try_join_next() {
            if let Ok((id, is_there)) = answer {
                asked.remove(&id);
                if is_there {
                    here.in_flight.counter(&id).returned();
                }
            }
        }
        let away = here.in_flight.review(here.now());
        let out_now = here.in_flight.out();
        let ejected = out_now.difference(&out).count();
        here.metrics.ejections.inc_by(ejected as u64);
        out = out_now;
        for id in away {
            if asked.contains(&id) {
                continue;
            }
            if let Some((pool, url)) = address(&here, &id) {
                asked.insert(id.clone());
                answers.spawn(async move { (id, is_there(&pool, &url).await) });
            }
        }
    }
}

/// Where one is that may take requests when it is there.
fn address(here: &Here, id: &NodeId) -> Option<(Pool, Url)> {
    if let Some(mesh) = &here.mesh {
        let view = mesh.view.load();
        let seen = view.member(id).filter(|seen| seen.takes_requests())?;
        return Some((mesh.members.clone(), seen.url.clone()));
    }
    let mut peers = here.peers.values().flat_map(|peers| peers.members());
    let peer = peers.find(|peer| peer.id == *id)?;
    Some((here.listed.clone(), peer.url.clone()))
}

async fn is_there(pool: &Pool, url: &Url) -> bool {
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static("/healthz");
    matches!(timeout(PATIENCE, pool.send(url, request)).await, Ok(Ok(_)))
}
