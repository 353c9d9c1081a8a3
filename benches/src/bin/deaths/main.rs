//! What deaths and overload cost those who ask: real daemons under an even load, killed, stopped, restarted, overloaded.
//!
//! Each worker has a server of its own for its two agents, of which one may be run twice for one request and the other not.

mod agent;
mod crash;
mod load;
mod overload;
mod rolling;
mod stage;

use anyhow::Result;
use argh::FromArgs;
use benches::machine;
use std::process::ExitCode;

/// Kill, restart and overload real daemons under load, and print what became of the requests.
#[derive(FromArgs)]
struct Options {
    /// how often a worker is killed, 10 by default
    #[argh(option, default = "10")]
    runs: usize,

    /// requests a second, 2000 by default
    #[argh(option, default = "2000.0")]
    rate: f64,

    /// only this part: crash, rolling or overload
    #[argh(option)]
    only: Option<String>,
}

/// What one part found: its table, and whether all that must be was.
pub(crate) struct Findings {
    pub(crate) table: String,
    pub(crate) missed: Vec<String>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(&argh::from_env())),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "a program for people")]
            {
                eprintln!("deaths: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "a program for people")]
async fn run(options: &Options) -> Result<bool> {
    let is_wanted = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    println!(
        "`cargo run --release -p benches --bin deaths` at {} on {}.\n",
        machine::commit(),
        machine::description()
    );
    let mut missed = Vec::new();
    let mut tell = |findings: Findings| {
        println!("{}", findings.table);
        missed.extend(findings.missed);
    };
    if is_wanted("crash") {
        tell(crash::measure(options.runs, options.rate).await?);
    }
    if is_wanted("rolling") {
        tell(rolling::measure(options.rate).await?);
    }
    if is_wanted("overload") {
        tell(overload::measure().await?);
    }
    match missed.as_slice() {
        [] => println!("All that must be was."),
        missed => println!("Missed: {}.", missed.join("; ")),
    }
    Ok(missed.is_empty())
}
