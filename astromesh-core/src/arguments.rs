//! The command line as people expect it, in front of a parser that is stricter.
//!
//! argh declares options well, but knows neither `--name=value` nor `--version`, wants an option to stand by the command
//! that declares it, and leaves the exit code to its caller. [`parse`] turns what was typed into what argh takes, and
//! what argh says into one of three ends: run, say something and exit 0, or a usage error and exit 2.
//!
//! A structure parsed here carries `#[argh(help_triggers("-h", "--help"))]`, or the bare word `help` would ask for help
//! where it is meant as an argument.
//!
//! ```
//! use argh::FromArgs;
//! use astromesh_core::arguments::{self, Grammar, Parsed};
//!
//! /// says hello
//! #[derive(FromArgs)]
//! #[argh(help_triggers("-h", "--help"))]
//! struct Hello {
//!     /// to whom
//!     #[argh(option)]
//!     to: String,
//! }
//!
//! let grammar = Grammar { options: &["--to"], ..Grammar::new("hello", "1.0") };
//! let Ok(Parsed::Run(hello)) = arguments::parse::<Hello>(&grammar, ["--to=ana"]) else { panic!() };
//! assert_eq!(hello.to, "ana");
//!
//! let Ok(Parsed::Say(text)) = arguments::parse::<Hello>(&grammar, ["-V"]) else { panic!() };
//! assert_eq!(text, "hello 1.0");
//! ```

use crate::wording::nearest;
use argh::FromArgs;
use std::ffi::OsString;

/// How argh begins to say that an argument has no place.
const UNKNOWN: &str = "Unrecognized argument: ";

/// What must be known of a command line before argh sees it. Options and flags are written with their dashes.
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'a> {
    /// The program's name, as it stands in its own messages.
    pub program: &'a str,
    /// Its release, for `--version`.
    pub version: &'a str,
    /// Options with a value that stay where they stand: those of one command.
    pub options: &'a [&'a str],
    /// Options with a value that may stand anywhere; argh must know them at the top.
    pub options_anywhere: &'a [&'a str],
    /// Flags, which have no value, that may stand anywhere; argh must know them at the top.
    pub flags_anywhere: &'a [&'a str],
    /// All else that argh knows by name, commands and flags: with the options, what a mistyped word may have meant.
    pub words: &'a [&'a str],
}

impl<'a> Grammar<'a> {
    /// A program that has neither options nor flags yet.
    pub const fn new(program: &'a str, version: &'a str) -> Self {
        Self {
            program,
            version,
            options: &[],
            options_anywhere: &[],
            flags_anywhere: &[],
            words: &[],
        }
    }

    fn takes_value(&self, name: &str) -> bool {
        self.options.contains(&name) || self.options_anywhere.contains(&name)
    }

    fn stands_anywhere(&self, name: &str) -> bool {
        self.options_anywhere.contains(&name) || self.flags_anywhere.contains(&name)
    }

    fn knows(&self, name: &str) -> bool {
        self.flags_anywhere.contains(&name) || self.words.contains(&name)
    }

    /// What to say of an argument that has no place here.
    fn unknown(&self, argument: &str) -> String {
        let own = ["--help", "--version"];
        let known = [
            self.words,
            self.options,
            self.options_anywhere,
            self.flags_anywhere,
            &own,
        ]
        .concat();
        match nearest(argument, &known) {
            Some(near) if near != argument => {
                format!("unexpected {argument:?} (did you mean {near}?)")
            }
            _ => format!("unexpected {argument:?}"),
        }
    }
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// To do this.
    Run(T),
    /// To print this (the help, or the release) to stdout and exit 0.
    Say(String),
}

/// A command line that cannot be followed: for stderr, with exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{program}: {message}; see {program} --help")]
pub struct UsageError {
    program: String,
    message: String,
}

/// What argh is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Normal {
    Version,
    Arguments(Vec<String>),
}

