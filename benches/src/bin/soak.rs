//! Random runs of the simulated mesh, for as long as one likes: `cargo run --release -p benches --bin soak -- --minutes 60`.
//!
//! Each seed draws a number of nodes, kinds of fault, and a sequence of them; after every event the invariants are
//! checked, and in peace the mesh must become whole. Prints Markdown: what ran, on how many nodes, which faults struck.
//! Exits with 1 where an invariant broke, and says what happened before and how to bring that run back.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use argh::FromArgs;
use maia::sim::chaos::{self, Outcome};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Random runs of the simulated mesh.
#[derive(FromArgs)]
struct Options {
    /// minutes to go on for (10)
    #[argh(option, default = "10.0")]
    minutes: f64,
    /// stop after so many seeds, if that is sooner
    #[argh(option, default = "u64::MAX")]
    runs: u64,
    /// one seed to run again, instead of one after the other
    #[argh(option)]
    seed: Option<u64>,
    /// the seed to begin with (0)
    #[argh(option, default = "0")]
    from: u64,
    /// events in each run (1000000)
    #[argh(option, default = "1_000_000")]
    events: u64,
    /// print each run's fingerprint and nothing else: the same on every machine and in every build
    #[argh(switch)]
    print_hashes: bool,
}

/// What all runs so far came to.
#[derive(Default)]
struct Total {
    runs: u64,
    events: u64,
    virtual_time: Duration,
    by_nodes: BTreeMap<usize, u64>,
    struck: BTreeMap<&'static str, u64>,
    hashes: BTreeMap<u64, u64>,
    broken: Vec<Outcome>,
}

fn main() -> ExitCode {
    let mut options: Options = argh::from_env();
    if let Some(seed) = options.seed {
        (options.from, options.runs) = (seed, 1);
    }
    // Asked now: in an hour the checkout may be at another one.
    let commit = commit();
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.minutes * 60.0);
    let mut total = run_until(end, &options);
    total.broken.sort_by_key(|outcome| outcome.seed);
    if options.print_hashes {
        for (seed, hash) in &total.hashes {
            println!("{seed} {hash:016x}");
        }
    } else {
        print(&total, &commit, start.elapsed(), &options);
    }
    ExitCode::from(u8::from(!total.broken.is_empty()))
}

/// From 5 to 32 nodes, by the seed.
fn nodes(seed: u64) -> usize {
    5 + usize::try_from(seed % 28 * 11 % 28).unwrap_or(0)
}

/// One seed after the other, on every processor, until `end`.
fn run_until(end: Instant, options: &Options) -> Total {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    let work = || {
        while Instant::now() < end {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= options.runs {
                return;
            }
            let seed = options.from.wrapping_add(run);
            let outcome = chaos::run(seed, nodes(seed), options.events);
            let mut total = total.lock().expect("no run panics while it is added");
            total.add(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(work);
        }
    });
    total.into_inner().expect("no run panics while it is added")
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.events += outcome.events;
        self.virtual_time += outcome.time;
        *self.by_nodes.entry(outcome.nodes).or_default() += 1;
        for (fault, times) in &outcome.struck {
            *self.struck.entry(fault).or_default() += times;
        }
        self.hashes.insert(outcome.seed, outcome.trace_hash);
        if !outcome.violations.is_empty() {
            self.broken.push(outcome);
        }
    }
}

fn print(total: &Total, commit: &str, elapsed: Duration, options: &Options) {
    let (took, hours) = (
        elapsed.as_secs_f64(),
        total.virtual_time.as_secs_f64() / 3_600.0,
    );
    let per_second = total.events as f64 / took.max(0.001);
    println!("Commit {commit}, {}.\n", machine());
    println!("| seeds | runs | events | virtual hours | took | events/s | runs with a violation |");
    println!("|---|---|---|---|---|---|---|");
    let (first, runs, broken) = (options.from, total.runs, total.broken.len());
    let last = total.hashes.keys().next_back().copied().unwrap_or(first);
    println!(
        "| {first}–{last} | {runs} | {} | {hours:.0} | {took:.0} s | {per_second:.0} | {broken} |",
        total.events
    );
    print_row("nodes", "runs", &total.by_nodes);
    print_row("fault", "times", &total.struck);
    for outcome in &total.broken {
        print_broken(outcome, options);
    }
}

/// A table of one row: what there was, and how often.
fn print_row<K: ToString>(what: &str, count: &str, counts: &BTreeMap<K, u64>) {
    let join = |texts: Vec<String>| texts.join(" | ");
    println!(
        "\n| {what} | {} |",
        join(counts.keys().map(ToString::to_string).collect())
    );
    println!("|---|{}", "---|".repeat(counts.len()));
    println!(
        "| {count} | {} |",
        join(counts.values().map(ToString::to_string).collect())
    );
}

fn print_broken(outcome: &Outcome, options: &Options) {
    let (seed, nodes) = (outcome.seed, outcome.nodes);
    println!("\nSeed {seed} with {nodes} nodes broke:\n");
    for violation in &outcome.violations {
        println!("- {violation}");
    }
    println!("\nWhat struck before:\n");
    for fault in &outcome.story {
        println!("- {fault}");
    }
    println!(
        "\nAgain: `cargo run --release -p benches --bin soak -- --seed {seed} --events {}`",
        options.events
    );
}

/// The commit that runs, if this is a checkout and there is a git to ask.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

/// The processor, as Linux names it, and how much of it there is.
fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map(|(_, model)| model);
    let threads = threads();
    let plural = if threads == 1 { "" } else { "s" };
    format!(
        "{}, {threads} core{plural}",
        model.unwrap_or(std::env::consts::ARCH)
    )
}
