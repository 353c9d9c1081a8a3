//! Who is measured with what, and in which order: all of them in each round, so that what else the machine does meanwhile
//! strikes all alike.

use super::load::Measured;
use anyhow::Context;
use benches::gateway::{Entrant, Kind, Process, Running, free_port, listens};
use std::net::SocketAddr;
use std::process::Command;

/// What is asked of an entrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trial {
    /// 64 connections, each asking again at once.
    Most,
    /// Requests at a rate, of nodes that answer at once.
    Rate,
    /// Likewise, and one node of three is ten times slower than the others.
    SlowNode,
}

impl Trial {
    pub(crate) const ALL: [Self; 3] = [Self::Most, Self::Rate, Self::SlowNode];

    /// What a stand-in is told; the second one is the slow one.
    fn manner(self, place: usize) -> Vec<String> {
        let (millis, at_a_time) = match self {
            Self::Most | Self::Rate => (0, 1_000_000),
            Self::SlowNode if place == 1 => (50, 16),
            Self::SlowNode => (5, 16),
        };
        options(&[("takes-ms", millis), ("at-a-time", at_a_time)])
    }

    fn load(self, rate: u32) -> Vec<String> {
        match self {
            Self::Most => options(&[("connections", 64)]),
            Self::Rate => options(&[("connections", 64), ("rate", rate)]),
            // As many as are in flight at the worst, so that the load itself is never what waits.
            Self::SlowNode => options(&[("connections", 256), ("rate", rate)]),
        }
    }
}

/// Options of the command line and their values.
fn options(options: &[(&str, u32)]) -> Vec<String> {
    let words = options
        .iter()
        .map(|(name, value)| [format!("--{name}"), value.to_string()]);
    words.flatten().collect()
}

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Contest {
    pub(crate) entrants: Vec<Entrant>,
    pub(crate) trials: Vec<Trial>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) rate: u32,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) entrant: Entrant,
    pub(crate) trial: Trial,
    pub(crate) measured: Measured,
}

impl Contest {
    /// Measures all; `told` hears of each.
    pub(crate) fn run(&self, mut told: impl FnMut(&Sample)) -> anyhow::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for trial in &self.trials {
            let nodes = stand_ins(*trial)?;
            let ports: Vec<u16> = nodes.iter().map(|(port, _)| *port).collect();
            for round in 0..self.rounds {
                // Nobody is always the one after the same other.
                let mut entrants = self.entrants.clone();
                let count = entrants.len();
                entrants.rotate_left(round % count);
                for entrant in entrants {
                    let running = entrant.start(&ports)?;
                    let sample = Sample {
                        entrant,
                        trial: *trial,
                        measured: self.measure(*trial, &running)?,
                    };
                    told(&sample);
                    samples.push(sample);
                }
            }
        }
        Ok(samples)
    }

    fn measure(&self, trial: Trial, running: &Running) -> anyhow::Result<Measured> {
        let mut load = Command::new(std::env::current_exe()?);
        load.arg("load").args(trial.load(self.rate));
        load.args(["--seconds", &self.seconds.to_string()]);
        for address in &running.addresses {
            load.args(["--at", &address.to_string()]);
        }
        if let Some(process) = &running.process {
            load.args(["--watch", &process.pid().to_string()]);
        }
        let output = load.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "the load failed: {said}");
        serde_json::from_slice(&output.stdout).context("the load says no figures")
    }
}

/// Three of them, which run until they are dropped.
fn stand_ins(trial: Trial) -> anyhow::Result<Vec<(u16, Process)>> {
    let started = (0..3).map(|place| {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("node").args(["--port", &port.to_string()]);
        let process = Process::start(command.args(trial.manner(place)))?;
        listens(SocketAddr::from(([127, 0, 0, 1], port)))?;
        Ok((port, process))
    });
    started.collect()
}

/// All that are to be measured, and the names of those that are not installed.
pub(crate) fn entrants(threads: &[usize]) -> (Vec<Entrant>, Vec<String>) {
    let mut all = vec![Entrant {
        kind: Kind::Direct,
        threads: 1,
    }];
    for &threads in threads {
        let kinds = [
            Kind::Ours,
            Kind::HaProxy {
                with_our_headers: true,
            },
            Kind::HaProxy {
                with_our_headers: false,
            },
            Kind::Nginx,
        ];
        all.extend(kinds.map(|kind| Entrant { kind, threads }));
    }
    let is_there =
        |entrant: &Entrant| entrant.kind == Kind::Direct || entrant.kind.program().is_some();
    let (there, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(is_there);
    (there, missing.iter().map(ToString::to_string).collect())
}
