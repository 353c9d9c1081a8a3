//! YAML becomes checked types, and every complaint knows its line and column.
//!
//! The one file that names the parser, which is archived: to replace it is to replace this. It keeps no positions once a
//! document is read, but each of its errors has one. So checks are made while it reads (see `leaf`), and a key that turns
//! out to be wrong later is looked up by reading the text again with a visitor that refuses exactly there.

use crate::error::ConfigError;
use crate::wording;
use figment::value::{Dict, Value};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use std::fmt;
use std::path::Path;

/// What is wrong with a document, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) mark: Option<Mark>,
    /// `spec.peers[0].url`, or empty for the whole document.
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// A place in a text, both parts counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Fault {
    /// The complaint to show, for a document that came from `path`.
    pub(crate) fn in_file(self, path: &Path) -> ConfigError {
        self.in_source(&path.display().to_string())
    }

    /// The complaint to show, for a document that came from `source`.
    pub(crate) fn in_source(self, source: &str) -> ConfigError {
        let place = match self.mark {
            Some(mark) => format!("{source}:{mark}"),
            None => source.to_owned(),
        };
        let message = match self.key.as_str() {
            "" => self.reason,
            key => format!("{}: {}", wording::one_line(key), self.reason),
        };
        ConfigError::at(place, message)
    }
}

/// The complaint that what `text` has at `key` cannot be, found after it was read.
pub(crate) fn fault_at(text: &str, key: &str, reason: &str) -> Fault {
    Fault {
        mark: locate(text, key),
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Reads a document into a type.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    check_syntax(text)?;
    let document = serde_yaml::Deserializer::from_str(text);
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        misfit(&key, error.inner())
    })
}

/// The map under `key` at the top of a document, in figment's values. What is written as nothing (`seeds:`) is left out, so
/// that it hides no default.
pub(crate) fn part(text: &str, key: &str) -> Result<Dict, Fault> {
    let document: serde_yaml::Value = read(text)?;
    let value = document.get(key).cloned().unwrap_or_default();
    let value = Value::serialize(value).map_err(|error| Fault {
        mark: None,
        key: key.to_owned(),
        reason: wording::of_serde(&error.to_string()),
    })?;
    Ok(value.into_dict().map(without_nothing).unwrap_or_default())
}

/// `text` with `value` for what it has under `key` at the top, without its comments.
pub(crate) fn with_part(text: &str, key: &str, value: &Dict) -> Result<String, Fault> {
    let mut document: serde_yaml::Mapping = read(text)?;
    let written = serde_yaml::to_value(value).and_then(|value| {
        document.insert(key.into(), value);
        serde_yaml::to_string(&document)
    });
    written.map_err(|error| Fault {
        mark: None,
        key: key.to_owned(),
        reason: without_place(&error),
    })
}

/// Where `key` (`spec.seeds[1]`) stands in `text`, or where the innermost map or list around it does.
pub(crate) fn locate(text: &str, key: &str) -> Option<Mark> {
    let steps: Vec<&str> = key
        .split(['.', '[', ']'])
        .filter(|step| !step.is_empty())
        .collect();
    let found = Seek(&steps).deserialize(serde_yaml::Deserializer::from_str(text));
    found.err().and_then(|error| mark_of(&error))
}

fn without_nothing(dict: Dict) -> Dict {
    dict.into_iter()
        .filter(|(_, value)| !matches!(value, Value::Empty(..)))
        .map(|(key, value)| match value {
            Value::Dict(tag, inner) => (key, Value::Dict(tag, without_nothing(inner))),
            other => (key, other),
        })
        .collect()
}

fn check_syntax(text: &str) -> Result<(), Fault> {
    serde_yaml::from_str::<IgnoredAny>(text).map_err(|error| Fault {
        mark: mark_of(&error),
        key: String::new(),
        reason: format!("not valid YAML: {}", without_place(&error)),
    })?;
    Ok(())
}

fn misfit(key: &str, error: &serde_yaml::Error) -> Fault {
    let mut reason = without_place(error);
    // The parser repeats the key, or the one around it where a key itself is the trouble.
    let around = key.rsplit_once('.').map_or("", |(around, _)| around);
    let mut key = key;
    for path in [key, around] {
        if let Some(rest) = reason.strip_prefix(&format!("{path}: ")) {
            reason = rest.to_owned();
            break;
        }
    }
    if reason.starts_with("unknown field") {
        key = around;
    }
    Fault {
        mark: mark_of(error),
        key: if key == "." {
            String::new()
        } else {
            key.to_owned()
        },
        reason: wording::of_serde(&reason),
    }
}

fn mark_of(error: &serde_yaml::Error) -> Option<Mark> {
    error.location().map(|place| Mark {
        line: place.line(),
        column: place.column(),
    })
}

fn without_place(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let Some(mark) = mark_of(error) else {
        return text;
    };
    let place = format!(" at line {} column {}", mark.line, mark.column);
    match text.rsplit_once(&place) {
        Some((before, after)) => format!("{before}{after}"),
        None => text,
    }
}

/// Follows the steps of a key and refuses whatever it finds at the end: the parser then says where that was.
struct Seek<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((step, rest)) = self.0.split_first() {
            while let Some(key) = map.next_key::<String>()? {
                if key == *step {
                    return map.next_value_seed(Seek(rest));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(A::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Some((step, rest)) = self.0.split_first() {
            let mut skip: usize = step.parse().unwrap_or(usize::MAX);
            while skip > 0 && list.next_element::<IgnoredAny>()?.is_some() {
                skip -= 1;
            }
            list.next_element_seed(Seek(rest))?;
        }
        Err(A::Error::custom("here"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "spec:\n  api:\n    port: 80\n  seeds:\n    - a\n    - b\n";

    fn mark(line: usize, column: usize) -> Option<Mark> {
        Some(Mark { line, column })
    }

    #[test]
    fn a_key_is_found_where_its_value_stands() {
        assert_eq!(locate(TEXT, "spec.api.port"), mark(3, 11));
        assert_eq!(locate(TEXT, "spec.seeds[1]"), mark(6, 7));
    }

    #[test]
    fn a_key_that_is_not_there_is_looked_for_around_it() {
        assert_eq!(locate(TEXT, "spec.api.host"), mark(3, 5));
        assert_eq!(locate(TEXT, "spec.seeds[7]"), mark(5, 5));
        assert_eq!(locate("", "spec"), mark(1, 1));
    }

    #[test]
    fn what_is_written_as_nothing_is_left_out() {
        let spec =
            part("spec:\n  seeds:\n  api: {host: ~, port: 1}\n", "spec").expect("it is YAML");
        assert_eq!(spec.keys().collect::<Vec<_>>(), ["api"]);
        let api = spec["api"].as_dict().expect("a map");
        assert_eq!(api.keys().collect::<Vec<_>>(), ["port"]);
    }
}
