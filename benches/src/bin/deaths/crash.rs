//! A worker is killed under load, and started again.

use super::Findings;
use super::agent::{Agent, Manner};
use super::load::{Load, Outcome};
use super::stage::Daemon;
use anyhow::Result;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long the load goes on before each event, and after the last.
const BETWEEN: Duration = Duration::from_millis(2_500);

/// A run of an agent takes so long.
pub(crate) const WORK: Manner = Manner {
    takes: Duration::from_millis(5),
    at_once: 1_024,
};

/// A request whose outcome is unknown has to be told so within this time.
const TOLD: Duration = Duration::from_millis(5);

/// A worker has to be used again so soon after it takes connections.
const BACK: Duration = Duration::from_millis(250);

/// A gateway and three workers.
pub(crate) struct Mesh {
    pub(crate) gateway: Daemon,
    pub(crate) workers: Vec<Daemon>,
    pub(crate) agents: Vec<Agent>,
}

impl Mesh {
    pub(crate) async fn start() -> Result<Self> {
        let gateway = Daemon::gateway("gateway", None)?;
        let (mut workers, mut agents) = (Vec::new(), Vec::new());
        for number in 1..=3 {
            let agent = Agent::start(WORK).await?;
            let name = format!("worker-{number}");
            workers.push(Daemon::worker(&name, &agent, &gateway.url, "")?);
            agents.push(agent);
        }
        gateway.knows(workers.len()).await?;
        Ok(Self {
            gateway,
            workers,
            agents,
        })
    }
}

/// What came of one run.
struct Run {
    sent: usize,
    held: usize,
    under_way: usize,
    failed_twice: usize,
    failed_once: usize,
    /// From the kill to the last answer that says the outcome is unknown.
    told: Duration,
    back: Option<Duration>,
    others: Vec<String>,
}

pub(crate) async fn measure(runs: usize, rate: f64) -> Result<Findings> {
    let mut table = format!(
        "A worker of three is killed at {rate} requests a second, half of which may run twice, and started again 2.5 s \
         later.\n\n| run | requests | failed, may run twice | failed, others | at the worker when it died | last 502 \
         after | used again after it took connections |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    );
    let mut missed = Vec::new();
    for number in 1..=runs {
        let run = crash(rate).await?;
        let back = run
            .back
            .map_or("never".to_owned(), |back| format!("{back:.0?}"));
        table += &format!(
            "| {number} | {} | {} | {} | {} | {:.1?} | {back} |\n",
            run.sent, run.failed_twice, run.failed_once, run.held, run.told
        );
        let mut must = |holds: bool, what: &str| {
            if !holds {
                missed.push(format!("run {number}: {what}"));
            }
        };
        must(run.failed_twice == 0, "failures of what may run twice");
        must(
            run.failed_once <= run.under_way,
            "more failures than requests were there",
        );
        must(run.told <= TOLD, "a 502 later than 5 ms");
        must(
            run.back.is_some_and(|back| back <= BACK),
            "back later than 250 ms",
        );
        must(
            run.others.is_empty(),
            &format!("other failures: {:?}", run.others.first()),
        );
    }
    Ok(Findings { table, missed })
}

async fn crash(rate: f64) -> Result<Run> {
    let mut mesh = Mesh::start().await?;
    let load = Load::on(&mesh.gateway.url, rate);
    sleep(BETWEEN).await;
    let (held, under_way) = (mesh.agents[0].held(), load.under_way());
    let killed = Instant::now();
    mesh.workers[0].kill();
    sleep(BETWEEN).await;
    mesh.workers[0].restart()?;
    let accepts = mesh.workers[0].accepts().await?;
    sleep(BETWEEN).await;
    let outcomes = load.end().await;
    let failed = |twice: bool| {
        let failed = outcomes
            .iter()
            .filter(move |one| !one.is_good() && one.may_run_twice == twice);
        failed.count()
    };
    let is_unknown = |one: &&Outcome| one.status == Some(502);
    let told = outcomes
        .iter()
        .filter(is_unknown)
        .map(|one| one.answered - killed);
    let others = outcomes
        .iter()
        .filter(|one| !one.is_good() && one.status != Some(502));
    let is_back = |one: &&Outcome| one.sent > accepts && one.is_good() && one.ran_by == "worker-1";
    let back = outcomes
        .iter()
        .filter(is_back)
        .map(|one| one.sent - accepts)
        .min();
    Ok(Run {
        sent: outcomes.len(),
        held,
        under_way,
        failed_twice: failed(true),
        failed_once: failed(false),
        told: told.max().unwrap_or_default(),
        back,
        others: others
            .map(|one| format!("{:?} {}", one.status, one.said))
            .collect(),
    })
}
