//! What this process takes, as Linux says. `None` where the system does not say.

use std::fs::read_to_string;
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

/// What stands behind `key` in the first line that begins with it.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(str::trim)
}
