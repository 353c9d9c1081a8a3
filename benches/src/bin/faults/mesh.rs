//! Several daemons that are to be one mesh, and what they say of each other.

use super::daemon::{Daemon, Setup, wall};
use super::findings::{Failure, Findings, Limit};
use super::lab::Lab;
use astromesh_core::api::{MeshEvent, MeshStatus};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// One round with default settings, in seconds.
pub(crate) const ROUND: f64 = 2.0;

/// How long a mesh may take to become one, after whatever there was is over, in seconds.
pub(crate) const HEAL: f64 = 30.0;

/// Longer than a mesh takes to settle: until the greatest id has stayed for `stable_after` and leads.
const SETTLE: Duration = Duration::from_secs(60);

/// What a case is given.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// The daemon's program.
    pub(crate) program: PathBuf,
    /// Whether it is to be short.
    pub(crate) is_slice: bool,
    /// Which of several runs this is, from 0.
    pub(crate) run: usize,
}

impl Stage {
    /// That many seconds, or fewer in a slice.
    pub(crate) fn seconds(&self, full: u64, slice: u64) -> Duration {
        Duration::from_secs(if self.is_slice { slice } else { full })
    }
}

/// The daemons, and the lab that they are in.
pub(crate) struct Mesh {
    // The daemons go first, or their namespaces would outlive the names.
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) lab: Lab,
}

impl Mesh {
    /// So many daemons, each on a host of its own, the first of which is the seed of the others; they have settled.
    pub(crate) async fn of(stage: &Stage, hosts: usize) -> Result<Self, Failure> {
        Self::with(stage, hosts, |_, setup| setup).await
    }

    /// The same, with something about the setup of a host changed.
    pub(crate) async fn with(
        stage: &Stage,
        hosts: usize,
        change: impl Fn(usize, Setup) -> Setup,
    ) -> Result<Self, Failure> {
        let lab = Lab::open(hosts)?;
        let mut mesh = Self {
            daemons: Vec::new(),
            lab,
        };
        for host in 1..=hosts {
            let setup = change(host, mesh.setup(host));
            mesh.daemons
                .push(Daemon::start(&stage.program, &setup).await?);
        }
        settle(&mesh.daemons).await?;
        mesh.begin_anew();
        Ok(mesh)
    }

    /// A daemon on that host, as in containers: it listens everywhere on the default port and knows the seed's address.
    fn setup(&self, host: usize) -> Setup {
        let seed = format!("http://{}:8000", self.lab.address(1));
        Setup {
            name: format!("node-{host}"),
            host: self.lab.address(host),
            port: 8000,
            seeds: if host == 1 { Vec::new() } else { vec![seed] },
            place: self.lab.at(host),
            ..Setup::default()
        }
    }

    /// Forgets all that has happened so far.
    pub(crate) fn begin_anew(&self) {
        self.daemons.iter().for_each(Daemon::begin_anew);
    }

    /// The place of the daemon that all name leader.
    pub(crate) async fn leader(&self) -> Result<usize, Failure> {
        let views = views(&self.daemons)
            .await
            .ok_or("one does not answer".to_owned())?;
        let leader = one_leader(&views).ok_or("there is not one leader".to_owned())?;
        let place = self.daemons.iter().position(|daemon| daemon.id == leader);
        place.ok_or_else(|| format!("the leader {leader} is none of these").into())
    }

    /// Takes all that hurts away, and notes how long it takes until they are one mesh again, and whether that lasts.
    pub(crate) async fn heal(&self, found: &mut Findings) -> Result<(), Failure> {
        self.lab.heal()?;
        let limit = Duration::from_secs_f64(2.0 * HEAL);
        let took = within(limit, "one mesh with one leader", async || {
            is_whole(&self.daemons).await
        })
        .await?;
        found.must(
            "one mesh after",
            " s",
            took.as_secs_f64(),
            Limit::AtMost(HEAL),
        );
        throughout(Duration::from_secs(5), "still one mesh", async || {
            is_whole(&self.daemons).await
        })
        .await
    }

    /// How often any of them called another of them dead, or suspect, or gone, since they began anew.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.daemons
            .iter()
            .map(|daemon| count(daemon, kind, &self.daemons))
            .sum()
    }

    /// Notes that nobody was called dead or taken for gone, and how many were suspected.
    pub(crate) fn nobody_died(&self, found: &mut Findings) {
        found.never("false deaths", self.count("dead"));
        found.never("taken for gone", self.count("left"));
        found.say("suspicions", "", self.count("suspect") as f64);
    }
}

/// How often that daemon told an event of that kind about one of these.
pub(crate) fn count(daemon: &Daemon, kind: &str, about: &[Daemon]) -> usize {
    let events = daemon.events();
    let about = |event: &&MeshEvent| about.iter().any(|one| one.id == event.node_id);
    events
        .iter()
        .filter(|event| event.kind == kind)
        .filter(about)
        .count()
}

/// What each of them sees; `None` where one does not answer.
pub(crate) async fn views(daemons: &[Daemon]) -> Option<Vec<MeshStatus>> {
    let mut views = Vec::new();
    for daemon in daemons {
        views.push(daemon.mesh().await?);
    }
    Some(views)
}

/// The leader, where all of them name the same.
pub(crate) fn one_leader(views: &[MeshStatus]) -> Option<&str> {
    let mut named = views.iter().map(|view| view.leader.as_ref());
    let first = named.next()??;
    let is_first = |leader: &&str| {
        views.iter().all(|view| {
            view.leader
                .as_ref()
                .is_some_and(|named| named.node_id == *leader)
        })
    };
    Some(first.node_id.as_str()).filter(is_first)
}

