//! One node is asked for twice as much as it can do.

use super::Findings;
use super::agent::{Agent, Manner};
use super::load::{Load, Outcome, ask};
use super::stage::Daemon;
use anyhow::{Context, Result};
use astromesh_core::http::Client;
use std::time::Duration;
use tokio::time::sleep;

/// What the agent can do: so many at once, each in so long.
const WORK: Manner = Manner {
    takes: Duration::from_millis(50),
    at_once: 16,
};

/// How long each load goes on; the first second is not counted.
const FOR: Duration = Duration::from_secs(8);

/// Refusals have to come within this time.
const SOON: Duration = Duration::from_millis(1);

pub(crate) async fn measure() -> Result<Findings> {
    let agent = Agent::start(WORK).await?;
    let gateway = Daemon::gateway("gateway", None)?;
    let limits = format!("concurrent_requests: {}", WORK.at_once);
    let node = Daemon::worker("worker-1", &agent, &gateway.url, &limits)?;
    gateway.knows(1).await?;
    let capacity = WORK.at_once as f64 / WORK.takes.as_secs_f64();
    let calm = under(&node, 0.7 * capacity).await?;
    let heavy = under(&node, 2.0 * capacity).await?;

    let accepted: Vec<&Outcome> = heavy.iter().filter(|one| one.is_good()).collect();
    let refused: Vec<&Outcome> = heavy.iter().filter(|one| one.status == Some(429)).collect();
    let goodput = accepted.len() as f64 / (FOR.as_secs_f64() - 1.0) / capacity;
    let usual = percentile(calm.iter(), 0.99).context("nothing was answered")?;
    let late = percentile(accepted.iter().copied(), 0.99).context("nothing was accepted")?;
    let refusal = percentile(refused.iter().copied(), 0.5).context("nothing was refused")?;
    let afters = refused.iter().filter_map(|one| one.retry_after);
    let after = afters.max().context("no refusal says when to come back")?;
    sleep(Duration::from_secs(after)).await;
    let client = Client::new(Duration::from_secs(10));
    let returned = ask(&client, &node.url, "once", false).await;

    let table = format!(
        "An agent that does {capacity:.0} requests a second, asked for 70 % of that and then for twice as much.\n\n\
         | | |\n| --- | --- |\n\
         | of what it can do, at twice the load | {:.1} % |\n\
         | 99 of 100 are answered within, at 70 % | {usual:.1?} |\n\
         | … of those accepted, at twice the load | {late:.1?} |\n\
         | half of the {} refusals come within | {refusal:.2?} |\n\
         | they say to come back after, at most | {after} s |\n\
         | whoever comes back then | {:?} |\n",
        goodput * 100.0,
        refused.len(),
        returned.status
    );
    let mut missed = Vec::new();
    for (holds, what) in [
        (goodput >= 0.95, "goodput under 95 %"),
        (late <= usual * 2, "those accepted are late"),
        (refusal < SOON, "refusals take longer than 1 ms"),
        (returned.is_good(), "Retry-After is not true"),
    ] {
        if !holds {
            missed.push(format!("overload: {what}"));
        }
    }
    Ok(Findings { table, missed })
}

/// What comes of that many requests a second, but for the first second.
async fn under(node: &Daemon, rate: f64) -> Result<Vec<Outcome>> {
    let load = Load::on(&node.url, rate);
    sleep(FOR).await;
    let outcomes = load.end().await;
    let first = outcomes.iter().map(|one| one.sent).min();
    let first = first.context("nothing was sent")?;
    let counted = outcomes.into_iter().filter(|one| {
        let after = one.answered - first;
        after >= Duration::from_secs(1) && after < FOR
    });
    Ok(counted.collect())
}

fn percentile<'a>(outcomes: impl Iterator<Item = &'a Outcome>, part: f64) -> Option<Duration> {
    let mut times: Vec<Duration> = outcomes.map(Outcome::took).collect();
    times.sort_unstable();
    let place = (times.len() as f64 * part) as usize;
    times.get(place).copied()
}
