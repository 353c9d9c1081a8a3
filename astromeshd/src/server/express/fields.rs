//! Fields of a head, as they are written.

use super::LONGEST_BYTES;

/// Writes one.
pub(super) fn push(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// The length that a field says, where it is one that is waited for.
pub(super) fn bytes_said(value: &[u8]) -> Option<usize> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    text.parse().ok().filter(|bytes| *bytes <= LONGEST_BYTES)
}

/// Whether a value is visible ASCII, with blanks in between at most.
pub(super) fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// A list that fields of one name make up, each with some of its items.
#[derive(Debug, Default)]
pub(super) struct List(Vec<u8>);

impl List {
    /// One more such field. What is not visible ASCII is no part of any list.
    pub(super) fn add(&mut self, value: &[u8]) {
        if !is_text(value) {
            return;
        }
        if !self.0.is_empty() {
            self.0.extend_from_slice(b", ");
        }
        self.0.extend_from_slice(value);
    }

    /// Writes all of it and one more item as one field.
    pub(super) fn push_with(&self, head: &mut Vec<u8>, name: &str, item: &[u8]) {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        if !self.0.is_empty() {
            head.extend_from_slice(&self.0);
            head.extend_from_slice(b", ");
        }
        head.extend_from_slice(item);
        head.extend_from_slice(b"\r\n");
    }
}
