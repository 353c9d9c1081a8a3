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
mod agents;
mod answer;
mod daemon;
mod events;
mod follow;
mod forget;
mod health;
mod here;
mod hop;
mod leave;
mod listing;
mod load;
pub mod logging;
mod mesh_api;
pub mod options;
mod refusals;
mod router;
mod server;

pub use daemon::{Daemon, StartError};

use astromesh_core::error::ConfigError;
use astromesh_core::settings::Settings;

/// Checks what [`Daemon::start`] would read besides the settings, and returns the names of the agents it would run.
///
/// # Errors
/// Where an agent file cannot be used.
pub fn check(settings: &Settings) -> Result<Vec<String>, ConfigError> {
    let agents = agents::Agents::load(settings)?;
    Ok(agents.names().map(ToString::to_string).collect())
}
