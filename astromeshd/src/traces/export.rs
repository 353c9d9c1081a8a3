//! Carries spans to the collector, some at a time. One that does not take them loses them: nothing is kept for later.

use super::otlp::{self, Ended, Node};
use crate::outside::Outside;
use astromesh_core::http::{Body, chain, full, read_bounded};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// As many spans go in one call, at the most.
const TOGETHER: usize = 512;

/// How long the first of them waits for the others.
const WAIT: Duration = Duration::from_secs(1);

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the log hears that it fails.
const NEWS: Duration = Duration::from_secs(60);

/// How much of its answer is read.
const ANSWER_BYTES: usize = 64 * 1_024;

/// What stands in the queue.
#[derive(Debug)]
pub(super) enum Item {
    /// One to be sent.
    Span(Box<Ended>),
    /// Whoever waits until all before it were.
    Flush(oneshot::Sender<()>),
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Told {
    sent: AtomicU64,
    lost: AtomicU64,
}

impl Told {
    pub(super) fn lost(&self, spans: u64) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> BTreeMap<String, u64> {
        let counts = [("sent", &self.sent), ("lost", &self.lost)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed)));
        BTreeMap::from(counts)
    }
}

/// Whoever carries them.
#[derive(Debug)]
pub(super) struct Exporter {
    outside: Outside,
    uri: Uri,
    node: Node,
    told: Arc<Told>,
    /// When the log last heard of trouble.
    complained: Option<Instant>,
}

impl Exporter {
    pub(super) fn new(outside: Outside, uri: Uri, node: Node, told: Arc<Told>) -> Self {
        Self {
            outside,
            uri,
            node,
            told,
            complained: None,
        }
    }

    /// Sends what comes, until nobody is left who could tell something.
    pub(super) async fn run(mut self, mut queue: Receiver<Item>) {
        while let Some(first) = queue.recv().await {
            let until = Instant::now() + WAIT;
            let mut batch = Vec::new();
            let mut waiting = put(first, &mut batch);
            while waiting.is_none() && batch.len() < TOGETHER {
                match timeout_at(until, queue.recv()).await {
                    Ok(Some(item)) => waiting = put(item, &mut batch),
                    Ok(None) | Err(_) => break,
                }
            }
            let is_taken = batch.is_empty() || self.send(&batch).await;
            if let Some(waiting) = waiting {
                // Who has given up waiting needs no answer.
                waiting.send(()).ok();
            }
            if !is_taken {
                // What comes meanwhile waits, as far as there is room: it would most likely be written for nobody.
                sleep(WAIT).await;
            }
        }
    }

    /// Whether the collector took them.
    async fn send(&mut self, batch: &[Ended]) -> bool {
        let trouble = match timeout(PATIENCE, self.post(batch)).await {
            Ok(Ok(())) => {
                let sent = batch.len() as u64;
                self.told.sent.fetch_add(sent, Ordering::Relaxed);
                return true;
            }
            Ok(Err(trouble)) => trouble,
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        self.told.lost(batch.len() as u64);
        if self.complained.is_none_or(|since| since.elapsed() >= NEWS) {
            self.complained = Some(Instant::now());
            log::warn!(
                "traces are lost, for the collector at {} does not take them: {trouble}; what else is lost is only counted for a while",
                self.uri
            );
        }
        false
    }

    async fn post(&self, batch: &[Ended]) -> Result<(), String> {
        let mut request: Request<Body> = Request::new(full(otlp::body(&self.node, batch)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let answer = self.outside.send(request).await;
        let answer = answer.map_err(|error| chain(&error))?;
        let status = answer.status();
        // Read for the connection's sake, and not judged.
        drop(read_bounded(answer.into_body(), ANSWER_BYTES).await);
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("it answered {status}"))
        }
    }
}

/// Takes a span into the batch, or whoever waits for the end of it.
fn put(item: Item, batch: &mut Vec<Ended>) -> Option<oneshot::Sender<()>> {
    match item {
        Item::Span(span) => {
            batch.push(*span);
            None
        }
        Item::Flush(waiting) => Some(waiting),
    }
}
