//! What is passed on as the bytes it came in reads as if it had gone the ordinary way, for the node and for the client.
//!
//! A connection that has once asked for something else is served in the ordinary way from then on: so the same request on a
//! new connection and on one that asked for the health before must not differ.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromeshd::Daemon;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::alone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

const PLAIN: &str =
    "POST /v1/agents/x/run HTTP/1.1\r\nHost: x\r\nX-Mine: 1\r\nContent-Length: 5\r\n\r\nhello";

const OK: &str = "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}";

/// A node that says the same to everything, and what it was asked last.
struct Backend {
    url: String,
    asked: Arc<Mutex<String>>,
}

impl Backend {
    async fn saying(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(String::new()));
        let last = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_all(stream, answer, Arc::clone(&last)));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer_all(mut stream: TcpStream, answer: &'static str, last: Arc<Mutex<String>>) {
    while let Some(request) = message(&mut stream).await {
        *last.lock().unwrap() = request;
        drop(stream.write_all(answer.as_bytes()).await);
        if !answer.contains("ength:") && !answer.contains("chunked") {
            return;
        }
    }
}

/// The next request or answer, whole.
async fn message(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split_once("content-length: ");
            let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length)
                || head.contains("chunked") && body.ends_with("0\r\n\r\n")
                || head.starts_with("http/1.1 204 ")
                || head.starts_with("http/1.1 304 ")
            {
                return Some(text);
            }
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => text.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
            _ => return None,
        }
    }
}

async fn gateway(backend: &Backend) -> Daemon {
    let peers = format!("peers: [{{name: a, url: \"{}\"}}]", backend.url);
    alone("gateway", &format!("services: {{agents: false}}\n{peers}")).await
}

async fn asked(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = timeout(support::PATIENCE, message(stream)).await;
    answer.expect("in time").expect("an answer")
}

/// A message with its fields in order and in small letters, and without what is never the same twice.
fn without_accidents(message: &str) -> (String, Vec<String>, String) {
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let (first, fields) = head.split_once("\r\n").unwrap();
    let fields = fields.lines().map(|field| {
        let (name, value) = field.split_once(": ").unwrap_or((field, ""));
        format!("{}: {value}", name.to_ascii_lowercase())
    });
    let mut fields: Vec<String> = fields
        .filter(|field| !field.starts_with("x-astromesh-overhead-ms: "))
        .collect();
    fields.sort();
    (first.to_owned(), fields, body.to_owned())
}

/// What the node was asked, and what the client was answered, by the express or where that is closed.
async fn passed(
    gateway: &Daemon,
    backend: &Backend,
    request: &str,
    by_express: bool,
) -> (String, String) {
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    if !by_express {
        asked(&mut client, HEALTH).await;
    }
    let answer = asked(&mut client, request).await;
    (backend.asked(), answer)
}

async fn both_ways(request: &str, answer: &'static str) {
    let backend = Backend::saying(answer).await;
    let gateway = gateway(&backend).await;
    let (out, back) = passed(&gateway, &backend, request, true).await;
    let (ordinary_out, ordinary_back) = passed(&gateway, &backend, request, false).await;
    // Names are written as they came by the express alone.
    assert!(out.contains("X-Mine: "), "it did not go by express: {out}");
    assert!(!ordinary_out.contains("X-Mine: "), "{ordinary_out}");
    assert_eq!(
        without_accidents(&out),
        without_accidents(&ordinary_out),
        "{request}"
    );
    assert_eq!(
        without_accidents(&back),
        without_accidents(&ordinary_back),
        "{answer}"
    );
}

#[tokio::test]
async fn a_request_goes_out_as_in_the_ordinary_way() {
    for fields in [
        "X-Request-Id: mine\r\n",
        "x-request-id: mine\r\nX-Request-ID: other\r\n",
        "X-Request-Id: mine\r\nConnection: Keep-Alive\r\n",
        "X-Request-Id: mine\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n",
        "X-Request-Id: mine\r\nVia: 1.1 one, 1.0 two\r\nVia: 1.1 three\r\n",
        "X-Request-Id: mine\r\nCookie: a=b\r\nCookie: c=d\r\nAccept: */*\r\n",
        "X-Request-Id: mine\r\nTraceparent: 00-1-2-01\r\nIdempotency-Key: k\r\n",
        "X-Request-Id: mine\r\nAuthorization: Bearer x\r\nProxy-Status: x\r\n",
    ] {
        let request = PLAIN.replace("Content-Length", &format!("{fields}Content-Length"));
        both_ways(&request, OK).await;
    }
}

