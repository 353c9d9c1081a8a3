//! One run of an agent: what is asked, what is answered, and what is wrong with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::{AgentList, RunAnswer, SystemStatus};
use astromeshd::Daemon;
use hyper::HeaderMap;
use maia::address::Url;
use std::net::SocketAddr;
use support::{alone, eventually, folder_with_agent, get, post, post_with, ran, run, settings_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers each connection's first request with `answer`, after having read `request_bytes` at least.
async fn agent_server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = vec![0; 64 * 1_024];
                drop(stream.read(&mut seen).await);
                drop(stream.write_all(answer.as_bytes()).await);
            });
        }
    });
    address
}

/// A server that takes requests and never answers.
async fn silent_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address
}

async fn node_with_server(server: SocketAddr) -> Daemon {
    let folder = folder_with_agent("served", &format!("http: {{url: \"http://{server}/ask\"}}"));
    Daemon::start(settings_in(&folder, "solo", ""))
        .await
        .unwrap()
}

#[tokio::test]
async fn echo_answers_with_the_query() {
    let daemon = alone("sölo 1", "").await;
    let body = r#"{"query":"what is this","session_id":"s-1","context":{"a":1},"unknown":true}"#;
    let mut headers = HeaderMap::new();
    headers.insert("x-request-id", "mine".parse().unwrap());
    let answer = post_with(&daemon.url(), "/v1/agents/echo/run", body, headers).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-astromesh-node"], "s%C3%B6lo%201");
    assert_eq!(answer.headers["x-astromesh-routed-to"], "s%C3%B6lo%201");
    assert_eq!(answer.headers["x-request-id"], "mine");
    let said: RunAnswer = answer.json().unwrap();
    assert_eq!(
        (said.answer.as_str(), said.session_id.as_str()),
        ("what is this", "s-1")
    );
    assert_eq!(
        (said.node.as_str(), said.model.as_str()),
        ("sölo 1", "echo")
    );
    assert_eq!(said.usage.total_tokens, 6);
    let list: AgentList = get(&daemon, "/v1/agents").await.json().unwrap();
    assert_eq!(list.agents.len(), 1);
}

