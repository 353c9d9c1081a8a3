//! What our own nodes are to reach, and what must not be missed.

use crate::measure::{Known, Row, Wrong};

/// An aim at some sizes of the mesh.
type Aim = &'static [(f64, f64)];

/// Bytes a node sends a second.
pub(crate) const IDLE: Aim = &[(100.0, 800.0), (1_000.0, 1_500.0), (10_000.0, 9_000.0)];
/// The same, while every tenth load moves every five seconds.
pub(crate) const MOVING: Aim = &[(100.0, 900.0), (1_000.0, 2_000.0), (10_000.0, 12_000.0)];
/// Seconds until a dead node is known everywhere, from its last heartbeat, at 5 % loss.
pub(crate) const DEAD: Aim = &[(100.0, 31.0), (1_000.0, 32.0), (10_000.0, 33.0)];
/// Microseconds of processor for each node and second.
pub(crate) const CPU: Aim = &[(100.0, 10.0), (1_000.0, 15.0), (10_000.0, 50.0)];
/// Seconds until all see all: three rounds, and four in a large mesh.
pub(crate) const JOIN: Aim = &[(1_024.0, 6.0), (4_096.0, 8.0)];
/// Seconds until a cut is healed: three rounds.
pub(crate) const HEAL: Aim = &[(1_000.0, 6.0)];
/// Bytes of memory for each observer and subject.
pub(crate) const PAIR: Aim = &[(1_000.0, 32.0)];

/// The aim for so many nodes: between two sizes on a straight line between logarithms, beyond them as at the nearest.
pub(crate) fn at(aim: Aim, nodes: usize) -> f64 {
    let nodes = nodes as f64;
    let (first, last) = (aim[0], aim[aim.len() - 1]);
    let pair = aim.windows(2).find(|pair| nodes <= pair[1].0);
    match pair {
        _ if nodes <= first.0 => first.1,
        Some(&[(low, from), (high, to)]) => {
            let way = (nodes / low).ln() / (high / low).ln();
            from * (to / from).powf(way)
        }
        _ => last.1,
    }
}

/// What of a row of ours is a failure, not a figure.
pub(crate) fn missed(row: &Row) -> Vec<String> {
    let mut missed = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            missed.push(format!("{} nodes: {what}", row.nodes));
        }
    };
    must(row.join.is_some(), "not all see all after joining");
    must(is_known(&row.crash), "not all know of a crash");
    must(
        row.crash_at_loss.as_ref().is_none_or(is_known),
        "not all know of a crash at 5 % loss",
    );
    must(is_right(row.loss), "false verdicts at 5 % loss");
    must(is_right(row.heavy_loss), "false verdicts at 30 % loss");
    must(
        row.plan.cut == 0 || row.healed.is_some(),
        "a cut never healed",
    );
    missed
}

fn is_known(known: &Known) -> bool {
    known.by == known.of
}

fn is_right(wrong: Option<Wrong>) -> bool {
    wrong.is_none_or(|wrong| wrong.suspicions + wrong.deaths + wrong.rejoins == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Plan;
    use crate::peer::Peer;

    /// A row in which all is well.
    fn well() -> Row {
        let known = Known {
            spread: Some((30.0, 30.1)),
            by: 63,
            of: 63,
        };
        let right = Wrong {
            suspicions: 0,
            deaths: 0,
            rejoins: 0,
            node_seconds: 18_900,
        };
        let plan = Plan {
            join: 600,
            settle: 120,
            count: 60,
            crash: 60,
            loss: 300,
            heavy_loss: 300,
            cut: 120,
            heal: 300,
        };
        Row {
            peer: Peer::Ours,
            nodes: 64,
            plan,
            join: Some(0.2),
            idle: 619.0,
            moving: Some(647.0),
            crash: known,
            crash_at_loss: Some(known),
            loss: Some(right),
            heavy_loss: Some(right),
            healed: Some(1.9),
            cpu_micros: None,
            pair_bytes: None,
            took: 1.0,
        }
    }

    #[test]
    fn a_false_death_and_a_cut_that_never_heals_are_failures() {
        assert!(missed(&well()).is_empty());
        let mut row = well();
        row.healed = None;
        row.loss = row.loss.map(|right| Wrong { deaths: 1, ..right });
        row.crash.by -= 1;
        let missed = missed(&row);
        assert_eq!(missed.len(), 3, "{missed:?}");
    }

    #[test]
    fn an_aim_is_as_named_at_its_sizes_and_lies_between_them_elsewhere() {
        assert_eq!(at(IDLE, 16).round(), 800.0);
        assert_eq!(at(IDLE, 100).round(), 800.0);
        assert_eq!(at(IDLE, 1_000).round(), 1_500.0);
        assert_eq!(at(IDLE, 10_000).round(), 9_000.0);
        assert_eq!(at(IDLE, 20_000).round(), 9_000.0);
        assert!((1_090.0..1_100.0).contains(&at(IDLE, 316)));
    }
}
