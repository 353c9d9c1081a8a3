//! Against real daemons: in a mesh, without one, and stopped.

mod stage;

use astromesh_core::api::{AgentList, RunAnswer, SystemStatus};
use astromesh_core::settings::{Environment, Flags, Seed, Settings};
use astromeshd::Daemon;
use maia::address::Url;
use stage::{Ended, program};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// How long anything may take that depends on several nodes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of a node on a free port of this machine, from the profile of that role.
fn settings(name: &str, role: &str, mesh: bool) -> Settings {
    let environment = Environment::empty()
        .with("ASTROMESH_ROLE", role)
        .with(
            "ASTROMESH_MESH_ENABLED",
            if mesh { "true" } else { "false" },
        )
        .with("ASTROMESH_NODE_NAME", name);
    let mut settings = Settings::load(&Flags::default(), &environment).expect("a profile");
    (settings.api.host, settings.api.port) = (Ipv4Addr::LOCALHOST.into(), 0);
    settings
}

/// Starts a node of a mesh that is quick to notice things.
async fn member(name: &str, role: &str, seeds: &[&Daemon]) -> Daemon {
    let mut settings = settings(name, role, true);
    let mesh = settings.mesh.as_mut().expect("a mesh");
    mesh.seeds = seeds.iter().map(|seed| Seed::Place(url(seed))).collect();
    let config = &mut mesh.config;
    config.gossip_interval = Duration::from_millis(100);
    config.failure_timeout = Duration::from_secs(3);
    config.dead_timeout = Duration::from_secs(6);
    Daemon::start(settings).await.expect("starts")
}

fn url(daemon: &Daemon) -> Url {
    Url::new(&format!("http://{}", daemon.address())).expect("a URL")
}

/// Runs the program against a daemon, with these arguments split at spaces.
async fn asked(daemon: &Daemon, line: &str) -> Ended {
    asked_at(&url(daemon), line).await
}

async fn asked_at(url: &Url, line: &str) -> Ended {
    let mut program = program();
    program
        .env("ASTROMESH_URL", url.as_str())
        .args(line.split_whitespace());
    let output = spawn_blocking(move || program.output());
    output.await.expect("ends").expect("runs").into()
}

/// Asks again and again until the answer is as wanted.
async fn asked_until(daemon: &Daemon, line: &str, wanted: impl Fn(&Ended) -> bool) -> Ended {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ended = asked(daemon, line).await;
        if wanted(&ended) {
            return ended;
        }
        assert!(Instant::now() < deadline, "{line}: still {ended:?}");
    }
}

