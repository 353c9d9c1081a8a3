//! Words for people: ages, counts, and foreign text made fit for a terminal.
//!
//! Names, reasons and answers come over the network. A terminal obeys control characters, and some format characters
//! reorder what stands around them, so none of them is printed as it came.

use anstyle::Style;
use std::fmt::Write;

/// A time span as people say it: its greatest unit alone, rounded down. `6s`, `12m`, `3h`, `2d`.
pub(crate) fn age(seconds: f64) -> String {
    // A float becomes the nearest integer there is, so that even nonsense has an age.
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// The items with commas between them, or `-` where there is none.
pub(crate) fn list(items: &[String], separator: &str) -> String {
    if items.is_empty() {
        return "-".to_owned();
    }
    let items: Vec<String> = items.iter().map(|item| one_line(item)).collect();
    items.join(separator)
}

/// Foreign text within a line of ours: whatever would leave the line, or reorder it, is spelled out.
pub(crate) fn one_line(text: &str) -> String {
    spelled_out(text, |c| c.is_control() || steers(c))
}

/// Foreign text that is the whole answer: it keeps its lines, tabs and writing directions.
pub(crate) fn prose(text: &str) -> String {
    spelled_out(text, |c| c.is_control() && c != '\n' && c != '\t')
}

/// JSON with the same meaning and nothing in it that a terminal obeys. A control character other than white space can
/// only stand in a string there, where it may be written as `\u009b`.
pub(crate) fn tame_json(json: &str) -> String {
    let mut tame = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && !c.is_ascii_whitespace()) || steers(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(tame, "\\u{unit:04x}");
            }
        } else {
            tame.push(c);
        }
    }
    tame
}

/// The beginning of a text, where the whole would bury the message around it.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 300;
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", one_line(&text[..end])),
        None => one_line(text),
    }
}

/// The text in a style, which the stream drops where nobody would see it.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn spelled_out(text: &str, unfit: impl Fn(char) -> bool) -> String {
    let mut fit = String::with_capacity(text.len());
    for c in text.chars() {
        if unfit(c) {
            fit.extend(c.escape_unicode());
        } else {
            fit.push(c);
        }
    }
    fit
}

/// Line and paragraph separators, and the marks, embeddings, overrides and isolates of writing direction.
fn steers(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_its_greatest_unit() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (6.9, "6s"),
            (59.999, "59s"),
            (60.0, "1m"),
            (725.0, "12m"),
            (3_599.0, "59m"),
            (3_600.0, "1h"),
            (86_399.0, "23h"),
            (86_400.0, "1d"),
            (190_000.0, "2d"),
            (-4.0, "0s"),
            (f64::NAN, "0s"),
            (1e300, "213503982334601d"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn one_of_a_thing_is_not_several() {
        assert_eq!(count(0, "node"), "0 nodes");
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(2, "node"), "2 nodes");
    }

    #[test]
    fn nothing_foreign_reaches_the_terminal_as_a_command() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(one_line("\u{9b}31m\u{202e}x"), "\\u{9b}31m\\u{202e}x");
        assert_eq!(one_line("größe 名前 🚀"), "größe 名前 🚀");
        assert_eq!(
            prose("a\n\tb\u{1b}]0;x\u{7}\r"),
            "a\n\tb\\u{1b}]0;x\\u{7}\\u{d}"
        );
    }

    #[test]
    fn tame_json_means_the_same() {
        let wild = "{\n \"a\": \"\u{9b}31m \u{202e} \u{7f} ü\"}";
        let tame = tame_json(wild);
        assert_eq!(tame, "{\n \"a\": \"\\u009b31m \\u202e \\u007f ü\"}");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).expect("JSON");
        assert_eq!(value(&tame), value(wild));
    }

    #[test]
    fn an_excerpt_is_bounded() {
        assert_eq!(excerpt(" short\n"), "short");
        assert_eq!(excerpt(&"ä".repeat(1_000)).chars().count(), 301);
    }
}