/// Reads `arguments` (without the program's name).
///
/// # Errors
/// Says which argument is wrong. Nothing was done.
pub fn parse<T: FromArgs>(
    grammar: &Grammar<'_>,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Parsed<T>, UsageError> {
    let usage = |message: String| UsageError {
        program: grammar.program.to_owned(),
        message,
    };
    let arguments = match normalize(grammar, arguments).map_err(usage)? {
        Normal::Version => {
            return Ok(Parsed::Say(format!(
                "{} {}",
                grammar.program, grammar.version
            )));
        }
        Normal::Arguments(arguments) => arguments,
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match T::from_args(&[grammar.program], &arguments) {
        Ok(run) => Ok(Parsed::Run(run)),
        Err(exit) if exit.status.is_ok() => Ok(Parsed::Say(exit.output.trim_end().to_owned())),
        Err(exit) => Err(usage(match exit.output.trim_end().strip_prefix(UNKNOWN) {
            Some(argument) => grammar.unknown(argument),
            None => plainly(&exit.output),
        })),
    }
}

fn normalize(
    grammar: &Grammar<'_>,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Normal, String> {
    let (mut first, mut rest, mut words) = (Vec::new(), Vec::new(), Vec::new());
    let mut help = false;
    let mut arguments = arguments.into_iter().map(|argument| {
        let unreadable = |raw: OsString| format!("{raw:?} is not UTF-8");
        argument.into().into_string().map_err(unreadable)
    });
    while let Some(argument) = arguments.next().transpose()? {
        match argument.as_str() {
            "--" => {
                rest.push(argument);
                for word in arguments.by_ref() {
                    rest.push(word?);
                }
            }
            "-h" | "--help" => help = true,
            "-V" | "--version" => return Ok(Normal::Version),
            option if option.starts_with('-') && option.len() > 1 => {
                let (name, joined) = match option.split_once('=') {
                    Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                    _ => (option, None),
                };
                let to = if grammar.stands_anywhere(name) {
                    &mut first
                } else {
                    &mut rest
                };
                to.push(name.to_owned());
                match (joined, grammar.takes_value(name)) {
                    (Some(value), true) => to.push(value),
                    (Some(_), false) if grammar.knows(name) => {
                        return Err(format!("{name} takes no value"));
                    }
                    (Some(_), false) => return Err(grammar.unknown(name)),
                    (None, true) => {
                        to.push(arguments.next().ok_or(format!("{name} needs a value"))??);
                    }
                    (None, false) => (),
                }
            }
            _ => {
                words.push(argument.clone());
                rest.push(argument);
            }
        }
    }
    if help {
        // The commands alone: whoever asks for help is not told first what is wrong with the rest.
        words.push("--help".to_owned());
        return Ok(Normal::Arguments(words));
    }
    first.append(&mut rest);
    Ok(Normal::Arguments(first))
}

/// argh's complaint, which may be a list over several lines, as one, and in our words where it has a common one.
fn plainly(output: &str) -> String {
    let words: Vec<&str> = output.split_whitespace().collect();
    let line = words.join(" ").trim_end_matches('.').to_owned();
    missing(&line)
        .or_else(|| wrong_value(&line))
        .unwrap_or(line)
}

fn missing(line: &str) -> Option<String> {
    // argh offers `help` everywhere, though a structure may not take it.
    if let Some(commands) =
        line.strip_prefix("One of the following subcommands must be present: help ")
    {
        return Some(format!(
            "expected a command: {}",
            commands.replace(' ', ", ")
        ));
    }
    let names = line.strip_prefix("Required positional arguments not provided: ")?;
    (!names.contains(':')).then(|| format!("missing {}", names.replace(' ', " and ")))
}

fn wrong_value(line: &str) -> Option<String> {
    let rest = line.strip_prefix("Error parsing option '")?;
    let (name, rest) = rest.split_once("' with value '")?;
    let (value, why) = rest.rsplit_once("': ")?;
    Some(format!("{name} {value:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tells the weather
    #[derive(Debug, PartialEq, FromArgs)]
    #[argh(help_triggers("-h", "--help"))]
    struct Weather {
        /// where to ask
        #[argh(option)]
        url: Option<String>,
        /// as JSON
        #[argh(switch)]
        json: bool,
        #[argh(subcommand)]
        command: Command,
    }

    #[derive(Debug, PartialEq, FromArgs)]
    #[argh(subcommand)]
    enum Command {
        Report(Report),
    }

    /// reports it
    #[derive(Debug, PartialEq, FromArgs)]
    #[argh(subcommand, name = "report", help_triggers("-h", "--help"))]
    struct Report {
        #[argh(positional)]
        /// of where
        place: String,
        /// of how many days
        #[argh(option, default = "1")]
        days: u8,
    }

    const GRAMMAR: Grammar<'static> = Grammar {
        options: &["--days"],
        options_anywhere: &["--url"],
        flags_anywhere: &["--json"],
        words: &["report"],
        ..Grammar::new("weather", "1.2.3")
    };

    fn typed(line: &str) -> Result<Parsed<Weather>, UsageError> {
        parse(&GRAMMAR, line.split_whitespace())
    }

    #[test]
    fn options_stand_where_people_put_them() {
        let report = |url: Option<&str>, json, place: &str, days| {
            Ok(Parsed::Run(Weather {
                url: url.map(str::to_owned),
                json,
                command: Command::Report(Report {
                    place: place.to_owned(),
                    days,
                }),
            }))
        };
        for (line, expected) in [
            ("report oslo", report(None, false, "oslo", 1)),
            ("--url u report oslo", report(Some("u"), false, "oslo", 1)),
            ("report --url=u oslo", report(Some("u"), false, "oslo", 1)),
            (
                "report oslo --url u --json",
                report(Some("u"), true, "oslo", 1),
            ),
            ("report --json oslo --days=3", report(None, true, "oslo", 3)),
            ("report --days 3 oslo", report(None, false, "oslo", 3)),
            (
                "report oslo --url=a=b",
                report(Some("a=b"), false, "oslo", 1),
            ),
            (
                "report oslo --url --help",
                report(Some("--help"), false, "oslo", 1),
            ),
            ("report help", report(None, false, "help", 1)),
            ("report -- --json", report(None, false, "--json", 1)),
            ("report -- -V", report(None, false, "-V", 1)),
        ] {
            assert_eq!(typed(line), expected, "{line}");
        }
    }

    #[test]
    fn help_and_version_are_said_wherever_they_are_asked_for() {
        for line in [
            "-h",
            "--help",
            "report -h",
            "-h report",
            "report --days x -h",
            "--json -h",
        ] {
            let said = typed(line).expect(line);
            assert!(
                matches!(&said, Parsed::Say(text) if text.contains("Usage: weather")),
                "{line}"
            );
        }
        let said = typed("--help report").expect("help");
        assert!(matches!(said, Parsed::Say(text) if text.contains("of how many days")));
        for line in ["-V", "--version", "report oslo -V"] {
            assert_eq!(
                typed(line),
                Ok(Parsed::Say("weather 1.2.3".to_owned())),
                "{line}"
            );
        }
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_argument() {
        for (line, named) in [
            ("", "report"),
            ("report", "place"),
            ("report oslo bergen", "bergen"),
            ("report oslo --dayz 3", "--dayz"),
            ("report oslo --dayz=3", "--dayz"),
            ("report oslo --days x", "--days"),
            ("report oslo --days", "--days"),
            ("--json=yes report oslo", "--json"),
            ("report oslo --url", "--url"),
            ("forecast", "forecast"),
            ("report oslo -x", "-x"),
        ] {
            let error = typed(line).expect_err(line).to_string();
            assert!(error.contains(named), "{line}: {error}");
            assert!(error.ends_with("see weather --help"), "{line}: {error}");
            assert!(!error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn a_mistyped_word_is_told_its_nearest() {
        for (line, near) in [
            ("raport oslo", "report"),
            ("report oslo --urll x", "--url"),
            ("report oslo --jsn", "--json"),
            ("report oslo --day=3", "--days"),
            ("report oslo --halp", "--help"),
        ] {
            let error = typed(line).expect_err(line).to_string();
            assert!(
                error.contains(&format!("(did you mean {near}?)")),
                "{line}: {error}"
            );
        }
        let error = typed("zebra").expect_err("zebra").to_string();
        assert_eq!(error, "weather: unexpected \"zebra\"; see weather --help");
    }

    #[test]
    fn common_mistakes_are_told_in_our_words() {
        for (line, expected) in [
            ("", "expected a command: report"),
            ("report", "missing place"),
            ("report oslo --days", "--days needs a value"),
            (
                "report oslo --days x",
                "--days \"x\": invalid digit found in string",
            ),
            ("report oslo --json=1", "--json takes no value"),
            ("report oslo bergen", "unexpected \"bergen\""),
        ] {
            let error = typed(line).expect_err(line).to_string();
            assert_eq!(
                error,
                format!("weather: {expected}; see weather --help"),
                "{line}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_that_is_not_text_is_a_usage_error() {
        use std::os::unix::ffi::OsStringExt;
        let raw = OsString::from_vec(vec![b'a', 0xff]);
        assert!(parse::<Weather>(&GRAMMAR, [raw]).is_err());
    }
}
