//! Thousands of streams at once: what each takes of the gateway's memory, and how its events arrive.

use super::Stage;
use super::client::Asked;
use anyhow::Context;
use benches::machine::{moment_nanos, resident_bytes};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many connect at a time: fewer than wait in a listener's queue.
const CONNECTING: usize = 100;

/// What came of them.
pub(crate) struct Figures {
    streams: usize,
    stream_bytes: u64,
    idle_bytes: u64,
    whole: usize,
    events: usize,
    reads: usize,
    late_ms: [f64; 3],
}

/// What one stream saw.
#[derive(Default)]
struct Seen {
    is_whole: bool,
    reads: usize,
    late_nanos: Vec<u64>,
}

/// Opens them all, measures, and reads them to the end.
pub(crate) async fn measured(stage: &Stage, streams: usize) -> anyhow::Result<Figures> {
    let gateway = stage.gateway_pid()?;
    let idle_bytes = resident_bytes(gateway)?;
    let begun = Arc::new(AtomicUsize::new(0));
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (begun, turns) = (Arc::clone(&begun), Arc::clone(&turns));
        tasks.spawn(followed(stage.gateway_at(), begun, turns));
    }
    while begun.load(Ordering::Relaxed) < streams && !tasks.is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
    let stream_bytes = resident_bytes(gateway)?.saturating_sub(idle_bytes) / streams as u64;
    let seen = tasks.join_all().await;
    let seen: Vec<Seen> = seen.into_iter().collect::<anyhow::Result<_>>()?;
    let mut late: Vec<u64> = seen
        .iter()
        .flat_map(|one| one.late_nanos.iter().copied())
        .collect();
    late.sort_unstable();
    let quantile = |share: f64| {
        let place = (late.len() as f64 * share) as usize;
        late.get(place.min(late.len().saturating_sub(1)))
            .map_or(0.0, |nanos| *nanos as f64 / 1e6)
    };
    Ok(Figures {
        streams,
        stream_bytes,
        idle_bytes,
        whole: seen.iter().filter(|one| one.is_whole).count(),
        events: late.len(),
        reads: seen.iter().map(|one| one.reads).sum(),
        late_ms: [0.5, 0.99, 1.0].map(quantile),
    })
}

async fn followed(
    gateway: SocketAddr,
    begun: Arc<AtomicUsize>,
    turns: Arc<Semaphore>,
) -> anyhow::Result<Seen> {
    let turn = turns.acquire_owned().await?;
    let mut asked = Asked::at(gateway, true).await.context("cannot connect")?;
    let mut seen = Seen::default();
    let mut buffer = [0; 2_048];
    let mut turn = Some(turn);
    loop {
        let read = asked.read(&mut buffer).await?;
        let now = moment_nanos();
        let text = std::str::from_utf8(&buffer[..read])?;
        let sent: Vec<u64> = text
            .split("\"at\":")
            .skip(1)
            .filter_map(leading_number)
            .collect();
        if !sent.is_empty() {
            seen.reads += 1;
            if turn.take().is_some() {
                begun.fetch_add(1, Ordering::Relaxed);
            }
        }
        seen.late_nanos
            .extend(sent.iter().map(|at| now.saturating_sub(*at)));
        seen.is_whole = text.ends_with("0\r\n\r\n");
        if read == 0 || seen.is_whole {
            return Ok(seen);
        }
    }
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|sign: char| !sign.is_ascii_digit())?;
    text[..end].parse().ok()
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, last] = self.late_ms;
        write!(
            f,
            "{} streams at once: {:.1} KiB of memory each (idle, the gateway has {:.1} MiB); {} came whole; \
             {} events in {} reads, {:.3} a read; from node to client {half:.2} ms p50, {most:.2} ms p99, {last:.1} ms at most",
            self.streams,
            self.stream_bytes as f64 / 1_024.0,
            self.idle_bytes as f64 / 1_048_576.0,
            self.whole,
            self.events,
            self.reads,
            self.events as f64 / self.reads.max(1) as f64,
        )
    }
}
