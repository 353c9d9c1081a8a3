//! The log, on stderr: a line for people or an object for machines, which also says who writes it and, where that is known,
//! to which trace it belongs.

use crate::traces::{self, Context};
use astromesh_core::settings::{Log, LogFormat};
use fern::{Dispatch, Output};
use jiff::Timestamp;
use log::{Record, SetLoggerError};
use std::fmt::Arguments;
use std::io::Write;

/// Sets up the log of this process, which is the node called `node`.
///
/// # Errors
/// Where there is one already.
pub fn start(settings: &Log, node: &str) -> Result<(), SetLoggerError> {
    let mut dispatch = Dispatch::new().level(settings.level);
    for (target, level) in &settings.targets {
        dispatch = dispatch.level_for(target.clone(), *level);
    }
    let (format, node) = (settings.format, node.to_owned());
    dispatch
        .format(move |out, message, record| match format {
            LogFormat::Text => out.finish(format_args!("{}", text(&now(), message, record))),
            LogFormat::Json => {
                let line = json(&now(), &node, traces::current(), message, record);
                out.finish(format_args!("{line}"));
            }
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

fn json(
    time: &str,
    node: &str,
    place: Option<Context>,
    message: &Arguments<'_>,
    record: &Record<'_>,
) -> serde_json::Value {
    let mut line = serde_json::json!({
        "time": time,
        "level": record.level().as_str().to_ascii_lowercase(),
        "target": record.target(),
        "node": node,
        "message": message.to_string(),
    });
    if let Some(Context { trace, span, .. }) = place {
        line["trace_id"] = format!("{trace:032x}").into();
        line["span_id"] = format!("{span:016x}").into();
    }
    line
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
        let place = Context {
            trace: 0xabc,
            span: 0xde,
            is_sampled: true,
        };
        let message = format_args!("a \"b\"\nc");
        let line = json("now", "bob", Some(place), &message, &record).to_string();
        assert!(!line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["message"], "a \"b\"\nc");
        assert_eq!(read["level"], "warn");
        assert_eq!(read["node"], "bob");
        assert_eq!(read["trace_id"], "00000000000000000000000000000abc");
        assert_eq!(read["span_id"], "00000000000000de");
        let elsewhere = json("now", "bob", None, &message, &record);
        assert_eq!(elsewhere.get("trace_id"), None);
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
