//! JSON objects that are read in part: what is not asked about stays exactly as it was written.

use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::fmt;

/// An object whose values stand as they were written, until somebody takes one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Object(BTreeMap<String, Box<RawValue>>);

/// What is wrong with somebody's JSON: which field, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// `messages[2].content`; empty for the whole.
    pub(crate) field: String,
    reason: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same, as seen from what this is a part of.
    #[must_use]
    pub(crate) fn within(self, outer: &str) -> Self {
        let field = match self.field.as_str() {
            "" => outer.to_owned(),
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        Self { field, ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl Object {
    /// Reads one.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Wrong> {
        serde_json::from_slice(bytes)
            .map_err(|error| Wrong::new("", format!("expected a JSON object: {error}")))
    }

    /// Takes the value of `name` out; `None` where there is none, or `null`.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Wrong> {
        match self.0.remove(name) {
            Some(raw) => read_as(name, &raw),
            None => Ok(None),
        }
    }

    /// Takes the value of `name` out, which must be there.
    pub(crate) fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Wrong> {
        self.take(name)?
            .ok_or_else(|| Wrong::new(name, "expected a value, found nothing"))
    }

    /// Reads the value of `name` and leaves it where it is.
    pub(crate) fn look_at<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Wrong> {
        match self.0.get(name) {
            Some(raw) => read_as(name, raw),
            None => Ok(None),
        }
    }

    /// Takes the value of `name` out as it was written; `None` where there is none, or `null`.
    pub(crate) fn take_raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name).filter(|raw| raw.get() != "null")
    }

    /// Sets `name`.
    pub(crate) fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.set_raw(name, raw(value));
    }

    /// Sets `name` to what stands somewhere else.
    pub(crate) fn set_raw(&mut self, name: &str, value: Box<RawValue>) {
        self.0.insert(name.to_owned(), value);
    }

    /// Sets `name`, if there is something to set it to.
    pub(crate) fn set_some(&mut self, name: &str, value: Option<&(impl Serialize + ?Sized)>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// The same with `name` set.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.set(name, value);
        self
    }

    /// Adds what the other has and this has not.
    pub(crate) fn fill(&mut self, other: Self) {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
    }

    /// Takes these out.
    pub(crate) fn drop_all(&mut self, names: &[&str]) {
        for name in names {
            self.0.remove(*name);
        }
    }

    /// As it goes out.
    pub(crate) fn to_bytes(&self) -> Bytes {
        raw(self).get().to_owned().into()
    }
}

/// `value` as JSON that stands by itself.
pub(crate) fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("text keys and finite numbers always make JSON")
}

/// What `raw` says, as the value of `name`; `None` where it says `null`.
pub(crate) fn read_as<T: DeserializeOwned>(name: &str, raw: &RawValue) -> Result<Option<T>, Wrong> {
    serde_json::from_str(raw.get()).map_err(|error| Wrong::new(name, plainly(&error)))
}

/// What serde says, without the place: that is counted from the field's beginning and misleads.
fn plainly(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_about_stays_as_it_was_written() {
        let mut object =
            Object::read(br#"{"b": 1.50e1,"a":{"z" :1, "y":2},"c":null}"#).expect("it");
        assert_eq!(object.take::<String>("c"), Ok(None));
        object.set("d", "x");
        assert_eq!(
            object.to_bytes(),
            r#"{"a":{"z" :1, "y":2},"b":1.50e1,"d":"x"}"#
        );
    }

    #[test]
    fn what_is_wrong_is_named_from_outside() {
        let mut object = Object::read(br#"{"a":7}"#).expect("it");
        let wrong = object.take::<String>("a").expect_err("no text");
        assert_eq!(
            wrong.within("messages[1]").to_string(),
            "messages[1].a: invalid type: integer `7`, expected a string"
        );
        assert!(Object::read(b"[]").is_err());
        assert!(Object::read(b"{} {}").is_err());
    }
}
