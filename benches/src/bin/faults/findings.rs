//! What a run of a case found: figures, each with what it must be, and why there are none where it went wrong.

use std::fmt;
use std::io;

/// What a run came to.
pub(crate) type Outcome = Result<Findings, Failure>;

/// Why a run came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This machine lacks what it takes.
    NotRun(String),
    /// Something that must happen did not, or something must not happen and did.
    Missed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Missed(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Missed(why)
    }
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// No less than the first, no more than the second.
    Within(f64, f64),
    AtMost(f64),
    AtLeast(f64),
    /// Whatever it likes: it is only told.
    Any,
}

impl Limit {
    fn allows(self, value: f64) -> bool {
        match self {
            Self::Within(least, most) => (least..=most).contains(&value),
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Any => true,
        }
    }
}

/// One figure, from the least to the most that was seen of it.
#[derive(Clone, Debug)]
struct Figure {
    what: String,
    unit: &'static str,
    limit: Limit,
    /// Whether missing it is a pity rather than a fault.
    is_aim: bool,
    least: f64,
    most: f64,
}

impl Figure {
    fn is_met(&self) -> bool {
        self.limit.allows(self.least) && self.limit.allows(self.most)
    }

    fn wanted(&self) -> Option<String> {
        let Self { what, unit, .. } = self;
        let aim = if self.is_aim { " (aim)" } else { "" };
        let limit = match self.limit {
            Limit::Within(least, most) if least == most => number(most),
            Limit::Within(least, most) => format!("{}–{}", number(least), number(most)),
            Limit::AtMost(0.0) => "0".to_owned(),
            Limit::AtMost(most) => format!("≤ {}", number(most)),
            Limit::AtLeast(least) => format!("≥ {}", number(least)),
            Limit::Any => return None,
        };
        Some(format!("{what} {limit}{unit}{aim}"))
    }

    fn seen(&self) -> String {
        let Self { what, unit, .. } = self;
        let (least, most) = (number(self.least), number(self.most));
        let mark = if self.is_met() { "" } else { " (!)" };
        if least == most {
            format!("{what} {most}{unit}{mark}")
        } else {
            format!("{what} {least}–{most}{unit}{mark}")
        }
    }
}

/// A whole number as such, any other with two places.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{value:.2}")
    }
}

/// The figures of one run, or of several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    figures: Vec<Figure>,
    remarks: Vec<String>,
}

impl Findings {
    /// A figure that must keep to its limit.
    pub(crate) fn must(&mut self, what: &str, unit: &'static str, value: f64, limit: Limit) {
        self.add(what, unit, value, limit, false);
    }

    /// Something that must not have happened at all.
    pub(crate) fn never(&mut self, what: &str, count: usize) {
        self.must(what, "", count as f64, Limit::AtMost(0.0));
    }

    /// A figure that should keep to its limit.
    pub(crate) fn aim(&mut self, what: &str, unit: &'static str, value: f64, limit: Limit) {
        self.add(what, unit, value, limit, true);
    }

    /// A figure without a limit.
    pub(crate) fn say(&mut self, what: &str, unit: &'static str, value: f64) {
        self.add(what, unit, value, Limit::Any, false);
    }

    /// Something that is no figure.
    pub(crate) fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    fn add(&mut self, what: &str, unit: &'static str, value: f64, limit: Limit, is_aim: bool) {
        self.merge(Figure {
            what: what.to_owned(),
            unit,
            limit,
            is_aim,
            least: value,
            most: value,
        });
    }

    fn merge(&mut self, figure: Figure) {
        match self
            .figures
            .iter_mut()
            .find(|held| held.what == figure.what)
        {
            Some(held) => {
                held.least = held.least.min(figure.least);
                held.most = held.most.max(figure.most);
            }
            None => self.figures.push(figure),
        }
    }

    /// Takes in what another run found.
    pub(crate) fn take(&mut self, other: Self) {
        for figure in other.figures {
            self.merge(figure);
        }
        for remark in other.remarks {
            self.remark(remark);
        }
    }

    /// Whether everything is as it must be.
    pub(crate) fn is_ok(&self) -> bool {
        self.figures
            .iter()
            .all(|figure| figure.is_aim || figure.is_met())
    }

    /// Whether everything is as it should be, too.
    pub(crate) fn meets_aims(&self) -> bool {
        self.figures.iter().all(Figure::is_met)
    }

    /// What the figures have to be, for a table.
    pub(crate) fn wanted(&self) -> String {
        let wanted: Vec<_> = self.figures.iter().filter_map(Figure::wanted).collect();
        wanted.join("; ")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.figures.iter().map(Figure::seen);
        let all: Vec<_> = figures.chain(self.remarks.iter().cloned()).collect();
        f.write_str(&all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dead_after: f64, rss: f64) -> Findings {
        let mut found = Findings::default();
        found.must("dead after", " s", dead_after, Limit::Within(30.0, 33.0));
        found.aim("RSS", " MiB", rss, Limit::AtMost(8.0));
        found.never("false deaths", 0);
        found
    }

    #[test]
    fn runs_together_are_as_bad_as_the_worst() {
        let mut all = run(30.25, 7.0);
        all.take(run(32.0, 7.5));
        assert!(all.is_ok() && all.meets_aims());
        assert_eq!(
            all.wanted(),
            "dead after 30–33 s; RSS ≤ 8 MiB (aim); false deaths 0"
        );
        assert_eq!(
            all.to_string(),
            "dead after 30.25–32 s; RSS 7–7.50 MiB; false deaths 0"
        );
        all.take(run(31.0, 9.0));
        assert!(all.is_ok() && !all.meets_aims());
        all.take(run(33.5, 7.0));
        assert!(!all.is_ok());
        assert_eq!(
            all.to_string(),
            "dead after 30.25–33.50 s (!); RSS 7–9 MiB (!); false deaths 0"
        );
    }

    #[test]
    fn what_must_not_happen_is_counted() {
        let mut found = Findings::default();
        found.never("false deaths", 1);
        assert!(!found.is_ok());
        assert_eq!(found.to_string(), "false deaths 1 (!)");
    }

    #[test]
    fn no_number_is_within_no_limit() {
        let mut found = Findings::default();
        found.must("exit code", "", f64::NAN, Limit::Within(0.0, 0.0));
        assert!(!found.is_ok());
    }
}
