//! A mesh of real processes, and somebody who wishes it ill: what it costs the node that is attacked, and that the others
//! notice nothing.
//!
//! With `--nocapture` each test says what it measured.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::print_stderr,
    reason = "what was measured, for those who ask to see it"
)]

mod stage;

use maia::address::Url;
use serde_json::json;
use stage::{PATIENCE, Process, all_alive, free_port, met, program, spec, within};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const HOST: &str = "127.0.0.1";

/// One attack at a time: what one costs the machine must not be held against another.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Room for the connections that these tests hold open.
const FILES: u64 = 6_000;

/// A node with default times, so that a machine that is busy with the attack itself convicts nobody; `limits` may be empty.
async fn node(mut command: Command, name: &str, limits: &str, seeds: &[&Url]) -> Process {
    let port = free_port(&[HOST]);
    command.env("ASTROMESH_LOG", "warn");
    let api = format!("host: {HOST}, port: {port}");
    let mut spec = spec(name, &api, "", "gossip_interval: 1", seeds);
    writeln!(spec, "  limits: {{{limits}}}").unwrap();
    Process::start(command, name, &format!("http://{HOST}:{port}"), &spec).await
}

/// Three nodes that know each other; the first is the one to be attacked.
async fn mesh(victim: Command, limits: &str) -> Vec<Process> {
    let mut nodes = vec![node(victim, "victim", limits, &[]).await];
    let seed = nodes[0].url.clone();
    for name in ["bob", "cid"] {
        nodes.push(node(program(), name, "", &[&seed]).await);
    }
    met(&nodes).await;
    nodes
}

/// The program, which may have so many files open.
fn program_with_files(count: u32) -> Command {
    let mut command = Command::new("sh");
    command.env_clear();
    command.args([
        "-c",
        &format!("ulimit -n {count}; exec \"$0\" \"$@\""),
        stage::PROGRAM,
    ]);
    command
}

/// Lets this very process open as many files as it needs here, and says whether it may.
fn may_open_files() -> bool {
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={FILES}:")])
        .status();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    let may = soft.is_some_and(|soft| soft >= FILES);
    if !may {
        let why =
            format!("it takes {FILES} open files, and this process may have {soft:?} ({raised:?})");
        stage::lab::not_run("an attack with thousands of connections", &why);
    }
    may
}

/// How many exchanges of each node failed so far.
async fn failed(nodes: &[Process]) -> Vec<u64> {
    let mut failed = Vec::new();
    for node in nodes {
        failed.push(node.mesh().await.counters["failed_exchanges"]);
    }
    failed
}

/// Looks on for that long: all are alive to all, and no exchange between them fails.
async fn in_peace(nodes: &[Process], before: &[u64], span: Duration) {
    stage::throughout(span, "all see all alive", async || all_alive(nodes).await).await;
    assert_eq!(failed(nodes).await, before, "exchanges failed");
}

fn authority(url: &Url) -> &str {
    url.as_str().trim_start_matches("http://")
}

async fn connect(url: &Url) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(authority(url)))
        .await
        .unwrap()
        .unwrap()
}