#[tokio::test]
async fn echo_streams_events_where_that_is_wanted() {
    let daemon = alone("solo", "").await;
    let answer = post(
        &daemon,
        "/v1/agents/echo/run",
        r#"{"query":"one two three","stream":true}"#,
    )
    .await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    let text = String::from_utf8(answer.body).unwrap();
    let events: Vec<_> = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    assert_eq!(*events.last().unwrap(), "[DONE]");
    let whole: RunAnswer = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(whole.answer, "one two three");
    assert!(events.len() > 3, "{events:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_run_is_said_and_never_a_fault_of_ours() {
    let daemon = alone("solo", "").await;
    let nul = "\0".repeat(100);
    for (path, body, status, named) in [
        ("/v1/agents/echo/run", "", 400, "body"),
        ("/v1/agents/echo/run", "not json", 400, "body"),
        ("/v1/agents/echo/run", nul.as_str(), 400, "body"),
        ("/v1/agents/echo/run", "[1]", 400, "object"),
        ("/v1/agents/echo/run", "{}", 400, "query"),
        ("/v1/agents/echo/run", r#"{"query":null}"#, 400, "query"),
        ("/v1/agents/echo/run", r#"{"query":["a"]}"#, 400, "query"),
        (
            "/v1/agents/echo/run",
            r#"{"query":"a","session_id":{}}"#,
            400,
            "session_id",
        ),
        (
            "/v1/agents/echo/run",
            r#"{"query":"a","stream":1}"#,
            400,
            "stream",
        ),
        ("/v1/agents/nobody/run", r#"{"query":"a"}"#, 404, "nobody"),
        ("/v1/agents/a%20b/run", r#"{"query":"a"}"#, 404, "a%20b"),
        ("/v1/agents/%ff/run", r#"{"query":"a"}"#, 404, "%ff"),
        ("/v1/agents//run", r#"{"query":"a"}"#, 404, "/run"),
        ("/v1/agents/echo/run/more", r#"{"query":"a"}"#, 405, "POST"),
        ("/v1/agentsx", "{}", 404, "/v1/agentsx"),
        ("/nowhere", "{}", 404, "/nowhere"),
        ("/v1/agents", "{}", 405, "GET"),
        ("/healthz", "{}", 405, "GET"),
    ] {
        let answer = post(&daemon, path, body).await;
        let said = answer.detail();
        assert!(
            answer.status == status && said.contains(named),
            "{path} {body:?}: {} {said}",
            answer.status
        );
    }
    let answer = get(&daemon, "/v1/agents/echo/run").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let daemon = alone("solo", "").await;
    let body = format!("{{\"query\":\"{}\"}}", "x".repeat(9 * 1_024 * 1_024));
    // The refusal may come while the body is still being sent, which then breaks off.
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    let head = format!(
        "POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn an_agent_may_be_a_server_of_its_own() {
    let server = agent_server(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 28\r\n\r\n{\"answer\":\"yes\",\"extra\":[1]}",
    )
    .await;
    let daemon = node_with_server(server).await;
    let answer = run(&daemon, "served", "hello").await;
    assert_eq!(ran(&answer), "solo");
    let said: RunAnswer = answer.json().unwrap();
    assert_eq!(said.answer, "yes");
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["extra"][0], 1);
}

#[tokio::test]
async fn what_an_agents_server_refuses_passes_through() {
    let server = agent_server(
        "HTTP/1.1 422 Unprocessable\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"detail\":\"hmm\"}",
    )
    .await;
    let answer = run(&node_with_server(server).await, "served", "hello").await;
    assert_eq!(
        (answer.status.as_u16(), answer.detail().as_str()),
        (422, "hmm")
    );
}

#[tokio::test]
async fn an_agents_server_that_fails_is_named() {
    for (answer, named) in [
        (
            "HTTP/1.1 302 Found\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n",
            "redirects",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]",
            "object",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            "answer",
        ),
        ("", "broke off"),
    ] {
        let answer = run(
            &node_with_server(agent_server(answer).await).await,
            "served",
            "hello",
        )
        .await;
        assert_eq!(answer.status, 502);
        assert!(answer.detail().contains(named), "{}", answer.detail());
    }
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let answer = run(&node_with_server(nobody).await, "served", "hello").await;
    assert!(
        answer.status == 503 && answer.detail().contains("refused"),
        "{}",
        answer.detail()
    );
}

#[tokio::test]
async fn nothing_stays_in_flight_after_clients_went_away() {
    let server = silent_server().await;
    let worker = node_with_server(server).await;
    let gateway = alone(
        "gateway",
        &format!(
            "services: {{agents: false}}\npeers: [{{name: worker, url: \"{}\"}}]",
            worker.url()
        ),
    )
    .await;
    let body = r#"{"query":"hello"}"#;
    let request = format!(
        "POST /v1/agents/served/run HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        clients.push(stream);
    }
    eventually("all are in flight", || {
        gateway.in_flight() == 100 && worker.in_flight() == 100
    })
    .await;
    let status: SystemStatus = get(&gateway, "/v1/system/status").await.json().unwrap();
    assert_eq!(
        (status.requests.active, status.requests.forwarded),
        (0, 100)
    );
    drop(clients);
    eventually("none is left", || {
        gateway.in_flight() == 0 && worker.in_flight() == 0
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let daemon = alone("solo", "").await;
    let mut settings = support::settings("other", "");
    settings.api.port = daemon.address().port();
    let error = Daemon::start(settings).await.unwrap_err();
    assert!(!error.is_configuration());
    assert!(
        error.to_string().contains(&daemon.address().to_string()),
        "{error}"
    );
    let url: Url = daemon.url();
    daemon.stop().await;
    assert!(
        TcpStream::connect(("127.0.0.1", url.port())).await.is_err(),
        "the listener is closed"
    );
}

/// Several threads serve, each with connections to other nodes of its own; nothing is lost between them, and they end with
/// the daemon.
#[tokio::test]
async fn several_threads_serve_as_one() {
    const CLIENTS: usize = 12;
    let worker = alone("worker", "api: {threads: 3}").await;
    let peers = format!("peers: [{{name: worker, url: \"{}\"}}]", worker.url());
    let spec = format!("api: {{threads: 3}}\nservices: {{agents: false}}\n{peers}");
    let gateway = std::sync::Arc::new(alone("gateway", &spec).await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let gateway = std::sync::Arc::clone(&gateway);
        clients.spawn(async move {
            for _ in 0..20 {
                let answer = run(&gateway, "echo", "hello").await;
                assert_eq!(
                    (answer.status.as_u16(), ran(&answer).as_str()),
                    (200, "worker")
                );
            }
        });
    }
    clients.join_all().await;
    eventually("nothing is in flight", || gateway.in_flight() == 0).await;
    let status = get(&gateway, "/v1/system/status").await;
    let status = status.json::<serde_json::Value>().unwrap();
    assert_eq!(status["requests"]["total"]["forwarded"], 20 * CLIENTS);
    let gateway = std::sync::Arc::into_inner(gateway).expect("the clients are done");
    let (address, at) = (gateway.address(), worker.address());
    gateway.stop().await;
    worker.kill().await;
    for address in [address, at] {
        assert!(TcpStream::connect(address).await.is_err());
    }
}
