//! Every bound of one daemon, one past it: refused, in words, and counted under the name of its limit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::SystemStatus;
use astromesh_core::http::Answer;
use astromeshd::Daemon;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use support::{QUICK, eventually, get, member, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A node of a quick mesh with these limits.
async fn limited(limits: &str) -> Daemon {
    let spec = format!("mesh: {{enabled: true, {QUICK}}}\nlimits: {{{limits}}}");
    support::alone("ana", &spec).await
}

/// A record that is right, with one field changed.
fn record(field: &str, value: Value) -> Value {
    let mut record = json!({
        "node_id": "eve", "name": "eve", "url": "http://127.0.0.1:9", "joined_at": 1.0, "last_heartbeat": 1.0,
    });
    record[field] = value;
    record
}

fn forged(ids: std::ops::Range<usize>) -> String {
    let nodes: Vec<Value> = ids
        .map(|n| {
            let mut one = record("node_id", json!(format!("forged-{n}")));
            one["url"] = json!(format!("http://127.0.{}.{}:9", 1 + n / 250, 1 + n % 250));
            one
        })
        .collect();
    json!({ "nodes": nodes }).to_string()
}

async fn status(daemon: &Daemon) -> SystemStatus {
    get(daemon, "/v1/system/status").await.json().unwrap()
}

/// How often something was turned away at that bound.
async fn turned_away(daemon: &Daemon, bound: &str) -> u64 {
    let counts = status(daemon).await.requests.turned_away;
    counts.get(bound).copied().unwrap_or(0)
}

async fn counter(daemon: &Daemon, name: &str) -> u64 {
    status(daemon).await.mesh.unwrap().counters[name]
}

/// Waits until that counter of the mesh is as wanted. The node shows it with the next change, which is within a round.
async fn counted(daemon: &Daemon, name: &str, is_right: impl Fn(u64) -> bool) {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        let now = counter(daemon, name).await;
        if is_right(now) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{name} is {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many rows are hearsay.
fn hearsay(daemon: &Daemon) -> usize {
    let view = daemon.view().unwrap();
    view.members.iter().filter(|seen| !seen.confirmed).count()
}

/// Sends those bytes on a connection of their own; returns all that comes back until the other side closes.
async fn said(daemon: &Daemon, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let read = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut answer));
    // A reset is a close as well.
    drop(read.await.unwrap());
    String::from_utf8(answer).unwrap()
}

/// The status of an answer and what it has in words.
fn complaint(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or("").to_owned();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    (status, body["detail"].as_str().unwrap_or("").to_owned())
}

#[tokio::test]
async fn a_field_that_is_one_too_long_is_refused_by_its_name() {
    let daemon = member("ana", &[], "").await;
    let url = |bytes: usize| {
        let (start, end) = ("http://", ":8000");
        format!(
            "{start}{}{end}",
            "a".repeat(bytes - start.len() - end.len())
        )
    };
    let mut refused = 0;
    for (field, right, wrong) in [
        ("node_id", json!("a".repeat(64)), json!("a".repeat(65))),
        ("name", json!("a".repeat(128)), json!("a".repeat(129))),
        ("url", json!(url(256)), json!(url(257))),
        ("services", json!(["a".repeat(64)]), json!(["a".repeat(65)])),
        ("agents", json!(["a".repeat(64)]), json!(["a".repeat(65)])),
    ] {
        let answer = post(&daemon, "/v1/mesh/join", &record(field, right).to_string()).await;
        assert_eq!(answer.status, 200, "{field}: {}", answer.detail());
        for (path, said) in [
            ("/v1/mesh/join", record(field, wrong.clone())),
            ("/v1/mesh/heartbeat", record(field, wrong.clone())),
            ("/v1/mesh/gossip", json!({"nodes": [record(field, wrong)]})),
        ] {
            let answer: Answer = post(&daemon, path, &said.to_string()).await;
            assert_eq!(answer.status, 400, "{path} {field}");
            assert!(answer.detail().contains(field), "{}", answer.detail());
            refused += 1;
        }
    }
    let counted = status(&daemon).await.requests.total["mesh_refused"];
    assert_eq!(counted, refused);
}

#[tokio::test]
async fn a_record_that_is_one_byte_too_long_is_refused_and_counted() {
    let daemon = limited("record_bytes: 1000").await;
    let with_agents = |bytes: usize| {
        // An agent takes three bytes more than its name.
        let mut agents: Vec<String> = (0..8).map(|n| format!("agent-{n:051}")).collect();
        agents.push("f".repeat(bytes));
        record("agents", json!(agents)).to_string()
    };
    let mut longest = None;
    for bytes in 1..=64 {
        let answer = post(&daemon, "/v1/mesh/join", &with_agents(bytes)).await;
        if answer.status == 200 {
            longest = Some(bytes);
            continue;
        }
        assert_eq!(answer.status, 400);
        assert!(
            answer.detail().contains("1001 bytes"),
            "{}",
            answer.detail()
        );
        assert_eq!(longest, Some(bytes - 1), "one byte less was taken");
        counted(&daemon, "refused_requests", |count| count == 1).await;
        return;
    }
    panic!("never refused; the longest that was taken: {longest:?}");
}

#[tokio::test]
async fn a_node_whose_own_record_is_too_long_does_not_start() {
    let start = async |bytes: usize| {
        let spec = format!("mesh: {{enabled: true}}\nlimits: {{record_bytes: {bytes}}}");
        Daemon::start(support::settings("ana", &spec)).await
    };
    let refused = start(400).await.unwrap_err().to_string();
    assert_eq!(refused, "cannot take part in a mesh");
    assert!(start(8_192).await.is_ok());
}

#[tokio::test]
async fn a_body_that_is_one_byte_too_long_is_refused_unread_and_counted() {
    let daemon = limited("body_bytes: 2000, gossip_body_bytes: 3000").await;
    for (path, limit, most) in [
        ("join", "body_bytes", 2_000),
        ("heartbeat", "body_bytes", 2_000),
        ("exchange", "body_bytes", 2_000),
        ("gossip", "gossip_body_bytes", 3_000),
        ("reconcile", "gossip_body_bytes", 3_000),
    ] {
        let before = turned_away(&daemon, limit).await;
        let path = format!("/v1/mesh/{path}");
        let answer = post(&daemon, &path, &" ".repeat(most)).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.detail());
        // It says how long it is, and nothing of it is sent.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            most + 1
        );
        let (status, detail) = complaint(&said(&daemon, head.as_bytes()).await);
        assert_eq!(status, "413", "{path}");
        assert!(detail.contains(&most.to_string()), "{detail}");
        // It does not say.
        let body = format!("{:x}\r\n{}\r\n1\r\n \r\n", most, " ".repeat(most));
        let chunked =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let (status, _) = complaint(&said(&daemon, chunked.as_bytes()).await);
        assert_eq!(status, "413", "{path}");
        assert_eq!(turned_away(&daemon, limit).await, before + 2, "{path}");
    }
}

