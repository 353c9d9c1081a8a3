//! Daemons that have hardly anything: processor time, file descriptors, memory, room on the disk, a disk to write to.

use crate::cgroup::Cgroup;
use crate::daemon::Setup;
use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::mesh::{Mesh, Stage, count};
use crate::usage;
use std::net::TcpStream;
use std::time::Duration;
use tokio::time::sleep;

/// The host that has hardly anything.
const POOR: usize = 8;

/// A daemon without something: it starts and serves, or refuses with a message that says why.
async fn serves(
    stage: &Stage,
    poorer: impl Fn(Setup) -> Setup,
) -> Result<(Mesh, Findings), Failure> {
    let change = |host, setup| if host == POOR { poorer(setup) } else { setup };
    let mesh = Mesh::with(stage, 8, change).await?;
    sleep(stage.seconds(60, 15)).await;
    let mut found = Findings::default();
    for _ in 0..50 {
        mesh.daemons[POOR - 1].serves().await?;
    }
    found.remark("it starts, meets the others and serves");
    found.never("suspicions of anybody", mesh.count("suspect"));
    mesh.nobody_died(&mut found);
    Ok((mesh, found))
}

/// It shares 5 % of a processor with a process that takes all it can get.
pub(crate) async fn processor(stage: Stage) -> Outcome {
    let group = Cgroup::with_processor_percent(5)?;
    let mesh = Mesh::of(&stage, 8).await?;
    let starved = &mesh.daemons[POOR - 1];
    group.take(starved.pid())?;
    let busy = group.busy()?;
    sleep(stage.seconds(120, 45)).await;
    let mut found = Findings::default();
    let throttled = group.throttled()?;
    found.must(
        "times it had to wait for its share",
        "",
        throttled,
        Limit::AtLeast(100.0),
    );
    found.never(
        "convicted by the starved one",
        count(starved, "dead", &mesh.daemons),
    );
    mesh.nobody_died(&mut found);
    drop(busy);
    mesh.heal(&mut found).await?;
    Ok(found)
}

/// All of them may open 64 files; then somebody holds a hundred connections to one of them open and says nothing.
pub(crate) async fn files(stage: Stage) -> Outcome {
    let script = "ulimit -n 64 && exec \"$@\"";
    let mesh = Mesh::with(&stage, 8, |_, mut setup| {
        setup.script = Some(script.to_owned());
        setup
    })
    .await?;
    let mut found = Findings::default();
    for daemon in &mesh.daemons {
        let most = usage::most_files(daemon.pid())?;
        found.must("files each may open", "", most, Limit::Within(64.0, 64.0));
    }
    sleep(stage.seconds(60, 15)).await;
    found.never("suspicions in peace", mesh.count("suspect"));
    let address = format!("{}:8000", mesh.lab.address(POOR));
    let address = address.parse().expect("numbers make an address");
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect_timeout(&address, Duration::from_secs(2)));
    }
    // Time to take them all.
    sleep(Duration::from_secs(1)).await;
    found.say(
        "files it had open then",
        "",
        usage::files(mesh.daemons[POOR - 1].pid())?,
    );
    sleep(stage.seconds(60, 15)).await;
    drop(held);
    mesh.nobody_died(&mut found);
    mesh.heal(&mut found).await?;
    mesh.daemons[POOR - 1].serves().await?;
    Ok(found)
}

/// It may have 64 MiB of memory, its program's pages among them.
pub(crate) async fn memory(stage: Stage) -> Outcome {
    let group = Cgroup::with_memory_mib(64)?;
    let into_group = ["sh", "-c", &group.script(), "sh"].map(str::to_owned);
    let (mesh, mut found) = serves(&stage, |mut setup| {
        // Before it is in its namespace, where the groups are not to be seen.
        setup.place.splice(0..0, into_group.clone());
        setup
    })
    .await?;
    let rss = usage::rss_mib(mesh.daemons[POOR - 1].pid())?;
    found.say("RSS", " MiB", rss);
    Ok(found)
}

/// Its folder, with its log in it, is on a disk without a byte to spare.
pub(crate) async fn full_disk(stage: Stage) -> Outcome {
    let script = "here=$(pwd) && cp runtime.yaml /dev/shm/$$ && mount -t tmpfs -o size=64k none \"$here\" \
        && cd \"$here\" && mv /dev/shm/$$ runtime.yaml && : >log || exit 97; \
        cat /dev/zero >full 2>/dev/null; echo x 2>/dev/null >>log && [ -s log ] && exit 97; \
        exec \"$@\" 2>>log";
    let (_, found) = serves(&stage, |setup| in_own_mounts(setup, script)).await?;
    Ok(found)
}

/// It can write nowhere.
pub(crate) async fn read_only(stage: Stage) -> Outcome {
    let script = "for place in / /tmp /var/tmp /dev/shm \"$(pwd)\"; do \
        mount -o bind \"$place\" \"$place\" 2>/dev/null; mount -o remount,bind,ro \"$place\"; done || exit 97; \
        cd \"$(pwd)\"; touch here 2>/dev/null && exit 97; touch /here 2>/dev/null && exit 97; exec \"$@\"";
    let (_, found) = serves(&stage, |setup| in_own_mounts(setup, script)).await?;
    Ok(found)
}

/// The script, where what it mounts is seen by nobody else.
fn in_own_mounts(mut setup: Setup, script: &str) -> Setup {
    setup.place.extend(["unshare", "-m"].map(str::to_owned));
    setup.script = Some(script.to_owned());
    setup
}
