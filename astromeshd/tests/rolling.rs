//! A rolling restart of real processes under load: each worker in turn is told to go, ends, and comes back at its address.
//! (H21)
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stderr,
    reason = "what was measured, for those who ask to see it"
)]
#![allow(dead_code, reason = "the stage has more than one play needs")]

mod stage;

use stage::load::Load;
use stage::{PATIENCE, Process, free_port, met, program, spec, within};
use std::time::Instant;

const QUICK: &str = "gossip_interval: 0.2, heartbeat_interval: 0.5, failure_timeout: 1.5, dead_timeout: 3, stable_after: 1";
const GATEWAY: &str = "agents: false, inference: false, memory: false, tools: false, rag: false";

async fn node(name: &str, port: u16, services: &str, seeds: &[&Process]) -> Process {
    let seeds: Vec<_> = seeds.iter().map(|seed| &seed.url).collect();
    let api = format!("host: 127.0.0.1, port: {port}");
    let spec = spec(name, &api, services, QUICK, &seeds);
    Process::start(program(), name, &format!("http://127.0.0.1:{port}"), &spec).await
}

/// How many requests this node has run.
async fn ran(node: &Process) -> u64 {
    let requests = node.requests().await;
    requests.total.get("local").copied().unwrap_or(0)
}

#[tokio::test]
async fn a_rolling_restart_of_all_workers_costs_no_request() {
    let ports: Vec<u16> = (0..4).map(|_| free_port(&["127.0.0.1"])).collect();
    let mut nodes = vec![node("gateway", ports[0], GATEWAY, &[]).await];
    for (number, port) in ports.iter().enumerate().skip(1) {
        let name = format!("worker-{number}");
        nodes.push(node(&name, *port, "", &[&nodes[0]]).await);
    }
    met(&nodes).await;
    let load = Load::on(&nodes[0]);
    let begun = Instant::now();
    for place in 1..nodes.len() {
        within(PATIENCE, "it is used", async || {
            ran(&nodes[place]).await > 5
        })
        .await;
        let mut old = nodes.remove(place);
        old.signal("-TERM");
        assert_eq!(old.exit_code().await, Some(0), "{}", old.name);
        let new = node(&old.name, ports[place], "", &[&nodes[0]]).await;
        nodes.insert(place, new);
        met(&nodes).await;
        within(PATIENCE, "it is used again", async || {
            ran(&nodes[place]).await > 5
        })
        .await;
    }
    let outcome = load.end().await;
    eprintln!(
        "three workers restarted in {:.1?}; requests: {:?}",
        begun.elapsed(),
        outcome.ran
    );
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!(
        outcome.ran.len(),
        3,
        "all of them worked: {:?}",
        outcome.ran
    );
}
