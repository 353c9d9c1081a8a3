//! Fifty daemons on one machine: what each costs, beside Debian's `serf`, and how soon they know with short timers.

use super::boots::free_port;
use crate::daemon::{Daemon, Setup};
use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::lab::Lab;
use crate::mesh::{Mesh, Stage, convicted, is_whole, settle, within};
use crate::usage;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const N: usize = 50;

/// Fifty with default settings, on loopback addresses: the memory and the processor time of each, once they have settled.
pub(crate) async fn cost(stage: Stage) -> Outcome {
    let daemons = start(&stage).await?;
    let mut found = Findings::default();
    let agents = match Serf::start().await {
        Ok(serf) => serf.0,
        Err(Failure::NotRun(why)) => {
            found.remark(format!("serf: not run, {why}"));
            Vec::new()
        }
        Err(failure) => return Err(failure),
    };
    let ours: Vec<_> = daemons.iter().map(Daemon::pid).collect();
    let theirs: Vec<_> = agents.iter().map(|agent| agent.0.id()).collect();
    sleep(Duration::from_secs(15)).await;
    let (ours, theirs) = usages(&ours, &theirs, stage.seconds(60, 20)).await?;
    let (rss, cpu) = (Limit::AtMost(8.0), Limit::AtMost(0.1));
    found.aim("RSS, mean", " MiB", ours.rss_mib, rss);
    found.aim("RSS, most", " MiB", ours.most_rss_mib, rss);
    found.say("of it its own, mean", " MiB", ours.own_mib);
    found.aim("CPU, mean", " % of a core", ours.processor_percent, cpu);
    if !theirs.is_empty() {
        found.say("serf: RSS, mean", " MiB", theirs.rss_mib);
        found.say("serf: of it its own, mean", " MiB", theirs.own_mib);
        found.say("serf: CPU, mean", " % of a core", theirs.processor_percent);
    }
    Ok(found)
}

/// Starts them, each on an address of its own, and waits until all see all. Nobody follows their events.
async fn start(stage: &Stage) -> Result<Vec<Daemon>, Failure> {
    let hosts: Vec<_> = (1..=N).map(|n| format!("127.0.1.{n}")).collect();
    let names: Vec<_> = hosts.iter().map(String::as_str).collect();
    let port = free_port(&names)?;
    let seed = format!("http://{}:{port}", hosts[0]);
    let mut daemons = Vec::new();
    for (n, host) in hosts.iter().enumerate() {
        let setup = Setup {
            name: format!("node-{}", n + 1),
            host: host.clone(),
            port,
            api: format!("host: {host}, port: {port}"),
            seeds: if n == 0 {
                Vec::new()
            } else {
                vec![seed.clone()]
            },
            in_peace: true,
            ..Setup::default()
        };
        daemons.push(Daemon::start(&stage.program, &setup).await?);
    }
    within(Duration::from_secs(60), "all fifty see all", async || {
        is_whole(&daemons).await
    })
    .await?;
    Ok(daemons)
}

/// What processes took, each, on the average.
#[derive(Default)]
struct Usage {
    rss_mib: f64,
    most_rss_mib: f64,
    /// What of the first is shared with nobody.
    own_mib: f64,
    processor_percent: f64,
    count: usize,
}

