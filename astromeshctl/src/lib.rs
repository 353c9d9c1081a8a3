//! The command line of an Astromesh: arguments become one request to one daemon, and its answer becomes text.
//!
//! `command` knows the words and `settings` which node they go to; `mesh`, `agents` and `health` carry them out through
//! `daemon`, and `overview`, `nodes` and `table` draw what came back. Nothing below [`run`] prints: a command returns an
//! [`Outcome`], so that nothing stands on stdout where there was an error. Only `watch` prints as it goes, for it has no end.
//!
//! # JSON
//! `--json` prints what the daemon answered, as it stands: `mesh status` and `mesh nodes` both the body of
//! `GET /v1/system/status`, `agents list` that of `GET /v1/agents`, `run` that of the run. `mesh watch` prints each event
//! of `GET /v1/mesh/events` on a line. Four commands have an object of their own:
//! * `mesh leave`: `{"left":true,"url":"http://…"}`
//! * `mesh join`: `{"joined":true,"nodes":4,"url":"http://…"}`
//! * `mesh forget`: `{"forgotten":true,"name":"…","node_id":"…","url":"http://…"}`
//! * `healthcheck`: `{"healthy":true,"readiness":…}`, with the body of `GET /readyz`, or `null`

pub mod outcome;
pub mod settings;

mod agents;
mod command;
mod completion;
mod daemon;
mod forget;
mod health;
mod mesh;
mod nodes;
mod overview;
mod table;
mod text;
mod watch;

use crate::command::{AgentsCommand, Command, CommandLine};
use crate::daemon::Daemon;
use crate::outcome::{Failure, Outcome};
use crate::settings::Environment;
use astromesh_core::arguments::Parsed;
use std::ffi::OsString;

/// Does what the command line asks for.
pub async fn run(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    environment: &Environment,
) -> Outcome {
    let done = match command::parse(arguments) {
        Ok(Parsed::Run(line)) => carry_out(&line, environment).await,
        Ok(Parsed::Say(text)) => Ok(Outcome::done(text)),
        Err(failure) => Err(failure),
    };
    done.unwrap_or_else(Outcome::from)
}

async fn carry_out(line: &CommandLine, environment: &Environment) -> Result<Outcome, Failure> {
    let daemon = Daemon::new(settings::url(line, environment)?, settings::timeout(line));
    match &line.command {
        Command::Mesh(mesh) => mesh::run(&mesh.command, daemon, line.json).await,
        Command::Agents(agents) => match agents.command {
            AgentsCommand::List(_) => agents::show_all(&daemon, line.json).await,
        },
        Command::Run(run) => agents::ask(run, &daemon, line.json).await,
        Command::Completion(asked) => Ok(completion::script(asked.shell)),
        Command::Healthcheck(_) => Ok(health::check(&daemon, line.json).await),
    }
}
