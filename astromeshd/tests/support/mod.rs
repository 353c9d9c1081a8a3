//! Daemons in this process, and a client to ask them.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub(crate) mod collector;
pub(crate) mod dns;
pub(crate) mod place;

use astromesh_core::api::RunAnswer;
use astromesh_core::http::{Answer, Client};
use astromesh_core::settings::{Environment, Flags, Settings};
use astromeshd::Daemon;
use hyper::{HeaderMap, Method, Request};
use maia::address::Url;
use maia::message::Status;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here should take, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Mesh settings that come to their conclusions ten times sooner than the defaults.
pub(crate) const QUICK: &str = "gossip_interval: 0.2, heartbeat_interval: 0.5, failure_timeout: 1.5, dead_timeout: 3, stable_after: 1";

/// Settings from a `runtime.yaml` with that `spec`, on a free port of 127.0.0.1.
pub(crate) fn settings(name: &str, spec: &str) -> Settings {
    settings_in(&TempDir::new().unwrap(), name, spec)
}

/// The same, with the agent files of that folder.
pub(crate) fn settings_in(folder: &TempDir, name: &str, spec: &str) -> Settings {
    settings_with(folder, name, spec, &[])
}

/// The same, with these variables.
pub(crate) fn settings_with(
    folder: &TempDir,
    name: &str,
    spec: &str,
    variables: &[(&str, &str)],
) -> Settings {
    let text = format!(
        "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {{name: test}}\nspec:\n  {}\n",
        spec.trim().replace('\n', "\n  ")
    );
    std::fs::write(folder.path().join("runtime.yaml"), text).unwrap();
    let flags = Flags {
        config: Some(folder.path().to_path_buf()),
        ..Flags::default()
    };
    let named = Environment::empty().with("ASTROMESH_NODE_NAME", name);
    let environment = variables
        .iter()
        .fold(named, |all, (name, value)| all.with(name, value));
    let mut settings = Settings::load(&flags, &environment).unwrap();
    settings.api.host = Ipv4Addr::LOCALHOST.into();
    settings.api.port = 0;
    settings
}

/// A folder with one agent file.
pub(crate) fn folder_with_agent(name: &str, spec: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    write_agent(folder.path(), name, spec);
    folder
}

pub(crate) fn write_agent(folder: &Path, name: &str, spec: &str) {
    let agents = folder.join("agents");
    std::fs::create_dir_all(&agents).unwrap();
    let text = format!(
        "apiVersion: astromesh/v1\nkind: Agent\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
    );
    std::fs::write(agents.join(format!("{name}.agent.yaml")), text).unwrap();
}

/// A node without a mesh.
pub(crate) async fn alone(name: &str, spec: &str) -> Daemon {
    Daemon::start(settings(name, spec)).await.unwrap()
}

/// A node of a quick mesh.
pub(crate) async fn member(name: &str, seeds: &[&Daemon], services: &str) -> Daemon {
    let seeds: Vec<_> = seeds.iter().map(|seed| seed.url().to_string()).collect();
    let mesh = format!(
        "mesh: {{enabled: true, {QUICK}, seeds: [{}]}}",
        seeds.join(", ")
    );
    alone(name, &format!("{mesh}\nservices: {{{services}}}")).await
}

pub(crate) fn client() -> Client {
    Client::new(PATIENCE)
}

pub(crate) async fn get(daemon: &Daemon, path: &str) -> Answer {
    client()
        .send(&daemon.url(), Method::GET, path, None)
        .await
        .unwrap()
}

pub(crate) async fn post(daemon: &Daemon, path: &str, body: &str) -> Answer {
    let body = Some(body.as_bytes().to_vec());
    client()
        .send(&daemon.url(), Method::POST, path, body)
        .await
        .unwrap()
}

pub(crate) async fn post_with(url: &Url, path: &str, body: &str, headers: HeaderMap) -> Answer {
    let mut request = Request::new(astromesh_core::http::full(body.to_owned()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    *request.headers_mut() = headers;
    client().send_request(url, request).await.unwrap()
}

pub(crate) async fn run(daemon: &Daemon, agent: &str, query: &str) -> Answer {
    let body = serde_json::json!({ "query": query }).to_string();
    post(daemon, &format!("/v1/agents/{agent}/run"), &body).await
}

/// The name of the node that ran it.
pub(crate) fn ran(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.detail());
    let ran: RunAnswer = answer.json().unwrap();
    assert_eq!(answer.headers["x-astromesh-routed-to"], ran.node);
    ran.node
}

/// Kills `daemon`, and waits until the ends of its connections have arrived: who asks before that cannot know that it is
/// gone, and what was sent to it may have been run.
pub(crate) async fn killed(daemon: Daemon) {
    let port = daemon.address().port();
    daemon.kill().await;
    eventually("its connections have ended", || !is_connected_to(port)).await;
}

/// Whether anybody on this machine has a connection to that port that it takes for open.
fn is_connected_to(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let there = format!(":{port:04X}");
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    connections.lines().any(|connection| {
        let mut fields = connection.split_whitespace().skip(2);
        let is_there = fields.next().is_some_and(|remote| remote.ends_with(&there));
        is_there && fields.next() == Some(ESTABLISHED)
    })
}

/// Waits until `holds`, and fails with `what` if it never does.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many members `daemon` takes for alive, itself included.
pub(crate) fn alive(daemon: &Daemon) -> usize {
    let view = daemon.view().unwrap();
    view.members
        .iter()
        .filter(|seen| seen.confirmed || seen.is_me)
        .filter(|seen| seen.status == Status::Alive)
        .count()
}

/// Waits until all see each other alive, and as many.
pub(crate) async fn met(daemons: &[&Daemon]) {
    eventually("all see each other", || {
        daemons.iter().all(|daemon| alive(daemon) == daemons.len())
    })
    .await;
}
