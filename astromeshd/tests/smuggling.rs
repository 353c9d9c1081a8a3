//! Requests that can be read in two ways, over raw sockets: each is answered 400, the connection is closed, and the node
//! behind sees nothing of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromeshd::Daemon;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{alone, get, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// A node that answers everything, and all that it was sent.
struct Backend {
    url: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Backend {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_all(stream, Arc::clone(&all)));
            }
        });
        Self { url, received }
    }

    fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }
}

async fn answer_all(mut stream: TcpStream, received: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        received.lock().unwrap().extend_from_slice(&buffer[..read]);
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        drop(stream.write_all(answer.as_bytes()).await);
    }
}

async fn gateway(backend: &Backend) -> Daemon {
    let peers = format!("peers: [{{name: a, url: \"{}\"}}]", backend.url);
    alone("gateway", &format!("services: {{agents: false}}\n{peers}")).await
}

/// All that comes back to `bytes`, until the gateway closes.
async fn answered(gateway: &Daemon, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let closes = timeout(support::PATIENCE, stream.read_to_end(&mut answer)).await;
    // What was left unread makes a reset of the close.
    drop(closes.expect("the connection is closed"));
    String::from_utf8_lossy(&answer).into_owned()
}

const START: &str = "POST /v1/agents/x/run HTTP/1.1\r\nHost: x\r\n";

/// What would do harm if it were taken for a request of its own.
const HIDDEN: &str = "POST /v1/agents/hidden/run HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

/// The rest of a head and what follows it.
const CORPUS: &[(&str, &str)] = &[
    (
        "a length, then chunks",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks, then a length",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    (
        "a length of nothing, then chunks",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths that differ",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ),
    (
        "two lengths that agree",
        "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    ("two lengths in one", "Content-Length: 5, 5\r\n\r\nhello"),
    ("a length with a sign", "Content-Length: +5\r\n\r\nhello"),
    ("a length below nothing", "Content-Length: -1\r\n\r\n"),
    (
        "a length in another base",
        "Content-Length: 0x5\r\n\r\nhello",
    ),
    (
        "a length with a space in it",
        "Content-Length: 1 0\r\n\r\nhello",
    ),
    ("no length in a length", "Content-Length: \r\n\r\nhello"),
    (
        "a length that no machine holds",
        "Content-Length: 99999999999999999999999\r\n\r\n",
    ),
    (
        "a name with a space behind",
        "Content-Length : 5\r\n\r\nhello",
    ),
    (
        "a name with a tab behind",
        "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a name with a space before",
        " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a folded field",
        "X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a folded value",
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an encoding that is none",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an encoding after chunked",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "an encoding before chunked",
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice in one",
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, then nothing",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked with a control character",
        "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in quotes",
        "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    ("lines without CR", "Content-Length: 5\n\r\nhello"),
    ("an end without CR", "Content-Length: 5\r\n\nhello"),
    (
        "a CR alone in a value",
        "X-A: 1\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a zero byte", "X-A: \0\r\n\r\n"),
    ("a line that is no field", "hello\r\n\r\n"),
    ("two hosts", "Host: y\r\nContent-Length: 2\r\n\r\n{}"),
    (
        "a chunk that has no length",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ),
    (
        "a chunk with a sign",
        "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    ),
    (
        "a chunk in C's notation",
        "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    ),
    (
        "a chunk that no machine holds",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n",
    ),
    (
        "a chunk's line without CR",
        "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    ),
    (
        "an extension with a line in it",
        "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    ),
];

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_400_and_goes_no_further() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend).await;
    for (what, rest) in CORPUS {
        // What stands behind is hidden from whoever reads the length otherwise than the gateway.
        let answer = answered(&gateway, format!("{START}{rest}{HIDDEN}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert!(answer.contains("{\"detail\":"), "{what}: {answer}");
        assert_eq!(backend.received(), "", "{what}");
    }
    for (what, head) in [
        (
            "chunks in the old version",
            "POST /v1/agents/x/run HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "no host",
            "POST /v1/agents/x/run HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        ),
        ("no version", "POST /v1/agents/x/run\r\n\r\n"),
        (
            "a version that is none",
            "POST /v1/agents/x/run HTTP/1.2\r\nHost: x\r\n\r\n",
        ),
        (
            "two spaces",
            "POST  /v1/agents/x/run HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
    ] {
        let answer = answered(&gateway, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        assert_eq!(backend.received(), "", "{what}");
    }
    let status = get(&gateway, "/v1/system/status")
        .await
        .json::<serde_json::Value>()
        .unwrap();
    let turned_away = &status["requests"]["turned_away"];
    assert!(turned_away["ambiguous"].as_u64() > Some(5), "{turned_away}");
    assert!(
        turned_away["unreadable"].as_u64() > Some(5),
        "{turned_away}"
    );
    assert_eq!(run(&gateway, "x", "hello").await.status, 200);
    assert_eq!(gateway.in_flight(), 0);
}

/// A head that is seen too late to be judged, for it came with the one before it, may not be chunked.
#[tokio::test]
async fn a_second_request_in_the_same_piece_is_not_trusted_with_chunks() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend).await;
    let first = format!("{START}Content-Length: 2\r\n\r\n{{}}");
    let second = "POST /v1/agents/second/run HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = answered(&gateway, format!("{first}{second}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
    assert!(
        !backend.received().contains("second"),
        "{}",
        backend.received()
    );
}

/// Chunks that are wrong further on have begun to pass by then: what has is no whole request, and never becomes one.
#[tokio::test]
async fn a_body_that_goes_wrong_on_its_way_never_ends_at_the_node() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!("{START}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while !backend.received().contains("first") {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            backend.received()
        );
        sleep(Duration::from_millis(5)).await;
    }
    stream.write_all(b"zz\r\n").await.unwrap();
    drop(timeout(support::PATIENCE, stream.read_to_end(&mut Vec::new())).await);
    assert!(
        !backend.received().contains("0\r\n\r\n"),
        "{}",
        backend.received()
    );
    assert_eq!(gateway.in_flight(), 0);
}

/// What a proxy is asked, with the host in the first line, goes on as a node is asked; and an answer that says to go
/// elsewhere is the answer.
#[tokio::test]
async fn the_place_in_the_first_line_is_not_passed_on() {
    let backend = Backend::start().await;
    let gateway = gateway(&backend).await;
    let request = "POST http://elsewhere.invalid/v1/agents/x/run?a=b HTTP/1.1\r\nHost: y\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let answer = answered(&gateway, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let received = backend.received();
    assert!(
        received.starts_with("POST /v1/agents/x/run?a=b HTTP/1.1\r\n"),
        "{received}"
    );
    assert!(!received.contains("elsewhere"), "{received}");
}
