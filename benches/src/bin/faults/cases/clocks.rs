//! Time that goes wrong: processes that sleep, wall clocks that are years off.

use super::kills::leader_changes;
use crate::daemon::{Daemon, wall};
use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::mesh::{HEAL, Mesh, Stage, convicted, is_whole, one_leader, views, within};
use astromesh_core::api::MeshStatus;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How soon one that slept must be back, in seconds.
const BACK: f64 = 10.0;

/// The leader of eight is stopped for a minute, and goes on.
pub(crate) async fn asleep(stage: Stage) -> Outcome {
    let mut mesh = Mesh::of(&stage, 8).await?;
    let sleeper = mesh.daemons.remove(mesh.leader().await?);
    sleeper.signal("-STOP")?;
    sleep(stage.seconds(60, 40)).await;
    let meanwhile = views(&mesh.daemons)
        .await
        .ok_or("one does not answer".to_owned())?;
    if one_leader(&meanwhile).is_none_or(|leader| leader == sleeper.id) {
        return Err("the others have not replaced the sleeper".to_owned().into());
    }
    let mut found = Findings::default();
    let (awake, stale) = wake(&sleeper).await?;
    mesh.daemons.push(sleeper);
    let daemons = &mesh.daemons;
    let limit = Duration::from_secs_f64(HEAL);
    let (back, more) = tokio::join!(
        within(limit, "back everywhere", async || is_whole(daemons).await),
        stale_answers(&daemons[7], awake),
    );
    found.never("answers that name itself on old news", stale + more);
    found.must("back after", " s", back?.as_secs_f64(), Limit::AtMost(BACK));
    let others = mesh
        .daemons
        .split_last()
        .map_or(&[][..], |(_, others)| others);
    let deaths = others
        .iter()
        .map(|daemon| crate::mesh::count(daemon, "dead", others));
    found.never("deaths among the others", deaths.sum());
    Ok(found)
}

/// Wakes it up while two questions wait at its door; says when, and how many of the answers name it on old news.
async fn wake(sleeper: &Daemon) -> Result<(Instant, usize), Failure> {
    let wakes = async {
        sleep(Duration::from_millis(100)).await;
        sleeper.signal("-CONT").map(|()| Instant::now())
    };
    let (mesh, table, awake) = tokio::join!(sleeper.mesh(), sleeper.table(), wakes);
    let awake = awake?;
    let mesh = mesh.ok_or("it does not answer after it woke up".to_owned())?;
    let table = table.ok_or("it does not answer after it woke up".to_owned())?;
    let stale = usize::from(leads_on_old_news(&mesh, awake));
    Ok((
        awake,
        stale + usize::from(names_on_old_news(&table, &sleeper.id)),
    ))
}

/// Asks it for two seconds more, as fast as it answers.
async fn stale_answers(sleeper: &Daemon, awake: Instant) -> usize {
    let mut stale = 0;
    while awake.elapsed() < Duration::from_secs(2) {
        if let Some(mesh) = sleeper.mesh().await {
            stale += usize::from(leads_on_old_news(&mesh, awake));
        }
        sleep(Duration::from_millis(10)).await;
    }
    stale
}

/// Whether a node names itself leader and has heard of nobody since it woke up.
fn leads_on_old_news(mesh: &MeshStatus, awake: Instant) -> bool {
    let awake_for = awake.elapsed().as_secs_f64();
    let mut others = mesh.members.iter().filter(|member| !member.here);
    let leader = mesh.leader.as_ref().map(|leader| &leader.node_id);
    leader == Some(&mesh.node_id) && others.all(|member| member.silent_seconds > awake_for)
}

/// Whether the table of the node `id` names it leader, and holds nobody else's heartbeat of the last five seconds.
fn names_on_old_news(table: &Value, id: &str) -> bool {
    let records = table["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut others = records.iter().filter(|record| record["node_id"] != id);
    table["leader_id"] == id
        && others.all(|record| record["last_heartbeat"].as_f64() < Some(wall() - 5.0))
}

/// As with right clocks, but how far a wrong one is off is known to a twentieth of a second.
const SUSPECT_ABOUT: Limit = Limit::Within(14.95, 18.05);
const DEAD_ABOUT: Limit = Limit::Within(29.95, 33.05);

/// What a wall clock is told, and how far that must put it ahead, at the least and at the most, in hours.
const CLOCKS: [(&str, f64, f64); 4] = [
    ("-1h", -1.01, -0.99),
    ("+0", -0.01, 0.01),
    ("+1h", 0.99, 1.01),
    ("+10y", 9.9 * 8_766.0, 10.1 * 8_766.0),
];

/// The clocks of eight are an hour slow, right, an hour fast, and ten years fast; then one with a fast clock is killed.
pub(crate) async fn wrong(stage: Stage) -> Outcome {
    let library = library()?;
    let mut mesh = Mesh::with(&stage, 8, |host, mut setup| {
        let offset = CLOCKS[host % CLOCKS.len()].0;
        setup.variables = vec![
            format!("LD_PRELOAD={library}"),
            format!("FAKETIME={offset}"),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        setup
    })
    .await?;
    for (place, daemon) in mesh.daemons.iter().enumerate() {
        let (offset, least, most) = CLOCKS[(place + 1) % CLOCKS.len()];
        if !(least..=most).contains(&(daemon.clock_ahead / 3_600.0)) {
            let ahead = daemon.clock_ahead;
            return Err(format!("a clock told {offset} is {ahead:.1} s ahead").into());
        }
    }
    sleep(stage.seconds(60, 20)).await;
    let mut found = Findings::default();
    found.never("suspicions with all alive", mesh.count("suspect"));
    found.never("changes of leader", leader_changes(&mesh.daemons));
    // That of host 7 is ten years fast.
    let mut victim = mesh.daemons.remove(6);
    victim.kill()?;
    convicted(
        &mesh.daemons,
        &victim,
        (SUSPECT_ABOUT, DEAD_ABOUT),
        &mut found,
    )
    .await?;
    mesh.nobody_died(&mut found);
    Ok(found)
}

/// Where the library lies that shifts a process's clock.
fn library() -> Result<String, Failure> {
    let folders = [
        "x86_64-linux-gnu",
        "aarch64-linux-gnu",
        "arm-linux-gnueabihf",
        ".",
    ];
    let paths = folders.map(|folder| format!("/usr/lib/{folder}/faketime/libfaketime.so.1"));
    let found = paths.into_iter().find(|path| Path::new(path).exists());
    found.ok_or(Failure::NotRun("libfaketime is not installed".to_owned()))
}
