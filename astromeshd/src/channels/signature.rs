//! Who sent a message: whoever knows the channel's secret.
//!
//! A signature is the HMAC-SHA256 of the message, in hexadecimal after `sha256=`. What is signed begins with the time of
//! sending, so that a message that somebody overheard is of no use to them for long; channels for senders that sign the
//! body alone say so.

use astromesh_core::settings::{Channel, Signed};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

const SIGNATURE: HeaderName = HeaderName::from_static("x-astromesh-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-astromesh-timestamp");

/// Where others have the signature of a body alone.
const SIGNATURE_OF_BODY: HeaderName = HeaderName::from_static("x-hub-signature-256");

const SCHEME: &str = "sha256=";

/// Sees whether `body` is signed with the channel's secret, and lately. An error says what is wrong, and nothing of what
/// would be right.
pub(crate) fn check(
    channel: &Channel,
    headers: &HeaderMap,
    body: &[u8],
    now: Duration,
) -> Result<(), String> {
    let key = key(&channel.secret);
    match channel.signed {
        Signed::Body => {
            let given = headers
                .get(&SIGNATURE)
                .or_else(|| headers.get(&SIGNATURE_OF_BODY));
            verify(&key, body, given)
        }
        Signed::Timestamp => {
            let timestamp = headers
                .get(&TIMESTAMP)
                .and_then(|given| given.to_str().ok());
            let timestamp = timestamp
                .ok_or_else(|| format!("{TIMESTAMP}: expected unix seconds, found nothing"))?;
            let sent: u64 = timestamp
                .parse()
                .map_err(|_| format!("{TIMESTAMP}: expected unix seconds, found something else"))?;
            // First the signature, so that nobody else learns what this node takes for now.
            verify(&key, &stamped(timestamp, body), headers.get(&SIGNATURE))?;
            let off = Duration::from_secs(sent.abs_diff(now.as_secs()));
            if off > channel.tolerance {
                return Err(format!(
                    "{TIMESTAMP}: {off:?} from this node's time of day; at most {:?} are allowed",
                    channel.tolerance
                ));
            }
            Ok(())
        }
    }
}

/// Signs what this node sends, as it wants to be sent things.
pub(crate) fn sign(secret: &SecretString, headers: &mut HeaderMap, body: &[u8], now: Duration) {
    let timestamp = now.as_secs().to_string();
    let tag = hmac::sign(&key(secret), &stamped(&timestamp, body));
    let digits: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (name, text) in [
        (TIMESTAMP, timestamp),
        (SIGNATURE, format!("{SCHEME}{digits}")),
    ] {
        let value = HeaderValue::from_str(&text).expect("digits are visible ASCII");
        headers.insert(name, value);
    }
}

/// Takes away what only the channel needed.
pub(crate) fn forget(headers: &mut HeaderMap) {
    for name in [SIGNATURE, TIMESTAMP, SIGNATURE_OF_BODY] {
        headers.remove(name);
    }
}

fn key(secret: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes())
}

fn stamped(timestamp: &str, body: &[u8]) -> Vec<u8> {
    [timestamp.as_bytes(), b".", body].concat()
}

fn verify(key: &hmac::Key, message: &[u8], given: Option<&HeaderValue>) -> Result<(), String> {
    let given = given.ok_or_else(|| format!("{SIGNATURE}: expected {SCHEME}…, found nothing"))?;
    let tag = given
        .to_str()
        .ok()
        .and_then(|text| bytes(text.strip_prefix(SCHEME)?));
    let tag =
        tag.ok_or_else(|| format!("{SIGNATURE}: expected {SCHEME} and 64 hexadecimal digits"))?;
    // In a time that does not depend on how much of it is right.
    hmac::verify(key, message, &tag).map_err(|_| format!("{SIGNATURE}: not that of this message"))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}
