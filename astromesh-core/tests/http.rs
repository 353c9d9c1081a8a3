//! The calling side of HTTP, against servers in this process that do what they should not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use astromesh_core::http::{
    CallError, Client, ConnectError, HttpTransport, Pool, PoolSettings, Reach, SendError, full,
    read_bounded,
};
use hyper::{Method, Request};
use maia::address::Url;
use maia::driver::Transport;
use maia::id::NodeId;
use maia::message::{Failure, Reply, Request as Message};
use serde_json::Value;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers each request on a connection with the next of `answers`, and closes where they end. Every answer
/// must be there in one read.
async fn server(answers: &[&str]) -> (Url, Arc<AtomicUsize>) {
    let answers: Arc<[String]> = answers.iter().map(ToString::to_string).collect();
    let connections = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer(stream, Arc::clone(&answers)));
        }
    });
    (url, connections)
}

async fn answer(mut stream: TcpStream, answers: Arc<[String]>) {
    let mut request = [0; 64 * 1_024];
    for answer in answers.iter() {
        if stream.read(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn nobody() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Url::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

fn pool() -> Pool {
    Pool::new(PoolSettings::new(Reach::Anywhere))
}

fn post(body: &str) -> Request<astromesh_core::http::Body> {
    let mut request = Request::new(full(body.to_owned()));
    *request.method_mut() = Method::POST;
    request
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    let (url, connections) = server(&[&ok("one"), &ok("two"), &ok("three")]).await;
    let pool = pool();
    for expected in ["one", "two", "three"] {
        let answer = pool.send(&url, post("x")).await.unwrap();
        assert_eq!(
            read_bounded(answer.into_body(), 100).await.unwrap(),
            expected
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_nothing() {
    let (url, connections) = server(&[&ok("one")]).await;
    let pool = pool();
    for _ in 0..3 {
        let answer = pool.send(&url, post("x")).await.unwrap();
        assert_eq!(read_bounded(answer.into_body(), 100).await.unwrap(), "one");
        // The server closes once it has answered; wait until that has arrived here.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

/// The runtime hears of the end of a connection only when it next looks, and has not looked here.
#[tokio::test]
async fn a_connection_that_was_closed_this_moment_is_not_used_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (answered, close) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        for () in close {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1_024]).unwrap() > 0);
            stream.write_all(ok("one").as_bytes()).unwrap();
        }
    });
    let pool = pool();
    for round in 0..8 {
        answered.send(()).unwrap();
        if round % 4 < 2 {
            let answer = pool.send(&url, post("x")).await.unwrap();
            let body = read_bounded(answer.into_body(), 100).await;
            assert_eq!(body.unwrap(), "one");
        } else {
            let mut wire = pool.wire(&url).await.unwrap();
            wire.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                .await
                .unwrap();
            let mut said = Vec::new();
            let read = poll_fn(|context| wire.poll_read(context, &mut said)).await;
            assert_eq!(read.unwrap(), ok("one").len());
            pool.keep(wire);
        }
        // Blocks the only thread there is.
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(answered);
    serving.join().unwrap();
}

#[tokio::test]
async fn a_request_that_was_not_sent_comes_back_whole() {
    let Err(SendError::NotSent { request, cause }) =
        pool().send(&nobody().await, post("hello")).await
    else {
        panic!("nobody is there");
    };
    assert!(matches!(cause, ConnectError::Refused { .. }), "{cause}");
    assert_eq!(
        read_bounded(request.into_body(), 100).await.unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn a_request_that_was_sent_does_not() {
    let (url, _) = server(&[""]).await;
    let outcome = pool().send(&url, post("hello")).await;
    assert!(matches!(outcome, Err(SendError::Broken { .. })));
}

#[tokio::test]
async fn an_answer_that_is_dropped_early_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let pool = pool();
    let sending = tokio::spawn({
        let (pool, url) = (pool.clone(), url.clone());
        async move { pool.send(&url, post("x")).await.unwrap() }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 1_024];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin")
        .await
        .unwrap();
    drop(sending.await.unwrap());
    let began = Instant::now();
    assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0);
    assert!(began.elapsed() < Duration::from_secs(1));
}

async fn exchanged(
    url: &Url,
    on_loopback: bool,
    seeds: &[Url],
) -> Result<maia::message::Answer, Failure> {
    let transport = HttpTransport::new(
        seeds.iter().cloned(),
        Arc::new(AtomicBool::new(on_loopback)),
    );
    let me = NodeId::new("me").unwrap();
    transport.exchange(me, url.clone(), Message::Election).await
}

#[tokio::test]
async fn the_transport_takes_what_is_an_answer_and_says_who_spoke() {
    let (url, _) = server(&["HTTP/1.1 200 OK\r\nx-astromesh-node-id: ana\r\ncontent-length: 19\r\n\r\n{\"leader_id\":\"ana\"}"]).await;
    let ana = NodeId::new("ana").unwrap();
    let answer = exchanged(&url, true, &[]).await.unwrap();
    assert_eq!(answer.from.as_ref(), Some(&ana));
    assert_eq!(answer.reply, Reply::Election(Some(ana)));
}

#[tokio::test]
async fn the_transport_says_what_went_wrong() {
    let long = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        9 * 1_024 * 1_024
    );
    for (answer, named) in [
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            "302",
        ),
        (
            "HTTP/1.1 500 Oops\r\ncontent-length: 18\r\n\r\n{\"detail\":\"oops!\"}",
            "oops!",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "body"),
        ("not http at all\r\n\r\n", ""),
        (&long, "longer"),
    ] {
        let (url, _) = server(&[answer]).await;
        let failure = exchanged(&url, true, &[]).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Unusable(what) | Failure::InTrouble(what) if what.contains(named)),
            "{answer}: {failure}"
        );
    }
    let (url, _) = server(&["HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\n{}"]).await;
    assert_eq!(exchanged(&url, true, &[]).await, Err(Failure::Left));
    assert_eq!(
        exchanged(&nobody().await, true, &[]).await,
        Err(Failure::Refused)
    );
    let nowhere = Url::new("http://nobody.invalid:80").unwrap();
    assert!(matches!(
        exchanged(&nowhere, true, &[]).await,
        Err(Failure::Unreachable(_))
    ));
}

