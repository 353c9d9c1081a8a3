//! Our nodes beside foca's and chitchat's, in one and the same imagined network: `cargo run --release -p benches --bin peers`.
//!
//! Each row is measured in a process of its own, so that its memory and its processor time are its own, two at a time.
//! Prints a Markdown table with the aims beside our figures; exits with 1 where something failed that must not.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::print_stderr, reason = "how far it is, beside the table")]

mod aims;
mod heads;
mod job;
mod machine;
mod measure;
mod network;
mod ours;
mod peer;
mod plot;
mod table;
mod with_chitchat;
mod with_foca;

use anyhow::Context;
use argh::FromArgs;
use heads::Heads;
use job::Job;
use measure::Row;
use peer::Peer;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

/// From this size on a mesh is measured with the machine to itself, for its memory.
const LARGE: usize = 10_000;

/// Our nodes beside foca's and chitchat's, in one imagined network.
#[derive(FromArgs)]
struct Options {
    /// ours at 10,000 too, and chitchat, which takes far longer
    #[argh(switch)]
    all: bool,
    /// sizes of the mesh, with commas between, instead of the usual ones
    #[argh(option)]
    nodes: Option<String>,
    /// a file for a picture of the bytes (SVG)
    #[argh(option)]
    plot: Option<PathBuf>,
    /// a directory for the table and the picture: peers.md and peers.svg
    #[argh(option)]
    out_dir: Option<PathBuf>,
    /// seed (1)
    #[argh(option, default = "1")]
    seed: u64,
    /// one row only, such as foca:64, printed as JSON
    #[argh(option)]
    row: Option<Job>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options: Options = argh::from_env();
    let heads = Heads::measured().context("cannot learn how long heads of HTTP are")?;
    if let Some(job) = options.row {
        let row = job.measured(heads, options.seed)?;
        println!("{}", serde_json::to_string(&row)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = rows(&options)?;
    let table = table::markdown(&rows, &heads.to_string());
    print!("{table}");
    write(&options, &table, &rows)?;
    let ours = rows.iter().filter(|row| row.peer == Peer::Ours);
    let missed: Vec<String> = ours.flat_map(aims::missed).collect();
    for what in &missed {
        eprintln!("failed: {what}");
    }
    Ok(ExitCode::from(u8::from(!missed.is_empty())))
}

/// All rows, by peer and size; the longest are measured first, two at a time, and the large ones in the end, alone.
fn rows(options: &Options) -> anyhow::Result<Vec<Row>> {
    let mut jobs = jobs(options)?;
    jobs.sort_by_key(|job| (job.nodes, job.peer));
    let (mut small, large): (Vec<Job>, Vec<Job>) =
        jobs.into_iter().partition(|job| job.nodes < LARGE);
    let mut rows = measured(&mut small, options.seed, 2)?;
    for job in large {
        rows.extend(measured(&mut vec![job], options.seed, 1)?);
    }
    rows.sort_by_key(|row| (row.peer, row.nodes));
    Ok(rows)
}

fn jobs(options: &Options) -> anyhow::Result<Vec<Job>> {
    let peers = Peer::ALL
        .into_iter()
        .filter(|peer| options.all || *peer != Peer::Chitchat);
    let Some(nodes) = &options.nodes else {
        let sized =
            peers.flat_map(|peer| peer.sizes(options.all).into_iter().map(move |n| (peer, n)));
        return Ok(sized.map(|(peer, nodes)| Job { peer, nodes }).collect());
    };
    let mut jobs = Vec::new();
    for peer in peers {
        for text in nodes.split(',').map(str::trim) {
            let nodes = text.parse().ok().filter(|nodes| *nodes >= 4);
            let nodes = nodes.with_context(|| format!("{text} is no number of nodes from 4 on"))?;
            jobs.push(Job { peer, nodes });
        }
    }
    Ok(jobs)
}

/// Takes from the end of `jobs` and measures each, so many at a time.
fn measured(jobs: &mut Vec<Job>, seed: u64, at_a_time: usize) -> anyhow::Result<Vec<Row>> {
    let jobs = Mutex::new(jobs);
    let work = || {
        let mut rows = Vec::new();
        loop {
            let job = jobs.lock().expect("nobody panics with them in hand").pop();
            let Some(job) = job else { return Ok(rows) };
            rows.push(apart(job, seed)?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
        let rows: anyhow::Result<Vec<Vec<Row>>> = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"))
            .collect();
        Ok(rows?.concat())
    })
}

/// Measures a row in a process of its own.
fn apart(job: Job, seed: u64) -> anyhow::Result<Row> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--row", &job.to_string(), "--seed", &seed.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{job} ended with {}",
        output.status
    );
    let row: Row = serde_json::from_slice(&output.stdout)?;
    eprintln!("{job}: {:.0} s", row.took);
    Ok(row)
}

fn write(options: &Options, table: &str, rows: &[Row]) -> anyhow::Result<()> {
    let directory = options.out_dir.as_deref();
    let pictures = [
        options.plot.clone(),
        directory.map(|to| to.join("peers.svg")),
    ];
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("peers.md"), table)?;
    }
    for picture in pictures.into_iter().flatten() {
        let written = std::fs::write(&picture, plot::svg(rows).unwrap_or_default());
        written.with_context(|| format!("cannot write {}", picture.display()))?;
    }
    Ok(())
}
