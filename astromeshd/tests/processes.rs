//! The mesh on real processes: killed, stopped, cut off, told to go, and left in peace.
//!
//! The harness takes tests by name, as many at a time as there are cores. The two that wait longest have names that come
//! early, so that the others run beside them. With `--nocapture` each says what it measured.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stderr,
    reason = "what was measured, for those who ask to see it"
)]

mod stage;

use astromesh_core::api::MeshStatus;
use serde_json::Value;
use stage::lab::Lab;
use stage::load::Load;
use stage::{
    PATIENCE, Process, all_alive, free_port, member, met, one_leader, program, spec, throughout,
    wall, within,
};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// One round of the mesh with default settings.
const DEFAULT_ROUND: f64 = 2.0;

/// Mesh settings that come to their conclusions ten times sooner than the defaults.
const QUICK: &str = "gossip_interval: 0.2, heartbeat_interval: 0.5, failure_timeout: 1.5, dead_timeout: 3, stable_after: 1";

/// One round of such a mesh.
const QUICK_ROUND: Duration = Duration::from_millis(200);

/// How much later than it happened a change may be seen: a look every 50 ms, and the answer's way on a busy machine.
const SLACK: f64 = 0.25;

/// A node that runs no agent itself.
const GATEWAY: &str = "agents: false, inference: false, memory: false, tools: false, rag: false";

/// A node on 127.0.0.1.
async fn node(name: &str, services: &str, mesh: &str, seeds: &[&Process]) -> Process {
    let host = "127.0.0.1";
    node_at(host, free_port(&[host]), name, services, mesh, seeds).await
}

async fn node_at(
    host: &str,
    port: u16,
    name: &str,
    services: &str,
    mesh: &str,
    seeds: &[&Process],
) -> Process {
    let seeds: Vec<_> = seeds.iter().map(|seed| &seed.url).collect();
    let api = format!("host: {host}, port: {port}");
    let spec = spec(name, &api, services, mesh, &seeds);
    Process::start(program(), name, &format!("http://{host}:{port}"), &spec).await
}

/// A gateway, and that many workers that joined through it.
async fn gateway_and_workers(workers: usize, mesh: &str) -> Vec<Process> {
    let mut nodes = vec![node("gateway", GATEWAY, mesh, &[]).await];
    for number in 1..=workers {
        let name = format!("worker-{number}");
        nodes.push(node(&name, "", mesh, &[&nodes[0]]).await);
    }
    met(&nodes).await;
    nodes
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two meshes beside each other, for both do little but wait.
#[tokio::test]
async fn a_minute_with_default_settings_convicts_the_killed_in_time_and_nobody_else() {
    tokio::join!(
        a_killed_worker_is_suspect_then_dead_and_costs_no_request(),
        three_loopback_addresses_with_an_open_bind_stay_one_mesh(),
    );
}

async fn a_killed_worker_is_suspect_then_dead_and_costs_no_request() {
    let mut nodes = gateway_and_workers(2, "").await;
    let mut victim = nodes.pop().unwrap();
    let id = victim.id().await;
    let load = Load::on(&nodes[0]);
    is_used(&victim).await;
    within(PATIENCE, "its heartbeat has a pace", async || {
        victim.uptime().await > 3.5 * DEFAULT_ROUND
    })
    .await;

    let nothing_under_way = load.pause().await;
    victim.kill();
    let killed = wall();
    drop(nothing_under_way);

    let falls = falls(&nodes, &id).await;
    let outcome = load.end().await;
    for (node, fall) in nodes.iter().zip(&falls) {
        let since = |moment: f64| moment - fall.last_heartbeat;
        let (killed, suspect, dead) = (since(killed), since(fall.suspect), since(fall.dead));
        eprintln!(
            "{}: killed {killed:.2} s after its last heartbeat, suspect {suspect:.2} s, dead {dead:.2} s",
            node.name
        );
        assert!((0.0..=DEFAULT_ROUND + SLACK).contains(&killed), "{killed}");
        assert!((15.0..=18.0 + SLACK).contains(&suspect), "{suspect}");
        assert!((30.0..=33.0 + SLACK).contains(&dead), "{dead}");
    }
    eprintln!("requests meanwhile: {:?}", outcome.ran);
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.ran["worker-1"] > 100, "{:?}", outcome.ran);
}

/// Waits until this node has run some requests.
async fn is_used(node: &Process) {
    within(PATIENCE, "it runs requests", async || {
        node.requests().await.total.get("local") > Some(&5)
    })
    .await;
}

/// When a node came to think worse of the victim, and of which last heartbeat it knew then; in unix time.
#[derive(Default)]
struct Fall {
    last_heartbeat: f64,
    suspect: f64,
    dead: f64,
}

