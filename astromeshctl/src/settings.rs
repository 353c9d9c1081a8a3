//! Which node to talk to, and how long to wait for it: from the command line, the environment, the file that a daemon
//! beside it would read, or the defaults.

use crate::command::{Command, CommandLine, MeshCommand};
use crate::outcome::Failure;
use crate::text::one_line;
use astromesh_core::settings::{Api, Flags, Settings};
use maia::address::{Host, Url};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The daemon's port where nobody says otherwise.
const PORT: u16 = 8000;

/// The variables that matter here; an empty one counts as absent, as Compose files leave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `ASTROMESH_URL`
    pub url: Option<String>,
    /// `ASTROMESH_PORT`, the port of the daemon on this machine, unless `ASTROMESH_AUTO_CONFIG` puts it out of force.
    pub port: Option<String>,
    /// Where a daemon that finds here what this process does would listen. Absent where it would not start.
    pub local: Option<Api>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        // What is not text stays visible as such in the complaint about it.
        let read = |name| {
            std::env::var_os(name)
                .map(|value| value.to_string_lossy().into_owned())
                .filter(|value| !value.is_empty())
        };
        let is_automatic =
            read("ASTROMESH_AUTO_CONFIG").is_none_or(|value| !value.eq_ignore_ascii_case("false"));
        let daemons = astromesh_core::settings::Environment::of_process("localhost");
        Self {
            url: read("ASTROMESH_URL"),
            port: read("ASTROMESH_PORT").filter(|_| is_automatic),
            local: Settings::load(&Flags::default(), &daemons)
                .ok()
                .map(|settings| settings.api),
        }
    }
}

/// The node to talk to.
///
/// # Errors
/// [`Failure::Setting`], with the option or variable that is wrong.
pub(crate) fn url(line: &CommandLine, environment: &Environment) -> Result<Url, Failure> {
    if let Some(text) = &line.url {
        return read_url("--url", text);
    }
    if let Some(text) = &environment.url {
        return read_url("ASTROMESH_URL", text);
    }
    let port = environment.port.as_deref().map(read_port).transpose()?;
    let local = environment.local;
    let host = local.map(|api| api.host).filter(|ip| !ip.is_unspecified());
    Ok(Url::from_parts(
        Host::Ip(host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        port.or(local.map(|api| api.port)).unwrap_or(PORT),
    ))
}

/// How long the whole command may take.
pub(crate) fn timeout(line: &CommandLine) -> Duration {
    line.timeout
        .unwrap_or(Duration::from_secs(match &line.command {
            Command::Mesh(mesh) => match &mesh.command {
                MeshCommand::Status(status) if status.wait.is_some() => 60,
                // The daemon gives what it still runs 25 s to finish.
                MeshCommand::Leave(_) => 30,
                _ => 5,
            },
            Command::Agents(_) => 5,
            // A language model takes its time.
            Command::Run(_) => 120,
            Command::Healthcheck(_) | Command::Completion(_) => 2,
        }))
}

fn read_url(name: &'static str, text: &str) -> Result<Url, Failure> {
    Url::lenient(text).map_err(|invalid| Failure::Setting {
        name,
        why: one_line(invalid.reason()),
    })
}

fn read_port(text: &str) -> Result<u16, Failure> {
    let port = text.trim().parse().ok().filter(|&port| port > 0);
    port.ok_or_else(|| Failure::Setting {
        name: "ASTROMESH_PORT",
        why: format!("expected a port (1-65535), found {text:?}"),
    })
}
