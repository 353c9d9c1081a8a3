//! Clients that go away, at every moment there is: the node behind hears of it at once, and nothing stays in flight.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromeshd::Daemon;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{PATIENCE, alone, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What a client sends: all of it, or less.
const WHOLE: &str = "POST /v1/agents/x/run HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
const BEGUN: &str = "POST /v1/agents/x/run HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
const CHUNKED: &str =
    "POST /v1/agents/x/run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";
const WRONG: &str = "POST /v1/agents/x/run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n";

/// How a node behaves towards a request.
#[derive(Clone, Copy)]
enum Node {
    Silent,
    StandsStill,
    Streams,
    BreaksOff,
}

/// A node that behaves so, and how many connections it has.
async fn node(behaves: Node) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                serve(stream, behaves).await;
                count.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (url, open)
}

async fn serve(mut stream: TcpStream, behaves: Node) {
    let mut buffer = [0; 4_096];
    let first = stream.read(&mut buffer).await;
    if !matches!(first, Ok(1..)) || matches!(behaves, Node::BreaksOff) {
        return;
    }
    if !matches!(behaves, Node::Silent) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        drop(stream.write_all(head.as_bytes()).await);
        while stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.is_ok() {
            if matches!(behaves, Node::StandsStill) {
                break;
            }
            let read = timeout(Duration::from_millis(5), stream.read(&mut buffer)).await;
            if let Ok(Ok(0) | Err(_)) = read {
                return;
            }
        }
    }
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

async fn gateway(threads: usize, url: &str) -> Daemon {
    limited(threads, url, "").await
}

async fn limited(threads: usize, url: &str, limits: &str) -> Daemon {
    let spec = format!(
        "api: {{threads: {threads}}}\nservices: {{agents: false}}\npeers: [{{name: a, url: \"{url}\"}}]\nlimits: {{{limits}}}"
    );
    alone("gateway", &spec).await
}

#[tokio::test]
async fn a_node_hears_that_the_client_has_gone_before_and_after_the_first_byte() {
    for behaves in [Node::Silent, Node::Streams] {
        let (url, open) = node(behaves).await;
        let gateway = gateway(1, &url).await;
        let mut client = TcpStream::connect(gateway.address()).await.unwrap();
        client.write_all(WHOLE.as_bytes()).await.unwrap();
        eventually("it is there", || open.load(Ordering::SeqCst) == 1).await;
        if matches!(behaves, Node::Streams) {
            let mut head = vec![0; 4_096];
            let read = timeout(PATIENCE, client.read(&mut head))
                .await
                .unwrap()
                .unwrap();
            let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
            assert!(head.contains("x-accel-buffering: no"), "{head}");
        }
        assert_eq!(gateway.in_flight(), 1);
        drop(client);
        eventually("it has heard", || open.load(Ordering::SeqCst) == 0).await;
        eventually("nothing is in flight", || gateway.in_flight() == 0).await;
    }
}

/// A thousand times over; `benches` does it a million times.
#[tokio::test]
async fn nothing_stays_in_flight_however_requests_end() {
    for threads in [1, 2] {
        for behaves in [Node::Silent, Node::Streams, Node::BreaksOff] {
            let (url, open) = node(behaves).await;
            let gateway = gateway(threads, &url).await;
            for number in 0..160_u64 {
                let request = [WHOLE, BEGUN, CHUNKED, WRONG][number as usize % 4];
                let Ok(mut client) = TcpStream::connect(gateway.address()).await else {
                    continue;
                };
                drop(client.write_all(request.as_bytes()).await);
                sleep(Duration::from_micros(number * 37 % 2_000)).await;
                if number % 3 == 0 {
                    let mut buffer = [0; 256];
                    drop(timeout(Duration::from_millis(2), client.read(&mut buffer)).await);
                }
            }
            eventually("nothing is in flight", || gateway.in_flight() == 0).await;
            eventually("all is closed", || open.load(Ordering::SeqCst) == 0).await;
        }
    }
}

/// All that comes back, until the connection is closed or the answer has its length.
async fn answered(gateway: &Daemon) -> String {
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    let request = WHOLE.replace("Host: x", "Host: x\r\nConnection: close");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(
        timeout(PATIENCE, client.read_to_end(&mut answer))
            .await
            .expect("it ends"),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_answer_has_deadlines_for_its_beginning_its_pauses_and_its_end() {
    let (silent, open) = node(Node::Silent).await;
    let gateway = limited(1, &silent, "node_first_byte_timeout: 200ms").await;
    let answer = answered(&gateway).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(answer.contains("outcome is unknown"), "{answer}");
    eventually("the node has heard", || open.load(Ordering::SeqCst) == 0).await;

    let (stands_still, _) = node(Node::StandsStill).await;
    let gateway = limited(1, &stands_still, "node_idle_timeout: 200ms").await;
    let answer = answered(&gateway).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("data: 1") && !answer.ends_with("0\r\n\r\n"),
        "{answer}"
    );

    let (streams, open) = node(Node::Streams).await;
    let gateway = limited(1, &streams, "node_answer_timeout: 300ms").await;
    let answer = answered(&gateway).await;
    assert!(answer.matches("data: 1").count() > 1, "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    eventually("the node has heard", || open.load(Ordering::SeqCst) == 0).await;
    eventually("nothing is in flight", || gateway.in_flight() == 0).await;
}
