//! Random runs of the simulated mesh, for as long as one likes: `cargo run --release -p benches --bin soak -- --minutes 60`.
//!
//! Each seed draws a number of nodes and a sequence of faults; after every event the invariants are checked, and in the
//! end the mesh must become whole. Prints a Markdown table; exits with 1 where an invariant broke, and says how to bring
//! that run back.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use argh::FromArgs;
use maia::sim::chaos::{self, Outcome};
use std::process::ExitCode;
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
}

/// What all runs so far came to.
#[derive(Default)]
struct Total {
    runs: u64,
    events: u64,
    virtual_time: Duration,
    by_nodes: std::collections::BTreeMap<usize, u64>,
    broken: Vec<Outcome>,
}

fn main() -> ExitCode {
    let options: Options = argh::from_env();
    let start = Instant::now();
    let total = match options.seed {
        Some(seed) => run(&[seed], &options),
        None => run_until(
            start + Duration::from_secs_f64(options.minutes * 60.0),
            &options,
        ),
    };
    print(&total, start.elapsed());
    ExitCode::from(u8::from(!total.broken.is_empty()))
}

/// From 5 to 32 nodes, by the seed.
fn nodes(seed: u64) -> usize {
    5 + usize::try_from(seed * 11 % 28).unwrap_or(0)
}

fn run(seeds: &[u64], options: &Options) -> Total {
    let mut total = Total::default();
    for &seed in seeds {
        total.add(chaos::run(seed, nodes(seed), options.events));
    }
    total
}

/// One seed after the other, on every processor, until `end`.
fn run_until(end: Instant, options: &Options) -> Total {
    let next = std::sync::atomic::AtomicU64::new(options.from);
    let total = std::sync::Mutex::new(Total::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed - options.from >= options.runs {
                        return;
                    }
                    let outcome = chaos::run(seed, nodes(seed), options.events);
                    let mut total = total.lock().expect("no run panics while it is added");
                    total.add(outcome);
                }
            });
        }
    });
    total.into_inner().expect("no run panics while it is added")
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.events += outcome.events;
        self.virtual_time += outcome.time;
        *self.by_nodes.entry(outcome.nodes).or_default() += 1;
        if !outcome.violations.is_empty() {
            self.broken.push(outcome);
        }
    }
}

fn print(total: &Total, elapsed: Duration) {
    let per_second = total.events as f64 / elapsed.as_secs_f64().max(0.001);
    let hours = total.virtual_time.as_secs_f64() / 3_600.0;
    println!("| runs | nodes | events | virtual hours | events/s | runs with a violation |");
    println!("|---|---|---|---|---|---|");
    let (least, most) = (total.by_nodes.keys().min(), total.by_nodes.keys().max());
    println!(
        "| {} | {}–{} | {} | {hours:.0} | {per_second:.0} | {} |",
        total.runs,
        least.unwrap_or(&0),
        most.unwrap_or(&0),
        total.events,
        total.broken.len()
    );
    for outcome in &total.broken {
        println!("\nseed {} with {} nodes:", outcome.seed, outcome.nodes);
        for violation in &outcome.violations {
            println!("- {violation}");
        }
        println!(
            "again: cargo run --release -p benches --bin soak -- --seed {}",
            outcome.seed
        );
    }
}
