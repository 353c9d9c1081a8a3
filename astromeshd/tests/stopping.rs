//! A node that stops in good order: whoever asks meanwhile is answered, and told to keep no connection to it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromeshd::Daemon;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::{PATIENCE, alone, eventually, folder_with_agent, run, settings_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const RUN: &str = "POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n{\"query\":\"once\"}";

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 4_096]);
    while !seen.contains(end) {
        let read = timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "closed after {seen:?}");
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    seen.to_ascii_lowercase()
}

/// Idle connections are read for a while longer, and so are those that were opened and have not asked yet.
#[tokio::test]
async fn what_is_asked_while_a_node_stops_is_answered_and_the_last_on_its_connection() {
    let daemon = alone("worker", "").await;
    let address = daemon.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(RUN.as_bytes()).await.unwrap();
    let answer = read_until(&mut idle, "\"node\"").await;
    assert!(!answer.contains("connection: close"), "{answer}");
    let mut fresh = TcpStream::connect(address).await.unwrap();

    let stopping = tokio::spawn(daemon.stop());
    sleep(Duration::from_millis(100)).await;
    for stream in [&mut idle, &mut fresh] {
        stream.write_all(RUN.as_bytes()).await.unwrap();
        let answer = read_until(stream, "\"node\"").await;
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "it is closed");
    }
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// The connection on which an agent's server is given a run. In between it is asked how it is.
async fn run_arriving_at(listener: &TcpListener) -> TcpStream {
    loop {
        let (mut server, _) = listener.accept().await.unwrap();
        let head = read_until(&mut server, "\r\n\r\n").await;
        if head.starts_with("post ") {
            if !head.contains("once") {
                read_until(&mut server, "once").await;
            }
            return server;
        }
        let well = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        server.write_all(well).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_is_finished_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = format!(
        "http: {{url: \"http://{}/\"}}",
        listener.local_addr().unwrap()
    );
    let folder = folder_with_agent("slow", &agent);
    let worker = Daemon::start(settings_in(&folder, "worker", ""))
        .await
        .unwrap();
    let mut client = TcpStream::connect(worker.address()).await.unwrap();
    let request = RUN.replace("echo", "slow");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut server = run_arriving_at(&listener).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    server.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut client, "first").await;

    let stopping = tokio::spawn(worker.stop());
    sleep(Duration::from_millis(1_500)).await;
    server.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    let rest = read_until(&mut client, "0\r\n\r\n").await;
    assert!(rest.contains("last"), "{rest}");
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

/// The gateway has connections to it in hand, and is told nothing but what its answers say.
#[tokio::test]
async fn a_node_that_stops_under_load_costs_no_request() {
    let (one, two) = (alone("one", "").await, alone("two", "").await);
    let peers = format!(
        "peers: [{{name: one, url: \"{}\"}}, {{name: two, url: \"{}\"}}]",
        one.url(),
        two.url()
    );
    let gateway =
        Arc::new(alone("gateway", &format!("services: {{agents: false}}\n{peers}")).await);
    let (is_over, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (gateway, is_over) = (Arc::clone(&gateway), Arc::clone(&is_over));
        let answered = Arc::clone(&answered);
        clients.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let answer = run(&gateway, "echo", "hello").await;
                assert_eq!(answer.status, 200, "{}", answer.detail());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    eventually("they are at it", || answered.load(Ordering::Relaxed) > 100).await;
    one.stop().await;
    let by_then = answered.load(Ordering::Relaxed);
    eventually("they go on", || {
        answered.load(Ordering::Relaxed) > by_then + 100
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert_eq!(gateway.in_flight(), 0);
}
