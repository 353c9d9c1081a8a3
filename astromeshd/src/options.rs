//! The command line of the daemon.

use argh::FromArgs;
use astromesh_core::arguments::{self, Grammar, Parsed, UsageError};
use astromesh_core::settings::Flags;
use std::ffi::OsString;
use std::path::PathBuf;

/// One node of an Astromesh. Without --config it reads /etc/astromesh/runtime.yaml, else ./runtime.yaml, else the built-in
/// profile that ASTROMESH_ROLE and ASTROMESH_MESH_ENABLED name.
#[derive(Debug, PartialEq, Eq, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    note = "A flag wins over ASTROMESH_* variables, those over the file.",
    note = "-V, --version prints the release.",
    error_code(0, "Stopped, or nothing wrong with the configuration (--check)."),
    error_code(1, "The port is taken, or this is a bug."),
    error_code(2, "The configuration or the command line is wrong.")
)]
pub struct Options {
    /// the configuration: a file, or a folder with runtime.yaml and agents/
    #[argh(option, arg_name = "path")]
    config: Option<PathBuf>,
    /// the address to listen on
    #[argh(option, arg_name = "address")]
    host: Option<String>,
    /// the port to listen on
    #[argh(option, arg_name = "port")]
    port: Option<String>,
    /// error, warn, info, debug or trace; or target=level; or several with commas between
    #[argh(option, arg_name = "levels")]
    log_level: Option<String>,
    /// check the configuration and exit
    #[argh(switch)]
    pub check: bool,
    /// print the configuration file that flags, variables and file come to, and exit
    #[argh(switch)]
    pub print: bool,
}

const GRAMMAR: Grammar<'static> = Grammar {
    options: &["--config", "--host", "--port", "--log-level"],
    words: &["--check", "--print"],
    ..Grammar::new("astromeshd", env!("CARGO_PKG_VERSION"))
};

impl Options {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Parsed<Self>, UsageError> {
        arguments::parse(&GRAMMAR, arguments)
    }

    /// What of it goes before variables and files.
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            host: self.host.clone(),
            port: self.port.clone(),
            log_level: self.log_level.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Parsed<Options>, UsageError> {
        Options::parse(line.split_whitespace())
    }

    #[test]
    fn the_command_line_behaves_as_people_expect() {
        for (line, config, port, check) in [
            ("", None, None, false),
            ("--config=a/b.yaml", Some("a/b.yaml"), None, false),
            ("--config a/b.yaml --check", Some("a/b.yaml"), None, true),
            ("--check --port=9000", None, Some("9000"), true),
            ("--port 9000", None, Some("9000"), false),
        ] {
            let Ok(Parsed::Run(options)) = parse(line) else {
                panic!("{line} should run")
            };
            assert_eq!(options.config, config.map(PathBuf::from), "{line}");
            assert_eq!(options.flags().port.as_deref(), port, "{line}");
            assert_eq!(options.check, check, "{line}");
        }
        for line in ["-h", "--help", "-V", "--version", "--config x --help"] {
            assert!(matches!(parse(line), Ok(Parsed::Say(_))), "{line}");
        }
        for line in [
            "--frobnicate",
            "extra",
            "--config",
            "--check=yes",
            "-x",
            "--port 1 --port 2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
