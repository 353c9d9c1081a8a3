//! What this process takes, as Linux says, and what it runs on. `None` where the system does not say.

use std::fs::read_to_string;
use std::process::Command;
use std::time::Duration;

/// Processor time of this process, which has one thread.
pub(crate) fn cpu_time() -> Option<Duration> {
    // The system brings its account up to date when it looks for whom to run next, or else a few milliseconds late.
    std::thread::yield_now();
    let told = read_to_string("/proc/self/schedstat").ok()?;
    let nanos = told.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Memory that this process has in use.
pub(crate) fn resident_bytes() -> Option<u64> {
    let told = read_to_string("/proc/self/status").ok()?;
    let kilobytes: u64 = after(&told, "VmRSS:")?.split(' ').next()?.parse().ok()?;
    Some(kilobytes * 1_024)
}

/// The processor's name, and how many there are.
pub(crate) fn description() -> String {
    let told = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = after(&told, "model name").map_or("unknown processor", |text| {
        text.trim_start_matches([':', ' ', '\t'])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// Which version of the project this is, as git tells.
pub(crate) fn commit() -> String {
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

/// What stands behind `key` in the first line that begins with it.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(str::trim)
}
