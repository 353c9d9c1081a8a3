//! The load: how many requests go through at most, and how long each takes at a rate that is far below.
//!
//! At a rate, each request is due at a moment fixed beforehand, and its time counts from there: what a stall delays is
//! charged to the stall, also where the request could not even be sent. Runs in a process of its own.

use super::asker::{Asker, AsyncAsker};
use anyhow::Context;
use benches::machine;
use benches::random::Times;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Before what counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is to be sent, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) connections: usize,
    pub(crate) lasts: Duration,
    /// Requests a second; without, each connection sends the next as soon as it has its answer.
    pub(crate) rate: Option<u32>,
    /// The process whose processor time is counted.
    pub(crate) watched: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) failed: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of the watched process for each request.
    pub(crate) cpu_us: f64,
}

/// One request that counts, when it ended, and how long it took.
#[derive(Clone, Copy)]
struct Taken {
    nanos: u64,
    is_ok: bool,
}

/// What a thread does.
type Work<'a> = Box<dyn FnOnce() -> Vec<Taken> + Send + 'a>;

impl Load {
    /// Sends it all and measures.
    pub(crate) fn run(&self) -> anyhow::Result<Measured> {
        machine::sleep_exactly()?;
        let start = Instant::now() + Duration::from_millis(50);
        let counts_from = start + WARM_UP;
        let end = counts_from + self.lasts;
        let due = self.rate.map(|rate| moments(rate, WARM_UP + self.lasts));
        let next = AtomicUsize::new(0);
        let (taken, used) = thread::scope(|scope| {
            let address = |place: usize| self.addresses[place % self.addresses.len()];
            let spawn = |work| thread::Builder::new().spawn_scoped(scope, work);
            let threads: Vec<_> = match &due {
                // A thread each, for no other clock is as exact as its sleep.
                Some(due) => (0..self.connections)
                    .map(|place| {
                        let (address, next) = (address(place), &next);
                        spawn(Box::new(move || {
                            at_their_moments(address, start, counts_from, due, next)
                        }) as Work<'_>)
                    })
                    .collect(),
                // One for all, which is what costs the machine least.
                None => {
                    let addresses = (0..self.connections).map(address).collect();
                    vec![spawn(Box::new(move || {
                        all_at_once(addresses, counts_from, end)
                    }))]
                }
            };
            let used = self.used_between(counts_from, end);
            let mut taken = Vec::new();
            for thread in threads {
                let thread = thread.context("cannot start a thread for each connection")?;
                taken.extend(thread.join().map_err(|_| anyhow::anyhow!("a panic"))?);
            }
            anyhow::Ok((taken, used?))
        })?;
        Ok(self.measured(&taken, used))
    }

    /// The processor time of whom is watched, between these moments.
    fn used_between(&self, from: Instant, to: Instant) -> anyhow::Result<Duration> {
        let so_far = || {
            self.watched
                .map_or(Ok(Duration::ZERO), machine::processor_time)
        };
        sleep_until(from);
        let before = so_far()?;
        sleep_until(to);
        Ok(so_far()?.saturating_sub(before))
    }

    fn measured(&self, taken: &[Taken], used: Duration) -> Measured {
        let mut nanos: Vec<u64> = taken.iter().map(|one| one.nanos).collect();
        nanos.sort_unstable();
        let quantile = |share: f64| {
            let place = (nanos.len() as f64 * share) as usize;
            let found = nanos.get(place.min(nanos.len().saturating_sub(1)));
            found.map_or(0.0, |nanos| *nanos as f64 / 1_000.0)
        };
        let answered = taken.iter().filter(|one| one.is_ok).count();
        Measured {
            per_second: answered as f64 / self.lasts.as_secs_f64(),
            failed: taken.len() - answered,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            cpu_us: used.as_secs_f64() * 1e6 / taken.len().max(1) as f64,
        }
    }
}

/// When requests are due after the start, as if many clients knew nothing of each other.
fn moments(rate: u32, lasts: Duration) -> Vec<Duration> {
    let mut times = Times::from_seed(u64::from(rate));
    let mut due = vec![times.next(Duration::from_secs(1) / rate)];
    while due[due.len() - 1] < lasts {
        due.push(due[due.len() - 1] + times.next(Duration::from_secs(1) / rate));
    }
    due
}

/// Takes whatever is due next, as long as there is any.
fn at_their_moments(
    address: SocketAddr,
    start: Instant,
    counts_from: Instant,
    due: &[Duration],
    next: &AtomicUsize,
) -> Vec<Taken> {
    let mut asker = Asker::new(address);
    let mut taken = Vec::new();
    while let Some(due) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
        let due = start + *due;
        sleep_until(due);
        let is_ok = asker.ask();
        if due >= counts_from {
            taken.push(Taken {
                nanos: due.elapsed().as_nanos() as u64,
                is_ok,
            });
        }
    }
    taken
}

/// A connection to each, asking one thing after the other until the end.
fn all_at_once(addresses: Vec<SocketAddr>, counts_from: Instant, end: Instant) -> Vec<Taken> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime takes two file descriptors");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for address in addresses {
            tasks.spawn(one_after_the_other(address, counts_from, end));
        }
        tasks.join_all().await.concat()
    })
}

async fn one_after_the_other(
    address: SocketAddr,
    counts_from: Instant,
    end: Instant,
) -> Vec<Taken> {
    let mut asker = AsyncAsker::new(address);
    let mut taken = Vec::new();
    loop {
        let sent = Instant::now();
        let is_ok = asker.ask().await;
        let now = Instant::now();
        if now >= end {
            return taken;
        }
        if sent >= counts_from {
            taken.push(Taken {
                nanos: (now - sent).as_nanos() as u64,
                is_ok,
            });
        }
    }
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
