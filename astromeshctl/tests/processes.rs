//! The built program against running daemons: where `mesh leave` ends with 0, it was done, everywhere and for good.

mod stage;

use astromesh_core::api::AgentList;
use astromesh_core::http::Client;
use astromesh_core::settings::{Environment, Flags, Seed, Settings};
use astromeshd::Daemon;
use maia::address::Url;
use serde_json::Value;
use stage::{Ended, program};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How long the nodes may take to meet, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const ROUND: Duration = Duration::from_millis(200);

/// A node that runs agents, on a free port of this machine.
async fn member(name: &str, seeds: &[&Daemon]) -> Daemon {
    let environment = Environment::empty()
        .with("ASTROMESH_ROLE", "worker")
        .with("ASTROMESH_MESH_ENABLED", "true")
        .with("ASTROMESH_NODE_NAME", name);
    let mut settings = Settings::load(&Flags::default(), &environment).expect("a profile");
    (settings.api.host, settings.api.port) = (Ipv4Addr::LOCALHOST.into(), 0);
    let mesh = settings.mesh.as_mut().expect("a mesh");
    mesh.seeds = seeds.iter().map(|seed| Seed::Place(seed.url())).collect();
    let config = &mut mesh.config;
    config.gossip_interval = ROUND;
    config.failure_timeout = 8 * ROUND;
    config.dead_timeout = 15 * ROUND;
    Daemon::start(settings).await.expect("starts")
}

/// Runs the program against the node at `url`.
async fn typed(url: &Url, line: &str) -> Ended {
    let mut program = program();
    program
        .env("ASTROMESH_URL", url.as_str())
        .args(line.split(' '));
    let output = spawn_blocking(move || program.output());
    output.await.expect("ends").expect("runs").into()
}

/// How many nodes a node tells others of, and how many it would send requests to.
async fn counted(node: &Daemon) -> (usize, usize) {
    let client = Client::new(PATIENCE);
    let state: Value = (client.get(&node.url(), "/v1/mesh/state").await).expect("a table");
    let agents: AgentList = (client.get(&node.url(), "/v1/agents").await).expect("a list");
    let carriers = agents.agents.first().map_or(0, |echo| echo.nodes.len());
    (state["nodes"].as_array().expect("rows").len(), carriers)
}

/// Waits until each of these nodes knows that many, and routes to as many; returns how long it took.
async fn all_count(nodes: &[&Daemon], count: usize, limit: Duration) -> Duration {
    let begun = Instant::now();
    for node in nodes {
        while counted(node).await != (count, count) {
            let late = begun.elapsed();
            assert!(
                late < limit,
                "{} knows {:?}",
                node.name(),
                counted(node).await
            );
            sleep(ROUND / 20).await;
        }
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leave_that_ends_with_0_is_true_everywhere_within_a_round_and_for_good() {
    let one = member("one", &[]).await;
    let two = member("two", &[&one]).await;
    let three = member("three", &[&one]).await;
    all_count(&[&one, &two, &three], 3, PATIENCE).await;

    let ended = typed(&three.url(), "mesh leave").await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    all_count(&[&one, &two], 2, ROUND).await;
    let gone = Instant::now();
    while gone.elapsed() < 30 * ROUND {
        assert_eq!(counted(&one).await, (2, 2), "after {:?}", gone.elapsed());
        assert_eq!(counted(&two).await, (2, 2), "after {:?}", gone.elapsed());
        sleep(ROUND / 4).await;
    }
}
