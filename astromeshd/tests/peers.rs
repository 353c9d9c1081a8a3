//! Static peers: used in turn, the next one tried where nothing was sent yet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::AgentList;
use astromeshd::Daemon;
use hyper::HeaderMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{alone, folder_with_agent, get, killed, post_with, ran, run, settings_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NO_AGENTS: &str = "services: {agents: false}";

async fn gateway(peers: &[(&str, &Daemon)]) -> Daemon {
    let peers: Vec<_> = peers
        .iter()
        .map(|(name, peer)| format!("{{name: {name}, url: \"{}\"}}", peer.url()))
        .collect();
    alone(
        "gateway",
        &format!("{NO_AGENTS}\npeers: [{}]", peers.join(", ")),
    )
    .await
}

async fn with_agent(name: &str, agent: &str) -> Daemon {
    let folder = folder_with_agent(agent, "model: {primary: {provider: echo, model: echo}}");
    Daemon::start(settings_in(&folder, name, "")).await.unwrap()
}

#[tokio::test]
async fn peers_are_used_in_turn() {
    let (one, two, three) = (
        alone("one", "").await,
        alone("two", "").await,
        alone("three", "").await,
    );
    let gateway = gateway(&[("a", &one), ("b", &two), ("c", &three)]).await;
    let mut by = Vec::new();
    for _ in 0..6 {
        by.push(ran(&run(&gateway, "echo", "hello").await));
    }
    assert_eq!(by[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{by:?}");
    assert_eq!(by[..3], by[3..]);

    killed(two).await;
    for _ in 0..6 {
        assert_ne!(ran(&run(&gateway, "echo", "hello").await), "two");
    }
    one.kill().await;
    killed(three).await;
    let answer = run(&gateway, "echo", "hello").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.detail().contains("No available node") && answer.headers.contains_key("retry-after")
    );
    assert_eq!(gateway.in_flight(), 0);
}

#[tokio::test]
async fn one_that_lacks_the_agent_passes_it_on() {
    let (one, two) = (
        with_agent("one", "red").await,
        with_agent("two", "blue").await,
    );
    let gateway = gateway(&[("a", &one), ("b", &two)]).await;
    for _ in 0..4 {
        assert_eq!(ran(&run(&gateway, "red", "hello").await), "one");
        assert_eq!(ran(&run(&gateway, "blue", "hello").await), "two");
    }
    let answer = run(&gateway, "green", "hello").await;
    assert_eq!(answer.status, 404);
    assert!(answer.detail().contains("green"));
    let list: AgentList = get(&gateway, "/v1/agents").await.json().unwrap();
    let listed: Vec<_> = list
        .agents
        .iter()
        .filter(|agent| agent.name != "echo")
        .map(|agent| (agent.name.as_str(), agent.nodes[0].name.as_str()))
        .collect();
    assert_eq!(listed, [("blue", "b"), ("red", "a")]);
}

#[tokio::test]
async fn this_node_itself_comes_first() {
    let one = alone("one", "").await;
    let gateway = alone(
        "gateway",
        &format!("peers: [{{name: a, url: \"{}\"}}]", one.url()),
    )
    .await;
    assert_eq!(ran(&run(&gateway, "echo", "hello").await), "gateway");
}

#[tokio::test]
async fn two_that_list_each_other_do_not_pass_requests_to_and_fro() {
    let mut one = support::settings("one", NO_AGENTS);
    let two = alone("two", NO_AGENTS).await;
    let peers = support::settings(
        "x",
        &format!("peers: [{{name: two, url: \"{}\"}}]", two.url()),
    )
    .peers;
    one.peers = peers;
    let one = Daemon::start(one).await.unwrap();
    let answer = run(&one, "nobody", "hello").await;
    assert_eq!(answer.status, 404);
    let mut headers = HeaderMap::new();
    headers.insert("x-astromesh-hops", "9".parse().unwrap());
    let answer = post_with(
        &one.url(),
        "/v1/agents/nobody/run",
        r#"{"query":"a"}"#,
        headers,
    )
    .await;
    assert_eq!(answer.status, 508);
}

#[tokio::test]
async fn heads_are_rewritten_and_bodies_pass_as_they_are() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = alone(
        "gateway",
        &format!("{NO_AGENTS}\npeers: [{{name: a, url: \"{url}\"}}]"),
    )
    .await;
    let mut client = TcpStream::connect(gateway.address()).await.unwrap();
    client
        .write_all(
            b"POST /v1/agents/x/run?a=b HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, x-drop\r\nx-drop: 1\r\nte: trailers\r\n\
              traceparent: 00-1-2-01\r\nx-forwarded-for: 10.0.0.9\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        )
        .await
        .unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut seen = String::new();
    read_until(&mut peer, &mut seen, "first").await;
    // The first part is there while the second has yet to be sent.
    client.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut peer, &mut seen, "0\r\n\r\n").await;
    let head = seen.to_ascii_lowercase();
    assert!(
        head.starts_with("post /v1/agents/x/run?a=b http/1.1\r\n"),
        "{head}"
    );
    for kept in [
        "traceparent: 00-1-2-01",
        "x-forwarded-for: 10.0.0.9, 127.0.0.1",
        "via: 1.1 astromesh",
        "x-astromesh-hops: 1",
        "x-request-id: ",
        "x-astromesh-node-id: ",
    ] {
        assert!(head.contains(kept), "{kept}: {head}");
    }
    for dropped in ["x-drop", "te: trailers", "keep-alive"] {
        assert!(!head.contains(dropped), "{dropped}: {head}");
    }

    peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nkeep-alive: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    let mut seen = String::new();
    read_until(&mut client, &mut seen, "one").await;
    assert!(
        seen.contains("x-astromesh-routed-to: a") && !seen.contains("keep-alive: 1"),
        "{seen}"
    );
    peer.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut client, &mut seen, "0\r\n\r\n").await;
    assert!(seen.contains("two"));
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 4_096]).await);
        }
    });
    let gateway = alone(
        "gateway",
        &format!("{NO_AGENTS}\npeers: [{{name: a, url: \"{url}\"}}]"),
    )
    .await;
    let answer = run(&gateway, "echo", "hello").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.detail().contains("outcome is unknown"),
        "{}",
        answer.detail()
    );
    assert_eq!(gateway.in_flight(), 0);
}

