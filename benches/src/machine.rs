//! What is measured on, and what a process takes of it, as Linux says.

use anyhow::Context;
use std::fs::{read_dir, read_to_string};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The processor's name, and how many there are.
pub fn description() -> String {
    let told = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |text| {
        text.trim_start_matches([':', ' ', '\t'])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// Which version of the project this is, as git tells.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

/// The processor time that a process, its threads and its children have had so far.
///
/// # Errors
/// Where there is no such process.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    let mut pids = vec![pid];
    while let Some(pid) = pids.pop() {
        let tasks = read_dir(format!("/proc/{pid}/task"));
        let tasks = tasks.with_context(|| format!("there is no process {pid}"))?;
        for task in tasks {
            let task = task?.path();
            // A thread may end while it is looked at.
            let told = read_to_string(task.join("schedstat")).unwrap_or_default();
            let first = told.split_whitespace().next();
            nanos += first.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let children = read_to_string(task.join("children")).unwrap_or_default();
            pids.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// The memory that a process has in use: its own, and what it has of its program.
///
/// # Errors
/// Where there is no such process.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("there is no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1_024)
        .with_context(|| format!("the system does not say how much memory {pid} has"))
}

/// Lets this thread, and those that it starts, sleep to the microsecond: Linux gives them 50 µs of slack otherwise.
///
/// # Errors
/// Where the system does not let it.
pub fn sleep_exactly() -> anyhow::Result<()> {
    std::fs::write("/proc/self/timerslack_ns", "1").context("cannot set the slack of timers")
}

/// A moment that processes of this machine can compare: nanoseconds of the time of day.
pub fn moment_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
