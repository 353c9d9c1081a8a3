//! Server-sent events, read as they come: bytes in, whole messages out. (WHATWG, “HTML”, section 9.2.)

/// The longest message that is read: the state of the largest mesh fits many times over.
const MOST_BYTES: usize = 32 * 1_024 * 1_024;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What to come back with, to go on after this one.
    pub id: Option<String>,
    /// What it says.
    pub data: String,
}

/// A message went on for too long, or is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event that has no end or is no text")]
pub struct Unreadable;

/// What has come of the message that is on its way.
#[derive(Debug)]
pub struct Parser {
    most_bytes: usize,
    line: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::up_to(MOST_BYTES)
    }
}

impl Parser {
    /// One that reads no message of more than `most_bytes`. The default is 32 MiB.
    pub fn up_to(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            line: Vec::new(),
            id: None,
            data: None,
        }
    }

    /// Takes what came, and returns the messages that are whole with it.
    ///
    /// # Errors
    /// Where what comes is not such messages.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Message>, Unreadable> {
        let mut whole = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part);
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if held > self.most_bytes {
                return Err(Unreadable);
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = std::str::from_utf8(&line).map_err(|_| Unreadable)?;
                whole.extend(self.end_of_line(line.trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(whole)
    }

    fn end_of_line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let data = self.data.take()?;
            let id = self.id.clone();
            return Some(Message { id, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" => self.id = Some(value.to_owned()),
            // Comments have no name, and of the rest there is nothing to know.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let mut parser = Parser::default();
        let messages = parts
            .iter()
            .flat_map(|part| parser.take(part).expect("readable"));
        messages.map(|message| (message.id, message.data)).collect()
    }

    #[test]
    fn messages_are_whole_however_they_come() {
        let text = "retry: 1000\n\n: hello\n\nid: a-1\nevent: x\ndata: {\"ä\":1}\n\ndata:two\r\ndata: lines\r\n\r\nid\ndata\n\n";
        let expected = vec![
            (Some("a-1".to_owned()), "{\"ä\":1}".to_owned()),
            (Some("a-1".to_owned()), "two\nlines".to_owned()),
            (Some(String::new()), String::new()),
        ];
        assert_eq!(read(&[text.as_bytes()]), expected);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), expected);
        assert_eq!(read(&[b"data: never ended\n"]), []);
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_refused() {
        assert_eq!(Parser::default().take(b"data: \xff\n"), Err(Unreadable));
        let mut parser = Parser::default();
        let part = vec![b'x'; 1_024 * 1_024];
        assert!((0..40).any(|_| parser.take(&part).is_err()));
    }
}
