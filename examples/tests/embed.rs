//! The example `embed`, which is run here beside a daemon: both are in one mesh.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../embed.rs"]
#[allow(dead_code, reason = "its own main is not run here")]
mod embed;

use astromesh_core::http::Client;
use astromesh_core::settings::{Environment, Flags, Settings};
use astromeshd::Daemon;
use hyper::Method;
use maia::address::Url;
use maia::message::Status;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(20);

async fn gateway() -> Daemon {
    let environment = Environment::empty()
        .with("ASTROMESH_ROLE", "gateway")
        .with("ASTROMESH_MESH_ENABLED", "true");
    let mut settings = Settings::load(&Flags::default(), &environment).unwrap();
    (settings.api.host, settings.api.port) = (Ipv4Addr::LOCALHOST.into(), 0);
    Daemon::start(settings).await.unwrap()
}

/// Where the daemon sees the service, once it is a member that is alive.
async fn seen_by(daemon: &Daemon) -> Url {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let view = daemon.view().unwrap();
        let seen = view
            .members
            .iter()
            .find(|seen| seen.name().as_str() == "embed");
        match seen {
            Some(seen) if seen.confirmed && seen.status == Status::Alive => {
                return seen.url.clone();
            }
            _ => assert!(Instant::now() < deadline, "it is never seen"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_service_joins_answers_and_is_seen() {
    let daemon = gateway().await;
    let service = tokio::spawn(embed::run(daemon.url()));
    let url = seen_by(&daemon).await;

    let client = Client::new(PATIENCE);
    let state: Value = client.get(&url, "/v1/mesh/state").await.unwrap();
    let names: Vec<&str> = state["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"embed") && names.contains(&daemon.name()),
        "{names:?}"
    );
    let page = client.send(&url, Method::GET, "/", None).await.unwrap();
    assert_eq!(
        (page.status.as_u16(), page.body),
        (200, b"hello from embed\n".to_vec())
    );
    let bad = client
        .send(&url, Method::POST, "/v1/mesh/join", Some(b"{}".to_vec()))
        .await
        .unwrap();
    assert_eq!(bad.status, 400, "{}", bad.detail());
    assert!(bad.headers.contains_key("x-astromesh-node-id"));

    // Several rounds go by, each with a sign of life.
    let heard = || {
        let view = daemon.view().unwrap();
        let seen = view.members.iter().find(|seen| seen.url == url);
        seen.map(|seen| (seen.status, seen.record.version.heartbeat))
    };
    let (_, first) = heard().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !matches!(heard(), Some((Status::Alive, heartbeat)) if heartbeat > first) {
        assert!(Instant::now() < deadline, "no sign of life comes");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!service.is_finished());
    service.abort();
}

#[test]
fn it_is_as_short_as_it_is_said_to_be() {
    let text = include_str!("../embed.rs");
    assert!(text.lines().count() <= 100, "{}", text.lines().count());
}
