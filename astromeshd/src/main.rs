//! The daemon's program: read the command line and the settings, set up the log, run until told to stop.

use astromesh_core::arguments::Parsed;
use astromesh_core::http::chain;
use astromesh_core::settings::{Environment, Settings};
use astromeshd::notify::Manager;
use astromeshd::options::Options;
use astromeshd::{Daemon, StartError, check, logging};
use std::error::Error;
use std::io::Write;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The port is taken, or this is a bug.
const FAILED: u8 = 1;

/// The configuration or the command line is wrong.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Say(text)) => return say(&text),
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(MISCONFIGURED);
        }
    };
    match carry_out(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&format!("astromeshd: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

fn carry_out(options: &Options) -> Result<(), Failure> {
    let hostname = sysinfo::System::host_name().unwrap_or_default();
    let (flags, environment) = (options.flags(), Environment::of_process(&hostname));
    if options.print {
        let file = Settings::as_file(&flags, &environment).map_err(Failure::configuration)?;
        say(file.trim_end());
        return Ok(());
    }
    let settings = Settings::load(&flags, &environment).map_err(Failure::configuration)?;
    if options.check {
        report(&settings)
    } else {
        run(settings)
    }
}

/// Why the process ends, and with which code.
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn new(error: &(dyn Error + 'static), code: u8) -> Self {
        let message = chain(error);
        Self { message, code }
    }

    fn configuration(error: impl Error + 'static) -> Self {
        Self::new(&error, MISCONFIGURED)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "it stands where a function is wanted"
    )]
    fn start(error: StartError) -> Self {
        Self::new(
            &error,
            if error.is_configuration() {
                MISCONFIGURED
            } else {
                FAILED
            },
        )
    }

    fn other(error: impl Error + 'static) -> Self {
        Self::new(&error, FAILED)
    }
}

/// `--check`: what was found to be right.
fn report(settings: &Settings) -> Result<(), Failure> {
    let found = check(settings).map_err(Failure::start)?;
    for warning in settings.warnings.iter().chain(&found.withheld) {
        complain(&format!("astromeshd: warning: {warning}"));
    }
    let mesh = match &settings.mesh {
        Some(mesh) if mesh.seeds.is_empty() => "the mesh is on, without seeds".to_owned(),
        Some(mesh) => format!("the mesh is on, with {} seed(s)", mesh.seeds.len()),
        None => format!("the mesh is off, with {} peer(s)", settings.peers.len()),
    };
    let agents = if found.agents.is_empty() {
        "none".to_owned()
    } else {
        found.agents.join(", ")
    };
    let providers: Vec<&str> = settings
        .providers
        .iter()
        .map(|provider| provider.name.as_str())
        .collect();
    let models = match providers.as_slice() {
        [] => String::new(),
        some => format!("; models of: {}", some.join(", ")),
    };
    let text = format!(
        "{} is valid: node {}, role {}, on {}:{}; {mesh}; agents: {agents}{models}",
        settings.origin, settings.node_name, settings.role, settings.api.host, settings.api.port
    );
    say(&text);
    Ok(())
}

/// Runs the node until a signal says to stop.
fn run(settings: Settings) -> Result<(), Failure> {
    logging::start(&settings.log, settings.node_name.as_str()).map_err(Failure::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(Failure::other)?.block_on(async {
        let mut stop = Stop::listen().map_err(Failure::other)?;
        log::info!(
            "astromeshd {}, configured by {}",
            env!("CARGO_PKG_VERSION"),
            settings.origin
        );
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        let daemon = Daemon::start(settings).await.map_err(Failure::start)?;
        log::info!(
            "{} listens on {}, reached at {}",
            daemon.name(),
            daemon.address(),
            daemon.url()
        );
        let manager = Manager::of_process().map(Arc::new);
        if let Some(manager) = manager.clone() {
            manager.ready(&format!("listens on {}", daemon.address()));
            tokio::spawn(async move { manager.stay_alive().await });
        }
        let name = stop.asked().await;
        if let Some(manager) = manager {
            manager.stopping();
        }
        log::info!("{name}: finishing what is in flight; a second signal stops at once");
        tokio::select! {
            () = daemon.stop() => log::info!("stopped"),
            name = stop.asked() => {
                log::warn!("{name} again: stopping at once");
                // Whatever still runs is not waited for.
                exit(i32::from(FAILED));
            }
        }
        Ok(())
    })
}

/// The signals that ask the process to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one, and names it.
    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Prints an answer. Nobody can be told of it where stdout is gone.
fn say(text: &str) -> ExitCode {
    drop(writeln!(std::io::stdout(), "{text}"));
    ExitCode::SUCCESS
}

/// Prints trouble, for the log may not be up.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
