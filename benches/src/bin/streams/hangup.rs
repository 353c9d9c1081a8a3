//! How soon a node hears that the client has gone.

use super::Stage;
use super::client::Asked;
use astromesh_core::http::Client;
use benches::backend::OPEN_PATH;
use hyper::Method;
use maia::address::Url;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of it.
pub(crate) struct Figures {
    after_first_byte: bool,
    millis: Vec<f64>,
}

/// So many clients, one after the other, who go away once their request is at the node, or the first event is with them.
pub(crate) async fn measured(
    stage: &Stage,
    clients: usize,
    after_first_byte: bool,
) -> anyhow::Result<Figures> {
    let node = Url::new(&format!("http://{}", stage.node_at))?;
    let watcher = Client::new(PATIENCE);
    let mut millis = Vec::new();
    for _ in 0..clients {
        let mut asked = Asked::at(stage.gateway_at(), true).await?;
        if after_first_byte {
            asked.read(&mut [0; 2_048]).await?;
        }
        until(&watcher, &node, "1").await?;
        let left = Instant::now();
        drop(asked);
        until(&watcher, &node, "0").await?;
        millis.push(left.elapsed().as_secs_f64() * 1_000.0);
    }
    millis.sort_by(f64::total_cmp);
    Ok(Figures {
        after_first_byte,
        millis,
    })
}

/// Waits until the node has so many answers open.
async fn until(watcher: &Client, node: &Url, open: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = watcher.send(node, Method::GET, OPEN_PATH, None).await?;
        if answer.body == open.as_bytes() {
            return Ok(());
        }
        let found = String::from_utf8_lossy(&answer.body).into_owned();
        anyhow::ensure!(
            Instant::now() < deadline,
            "not {open} open answers but {found}"
        );
        sleep(Duration::from_micros(100)).await;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.after_first_byte {
            "after"
        } else {
            "before"
        };
        let at = |share: f64| {
            let place = (self.millis.len() as f64 * share) as usize;
            self.millis
                .get(place.min(self.millis.len() - 1))
                .copied()
                .unwrap_or(0.0)
        };
        write!(
            f,
            "{} clients went away {when} the first byte: the node heard of it within {:.2} ms p50, {:.2} ms p99, {:.2} ms at most",
            self.millis.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }
}
