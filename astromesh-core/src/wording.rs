//! Complaints in one voice: `expected …, found …`, with the nearest name that would have been right.

/// `text` as it can stand in a message: in quotes, on one line, and cut where it is long.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// What to write instead of `word`: the nearest of `known`, or all of them where none is near.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}

/// The one of `known` that `word` was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Below this, what two words share is chance: `port` and `host` are at 0.5.
    const ALIKE: f64 = 0.6;
    let word = word.to_ascii_lowercase();
    let likeness = |name: &str| {
        let name = name.to_ascii_lowercase();
        strsim::normalized_damerau_levenshtein(&word, &name)
    };
    known
        .iter()
        .map(|name| (likeness(name), *name))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What serde says about a shape that does not fit, in our words. What is ours already comes back as it is.
pub(crate) fn of_serde(reason: &str) -> String {
    unknown_key(reason)
        .or_else(|| misfit(reason))
        .or_else(|| twice(reason))
        .or_else(|| {
            Some(format!(
                "missing key {:?}",
                quoted(reason, "missing field `")?
            ))
        })
        .unwrap_or_else(|| one_line(reason))
}

fn quoted<'a>(reason: &'a str, opening: &str) -> Option<&'a str> {
    reason.strip_prefix(opening)?.strip_suffix('`')
}

fn twice(reason: &str) -> Option<String> {
    let key = match quoted(reason, "duplicate field `") {
        Some(key) => excerpt(key),
        None => one_line(reason.strip_prefix("duplicate entry with key ")?),
    };
    Some(format!("key {key} is given twice"))
}

fn unknown_key(reason: &str) -> Option<String> {
    // Cut at the last place where it can be, for a key may hold anything and the names of ours do not.
    let rest = reason.strip_prefix("unknown field `")?;
    let (key, expected) = rest.rsplit_once("`, expected ")?;
    // The names stand between backticks, so they are every second piece.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    Some(format!(
        "unknown key {}; {}",
        excerpt(key),
        suggestion(key, &known)
    ))
}

fn misfit(reason: &str) -> Option<String> {
    let rest = ["invalid type: ", "invalid value: ", "invalid length: "]
        .iter()
        .find_map(|opening| reason.strip_prefix(opening))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    Some(format!(
        "expected {}, found {}",
        plainly(expected),
        plainly(found)
    ))
}

/// What serde calls a value, as its author would call it.
fn plainly(value: &str) -> String {
    match value.split_once(' ') {
        Some(("string", text)) if text.len() <= 60 => text.to_owned(),
        Some(("string", _)) => "a long text".to_owned(),
        Some(("integer" | "boolean", value)) => value.trim_matches('`').to_owned(),
        Some(("floating", value)) => value
            .trim_start_matches("point ")
            .trim_matches('`')
            .to_owned(),
        Some(("unit", _)) => "nothing".to_owned(),
        _ => match value {
            "map" => "a map".to_owned(),
            "sequence" | "a sequence" => "a list".to_owned(),
            other => one_line(other),
        },
    }
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["gossip_interval", "gossip_fanout", "seeds"];
        assert_eq!(nearest("gosip_interval", &known), Some("gossip_interval"));
        assert_eq!(nearest("SEED", &known), Some("seeds"));
        assert_eq!(nearest("zebra", &known), None);
    }

    #[test]
    fn the_words_of_serde_become_ours() {
        for (theirs, ours) in [
            (
                "unknown field `prot`, expected `host` or `port`",
                r#"unknown key "prot"; did you mean "port"?"#,
            ),
            (
                "unknown field `x`, expected one of `a1`, `b2`, `c3`",
                r#"unknown key "x"; expected one of a1, b2, c3"#,
            ),
            (
                "unknown field `a`, expected `b`, expected `name`",
                r#"unknown key "a`, expected `b"; expected one of name"#,
            ),
            (
                "invalid type: string \"a, expected b\", expected a map",
                "expected a map, found \"a, expected b\"",
            ),
            (
                "invalid type: integer `7`, expected a map",
                "expected a map, found 7",
            ),
            (
                "invalid type: unit value, expected a list",
                "expected a list, found nothing",
            ),
            ("missing field `url`", r#"missing key "url""#),
            ("duplicate field `port`", r#"key "port" is given twice"#),
            (
                "duplicate entry with key \"a\"",
                r#"key "a" is given twice"#,
            ),
            (
                "invalid type: integer `7`, expected a sequence",
                "expected a list, found 7",
            ),
            ("anything\nelse", "anything else"),
        ] {
            assert_eq!(of_serde(theirs), ours);
        }
    }
}