#[tokio::test]
async fn the_transport_calls_loopback_only_where_it_may() {
    let (url, connections) = server(&[&ok("{\"leader_id\":null}")]).await;
    let failure = exchanged(&url, false, &[]).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure}");
    let by_name = Url::new(&format!("http://localhost:{}", url.port())).unwrap();
    assert!(matches!(
        exchanged(&by_name, false, &[]).await,
        Err(Failure::Unreachable(_))
    ));
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    // The operator wrote the seed down.
    assert!(
        exchanged(&url, false, std::slice::from_ref(&url))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_client_tells_the_troubles_apart() {
    let client = Client::new(Duration::from_millis(300));
    let trouble = |url: Url| {
        let client = client.clone();
        async move { client.get::<Value>(&url, "/x").await.unwrap_err() }
    };
    let error = trouble(nobody().await).await;
    assert!(matches!(error, CallError::NotReachable(_)), "{error}");
    assert!(error.to_string().contains("connection refused"), "{error}");

    let (url, _) =
        server(&["HTTP/1.1 404 Not Found\r\ncontent-length: 18\r\n\r\n{\"detail\":\"none!\"}"])
            .await;
    let error = trouble(url).await;
    assert!(
        matches!(&error, CallError::Status { status, detail, .. } if *status == 404 && detail == "none!"),
        "{error}"
    );

    let (url, _) = server(&[&ok("not json")]).await;
    assert!(matches!(trouble(url).await, CallError::Unusable { .. }));

    let (url, _) = server(&[""]).await;
    assert!(matches!(trouble(url).await, CallError::Broken { .. }));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::new(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    assert!(matches!(trouble(url).await, CallError::TimedOut { .. }));

    let (url, _) = server(&[&ok("{\"a\":1}")]).await;
    let answer: Value = client
        .post(&url, "/x", &serde_json::json!({"b": 2}))
        .await
        .unwrap();
    assert_eq!(answer["a"], 1);
}

/// Nobody may ever ask for that place again: what it was sent must not pin its connection.
#[tokio::test]
async fn a_connection_to_a_place_that_is_not_asked_again_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forgotten = Url::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let closed = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
        stream.write_all(ok("one").as_bytes()).await.unwrap();
        while stream.read(&mut [0; 1_024]).await.unwrap() > 0 {}
    });
    let pool = Pool::new(PoolSettings {
        idle_timeout: Duration::from_millis(50),
        ..PoolSettings::new(Reach::Anywhere)
    });
    let answer = pool.send(&forgotten, post("x")).await.unwrap();
    assert_eq!(read_bounded(answer.into_body(), 100).await.unwrap(), "one");
    let others = async {
        while !closed.is_finished() {
            let (url, _) = server(&[&ok("other")]).await;
            let answer = pool.send(&url, post("x")).await.unwrap();
            read_bounded(answer.into_body(), 100).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), others)
        .await
        .unwrap();
}
