//! How busy this node is, measured and told to the mesh.

use crate::here::Here;
use maia::node::Command;
use maia::record::Load;
use std::sync::Arc;
use std::time::Duration;
use sysinfo::System;

/// Requests that begin and end are told at most this often.
const PAUSE: Duration = Duration::from_millis(250);

/// Tells the node its load once a round and soon after its requests change, until it is dropped.
pub(crate) async fn keep_telling(here: Arc<Here>) {
    let Some(mesh) = &here.mesh else {
        return;
    };
    let Some(settings) = &here.settings.mesh else {
        return;
    };
    let pace = settings.config.gossip_interval.max(PAUSE);
    let mut machine = Machine::new();
    loop {
        let (cpu_percent, memory_percent) = machine.measure();
        match Load::new(cpu_percent, memory_percent, here.running.now()) {
            Ok(load) => mesh.handle.tell(Command::Load(load)),
            Err(error) => log::warn!("the load that was measured is not one: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
        // Whichever comes first; both are reasons.
        drop(tokio::time::timeout(pace - PAUSE, here.load_changed.notified()).await);
    }
}

/// The machine that this node is on, within the container's limits where there are some.
struct Machine(Option<System>);

impl Machine {
    fn new() -> Self {
        let system = System::new();
        if let Err(error) = &system {
            log::warn!("cannot measure this machine, which is told as idle: {error}");
        }
        Self(system.ok())
    }

    /// Processor and memory in use, in percent.
    fn measure(&mut self) -> (f64, f64) {
        let Some(system) = &mut self.0 else {
            return (0.0, 0.0);
        };
        system.refresh_cpu_usage();
        system.refresh_memory();
        let cpu = f64::from(system.global_cpu_usage()).clamp(0.0, 100.0);
        let (used, total) = match system.cgroup_limits() {
            Some(limits)
                if limits.total_memory > 0 && limits.total_memory < system.total_memory() =>
            {
                (
                    limits.total_memory.saturating_sub(limits.free_memory),
                    limits.total_memory,
                )
            }
            _ => (system.used_memory(), system.total_memory()),
        };
        let memory = if total == 0 {
            0.0
        } else {
            used as f64 * 100.0 / total as f64
        };
        // One digit is what people read; more would only make every heartbeat different.
        (one_digit(cpu), one_digit(memory.clamp(0.0, 100.0)))
    }
}

fn one_digit(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_percentages() {
        let mut machine = Machine::new();
        for _ in 0..2 {
            let (cpu, memory) = machine.measure();
            assert!((0.0..=100.0).contains(&cpu), "{cpu}");
            assert!((0.0..=100.0).contains(&memory) && memory > 0.0, "{memory}");
        }
    }
}
