//! A whole mesh on this machine, in one command: `cargo run --release --example local_cluster`.
//!
//! A gateway, two workers and an inference node, each a real daemon with an HTTP port of its own on 127.0.0.1. They find
//! each other; requests for an agent go through the gateway to whichever worker is less busy; with `--chaos` one worker is
//! killed hard, and one sees how the others notice, do without it, and take it back.

use argh::FromArgs;
use astromesh_core::api::{RunAnswer, RunRequest};
use astromesh_core::arguments::{self, Grammar, Parsed};
use astromesh_core::http::Client;
use astromesh_core::settings::{Environment, Flags, Settings};
use astromeshd::{Daemon, StartError};
use maia::address::Url;
use maia::message::Status;
use std::error::Error;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Prints a line; whoever closed the other end has heard enough.
macro_rules! say {
    ($($words:tt)*) => {
        if writeln!(std::io::stdout(), $($words)*).is_err() {
            std::process::exit(0);
        }
    };
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A gateway, some workers and an inference node, on this machine.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help"))]
struct Options {
    /// how many workers (2)
    #[argh(option, default = "2", arg_name = "number")]
    workers: u16,
    /// the gateway's port (8000, or a free one where that is taken)
    #[argh(option, arg_name = "port")]
    port: Option<u16>,
    /// stop after that time, as 30s or 2m; without it, run until Ctrl-C
    #[argh(option, long = "for", arg_name = "time", from_str_fn(duration))]
    run_for: Option<Duration>,
    /// kill a worker hard, and watch
    #[argh(switch)]
    chaos: bool,
}

const GRAMMAR: Grammar<'static> = Grammar {
    options: &["--workers", "--port", "--for"],
    words: &["--chaos"],
    ..Grammar::new("local_cluster", env!("CARGO_PKG_VERSION"))
};

/// The port that the guide uses for a gateway.
const USUAL_PORT: u16 = 8_000;

/// With `--chaos` nobody should have to wait half a minute for a death.
const SHORT_TIMEOUTS: (Duration, Duration, Duration) = (
    Duration::from_millis(500),
    Duration::from_secs(3),
    Duration::from_secs(6),
);

#[tokio::main]
async fn main() -> ExitCode {
    let options = match arguments::parse::<Options>(&GRAMMAR, std::env::args_os().skip(1)) {
        Ok(Parsed::Run(options)) if options.workers > 0 => options,
        Ok(Parsed::Run(_)) => {
            return complain("local_cluster: --workers: expected at least 1, found 0", 2);
        }
        Ok(Parsed::Say(text)) => {
            say!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return complain(&error.to_string(), 2),
    };
    match tell(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("local_cluster: {error}"), 1),
    }
}

/// The story.
async fn tell(options: &Options) -> Outcome<()> {
    let end = options.run_for.map(|time| Instant::now() + time);
    let mut cluster = Cluster::start(options).await?;
    cluster.show_members();
    cluster.wait_until_whole().await?;
    cluster.send_requests(6).await?;
    if options.chaos {
        cluster.kill_a_worker().await?;
    }
    cluster.say_what_to_try();
    match end {
        Some(end) => sleep(end.saturating_duration_since(Instant::now())).await,
        None => {
            say!("\nRunning until Ctrl-C.");
            tokio::signal::ctrl_c().await?;
        }
    }
    say!("\nEverybody leaves, the gateway last.");
    cluster.stop().await;
    Ok(())
}

/// The daemons; the gateway first.
struct Cluster {
    nodes: Vec<Daemon>,
    chaos: bool,
    client: Client,
}

impl Cluster {
    async fn start(options: &Options) -> Outcome<Self> {
        say!(
            "Starting a gateway, {} worker(s) and an inference node on 127.0.0.1",
            options.workers
        );
        let mut cluster = Self {
            nodes: Vec::new(),
            chaos: options.chaos,
            client: Client::new(Duration::from_secs(10)),
        };
        let gateway = cluster.start_gateway(options.port).await?;
        cluster.nodes.push(gateway);
        for number in 1..=options.workers {
            cluster
                .start_node("worker", &format!("worker-{number}"), 0)
                .await?;
        }
        cluster.start_node("inference", "inference", 0).await?;
        Ok(cluster)
    }

    async fn start_gateway(&self, port: Option<u16>) -> Outcome<Daemon> {
        let wanted = port.unwrap_or(USUAL_PORT);
        match Daemon::start(self.settings("gateway", "gateway", wanted)?).await {
            Err(StartError::Listen { .. }) if port.is_none() => {
                say!(
                    "  port {USUAL_PORT} is taken, so the gateway takes a free one (--port chooses)"
                );
                Ok(Daemon::start(self.settings("gateway", "gateway", 0)?).await?)
            }
            started => Ok(started?),
        }
    }

    async fn start_node(&mut self, role: &str, name: &str, port: u16) -> Outcome<()> {
        let node = Daemon::start(self.settings(role, name, port)?).await?;
        self.nodes.push(node);
        Ok(())
    }

