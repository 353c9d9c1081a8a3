//! The command line: which words it knows, and what they ask for.

use crate::outcome::Failure;
use argh::{ArgsInfo, FromArgValue, FromArgs};
use astromesh_core::arguments::{self, Grammar, Parsed};
use std::ffi::OsString;
use std::time::Duration;

const GRAMMAR: Grammar<'static> = Grammar {
    options: &["--wait", "--session"],
    options_anywhere: &["--url", "--timeout"],
    flags_anywhere: &["--json"],
    words: &[
        "mesh",
        "status",
        "nodes",
        "leave",
        "join",
        "watch",
        "forget",
        "agents",
        "list",
        "run",
        "healthcheck",
        "completion",
        "--check",
    ],
    ..Grammar::new("astromeshctl", env!("CARGO_PKG_VERSION"))
};

/// Reads the command line, without the program's name.
///
/// # Errors
/// [`Failure::Usage`], which names the argument.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Parsed<CommandLine>, Failure> {
    Ok(arguments::parse(&GRAMMAR, arguments)?)
}

/// Shows the mesh as one node sees it, takes that node out of it and back in, and runs agents.
#[derive(Clone, Debug, PartialEq, ArgsInfo, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    note = "Options may stand anywhere, as --name value or --name=value; -V, --version prints the release.",
    note = "ASTROMESH_URL names the node where --url does not; else it is port ASTROMESH_PORT (8000) of this machine.",
    error_code(0, "done, or done already"),
    error_code(1, "the daemon refused or failed (healthcheck: not healthy)"),
    error_code(2, "the command line or a variable is wrong"),
    error_code(3, "the daemon cannot be reached, or did not answer in time"),
    error_code(4, "--check found a member that is not alive, or --wait ran out"),
    error_code(5, "the mesh is off on this node")
)]
pub(crate) struct CommandLine {
    /// the node to talk to, as http://host:port
    #[argh(option)]
    pub(crate) url: Option<String>,
    /// print the daemon's JSON instead of text
    #[argh(switch)]
    pub(crate) json: bool,
    /// how long it may take, in seconds (5; leave 30, run 120, healthcheck 2, --wait 60)
    #[argh(option, arg_name = "seconds", from_str_fn(patience))]
    pub(crate) timeout: Option<Duration>,
    /// what to do
    #[argh(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub(crate) enum Command {
    /// `mesh …`
    Mesh(Mesh),
    /// `agents …`
    Agents(Agents),
    /// `run`
    Run(Run),
    /// `healthcheck`
    Healthcheck(Healthcheck),
    /// `completion`
    Completion(Completion),
}

/// The mesh, and this node's part in it.
#[derive(Clone, Debug, PartialEq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "mesh", help_triggers("-h", "--help"))]
pub(crate) struct Mesh {
    /// what to do
    #[argh(subcommand)]
    pub(crate) command: MeshCommand,
}

/// What to do with the mesh.
#[derive(Clone, Debug, PartialEq, ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub(crate) enum MeshCommand {
    /// `mesh status`
    Status(MeshStatus),
    /// `mesh nodes`
    Nodes(MeshNodes),
    /// `mesh leave`
    Leave(MeshLeave),
    /// `mesh join`
    Join(MeshJoin),
    /// `mesh watch`
    Watch(MeshWatch),
    /// `mesh forget`
    Forget(MeshForget),
}

/// How many nodes there are, who leads, and what is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "status", help_triggers("-h", "--help"))]
pub(crate) struct MeshStatus {
    /// exit with 4 unless this node has met the mesh and all members are alive
    #[argh(switch)]
    pub(crate) check: bool,
    /// wait, up to --timeout, until this many nodes are alive (with --check, and nothing else is wrong), or exit with 4
    #[argh(option, arg_name = "nodes", from_str_fn(node_count))]
    pub(crate) wait: Option<usize>,
}

/// All nodes: address, services, agents, load and status, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "nodes", help_triggers("-h", "--help"))]
pub(crate) struct MeshNodes {}

/// Takes this node out of the mesh: it finishes what it runs and tells the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "leave", help_triggers("-h", "--help"))]
pub(crate) struct MeshLeave {}

/// Brings a node that left back into the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "join", help_triggers("-h", "--help"))]
pub(crate) struct MeshJoin {}

/// Prints what happens in the mesh, a line each, until Ctrl-C; --timeout is for reaching the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "watch", help_triggers("-h", "--help"))]
pub(crate) struct MeshWatch {}

/// Drops a dead member from this node's table before its time; it comes back if it lives.
#[derive(Clone, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "forget", help_triggers("-h", "--help"))]
pub(crate) struct MeshForget {
    /// its name or its id
    #[argh(positional, arg_name = "name|id")]
    pub(crate) who: String,
}

/// The agents of the mesh.
#[derive(Clone, Debug, PartialEq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "agents", help_triggers("-h", "--help"))]
pub(crate) struct Agents {
    /// what to do
    #[argh(subcommand)]
    pub(crate) command: AgentsCommand,
}

/// What to do with the agents.
#[derive(Clone, Debug, PartialEq, ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub(crate) enum AgentsCommand {
    /// `agents list`
    List(AgentsList),
}

/// All agents, with the nodes that carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub(crate) struct AgentsList {}

/// Asks an agent, wherever in the mesh it is. The answer goes to stdout, who gave it to stderr.
#[derive(Clone, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "run",
    help_triggers("-h", "--help"),
    example = "astromeshctl run echo \"hello, mesh\""
)]
pub(crate) struct Run {
    /// the agent's name, as `agents list` shows it
    #[argh(positional)]
    pub(crate) agent: String,
    /// what to ask it, in quotes; after -- where it begins with a dash
    #[argh(positional)]
    pub(crate) query: String,
    /// the conversation that this belongs to
    #[argh(option, arg_name = "id")]
    pub(crate) session: Option<String>,
}

/// Whether the daemon is up, for a container's HEALTHCHECK: exits with 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(subcommand, name = "healthcheck", help_triggers("-h", "--help"))]
pub(crate) struct Healthcheck {}

/// Prints what a shell needs to complete this command line; its own manual says where that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "completion",
    help_triggers("-h", "--help"),
    example = "source <(astromeshctl completion bash)"
)]
pub(crate) struct Completion {
    /// bash, zsh or fish
    #[argh(positional)]
    pub(crate) shell: Shell,
}

/// A shell that completes command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromArgValue)]
pub(crate) enum Shell {
    /// `bash`
    Bash,
    /// `zsh`
    Zsh,
    /// `fish`
    Fish,
}

fn patience(text: &str) -> Result<Duration, String> {
    const LONGEST: f64 = 86_400.0;
    text.parse()
        .ok()
        .filter(|seconds| (0.001..=LONGEST).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("expected seconds from 0.001 to {LONGEST}"))
}

fn node_count(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&nodes| nodes > 0)
        .ok_or_else(|| "expected a number of nodes, from 1".to_owned())
}