#[tokio::test]
async fn a_head_that_is_one_too_large_is_refused_in_words_and_counted() {
    let daemon = limited("headers: 10, header_bytes: 8192").await;
    let fields = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: 1\r\n"))
            .collect::<String>()
    };
    let head = |fields: &str| format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
    let bare = head("x-long: \r\n").len();
    let long = |bytes: usize| head(&format!("x-long: {}\r\n", "a".repeat(bytes - bare)));
    for (right, wrong) in [
        (head(&fields(9)), head(&fields(10))),
        (long(8_192), long(8_193)),
    ] {
        let before = turned_away(&daemon, "headers").await;
        let closing = right.replace("x-0: 1", "connection: close");
        let closing = closing.replacen(
            "x-long: aaaaaaaaaaaaaaaaaaa",
            "connection: close\r\nx-l: ",
            1,
        );
        assert!(
            said(&daemon, closing.as_bytes())
                .await
                .starts_with("HTTP/1.1 200")
        );
        let answer = said(&daemon, wrong.as_bytes()).await;
        let (status, detail) = complaint(&answer);
        assert_eq!(status, "431");
        assert!(detail.contains("8192 bytes or 10 fields"), "{answer}");
        assert_eq!(turned_away(&daemon, "headers").await, before + 1);
    }
    let (status, detail) = complaint(&said(&daemon, b"NONSENSE\r\n\r\n").await);
    assert_eq!(status, "400");
    assert!(detail.contains("no HTTP request"), "{detail}");
}

