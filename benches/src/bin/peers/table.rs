//! The rows as a Markdown table, the aims beside our own figures.

use crate::aims;
use crate::measure::{Known, Plan, Row, Wrong};
use crate::peer::Peer;

const HEAD: [&str; 14] = [
    "nodes of",
    "N",
    "all see all, s",
    "bytes/s a node, idle",
    "load moving",
    "crash known, first–last s",
    "the same at 5 % loss",
    "wrong at 5 % loss",
    "wrong at 30 % loss",
    "cut healed, s",
    "CPU µs a node-second",
    "bytes a pair",
    "windows, s",
    "took, s",
];

/// The table, with what it was made by and how it is to be read.
pub(crate) fn markdown(rows: &[Row], heads: &str) -> String {
    let mut lines = vec![
        format!(
            "Commit {}, on {}.",
            benches::machine::commit(),
            benches::machine::description()
        ),
        String::new(),
        line(&HEAD.map(str::to_owned)),
        line(&HEAD.map(|_| "---".to_owned())),
    ];
    lines.extend(rows.iter().map(|row| line(&cells(row))));
    lines.push(String::new());
    lines.extend(notes(heads));
    lines.join("\n") + "\n"
}

fn line(cells: &[String; 14]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn cells(row: &Row) -> [String; 14] {
    let judge = |value: Option<f64>, decimals, aim| judged(row, value, decimals, aim);
    let last = |known: &Known| known.spread.map(|(_, last)| last);
    let unhealed = || match row.plan {
        Plan { cut: 0, .. } => dash(),
        Plan { heal, .. } => format!("not in {heal}"),
    };
    let crash_at_loss = row.crash_at_loss.as_ref();
    [
        row.peer.title(),
        thousands(row.nodes as u64),
        judge(row.join, 1, aims::JOIN).unwrap_or_else(|| format!("not in {}", row.plan.join)),
        judge(Some(row.idle), 0, aims::IDLE).unwrap_or_default(),
        judge(row.moving, 0, aims::MOVING).unwrap_or_else(dash),
        known(&row.crash, last(&row.crash).map(|last| round(last, 1))),
        crash_at_loss.map_or_else(dash, |at_loss| {
            known(at_loss, judge(last(at_loss), 1, aims::DEAD))
        }),
        row.loss.map_or_else(dash, |what| wrong(row.peer, what)),
        row.heavy_loss
            .map_or_else(dash, |what| wrong(row.peer, what)),
        judge(row.healed, 1, aims::HEAL).unwrap_or_else(unhealed),
        judge(row.cpu_micros, 1, aims::CPU).unwrap_or_else(dash),
        judge(row.pair_bytes, 0, aims::PAIR).unwrap_or_else(dash),
        windows(row.plan),
        round(row.took, 0),
    ]
}

fn dash() -> String {
    "–".to_owned()
}

/// A figure, and for ours whether it is what it is to be.
fn judged(
    row: &Row,
    value: Option<f64>,
    decimals: usize,
    aim: &'static [(f64, f64)],
) -> Option<String> {
    let value = value?;
    let figure = round(value, decimals);
    if row.peer != Peer::Ours {
        return Some(figure);
    }
    let aim = aims::at(aim, row.nodes);
    let verdict = if value <= aim { "met" } else { "**missed**" };
    Some(format!("{figure} (≤ {}: {verdict})", round(aim, decimals)))
}

/// From the first to the last, which is written out already; who did not learn of it.
fn known(known: &Known, last: Option<String>) -> String {
    let (Some((first, _)), Some(last)) = (known.spread, last) else {
        return format!("by none of {}", known.of);
    };
    let missing = known.of.saturating_sub(known.by);
    let by = match missing {
        0 => String::new(),
        missing => format!("; {missing} of {} not", known.of),
    };
    format!("{}–{last}{by}", round(first, 1))
}

fn wrong(peer: Peer, wrong: Wrong) -> String {
    let node_seconds = thousands(wrong.node_seconds);
    let said = match peer {
        Peer::Ours => format!("{} suspected, {} dead", wrong.suspicions, wrong.deaths),
        Peer::Foca => format!("{} dead, {} rejoins", wrong.deaths, wrong.rejoins),
        Peer::Chitchat => format!("{} dead", wrong.deaths),
    };
    format!("{said} in {node_seconds} node-s")
}

fn windows(plan: Plan) -> String {
    let Plan {
        settle,
        count,
        crash,
        loss,
        heavy_loss,
        cut,
        ..
    } = plan;
    format!("{settle}, {count}, {crash}, {loss}, {heavy_loss}, {cut}")
}

fn round(value: f64, decimals: usize) -> String {
    if decimals == 0 {
        return thousands(value.round() as u64);
    }
    format!("{value:.decimals$}")
}

/// A number with a comma before each three digits.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn notes(heads: &str) -> Vec<String> {
    vec![
        "All in one imagined network: 0.5 to 1.5 ms one way, each message lost for itself; all nodes start within a second and \
         join through the first."
            .to_owned(),
        format!(
            "Bytes: what a node hands to TCP or UDP. Ours with the heads of HTTP as the daemon and its client write them: \
             {heads} for an exchange, taken from a real one on loopback."
        ),
        "Load: every tenth node's figures move every 5 s; foca's nodes tell none.".to_owned(),
        "Crash: until the first and the last survivor call it dead; ours from the last heartbeat, which is up to 2 s before \
         the kill, the others from the kill."
            .to_owned(),
        "Wrong: of nodes that ran all the time. Ours and foca's rejoins as they report them; chitchat's when asked each half \
         second."
            .to_owned(),
        "CPU: of the idle window, with the simulator's own share; ours writes and reads every exchange in it. Memory: what \
         the process grew by, for each pair of observer and subject."
            .to_owned(),
        "Windows: settling, each count of bytes, each crash, loss of 5 %, loss of 30 %, cut in two halves; settling goes on \
         until all see all, or for as long as the third column says."
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_commas() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
    }
}
