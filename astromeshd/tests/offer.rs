//! Which agents a node offers: files that come, change and go, and servers that answer or do not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::{AgentList, SystemStatus};
use astromeshd::Daemon;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Instant;
use support::place::{Place, reply, reply_json};
use support::{
    PATIENCE, QUICK, eventually, folder_with_agent, get, member, met, ran, run, settings_in,
    write_agent,
};
use tempfile::TempDir;
use tokio::net::TcpListener;

const ECHO: &str = "model: {primary: {provider: echo}}";

/// A worker and a gateway that see each other, the worker with those agent files.
async fn worker_and_gateway(folder: &TempDir, limits: &str) -> (Daemon, Daemon) {
    let spec = format!("mesh: {{enabled: true, {QUICK}}}\n{limits}");
    let worker = Daemon::start(settings_in(folder, "worker", &spec))
        .await
        .unwrap();
    let gateway = member("gateway", &[&worker], "agents: false, inference: false").await;
    met(&[&worker, &gateway]).await;
    (worker, gateway)
}

async fn offered(node: &Daemon) -> Vec<String> {
    let list: AgentList = get(node, "/v1/agents").await.json().unwrap();
    list.agents.into_iter().map(|agent| agent.name).collect()
}

async fn status(node: &Daemon) -> SystemStatus {
    get(node, "/v1/system/status").await.json().unwrap()
}

