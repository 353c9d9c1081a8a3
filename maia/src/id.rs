//! The names that nodes go by, checked once, where text becomes a value.

use crate::error::{Invalid, excerpt};
use std::fmt;
use std::sync::Arc;

/// Defines a cheap-to-clone text type whose content was checked by `$check`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// Says what is wrong with it; the field is named after this type.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(reason) => Err(Invalid::new($kind, reason)),
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }
    };
}

checked_text! {
    /// What makes a node itself for one run: 1 to 64 characters of `[A-Za-z0-9._:-]`. A fresh one at every start, unless
    /// the embedder has a reason to keep it. Elections go by it: the greatest wins.
    NodeId, check_label, "node_id"
}

checked_text! {
    /// The name of a service or an agent: 1 to 64 characters of `[A-Za-z0-9._:-]`.
    Label, check_label, "label"
}

checked_text! {
    /// What people call a node: 1 to 128 bytes without control characters. Not unique.
    Name, check_name, "name"
}

impl Label {
    /// The most characters, each of which is one byte.
    pub(crate) const LONGEST: usize = 64;
}

fn check_label(text: &str) -> Result<(), String> {
    const LONGEST: usize = Label::LONGEST;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if (1..=LONGEST).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "expected 1 to {LONGEST} characters of A-Z a-z 0-9 . _ : -, found {}",
        excerpt(text)
    ))
}

fn check_name(text: &str) -> Result<(), String> {
    const LONGEST: usize = 128;
    if (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!(
        "expected 1 to {LONGEST} bytes without control characters, found {}",
        excerpt(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        assert!(NodeId::new("e2240eb5-76ca-4cb3-a176-23748991934f").is_ok());
        for wrong in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            let error = NodeId::new(wrong).expect_err(wrong);
            assert_eq!(error.field(), "node_id");
        }
    }

    #[test]
    fn a_name_may_be_anything_that_prints() {
        assert!(Name::new("worker № 7").is_ok());
        assert!(Name::new("two\nlines").is_err());
        assert!(Name::new(&"x".repeat(129)).is_err());
    }
}
