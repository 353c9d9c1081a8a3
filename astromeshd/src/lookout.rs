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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often it looks, and how often it asks each that is away.
const ROUND: Duration = Duration::from_millis(100);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// After so many rounds with nothing to look at it naps: its wake-ups are two thirds of those of an idle node.
const QUIET_ROUNDS: usize = 10;

/// How long a nap takes at the most.
const NAP: Duration = Duration::from_secs(1);

/// The rest that it takes while no requests are sent.
#[derive(Debug, Default)]
pub(crate) struct Nap {
    is_on: AtomicBool,
    over: Notify,
}

impl Nap {
    /// A request is sent.
    pub(crate) fn end(&self) {
        if self.is_on.load(Ordering::Relaxed) && self.is_on.swap(false, Ordering::Relaxed) {
            self.over.notify_one();
        }
    }

    /// Whether it ended with a request.
    async fn take(&self) -> bool {
        self.is_on.store(true, Ordering::Relaxed);
        let is_ended = timeout(NAP, self.over.notified()).await.is_ok();
        self.is_on.store(false, Ordering::Relaxed);
        is_ended
    }
}

/// Goes on until it is dropped.
pub(crate) async fn keep_looking(here: Arc<Here>) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet_rounds = 0;
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
        let is_quiet = away.is_empty() && out.is_empty() && here.in_flight.total() == 0;
        quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
        for id in away {
            if asked.contains(&id) {
                continue;
            }
            if let Some((pool, url)) = address(&here, &id) {
                asked.insert(id.clone());
                answers.spawn(async move { (id, is_there(&pool, &url).await) });
            }
        }
        if quiet_rounds > QUIET_ROUNDS && here.nap.take().await {
            quiet_rounds = 0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_nap_ends_with_a_request_or_by_itself() {
        let nap = Arc::new(Nap::default());
        nap.end();
        assert!(!nap.take().await, "a request before it is nothing to it");
        let napping = tokio::spawn({
            let nap = Arc::clone(&nap);
            async move { nap.take().await }
        });
        tokio::time::sleep(NAP / 4).await;
        let asked = Instant::now();
        nap.end();
        assert!(napping.await.expect("no panic"));
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
}