/// Watches these nodes until all call that member dead. They must suspect it first, and not change their minds.
async fn falls(nodes: &[Process], id: &str) -> Vec<Fall> {
    let mut falls: Vec<Fall> = nodes.iter().map(|_| Fall::default()).collect();
    let deadline = Instant::now() + secs(45);
    while falls.iter().any(|fall| fall.dead == 0.0) {
        assert!(Instant::now() < deadline, "never dead everywhere");
        for (node, fall) in nodes.iter().zip(&mut falls) {
            let mesh = node.mesh().await;
            let seen = member(&mesh, id).expect("a row until it is forgotten");
            match seen.status.as_str() {
                "alive" => assert_eq!(fall.suspect, 0.0, "alive again at {}", node.name),
                "suspect" if fall.suspect == 0.0 => {
                    fall.suspect = wall();
                    fall.last_heartbeat = last_heartbeat(node, id).await;
                }
                "dead" if fall.dead == 0.0 => {
                    assert_ne!(fall.suspect, 0.0, "dead unsuspected at {}", node.name);
                    fall.dead = wall();
                }
                _ => (),
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    falls
}

async fn last_heartbeat(node: &Process, id: &str) -> f64 {
    let records = node.records().await;
    let record = records
        .iter()
        .find(|record| record["node_id"] == id)
        .unwrap();
    record["last_heartbeat"].as_f64().unwrap()
}

/// One port on three addresses, and the `bind` of older profiles, which names no machine. Nobody may take that for an
/// address to call.
async fn three_loopback_addresses_with_an_open_bind_stay_one_mesh() {
    let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    if hosts
        .iter()
        .any(|host| TcpListener::bind((*host, 0)).is_err())
    {
        stage::lab::not_run(
            "a mesh on 127.0.0.2 to 127.0.0.4",
            "this machine has 127.0.0.1 alone",
        );
        return;
    }
    let port = free_port(&hosts);
    let mesh = format!("bind: \"0.0.0.0:{port}\"");
    let mut nodes: Vec<Process> = Vec::new();
    for (host, services) in hosts.iter().zip([GATEWAY, "", ""]) {
        let seeds: Vec<_> = nodes.first().into_iter().collect();
        nodes.push(node_at(host, port, host, services, &mesh, &seeds).await);
    }
    let took = met(&nodes).await;
    eprintln!("met on {hosts:?} {took:.2?} after the last had started");
    throughout(secs(60), "3 of 3 alive", async || all_alive(&nodes).await).await;
    assert_advertised(&nodes).await;
}

/// All are known everywhere by the URLs at which they are really reached.
async fn assert_advertised(nodes: &[Process]) {
    let mut expected: Vec<_> = nodes.iter().map(|node| node.url.to_string()).collect();
    expected.sort();
    for node in nodes {
        let records = node.records().await;
        let mut urls: Vec<_> = records
            .iter()
            .map(|record| record["url"].as_str().unwrap())
            .collect();
        urls.sort_unstable();
        assert_eq!(urls, expected, "at {}", node.name);
    }
}

#[tokio::test]
async fn a_killed_leader_is_replaced_everywhere_soon_after_it_is_dead() {
    let mut nodes = gateway_and_workers(3, QUICK).await;
    let leader = settled(&nodes).await;
    let place = position(&nodes, &leader).await;
    nodes.remove(place).kill();

    let mut dead = vec![None; nodes.len()];
    let mut replaced = vec![None; nodes.len()];
    within(PATIENCE, "dead and replaced everywhere", async || {
        for (place, node) in nodes.iter().enumerate() {
            let mesh = node.mesh().await;
            let now = Instant::now();
            if member(&mesh, &leader).is_none_or(|seen| seen.status == "dead") {
                dead[place].get_or_insert(now);
            }
            match mesh.leader {
                Some(named) if named.node_id != leader => drop(replaced[place].get_or_insert(now)),
                _ => replaced[place] = None,
            }
        }
        dead.iter().chain(&replaced).all(Option::is_some) && one_leader(&nodes).await.is_some()
    })
    .await;
    let (dead, replaced) = (dead.iter().max().unwrap(), replaced.iter().max().unwrap());
    let lag = replaced.unwrap().saturating_duration_since(dead.unwrap());
    eprintln!("replaced everywhere {lag:.2?} after the last survivor called it dead");
    assert!(lag <= secs(2), "{lag:?}");
    assert_ne!(one_leader(&nodes).await, Some(leader));
}

/// Waits until all name the member that is to lead in the end, the one of the greatest id.
async fn settled(nodes: &[Process]) -> String {
    let mut ids = Vec::new();
    for node in nodes {
        ids.push(node.id().await);
    }
    let greatest = ids.into_iter().max();
    within(PATIENCE, "all name the greatest id", async || {
        one_leader(nodes).await == greatest
    })
    .await;
    greatest.unwrap()
}

/// Which of them has that id.
async fn position(nodes: &[Process], id: &str) -> usize {
    for (place, node) in nodes.iter().enumerate() {
        if node.id().await == id {
            return place;
        }
    }
    panic!("{id} is none of these nodes");
}

#[tokio::test]
async fn without_a_fault_all_name_one_leader_and_keep_it() {
    let nodes = gateway_and_workers(3, QUICK).await;
    let leader = settled(&nodes).await;
    throughout(30 * QUICK_ROUND, "one leader, the same", async || {
        one_leader(&nodes).await.as_ref() == Some(&leader)
    })
    .await;
}

#[tokio::test]
async fn a_seed_started_last_is_found() {
    let host = "127.0.0.1";
    let port = free_port(&[host]);
    let seed = format!("http://{host}:{port}");
    let mut nodes = Vec::new();
    for name in ["early", "earlier"] {
        let own = free_port(&[host]);
        let seeds = [&maia::address::Url::new(&seed).unwrap()];
        let spec = spec(
            name,
            &format!("host: {host}, port: {own}"),
            "",
            QUICK,
            &seeds,
        );
        nodes.push(Process::start(program(), name, &format!("http://{host}:{own}"), &spec).await);
    }
    within(PATIENCE, "both have asked in vain", async || {
        for node in &nodes {
            let seeds = node.mesh().await.seeds;
            if seeds.iter().any(|seed| seed.status != "failing") {
                return false;
            }
        }
        true
    })
    .await;
    for node in &nodes {
        assert_eq!(node.get("/readyz").await.status, 503, "{}", node.name);
    }

    nodes.push(node_at(host, port, "seed", "", QUICK, &[]).await);
    let took = met(&nodes).await;
    eprintln!("one mesh {took:.2?} after the seed answered");
    assert!(took <= secs(10), "{took:?}");
    for node in &nodes {
        assert_eq!(node.get("/readyz").await.status, 200, "{}", node.name);
    }
}

#[tokio::test]
async fn a_leaver_is_gone_within_a_round_and_stays_away() {
    let nodes = gateway_and_workers(3, QUICK).await;
    let (leaver, others) = nodes.split_last().unwrap();
    let id = leaver.id().await;
    let answer = leaver.post("/v1/mesh/leave", r#"{"node_id":"self"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());

    let took = within(QUICK_ROUND, "in no table and on no route", async || {
        !is_known(others, &id).await
    })
    .await;
    eprintln!("gone everywhere {took:.2?} after the answer");
    throughout(30 * QUICK_ROUND, "still away", async || {
        !is_known(others, &id).await
    })
    .await;
    assert!(all_alive(others).await);
    let ready = leaver.get("/readyz").await;
    assert_eq!(
        (
            ready.status.as_u16(),
            leaver.get("/healthz").await.status.as_u16()
        ),
        (503, 200)
    );
}

/// Whether any of these nodes has a row for that id, or would send it a request.
async fn is_known(nodes: &[Process], id: &str) -> bool {
    for node in nodes {
        let agents: Value = node.get("/v1/agents").await.json().unwrap();
        if node.lists(id).await || agents.to_string().contains(id) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_terminated_node_is_gone_within_a_round_and_costs_no_request() {
    let mut nodes = gateway_and_workers(3, "").await;
    let mut victim = nodes.pop().unwrap();
    let id = victim.id().await;
    let load = Load::on(&nodes[0]);
    is_used(&victim).await;

    victim.signal("-TERM");
    let limit = Duration::from_millis(2_500);
    let took = within(limit, "out of all tables", async || {
        for node in &nodes {
            if node.lists(&id).await {
                return false;
            }
        }
        true
    })
    .await;
    assert_eq!(victim.exit_code().await, Some(0));
    throughout(secs(8), "still away", async || {
        !is_known(&nodes, &id).await && all_alive(&nodes).await
    })
    .await;
    let outcome = load.end().await;
    eprintln!(
        "out of all tables {took:.2?} after SIGTERM; requests: {:?}",
        outcome.ran
    );
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.answered() > 100, "{:?}", outcome.ran);
}

#[tokio::test]
async fn a_stopped_leader_returns_without_leading_on_old_news() {
    let mut nodes = gateway_and_workers(2, QUICK).await;
    let leader = settled(&nodes).await;
    let place = position(&nodes, &leader).await;
    let stopped = nodes.remove(place);
    stopped.signal("-STOP");
    let asleep = Instant::now();
    within(
        PATIENCE,
        "the others have buried and replaced it",
        async || {
            for node in &nodes {
                let mesh = node.mesh().await;
                if member(&mesh, &leader).is_none_or(|seen| seen.status != "dead") {
                    return false;
                }
            }
            one_leader(&nodes)
                .await
                .is_some_and(|named| named != leader)
        },
    )
    .await;

    // A node minds having slept for more than five seconds.
    sleep(secs(6).saturating_sub(asleep.elapsed())).await;

    // Two questions wait at the door when it wakes up.
    let wakes = async {
        sleep(Duration::from_millis(100)).await;
        stopped.signal("-CONT");
        Instant::now()
    };
    let (mesh, table, awake) = tokio::join!(stopped.mesh(), stopped.table(), wakes);
    assert!(!leads_on_old_news(&mesh, awake), "first of all: {mesh:?}");
    assert!(!stale_table_names(&table, &leader), "first of all: {table}");
    nodes.push(stopped);
    within(secs(10), "back everywhere", async || {
        let mesh = nodes.last().unwrap().mesh().await;
        assert!(!leads_on_old_news(&mesh, awake), "{mesh:?}");
        all_alive(&nodes).await
    })
    .await;
    eprintln!("back everywhere {:?} after SIGCONT", awake.elapsed());
    assert!(awake.elapsed() <= secs(10), "{:?}", awake.elapsed());
}

/// Whether a node names itself leader and has heard of nobody since it woke up.
fn leads_on_old_news(mesh: &MeshStatus, awake: Instant) -> bool {
    let awake_for = awake.elapsed().as_secs_f64();
    let mut others = mesh.members.iter().filter(|seen| !seen.here);
    let names_itself = mesh.leader.as_ref().map(|leader| &leader.node_id) == Some(&mesh.node_id);
    names_itself && others.all(|seen| seen.silent_seconds > awake_for)
}

/// Whether the table of the node `id` names it leader, and holds nobody else's heartbeat of the last five seconds.
fn stale_table_names(table: &Value, id: &str) -> bool {
    let records = table["nodes"].as_array().unwrap();
    let mut others = records.iter().filter(|record| record["node_id"] != id);
    let is_old = |record: &Value| record["last_heartbeat"].as_f64() < Some(wall() - 5.0);
    table["leader_id"] == id && others.all(is_old)
}

/// As in containers: every node listens everywhere on the default port, and only the seed's address is written down.
#[tokio::test]
async fn a_partition_heals_into_one_mesh_with_one_leader() {
    const SCALED: &str = "gossip_interval: 0.5, failure_timeout: 3, dead_timeout: 6";
    let Some(lab) = Lab::open(4) else { return };
    let mut nodes: Vec<Process> = Vec::new();
    for host in 1..=4 {
        let name = format!("node-{host}");
        let seeds: Vec<_> = nodes.first().map(|node| &node.url).into_iter().collect();
        let spec = spec(&name, "", "", SCALED, &seeds);
        let url = format!("http://{}:8000", lab.address(host));
        nodes.push(Process::start(lab.program(host), &name, &url, &spec).await);
    }
    met(&nodes).await;
    assert_advertised(&nodes).await;

    lab.cut(&[1, 2], &[3, 4]);
    let cut = Instant::now();
    within(secs(12), "each half has buried the other", async || {
        halves_are_apart(&nodes).await
    })
    .await;
    // The rows of the dead stay for a minute; a longer cut, in which they are forgotten, is for the slow tests.
    throughout(
        secs(20).saturating_sub(cut.elapsed()),
        "still apart",
        async || halves_are_apart(&nodes).await,
    )
    .await;
    lab.heal();
    let took = within(secs(30), "one mesh, one leader", async || {
        all_alive(&nodes).await && one_leader(&nodes).await.is_some()
    })
    .await;
    eprintln!(
        "cut for {:?}; one mesh with one leader {took:?} after healing",
        cut.elapsed() - took
    );
    throughout(secs(2), "still one mesh", async || {
        all_alive(&nodes).await && one_leader(&nodes).await.is_some()
    })
    .await;
    assert_advertised(&nodes).await;
}

/// Whether each of four nodes sees two alive and two dead, and names a leader of its own half.
async fn halves_are_apart(nodes: &[Process]) -> bool {
    for half in nodes.chunks(2) {
        let ids = [half[0].id().await, half[1].id().await];
        for node in half {
            let mesh = node.mesh().await;
            let as_it_should = mesh.members.len() == nodes.len()
                && mesh.members.iter().all(|seen| {
                    let expected = if ids.contains(&seen.node_id) {
                        "alive"
                    } else {
                        "dead"
                    };
                    seen.status == expected
                });
            let leads = mesh
                .leader
                .is_some_and(|leader| ids.contains(&leader.node_id));
            if !as_it_should || !leads {
                return false;
            }
        }
    }
    true
}
