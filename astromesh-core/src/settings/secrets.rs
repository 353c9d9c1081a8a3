//! Keys and secrets: never in a file of ours, but in a variable, or in a file of their own.
//!
//! They become [`SecretString`]s here, and no complaint shows what was found.

use super::source::Environment;
use crate::error::ConfigError;
use crate::leaf::{Leaf, Scalar, deserialize_checked};
use secrecy::SecretString;
use std::fs;
use std::path::Path;

/// The name of a variable that holds a key. What is none may be the key itself, so it is not shown.
#[derive(Debug)]
pub(super) struct Variable(pub(super) String);

impl Leaf for Variable {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let is_name = |text: &str| {
            let fits =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            text.bytes().all(fits) && text.starts_with(|first: char| !first.is_ascii_digit())
        };
        match scalar {
            Scalar::Text(text) if is_name(text) => Ok(Self(text.to_owned())),
            _ => Err("expected the name of a variable, such as OPENAI_API_KEY (capitals, digits and _); the key itself does not belong here".to_owned()),
        }
    }
}

deserialize_checked!(Variable);

/// The key in `variable`, or in the file that `{variable}_FILE` names.
pub(super) fn secret(
    environment: &Environment,
    variable: &str,
) -> Result<Option<SecretString>, ConfigError> {
    let in_file = format!("{variable}_FILE");
    match (environment.get(variable), environment.get(&in_file)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let reason = format!("is set, and so is {in_file}; unset one of them");
            Err(ConfigError::at(variable, reason))
        }
        (Some(value), None) => checked(variable, value).map(Some),
        (None, Some(path)) => secret_in(Path::new(path), &in_file).map(Some),
    }
}

/// The key in a file that `place` names.
pub(super) fn secret_in(path: &Path, place: &str) -> Result<SecretString, ConfigError> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|cause| ConfigError::unreadable_secret(place, path, cause))?;
    checked(place, &text)
}

fn checked(place: &str, text: &str) -> Result<SecretString, ConfigError> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "expected a key: one word of visible ASCII, which it is not";
        return Err(ConfigError::at(place, reason));
    }
    Ok(SecretString::from(text))
}
