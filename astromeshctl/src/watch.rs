//! `mesh watch`: a line for each thing that happens, until somebody has seen enough.
//!
//! It has no end of its own, so it is the one command that prints as it goes. When the daemon goes away it says so on
//! stderr, and comes back with the id of the last event: the daemon goes on there, or says that it cannot.

use crate::daemon::Daemon;
use crate::outcome::{Failure, Outcome};
use crate::overview::style;
use crate::text::{one_line, styled, tame_json};
use anstyle::Style;
use astromesh_core::api::MeshEvent;
use astromesh_core::http::Stream;
use astromesh_core::sse::Parser;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The pause before another attempt to reach a daemon that went away.
const PAUSE: Duration = Duration::from_secs(1);

/// After how long without a word the connection is given up. The daemon says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// The widest a name makes the column of names.
const WIDEST: usize = 32;

/// Follows the events of the daemon until Ctrl-C, or until nobody reads what is printed.
///
/// # Errors
/// Where the daemon cannot be followed in the first place, or later says that it will not be.
pub(crate) async fn run(daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    tokio::select! {
        watched = watch(daemon, json) => watched?,
        // An error says that there is no such signal to wait for.
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
    Ok(Outcome::silent())
}

async fn watch(daemon: &Daemon, json: bool) -> Result<(), Failure> {
    let mut printer = Printer::new(json);
    let mut last_id = None;
    let mut followed = false;
    let mut gone = false;
    loop {
        let why = match daemon.follow(last_id.as_deref()).await {
            Ok(stream) => {
                if gone {
                    remark(&format!("{} is back", daemon.url()));
                }
                (followed, gone) = (true, false);
                match read(stream, daemon, &mut last_id, &mut printer).await? {
                    Some(why) => why,
                    None => return Ok(()),
                }
            }
            Err(failure) if !followed || !failure.may_pass() => return Err(failure),
            Err(failure) => failure.to_string(),
        };
        if !gone {
            remark(&format!("{why}; trying again until Ctrl-C"));
            gone = true;
        }
        sleep(PAUSE).await;
    }
}

/// Prints what comes. Returns why nothing more does, or `None` where nobody reads any more.
async fn read(
    mut stream: Stream,
    daemon: &Daemon,
    last_id: &mut Option<String>,
    printer: &mut Printer,
) -> Result<Option<String>, Failure> {
    let mut parser = Parser::default();
    loop {
        let bytes = match timeout(SILENCE, stream.next()).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return Ok(Some(format!("{} ended the stream", daemon.url()))),
            Ok(Err(error)) => return Ok(Some(one_line(&error.to_string()))),
            Err(_) => {
                let seconds = SILENCE.as_secs();
                return Ok(Some(format!(
                    "{} said nothing for {seconds}s",
                    daemon.url()
                )));
            }
        };
        let messages = parser
            .take(&bytes)
            .map_err(|_| daemon.strange("what it sends are not server-sent events"))?;
        for message in messages {
            let event = daemon.read(message.data.as_bytes())?;
            let line = printer.line(&event, &message.data);
            match print(line).await {
                Ok(()) => *last_id = message.id,
                // Whoever closed the pipe has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(None),
                Err(error) => {
                    let why = error.to_string();
                    return Err(Failure::Unwritable { why });
                }
            }
        }
    }
}

/// Writes a line where it does not hold up this thread: a pipe that nobody empties must not keep Ctrl-C from being heard.
async fn print(line: String) -> io::Result<()> {
    let printed = spawn_blocking(move || {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush())
    });
    printed
        .await
        .unwrap_or_else(|lost| Err(io::Error::other(lost)))
}

fn remark(what: &str) {
    // Where stderr is gone too, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "astromeshctl: {what}");
}

/// How events look.
struct Printer {
    json: bool,
    zone: TimeZone,
    width: usize,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self {
            json,
            zone: TimeZone::system(),
            width: 0,
        }
    }

    fn line(&mut self, event: &MeshEvent, json: &str) -> String {
        if self.json {
            // Line breaks in JSON are white space, wherever they are.
            return tame_json(json).replace(['\n', '\r'], " ");
        }
        let mesh = event.mesh.iter().flat_map(|mesh| &mesh.members);
        let names = mesh.map(|member| &member.name).chain([&event.name]);
        let widest = names.map(|name| one_line(name).chars().count()).max();
        self.width = self.width.max(widest.unwrap_or(0).min(WIDEST));
        let (time, width) = (self.time(event.at), self.width);
        let (name, message) = (one_line(&event.name), one_line(&event.message));
        let line = format!("{time}  {name:<width$}  {message}");
        styled(style_of(&event.kind), &line)
    }

    /// The time of day here, wherever the daemon is.
    fn time(&self, unix_seconds: f64) -> String {
        let at = Timestamp::from_millisecond((unix_seconds * 1_000.0) as i64);
        match at {
            Ok(at) => at
                .to_zoned(self.zone.clone())
                .strftime("%H:%M:%S")
                .to_string(),
            Err(_) => "--:--:--".to_owned(),
        }
    }
}

fn style_of(kind: &str) -> Style {
    match kind {
        "suspect" | "dead" => style(kind),
        "conflict" | "seed_failed" => style("suspect"),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, kind: &str, message: &str) -> MeshEvent {
        MeshEvent {
            at: 1_767_225_845.25,
            kind: kind.to_owned(),
            name: name.to_owned(),
            message: message.to_owned(),
            ..MeshEvent::default()
        }
    }

    fn printer(json: bool) -> Printer {
        Printer {
            zone: TimeZone::UTC,
            ..Printer::new(json)
        }
    }

    #[test]
    fn a_line_is_when_who_and_what() {
        let mut printer = printer(false);
        let mut line = |name, kind, message| printer.line(&event(name, kind, message), "");
        assert_eq!(
            line("worker-2", "joined", "joined"),
            "00:04:05  worker-2  joined"
        );
        assert_eq!(line("ana", "left", "left"), "00:04:05  ana       left");
        let suspect = line("ana", "suspect", "suspect after 15.2 s");
        assert!(suspect.contains("00:04:05  ana       suspect after 15.2 s"));
        assert!(suspect.starts_with("\u{1b}[33m"), "{suspect:?}");
        assert_eq!(
            line("a\u{1b}\nb", "x", "\u{202e}"),
            "00:04:05  a\\u{1b}\\u{a}b  \\u{202e}"
        );
        let odd = MeshEvent {
            at: f64::MAX,
            ..event("ana", "x", "y")
        };
        assert!(printer.line(&odd, "").starts_with("--:--:--  "));
    }

    #[test]
    fn json_is_a_line_whatever_comes() {
        let line = printer(true).line(&event("a", "x", "y"), "{\"a\":\n\"\u{9b}\"}");
        assert_eq!(line, "{\"a\": \"\\u009b\"}");
    }
}
