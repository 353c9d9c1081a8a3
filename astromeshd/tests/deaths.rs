//! What becomes of requests when the node that has them goes, does badly, or has too many.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::SystemStatus;
use astromesh_core::http::Answer;
use astromeshd::Daemon;
use hyper::HeaderMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{
    QUICK, alone, eventually, folder_with_agent, get, killed, post_with, ran, run, settings_in,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &str = r#"{"answer":"yes"}"#;

/// An agent's own server: answers with that status, but never where the query says `wait`.
async fn agent_server(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, status));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, status: &str) {
    let mut seen = vec![0; 16 * 1_024];
    while let Ok(read @ 1..) = stream.read(&mut seen).await {
        // Head and body are short, and may come one after the other. Whether it is there is asked without a body.
        let text = String::from_utf8_lossy(&seen[..read]);
        if text.contains("wait") {
            std::future::pending::<()>().await;
        }
        if text.starts_with("GET") || text.ends_with('}') {
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
                ANSWER.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

/// A server that reads a request and closes the connection. Returns how many it has read so far, too.
async fn broken_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = vec![0; 16 * 1_024];
            let read = stream.read(&mut seen).await.unwrap_or(0);
            if seen[..read].starts_with(b"POST") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address, count)
}

async fn run_with(daemon: &Daemon, agent: &str, header: Option<&'static str>) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(header) = header {
        headers.insert(header, "1".parse().unwrap());
    }
    let path = format!("/v1/agents/{agent}/run");
    post_with(&daemon.url(), &path, r#"{"query":"hello"}"#, headers).await
}

/// A node, and the folder of its agents, which it goes on looking at.
struct Worker {
    daemon: Daemon,
    _folder: TempDir,
}

/// A node of a mesh with the agent `served`, which is the server at `address`.
async fn worker(name: &str, seed: &Daemon, address: SocketAddr, idempotent: bool) -> Worker {
    let spec = format!("http: {{url: \"http://{address}/\"}}\n  idempotent: {idempotent}");
    let folder = folder_with_agent("served", &spec);
    let mesh = format!(
        "mesh: {{enabled: true, {QUICK}, seeds: [\"{}\"]}}",
        seed.url()
    );
    let settings = settings_in(&folder, name, &mesh);
    Worker {
        daemon: Daemon::start(settings).await.unwrap(),
        _folder: folder,
    }
}

async fn gateway() -> Daemon {
    let spec = format!("mesh: {{enabled: true, {QUICK}}}\nservices: {{agents: false}}");
    alone("gateway", &spec).await
}

fn carriers(gateway: &Daemon) -> usize {
    let view = gateway.view().unwrap();
    view.carriers(&"served".parse().unwrap()).count()
}

#[tokio::test]
async fn what_was_sent_is_repeated_only_where_it_may_run_twice() {
    let (broken, _) = broken_server().await;
    let good = alone("good", "").await;
    for (header, status) in [(None, 502), (Some("idempotency-key"), 200)] {
        let gateway = alone(
            "gateway",
            &format!(
                "services: {{agents: false}}\npeers: [{{name: a, url: \"http://{broken}\"}}, {{name: b, url: \"{}\"}}]",
                good.url()
            ),
        )
        .await;
        let asked = Instant::now();
        let answer = run_with(&gateway, "echo", header).await;
        assert_eq!(answer.status, status, "{}", answer.detail());
        if status == 502 {
            assert!(
                answer.detail().contains("outcome is unknown"),
                "{}",
                answer.detail()
            );
            assert!(asked.elapsed() < Duration::from_secs(5));
        } else {
            assert_eq!(answer.headers["x-astromesh-attempts"], "2");
        }
        assert_eq!(gateway.in_flight(), 0);
    }
}

#[tokio::test]
async fn where_nobody_is_left_to_repeat_it_the_outcome_stays_unknown() {
    let (broken, count) = broken_server().await;
    let spec = format!(
        "services: {{agents: false}}\npeers: [{{name: a, url: \"http://{broken}\"}}, {{name: b, url: \"http://{broken}\"}}]"
    );
    let gateway = alone("gateway", &spec).await;
    let answer = run_with(&gateway, "echo", Some("idempotency-key")).await;
    assert_eq!(answer.status, 502, "{}", answer.detail());
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_run_of_an_idempotent_agent_survives_its_node() {
    let first = agent_server("200 OK").await;
    let gateway = gateway().await;
    let mut workers = vec![worker("one", &gateway, first, true).await];
    eventually("it is known", || carriers(&gateway) == 1).await;
    // Whether it may run twice is heard with its first answer.
    assert_eq!(ran(&run(&gateway, "served", "hello").await), "one");
    let waiting = {
        let url = gateway.url();
        let body = r#"{"query":"wait"}"#;
        tokio::spawn(async move {
            post_with(&url, "/v1/agents/served/run", body, HeaderMap::new()).await
        })
    };
    eventually("it runs", || workers[0].daemon.in_flight() == 1).await;
    // The other one answers whatever it is asked, even that.
    let other = willing_server().await;
    workers.push(worker("two", &gateway, other, true).await);
    eventually("both are known", || carriers(&gateway) == 2).await;
    workers.remove(0).daemon.kill().await;
    let answer = waiting.await.unwrap();
    assert_eq!(ran(&answer), "two");
    assert_eq!(answer.headers["x-astromesh-attempts"], "2");
}

/// An agent's own server that answers whatever it is asked.
async fn willing_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = vec![0; 16 * 1_024];
            drop(stream.read(&mut seen).await);
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
                ANSWER.len()
            );
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    address
}