/// A complaint follows on a good answer, on one connection; the answer is not touched.
#[tokio::test]
async fn a_bad_head_after_a_good_request_leaves_the_answer_alone() {
    let daemon = member("ana", &[], "").await;
    let answer = said(
        &daemon,
        b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\nNONSENSE\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    assert_eq!(answer.matches("\"detail\"").count(), 2, "{answer}");
    assert!(answer.contains("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn every_deadline_that_passes_is_counted_under_its_name() {
    let daemon = limited(
        "first_byte_timeout: 200ms, headers_timeout: 200ms, body_timeout: 200ms, idle_timeout: 1s",
    )
    .await;
    let body = b"POST /v1/mesh/gossip HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{";
    for (limit, bytes, answer) in [
        ("first_byte_timeout", &b""[..], ""),
        ("headers_timeout", b"GET /healthz HT", ""),
        ("body_timeout", body, "HTTP/1.1 408"),
        (
            "idle_timeout",
            b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
            "HTTP/1.1 200",
        ),
    ] {
        let before = turned_away(&daemon, limit).await;
        let came = said(&daemon, bytes).await;
        assert!(came.starts_with(answer), "{limit}: {came}");
        assert!(turned_away(&daemon, limit).await > before, "{limit}");
    }
}

#[tokio::test]
async fn a_run_is_bounded_and_counted_as_well() {
    let daemon = member("ana", &[], "").await;
    let head = format!(
        "POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        8 * 1_024 * 1_024 + 1
    );
    let (status, _) = complaint(&said(&daemon, head.as_bytes()).await);
    assert_eq!(status, "413");
    assert_eq!(turned_away(&daemon, "run_body_bytes").await, 1);
}

/// So many requests at once, each on a connection of its own; returns the answers.
async fn at_once(
    daemon: &Daemon,
    count: usize,
    path: &str,
    body: impl Fn(usize) -> String,
) -> Vec<String> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let stream = TcpStream::connect(daemon.address()).await.unwrap();
        streams.push(stream.into_std().unwrap());
    }
    // The daemon is in this very thread, and reads none of them before all are written.
    for (n, stream) in streams.iter_mut().enumerate() {
        let body = body(n);
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
    }
    let mut answers = Vec::new();
    for stream in streams {
        let mut stream = TcpStream::from_std(stream).unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(support::PATIENCE, stream.read_to_string(&mut answer));
        read.await.unwrap().unwrap();
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn past_the_permits_gossip_is_told_to_come_back() {
    for (path, said) in [
        ("/v1/mesh/gossip", r#"{"nodes":[]}"#.to_owned()),
        (
            "/v1/mesh/reconcile",
            r#"{"nodes":[],"wanted":[]}"#.to_owned(),
        ),
        ("/v1/mesh/join", record("name", json!("eve")).to_string()),
    ] {
        let daemon = limited("concurrent_gossip: 2").await;
        let answers = at_once(&daemon, 20, path, |_| said.clone()).await;
        let (done, late): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|answer| answer.starts_with("HTTP/1.1 200"));
        assert!(done.len() >= 2, "{path}");
        assert!(!late.is_empty(), "{path}");
        for answer in &late {
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
        }
        let counted = turned_away(&daemon, "concurrent_gossip").await;
        assert_eq!(counted, late.len() as u64, "{path}");
    }
}

/// H12: every one of a few hundred that join at once is answered, or told to come back.
#[tokio::test]
async fn a_storm_of_joins_is_answered_or_told_to_come_back() {
    let daemon = limited("new_ids_burst: 100").await;
    let answers = at_once(&daemon, 300, "/v1/mesh/join", |n| {
        record("node_id", json!(format!("storm-{n}"))).to_string()
    })
    .await;
    let done = answers
        .iter()
        .filter(|answer| answer.starts_with("HTTP/1.1 200"));
    let done = done.count();
    let late = answers
        .iter()
        .filter(|answer| answer.starts_with("HTTP/1.1 503"));
    assert_eq!(done + late.count(), 300);
    assert!(done >= 64, "{done} were answered");
    assert_eq!(
        status(&daemon).await.mesh.unwrap().members.len(),
        1,
        "none of them has answered"
    );
}

/// H12, with joiners that are real: whoever was told to come back does, and the rest is gossip's.
#[tokio::test]
async fn many_that_join_a_busy_seed_become_one_mesh() {
    const JOINERS: usize = 40;
    let seed = support::alone(
        "seed",
        "mesh: {enabled: true, gossip_interval: 1}\nlimits: {concurrent_gossip: 2}",
    )
    .await;
    let spec = format!(
        "mesh: {{enabled: true, gossip_interval: 1, seeds: [\"{}\"]}}",
        seed.url()
    );
    let mut all = vec![seed];
    for n in 0..JOINERS {
        all.push(support::alone(&format!("n{n}"), &spec).await);
    }
    eventually("all see each other", || {
        all.iter()
            .all(|daemon| support::alive(daemon) == JOINERS + 1)
    })
    .await;
}

#[tokio::test]
async fn bodies_sent_slowly_keep_nobody_out_and_their_memory_is_bounded() {
    let daemon =
        limited("concurrent_gossip: 2, all_bodies_bytes: 100000, gossip_body_bytes: 60000").await;
    let mut held = Vec::new();
    for path in ["gossip", "reconcile", "join", "exchange"].repeat(10) {
        let mut stream = TcpStream::connect(daemon.address()).await.unwrap();
        let head = format!(
            "POST /v1/mesh/{path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 40000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Told to go on, it is being read.
        let mut told = [0; 25];
        stream.read_exact(&mut told).await.unwrap();
        assert!(told.starts_with(b"HTTP/1.1 100 "));
        stream.write_all(&[b' '; 30_000]).await.unwrap();
        held.push(stream);
    }
    for (path, body) in [
        ("gossip", r#"{"nodes":[]}"#.to_owned()),
        ("gossip", format!("{{\"nodes\":[]{}}}", " ".repeat(50_000))),
        ("reconcile", r#"{"nodes":[],"wanted":[]}"#.to_owned()),
        ("join", record("name", json!("eve")).to_string()),
    ] {
        let answer = post(&daemon, &format!("/v1/mesh/{path}"), &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.detail());
    }
    // Those that were begun first have made way, and hear of it with the next byte.
    let mut first = held.remove(0);
    first.write_all(b" ").await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    assert!(turned_away(&daemon, "all_bodies_bytes").await >= 1);
}

#[tokio::test]
async fn one_connection_too_many_closes_one_that_can_be_spared() {
    let daemon = limited("connections: 3").await;
    let mut asked = TcpStream::connect(daemon.address()).await.unwrap();
    let call = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    asked.write_all(call).await.unwrap();
    let mut answer = [0; 4_096];
    let _ = asked.read(&mut answer).await.unwrap();
    let mut silent = TcpStream::connect(daemon.address()).await.unwrap();
    let _other = TcpStream::connect(daemon.address()).await.unwrap();
    // The fourth is this one, and it is answered.
    assert_eq!(turned_away(&daemon, "connections").await, 1);
    let closed = tokio::time::timeout(Duration::from_secs(2), silent.read(&mut answer)).await;
    assert!(
        matches!(closed.unwrap(), Ok(0) | Err(_)),
        "the one that never asked was closed"
    );
    asked.write_all(call).await.unwrap();
    let read = asked.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
}

/// Ids that strangers bring are rationed, and fill half the table at the most.
#[tokio::test]
async fn one_unknown_id_too_many_is_not_taken_up_and_counted() {
    let patient = async |limits: &str| {
        let spec = format!("mesh: {{enabled: true}}\nlimits: {{{limits}}}");
        support::alone("ana", &spec).await
    };
    let tell = async |daemon: &Daemon, ids: std::ops::Range<usize>| {
        let answer = post(daemon, "/v1/mesh/gossip", &forged(ids)).await;
        assert_eq!(answer.status, 200);
    };
    let rationed = patient("new_ids_burst: 5, new_ids_per_second: 1").await;
    tell(&rationed, 0..105).await;
    assert_eq!(hearsay(&rationed), 5);
    counted(&rationed, "rationed", |count| count == 100).await;

    let small = patient("nodes: 10").await;
    tell(&small, 0..6).await;
    assert_eq!(hearsay(&small), 5);
    counted(&small, "crowded_out", |count| count == 1).await;
}
