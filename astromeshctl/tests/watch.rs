//! `mesh watch` and `mesh forget` against running daemons, and against what is none.

mod stage;

use astromesh_core::api::{MeshEvent, SystemStatus};
use astromesh_core::settings::{Environment, Flags, Seed, Settings};
use astromeshd::Daemon;
use maia::address::Url;
use maia::id::NodeId;
use maia::message::Status;
use stage::{Ended, Scripted, http, member, mesh_off, program, seen_by_gateway, typed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Longer than anything here should take, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node of a quick mesh, at a port of one's choice or any.
async fn node(name: &str, port: u16, seeds: &[&Daemon]) -> Daemon {
    let environment = Environment::empty()
        .with("ASTROMESH_ROLE", "worker")
        .with("ASTROMESH_MESH_ENABLED", "true")
        .with("ASTROMESH_NODE_NAME", name);
    let mut settings = Settings::load(&Flags::default(), &environment).expect("a profile");
    (settings.api.host, settings.api.port) = (Ipv4Addr::LOCALHOST.into(), port);
    let mesh = settings.mesh.as_mut().expect("a mesh");
    mesh.seeds = seeds.iter().map(|seed| Seed::Place(seed.url())).collect();
    let config = &mut mesh.config;
    config.gossip_interval = Duration::from_millis(200);
    config.failure_timeout = Duration::from_millis(1_500);
    config.dead_timeout = Duration::from_secs(3);
    Daemon::start(settings).await.expect("starts")
}

async fn stands(at: &Daemon, id: &NodeId, status: Status) {
    let deadline = Instant::now() + PATIENCE;
    let is_so = || {
        let view = at.view().expect("a mesh");
        view.member(id)
            .is_some_and(|seen| seen.confirmed && seen.status == status)
    };
    while !is_so() {
        assert!(Instant::now() < deadline, "{id} is never {status}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs the program against the node at `url` to its end.
async fn asked(url: &Url, line: &str) -> Ended {
    let line = format!("{line} --url {url}");
    spawn_blocking(move || typed(&line)).await.expect("ends")
}

/// A running `mesh watch`. It is ended when it is dropped.
struct Watch {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Watch {
    fn of(url: &str, options: &str) -> Self {
        let mut child = program()
            .args(["mesh", "watch", "--url", url])
            .args(options.split_whitespace())
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let stdout = lines(child.stdout.take().expect("piped"));
        let stderr = lines(child.stderr.take().expect("piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// The next line on stdout with all of these words.
    async fn says(&self, words: &[&str]) -> String {
        self.heard(&self.stdout, words).await
    }

    /// The next line on stderr with all of these words.
    async fn remarks(&self, words: &[&str]) -> String {
        self.heard(&self.stderr, words).await
    }

    async fn heard(&self, lines: &Receiver<String>, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        while Instant::now() < deadline {
            match lines.try_recv() {
                Ok(line) if words.iter().all(|word| line.contains(word)) => return line,
                Ok(line) => others.push(line),
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("never {words:?}, but {others:#?}");
    }

    /// Sends Ctrl-C.
    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    async fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it never ends");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    receiver
}

#[tokio::test]
async fn a_life_goes_by_line_by_line() {
    let ana = node("ana", 0, &[]).await;
    let mut watch = Watch::of(ana.url().as_str(), "");
    let first = watch.says(&["ana", "1 alive, 0 suspect, 0 dead"]).await;
    let time = &first.as_bytes()[..10];
    assert!(
        time[2] == b':' && time[5] == b':' && time.ends_with(b"  "),
        "{first}"
    );
    let bob = node("bob", 0, &[&ana]).await;
    watch.says(&["  bob  joined, at http://127.0.0.1:"]).await;
    bob.kill().await;
    let suspect = watch.says(&["  bob  suspect after "]).await;
    assert!(
        suspect.ends_with(" s: silent, and no answer when asked"),
        "{suspect}"
    );
    watch.says(&["  bob  dead after "]).await;
    watch.interrupt();
    assert_eq!(watch.code().await, Some(0));
}

#[tokio::test]
async fn for_machines_each_event_is_a_line_of_json() {
    let ana = node("ana", 0, &[]).await;
    let mut watch = Watch::of(ana.url().as_str(), "--json");
    let event = |line: &str| serde_json::from_str::<MeshEvent>(line).expect("an event");
    let first = event(&watch.says(&[]).await);
    assert_eq!(first.kind, "reset");
    assert_eq!(first.mesh.expect("a mesh").members.len(), 1);
    let bob = node("bob", 0, &[&ana]).await;
    let joined = event(&watch.says(&["\"joined\""]).await);
    assert_eq!(joined.node_id, bob.id().as_str());
    watch.interrupt();
    assert_eq!(watch.code().await, Some(0));
}

#[tokio::test]
async fn it_comes_back_to_a_daemon_that_went_away() {
    let ana = node("ana", 0, &[]).await;
    let (url, port) = (ana.url(), ana.address().port());
    let mut watch = Watch::of(url.as_str(), "--timeout 2");
    watch.says(&["(the events begin here)"]).await;
    ana.stop().await;
    watch
        .remarks(&[url.as_str(), "ended the stream; trying again"])
        .await;
    let ana = node("ana", port, &[]).await;
    watch.remarks(&[url.as_str(), "is back"]).await;
    watch.says(&["(the daemon was started anew)"]).await;
    // Killed, it does not say goodbye.
    ana.kill().await;
    watch.remarks(&["trying again"]).await;
    watch.interrupt();
    assert_eq!(watch.code().await, Some(0));
}

#[tokio::test]
async fn it_brings_the_last_id_along() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("accepted");
            let reader = BufReader::new(stream.try_clone().expect("a socket"));
            let lines = reader.lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            drop(sender.send(head.join("\n").to_ascii_lowercase()));
            let event = format!(
                r#"{{"id":{number},"at":1,"type":"left","message":"left","node_id":"b","name":"bob"}}"#
            );
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let answer = format!("{head}id: s-{number}\ndata: {event}\n\n");
            stream.write_all(answer.as_bytes()).expect("written");
        }
    });
    let watch = Watch::of(&url, "");
    for brings in [None, Some("last-event-id: s-0"), Some("last-event-id: s-1")] {
        watch.says(&["00:00:01  bob  left"]).await;
        let head = heads.recv_timeout(PATIENCE).expect("a call");
        let found = head.lines().find(|line| line.starts_with("last-event-id"));
        assert_eq!(found, brings, "{head}");
    }
}

#[tokio::test]
async fn whoever_closes_the_pipe_has_seen_enough() {
    let ana = node("ana", 0, &[]).await;
    let mut child = program()
        .args(["mesh", "watch", "--url", ana.url().as_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let first = spawn_blocking(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).map(|_| line)
    });
    assert!(
        first
            .await
            .expect("reads")
            .expect("a line")
            .contains("1 alive")
    );
    let _bob = node("bob", 0, &[&ana]).await;
    let ended = spawn_blocking(move || child.wait_with_output());
    let ended = ended.await.expect("ends").expect("a child");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn what_cannot_be_followed_is_said_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = format!("http://{}", silent.local_addr().expect("bound"));
    let off = Scripted::saying(503, r#"{"detail":"Mesh not enabled on this node"}"#);
    let full = Scripted::saying(503, r#"{"detail":"64 readers follow the events already"}"#);
    let older = Scripted::saying(404, r#"{"detail":"Not Found"}"#);
    let other = Scripted::saying(200, "<html>");
    let garbled = Scripted::new(|_| {
        let text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\n";
        text.as_bytes().to_vec()
    });
    for (url, code, word) in [
        ("http://127.0.0.1:1", 3, "connection refused"),
        (&silent, 3, "within 0.3s"),
        (&off.url(), 5, "the mesh is off"),
        (&full.url(), 1, "64 readers"),
        (&older.url(), 1, "404"),
        (&other.url(), 1, "not server-sent events"),
        (&garbled.url(), 1, "missing field"),
    ] {
        let ended = typed(&format!("mesh watch --timeout 0.3 --url {url}"));
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
        assert!(ended.stderr.contains(word), "{word}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[tokio::test]
async fn the_dead_are_forgotten_by_name_or_by_id() {
    let ana = node("ana", 0, &[]).await;
    let bob = node("bob", 0, &[&ana]).await;
    let (url, id) = (ana.url(), bob.id().clone());
    stands(&ana, &id, Status::Alive).await;
    for who in ["bob", id.as_str()] {
        let refused = asked(&url, &format!("mesh forget {who}")).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
        assert!(refused.stderr.contains("bob is alive"), "{refused:?}");
    }
    let unknown = asked(&url, "mesh forget eve").await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""));
    assert!(unknown.stderr.contains("no member \"eve\""), "{unknown:?}");

    bob.kill().await;
    stands(&ana, &id, Status::Dead).await;
    let done = asked(&url, "mesh forget bob").await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(
        done.stdout,
        format!("{url} has forgotten bob ({id}); the other nodes forget for themselves\n")
    );
    assert_eq!(ana.view().expect("a mesh").members.len(), 1);
    let again = asked(&url, &format!("mesh forget {id}")).await;
    assert_eq!(again.code, 1, "{again:?}");

    let eve = node("eve", 0, &[&ana]).await;
    let id = eve.id().clone();
    stands(&ana, &id, Status::Alive).await;
    eve.kill().await;
    stands(&ana, &id, Status::Dead).await;
    let done = asked(&url, &format!("mesh forget --json {id}")).await;
    let said: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(
        said,
        serde_json::json!({ "forgotten": true, "node_id": id.as_str(), "name": "eve", "url": url.as_str() })
    );
}

#[test]
fn of_two_with_one_name_the_ids_are_listed() {
    let mut one = member("bob");
    let mut two = member("bob");
    (one.node_id, one.status) = ("1-one".to_owned(), "dead".to_owned());
    two.node_id = "2-two".to_owned();
    let status: SystemStatus = seen_by_gateway(vec![member("gateway"), one, two]);
    let status = serde_json::to_vec(&status).expect("JSON");
    let daemon = Scripted::new(move |call| match call {
        "GET /v1/system/status" => http(200, &status),
        _ => http(200, br#"{"node_id":"1-one","name":"bob"}"#),
    });
    let ended = daemon.asked("mesh forget bob");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "astromeshctl: 2 members are called \"bob\"; name one by its id:",
            "  1-one  dead",
            "  2-two  alive",
        ]
    );
    assert_eq!(daemon.heard().len(), 1, "nothing was asked for");
    let ended = daemon.asked("mesh forget 1-one");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        daemon.heard().last().map(String::as_str),
        Some(r#"POST /v1/mesh/forget {"node_id":"1-one"}"#)
    );
    let off = Scripted::showing(&mesh_off()).asked("mesh forget bob");
    assert_eq!(off.code, 5, "{off:?}");
    assert_eq!(typed("mesh forget").code, 2);
}