impl Usage {
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Watches both kinds for the same span.
async fn usages(ours: &[u32], theirs: &[u32], span: Duration) -> Result<(Usage, Usage), Failure> {
    let (ours_before, theirs_before) = (seconds(ours)?, seconds(theirs)?);
    let begun = Instant::now();
    sleep(span).await;
    let elapsed = begun.elapsed().as_secs_f64();
    let (ours_took, theirs_took) = (
        seconds(ours)? - ours_before,
        seconds(theirs)? - theirs_before,
    );
    Ok((
        usage(ours, ours_took / elapsed)?,
        usage(theirs, theirs_took / elapsed)?,
    ))
}

fn seconds(pids: &[u32]) -> Result<f64, Failure> {
    pids.iter().map(|pid| usage::processor_seconds(*pid)).sum()
}

fn usage(pids: &[u32], cores: f64) -> Result<Usage, Failure> {
    if pids.is_empty() {
        return Ok(Usage::default());
    }
    let rss: Result<Vec<_>, _> = pids.iter().map(|pid| usage::rss_mib(*pid)).collect();
    let rss = rss?;
    let own: Result<f64, _> = pids.iter().map(|pid| usage::own_mib(*pid)).sum();
    let count = pids.len();
    Ok(Usage {
        rss_mib: rss.iter().sum::<f64>() / count as f64,
        most_rss_mib: rss.iter().copied().fold(0.0, f64::max),
        own_mib: own? / count as f64,
        processor_percent: 100.0 * cores / count as f64,
        count,
    })
}

/// Agents of `serf`, in a cluster of their own.
struct Serf(Vec<Agent>);

/// One of them; killed when this is dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Serf {
    async fn start() -> Result<Self, Failure> {
        if !Path::new("/usr/bin/serf").exists() {
            return Err(Failure::NotRun("it is not installed".to_owned()));
        }
        let hosts: Vec<_> = (1..=N).map(|n| format!("127.0.2.{n}")).collect();
        let names: Vec<_> = hosts.iter().map(String::as_str).collect();
        let (gossip, rpc) = (free_port(&names)?, free_port(&names)?);
        let mut serf = Self(Vec::new());
        for host in &hosts {
            serf.0.push(agent(host, gossip, rpc, &hosts[0])?);
            if serf.0.len() == 1 {
                Self::sees(1, host, rpc).await?;
            }
        }
        for host in hosts.iter().step_by(7) {
            Self::sees(N, host, rpc).await?;
        }
        Ok(serf)
    }

    /// Waits until that agent sees so many alive.
    async fn sees(count: usize, host: &str, rpc: u16) -> Result<(), Failure> {
        within(Duration::from_secs(60), "serf's agents meet", async || {
            let mut members = Command::new("serf");
            let members = members.args(["members", "-status=alive"]);
            let members = members.arg(format!("-rpc-addr={host}:{rpc}")).output();
            members.is_ok_and(|members| {
                members.stdout.split(|byte| *byte == b'\n').count() == count + 1
            })
        })
        .await?;
        Ok(())
    }
}

fn agent(host: &str, gossip: u16, rpc: u16, first: &str) -> Result<Agent, Failure> {
    let mut command = Command::new("serf");
    command.args(["agent", "-profile=lan", "-log-level=err"]);
    command.arg(format!("-node={host}"));
    command.arg(format!("-bind={host}:{gossip}"));
    command.arg(format!("-rpc-addr={host}:{rpc}"));
    if host != first {
        command.arg(format!("-join={first}:{gossip}"));
    }
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(Agent(command.stderr(Stdio::null()).spawn()?))
}

/// Fifty with short timers: one is killed; then five of a hundred packets are lost.
pub(crate) async fn short_timers(stage: Stage) -> Outcome {
    let mut mesh = Mesh {
        daemons: Vec::new(),
        lab: Lab::open(1)?,
    };
    let seed = format!("http://{}:8000", mesh.lab.address(11));
    for number in 11..11 + N {
        mesh.lab.add_address(1, number)?;
        let host = mesh.lab.address(number);
        let setup = Setup {
            name: format!("node-{number}"),
            api: format!("host: {host}, port: 8000"),
            host,
            port: 8000,
            mesh: "gossip_interval: 0.5, failure_timeout: 3, dead_timeout: 6".to_owned(),
            seeds: if number == 11 {
                Vec::new()
            } else {
                vec![seed.clone()]
            },
            place: mesh.lab.at(1),
            ..Setup::default()
        };
        mesh.daemons
            .push(Daemon::start(&stage.program, &setup).await?);
    }
    settle(&mesh.daemons).await?;
    mesh.begin_anew();
    let mut found = Findings::default();
    let mut victim = mesh.daemons.swap_remove(0);
    victim.kill()?;
    let limits = (Limit::Any, Limit::AtMost(7.5));
    convicted(&mesh.daemons, &victim, limits, &mut found).await?;
    // What these daemons say to each other never leaves their host.
    mesh.lab.rule(
        1,
        "-i lo -m statistic --mode random --probability 0.05 -j DROP",
    )?;
    sleep(stage.seconds(120, 30)).await;
    found.must(
        "packets stopped",
        "",
        mesh.lab.stopped()?,
        Limit::AtLeast(10.0),
    );
    mesh.nobody_died(&mut found);
    Ok(found)
}
