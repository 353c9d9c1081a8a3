//! A network that fails: cut in two, one way, silent, refusing, and losing packets.

use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::mesh::{Mesh, ROUND, Stage, count, sees, views};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const DROP: &str = "DROP";
const REJECT: &str = "REJECT --reject-with tcp-reset";

/// Four of eight on either side.
pub(crate) async fn halves(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    apart(&stage, &mesh, &[1, 2, 3, 4], DROP).await
}

/// One of eight by itself: another in each run, so that it is the seed's turn, and the leader's, too.
pub(crate) async fn one_of_eight(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    apart(&stage, &mesh, &[stage.run % 8 + 1], DROP).await
}

/// The same, but the network says no at once instead of nothing.
pub(crate) async fn refused(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    apart(&stage, &mesh, &[8], REJECT).await
}

/// Cuts these hosts off from the others until each side has buried the other, and heals it.
async fn apart(stage: &Stage, mesh: &Mesh, side: &[usize], target: &str) -> Outcome {
    let other: Vec<_> = (1..=mesh.daemons.len())
        .filter(|host| !side.contains(host))
        .collect();
    mesh.lab.cut(side, &other, target)?;
    let span = stage.seconds(120, 40);
    sleep(span).await;
    let mut found = Findings::default();
    found.say("cut for", " s", span.as_secs_f64());
    for side in [side, &other] {
        sees_itself_alone(mesh, side).await?;
    }
    found.never("taken for gone", mesh.count("left"));
    mesh.heal(&mut found).await?;
    Ok(found)
}

/// Whether those on one side see each other as alive and nobody else, or the cut was none.
async fn sees_itself_alone(mesh: &Mesh, side: &[usize]) -> Result<(), Failure> {
    let views = views(&mesh.daemons)
        .await
        .ok_or("one does not answer".to_owned())?;
    let ids: Vec<_> = side
        .iter()
        .map(|host| mesh.daemons[host - 1].id.as_str())
        .collect();
    for host in side {
        if !sees(&views[host - 1], &ids) {
            return Err(
                format!("host {host} does not see {side:?} as alive, and nobody else").into(),
            );
        }
    }
    Ok(())
}

/// Nothing that one sends comes in at another, in three pairs; the answers pass. Their connections fail both ways.
pub(crate) async fn one_way_packets(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    for (from, at) in [(1, 2), (3, 4), (5, 1)] {
        mesh.lab.hush(from, at, DROP)?;
    }
    endure(&stage, &mesh).await
}

/// Nobody can call host 3, which can call everybody: as behind a firewall.
pub(crate) async fn one_way_in(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    for from in others(3) {
        let from = mesh.lab.address(from);
        mesh.lab
            .rule(3, &format!("-s {from} -p tcp --syn -j DROP"))?;
    }
    break_off(&mesh, 3)?;
    endure(&stage, &mesh).await
}

/// Host 3 can call nobody, and everybody can call it.
pub(crate) async fn one_way_out(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    let from = mesh.lab.address(3);
    for at in others(3) {
        mesh.lab
            .rule(at, &format!("-s {from} -p tcp --syn -j DROP"))?;
    }
    break_off(&mesh, 3)?;
    endure(&stage, &mesh).await
}

fn others(host: usize) -> impl Iterator<Item = usize> {
    (1..=8).filter(move |other| *other != host)
}

/// Ends the connections between a host and the others that are open already: kept ones would pass by the rules.
fn break_off(mesh: &Mesh, host: usize) -> Result<(), Failure> {
    let words = mesh.lab.at(host);
    let mut command = std::process::Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(["ss", "-K", "sport = :8000 or dport = :8000"]);
    let ended = command.output()?;
    if ended.status.success() {
        return Ok(());
    }
    Err(Failure::NotRun(
        "kept connections cannot be ended: `ss -K` fails".to_owned(),
    ))
}

/// Watches what becomes of a mesh that hurts.
async fn endure(stage: &Stage, mesh: &Mesh) -> Outcome {
    sleep(stage.seconds(120, 40)).await;
    let mut found = Findings::default();
    found.must(
        "packets stopped",
        "",
        mesh.lab.stopped()?,
        Limit::AtLeast(10.0),
    );
    mesh.nobody_died(&mut found);
    mesh.heal(&mut found).await?;
    Ok(found)
}

/// Five of a hundred packets are lost.
pub(crate) async fn loss_of_5(stage: Stage) -> Outcome {
    loss(stage, 5).await
}

/// Thirty of a hundred packets are lost.
pub(crate) async fn loss_of_30(stage: Stage) -> Outcome {
    loss(stage, 30).await
}

async fn loss(stage: Stage, percent: u32) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    mesh.lab.lose(percent)?;
    endure(&stage, &mesh).await
}

/// Three of eight swallow all that is sent to them, and send nothing. The rounds of the other five go on.
pub(crate) async fn black_hole(stage: Stage) -> Outcome {
    const HOLES: RangeInclusive<usize> = 6..=8;
    let mesh = Mesh::of(&stage, 8).await?;
    for hole in HOLES {
        let others: Vec<_> = (1..=8).filter(|host| *host != hole).collect();
        mesh.lab.cut(&[hole], &others, DROP)?;
    }
    let mut found = Findings::default();
    let gap = longest_gap(&mesh, stage.seconds(120, 40)).await?;
    found.must(
        "longest pause between rounds",
        " s",
        gap,
        Limit::AtMost(ROUND + 1.0),
    );
    let five = &mesh.daemons[..5];
    let among = |kind| five.iter().map(|daemon| count(daemon, kind, five)).sum();
    found.never("suspicions among the five", among("suspect"));
    found.never("deaths among the five", among("dead"));
    sees_itself_alone(&mesh, &[1, 2, 3, 4, 5]).await?;
    mesh.heal(&mut found).await?;
    Ok(found)
}

/// Watches the five for that long: the longest that one of them went without a heartbeat of its own.
async fn longest_gap(mesh: &Mesh, span: Duration) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut last = vec![(0.0, begun); 5];
    let mut gap = Duration::ZERO;
    while begun.elapsed() < span {
        for (daemon, last) in mesh.daemons.iter().zip(&mut last) {
            let record = daemon.record(&daemon.id).await;
            let heartbeat = record.and_then(|record| record["last_heartbeat"].as_f64());
            let heartbeat = heartbeat.ok_or_else(|| format!("{} does not answer", daemon.name))?;
            gap = gap.max(last.1.elapsed());
            if heartbeat > last.0 {
                *last = (heartbeat, Instant::now());
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(gap.as_secs_f64())
}