#[tokio::test]
async fn a_node_that_fails_at_once_gets_next_to_nothing() {
    let gateway = gateway().await;
    let mut workers = Vec::new();
    for (name, status) in [("good", "200 OK"), ("fine", "200 OK"), ("bad", "500 Oh")] {
        workers.push(worker(name, &gateway, agent_server(status).await, false).await);
    }
    eventually("all are known", || carriers(&gateway) == 3).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        run(&gateway, "served", "hello").await;
    }
    let mut failed = 0;
    for _ in 0..1_000 {
        let answer = run(&gateway, "served", "hello").await;
        failed += usize::from(answer.status != 200);
    }
    assert!(failed <= 10, "{failed} of 1,000");
}

#[tokio::test]
async fn a_dead_node_is_left_alone_and_used_again_once_it_is_there() {
    let (one, two) = (alone("one", "").await, alone("two", "").await);
    let peers = format!(
        "peers: [{{name: one, url: \"{}\"}}, {{name: two, url: \"{}\"}}]",
        one.url(),
        two.url()
    );
    let gateway = alone("gateway", &format!("services: {{agents: false}}\n{peers}")).await;
    let port = one.address().port();
    killed(one).await;
    let mut attempts = 0;
    for _ in 0..50 {
        let answer = run(&gateway, "echo", "hello").await;
        assert_eq!(ran(&answer), "two");
        let made = answer.headers["x-astromesh-attempts"].to_str().unwrap();
        attempts += made.parse::<usize>().unwrap();
    }
    assert_eq!(attempts, 51, "one of them was tried there");
    let mut settings = support::settings("one", "");
    settings.api.port = port;
    let one = Daemon::start(settings).await.unwrap();
    let back = Instant::now();
    while ran(&run(&gateway, "echo", "hello").await) != "one" {
        assert!(back.elapsed() < support::PATIENCE, "it is never used");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(one);
}

#[tokio::test]
async fn beyond_what_it_can_run_and_what_can_wait_a_node_refuses_at_once() {
    let server = agent_server("200 OK").await;
    let folder = folder_with_agent("served", &format!("http: {{url: \"http://{server}/\"}}"));
    let limits = "limits: {concurrent_requests: 1, queued_requests: 1}";
    let node = Daemon::start(settings_in(&folder, "solo", limits))
        .await
        .unwrap();
    let ask = |query: &'static str| {
        let url = node.url();
        let body = format!("{{\"query\":\"{query}\"}}");
        tokio::spawn(async move {
            post_with(&url, "/v1/agents/served/run", &body, HeaderMap::new()).await
        })
    };
    let running = ask("wait");
    eventually("one runs", || node.in_flight() == 1).await;
    let waiting = ask("hello");
    eventually("one waits", || node.in_flight() == 2).await;
    let answer = run(&node, "served", "hello").await;
    assert_eq!(answer.status, 429, "{}", answer.detail());
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.headers.contains_key("x-astromesh-routed-to"));
    let status: SystemStatus = get(&node, "/v1/system/status").await.json().unwrap();
    assert_eq!(status.requests.turned_away["concurrent_requests"], 1);

    running.abort();
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 200, "whoever waited is let in");
    eventually("nothing is left", || node.in_flight() == 0).await;
}

#[tokio::test]
async fn another_nodes_refusal_is_the_answer() {
    let gateway = gateway().await;
    let full = worker("full", &gateway, agent_server("429 Enough").await, false).await;
    eventually("it is known", || carriers(&gateway) == 1).await;
    let other = worker("other", &gateway, agent_server("429 Enough").await, false).await;
    eventually("both are known", || carriers(&gateway) == 2).await;
    let answer = run(&gateway, "served", "hello").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["x-astromesh-attempts"], "1");
    drop((full, other));
}
