//! Whose nodes there are, at which sizes, and for how long each thing is done with them.

use crate::heads::Heads;
use crate::measure::{Plan, Row, measure};
use crate::ours::Ours;
use crate::with_chitchat::WithChitchat;
use crate::with_foca::WithFoca;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which versions are built in.
const LOCK: &str = include_str!("../../../../Cargo.lock");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Peer {
    Ours,
    Foca,
    Chitchat,
}

/// One row to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) peer: Peer,
    pub(crate) nodes: usize,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Foca, Self::Chitchat];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "maia",
            Self::Foca => "foca",
            Self::Chitchat => "chitchat",
        }
    }

    /// Its name with the version that is built in.
    pub(crate) fn title(self) -> String {
        let package = match self {
            Self::Ours => "astromesh-maia",
            other => other.name(),
        };
        let version = LOCK.split_once(&format!("name = \"{package}\"\nversion = \""));
        let version = version.and_then(|(_, rest)| rest.split('"').next());
        format!("{} {}", self.name(), version.unwrap_or("unknown"))
    }

    /// The sizes at which it is measured where nobody says otherwise.
    pub(crate) fn sizes(self, all: bool) -> Vec<usize> {
        let sizes: &[usize] = match (self, all) {
            (Self::Ours, false) => &[16, 64, 256, 1_024, 4_096],
            (Self::Ours, true) => &[16, 64, 256, 1_024, 4_096, 10_000],
            (Self::Foca, _) | (Self::Chitchat, true) => &[16, 64, 256, 1_024],
            (Self::Chitchat, false) => &[],
        };
        sizes.to_vec()
    }

    fn plan(self, nodes: usize) -> Plan {
        let full = Plan {
            join: 600,
            settle: 120,
            count: 60,
            crash: 60,
            loss: 300,
            heavy_loss: 0,
            cut: 120,
            heal: 300,
        };
        match self {
            Self::Ours => Plan {
                heavy_loss: 300,
                ..full
            },
            Self::Chitchat if nodes > 256 => Plan {
                join: 20,
                settle: 8,
                count: 3,
                crash: 15,
                loss: 0,
                cut: 0,
                ..full
            },
            Self::Chitchat if nodes > 64 => Plan {
                join: 60,
                settle: 30,
                count: 10,
                crash: 30,
                loss: 30,
                cut: 30,
                heal: 30,
                ..full
            },
            Self::Foca | Self::Chitchat => full,
        }
    }
}

impl Job {
    /// Measures it, here and now.
    pub(crate) fn measured(self, heads: Heads, seed: u64) -> anyhow::Result<Row> {
        let Self { peer, nodes } = self;
        let plan = peer.plan(nodes);
        let row = match peer {
            Peer::Ours => measure(peer, &mut Ours::new(nodes, heads, seed), nodes, plan, seed),
            Peer::Foca => measure(peer, &mut WithFoca::new(nodes, seed), nodes, plan, seed),
            Peer::Chitchat => measure(
                peer,
                &mut WithChitchat::new(nodes, seed)?,
                nodes,
                plan,
                seed,
            ),
        };
        Ok(row)
    }
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.peer.name(), self.nodes)
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text} is not a job such as foca:64");
        let (name, nodes) = text.split_once(':').ok_or_else(wanted)?;
        let peer = Peer::ALL.into_iter().find(|peer| peer.name() == name);
        let nodes = nodes.parse().ok().filter(|nodes| *nodes >= 4);
        match (peer, nodes) {
            (Some(peer), Some(nodes)) => Ok(Self { peer, nodes }),
            _ => Err(wanted()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_as_it_is_written() {
        for peer in Peer::ALL {
            let job = Job { peer, nodes: 64 };
            assert_eq!(job.to_string().parse(), Ok(job));
        }
        assert!("foca:3".parse::<Job>().is_err());
        assert!("serf:64".parse::<Job>().is_err());
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert!(Peer::Ours.title().starts_with("maia 0."));
        assert!(Peer::Foca.title().starts_with("foca 2."));
        assert!(Peer::Chitchat.title().starts_with("chitchat 0."));
    }
}
