//! Sessions go back to the node that holds them: through any gateway, after any gateway's restart, while it is alive.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::RunAnswer;
use astromeshd::Daemon;
use serde_json::json;
use std::collections::BTreeMap;
use support::{eventually, member, met, post, post_with, ran};

const GATEWAY: &str = "agents: false, inference: false";

async fn gateway(name: &str, seed: &Daemon) -> Daemon {
    member(name, &[seed], GATEWAY).await
}

/// Three workers, and a gateway that knows them.
async fn mesh() -> (Vec<Daemon>, Daemon) {
    let mut workers = vec![member("worker-0", &[], "").await];
    for number in 1..3 {
        workers.push(member(&format!("worker-{number}"), &[&workers[0]], "").await);
    }
    let gateway = gateway("gateway", &workers[0]).await;
    let all: Vec<&Daemon> = workers.iter().chain([&gateway]).collect();
    met(&all).await;
    (workers, gateway)
}

async fn ask(gateway: &Daemon, session: Option<&str>) -> (String, String) {
    let body = json!({"query": "hi", "session_id": session}).to_string();
    let answer = post(gateway, "/v1/agents/echo/run", &body).await;
    let node = ran(&answer);
    let said: RunAnswer = answer.json().unwrap();
    (node, said.session_id)
}

async fn kill_all(daemons: impl IntoIterator<Item = Daemon>) {
    for daemon in daemons {
        daemon.kill().await;
    }
}

#[tokio::test]
async fn a_session_that_a_node_named_returns_there_through_any_gateway() {
    let (workers, first) = mesh().await;
    let second = gateway("second", &workers[0]).await;
    let all: Vec<&Daemon> = workers.iter().chain([&first, &second]).collect();
    met(&all).await;
    for _ in 0..10 {
        let (node, session) = ask(&first, None).await;
        for gateway in [&first, &second, &first] {
            assert_eq!(
                ask(gateway, Some(&session)).await,
                (node.clone(), session.clone())
            );
        }
    }
    kill_all(workers.into_iter().chain([first, second])).await;
}

#[tokio::test]
async fn a_session_that_a_client_named_is_in_one_place_for_all_gateways() {
    let (workers, first) = mesh().await;
    let second = gateway("second", &workers[0]).await;
    let all: Vec<&Daemon> = workers.iter().chain([&first, &second]).collect();
    met(&all).await;
    let mut held = BTreeMap::<String, u32>::new();
    for number in 0..60 {
        let session = format!("client {number}");
        let (node, _) = ask(&first, Some(&session)).await;
        assert_eq!(ask(&second, Some(&session)).await.0, node, "{session}");
        *held.entry(node).or_default() += 1;
    }
    assert!(
        held.len() == 3 && held.values().all(|count| *count >= 5),
        "{held:?}"
    );
    first.kill().await;
    // A gateway that has seen nothing yet.
    let third = gateway("third", &workers[0]).await;
    eventually("the third sees the workers", || support::alive(&third) >= 5).await;
    for number in 0..20 {
        let session = format!("client {number}");
        assert_eq!(
            ask(&third, Some(&session)).await.0,
            ask(&second, Some(&session)).await.0
        );
    }
    kill_all(workers.into_iter().chain([second, third])).await;
}

#[tokio::test]
async fn a_session_stays_where_it_is_when_a_node_joins() {
    let (workers, gateway) = mesh().await;
    let mut nodes = Vec::new();
    for number in 0..30 {
        nodes.push(ask(&gateway, Some(&number.to_string())).await.0);
    }
    let more = member("worker-3", &[&workers[0]], "").await;
    let all: Vec<&Daemon> = workers.iter().chain([&gateway, &more]).collect();
    met(&all).await;
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(
            &ask(&gateway, Some(&number.to_string())).await.0,
            node,
            "{number}"
        );
    }
    let mut fresh = BTreeMap::<String, u32>::new();
    for number in 100..160 {
        *fresh
            .entry(ask(&gateway, Some(&number.to_string())).await.0)
            .or_default() += 1;
    }
    assert!(
        fresh.contains_key("worker-3"),
        "new ones go there too: {fresh:?}"
    );
    kill_all(workers.into_iter().chain([gateway, more])).await;
}

#[tokio::test]
async fn where_the_holder_is_killed_its_sessions_go_on_elsewhere_and_no_others_move() {
    let (mut workers, gateway) = mesh().await;
    let mut nodes = Vec::new();
    for number in 0..30 {
        nodes.push(ask(&gateway, Some(&number.to_string())).await.0);
    }
    let (minted_at, minted) = ask(&gateway, None).await;
    let gone = workers
        .iter()
        .position(|worker| worker.name() == minted_at)
        .unwrap();
    let gone = workers.swap_remove(gone);
    let name = gone.name().to_owned();
    gone.kill().await;
    let (node, session) = ask(&gateway, Some(&minted)).await;
    assert!(node != name && session == minted);
    for (number, before) in nodes.iter().enumerate() {
        let (node, _) = ask(&gateway, Some(&number.to_string())).await;
        assert_ne!(node, name);
        if *before != name {
            assert_eq!(node, *before, "{number}");
        }
        assert_eq!(
            ask(&gateway, Some(&number.to_string())).await.0,
            node,
            "and it stays there"
        );
    }
    kill_all(workers.into_iter().chain([gateway])).await;
}

#[tokio::test]
async fn a_body_of_any_length_finds_its_session_by_the_header() {
    let (workers, gateway) = mesh().await;
    let (node, _) = ask(&gateway, Some("mine")).await;
    let body = json!({"query": "x".repeat(2_000_000), "session_id": "mine"}).to_string();
    let mut headers = hyper::HeaderMap::new();
    headers.insert("x-astromesh-session", "mine".parse().unwrap());
    for _ in 0..5 {
        let answer = post_with(
            &gateway.url(),
            "/v1/agents/echo/run",
            &body,
            headers.clone(),
        )
        .await;
        assert_eq!(ran(&answer), node);
    }
    kill_all(workers.into_iter().chain([gateway])).await;
}
