//! Traces: what a request went through, on this node and on others, told to a collector by OTLP/HTTP.
//!
//! Off unless the settings name a collector. A node goes on with the trace that a request brings (`traceparent`), or begins
//! one, and what it sends on for the sake of that request says so: so gateway, worker and inference node tell parts of one
//! trace. A trace that its beginner does not want recorded is passed on and not told.
//!
//! Whoever has something to tell holds a [`Span`], which is told when it is dropped. Spans wait in a queue that is bounded;
//! a collector that is slow or gone costs spans, and no request.

mod context;
mod export;
mod otlp;
mod span;

pub(crate) use context::{Context, Trail};
pub(crate) use otlp::{Kind, Node};
pub(crate) use span::{Span, current, within};

use crate::outside::Outside;
use astromesh_core::settings::Settings;
use export::{Exporter, Item, Told};
use hyper::Uri;
use otlp::Ended;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// As many spans wait to be sent, at the most.
const QUEUE: usize = 2_048;

/// How long a node that stops waits for the collector to take what is left.
const FAREWELL: Duration = Duration::from_secs(2);

/// The way to the collector.
#[derive(Debug)]
pub(crate) struct Traces {
    queue: Sender<Item>,
    told: Arc<Told>,
}

impl Traces {
    /// The way to the collector that the settings name, if they do, and what carries spans there for as long as it runs.
    pub(crate) fn to_collector(
        settings: &Settings,
        node: Node,
    ) -> Option<(Self, impl Future<Output = ()> + Send + use<>)> {
        let uri: Uri = settings.traces.clone()?;
        let (queue, queued) = mpsc::channel(QUEUE);
        let told = Arc::new(Told::default());
        let exporter = Exporter::new(Outside::to(&uri), uri, node, Arc::clone(&told));
        Some((Self { queue, told }, exporter.run(queued)))
    }

    /// One more that is to be told, if there is room.
    fn tell(&self, span: Ended) {
        if self.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.told.lost(1);
        }
    }

    /// Returns once the collector has what was told up to now, or it takes too long.
    pub(crate) async fn flush(&self) {
        let flushed = async {
            let (done, is_done) = oneshot::channel();
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                drop(is_done.await);
            }
        };
        drop(timeout(FAREWELL, flushed).await);
    }

    /// How many spans the collector took, and how many it never got.
    pub(crate) fn so_far(&self) -> BTreeMap<String, u64> {
        self.told.so_far()
    }
}