/// Posts on a connection of its own; returns the status, or 0 where the other side hung up.
async fn post(url: &Url, path: &str, body: &str) -> u16 {
    let mut stream = connect(url).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    drop(stream.write_all(head.as_bytes()).await);
    drop(stream.write_all(body.as_bytes()).await);
    let mut answer = Vec::new();
    drop(
        timeout(2 * PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap(),
    );
    let status = answer
        .get(9..12)
        .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    status.unwrap_or(0)
}

/// A table of forged nodes, as short as records can be but for what `more` gives each of them.
fn forged(ids: std::ops::Range<usize>, url: impl Fn(usize) -> String, more: &str) -> String {
    let mut body = String::from("{\"nodes\":[");
    for n in ids.clone() {
        let comma = if n == ids.start { "" } else { "," };
        let url = url(n);
        write!(
            body,
            "{comma}{{\"node_id\":\"forged-{n}\",\"name\":\"f\",\"url\":\"{url}\",\"joined_at\":1,\"last_heartbeat\":1{more}}}"
        )
        .unwrap();
    }
    body.push_str("]}");
    body
}

/// An address where nobody listens, and a different one for each.
fn nowhere(n: usize) -> String {
    format!(
        "http://127.{}.{}.{}:9",
        1 + n / 62_500 % 250,
        1 + n / 250 % 250,
        1 + n % 250
    )
}

/// H27: a million ids, four tables at a time.
#[tokio::test]
async fn a_million_forged_ids_cost_little_memory_and_nobody_its_place() {
    let _turn = TURN.lock().await;
    const IDS: usize = 1_000_000;
    const IN_A_TABLE: usize = 25_000;
    let mut nodes = mesh(program(), "").await;
    let url = nodes[0].url.clone();
    let before = nodes[0].memory("VmHWM");
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..4 {
        let (url, next) = (url.clone(), Arc::clone(&next));
        senders.spawn(async move {
            loop {
                let first = next.fetch_add(IN_A_TABLE, Ordering::Relaxed);
                if first >= IDS {
                    return;
                }
                let body = forged(first..first + IN_A_TABLE, nowhere, "");
                assert_eq!(post(&url, "/v1/mesh/gossip", &body).await, 200);
            }
        });
    }
    // In the midst of it somebody joins.
    let seed = nodes[0].url.clone();
    nodes.push(node(program(), "late", "", &[&seed]).await);
    senders.join_all().await;
    let took = began.elapsed();
    met(&nodes).await;
    let cost = nodes[0].memory("VmHWM").saturating_sub(before);
    eprintln!(
        "a million forged ids: {took:?}, {} KiB more at the most",
        cost / 1_024
    );
    assert!(cost <= 64 * 1_024 * 1_024, "{cost} bytes");
    let counters = nodes[0].mesh().await.counters;
    let turned_away = counters["rationed"] + counters["crowded_out"];
    assert!(turned_away >= 900_000, "{turned_away}");
}

/// What is read of a body takes more memory than the body: the worst there are, four at a time.
#[tokio::test]
async fn bodies_made_to_cost_memory_cost_little() {
    let _turn = TURN.lock().await;
    const BYTES: usize = 8 * 1_024 * 1_024 - 1_000;
    let nodes = mesh(program(), "").await;
    let url = &nodes[0].url;
    let list = |item: &str, count: usize| vec![item; count].join(",");
    let labels = format!(",\"agents\":[{}]", list("\"a\"", 400));
    let worst = [
        (
            "gossip",
            format!("{{\"nodes\":[{}]}}", list("1", BYTES / 2)),
        ),
        (
            "gossip",
            forged(
                0..1,
                nowhere,
                &format!(",\"agents\":[{}]", list("\"a\"", BYTES / 4)),
            ),
        ),
        ("gossip", forged(0..4_000, nowhere, &labels)),
        (
            "reconcile",
            format!("{{\"nodes\":[],\"wanted\":[{}]}}", list("1", BYTES / 2)),
        ),
    ];
    for (call, body) in worst {
        let before = nodes[0].memory("VmHWM");
        let path = format!("/v1/mesh/{call}");
        let body: Arc<str> = body.into();
        let mut posts = JoinSet::new();
        for _ in 0..4 {
            let (url, path, body) = (url.clone(), path.clone(), Arc::clone(&body));
            posts.spawn(async move { post(&url, &path, &body).await });
        }
        for status in posts.join_all().await {
            assert!(matches!(status, 200 | 400 | 408 | 503), "{status}");
        }
        let cost = nodes[0].memory("VmHWM").saturating_sub(before);
        eprintln!(
            "{call} {}…: {} KiB more at the most",
            &body[..40],
            cost / 1_024
        );
        assert!(
            cost <= 64 * 1_024 * 1_024,
            "{cost} bytes by {}…",
            &body[..40]
        );
    }
    met(&nodes).await;
}

/// H27: whoever is slandered is asked a few times, not a thousand. The victim never answers, which is the worst.
#[tokio::test]
async fn a_thousand_forged_ids_at_a_victims_address_cost_it_a_few_questions() {
    let _turn = TURN.lock().await;
    let nodes = mesh(program(), "").await;
    let victim = TcpListener::bind((HOST, 0)).unwrap();
    victim.set_nonblocking(true).unwrap();
    let victim = tokio::net::TcpListener::from_std(victim).unwrap();
    let address = format!("http://{}", victim.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let listening = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = victim.accept().await.unwrap();
            let count = Arc::clone(&count);
            held.push(tokio::spawn(async move {
                let mut bytes = [0; 4_096];
                while matches!(stream.read(&mut bytes).await, Ok(1..)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    });
    for node in &nodes {
        let body = forged(0..1_024, |_| address.clone(), "");
        assert_eq!(post(&node.url, "/v1/mesh/gossip", &body).await, 200);
        let one = json!({"node_id": "forged-again", "name": "f", "url": address, "joined_at": 1.0, "last_heartbeat": 1.0});
        assert_eq!(
            post(&node.url, "/v1/mesh/join", &one.to_string()).await,
            200
        );
    }
    sleep(Duration::from_secs(6)).await;
    listening.abort();
    let asked = asked.load(Ordering::Relaxed);
    eprintln!("a victim of 3,072 forged records at three nodes was asked {asked} times in 6 s");
    assert!((1..=24).contains(&asked), "{asked} questions");
    met(&nodes).await;
}

/// Bodies at a byte a second: 200 of them, which are more than there are permits.
#[tokio::test]
async fn slow_bodies_cost_the_others_no_round() {
    let _turn = TURN.lock().await;
    let nodes = mesh(program(), "body_timeout: 4s").await;
    let before = failed(&nodes).await;
    let mut senders = JoinSet::new();
    for n in 0..200 {
        let url = nodes[0].url.clone();
        let call = ["gossip", "reconcile", "join", "exchange", "heartbeat"][n % 5];
        senders.spawn(async move {
            loop {
                let mut stream = connect(&url).await;
                let head = format!(
                    "POST /v1/mesh/{call} HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{{"
                );
                drop(stream.write_all(head.as_bytes()).await);
                while stream.write_all(b" ").await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }
    in_peace(&nodes, &before, Duration::from_secs(7)).await;
    // While they are at it, all is answered, also to those who do not speak the cheap exchange.
    for path in ["gossip", "reconcile"] {
        let body = "{\"nodes\":[],\"wanted\":[]}";
        assert_eq!(
            post(&nodes[0].url, &format!("/v1/mesh/{path}"), body).await,
            200
        );
    }
    let late = nodes[0].requests().await.turned_away["body_timeout"];
    assert!(late >= 100, "{late} were not waited for");
    senders.shutdown().await;
}

/// Slow heads and idle connections, two thousand of them, and memory that stays bounded.
#[tokio::test]
async fn slow_heads_and_idle_connections_cost_the_others_no_round() {
    let _turn = TURN.lock().await;
    const IDLE: usize = 2_000;
    if !may_open_files() {
        return;
    }
    let mut nodes = mesh(program_with_files(5_000), "idle_timeout: 5s").await;
    let before = failed(&nodes).await;
    let memory = nodes[0].memory("VmRSS");
    let url = nodes[0].url.clone();
    let mut held = Vec::new();
    for n in 0..IDLE {
        let mut stream = connect(&url).await;
        let begin = match n % 10 {
            0 => &b"GET /healthz HTTP/1.1\r\nx-slow:"[..],
            _ => b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        };
        stream.write_all(begin).await.unwrap();
        held.push(stream);
    }
    let cost = nodes[0].memory("VmRSS").saturating_sub(memory);
    eprintln!(
        "{IDLE} connections: {} KiB each",
        cost / 1_024 / IDLE as u64
    );
    assert!(cost <= 64 * 1_024 * 1_024, "{cost} bytes");
    in_peace(&nodes, &before, Duration::from_secs(3)).await;
    let seed = nodes[0].url.clone();
    nodes.push(node(program(), "late", "", &[&seed]).await);
    met(&nodes).await;
    within(
        Duration::from_secs(12),
        "all of them are closed",
        async || {
            let counts = nodes[0].requests().await.turned_away;
            let closed = |limit: &str| counts.get(limit).copied().unwrap_or(0) as usize;
            closed("idle_timeout") + closed("headers_timeout") >= IDLE
        },
    )
    .await;
}

/// More connections than the process may have files: those that never ask make way, and the mesh stays one.
#[tokio::test]
async fn a_full_table_of_files_keeps_no_member_out() {
    let _turn = TURN.lock().await;
    let nodes = mesh(program_with_files(128), "").await;
    let url = nodes[0].url.clone();
    let crowding = tokio::spawn(async move {
        let mut held = std::collections::VecDeque::new();
        loop {
            held.push_back(connect(&url).await);
            if held.len() > 400 {
                held.pop_front();
            }
            sleep(Duration::from_millis(4)).await;
        }
    });
    stage::throughout(Duration::from_secs(8), "all see all alive", async || {
        all_alive(&nodes).await
    })
    .await;
    let counts = nodes[0].requests().await.turned_away;
    let closed = counts.get("connections").copied().unwrap_or(0);
    eprintln!("{closed} connections made way");
    assert!(closed > 100, "{closed}");
    crowding.abort();
    met(&nodes).await;
}

/// Whoever sends rubbish is counted each time, and fills no log.
#[tokio::test]
async fn the_log_hears_of_a_peer_once_in_a_while() {
    let _turn = TURN.lock().await;
    let nodes = [node(program(), "victim", "", &[]).await];
    let url = &nodes[0].url;
    for _ in 0..20 {
        assert_eq!(post(url, "/v1/mesh/join", "rubbish").await, 400);
        assert_eq!(
            post(url, "/v1/mesh/gossip", &forged(0..3_000, nowhere, "")).await,
            200
        );
        let long = format!("/{}", "a".repeat(20_000));
        assert_eq!(post(url, &long, "").await, 431);
    }
    let refused = nodes[0].requests().await;
    assert_eq!(
        (
            refused.total["mesh_refused"],
            refused.turned_away["headers"]
        ),
        (20, 20)
    );
    let of_the_peer = nodes[0].logged("127.0.0.1 ");
    assert_eq!(of_the_peer.len(), 1, "{of_the_peer:#?}");
    within(
        Duration::from_secs(5),
        "the ids are in the log",
        async || nodes[0].logged("turned away lately").len() == 1,
    )
    .await;
}
