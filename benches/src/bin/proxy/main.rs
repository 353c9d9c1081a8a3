//! Our gateway beside HAProxy and nginx, one hop in front of the same three stand-ins: `cargo run --release -p benches --bin
//! proxy`, after `cargo build --release -p astromeshd`.
//!
//! Prints a Markdown table. What is not installed is named in it and not measured.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::print_stderr, reason = "how far it is, beside the table")]

mod asker;
mod contest;
mod load;
mod table;

use anyhow::Context;
use argh::FromArgs;
use benches::backend::{self, Manner};
use benches::gateway::Kind;
use contest::{Contest, Trial};
use load::Load;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Our gateway beside HAProxy and nginx, in front of the same three stand-ins.
#[derive(FromArgs)]
struct Options {
    #[argh(subcommand)]
    part: Option<Part>,
    /// how often each is measured (5)
    #[argh(option, default = "5")]
    rounds: usize,
    /// how long each measurement takes, in seconds (4)
    #[argh(option, default = "4.0")]
    seconds: f64,
    /// requests a second where it is about how long they take (2000)
    #[argh(option, default = "2_000")]
    rate: u32,
    /// how many threads; more than once for more rows (1 and 2)
    #[argh(option)]
    threads: Vec<usize>,
    /// only what is named: most, rate or slow; more than once for more
    #[argh(option)]
    trial: Vec<String>,
    /// only those whose name has this in it, and direct
    #[argh(option)]
    only: Option<String>,
    /// a file for the table
    #[argh(option)]
    out: Option<PathBuf>,
}

/// What this program is when it starts itself.
#[derive(FromArgs)]
#[argh(subcommand)]
enum Part {
    Node(NodePart),
    Load(LoadPart),
}

/// A stand-in for a node.
#[derive(FromArgs)]
#[argh(subcommand, name = "node")]
struct NodePart {
    /// where it listens
    #[argh(option)]
    port: u16,
    /// the mean of what an answer takes
    #[argh(option)]
    takes_ms: u64,
    /// how many it answers at a time
    #[argh(option)]
    at_a_time: usize,
}

/// The load.
#[derive(FromArgs)]
#[argh(subcommand, name = "load")]
struct LoadPart {
    /// who is asked
    #[argh(option)]
    at: Vec<SocketAddr>,
    /// by how many
    #[argh(option)]
    connections: usize,
    /// for how long
    #[argh(option)]
    seconds: f64,
    /// how often a second
    #[argh(option)]
    rate: Option<u32>,
    /// whose processor time is counted
    #[argh(option)]
    watch: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let options: Options = argh::from_env();
    match options.part {
        Some(Part::Node(part)) => stand_in(&part),
        Some(Part::Load(part)) => {
            let load = Load {
                addresses: part.at,
                connections: part.connections,
                lasts: Duration::from_secs_f64(part.seconds),
                rate: part.rate,
                watched: part.watch,
            };
            println!("{}", serde_json::to_string(&load.run()?)?);
            Ok(())
        }
        None => measure(&options),
    }
}

fn stand_in(part: &NodePart) -> anyhow::Result<()> {
    let manner = Manner {
        takes: Duration::from_millis(part.takes_ms),
        at_a_time: part.at_a_time,
        ..Manner::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(backend::serve(part.port, manner))
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let threads: &[usize] = if options.threads.is_empty() {
        &[1, 2]
    } else {
        &options.threads
    };
    let (mut entrants, missing) = contest::entrants(threads);
    if let Some(only) = &options.only {
        entrants.retain(|one| one.kind == Kind::Direct || one.to_string().contains(only.as_str()));
    }
    let ours = "astromeshd is not built: cargo build --release -p astromeshd";
    Kind::Ours.program().context(ours)?;
    for name in &missing {
        eprintln!("NOT MEASURED: {name} is not installed");
    }
    let contest = Contest {
        entrants,
        trials: trials(&options.trial)?,
        rounds: options.rounds.max(1),
        seconds: options.seconds,
        rate: options.rate,
    };
    let samples = contest.run(|sample| {
        let (trial, measured) = (sample.trial, &sample.measured);
        eprintln!("{}, {trial:?}: {measured:?}", sample.entrant);
    })?;
    let table = table::markdown(&contest, &samples, &missing);
    print!("{table}");
    if let Some(file) = &options.out {
        let written = std::fs::write(file, table);
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn trials(names: &[String]) -> anyhow::Result<Vec<Trial>> {
    if names.is_empty() {
        return Ok(Trial::ALL.to_vec());
    }
    let named = names.iter().map(|name| match name.as_str() {
        "most" => Ok(Trial::Most),
        "rate" => Ok(Trial::Rate),
        "slow" => Ok(Trial::SlowNode),
        other => anyhow::bail!("there is no trial {other}; there are most, rate and slow"),
    });
    named.collect()
}
