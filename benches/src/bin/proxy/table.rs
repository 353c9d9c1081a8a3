//! The samples as a table: medians, and ours beside the same of HAProxy.

use super::contest::{Contest, Sample, Trial};
use super::load::Measured;
use benches::gateway::{Entrant, Kind};
use benches::machine;
use std::fmt::Write;

const HAPROXY: Kind = Kind::HaProxy {
    with_our_headers: false,
};

const HAPROXY_WITH_OURS: Kind = Kind::HaProxy {
    with_our_headers: true,
};

/// All of it, in Markdown.
pub(crate) fn markdown(contest: &Contest, samples: &[Sample], missing: &[String]) -> String {
    let medians = Medians(samples);
    let mut table = format!(
        "Commit {}, on {}.\n\n",
        machine::commit(),
        machine::description()
    );
    for name in missing {
        let _ = writeln!(table, "**Not measured: {name} is not installed.**\n");
    }
    let rate = contest.rate;
    let _ = writeln!(
        table,
        "| | max requests/s, 64 connections | CPU µs a request, then | CPU µs a request at {rate}/s | added p50 µs at {rate}/s | added p99 µs | one node 10× slower: p99 ms | failed |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for entrant in &contest.entrants {
        let _ = writeln!(table, "{}", row(*entrant, &medians));
    }
    table.push_str(&comparisons(contest, &medians));
    let _ = write!(
        table,
        "\nEach figure is the median of {} rounds of {} s, all of them measured in each round. Requests and answers have 256 bytes. \
         Added: beyond the same load on the stand-ins themselves. At the rate, requests fall at random, and each one's time \
         counts from when it was due. The slow node takes 50 ms on average and the others 5 ms, exponentially distributed, \
         16 at a time. CPU: user and system time of the process and its children, by the scheduler's account.\n",
        contest.rounds, contest.seconds
    );
    table
}

fn row(entrant: Entrant, medians: &Medians<'_>) -> String {
    let figure = |trial, of: fn(&Measured) -> f64| medians.of(entrant, trial, of);
    let added = |of: fn(&Measured) -> f64| medians.added(entrant, of);
    let is_direct = entrant.kind == Kind::Direct;
    let unless_direct = |figure: Option<f64>| if is_direct { None } else { figure };
    format!(
        "| {entrant} | {} | {} | {} | {} | {} | {} | {} |",
        written(figure(Trial::Most, |of| of.per_second), 0),
        written(unless_direct(figure(Trial::Most, |of| of.cpu_us)), 1),
        written(unless_direct(figure(Trial::Rate, |of| of.cpu_us)), 1),
        written(unless_direct(added(|of| of.p50_us)), 0),
        written(unless_direct(added(|of| of.p99_us)), 0),
        written(figure(Trial::SlowNode, |of| of.p99_us / 1_000.0), 1),
        medians.failed(entrant),
    )
}

/// Ours divided by HAProxy's, with what was wanted.
fn comparisons(contest: &Contest, medians: &Medians<'_>) -> String {
    let mut lines = String::new();
    for ours in contest.entrants.iter().filter(|one| one.kind == Kind::Ours) {
        let threads = ours.threads;
        let against = |kind, of: &dyn Fn(Entrant) -> Option<f64>| {
            Some(of(*ours)? / of(Entrant { kind, threads })?)
        };
        let rate = |one| medians.of(one, Trial::Most, |of| of.per_second);
        let cpu = |one| medians.of(one, Trial::Most, |of| of.cpu_us);
        let p50 = |one| medians.added(one, |of| of.p50_us);
        let p99 = |one| medians.added(one, |of| of.p99_us);
        let slow = |one| medians.of(one, Trial::SlowNode, |of| of.p99_us);
        let most_p50 = if threads == 1 { 0.8 } else { 1.0 };
        let ratios = [
            ("requests/s", against(HAPROXY, &rate), "≥ 1.0, must 0.95"),
            (
                "CPU a request, beside HAProxy with our headers",
                against(HAPROXY_WITH_OURS, &cpu),
                "≤ 1.0, must 1.15",
            ),
            (
                "added p50",
                against(HAPROXY, &p50),
                if most_p50 < 1.0 { "≤ 0.8" } else { "≤ 1.0" },
            ),
            ("added p99", against(HAPROXY, &p99), "≤ 1.0"),
            ("the slow node's p99", against(HAPROXY, &slow), "≤ 0.3"),
        ];
        let _ = write!(lines, "\nOurs beside HAProxy's, {threads} thread(s) each:");
        for (name, ratio, aim) in ratios {
            if let Some(ratio) = ratio {
                let _ = write!(lines, " {name} {ratio:.2} × ({aim});");
            }
        }
        if let [least, .., most] = *medians.ratios_by_round(
            *ours,
            Entrant {
                kind: HAPROXY,
                threads,
            },
        ) {
            let _ = write!(
                lines,
                " requests/s in single rounds {least:.2} to {most:.2} ×."
            );
        }
        lines.push('\n');
    }
    lines
}

struct Medians<'a>(&'a [Sample]);

impl Medians<'_> {
    fn of(&self, entrant: Entrant, trial: Trial, figure: fn(&Measured) -> f64) -> Option<f64> {
        let mut figures: Vec<f64> = self.each(entrant, trial).map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }

    /// What was measured of it, round after round.
    fn each(&self, entrant: Entrant, trial: Trial) -> impl Iterator<Item = &Measured> {
        let of_it = move |sample: &&Sample| sample.entrant == entrant && sample.trial == trial;
        self.0.iter().filter(of_it).map(|sample| &sample.measured)
    }

    /// Requests a second of one at most, divided by the other's in the same round, ascending.
    fn ratios_by_round(&self, one: Entrant, other: Entrant) -> Vec<f64> {
        let pairs = self
            .each(one, Trial::Most)
            .zip(self.each(other, Trial::Most));
        let mut ratios: Vec<f64> = pairs
            .map(|(one, other)| one.per_second / other.per_second)
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// What it adds at the rate to what the stand-ins take themselves.
    fn added(&self, entrant: Entrant, figure: fn(&Measured) -> f64) -> Option<f64> {
        let direct = Entrant {
            kind: Kind::Direct,
            threads: 1,
        };
        let direct = self.of(direct, Trial::Rate, figure)?;
        Some(self.of(entrant, Trial::Rate, figure)? - direct)
    }

    fn failed(&self, entrant: Entrant) -> usize {
        let of_it = self.0.iter().filter(|sample| sample.entrant == entrant);
        of_it.map(|sample| sample.measured.failed).sum()
    }
}

fn written(figure: Option<f64>, digits: usize) -> String {
    match figure {
        None => "–".to_owned(),
        Some(figure) if figure >= 1_000.0 => {
            let whole = figure.round() as u64;
            format!("{},{:03}", whole / 1_000, whole % 1_000)
        }
        Some(figure) => format!("{figure:.digits$}"),
    }
}
