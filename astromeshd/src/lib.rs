//! The daemon: one node of an Astromesh, as a library.
//!
//! [`Daemon::start`] takes checked settings and returns a running node; several fit into one process. The program around it
//! (`main`) reads the command line, sets up the log and waits for signals.
//!
//! Inside, `server` takes connections and hands each request to whoever answers it: `mesh_api` the calls between nodes,
//! `follow` and `forget` those of people about the mesh, `health` those about this node, `listing` those about agents, and `router` the requests themselves, which it passes to
//! another node or to `agents` here. All of them see the node as `here`: the mesh's newest view, read without a lock. One
//! task owns the node's state machine; `load` tells it how busy this node is, `advertise` where others reach it, and
//! `leave` when it goes.

mod advertise;
mod affinity;
mod agents;
mod answer;
mod begun;
mod bodies;
mod catalog;
mod channel_api;
mod channels;
mod daemon;
mod events;
mod follow;
mod forget;
mod gate;
mod health;
mod here;
mod hop;
mod identity;
mod inference;
mod leave;
mod listing;
mod load;
pub mod logging;
mod lookout;
mod mesh_api;
mod metrics;
mod moved;
pub mod notify;
mod offer;
pub mod options;
mod outside;
mod providers;
mod recent;
mod refusals;
mod router;
mod runs;
mod seeds;
mod server;
mod session_id;
mod tally;
mod tls;
mod traces;

pub use daemon::{Daemon, StartError};

use astromesh_core::settings::Settings;

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The names of the agents that the node would run.
    pub agents: Vec<String>,
    /// The agents that it could not run, each with the reason.
    pub withheld: Vec<String>,
}

/// Checks what [`Daemon::start`] would find besides the settings: the agents' files, and whether the node's own word fits
/// into a record.
///
/// # Errors
/// Those of [`Daemon::start`], but for the address, which is not tried.
pub fn check(settings: &Settings) -> Result<Checked, StartError> {
    let (agents, _) = agents::Agents::load(settings)?;
    identity::try_out(settings, agents.names())?;
    let withheld = agents.withheld().into_iter();
    Ok(Checked {
        agents: agents.names().iter().map(ToString::to_string).collect(),
        withheld: withheld
            .map(|agent| format!("agent {} is not offered: {}", agent.name, agent.reason))
            .collect(),
    })
}
