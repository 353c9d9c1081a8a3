//! What is wrong with a configuration: where it stands, which key, what was found, and the way out.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// Something in a configuration file, a variable or a flag that cannot be used. Nothing was started or changed.
///
/// Prints as one line that begins with the place (`runtime.yaml:14:11`, `ASTROMESH_PORT`, `--port`), in some cases followed
/// by one line that says what to do. Where a file could not be read, the cause is in [`source`](Error::source).
#[derive(Debug)]
pub struct ConfigError {
    place: Option<String>,
    message: String,
    hint: Option<String>,
    cause: Option<io::Error>,
}

impl ConfigError {
    pub(crate) fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: Some(place.into()),
            ..Self::plain(message)
        }
    }

    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
            hint: None,
            cause: None,
        }
    }

    pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Self {
        Self {
            cause: Some(cause),
            ..Self::plain(format!("cannot read {}", path.display()))
        }
    }

    /// The file that `variable` names, where a secret is to be read.
    pub(crate) fn unreadable_secret(variable: &str, path: &Path, cause: io::Error) -> Self {
        Self {
            place: Some(variable.to_owned()),
            ..Self::unreadable(path, cause)
        }
    }

    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{hint}"),
            None => Ok(()),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
