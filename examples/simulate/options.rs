//! The options, and the plan that comes of them once they go together.

use argh::FromArgs;
use astromesh_core::arguments::Grammar;
use maia::config::Config;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Shows what settings give in a mesh of simulated nodes: how fast it joins, what it sends, how soon it knows of a
/// death, whom it suspects wrongly, how it heals. Times are written as 500ms, 4s or 2m. A thousand nodes
/// take some minutes and about 1 GiB of memory; twice as many take four times that.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help"))]
pub(crate) struct Options {
    /// how many nodes, 2 to 4096 (50)
    #[argh(option, default = "50", arg_name = "number", from_str_fn(nodes))]
    nodes: usize,
    /// how much of all messages is lost, in percent (0)
    #[argh(option, default = "0.0", arg_name = "percent", from_str_fn(percent))]
    loss: f64,
    /// how long a message takes one way, as A..B, or one time for all (0.5ms..1.5ms)
    #[argh(option, default = "DELAY", arg_name = "times", from_str_fn(span))]
    delay: Span,
    /// time between two rounds of gossip (2s)
    #[argh(option, arg_name = "time", from_str_fn(time))]
    gossip_interval: Option<Duration>,
    /// peers told in a round (3)
    #[argh(option, arg_name = "number", from_str_fn(whole))]
    fanout: Option<usize>,
    /// silence after which a node is suspected (15s)
    #[argh(option, arg_name = "time", from_str_fn(time))]
    failure_timeout: Option<Duration>,
    /// silence after which it is dead (twice --failure-timeout)
    #[argh(option, arg_name = "time", from_str_fn(time))]
    dead_timeout: Option<Duration>,
    /// how many nodes are killed hard, at moments within one gossip interval (1)
    #[argh(option, default = "1", arg_name = "number", from_str_fn(whole))]
    kill: usize,
    /// cut the mesh in halves for that long, then mend it
    #[argh(option, arg_name = "time", from_str_fn(time))]
    partition: Option<Duration>,
    /// how many seconds of peace are observed, 1 to 86400 (60)
    #[argh(option, default = "60", arg_name = "number", from_str_fn(seconds))]
    seconds: u64,
    /// what all chance is drawn from (1)
    #[argh(option, default = "1", arg_name = "number", from_str_fn(whole))]
    seed: u64,
    /// draw how long detection took into this file, too
    #[argh(option, arg_name = "file")]
    svg: Option<PathBuf>,
}

pub(crate) const GRAMMAR: Grammar<'static> = Grammar {
    options: &[
        "--nodes",
        "--loss",
        "--delay",
        "--gossip-interval",
        "--fanout",
        "--failure-timeout",
        "--dead-timeout",
        "--kill",
        "--partition",
        "--seconds",
        "--seed",
        "--svg",
    ],
    ..Grammar::new("simulate", env!("CARGO_PKG_VERSION"))
};

/// From the shortest to the longest time that a message takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

const DELAY: Span = Span {
    least: Duration::from_micros(500),
    most: Duration::from_micros(1_500),
};

/// The longest time that any option takes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What is simulated: options that go together.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    /// The part of all messages that is lost, in percent.
    pub(crate) loss_percent: f64,
    pub(crate) delay: Span,
    pub(crate) config: Config,
    pub(crate) kill: usize,
    pub(crate) partition: Option<Duration>,
    /// How long the mesh is observed in peace.
    pub(crate) peace: Duration,
    pub(crate) seed: u64,
    pub(crate) svg: Option<PathBuf>,
}

impl Plan {
    /// How long the mesh gets to come together, and to heal.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(300).max(60 * self.config.gossip_interval)
    }
}

impl Options {
    /// Fills in what was not given. The error is a whole line for stderr.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let config = self.config();
        let checked = config.check().map_err(|invalid| {
            let option = match invalid.field() {
                "gossip_fanout" => "fanout".to_owned(),
                field => field.replace('_', "-"),
            };
            refusal(&option, invalid.reason())
        });
        checked.and_then(|()| self.check_numbers())?;
        Ok(Plan {
            nodes: self.nodes,
            loss_percent: self.loss,
            delay: self.delay,
            config,
            kill: self.kill,
            partition: self.partition,
            peace: Duration::from_secs(self.seconds),
            seed: self.seed,
            svg: self.svg,
        })
    }

    fn config(&self) -> Config {
        let usual = Config::default();
        let failure_timeout = self.failure_timeout.unwrap_or(usual.failure_timeout);
        Config {
            gossip_interval: self.gossip_interval.unwrap_or(usual.gossip_interval),
            gossip_fanout: self.fanout.unwrap_or(usual.gossip_fanout),
            failure_timeout,
            dead_timeout: self.dead_timeout.unwrap_or(2 * failure_timeout),
            ..usual
        }
    }

    fn check_numbers(&self) -> Result<(), String> {
        let (nodes, kill) = (self.nodes, self.kill);
        if kill >= nodes {
            let reason = format!("expected less than --nodes ({nodes}), found {kill}");
            return Err(refusal("kill", &reason));
        }
        if self.partition.is_some() && nodes - kill < 2 {
            let reason = "expected two nodes that --kill leaves, found one";
            return Err(refusal("partition", reason));
        }
        if self.svg.is_some() && kill == 0 {
            return Err(refusal("svg", "with --kill 0 there is nothing to draw"));
        }
        Ok(())
    }
}

fn refusal(option: &str, reason: &str) -> String {
    format!("simulate: --{option}: {reason}; see simulate --help")
}

fn nodes(text: &str) -> Result<usize, String> {
    within(text, 2..=Config::default().limits.nodes)
}

fn seconds(text: &str) -> Result<u64, String> {
    within(text, 1..=LONGEST.as_secs())
}

fn percent(text: &str) -> Result<f64, String> {
    within(text.trim_end_matches('%'), 0.0..=100.0)
}

fn within<T: FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!(
            "expected a number from {} to {}",
            range.start(),
            range.end()
        )
    })
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "expected a whole number that is not negative".into())
}

/// Reads `0.5ms..1.5ms`, or `2ms` for both ends.
fn span(text: &str) -> Result<Span, String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (time(least)?, time(most)?);
    if least > most {
        return Err("expected the shorter time first".into());
    }
    Ok(Span { least, most })
}

/// Reads `30s`, `2m` or `500ms`.
fn time(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let unit_millis = match unit {
        "ms" => Some(1.0),
        "s" => Some(1_000.0),
        "m" => Some(60_000.0),
        "h" => Some(3_600_000.0),
        _ => None,
    };
    let millis = number.parse::<f64>().ok().zip(unit_millis);
    let time =
        millis.and_then(|(number, unit)| Duration::try_from_secs_f64(number * unit / 1_000.0).ok());
    time.filter(|time| *time <= LONGEST)
        .ok_or_else(|| "expected a time such as 500ms, 30s or 2m, at most 24h".into())
}
