//! What a process takes, as the kernel counts it.

use super::findings::Failure;
use std::fs;
use std::process::Command;

/// The memory that it has in use now, in MiB: its own, and what it has of its program and libraries.
pub(crate) fn rss_mib(pid: u32) -> Result<f64, Failure> {
    memory_mib(pid, "VmRSS:")
}

/// What of that is its own and shared with nobody, in MiB.
pub(crate) fn own_mib(pid: u32) -> Result<f64, Failure> {
    memory_mib(pid, "RssAnon:")
}

fn memory_mib(pid: u32, name: &str) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map(|kib| kib / 1_024.0)
        .ok_or_else(|| format!("{pid} has no {name}").into())
}

/// The processor time that it has had so far, in seconds, to the kernel's hundredth or so.
pub(crate) fn processor_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in parentheses and may have blanks; from the state on, user and system time are the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
    Ok(ticks / ticks_per_second()?)
}

fn ticks_per_second() -> Result<f64, Failure> {
    let output = Command::new("getconf").arg("CLK_TCK").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .map_err(|_| "getconf CLK_TCK says no number".to_owned().into())
}

/// How many files it may have open at a time.
pub(crate) fn most_files(pid: u32) -> Result<f64, Failure> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    most.ok_or_else(|| format!("{pid} has no limit of files").into())
}

/// How many files it has open now.
pub(crate) fn files(pid: u32) -> Result<f64, Failure> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as f64)
}
