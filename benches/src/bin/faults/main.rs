//! Real daemons, hurt on purpose: `cargo run --release -p benches --bin faults [-- --only NAME] [--slice]`.
//!
//! Each case starts daemons of its own, in network namespaces on a bridge or on loopback addresses, does something bad to
//! them, and looks at what they make of it. Prints a Markdown table, a row as soon as a case has ended, and exits with 1
//! where something that must hold did not. What a machine lacks is said and not run. It takes root, `ip` and `iptables`;
//! some cases also `ss`, libfaketime, control groups or `serf`. All that was started is ended, on Ctrl-C too.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(
    clippy::print_stderr,
    reason = "what goes on meanwhile is not part of the table"
)]

mod cases;
mod cgroup;
mod daemon;
mod findings;
mod lab;
mod mesh;
mod runs;
mod table;
mod usage;

use argh::FromArgs;
use cases::Case;
use runs::{Cancelled, Runs};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use table::Verdict;

/// How many runs there may be at a time. Each has some 70 pairs of hosts that talk, and a kernel keeps 1,024 such
/// neighbours in all namespaces together, by default; what is beyond is not reached.
const MOST_JOBS: usize = 12;

/// Real daemons, hurt on purpose.
#[derive(FromArgs)]
struct Options {
    /// only the case of that name or number (fifty, S4); may be given more than once
    #[argh(option)]
    only: Vec<String>,
    /// shorter and fewer, in less than five minutes
    #[argh(switch)]
    slice: bool,
    /// the daemon to hurt, with astromeshctl beside it, instead of building them
    #[argh(option)]
    daemon: Option<PathBuf>,
    /// how many runs at a time, up to 12 (8)
    #[argh(option, default = "8")]
    jobs: usize,
    /// how often each case is run, whatever it says itself
    #[argh(option)]
    times: Option<usize>,
    /// names the cases, and runs none
    #[argh(switch)]
    list: bool,
}

fn main() -> ExitCode {
    let options: Options = argh::from_env();
    let cases = match chosen(&options) {
        Ok(cases) => cases,
        Err(why) => return complain(&why),
    };
    if options.list {
        for Case {
            name,
            number,
            fault,
            ..
        } in &cases
        {
            println!("{name:16} {number:4} {fault}");
        }
        return ExitCode::SUCCESS;
    }
    let program = match options.daemon.map_or_else(build, Ok) {
        Ok(program) => program,
        Err(why) => return complain(&why),
    };
    println!("{}", table::head());
    let runs = Runs {
        program,
        is_slice: options.slice,
        jobs: options.jobs.clamp(1, MOST_JOBS),
    };
    match runs.all(cases) {
        Ok(verdicts) => conclude(&verdicts),
        Err(Cancelled) => complain("stopped; what was started is ended"),
    }
}

/// The cases that were asked for.
fn chosen(options: &Options) -> Result<Vec<Case>, String> {
    let mut cases = cases::all();
    for name in &options.only {
        if !cases.iter().any(|case| case.is_called(name)) {
            return Err(format!("there is no case {name}; --list names them"));
        }
    }
    if !options.only.is_empty() {
        cases.retain(|case| options.only.iter().any(|name| case.is_called(name)));
    }
    for case in &mut cases {
        // What is named is run, even where a slice would leave it out.
        let least = usize::from(!options.only.is_empty());
        let usual = if options.slice {
            case.runs_in_slice.max(least)
        } else {
            case.runs
        };
        case.runs = options.times.unwrap_or(usual);
    }
    cases.retain(|case| case.runs > 0);
    Ok(cases)
}

/// Builds the programs, and says where the daemon is.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--locked",
        "-p",
        "astromeshd",
        "-p",
        "astromeshctl",
    ]);
    let status = command
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err("the daemon cannot be built".to_owned());
    }
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = here.parent().and_then(std::path::Path::parent);
    let program = target.map(|target| target.join("release").join("astromeshd"));
    program
        .filter(|program| program.exists())
        .ok_or("name the daemon with --daemon".to_owned())
}

fn conclude(verdicts: &[Verdict]) -> ExitCode {
    let count = |verdict| verdicts.iter().filter(|one| **one == verdict).count();
    let (missed, not_run) = (count(Verdict::Missed), count(Verdict::NotRun));
    if not_run > 0 {
        let line = "#".repeat(60);
        eprintln!(
            "{line}\n# NOT RUN: {not_run} of {} cases; see the table.\n{line}",
            verdicts.len()
        );
    }
    ExitCode::from(u8::from(missed > 0))
}

fn complain(why: &str) -> ExitCode {
    eprintln!("faults: {why}");
    ExitCode::from(2)
}