/// Waits until `node` sees exactly these agents.
async fn sees(node: &Daemon, agents: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let offered = offered(node).await;
        if offered == agents {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{offered:?} and never {agents:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn refused(node: &Daemon, count: &str) -> u64 {
    let turned_away: BTreeMap<_, _> = status(node).await.requests.turned_away;
    turned_away.get(count).copied().unwrap_or_default()
}

#[tokio::test]
async fn files_that_come_change_and_go_are_taken_up_and_told() {
    let folder = TempDir::new().unwrap();
    let (worker, gateway) = worker_and_gateway(&folder, "").await;
    sees(&gateway, &["echo"]).await;
    write_agent(folder.path(), "ana", ECHO);
    sees(&gateway, &["ana", "echo"]).await;

    let server = Place::new(|_, _| reply_json(200, &json!({"answer": "served"}))).await;
    let served = format!("http: {{url: \"{}\"}}", server.url("/run"));
    write_agent(folder.path(), "ana", &served);
    let deadline = Instant::now() + PATIENCE;
    while run(&gateway, "ana", "hi")
        .await
        .json::<serde_json::Value>()
        .unwrap()["answer"]
        != "served"
    {
        assert!(Instant::now() < deadline, "it never changes");
    }
    assert_eq!(ran(&run(&gateway, "ana", "hi").await), "worker");

    fs::remove_file(folder.path().join("agents/ana.agent.yaml")).unwrap();
    sees(&gateway, &["echo"]).await;
    assert_eq!(run(&gateway, "ana", "hi").await.status, 404);
    for daemon in [worker, gateway] {
        daemon.kill().await;
    }
}

#[tokio::test]
async fn a_file_that_goes_wrong_leaves_all_as_it_was_and_a_count() {
    let folder = folder_with_agent("ana", ECHO);
    let node = Daemon::start(settings_in(&folder, "solo", ""))
        .await
        .unwrap();
    fs::write(folder.path().join("agents/ana.agent.yaml"), "kind: [").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while refused(&node, "agent_files").await == 0 {
        assert!(Instant::now() < deadline, "nobody complains");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(offered(&node).await, ["ana", "echo"]);
    write_agent(folder.path(), "bob", ECHO);
    sees(&node, &["ana", "bob", "echo"]).await;
}

#[tokio::test]
async fn agents_that_do_not_fit_into_the_record_are_not_taken_up() {
    let folder = folder_with_agent("ana", ECHO);
    let (worker, gateway) = worker_and_gateway(&folder, "limits: {record_bytes: 1200}").await;
    sees(&gateway, &["ana", "echo"]).await;
    let long = "x".repeat(60);
    for number in 10..20 {
        write_agent(folder.path(), &format!("{long}-{number}"), ECHO);
    }
    let deadline = Instant::now() + PATIENCE;
    while refused(&worker, "record_bytes").await == 0 {
        assert!(Instant::now() < deadline, "nobody complains");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(offered(&worker).await, ["ana", "echo"]);
    for number in 10..20 {
        fs::remove_file(
            folder
                .path()
                .join(format!("agents/{long}-{number}.agent.yaml")),
        )
        .unwrap();
    }
    write_agent(folder.path(), "bob", ECHO);
    sees(&gateway, &["ana", "bob", "echo"]).await;
    for daemon in [worker, gateway] {
        daemon.kill().await;
    }
}

async fn server(address: SocketAddr) -> Place {
    Place::at(address, |_, _| reply_json(200, &json!({"answer": "yes"}))).await
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn an_agent_is_offered_while_its_server_answers() {
    let address = free_address().await;
    let folder = folder_with_agent("ana", &format!("http: {{url: \"http://{address}/run\"}}"));
    let (worker, gateway) = worker_and_gateway(&folder, "").await;
    sees(&gateway, &["echo"]).await;
    let withheld = status(&worker).await.node.withheld;
    assert_eq!(withheld[0].name, "ana");
    assert!(
        withheld[0].reason.contains("connection refused"),
        "{withheld:?}"
    );
    let answer = run(&worker, "ana", "hi").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.detail().contains("connection refused"),
        "{}",
        answer.detail()
    );

    let place = server(address).await;
    sees(&gateway, &["ana", "echo"]).await;
    assert_eq!(ran(&run(&gateway, "ana", "hi").await), "worker");
    drop(place);
    sees(&gateway, &["echo"]).await;
    for daemon in [worker, gateway] {
        daemon.kill().await;
    }
}

#[tokio::test]
async fn a_run_that_finds_nobody_there_goes_to_another_node_unnoticed() {
    let (address, other) = (
        free_address().await,
        server("127.0.0.1:0".parse().unwrap()).await,
    );
    let at = |address: SocketAddr| format!("http: {{url: \"http://{address}/run\"}}");
    let (here, there) = (
        folder_with_agent("ana", &at(address)),
        folder_with_agent("ana", &at(other.address)),
    );
    let place = server(address).await;
    let (worker, gateway) = worker_and_gateway(&here, "").await;
    let spec = format!(
        "mesh: {{enabled: true, {QUICK}, seeds: [{}]}}",
        worker.url()
    );
    let second = Daemon::start(settings_in(&there, "second", &spec))
        .await
        .unwrap();
    met(&[&worker, &gateway, &second]).await;
    eventually("both carry it", || {
        let view = gateway.view().unwrap();
        view.carriers(&"ana".parse().unwrap()).count() == 2
    })
    .await;
    drop(place);
    for _ in 0..20 {
        assert_eq!(ran(&run(&gateway, "ana", "hi").await), "second");
    }
    for daemon in [worker, gateway, second] {
        daemon.kill().await;
    }
}

#[tokio::test]
async fn a_server_says_how_it_is_where_it_is_asked() {
    let server = Place::new(|heard, before| match heard.path.as_str() {
        "/healthz" => reply(if before < 2 { 503 } else { 200 }, "text/plain", "so it is"),
        _ => reply_json(200, &json!({"answer": "yes"})),
    })
    .await;
    let spec = format!(
        "http: {{url: \"{}\", health: /healthz}}",
        server.url("/run")
    );
    let folder = folder_with_agent("ana", &spec);
    let node = Daemon::start(settings_in(&folder, "solo", ""))
        .await
        .unwrap();
    assert_eq!(offered(&node).await, ["echo"], "it is not well yet");
    sees(&node, &["ana", "echo"]).await;
    assert!(
        server
            .heard()
            .iter()
            .all(|heard| heard.path == "/healthz" && heard.method == "GET")
    );
}

#[tokio::test]
async fn one_slow_answer_puts_nobody_out() {
    let server = Place::new(|_, before| match before {
        1 => None,
        _ => reply(405, "text/plain", "not so"),
    })
    .await;
    let folder = folder_with_agent("ana", &format!("http: {{url: \"{}\"}}", server.url("/run")));
    let node = Daemon::start(settings_in(&folder, "solo", ""))
        .await
        .unwrap();
    eventually("it was looked at again", || {
        assert!(server.heard().len() < 50);
        server.heard().len() >= 3
    })
    .await;
    assert_eq!(offered(&node).await, ["ana", "echo"]);
}
