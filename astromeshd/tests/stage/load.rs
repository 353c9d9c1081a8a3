//! Requests that go on while something happens to the mesh.

use super::{PATIENCE, Process};
use astromesh_core::api::RunAnswer;
use astromesh_core::http::Client;
use maia::address::Url;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many requests are under way at a time.
const AT_A_TIME: usize = 3;

/// Requests for the agent `echo`, sent to one node without end.
pub(crate) struct Load {
    ended: Arc<AtomicBool>,
    under_way: Arc<RwLock<()>>,
    senders: JoinSet<Outcome>,
}

/// What came of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many each node ran, by its name.
    pub(crate) ran: BTreeMap<String, usize>,
    /// What went wrong, one entry a request.
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Begins to send.
    pub(crate) fn on(gateway: &Process) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let under_way = Arc::new(RwLock::new(()));
        let mut senders = JoinSet::new();
        for _ in 0..AT_A_TIME {
            let (url, ended) = (gateway.url.clone(), Arc::clone(&ended));
            senders.spawn(send(url, ended, Arc::clone(&under_way)));
        }
        Self {
            ended,
            under_way,
            senders,
        }
    }

    /// Waits until nothing is under way; nothing is sent before the guard goes. Whoever is killed in the middle of a
    /// request takes it along, and nobody can say whether it was carried out.
    pub(crate) async fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.under_way.write().await
    }

    /// Stops sending, and says what came of it.
    pub(crate) async fn end(mut self) -> Outcome {
        self.ended.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        while let Some(one) = self.senders.join_next().await {
            let one = one.unwrap();
            all.failures.extend(one.failures);
            for (name, count) in one.ran {
                *all.ran.entry(name).or_default() += count;
            }
        }
        all
    }
}

impl Outcome {
    /// How many were answered.
    pub(crate) fn answered(&self) -> usize {
        self.ran.values().sum()
    }
}

async fn send(url: Url, ended: Arc<AtomicBool>, under_way: Arc<RwLock<()>>) -> Outcome {
    let client = Client::new(PATIENCE);
    let mut outcome = Outcome::default();
    while !ended.load(Ordering::Relaxed) {
        let turn = under_way.read().await;
        let body = json!({ "query": "hello" });
        match client
            .post::<RunAnswer>(&url, "/v1/agents/echo/run", &body)
            .await
        {
            Ok(answer) => *outcome.ran.entry(answer.node).or_default() += 1,
            Err(error) => outcome.failures.push(error.to_string()),
        }
        drop(turn);
        sleep(Duration::from_millis(20)).await;
    }
    outcome
}