async fn read_until(stream: &mut TcpStream, seen: &mut String, end: &str) {
    let mut buffer = [0; 4_096];
    while !seen.contains(end) {
        let read = tokio::time::timeout(support::PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "closed after {seen:?}");
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

/// A 404 of an agent that ran is its answer: it is not run again elsewhere.
#[tokio::test]
async fn a_404_that_an_agent_itself_gave_is_an_answer() {
    let runs = Arc::new(AtomicUsize::new(0));
    let server = refusing_agent(Arc::clone(&runs)).await;
    let agent = format!("http: {{url: \"http://{server}/\"}}");
    let folder = folder_with_agent("picky", &agent);
    let one = Daemon::start(settings_in(&folder, "one", ""))
        .await
        .unwrap();
    let other = Daemon::start(settings_in(&folder, "other", ""))
        .await
        .unwrap();
    let gateway = gateway(&[("one", &one), ("other", &other)]).await;
    let answer = run(&gateway, "picky", "anything").await;
    assert_eq!(answer.status, 404);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

/// What a client breaks off is the client's fault, also where another node would have run it.
#[tokio::test]
async fn a_body_that_the_client_breaks_is_400_and_blames_nobody_else() {
    let worker = with_agent("worker", "echo").await;
    let gateway = gateway(&[("worker", &worker)]).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head =
        "POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "\r\n\r\n").await;
    assert!(seen.starts_with("HTTP/1.1 400"), "{seen}");
}

async fn refusing_agent(runs: Arc<AtomicUsize>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = String::new();
            read_until(&mut stream, &mut seen, "\r\n\r\n").await;
            // Now and then it is only asked how it is.
            if !seen.starts_with("GET ") {
                runs.fetch_add(1, Ordering::Relaxed);
                read_until(&mut stream, &mut seen, "anything").await;
            }
            let answer =
                "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}