/// Waits, by the program itself, until a daemon sees that many nodes and nothing wrong.
async fn sees(daemon: &Daemon, nodes: usize) {
    let ended = asked(
        daemon,
        &format!("mesh status --check --wait {nodes} --timeout 30"),
    )
    .await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(
        ended
            .stdout
            .starts_with(&format!("Mesh      {nodes} nodes: {nodes} alive,")),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_is_shown_and_used() {
    let gateway = member("gateway", "gateway", &[]).await;
    let one = member("worker-1", "worker", &[&gateway]).await;
    let two = member("worker-2", "worker", &[&gateway]).await;
    for node in [&gateway, &one, &two] {
        sees(node, 3).await;
    }

    let ended = asked(&one, "mesh status").await;
    assert!(
        ended.stdout.contains(&format!(
            "Here      worker-1 (role worker, {}, up ",
            url(&one)
        )),
        "{ended:?}"
    );
    assert!(
        ended.stdout.ends_with("Load      0 requests running\n"),
        "{ended:?}"
    );

    let ended = asked(&gateway, "mesh nodes").await;
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let starts = [
        "  NAME      STATUS  SINCE  URL",
        "gateway   alive",
        "worker-1  alive",
        "worker-2  alive",
    ];
    for (line, start) in lines.iter().zip(starts) {
        assert!(
            line.starts_with(start) || line[2..].starts_with(start),
            "{start}: {ended:?}"
        );
    }
    assert!(
        lines
            .last()
            .is_some_and(|footer| footer.starts_with("As gateway sees it (")),
        "{ended:?}"
    );

    let ended = asked(&gateway, "agents list").await;
    assert!(
        ended
            .stdout
            .starts_with("AGENT  NODES\necho   worker-1, worker-2\n"),
        "{ended:?}"
    );
    let ended = asked(&gateway, "run echo hello").await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "hello\n"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.starts_with("worker-") && ended.stderr.contains(" ran it ("),
        "{ended:?}"
    );
    assert_eq!(asked(&gateway, "run nobody hello").await.code, 1);
    assert_eq!(
        asked(&gateway, "healthcheck").await.stdout,
        "healthy and ready\n"
    );

    let text = |ended: Ended| ended.stdout;
    for line in ["mesh status --json", "mesh nodes --json"] {
        let seen: SystemStatus = serde_json::from_str(&text(asked(&two, line).await)).expect(line);
        assert_eq!(seen.mesh.expect("a mesh").members.len(), 3);
    }
    let list: AgentList =
        serde_json::from_str(&text(asked(&two, "agents list --json").await)).expect("a list");
    assert_eq!(list.agents.len(), 1);
    let answer: RunAnswer =
        serde_json::from_str(&text(asked(&gateway, "run echo hi --json").await))
            .expect("an answer");
    assert_eq!(answer.answer, "hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_leaves_stays_away_and_returns() {
    let gateway = member("gateway", "gateway", &[]).await;
    let one = member("worker-1", "worker", &[&gateway]).await;
    let two = member("worker-2", "worker", &[&gateway]).await;
    sees(&gateway, 3).await;

    for _ in 0..2 {
        let ended = asked(&one, "mesh leave").await;
        let expected = format!(
            "{} has left the mesh; astromeshctl mesh join brings it back\n",
            url(&one)
        );
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (0, expected.as_str()),
            "{ended:?}"
        );
    }
    let without = |ended: &Ended| ended.code == 0 && !ended.stdout.contains("worker-1");
    asked_until(&gateway, "mesh nodes", without).await;
    asked_until(&two, "mesh nodes", without).await;
    sees(&gateway, 2).await;
    for _ in 0..5 {
        let ended = asked(&gateway, "run echo hi").await;
        assert!(ended.stderr.starts_with("worker-2 ran it"), "{ended:?}");
    }

    let ended = asked(&one, "mesh status --check").await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stdout.starts_with("Mesh      left;"), "{ended:?}");
    let ended = asked(&one, "healthcheck").await;
    assert!(
        ended.code == 0 && ended.stdout.starts_with("healthy, not ready (left): "),
        "{ended:?}"
    );

    let ended = asked(&one, "mesh join").await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    sees(&gateway, 3).await;
    sees(&one, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_suspect_then_dead_and_check_says_so() {
    let gateway = member("gateway", "gateway", &[]).await;
    let worker = member("worker-1", "worker", &[&gateway]).await;
    sees(&gateway, 2).await;
    worker.kill().await;

    let said =
        |words: &'static str| move |ended: &Ended| ended.code == 4 && ended.stdout.contains(words);
    let ended = asked_until(
        &gateway,
        "mesh status --check",
        said("1 alive, 1 suspect, 0 dead"),
    )
    .await;
    assert!(
        ended.stdout.contains("\n! worker-1 suspect for ")
            && ended.stdout.contains("; becomes dead "),
        "{ended:?}"
    );
    assert_eq!(ended.stderr, "astromeshctl: 1 of 2 members not alive\n");
    let ended = asked_until(
        &gateway,
        "mesh status --check",
        said("1 alive, 0 suspect, 1 dead"),
    )
    .await;
    assert!(
        ended.stdout.contains("\n! worker-1 dead for ") && ended.stdout.contains("; forgotten in "),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mesh_its_commands_end_with_5_and_the_others_work() {
    let daemon = Daemon::start(settings("alone", "full", false))
        .await
        .expect("starts");
    for line in [
        "mesh status",
        "mesh nodes --json",
        "mesh leave",
        "mesh join",
    ] {
        let ended = asked(&daemon, line).await;
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (5, ""),
            "{line}: {ended:?}"
        );
        assert!(
            ended
                .stderr
                .starts_with("astromeshctl: the mesh is off on the node at "),
            "{line}: {ended:?}"
        );
    }
    let ended = asked(&daemon, "agents list").await;
    assert!(
        ended.stdout.starts_with("AGENT  NODES\necho   alone\n"),
        "{ended:?}"
    );
    let ended = asked(&daemon, "run echo hi").await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "hi\n"),
        "{ended:?}"
    );
    assert_eq!(
        asked(&daemon, "healthcheck").await.stdout,
        "healthy and ready\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_daemon_is_not_reached() {
    let daemon = member("gateway", "gateway", &[]).await;
    let url = url(&daemon);
    assert_eq!(asked(&daemon, "mesh status").await.code, 0);
    daemon.stop().await;
    for line in [
        "mesh status",
        "mesh nodes",
        "mesh leave",
        "mesh join",
        "agents list",
        "run echo hi",
    ] {
        let ended = asked_at(&url, line).await;
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (3, ""),
            "{line}: {ended:?}"
        );
        assert!(
            ended.stderr.starts_with(&format!(
                "astromeshctl: cannot reach {url}: connection refused"
            )),
            "{ended:?}"
        );
    }
    assert_eq!(asked_at(&url, "healthcheck").await.code, 1);
}
