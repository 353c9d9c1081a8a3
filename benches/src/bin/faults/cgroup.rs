//! A control group of its own for a process that is to have little: version 2, or version 1 where the machine has that.

use super::findings::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";

/// The group; it is taken away when this is dropped, and whoever is in it must have ended by then.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// One whose processes have so many hundredths of one processor together.
    pub(crate) fn with_processor_percent(percent: u32) -> Result<Self, Failure> {
        let quota = percent * 1_000;
        match Self::make("cpu")? {
            (group, Version::Two) => group.having("cpu.max", &format!("{quota} 100000")),
            (group, Version::One) => group
                .having("cpu.cfs_period_us", "100000")?
                .having("cpu.cfs_quota_us", &quota.to_string()),
        }
    }

    /// One whose processes have so much memory together, and no swap where that can be said.
    pub(crate) fn with_memory_mib(mib: u64) -> Result<Self, Failure> {
        let bytes = (mib * 1_024 * 1_024).to_string();
        match Self::make("memory")? {
            (group, Version::Two) => group.having("memory.max", &bytes),
            (group, Version::One) => group.having("memory.limit_in_bytes", &bytes),
        }
    }

    fn make(controller: &str) -> Result<(Self, Version), Failure> {
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let (root, version) = root(controller)?;
        let path = root.join(format!("maia-faults-{}-{number}", std::process::id()));
        let made = fs::create_dir(&path);
        made.map_err(|error| Failure::NotRun(format!("{}: {error}", path.display())))?;
        Ok((Self { path }, version))
    }

    fn having(self, file: &str, value: &str) -> Result<Self, Failure> {
        let path = self.path.join(file);
        let written = fs::write(&path, value);
        written.map_err(|error| Failure::NotRun(format!("{}: {error}", path.display())))?;
        Ok(self)
    }

    /// Puts a process into it.
    pub(crate) fn take(&self, pid: u32) -> Result<(), Failure> {
        Ok(fs::write(self.path.join("cgroup.procs"), pid.to_string())?)
    }

    /// A script that runs `"$@"` in it.
    pub(crate) fn script(&self) -> String {
        let processes = self.path.join("cgroup.procs");
        format!("echo $$ >{} || exit 97; exec \"$@\"", processes.display())
    }

    /// A process in it that takes all the processor time it can get.
    pub(crate) fn busy(&self) -> Result<Busy, Failure> {
        let child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()?;
        let busy = Busy(child);
        self.take(busy.0.id())?;
        Ok(busy)
    }

    /// How often its processes had to wait because their share was used up.
    pub(crate) fn throttled(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(self.path.join("cpu.stat"))?;
        let count = stat
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled "));
        let count = count.and_then(|count| count.parse().ok());
        count.ok_or_else(|| "cpu.stat does not say nr_throttled".to_owned().into())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was killed stays for a moment.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A process that keeps a processor busy; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

enum Version {
    One,
    Two,
}

/// Where groups with that controller are made.
fn root(controller: &str) -> Result<(PathBuf, Version), Failure> {
    let two = Path::new(ROOT);
    let offered = fs::read_to_string(two.join("cgroup.subtree_control")).unwrap_or_default();
    if offered.split_whitespace().any(|name| name == controller) {
        return Ok((two.to_owned(), Version::Two));
    }
    let one = two.join(controller);
    if one.join("cgroup.procs").exists() {
        return Ok((one, Version::One));
    }
    Err(Failure::NotRun(format!(
        "no control groups for {controller}"
    )))
}
