//! Daemons that end: killed hard, told to stop, told to leave.

use crate::daemon::Daemon;
use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::mesh::{Mesh, Stage, convicted, count, one_leader, sibling, views, within};
use std::process::Command;
use std::time::Duration;
use tokio::time::sleep;

/// With default settings, in seconds since the last heartbeat.
pub(crate) const SUSPECT: Limit = Limit::Within(15.0, 18.0);
pub(crate) const DEAD: Limit = Limit::Within(30.0, 33.0);

/// How long a leader may be missing after the last survivor called it dead, in seconds.
const LEADERLESS: Limit = Limit::AtMost(2.0);

/// How long one that leaves may stand in a table: a round, and a little.
const GONE: f64 = 2.5;

/// One of eight is killed with SIGKILL, and it leads.
pub(crate) async fn leader(stage: Stage) -> Outcome {
    let mut mesh = Mesh::of(&stage, 8).await?;
    let mut victim = mesh.daemons.remove(mesh.leader().await?);
    victim.kill()?;
    let mut found = Findings::default();
    let dead = convicted(&mesh.daemons, &victim, (SUSPECT, DEAD), &mut found).await?;
    within(
        Duration::from_secs(20),
        "all name another leader",
        async || {
            let views = views(&mesh.daemons).await;
            views.is_some_and(|views| one_leader(&views).is_some_and(|leader| leader != victim.id))
        },
    )
    .await?;
    for daemon in &mesh.daemons {
        let lag = last_change(daemon)? - dead;
        found.must("new leader after", " s", lag.max(0.0), LEADERLESS);
    }
    mesh.nobody_died(&mut found);
    Ok(found)
}

/// When that daemon took somebody else for the leader the last time.
fn last_change(daemon: &Daemon) -> Result<f64, Failure> {
    let events = daemon.events();
    let last = events.iter().rfind(|event| event.kind == "leader");
    Ok(last.ok_or("no new leader".to_owned())?.at)
}

/// One of eight is killed with SIGKILL, the seed or another, and it does not lead.
pub(crate) async fn other(stage: Stage) -> Outcome {
    let mut mesh = Mesh::of(&stage, 8).await?;
    let leader = mesh.leader().await?;
    let mut victim = mesh.daemons.remove(if leader == 0 { 1 } else { 0 });
    victim.kill()?;
    let mut found = Findings::default();
    convicted(&mesh.daemons, &victim, (SUSPECT, DEAD), &mut found).await?;
    found.never("changes of leader", leader_changes(&mesh.daemons));
    mesh.nobody_died(&mut found);
    Ok(found)
}

/// How often any of these took somebody else for the leader.
pub(crate) fn leader_changes(daemons: &[Daemon]) -> usize {
    let changes = |daemon: &Daemon| {
        let events = daemon.events();
        events.iter().filter(|event| event.kind == "leader").count()
    };
    daemons.iter().map(changes).sum()
}

/// One of eight is told to stop.
pub(crate) async fn terminated(stage: Stage) -> Outcome {
    let mut mesh = Mesh::of(&stage, 8).await?;
    let mut victim = mesh.daemons.remove(stage.run % 8);
    let mut found = Findings::default();
    victim.signal("-TERM")?;
    gone(&mesh.daemons, &victim, &mut found).await?;
    within(Duration::from_secs(30), "it ends", async || {
        !matches!(victim.end(), Ok(None))
    })
    .await?;
    let code = victim.end()?.and_then(|status| status.code());
    found.must(
        "exit code",
        "",
        code.map_or(f64::NAN, f64::from),
        Limit::Within(0.0, 0.0),
    );
    stays_away(&stage, &mesh, &victim, &mut found).await?;
    Ok(found)
}

/// One of eight is told to leave with `astromeshctl` on its own host; a call that does nothing must say so.
pub(crate) async fn leaver(stage: Stage) -> Outcome {
    let mut mesh = Mesh::of(&stage, 8).await?;
    let leaver = mesh.daemons.remove(6);
    let mut found = Findings::default();
    let ctl = |daemon: &Daemon| ctl_leave(&stage, &mesh, daemon);
    found.must(
        "exit code of `mesh leave`",
        "",
        ctl(&leaver)?,
        Limit::Within(0.0, 0.0),
    );
    gone(&mesh.daemons, &leaver, &mut found).await?;
    stays_away(&stage, &mesh, &leaver, &mut found).await?;
    // It answers still: the process lives on.
    leaver
        .status()
        .await
        .ok_or("the leaver does not answer".to_owned())?;
    drop(leaver);
    let mut killed = mesh.daemons.remove(0);
    killed.kill()?;
    let code = ctl_leave(&stage, &mesh, &killed)?;
    found.must(
        "exit code where nobody is",
        "",
        code,
        Limit::Within(3.0, 3.0),
    );
    Ok(found)
}

/// `astromeshctl mesh leave`, said on the daemon's own host; the exit code.
fn ctl_leave(stage: &Stage, mesh: &Mesh, daemon: &Daemon) -> Result<f64, Failure> {
    let host: usize = daemon.name.trim_start_matches("node-").parse().unwrap_or(1);
    let program = sibling(&stage.program, "astromeshctl");
    if !program.exists() {
        return Err(format!("there is no {}", program.display()).into());
    }
    let words = mesh.lab.at(host);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program);
    let output = command
        .args(["--url", daemon.url.as_str(), "mesh", "leave"])
        .output()?;
    Ok(output.status.code().map_or(f64::NAN, f64::from))
}

/// Waits until no table has it, and notes how long that took.
async fn gone(others: &[Daemon], leaver: &Daemon, found: &mut Findings) -> Result<(), Failure> {
    let took = within(Duration::from_secs(20), "out of all tables", async || {
        for daemon in others {
            if daemon.record(&leaver.id).await.is_some() {
                return false;
            }
        }
        true
    })
    .await?;
    let took = took.as_secs_f64();
    found.must("out of all tables after", " s", took, Limit::AtMost(GONE));
    Ok(())
}

/// Watches for longer than a dead row is kept, and notes whether it came back.
async fn stays_away(
    stage: &Stage,
    mesh: &Mesh,
    leaver: &Daemon,
    found: &mut Findings,
) -> Result<(), Failure> {
    sleep(stage.seconds(100, 20)).await;
    let leaver = std::slice::from_ref(leaver);
    let back = mesh
        .daemons
        .iter()
        .map(|daemon| count(daemon, "joined", leaver));
    found.never("came back", back.sum());
    let mut rows = 0;
    for daemon in &mesh.daemons {
        rows += usize::from(daemon.record(&leaver[0].id).await.is_some());
    }
    found.never("rows of it in the end", rows);
    mesh.nobody_died(found);
    Ok(())
}
