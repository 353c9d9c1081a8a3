//! What can be wrong with what a caller or a peer gave us: always which field, and why.

use std::fmt;

/// A value that is not of the shape its field asks for. Nothing was stored or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    field: String,
    reason: String,
}

impl Invalid {
    /// Says that `field` is wrong, and why (`"expected …, found …"`).
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The field's name as it stands on the wire or in the configuration.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What was expected and what was found, without the field's name.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The same complaint, with the field named from further outside: `nodes[3]` before `url`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            reason: self.reason,
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {}

/// `text` as it can stand in a message: in quotes, and cut where it is long.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
