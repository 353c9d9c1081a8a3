//! The table, and what it has to show.

use super::AGES;
use super::mesh::Load;
use super::policy::Policy;
use benches::machine;

/// Where reports are quite fresh: at most this must be.
const MUST: f64 = 1.2;

/// At any age: at most this is the aim.
const AIM: f64 = 1.7;

/// One policy's figures, by the age of reports.
pub(crate) struct Row {
    pub(crate) policy: Policy,
    pub(crate) figures: Vec<f64>,
}

impl Row {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            figures: Vec::new(),
        }
    }

    /// Whether it is as good as it has to be where reports are fresh.
    pub(crate) fn meets_the_must(&self) -> bool {
        self.figures.first().is_some_and(|figure| *figure <= MUST)
    }

    fn misses_the_aim(&self) -> bool {
        self.figures.iter().any(|figure| *figure > AIM)
    }
}

/// The table as Markdown. The last row is ours.
pub(crate) fn written(rows: &[Row], seeds: u64, load: &Load) -> String {
    let mut text = String::new();
    let mut line = |words: String| text.push_str(&(words + "\n"));
    line(format!(
        "How many times as long as with an oracle until 99 of 100 requests are answered, by the age of reports in service \
         times; {} nodes, {} gateways, {:.0} % busy, {} requests, median of {seeds} seeds. `cargo run --release -p benches \
         --bin choice` at {} on {}.\n",
        load.nodes,
        load.gateways,
        load.busy * 100.0,
        load.requests,
        machine::commit(),
        machine::description(),
    ));
    let ages = AGES.map(|age| format!(" {age} |")).concat();
    line(format!("| |{ages}"));
    line(format!("| --- |{}", AGES.map(|_| " --- |").concat()));
    for row in rows {
        let figures: Vec<String> = row
            .figures
            .iter()
            .map(|figure| format!(" {figure:.2} |"))
            .collect();
        line(format!("| {} |{}", row.policy.words(), figures.concat()));
    }
    if let Some(ours) = rows.last() {
        let said = |held: bool| if held { "held" } else { "missed" };
        line(format!(
            "\nMust: ≤ {MUST} at 0.1: {}. Aim: ≤ {AIM} at any age: {}.",
            said(ours.meets_the_must()),
            said(!ours.misses_the_aim())
        ));
    }
    text
}
