//! One row to be measured: whose nodes, how many, and for how long each thing is done with them.

use crate::heads::Heads;
use crate::measure::{Plan, Row, measure};
use crate::ours::Ours;
use crate::peer::Peer;
use crate::with_chitchat::WithChitchat;
use crate::with_foca::WithFoca;
use std::str::FromStr;

/// One row to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) peer: Peer,
    pub(crate) nodes: usize,
}

impl Job {
    /// Measures it, here and now.
    pub(crate) fn measured(self, heads: Heads, seed: u64) -> anyhow::Result<Row> {
        let Self { peer, nodes } = self;
        let plan = plan(peer, nodes);
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

/// Seconds for each thing: less where a whole run would take hours.
fn plan(peer: Peer, nodes: usize) -> Plan {
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
    match peer {
        Peer::Ours if nodes > 2_048 => Plan {
            join: 120,
            settle: 20,
            count: 10,
            crash: 35,
            loss: 20,
            heavy_loss: 20,
            cut: 35,
            heal: 60,
        },
        // Joining takes ten minutes of processor, for foca looks through its members for each that it is told of; a cut
        // would take as long again.
        Peer::Foca if nodes > 2_048 => Plan {
            join: 30,
            settle: 20,
            count: 10,
            crash: 35,
            loss: 20,
            cut: 0,
            heal: 0,
            ..full
        },
        Peer::Ours => Plan {
            heavy_loss: 300,
            ..full
        },
        Peer::Chitchat if nodes > 256 => Plan {
            join: 20,
            settle: 8,
            count: 3,
            crash: 15,
            loss: 0,
            cut: 0,
            ..full
        },
        Peer::Chitchat if nodes > 64 => Plan {
            join: 60,
            settle: 30,
            count: 10,
            crash: 30,
            loss: 30,
            cut: 30,
            heal: 30,
            ..full
        },
        Peer::Foca | Peer::Chitchat => full,
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
}
