//! What both dialects write in more than one way, read into one.

use super::json::{Object, Wrong, read_as};
use jiff::Timestamp;
use serde_json::value::RawValue;

/// What a message says: text alone, or parts of which each has a type.
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// One part: its type, the rest of it, and all of it as it was written.
pub(super) struct Part {
    pub(super) kind: String,
    pub(super) fields: Object,
    pub(super) written: Box<RawValue>,
}

impl Content {
    /// Reads `content` as it stands in a message.
    pub(super) fn read(content: &RawValue) -> Result<Self, Wrong> {
        const FIELD: &str = "content";
        let is_text = content.get().starts_with('"');
        if is_text {
            let text: Option<String> = read_as(FIELD, content)?;
            return Ok(Self::Text(text.unwrap_or_default()));
        }
        let written: Option<Vec<Box<RawValue>>> = read_as(FIELD, content)?;
        let parts = written.unwrap_or_default().into_iter().enumerate();
        let read = parts.map(|(place, written)| {
            Part::read(written).map_err(|wrong| wrong.within(&format!("{FIELD}[{place}]")))
        });
        read.collect::<Result<_, _>>().map(Self::Parts)
    }

    /// The same as parts.
    pub(super) fn into_parts(self) -> Vec<Part> {
        match self {
            Self::Text(text) => vec![Part::text(&text)],
            Self::Parts(parts) => parts,
        }
    }
}

impl Part {
    /// A part of text.
    pub(super) fn text(text: &str) -> Self {
        let fields = Object::default().with("type", "text").with("text", text);
        Self {
            kind: "text".to_owned(),
            written: super::json::raw(&fields),
            fields,
        }
    }

    fn read(written: Box<RawValue>) -> Result<Self, Wrong> {
        let mut fields = Object::read(written.get().as_bytes())?;
        Ok(Self {
            kind: fields.need("type")?,
            fields,
            written,
        })
    }
}

/// The text in `content`; parts of other kinds have none.
pub(super) fn text_of(content: &RawValue) -> Result<String, Wrong> {
    let parts = match Content::read(content)? {
        Content::Text(text) => return Ok(text),
        Content::Parts(parts) => parts,
    };
    let texts = parts.into_iter().filter(|part| part.kind == "text");
    let texts = texts.map(|mut part| part.fields.need::<String>("text"));
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// The media type and the data of a URL that holds its data in base64.
pub(super) fn data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// The time of day in whole seconds since 1970, as OpenAI writes it.
pub(super) fn unix_now() -> i64 {
    Timestamp::now().as_second()
}