#[tokio::test]
async fn an_answer_comes_back_as_in_the_ordinary_way() {
    let request = PLAIN.replace("X-Mine", "X-Request-Id: mine\r\nX-Mine");
    for answer in [
        OK,
        "HTTP/1.1 200 Fine\r\nDate: today\r\nContent-Length: 0\r\nX-Request-Id: theirs\r\n\r\n",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nVia: 1.0 one\r\nVia: 1.1 two\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nX-Astromesh-Routed-To: bob\r\nX-Astromesh-Active: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nX-Astromesh-Node: bob\r\nX-Astromesh-Idempotent: true\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nX-Astromesh-Attempts: 7\r\nX-Astromesh-Overhead-Ms: 9\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nProxy-Authenticate: x\r\nProxy-Status: x\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ndate: today\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 204 No Content\r\ndate: today\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ndate: today\r\netag: \"1\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ndate: today\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 299 Odd\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 201 Created\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 400 Bad Request\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 500 Broken\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
    ] {
        both_ways(&request, answer).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_no_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\ncontent-length: 0\r\n\r\n",
        "gone: away\r\ncontent-length: 0\r\n\r\n",
    ] {
        let backend = Backend::saying(answer).await;
        for by_express in [true, false] {
            let gateway = gateway(&backend).await;
            let (_, back) = passed(&gateway, &backend, PLAIN, by_express).await;
            assert!(back.starts_with("HTTP/1.1 502 "), "{answer}: {back}");
            assert_eq!(gateway.in_flight(), 0);
        }
    }
}

#[tokio::test]
async fn what_is_sent_without_waiting_is_answered_in_order() {
    let backend = Backend::saying(OK).await;
    let gateway = gateway(&backend).await;
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    let named = |name: &str| PLAIN.replace("X-Mine: 1", &format!("X-Request-Id: {name}"));
    let all = [&named("one"), &named("two"), HEALTH, &named("three")].concat();
    client.write_all(all.as_bytes()).await.unwrap();
    let mut answers = String::new();
    while answers.matches("HTTP/1.1 200 OK").count() < 4 || !answers.ends_with("{}") {
        let mut buffer = [0; 4_096];
        let read = timeout(support::PATIENCE, client.read(&mut buffer)).await;
        let read = read.expect("in time").unwrap();
        assert!(read > 0, "{answers}");
        answers.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    let place = |what: &str| {
        answers
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {answers}"))
    };
    assert!(place("x-request-id: one") < place("x-request-id: two"));
    assert!(place("x-request-id: two") < place("x-request-id: three"));
}

#[tokio::test]
async fn a_request_that_comes_in_pieces_is_whole_in_the_end() {
    for (piece_bytes, pause) in [(1, 0), (40, 1), (100, 80)] {
        let backend = Backend::saying(OK).await;
        let gateway = gateway(&backend).await;
        let mut client = TcpStream::connect(gateway.address()).await.unwrap();
        client.set_nodelay(true).unwrap();
        for piece in PLAIN.as_bytes().chunks(piece_bytes) {
            client.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(pause)).await;
        }
        let answer = timeout(support::PATIENCE, message(&mut client)).await;
        let answer = answer.expect("in time").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(backend.asked().ends_with("\r\n\r\nhello"));
    }
}

/// What is not answered plainly is the router's, and the next request goes by express again.
#[tokio::test]
async fn a_connection_stays_in_the_express_whatever_is_answered() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 500 Broken\r\ndate: today\r\ncontent-length: 2\r\n\r\n{}",
        "gone: away\r\ncontent-length: 0\r\n\r\n",
    ] {
        let backend = Backend::saying(answer).await;
        let gateway = gateway(&backend).await;
        let mut client = TcpStream::connect(gateway.address()).await.unwrap();
        for name in ["one", "two", "three"] {
            let request = PLAIN.replace("X-Mine: 1", &format!("X-Mine: 1\r\nX-Request-Id: {name}"));
            let said = asked(&mut client, &request).await;
            assert!(
                said.contains(&format!("x-request-id: {name}\r\n")),
                "{said}"
            );
            let asked = backend.asked();
            assert!(
                asked.contains("X-Mine: ") && asked.contains(name),
                "{asked}"
            );
        }
    }
}

/// A node that breaks off, and one that answers: a request that both have seen has one name.
#[tokio::test]
async fn a_request_is_called_the_same_wherever_it_is_tried() {
    let (broken, whole) = (Backend::saying("").await, Backend::saying(OK).await);
    let (a, b) = (&broken.url, &whole.url);
    let peers = format!("peers: [{{name: a, url: \"{a}\"}}, {{name: b, url: \"{b}\"}}]");
    let gateway = alone("gateway", &format!("services: {{agents: false}}\n{peers}")).await;
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    let request = PLAIN.replace("X-Mine", "Idempotency-Key: k\r\nX-Mine");
    let mut answer = String::new();
    while !answer.contains("x-astromesh-attempts: 2\r\n") {
        answer = asked(&mut client, &request).await;
    }
    let named = |text: &str| {
        let (_, rest) = text.split_once("x-request-id: ").expect("a name");
        rest.lines().next().unwrap().to_owned()
    };
    assert_eq!(named(&broken.asked()), named(&answer));
    assert_eq!(named(&whole.asked()), named(&answer));
    assert!(named(&answer).len() == 36, "{answer}");
}

/// A node may close a connection that was kept for the next request, at any time between two.
#[tokio::test]
async fn a_connection_that_was_closed_between_two_requests_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = Backend {
        url: format!("http://{}", listener.local_addr().unwrap()),
        asked: Arc::default(),
    };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            message(&mut stream).await;
            drop(stream.write_all(OK.as_bytes()).await);
        }
    });
    let gateway = gateway(&backend).await;
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    for _ in 0..5 {
        let answer = asked(&mut client, PLAIN).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(gateway.in_flight(), 0);
}
