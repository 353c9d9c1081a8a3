//! Many streams at once through one gateway: what each takes in memory, how late its events are and how many come in one
//! read; how soon a node hears that its client has gone; and whether anything is left in flight after a million requests
//! that ended in every way: `cargo run --release -p benches --bin streams`, after `cargo build --release -p astromeshd`.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]

mod abuse;
mod client;
mod crowd;
mod hangup;

use anyhow::Context;
use argh::FromArgs;
use benches::backend::{self, Manner};
use benches::gateway::{Entrant, Kind, Process, Running, free_port, listens};
use benches::machine;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Many streams at once through one gateway.
#[derive(FromArgs)]
struct Options {
    #[argh(subcommand)]
    part: Option<Part>,
    /// how many streams at once (8000)
    #[argh(option, default = "8_000")]
    streams: usize,
    /// how many events a stream has, half a second apart (20)
    #[argh(option, default = "20")]
    events: u64,
    /// how many clients go away early, before and after the first byte, each at a time (200)
    #[argh(option, default = "200")]
    hangups: usize,
    /// how many requests are ended in every way there is (1000000)
    #[argh(option, default = "1_000_000")]
    abuses: usize,
    /// how many threads the gateway has (2)
    #[argh(option, default = "2")]
    threads: usize,
}

/// What this program is when it starts itself.
#[derive(FromArgs)]
#[argh(subcommand)]
enum Part {
    Node(NodePart),
}

/// A stand-in for a node.
#[derive(FromArgs)]
#[argh(subcommand, name = "node")]
struct NodePart {
    /// where it listens
    #[argh(option)]
    port: u16,
    /// events of a stream
    #[argh(option)]
    events: u64,
    /// milliseconds between two of them
    #[argh(option)]
    pause_ms: u64,
    /// the mean of what an answer takes
    #[argh(option)]
    takes_ms: u64,
}

fn main() -> anyhow::Result<()> {
    let options: Options = argh::from_env();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match options.part {
        Some(Part::Node(part)) => runtime.block_on(stand_in(&part)),
        None => runtime.block_on(measure(&options)),
    }
}

async fn stand_in(part: &NodePart) -> anyhow::Result<()> {
    let manner = Manner {
        takes: Duration::from_millis(part.takes_ms),
        events: part.events,
        pause: Duration::from_millis(part.pause_ms),
        ..Manner::default()
    };
    backend::serve(part.port, manner).await
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    println!(
        "Commit {}, on {}, {} threads in the gateway.\n",
        machine::commit(),
        machine::description(),
        options.threads
    );
    if options.streams > 0 {
        let stage = Stage::set(options.threads, options.events, 500, 0)?;
        println!("{}", crowd::measured(&stage, options.streams).await?);
    }
    if options.hangups > 0 {
        let stage = Stage::set(options.threads, 1_000_000, 50, 0)?;
        let after = hangup::measured(&stage, options.hangups, true).await?;
        drop(stage);
        let stage = Stage::set(options.threads, 1_000_000, 50, 600_000)?;
        let before = hangup::measured(&stage, options.hangups, false).await?;
        println!("{before}\n{after}");
    }
    if options.abuses > 0 {
        let stage = Stage::set(options.threads, 3, 1, 1)?;
        println!("{}", abuse::measured(stage, options.abuses).await?);
    }
    Ok(())
}

/// A gateway of ours in front of one stand-in, each a process of its own.
struct Stage {
    gateway: Running,
    node: Process,
    node_at: SocketAddr,
    node_command: Vec<String>,
}

impl Stage {
    fn set(threads: usize, events: u64, pause_ms: u64, takes_ms: u64) -> anyhow::Result<Self> {
        let port = free_port()?;
        let words = [
            ("--port", u64::from(port)),
            ("--events", events),
            ("--pause-ms", pause_ms),
            ("--takes-ms", takes_ms),
        ];
        let words = words.map(|(name, value)| [name.to_owned(), value.to_string()]);
        let node_command = words.concat();
        let node = started(&node_command)?;
        let node_at = SocketAddr::from(([127, 0, 0, 1], port));
        listens(node_at)?;
        let kind = Kind::Ours;
        kind.program()
            .context("astromeshd is not built: cargo build --release -p astromeshd")?;
        Ok(Self {
            gateway: Entrant { kind, threads }.start(&[port])?,
            node,
            node_at,
            node_command,
        })
    }

    fn gateway_at(&self) -> SocketAddr {
        self.gateway.addresses[0]
    }

    fn gateway_pid(&self) -> anyhow::Result<u32> {
        let process = self.gateway.process.as_ref();
        Ok(process.context("the gateway is a process")?.pid())
    }

    /// Kills the node and starts it anew. Clients go on meanwhile.
    async fn restart_node(&mut self) -> anyhow::Result<()> {
        self.node.kill();
        self.node = started(&self.node_command)?;
        let node_at = self.node_at;
        spawn_blocking(move || listens(node_at)).await?
    }
}

fn started(words: &[String]) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    Process::start(command.arg("node").args(words))
}
