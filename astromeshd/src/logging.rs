//! The log, on stderr: a line for people or an object for machines.

use astromesh_core::settings::{Log, LogFormat};
use fern::{Dispatch, Output};
use jiff::Timestamp;
use log::{Record, SetLoggerError};
use std::fmt::Arguments;
use std::io::Write;

/// Sets up the log of this process.
///
/// # Errors
/// Where there is one already.
pub fn start(settings: &Log) -> Result<(), SetLoggerError> {
    let mut dispatch = Dispatch::new().level(settings.level);
    for (target, level) in &settings.targets {
        dispatch = dispatch.level_for(target.clone(), *level);
    }
    let format = settings.format;
    dispatch
        .format(move |out, message, record| match format {
            LogFormat::Text => out.finish(format_args!("{}", text(&now(), message, record))),
            LogFormat::Json => out.finish(format_args!("{}", json(&now(), message, record))),
        })
        .chain(Output::call(|record| write(record.args())))
        .apply()
}

/// A log that cannot be written, to a full disk say, is a line lost and no reason to stop.
fn write(line: &Arguments<'_>) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// `2026-01-31T12:00:00.000Z INFO  astromeshd::mesh: bob joined`, whatever the message contains on one line.
fn text(time: &str, message: &Arguments<'_>, record: &Record<'_>) -> String {
    let message = message.to_string().replace(['\n', '\r'], " ");
    format!(
        "{time} {:<5} {}: {message}",
        record.level(),
        record.target()
    )
}

fn json(time: &str, message: &Arguments<'_>, record: &Record<'_>) -> serde_json::Value {
    serde_json::json!({
        "time": time,
        "level": record.level().as_str().to_ascii_lowercase(),
        "target": record.target(),
        "message": message.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn a_message_is_one_line_in_both_formats() {
        let record = Record::builder().level(Level::Warn).target("mesh").build();
        let line = text("now", &format_args!("a \"b\"\nc"), &record);
        assert_eq!(line, "now WARN  mesh: a \"b\" c");
        let line = json("now", &format_args!("a \"b\"\nc"), &record).to_string();
        assert!(!line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["message"], "a \"b\"\nc");
        assert_eq!(read["level"], "warn");
    }

    #[test]
    fn a_time_says_its_zone() {
        let now = now();
        assert!(
            now.ends_with('Z') && now.len() == "2026-01-31T12:00:00.000Z".len(),
            "{now}"
        );
    }
}
