//! The provider that answers with what it was asked last, so that the whole path runs on a bare machine.

use super::events::{data, done};
use super::json::{Object, Wrong};
use super::shapes::{text_of, unix_now};
use crate::answer::{self, Answer, json};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json as value};
use std::collections::VecDeque;
use uuid::Uuid;

/// The name of the provider, and of its one model.
pub(crate) const ECHO: &str = "echo";

/// What is to be said, and how.
struct Echo {
    id: String,
    created: i64,
    text: String,
    prompt_tokens: usize,
    streamed: bool,
    with_usage: bool,
}

/// Answers a request of OpenAI's shape.
pub(super) fn complete(body: &[u8]) -> Result<Answer, Wrong> {
    let echo = Echo::of(Object::read(body)?)?;
    Ok(if echo.streamed {
        answer::events(echo.chunks())
    } else {
        json(StatusCode::OK, &echo.whole())
    })
}

impl Echo {
    fn of(mut asked: Object) -> Result<Self, Wrong> {
        let messages: Vec<Object> = asked.need("messages")?;
        let mut texts = Vec::new();
        for (place, mut message) in messages.into_iter().enumerate() {
            let within = |wrong: Wrong| wrong.within(&format!("messages[{place}]"));
            let role: String = message.need("role").map_err(within)?;
            let content = message.take_raw("content");
            let text = content.map(|content| text_of(&content)).transpose();
            texts.push((role, text.map_err(within)?.unwrap_or_default()));
        }
        let asked_last = texts.iter().rfind(|(role, _)| role == "user");
        let options: Option<Object> = asked.take("stream_options")?;
        let with_usage = match options {
            Some(options) => options.look_at("include_usage")?.unwrap_or(false),
            None => false,
        };
        Ok(Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created: unix_now(),
            text: asked_last
                .map(|(_, text)| text.clone())
                .ok_or_else(|| Wrong::new("messages", "expected one of role user, found none"))?,
            prompt_tokens: texts.iter().map(|(_, text)| words(text)).sum(),
            streamed: asked.take("stream")?.unwrap_or(false),
            with_usage,
        })
    }

    fn whole(&self) -> Value {
        let mut whole = self.frame("chat.completion");
        whole["choices"] = value!([{
            "index": 0,
            "message": {"role": "assistant", "content": self.text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }]);
        whole["usage"] = self.usage();
        whole
    }

    fn chunks(&self) -> VecDeque<Bytes> {
        let delta = |delta: Value, finish: Option<&str>| {
            let mut chunk = self.frame("chat.completion.chunk");
            chunk["choices"] = value!([{"index": 0, "delta": delta, "finish_reason": finish}]);
            chunk
        };
        let mut chunks = vec![delta(value!({"role": "assistant", "content": ""}), None)];
        for word in self.text.split_inclusive(char::is_whitespace) {
            chunks.push(delta(value!({ "content": word }), None));
        }
        chunks.push(delta(value!({}), Some("stop")));
        if self.with_usage {
            let mut last = self.frame("chat.completion.chunk");
            last["choices"] = value!([]);
            last["usage"] = self.usage();
            chunks.push(last);
        }
        chunks.iter().map(data).chain([done()]).collect()
    }

    fn frame(&self, object: &str) -> Value {
        value!({"id": self.id, "object": object, "created": self.created, "model": ECHO})
    }

    /// A word is a token to it.
    fn usage(&self) -> Value {
        let answered = words(&self.text);
        value!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": answered,
            "total_tokens": self.prompt_tokens + answered,
        })
    }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
