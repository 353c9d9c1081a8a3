//! The built program as processes of their own, and what each of them says of the mesh.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod lab;
pub(crate) mod load;

use astromesh_core::api::{MemberStatus, MeshStatus, RequestStatus, SystemStatus};
use astromesh_core::http::{Answer, Client};
use hyper::Method;
use maia::address::Url;
use serde_json::Value;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::time::sleep;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_astromeshd");

/// Longer than a start, a meeting or an answer should take, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon in a process of its own, which is killed when this is dropped.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) url: Url,
    client: Client,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts `command`, which runs the program, with a `runtime.yaml` of that spec; returns once it answers at `url`.
    pub(crate) async fn start(mut command: Command, name: &str, url: &str, spec: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let text = format!(
            "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {{name: test}}\nspec:\n{spec}"
        );
        std::fs::write(folder.path().join("runtime.yaml"), text).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = command
            .arg("--config")
            .arg(folder.path())
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Self {
            name: name.to_owned(),
            url: Url::new(url).unwrap(),
            client: Client::new(PATIENCE),
            child,
            folder,
        };
        process.answers().await;
        process
    }

    async fn answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_get("/healthz").await.is_none() {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "{} has ended", self.name);
            assert!(Instant::now() < deadline, "{} never answers", self.name);
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn try_get(&self, path: &str) -> Option<Answer> {
        let answer = self.client.send(&self.url, Method::GET, path, None);
        answer.await.ok()
    }

    /// Asks, and fails where there is no answer.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = self.try_get(path).await;
        answer.unwrap_or_else(|| panic!("{} does not answer {path}", self.name))
    }

    /// Sends a body, and fails where there is no answer.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let body = Some(body.as_bytes().to_vec());
        let answer = self.client.send(&self.url, Method::POST, path, body);
        let answer = answer.await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The mesh as it sees it.
    pub(crate) async fn mesh(&self) -> MeshStatus {
        self.status().await.mesh.expect("the mesh is on")
    }

    /// What it did with requests so far.
    pub(crate) async fn requests(&self) -> RequestStatus {
        self.status().await.requests
    }

    /// The seconds since its start.
    pub(crate) async fn uptime(&self) -> f64 {
        self.status().await.node.uptime_seconds
    }

    async fn status(&self) -> SystemStatus {
        self.get("/v1/system/status").await.json().unwrap()
    }

    /// Its own id.
    pub(crate) async fn id(&self) -> String {
        self.mesh().await.node_id
    }

    /// Whom it takes for the leader, by id.
    pub(crate) async fn leader(&self) -> Option<String> {
        self.mesh().await.leader.map(|leader| leader.node_id)
    }

    /// The table that it gives to other nodes, with the leader that it names to them.
    pub(crate) async fn table(&self) -> Value {
        self.get("/v1/mesh/state").await.json().unwrap()
    }

    /// The records in its table.
    pub(crate) async fn records(&self) -> Vec<Value> {
        match self.table().await["nodes"].take() {
            Value::Array(records) => records,
            other => panic!("{} has no table but {other}", self.name),
        }
    }

    /// Whether that id stands in its table.
    pub(crate) async fn lists(&self, id: &str) -> bool {
        self.records()
            .await
            .iter()
            .any(|record| record["node_id"] == id)
    }

    /// Its memory in bytes by `/proc`: `VmRSS` is what it holds now, `VmHWM` the most that it ever held.
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(which));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        1_024 * kib.unwrap_or_else(|| panic!("no {which} in {status}"))
    }

    /// What `kill` calls a signal, sent to this process alone.
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(name).arg(self.child.id().to_string());
        assert!(kill.status().unwrap().success(), "kill {name}");
    }

    /// Kills it hard (SIGKILL); returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and returns the exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended.code();
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The lines of its log that have `part` in them.
    pub(crate) fn logged(&self, part: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.log()).unwrap();
        let lines = log.lines().filter(|line| line.contains(part));
        lines.map(str::to_owned).collect()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("--- log of {} at {}\n{log}", self.name, self.url);
        }
    }
}

/// The program with nothing of this process's environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear();
    command
}

/// The `spec` of a node of a mesh; `api`, `services` and `mesh` are what stands between the braces.
pub(crate) fn spec(name: &str, api: &str, services: &str, mesh: &str, seeds: &[&Url]) -> String {
    let seeds: Vec<_> = seeds.iter().map(|seed| seed.as_str()).collect();
    let seeds = seeds.join(", ");
    format!(
        "  api: {{{api}}}\n  services: {{{services}}}\n  mesh: {{enabled: true, node_name: {name}, seeds: [{seeds}], {mesh}}}\n"
    )
}

/// A port that is free on all these hosts. It lies below those that systems give to outgoing connections, so nobody takes
/// it before the daemon does; and no two calls return the same.
pub(crate) fn free_port(hosts: &[&str]) -> u16 {
    const FIRST: u32 = 18_000;
    const COUNT: u32 = 14_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(61);
    for _ in 0..COUNT {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(call) % COUNT;
        let port = u16::try_from(port).expect("below 32,000");
        if hosts
            .iter()
            .all(|host| TcpListener::bind((*host, port)).is_ok())
        {
            return port;
        }
    }
    panic!("no port is free on {hosts:?}");
}

/// Waits until `holds`, and fails with `what` if it does not within `limit`. Returns how long it did not hold for sure: zero
/// where it did at the first look.
pub(crate) async fn within(
    limit: Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) -> Duration {
    let begun = Instant::now();
    loop {
        // How late it is, is read before asking: what held when the question was put held in time.
        let taken = begun.elapsed();
        if holds().await {
            return taken;
        }
        assert!(taken < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Looks again and again for that long, and fails with `what` if it ever does not hold.
pub(crate) async fn throughout(span: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        assert!(
            holds().await,
            "no longer, after {:?}: {what}",
            begun.elapsed()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whether all of them see as many members as they are, all alive.
pub(crate) async fn all_alive(nodes: &[Process]) -> bool {
    for node in nodes {
        let members = node.mesh().await.members;
        if members.len() != nodes.len() || members.iter().any(|member| member.status != "alive") {
            return false;
        }
    }
    true
}

/// Waits until they have met, and returns how long that took.
pub(crate) async fn met(nodes: &[Process]) -> Duration {
    within(PATIENCE, "all see all alive", async || {
        all_alive(nodes).await
    })
    .await
}

/// The leader, where all of them name the same.
pub(crate) async fn one_leader(nodes: &[Process]) -> Option<String> {
    let first = nodes.first()?.leader().await?;
    for node in nodes {
        if node.leader().await.as_ref() != Some(&first) {
            return None;
        }
    }
    Some(first)
}

/// The member of that id.
pub(crate) fn member<'a>(mesh: &'a MeshStatus, id: &str) -> Option<&'a MemberStatus> {
    mesh.members.iter().find(|member| member.node_id == id)
}

/// Unix time in seconds, as records say it.
pub(crate) fn wall() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}
