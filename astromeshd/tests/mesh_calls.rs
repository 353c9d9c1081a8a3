//! The six calls of the mesh, with what is right and what is wrong with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use hyper::Method;
use serde_json::{Value, json};
use support::{alone, client, get, member, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CALLS: [(&str, &str); 6] = [
    ("GET", "/v1/mesh/state"),
    ("POST", "/v1/mesh/join"),
    ("POST", "/v1/mesh/gossip"),
    ("POST", "/v1/mesh/heartbeat"),
    ("POST", "/v1/mesh/leave"),
    ("POST", "/v1/mesh/election"),
];

fn record() -> Value {
    json!({
        "node_id": "0-somebody", "name": "somebody", "url": "http://127.0.0.1:1", "services": ["agents"], "agents": ["x"],
        "load": {"cpu_percent": 1.5, "memory_percent": 2.5, "active_requests": 3}, "leader": false,
        "joined_at": 1_800_000_000.5, "last_heartbeat": 1_800_000_001.5, "status": "alive"
    })
}

/// The record with one field changed, or taken away where `value` is absent.
fn with(field: &str, value: Option<Value>) -> Value {
    let mut record = record();
    let fields = record.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    record
}

#[tokio::test]
async fn without_a_mesh_every_call_says_so() {
    let daemon = alone("solo", "").await;
    for (method, path) in CALLS {
        let answer = client()
            .send(&daemon.url(), method.parse().unwrap(), path, None)
            .await
            .unwrap();
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(
            answer.body, br#"{"detail":"Mesh not enabled on this node"}"#,
            "{path}"
        );
    }
    // Before the body is read: here it never comes.
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    stream
        .write_all(b"POST /v1/mesh/gossip HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

#[tokio::test]
async fn every_answer_says_who_speaks() {
    let daemon = member("ana", &[], "").await;
    for (path, status) in [
        ("/v1/mesh/state", 200),
        ("/v1/mesh/nothing", 404),
        ("/v1/mesh/join", 405),
        ("/healthz", 200),
    ] {
        let answer = get(&daemon, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.headers["x-astromesh-node-id"],
            daemon.id().as_str(),
            "{path}"
        );
    }
    let answer = client()
        .send(&daemon.url(), Method::POST, "/v1/mesh/state", None)
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["allow"]),
        (405, &"GET".parse().unwrap())
    );
}

#[tokio::test]
async fn bad_input_is_refused_by_field_and_changes_nothing() {
    let daemon = member("ana", &[], "").await;
    let long = "x".repeat(65);
    let bad_records = [
        ("node_id", None),
        ("node_id", Some(json!(7))),
        ("node_id", Some(json!(""))),
        ("node_id", Some(json!(long))),
        ("node_id", Some(json!("a b"))),
        ("name", None),
        ("name", Some(json!("a\nb"))),
        ("name", Some(json!("x".repeat(129)))),
        ("url", Some(json!("gopher://x:1"))),
        ("url", Some(json!("http://x:1/path"))),
        ("url", Some(json!(null))),
        ("services", Some(json!("agents"))),
        ("services", Some(json!([1]))),
        ("agents", Some(json!(["a b"]))),
        ("load", Some(json!({"cpu_percent": "much"}))),
        ("load", Some(json!({"active_requests": -1}))),
        ("load", Some(json!({"cpu_percent": -1}))),
        ("joined_at", None),
        ("joined_at", Some(json!("now"))),
        ("joined_at", Some(json!(9e18))),
        ("last_heartbeat", Some(json!(-1))),
        ("status", Some(json!("zombie"))),
        ("ext", Some(json!("x"))),
    ];
    for path in ["/v1/mesh/join", "/v1/mesh/heartbeat"] {
        for (field, value) in &bad_records {
            let answer = post(&daemon, path, &with(field, value.clone()).to_string()).await;
            assert_eq!(
                answer.status,
                400,
                "{path} {field} {value:?}: {}",
                answer.detail()
            );
            assert!(
                answer.detail().contains(field),
                "{path} {field} {value:?}: {}",
                answer.detail()
            );
        }
    }
    for (path, body, named) in [
        ("/v1/mesh/join", "", "body"),
        ("/v1/mesh/join", "[]", "body"),
        ("/v1/mesh/join", "{", "EOF"),
        ("/v1/mesh/gossip", "{}", "nodes"),
        ("/v1/mesh/gossip", r#"{"nodes":7}"#, "nodes"),
        ("/v1/mesh/gossip", r#"{"nodes":[]} trailing"#, "body"),
        ("/v1/mesh/heartbeat", "null", "body"),
        ("/v1/mesh/leave", "{}", "node_id"),
        ("/v1/mesh/leave", r#"{"node_id":7}"#, "node_id"),
        ("/v1/mesh/leave", r#"{"node_id":"a b"}"#, "node_id"),
        ("/v1/mesh/election", "{}", "candidate_id"),
        (
            "/v1/mesh/election",
            r#"{"candidate_id":"a","node_id":[]}"#,
            "node_id",
        ),
    ] {
        let answer = post(&daemon, path, body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.detail());
        assert!(
            answer.detail().contains(named),
            "{path} {body}: {}",
            answer.detail()
        );
    }
    let state: Value = get(&daemon, "/v1/mesh/state").await.json().unwrap();
    assert_eq!(state["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(daemon.view().unwrap().members.len(), 1);
}

#[tokio::test]
async fn too_large_is_too_large() {
    let daemon = member("ana", &[], "").await;
    for (path, length) in [
        ("/v1/mesh/join", 64 * 1_024 + 1),
        ("/v1/mesh/gossip", 8 * 1_024 * 1_024 + 1),
    ] {
        let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{path}");
    }
    // One that does not say how long it is.
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    stream
        .write_all(b"POST /v1/mesh/join HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    stream
        .write_all(format!("{chunk}1\r\nx\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn an_election_is_answered_with_this_nodes_view() {
    let daemon = member("ana", &[], "").await;
    let answer = post(
        &daemon,
        "/v1/mesh/election",
        r#"{"candidate_id":"zzz","node_id":"zzz"}"#,
    )
    .await;
    assert_eq!(answer.status, 200);
    let said: Value = answer.json().unwrap();
    assert!(
        said["leader_id"] == daemon.id().as_str() || said["leader_id"].is_null(),
        "{said}"
    );
}

/// An exchange needs a permit to be answered, not to be read.
#[tokio::test]
async fn exchanges_that_are_sent_slowly_keep_nobody_out() {
    let mesh = format!(
        "mesh: {{enabled: true, {}}}\nlimits: {{concurrent_gossip: 1}}",
        support::QUICK
    );
    let daemon = alone("ana", &mesh).await;
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    let head = b"POST /v1/mesh/exchange HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 12\r\n\r\n";
    stream.write_all(head).await.unwrap();
    // Told to go on, it is being read.
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert!(told.starts_with(b"HTTP/1.1 100 "));
    let answer = post(&daemon, "/v1/mesh/gossip", r#"{"nodes":[]}"#).await;
    assert_eq!(answer.status, 200);
}