    /// The built-in profile of that role, seeded to the gateway, on a port of 127.0.0.1 (0: a free one).
    fn settings(&self, role: &str, name: &str, port: u16) -> Outcome<Settings> {
        let seeds = self
            .nodes
            .first()
            .map_or_else(String::new, |gateway| gateway.url().to_string());
        let environment = Environment::empty()
            .searching(Vec::<PathBuf>::new())
            .with("ASTROMESH_ROLE", role)
            .with("ASTROMESH_MESH_ENABLED", "true")
            .with("ASTROMESH_NODE_NAME", name)
            .with("ASTROMESH_SEEDS", &seeds);
        let mut settings = Settings::load(&Flags::default(), &environment)?;
        settings.api.host = Ipv4Addr::LOCALHOST.into();
        settings.api.port = port;
        if let (true, Some(mesh)) = (self.chaos, &mut settings.mesh) {
            let config = &mut mesh.config;
            (
                config.gossip_interval,
                config.failure_timeout,
                config.dead_timeout,
            ) = SHORT_TIMEOUTS;
        }
        Ok(settings)
    }

    fn gateway(&self) -> &Daemon {
        &self.nodes[0]
    }

    fn show_members(&self) {
        for node in &self.nodes {
            say!("  {:<10} {}", node.name(), node.url());
        }
    }

    /// Waits until every node sees every other.
    async fn wait_until_whole(&self) -> Outcome<()> {
        let start = Instant::now();
        while self.nodes.iter().any(|node| alive(node) < self.nodes.len()) {
            if start.elapsed() > Duration::from_secs(30) {
                return Err("the nodes did not find each other within 30 s".into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        let (nodes, took) = (self.nodes.len(), start.elapsed().as_secs_f64());
        say!("\nAll {nodes} nodes see each other alive, {took:.1} s after the last one started.");
        Ok(())
    }

    async fn send_requests(&self, count: usize) -> Outcome<()> {
        say!("\nRequests for the agent \"echo\", sent to the gateway, which does not run it:");
        for number in 1..=count {
            let answer = self.ask(&format!("hello {number}")).await?;
            say!("  {:?} was answered by {}", answer.answer, answer.node);
        }
        Ok(())
    }

    async fn ask(&self, query: &str) -> Outcome<RunAnswer> {
        let request = RunRequest {
            query: query.to_owned(),
            session_id: None,
            context: None,
            stream: false,
        };
        let url = self.gateway().url();
        Ok(self
            .client
            .post(&url, "/v1/agents/echo/run", &request)
            .await?)
    }

    /// Kills the first worker without a word, and follows what the gateway makes of it until it is back.
    async fn kill_a_worker(&mut self) -> Outcome<()> {
        let worker = self.nodes.remove(1);
        let (name, url) = (worker.name().to_owned(), worker.url());
        say!("\nKilling {name} without a word (suspect after 3 s, dead after 6 s in this run):");
        worker.kill().await;
        let killed = Instant::now();
        for status in [Status::Suspect, Status::Dead] {
            let asked = self.requests_until(&url, status).await?;
            let after = killed.elapsed().as_secs_f64();
            say!(
                "  {after:4.1} s  the gateway calls it {status}; {asked} requests meanwhile, all answered"
            );
        }
        self.start_node("worker", &name, url.port()).await?;
        let returned = Instant::now();
        say!(
            "  {:4.1} s  {name} is started again at its old address",
            killed.elapsed().as_secs_f64()
        );
        self.wait_until_whole().await?;
        while self.ask("are you back?").await?.node != name {
            if returned.elapsed() > Duration::from_secs(30) {
                return Err(format!("{name} got no request within 30 s after its return").into());
            }
        }
        say!(
            "  {name} answers requests again, {:.1} s after its start",
            returned.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Sends requests until the gateway holds the node at `url` for that; says how many.
    async fn requests_until(&self, url: &Url, status: Status) -> Outcome<usize> {
        let (start, mut asked) = (Instant::now(), 0);
        while self.opinion(url) != Some(status) {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("the gateway did not call {url} {status} within 60 s").into());
            }
            self.ask("still there?").await?;
            asked += 1;
            sleep(Duration::from_millis(10)).await;
        }
        Ok(asked)
    }

    /// How the gateway holds the node at `url`.
    fn opinion(&self, url: &Url) -> Option<Status> {
        let view = self.gateway().view()?;
        let seen = view.members.iter().find(|seen| seen.url == *url)?;
        Some(seen.status)
    }

    fn say_what_to_try(&self) {
        let url = self.gateway().url();
        say!("\nTry, in another terminal:");
        say!("  cargo run -q --release -p astromeshctl -- mesh status --url {url}");
        say!("  cargo run -q --release -p astromeshctl -- mesh nodes --url {url}");
        say!("  cargo run -q --release -p astromeshctl -- run echo \"hello\" --url {url}");
        say!("  curl {url}/v1/mesh/state");
    }

    async fn stop(mut self) {
        while let Some(node) = self.nodes.pop() {
            node.stop().await;
        }
    }
}

/// How many members a node holds for alive, itself included.
fn alive(node: &Daemon) -> usize {
    let view = node.view();
    let members = view.iter().flat_map(|view| &view.members);
    members
        .filter(|seen| seen.confirmed && seen.status == Status::Alive)
        .count()
}

/// Reads `30s`, `2m` or `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => f64::NAN,
    };
    let expected = || format!("expected a time such as 30s or 2m, found {text:?}");
    let seconds = number.parse::<f64>().map_err(|_| expected())? * seconds;
    Duration::try_from_secs_f64(seconds).map_err(|_| expected())
}

#[expect(clippy::print_stderr, reason = "trouble belongs there")]
fn complain(message: &str, code: u8) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(code)
}
