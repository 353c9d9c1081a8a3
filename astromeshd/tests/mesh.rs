//! Nodes of a mesh: they find each other, and requests find the node that is to run them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::{AgentList, HOPS_HEADER, Readiness, SystemStatus};
use astromeshd::Daemon;
use hyper::HeaderMap;
use maia::wire::NODE_ID_HEADER;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{alive, eventually, get, killed, member, met, post, post_with, ran, run};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const GATEWAY: &str = "agents: false, inference: false, memory: false, tools: false, rag: false";

async fn gateway_and_workers() -> (Daemon, Daemon, Daemon) {
    let gateway = member("gateway", &[], GATEWAY).await;
    let one = member("worker-1", &[&gateway], "").await;
    let two = member("worker-2", &[&gateway], "").await;
    met(&[&gateway, &one, &two]).await;
    (gateway, one, two)
}

#[tokio::test]
async fn a_gateway_sends_requests_to_its_workers() {
    let (gateway, one, two) = gateway_and_workers().await;
    let mut by = BTreeSet::new();
    for _ in 0..20 {
        let answer = run(&gateway, "echo", "hello").await;
        assert_eq!(answer.headers["x-astromesh-node"], "gateway");
        assert_eq!(answer.headers["x-astromesh-attempts"], "1");
        assert!(answer.headers.contains_key("x-astromesh-overhead-ms"));
        by.insert(ran(&answer));
    }
    assert_eq!(
        by,
        BTreeSet::from(["worker-1".to_owned(), "worker-2".to_owned()])
    );
    assert_eq!(
        ran(&run(&one, "echo", "hello").await),
        "worker-1",
        "a worker runs it itself"
    );

    let list: AgentList = get(&gateway, "/v1/agents").await.json().unwrap();
    let carriers: Vec<_> = list.agents[0]
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(
        BTreeSet::from_iter(carriers),
        BTreeSet::from(["worker-1", "worker-2"])
    );
    for daemon in [gateway, one, two] {
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_killed_worker_costs_no_request() {
    let (gateway, one, two) = gateway_and_workers().await;
    killed(one).await;
    for _ in 0..20 {
        assert_eq!(ran(&run(&gateway, "echo", "hello").await), "worker-2");
    }
    eventually("the killed one is dead", || alive(&gateway) == 2).await;
    killed(two).await;
    let answer = run(&gateway, "echo", "hello").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .detail()
            .starts_with("No available node provides agent \"echo\""),
        "{}",
        answer.detail()
    );
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(gateway.in_flight(), 0);
}

#[tokio::test]
async fn an_agent_that_nobody_has_is_not_found() {
    let (gateway, one, _two) = gateway_and_workers().await;
    for daemon in [&gateway, &one] {
        let answer = run(daemon, "nobody", "hello").await;
        assert_eq!(answer.status, 404);
        assert!(answer.detail().contains("nobody"));
        assert_eq!(get(daemon, "/v1/agents/nobody").await.status, 404);
        assert_eq!(get(daemon, "/v1/agents/echo").await.status, 200);
    }
}

#[tokio::test]
async fn who_leaves_is_gone_at_once_and_can_return() {
    let (gateway, one, two) = gateway_and_workers().await;
    let left = post(&one, "/v1/mesh/leave", r#"{"node_id":"self"}"#).await;
    assert_eq!(
        (left.status.as_u16(), left.body.as_slice()),
        (200, &br#"{"status":"ok"}"#[..])
    );
    eventually("gone from the others", || {
        alive(&gateway) == 2 && alive(&two) == 2
    })
    .await;
    for _ in 0..5 {
        assert_eq!(ran(&run(&gateway, "echo", "hello").await), "worker-2");
    }

    assert_eq!(get(&one, "/healthz").await.status, 200);
    let ready = get(&one, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json::<Readiness>().unwrap().status, "left");
    assert_eq!(run(&one, "echo", "hello").await.status, 503);
    assert_eq!(get(&one, "/v1/mesh/state").await.status, 200);
    assert_eq!(
        post(&one, "/v1/mesh/leave", r#"{"node_id":"self"}"#)
            .await
            .status,
        200
    );
    assert_eq!(
        post(&one, "/v1/mesh/gossip", r#"{"nodes":[]}"#)
            .await
            .status,
        409
    );

    let back = post(&one, "/v1/mesh/join", r#"{"node_id":"self"}"#).await;
    assert_eq!(back.status, 200, "{}", back.detail());
    met(&[&gateway, &one, &two]).await;
    assert_eq!(ran(&run(&one, "echo", "hello").await), "worker-1");
    eventually("ready again", || one.view().unwrap().joined).await;
    assert_eq!(get(&one, "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_stopped_worker_has_finished_and_said_goodbye() {
    let (gateway, one, two) = gateway_and_workers().await;
    one.stop().await;
    assert_eq!(alive(&gateway), 2, "it was told before the worker was gone");
    for _ in 0..5 {
        assert_eq!(ran(&run(&gateway, "echo", "hello").await), "worker-2");
    }
    drop(two);
}

#[tokio::test]
async fn what_another_node_passes_on_is_run_here_or_not_at_all() {
    let (gateway, one, _two) = gateway_and_workers().await;
    let with = |hops: &str, id: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(HOPS_HEADER, hops.parse().unwrap());
        headers.insert(NODE_ID_HEADER, id.parse().unwrap());
        headers
    };
    let (path, body) = ("/v1/agents/echo/run", r#"{"query":"hello"}"#);
    let member_id = one.id().as_str();
    for (hops, id, expected) in [
        ("1", member_id, 404),
        ("3", member_id, 404),
        ("4", member_id, 508),
        ("4", "a-stranger", 200),
        ("99999999999", member_id, 508),
        ("many", member_id, 200),
        ("0", member_id, 200),
    ] {
        let answer = post_with(&gateway.url(), path, body, with(hops, id)).await;
        assert_eq!(answer.status, expected, "{hops} {id}: {}", answer.detail());
    }
    let answer = post_with(&one.url(), path, body, with("2", gateway.id().as_str())).await;
    assert_eq!(ran(&answer), "worker-1");
}

#[tokio::test]
async fn a_node_without_api_answers_only_other_nodes() {
    let gateway = member("gateway", &[], GATEWAY).await;
    let worker = member("worker", &[&gateway], "api: false").await;
    met(&[&gateway, &worker]).await;
    assert_eq!(ran(&run(&gateway, "echo", "hello").await), "worker");
    assert_eq!(run(&worker, "echo", "hello").await.status, 404);
    assert_eq!(get(&worker, "/v1/agents").await.status, 404);
    assert_eq!(get(&worker, "/v1/agents/echo").await.status, 404);
    assert_eq!(get(&worker, "/healthz").await.status, 200);
    assert_eq!(get(&worker, "/v1/mesh/state").await.status, 200);
}

#[tokio::test]
async fn status_shows_the_mesh_as_seen_here() {
    let (gateway, one, two) = gateway_and_workers().await;
    let status: SystemStatus = get(&one, "/v1/system/status").await.json().unwrap();
    let mesh = status.mesh.unwrap();
    assert_eq!(mesh.members.len(), 3);
    assert!(mesh.joined && !mesh.left && !mesh.draining);
    assert_eq!(mesh.members.iter().filter(|member| member.here).count(), 1);
    assert_eq!(mesh.seeds[0].url, gateway.url().to_string());
    assert_eq!(mesh.seeds[0].status, "joined");
    drop(two);
}

#[tokio::test]
async fn a_seed_that_is_missing_is_named_until_it_comes() {
    let seed = member("seed", &[], "").await;
    let mut settings = support::settings(
        "late",
        &format!(
            "mesh: {{enabled: true, {}, seeds: [{}]}}",
            support::QUICK,
            seed.url()
        ),
    );
    let port = seed.address().port();
    seed.kill().await;
    let late = Daemon::start(settings.clone()).await.unwrap();
    eventually("the seed is known to fail", || {
        late.view()
            .unwrap()
            .seeds
            .iter()
            .any(|seed| matches!(seed.outcome, Some(Err(_))))
    })
    .await;
    let ready = get(&late, "/readyz").await;
    assert_eq!(ready.status, 503);
    let ready: Readiness = ready.json().unwrap();
    assert_eq!(ready.status, "joining");
    assert!(
        ready.conditions[0]
            .detail
            .contains(&format!(":{port} fails:")),
        "{}",
        ready.conditions[0].detail
    );

    settings.api.port = port;
    settings.node_name = "seed".parse().unwrap();
    settings.mesh.as_mut().unwrap().seeds.clear();
    let seed = Daemon::start(settings).await.unwrap();
    met(&[&seed, &late]).await;
    assert_eq!(get(&late, "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_rolling_restart_fails_no_request() {
    let (gateway, mut one, two) = gateway_and_workers().await;
    let (url, over) = (gateway.url(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (url, over) = (url.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = post_with(
                        &url,
                        "/v1/agents/echo/run",
                        r#"{"query":"a"}"#,
                        HeaderMap::new(),
                    )
                    .await;
                    assert_eq!(answer.status, 200, "{}", answer.detail());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..2 {
        one.stop().await;
        one = member("worker-1", &[&gateway], "").await;
        met(&[&gateway, &one, &two]).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 10);
    }
    assert_eq!(gateway.in_flight(), 0);
}

#[tokio::test]
async fn the_others_learn_how_busy_a_node_is() {
    let (gateway, one, _two) = gateway_and_workers().await;
    let mut stream = TcpStream::connect(one.address()).await.unwrap();
    // Of a length that nobody knows, so that whoever runs it waits for its end.
    let head = "POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let reported = || {
        gateway
            .view()
            .unwrap()
            .member(one.id())
            .map(|seen| seen.record.load)
    };
    eventually("the request is reported", || {
        reported().is_some_and(|load| load.active_requests() == 1 && load.memory_percent() > 0.0)
    })
    .await;
    for _ in 0..5 {
        assert_eq!(ran(&run(&gateway, "echo", "hello").await), "worker-2");
    }
    drop(stream);
    eventually("its end is reported", || {
        reported().is_some_and(|load| load.active_requests() == 0)
    })
    .await;
}
