//! How times spread, as bars: in the terminal, and as SVG.

use super::options::Plan;
use super::scene::Detection;
use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

/// Most bars of a plot in the terminal.
const TEXT_BARS: u64 = 10;

/// How long the longest of them is.
const TEXT_LENGTH: usize = 40;

/// Most bars of a picture.
const PICTURE_BARS: u64 = 80;

/// How large a picture is, and where in it the bars are.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 360.0;
const ACROSS: Range<f64> = 60.0..740.0;
const DOWN: Range<f64> = 60.0..310.0;

/// Times sorted into bars of one width.
struct Bars {
    /// Where the first begins, in milliseconds.
    start: u64,
    /// In milliseconds.
    width: u64,
    counts: Vec<usize>,
}

impl Bars {
    /// Bars of a round width, `most` or fewer, that cover all of `span`.
    fn over(span: Range<u64>, most: u64) -> Self {
        let place = |at: u64, width: u64| at / width;
        let bars = |width: u64| place(span.end, width) - place(span.start, width) + 1;
        let mut widths = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
        let width = widths.find(|width| bars(*width) <= most).unwrap_or(1);
        Self {
            start: place(span.start, width) * width,
            width,
            counts: vec![0; usize::try_from(bars(width)).unwrap_or(1)],
        }
    }

    fn count(mut self, times: &[Duration]) -> Self {
        for time in times {
            let place = (millis(*time).saturating_sub(self.start) / self.width) as usize;
            if let Some(count) = self.counts.get_mut(place) {
                *count += 1;
            }
        }
        self
    }

    fn most(&self) -> usize {
        self.counts.iter().copied().max().unwrap_or(0).max(1)
    }

    /// Where each begins, in milliseconds, and how many times are in it.
    fn iter(&self) -> impl Iterator<Item = (u64, usize)> {
        let starts = (0..).map(|place| self.start + place * self.width);
        starts.zip(self.counts.iter().copied())
    }
}

/// How `times`, which are in order, spread: a line for each bar.
pub(crate) fn text(times: &[Duration]) -> String {
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return String::new();
    };
    let bars = Bars::over(millis(*first)..millis(*last), TEXT_BARS).count(times);
    let decimals = match bars.width {
        1_000.. => 0,
        100.. => 1,
        10.. => 2,
        _ => 3,
    };
    let line = |(start, count): (u64, usize)| {
        let [from, to] = [start, start + bars.width].map(|millis| millis as f64 / 1_000.0);
        let bar = "█".repeat((count * TEXT_LENGTH).div_ceil(bars.most()));
        let line = format!("  {from:>8.decimals$} to {to:>6.decimals$} s  {bar:<TEXT_LENGTH$}");
        format!("{line} {count}\n")
    };
    bars.iter().map(line).collect()
}

/// How the times of detection spread, from the last heartbeat on, with the timeouts drawn in.
pub(crate) fn svg(plan: &Plan, detection: &Detection) -> String {
    let (failure, dead) = (plan.config.failure_timeout, plan.config.dead_timeout);
    let both = detection.suspect.iter().chain(&detection.dead);
    let last = both.copied().max().map_or(dead, |last| last.max(dead));
    let bars = |times| Bars::over(0..millis(last), PICTURE_BARS).count(times);
    let (suspect, died) = (bars(&detection.suspect), bars(&detection.dead));
    let most = suspect.most().max(died.most());
    let end = suspect.start + suspect.counts.len() as u64 * suspect.width;
    let title = format!(
        "{} nodes, {} killed, {} % loss: seconds from the last heartbeat until each other node knew",
        plan.nodes, plan.kill, plan.loss_percent
    );
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    [
        head,
        label(ACROSS.start, 24.0, "start", &title),
        draw(&suspect, "#d98e04", end, most),
        draw(&died, "#9b2226", end, most),
        timeout("suspect", failure, 22.0, end),
        timeout("dead", dead, 8.0, end),
        axes(end, most),
        "</svg>\n".to_owned(),
    ]
    .concat()
}

/// The bars, as one path.
fn draw(bars: &Bars, colour: &str, end: u64, most: usize) -> String {
    let width = across(bars.width, end) - ACROSS.start;
    let mut path = String::new();
    for (start, count) in bars.iter().filter(|(_, count)| *count > 0) {
        let height = (DOWN.end - DOWN.start) * count as f64 / most as f64;
        let (x, y) = (across(start, end), DOWN.end);
        // Writing to a string cannot fail.
        _ = write!(path, "M{x:.1} {y}v-{height:.1}h{width:.1}v{height:.1}z");
    }
    format!("<path fill=\"{colour}\" fill-opacity=\"0.8\" d=\"{path}\"/>\n")
}

/// A dashed line where that timeout ends, with its name so far above.
fn timeout(name: &str, after: Duration, above: f64, end: u64) -> String {
    let (x, top, bottom) = (across(millis(after), end), DOWN.start, DOWN.end);
    let line =
        format!("<path stroke=\"black\" stroke-dasharray=\"4 3\" d=\"M{x:.1} {top}V{bottom}\"/>\n");
    line + &label(x, top - above, "middle", &format!("{name} ({after:?})"))
}

/// Seconds below, and beside it how many nodes the highest bar is.
fn axes(end: u64, most: usize) -> String {
    let (left, right, bottom) = (ACROSS.start, ACROSS.end, DOWN.end);
    let mut text = format!("<path stroke=\"black\" d=\"M{left} {bottom}H{right}\"/>\n");
    for (at, _) in Bars::over(0..end, 11).iter().filter(|(at, _)| *at <= end) {
        let seconds = (at as f64 / 1_000.0).to_string();
        text += &label(across(at, end), bottom + 18.0, "middle", &seconds);
    }
    text += &label(left - 8.0, DOWN.start + 4.0, "end", &most.to_string());
    text + &label(left - 8.0, bottom, "end", "0")
}

fn label(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

/// Where a time is, from left to right.
fn across(millis: u64, end: u64) -> f64 {
    ACROSS.start + (ACROSS.end - ACROSS.start) * millis as f64 / end as f64
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
