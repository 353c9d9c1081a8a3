//! Real daemons, each a process of its own with its files: how they are started, asked and ended.

use super::agent::Agent;
use anyhow::{Context, Result, ensure};
use astromesh_core::api::AgentList;
use astromesh_core::http::Client;
use benches::gateway::free_port;
use maia::address::Url;
use std::fs::{File, create_dir_all, write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::time::sleep;

/// Longer than a start or a meeting should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The agent that may be run twice for one request, and the one that may not.
pub(crate) const AGENTS: [(&str, bool); 2] = [("twice", true), ("once", false)];

/// A daemon. It is killed when this is dropped.
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) url: Url,
    port: u16,
    folder: TempDir,
    child: Child,
}

impl Daemon {
    /// A worker whose agents are that server.
    pub(crate) fn worker(name: &str, agent: &Agent, seed: &Url, limits: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        create_dir_all(folder.path().join("agents"))?;
        for (agent_name, idempotent) in AGENTS {
            let text = format!(
                "apiVersion: astromesh/v1\nkind: Agent\nmetadata: {{name: {agent_name}}}\nspec:\n  \
                 idempotent: {idempotent}\n  http: {{url: \"http://{}/\"}}\n",
                agent.address
            );
            write(
                folder
                    .path()
                    .join(format!("agents/{agent_name}.agent.yaml")),
                text,
            )?;
        }
        let mesh = format!("mesh: {{enabled: true, seeds: [\"{seed}\"]}}");
        Self::start(
            name,
            folder,
            &format!("defaults: {{echo: false}}\n  limits: {{{limits}}}\n  {mesh}"),
        )
    }

    /// A node that passes requests on, in the mesh of `seed` or in one of its own.
    pub(crate) fn gateway(name: &str, seed: Option<&Url>) -> Result<Self> {
        let seeds = seed.map(|seed| format!("\"{seed}\"")).unwrap_or_default();
        let mesh = format!("mesh: {{enabled: true, seeds: [{seeds}]}}");
        let services = "services: {agents: false, inference: false}";
        Self::start(name, TempDir::new()?, &format!("{services}\n  {mesh}"))
    }

    /// A node that passes requests on to those.
    pub(crate) fn front(name: &str, peers: &[&Self]) -> Result<Self> {
        let peers = peers
            .iter()
            .map(|peer| format!("{{name: {}, url: \"{}\"}}", peer.name, peer.url));
        let peers = peers.collect::<Vec<_>>().join(", ");
        let services = "services: {agents: false, inference: false}";
        Self::start(
            name,
            TempDir::new()?,
            &format!("{services}\n  peers: [{peers}]"),
        )
    }

    fn start(name: &str, folder: TempDir, spec: &str) -> Result<Self> {
        let port = free_port()?;
        let text = format!(
            "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {{name: full}}\nspec:\n  \
             api: {{host: 127.0.0.1, port: {port}}}\n  {spec}\n"
        );
        write(folder.path().join("runtime.yaml"), text)?;
        Ok(Self {
            name: name.to_owned(),
            url: format!("http://127.0.0.1:{port}").parse()?,
            child: spawn(name, &folder)?,
            port,
            folder,
        })
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> Result<()> {
        let mut ask = Command::new("kill");
        ask.arg("-TERM").arg(self.child.id().to_string()).status()?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "{} does not stop", self.name);
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Starts it anew at its address.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.name, &self.folder)?;
        Ok(())
    }

    /// The moment from which it takes connections.
    pub(crate) async fn accepts(&self) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .is_err()
        {
            ensure!(
                Instant::now() < deadline,
                "{} does not come back",
                self.name
            );
            sleep(Duration::from_millis(2)).await;
        }
        Ok(Instant::now())
    }

    /// Waits until it knows of so many nodes for each agent, all alive.
    pub(crate) async fn knows(&self, workers: usize) -> Result<()> {
        let client = Client::new(Duration::from_secs(2));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let list: Option<AgentList> = client.get(&self.url, "/v1/agents").await.ok();
            let agents = list.map(|list| list.agents).unwrap_or_default();
            let all = agents.iter().map(|agent| {
                agent
                    .nodes
                    .iter()
                    .filter(|node| node.status == "alive")
                    .count()
            });
            if agents.len() == AGENTS.len() && all.min() >= Some(workers) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{} never knows of {workers} workers",
                self.name
            );
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(name: &str, folder: &TempDir) -> Result<Child> {
    let program = std::env::current_exe()?.with_file_name("astromeshd");
    ensure!(
        program.is_file(),
        "{} is missing: cargo build --release -p astromeshd",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(folder.path())
        .env("ASTROMESH_NODE_NAME", name);
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))?;
    let child = command.stdout(Stdio::null()).stderr(log).spawn();
    child.with_context(|| format!("cannot start {name}"))
}
