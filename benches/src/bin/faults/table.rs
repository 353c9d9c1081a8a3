//! The table: a row a case, printed as soon as its last run has ended, with the commit and the machine over it.

use super::cases::Case;
use super::findings::{Failure, Findings, Outcome};
use std::fmt;
use std::fs;
use std::process::Command;

/// What the runs of a case came to, so far.
#[derive(Default)]
pub(crate) struct Row {
    found: Findings,
    runs: usize,
    missed: usize,
    /// Why runs ended before they had figures.
    complaints: Vec<String>,
    not_run: Vec<String>,
}

/// What is said of a case in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    /// All that must be is, but not all that should be.
    AimMissed,
    NotRun,
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::AimMissed => "aim missed",
            Self::NotRun => "NOT RUN",
            Self::Missed => "MISSED",
        })
    }
}

impl Row {
    /// Takes in how a run ended; returns how many have.
    pub(crate) fn add(&mut self, outcome: Outcome) -> usize {
        self.runs += 1;
        match outcome {
            Ok(found) => {
                self.missed += usize::from(!found.is_ok());
                self.found.take(found);
            }
            Err(Failure::Missed(why)) => {
                self.missed += 1;
                self.complaints.push(why);
            }
            Err(Failure::NotRun(why)) => self.not_run.push(why),
        }
        self.runs
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.missed > 0 {
            Verdict::Missed
        } else if !self.not_run.is_empty() {
            Verdict::NotRun
        } else if self.found.meets_aims() {
            Verdict::Ok
        } else {
            Verdict::AimMissed
        }
    }

    /// The row as it is printed.
    pub(crate) fn written(&self, case: &Case) -> String {
        let Case {
            name,
            number,
            fault,
            ..
        } = case;
        let name = if number.is_empty() {
            (*name).to_owned()
        } else {
            format!("{name} ({number})")
        };
        let complaints = self.complaints.iter().map(|why| format!("missed: {why}"));
        let not_run = self
            .not_run
            .iter()
            .take(1)
            .map(|why| format!("not run: {why}"));
        let figures = [self.found.to_string()].into_iter();
        let all = figures.chain(complaints).chain(not_run);
        let seen: Vec<_> = all.filter(|text| !text.is_empty()).collect();
        let good = self.runs - self.missed - self.not_run.len();
        let seen = seen.join("; ").replace('|', "/").replace('\n', " ");
        let (wanted, runs, verdict) = (self.found.wanted(), self.runs, self.verdict());
        format!("| {name} | {fault} | {wanted} | {seen} | {good} of {runs} | {verdict} |")
    }
}

/// What stands over the rows: where and of what this was measured.
pub(crate) fn head() -> String {
    let (commit, machine) = (commit(), machine());
    format!(
        "Commit {commit}; {machine}.\n\n| case | fault | must (or aim) | seen | runs | |\n|---|---|---|---|---|---|"
    )
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |model| {
        model.trim_start_matches(['\t', ' ', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}
