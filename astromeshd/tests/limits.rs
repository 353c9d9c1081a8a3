//! What one connection may take up: time and bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromeshd::Daemon;
use std::time::{Duration, Instant};
use support::{eventually, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn impatient() -> Daemon {
    let mut settings = support::settings("solo", "");
    settings.limits.first_byte_timeout = Duration::from_millis(300);
    settings.limits.headers_timeout = Duration::from_millis(300);
    settings.limits.body_timeout = Duration::from_millis(300);
    settings.limits.idle_timeout = Duration::from_millis(300);
    Daemon::start(settings).await.unwrap()
}

/// What comes back until the other side closes.
async fn all_of(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let began = Instant::now();
    // A reset is a close as well.
    drop(
        tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut seen))
            .await
            .unwrap(),
    );
    assert!(began.elapsed() < Duration::from_secs(10), "closed too late");
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let daemon = impatient().await;
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    assert_eq!(all_of(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let daemon = impatient().await;
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    let (mut read, mut write) = stream.into_split();
    // A little now and then does not help.
    let drip = tokio::spawn(async move {
        while write.write_all(b" x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut seen = Vec::new();
    drop(
        tokio::time::timeout(support::PATIENCE, read.read_to_end(&mut seen))
            .await
            .unwrap(),
    );
    assert!(!String::from_utf8(seen).unwrap().contains("200"));
    drip.abort();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let daemon = impatient().await;
    for path in ["/v1/agents/echo/run"] {
        let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert!(
            all_of(&mut stream).await.starts_with("HTTP/1.1 408"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let daemon = impatient().await;
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    let mut buffer = [0; 4_096];
    for _ in 0..10 {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(all_of(&mut stream).await, "");
}

#[tokio::test]
async fn heads_have_a_bound() {
    let daemon = support::alone("solo", "").await;
    let many = (0..70).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let long = format!("x-long: {}\r\n", "x".repeat(17 * 1_024));
    for extra in [many, long] {
        let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{extra}\r\n");
        drop(stream.write_all(head.as_bytes()).await);
        assert!(all_of(&mut stream).await.starts_with("HTTP/1.1 431"));
    }
}

#[tokio::test]
async fn rubbish_is_answered_or_dropped_and_does_no_harm() {
    let daemon = support::alone("solo", "").await;
    for rubbish in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
        drop(stream.write_all(rubbish).await);
        drop(stream.shutdown().await);
        let answer = all_of(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(get(&daemon, "/healthz").await.status, 200);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let daemon = support::alone("solo", "").await;
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    stream
        .write_all(
            b"POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ncontent-length: 17\r\n\r\n{\"query\"",
        )
        .await
        .unwrap();
    eventually("it is in flight", || daemon.in_flight() == 1).await;
    let stopping = tokio::spawn(daemon.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!stopping.is_finished());
    stream.write_all(b":\"hello\"}").await.unwrap();
    let answer = all_of(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
        "{answer}"
    );
    stopping.await.unwrap();
}
