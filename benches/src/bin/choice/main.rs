//! How good the choice is on old news: the real selector in an imagined mesh, beside an oracle that knows every queue.
//!
//! A hundred nodes that run one request at a time, for a random time; ten gateways, each with its own counts; requests
//! for four fifths of what the nodes can do. Each gateway hears of each node every T service times, at moments of their
//! own as by gossip, and every answer carries the count of its node. All policies get the same requests of the same
//! lengths. What is compared is the time by which 99 of 100 requests are answered; the oracle joins a shortest queue.

mod mesh;
mod policy;
mod table;

use anyhow::{Context, Result};
use argh::FromArgs;
use mesh::{Load, simulate};
use policy::Policy;
use std::process::ExitCode;
use table::Row;

/// How old reports are, in service times.
const AGES: [f64; 7] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Simulate the choice of a node on old news, and print a table of how it does beside an oracle.
#[derive(FromArgs)]
struct Options {
    /// how many runs each figure is the median of, 20 by default
    #[argh(option, default = "20")]
    seeds: u64,

    /// requests that are counted in each run, 100000 by default
    #[argh(option, default = "100_000")]
    requests: usize,
}

fn main() -> ExitCode {
    match run(&argh::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "a program for people")]
            {
                eprintln!("choice: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints the table. False where a must is missed.
fn run(options: &Options) -> Result<bool> {
    anyhow::ensure!(options.seeds > 0, "--seeds must be at least 1");
    let load = Load {
        requests: options.requests,
        ..Load::default()
    };
    let mut rows: Vec<Row> = Policy::MEASURED.into_iter().map(Row::new).collect();
    // The oracle needs no reports.
    let seeds = 1..=options.seeds;
    let oracle = seeds.map(|seed| (seed, simulate(&load, Policy::Oracle, 1.0, seed)));
    let oracle: Vec<(u64, f64)> = oracle.collect();
    for age in AGES {
        for row in &mut rows {
            let figure = median_ratio(&load, row.policy, age, &oracle)?;
            row.figures.push(figure);
        }
    }
    #[allow(clippy::print_stdout, reason = "a program for people")]
    {
        print!("{}", table::written(&rows, options.seeds, &load));
    }
    let ours = rows.last().context("there is a row of ours")?;
    Ok(ours.meets_the_must())
}

/// The median, over the seeds, of how much longer than with the oracle 99 of 100 requests take.
fn median_ratio(load: &Load, policy: Policy, age: f64, oracle: &[(u64, f64)]) -> Result<f64> {
    let ratios = oracle
        .iter()
        .map(|(seed, oracle)| simulate(load, policy, age, *seed) / oracle);
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    ratios
        .get(ratios.len() / 2)
        .copied()
        .context("there are seeds")
}