/// Whether that view has exactly these as alive; others may be dead.
pub(crate) fn sees(view: &MeshStatus, ids: &[&str]) -> bool {
    let alive = view
        .members
        .iter()
        .filter(|member| member.status == "alive");
    let mut alive: Vec<_> = alive.map(|member| member.node_id.as_str()).collect();
    let mut expected = ids.to_vec();
    alive.sort_unstable();
    expected.sort_unstable();
    alive == expected && view.members.iter().all(|member| member.status != "suspect")
}

/// Whether all see exactly these daemons as alive, nobody as suspect, and name one leader, which is one of them.
pub(crate) async fn is_whole(daemons: &[Daemon]) -> bool {
    let Some(views) = views(daemons).await else {
        return false;
    };
    let ids: Vec<_> = daemons.iter().map(|daemon| daemon.id.as_str()).collect();
    let leader = one_leader(&views);
    views.iter().all(|view| sees(view, &ids)) && leader.is_some_and(|leader| ids.contains(&leader))
}

/// Waits until they are one mesh that the greatest id leads, as it will stay. Heartbeats have a pace then, too.
pub(crate) async fn settle(daemons: &[Daemon]) -> Result<(), Failure> {
    let greatest = daemons.iter().map(|daemon| daemon.id.as_str()).max();
    let settled = within(SETTLE, "one mesh that the greatest id leads", async || {
        let views = views(daemons).await;
        views.is_some_and(|views| one_leader(&views) == greatest) && is_whole(daemons).await
    })
    .await;
    match settled {
        Err(Failure::Missed(why)) => Err(format!("{why}; {}", tally(daemons).await).into()),
        settled => settled.map(drop),
    }
}

/// What each sees, in a few words.
async fn tally(daemons: &[Daemon]) -> String {
    let mut tally = Vec::new();
    for daemon in daemons {
        tally.push(match daemon.mesh().await {
            None => format!("{} does not answer", daemon.name),
            Some(mesh) => {
                let alive = mesh
                    .members
                    .iter()
                    .filter(|member| member.status == "alive");
                let leader = mesh
                    .leader
                    .map_or("nobody".to_owned(), |leader| leader.name);
                format!(
                    "{} sees {} alive and {leader} lead",
                    daemon.name,
                    alive.count()
                )
            }
        });
    }
    tally.join(", ")
}

/// Waits until `holds`; returns how long it did not hold for sure: zero where it did at the first look.
pub(crate) async fn within(
    limit: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    loop {
        // How late it is, is read before asking: what held when the question was put held in time.
        let taken = begun.elapsed();
        if holds().await {
            return Ok(taken);
        }
        if taken >= limit {
            return Err(format!("not within {} s: {what}", limit.as_secs_f64()).into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Looks again and again for that long; fails where it does not hold.
pub(crate) async fn throughout(
    span: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < span {
        if !holds().await {
            let after = begun.elapsed().as_secs_f64();
            return Err(format!("no longer after {after:.1} s: {what}").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// When each of these first called that member so; `None` for those who did not yet.
pub(crate) fn first(daemons: &[Daemon], kind: &str, id: &str) -> Vec<Option<f64>> {
    let first = |daemon: &Daemon| {
        let events = daemon.events();
        let it = events
            .iter()
            .find(|event| event.kind == kind && event.node_id == id);
        it.map(|event| event.at)
    };
    daemons.iter().map(first).collect()
}

/// Waits until all of these have called that member dead, and notes when they did so, counted from its last heartbeat,
/// with what the timeouts allow. The member's clock was ahead by so much. Returns when the last called it dead.
pub(crate) async fn convicted(
    daemons: &[Daemon],
    victim: &Daemon,
    (suspect, dead): (Limit, Limit),
    found: &mut Findings,
) -> Result<f64, Failure> {
    let all_say = |kind: &str| first(daemons, kind, &victim.id).iter().all(Option::is_some);
    within(Duration::from_secs(45), "dead everywhere", async || {
        all_say("dead")
    })
    .await?;
    let last = last_heartbeat(daemons, victim).await?;
    for at in first(daemons, "suspect", &victim.id) {
        let at = at.ok_or("dead without having been suspect".to_owned())?;
        found.must("suspect after", " s", between(last, at), suspect);
    }
    let mut latest = f64::MIN;
    for at in first(daemons, "dead", &victim.id).into_iter().flatten() {
        found.must("dead after", " s", between(last, at), dead);
        latest = latest.max(at);
    }
    let changed = daemons
        .iter()
        .map(|daemon| count(daemon, "alive", std::slice::from_ref(victim)));
    found.never("changes of mind", changed.sum());
    Ok(latest)
}

/// The seconds between two stamps of whole milliseconds: as the floating numbers that they come as, their difference is a
/// little off.
fn between(before: f64, after: f64) -> f64 {
    ((after - before) * 1_000.0).round() / 1_000.0
}

/// The last heartbeat that any of these knows of, by this machine's clock.
async fn last_heartbeat(daemons: &[Daemon], victim: &Daemon) -> Result<f64, Failure> {
    let mut last = f64::MIN;
    for daemon in daemons {
        let record = daemon.record(&victim.id).await;
        let heartbeat = record.and_then(|record| record["last_heartbeat"].as_f64());
        last = last.max(heartbeat.ok_or_else(|| format!("{} has no such row", daemon.name))?);
    }
    let last = last - victim.clock_ahead;
    if wall() - last > 50.0 {
        return Err(format!("its last heartbeat was {:.0} s ago", wall() - last).into());
    }
    Ok(last)
}

/// The folder where programs that were built with the daemon lie.
pub(crate) fn sibling(program: &Path, name: &str) -> PathBuf {
    program.with_file_name(name)
}
