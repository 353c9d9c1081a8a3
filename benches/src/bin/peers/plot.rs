//! Bytes a second against the number of nodes, as a picture: both axes logarithmic, readable on light and on dark.

use crate::measure::Row;
use crate::peer::Peer;
use crate::table::thousands;

/// How large the picture is, and what of it the axes span.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const ACROSS: (f64, f64) = (80.0, 540.0);
const DOWN: (f64, f64) = (390.0, 50.0);

/// What a running node of version 0.40 sent, with its table of so many: measured on that, which is not in this project.
const OLDER: [(f64, f64); 2] = [(10.0, 12_141.0), (50.0, 47_646.0)];

/// Points of one kind.
struct Series {
    title: String,
    colour: &'static str,
    /// How the line is broken; none is drawn where there is nothing to join.
    dashes: Option<&'static str>,
    points: Vec<(f64, f64)>,
}

/// An axis: the powers of ten between which it lies, and where on the picture.
#[derive(Clone, Copy)]
struct Axis {
    powers: (i32, i32),
    span: (f64, f64),
}

impl Axis {
    /// Wide enough for all of these.
    fn over(values: impl Iterator<Item = f64>, span: (f64, f64)) -> Self {
        let logs: Vec<f64> = values.map(f64::log10).collect();
        let least = logs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let first = least.floor() as i32;
        let last = (most.ceil() as i32).max(first + 1);
        Self {
            powers: (first, last),
            span,
        }
    }

    fn place(self, value: f64) -> f64 {
        let (first, last) = (f64::from(self.powers.0), f64::from(self.powers.1));
        let way = (value.log10() - first) / (last - first);
        self.span.0 + way * (self.span.1 - self.span.0)
    }

    /// The powers of ten on it.
    fn marks(self) -> impl Iterator<Item = f64> {
        (self.powers.0..=self.powers.1).map(|power| 10_f64.powi(power))
    }
}

/// The picture; `None` where there is nothing to show.
pub(crate) fn svg(rows: &[Row]) -> Option<String> {
    let series = series(rows);
    let points = || series.iter().flat_map(|series| &series.points);
    if rows.is_empty() {
        return None;
    }
    let x = Axis::over(points().map(|point| point.0), ACROSS);
    let y = Axis::over(points().map(|point| point.1), DOWN);
    let mut out = head();
    out += &axes(x, y);
    for (place, series) in series.iter().enumerate() {
        out += &drawn(series, x, y);
        out += &legend(series, place);
    }
    Some(out + "</svg>\n")
}

fn series(rows: &[Row]) -> Vec<Series> {
    let of = |peer: Peer, figure: fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let rows = rows.iter().filter(|row| row.peer == peer);
        let figures = rows.filter_map(|row| Some((row.nodes as f64, figure(row)?)));
        figures.filter(|point| point.1 > 0.0).collect()
    };
    let idle = |row: &Row| Some(row.idle);
    let one = |title: String, colour, dashes, points| Series {
        title,
        colour,
        dashes,
        points,
    };
    let ours = Peer::Ours.title();
    let moving = format!("{ours}, load moving");
    let mut all = vec![
        one(ours, "#2f81f7", Some("none"), of(Peer::Ours, idle)),
        one(
            moving,
            "#2f81f7",
            Some("5 4"),
            of(Peer::Ours, |row| row.moving),
        ),
        one(
            Peer::Foca.title(),
            "#d98e04",
            Some("none"),
            of(Peer::Foca, idle),
        ),
        one(
            Peer::Chitchat.title(),
            "#c2449b",
            Some("none"),
            of(Peer::Chitchat, idle),
        ),
        one("version 0.40".to_owned(), "#d1242f", None, OLDER.to_vec()),
    ];
    all.retain(|series| !series.points.is_empty());
    all
}

fn head() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n\
         <title>Bytes a node sends a second, by the number of nodes</title>\n\
         <style>text{{fill:#24292f}}.axis{{stroke:#57606a}}.grid{{stroke:#57606a;stroke-opacity:.25}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.axis{{stroke:#9198a1}}.grid{{stroke:#9198a1}}}}</style>\n"
    )
}

/// Both axes with their names, and a faint line at each power of ten.
fn axes(x: Axis, y: Axis) -> String {
    let ((left, right), (bottom, top)) = (ACROSS, DOWN);
    let mut out = String::new();
    for mark in x.marks() {
        let at = x.place(mark);
        out += &line("grid", (at, bottom), (at, top));
        out += &label(at, bottom + 20.0, "middle", &thousands(mark as u64));
    }
    for mark in y.marks() {
        let at = y.place(mark);
        out += &line("grid", (left, at), (right, at));
        out += &label(left - 8.0, at + 4.0, "end", &thousands(mark as u64));
    }
    out += &line("axis", (left, bottom), (right, bottom));
    out += &line("axis", (left, bottom), (left, top));
    out += &label(
        (left + right) / 2.0,
        bottom + 42.0,
        "middle",
        "nodes in the mesh",
    );
    out + &label(
        left,
        top - 20.0,
        "start",
        "bytes a node sends a second, nothing going on",
    )
}

fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> String {
    let (from, to) = (pair(from), pair(to));
    format!("<path class=\"{class}\" d=\"M{from}L{to}\"/>\n")
}

fn label(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

fn pair((x, y): (f64, f64)) -> String {
    format!("{x:.1} {y:.1}")
}

/// A dot at each point, and a line through them.
fn drawn(series: &Series, x: Axis, y: Axis) -> String {
    let colour = series.colour;
    let places = series.points.iter();
    let places: Vec<(f64, f64)> = places
        .map(|point| (x.place(point.0), y.place(point.1)))
        .collect();
    let mut out = String::new();
    if let Some(dashes) = series.dashes {
        let path = places.iter().copied().map(pair).collect::<Vec<_>>();
        out += &stroke(&path.join("L"), colour, dashes);
    }
    for (x, y) in places {
        out += &dot(x, y, colour);
    }
    out
}

fn stroke(path: &str, colour: &str, dashes: &str) -> String {
    format!(
        "<path d=\"M{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\n"
    )
}

fn dot(x: f64, y: f64, colour: &str) -> String {
    format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>\n")
}

fn legend(series: &Series, place: usize) -> String {
    let (x, y) = (ACROSS.1 + 24.0, DOWN.1 + 24.0 * place as f64);
    let mut out = String::new();
    if let Some(dashes) = series.dashes {
        let path = format!("{} {y}H{}", x - 12.0, x + 12.0);
        out += &stroke(&path, series.colour, dashes);
    }
    out += &dot(x, y, series.colour);
    out + &label(x + 20.0, y + 4.0, "start", &series.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_of_ten_is_as_far_from_the_next_as_any_other() {
        let axis = Axis::over([16.0, 4_096.0].into_iter(), (100.0, 400.0));
        assert_eq!(axis.powers, (1, 4));
        let places: Vec<f64> = axis.marks().map(|mark| axis.place(mark).round()).collect();
        assert_eq!(places, [100.0, 200.0, 300.0, 400.0]);
    }

    #[test]
    fn an_axis_that_goes_up_has_its_greatest_value_on_top() {
        let axis = Axis::over([20.0, 30.0].into_iter(), DOWN);
        assert!(axis.place(30.0) < axis.place(20.0));
    }
}
