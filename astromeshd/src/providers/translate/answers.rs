//! A whole answer, from one dialect to the other.

use super::to_anthropic::input;
use super::{finish_reason, stop_reason};
use crate::providers::json::{Object, Wrong};
use crate::providers::shapes::{text_of, unix_now};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// An answer of Anthropic's shape, in OpenAI's.
pub(crate) fn to_openai(mut said: Object) -> Result<Object, Wrong> {
    let blocks: Vec<Object> = said.need("content")?;
    let (mut text, mut thought) = (None::<String>, None::<String>);
    let mut calls = Vec::new();
    for (place, mut block) in blocks.into_iter().enumerate() {
        let within = |wrong: Wrong| wrong.within(&format!("content[{place}]"));
        match block.need::<String>("type").map_err(within)?.as_str() {
            "text" => {
                let more: String = block.need("text").map_err(within)?;
                text.get_or_insert_default().push_str(&more);
            }
            "thinking" => {
                let more: String = block.need("thinking").map_err(within)?;
                thought.get_or_insert_default().push_str(&more);
            }
            "tool_use" => calls.push(call(block).map_err(within)?),
            // What the provider's own tools did is in the text that follows.
            _ => {}
        }
    }
    let mut message = Object::default()
        .with("role", "assistant")
        .with("content", &text)
        .with("refusal", &Value::Null);
    message.set_some("reasoning_content", thought.as_ref());
    if !calls.is_empty() {
        message.set("tool_calls", &calls);
    }
    let reason: Option<String> = said.take("stop_reason")?;
    let choice = Object::default()
        .with("index", &0)
        .with("message", &message)
        .with("logprobs", &Value::Null)
        .with("finish_reason", finish_reason(&reason.unwrap_or_default()));
    let usage: Object = said.take("usage")?.unwrap_or_default();
    Ok(Object::default()
        .with("id", &said.need::<String>("id")?)
        .with("object", "chat.completion")
        .with("created", &unix_now())
        .with("model", &said.need::<String>("model")?)
        .with("choices", &[choice])
        .with("usage", &Used::by_anthropic(usage)?.for_openai()))
}

fn call(mut block: Object) -> Result<Value, Wrong> {
    let input: Box<RawValue> = block.need("input")?;
    Ok(json!({
        "id": block.need::<String>("id")?,
        "type": "function",
        "function": {"name": block.need::<String>("name")?, "arguments": input.get()},
    }))
}

/// An answer of OpenAI's shape, in Anthropic's.
pub(crate) fn to_anthropic(mut said: Object) -> Result<Object, Wrong> {
    let choices: Vec<Object> = said.need("choices")?;
    let mut choice = choices
        .into_iter()
        .next()
        .ok_or_else(|| Wrong::new("choices", "expected one, found none"))?;
    let within = |wrong: Wrong| wrong.within("choices[0]");
    let mut message: Object = choice.need("message").map_err(within)?;
    let has_calls = message.look_at::<Vec<Object>>("tool_calls");
    let has_calls = has_calls.is_ok_and(|calls| calls.is_some_and(|calls| !calls.is_empty()));
    let content = content(&mut message).map_err(|wrong| within(wrong.within("message")))?;
    let reason: Option<String> = choice.take("finish_reason").map_err(within)?;
    let usage: Object = said.take("usage")?.unwrap_or_default();
    Ok(Object::default()
        .with("id", &said.need::<String>("id")?)
        .with("type", "message")
        .with("role", "assistant")
        .with("model", &said.need::<String>("model")?)
        .with("content", &content)
        .with(
            "stop_reason",
            stop_reason(&reason.unwrap_or_default(), has_calls),
        )
        .with("stop_sequence", &Value::Null)
        .with("usage", &Used::by_openai(usage)?.for_anthropic()))
}

fn content(message: &mut Object) -> Result<Vec<Object>, Wrong> {
    let mut blocks = Vec::new();
    let text = message.take_raw("content");
    let text = text.map(|content| text_of(&content)).transpose()?;
    let refusal: Option<String> = message.take("refusal")?;
    for text in text
        .into_iter()
        .chain(refusal)
        .filter(|text| !text.is_empty())
    {
        blocks.push(Object::default().with("type", "text").with("text", &text));
    }
    let calls: Vec<Object> = message.take("tool_calls")?.unwrap_or_default();
    for (place, mut call) in calls.into_iter().enumerate() {
        let within = |wrong: Wrong| wrong.within(&format!("tool_calls[{place}]"));
        let mut function: Object = call.need("function").map_err(within)?;
        let arguments: Option<String> = function.take("arguments").map_err(within)?;
        let input = input(&arguments.unwrap_or_default()).map_err(within)?;
        let mut block = Object::default().with("type", "tool_use");
        block.set("id", &call.need::<String>("id").map_err(within)?);
        block.set("name", &function.need::<String>("name").map_err(within)?);
        block.set_raw("input", input);
        blocks.push(block);
    }
    Ok(blocks)
}

/// Tokens, told apart by whether the provider had read them before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Read for the first time.
    fresh: u64,
    /// Read and kept for the next time.
    kept: u64,
    /// Read earlier.
    cached: u64,
    written: u64,
}

impl Used {
    pub(super) fn by_anthropic(mut usage: Object) -> Result<Self, Wrong> {
        let mut count = |name: &str| -> Result<u64, Wrong> {
            let count = usage.take(name).map_err(|wrong| wrong.within("usage"))?;
            Ok(count.unwrap_or_default())
        };
        Ok(Self {
            fresh: count("input_tokens")?,
            kept: count("cache_creation_input_tokens")?,
            cached: count("cache_read_input_tokens")?,
            written: count("output_tokens")?,
        })
    }

    pub(super) fn by_openai(mut usage: Object) -> Result<Self, Wrong> {
        let within = |wrong: Wrong| wrong.within("usage");
        let details: Option<Object> = usage.take("prompt_tokens_details").map_err(within)?;
        let cached = match details {
            Some(mut details) => details.take("cached_tokens").map_err(within)?,
            None => None,
        };
        let cached: u64 = cached.unwrap_or_default();
        let read: Option<u64> = usage.take("prompt_tokens").map_err(within)?;
        let written: Option<u64> = usage.take("completion_tokens").map_err(within)?;
        Ok(Self {
            fresh: read.unwrap_or_default().saturating_sub(cached),
            kept: 0,
            cached,
            written: written.unwrap_or_default(),
        })
    }

    /// What a stream of Anthropic's says at its end goes before what it said at its beginning.
    pub(super) fn or(self, earlier: Self) -> Self {
        let either = |later, earlier| if later == 0 { earlier } else { later };
        Self {
            fresh: either(self.fresh, earlier.fresh),
            kept: either(self.kept, earlier.kept),
            cached: either(self.cached, earlier.cached),
            written: either(self.written, earlier.written),
        }
    }

    pub(super) fn for_openai(self) -> Value {
        let read = self
            .fresh
            .saturating_add(self.kept)
            .saturating_add(self.cached);
        json!({
            "prompt_tokens": read,
            "completion_tokens": self.written,
            "total_tokens": read.saturating_add(self.written),
            "prompt_tokens_details": {"cached_tokens": self.cached},
        })
    }

    pub(super) fn for_anthropic(self) -> Value {
        json!({
            "input_tokens": self.fresh,
            "output_tokens": self.written,
            "cache_creation_input_tokens": self.kept,
            "cache_read_input_tokens": self.cached,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Object {
        Object::read(text.as_bytes()).expect(text)
    }

    fn value(object: &Object) -> Value {
        serde_json::from_slice(&object.to_bytes()).expect("JSON")
    }

    #[test]
    fn what_anthropic_answers_is_a_completion() {
        let out = to_openai(read(
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","stop_reason":"tool_use","stop_sequence":null,
            "content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I "},{"type":"text","text":"will"},{"type":"server_tool_use"},{"type":"tool_use","id":"c1","name":"f","input":{"b": 1,"a":2}}],
            "usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2,"output_tokens":7,"service_tier":"standard"}}"#,
        ))
        .expect("translated");
        let mut out = value(&out);
        assert!(out["created"].as_i64().is_some_and(|at| at > 1_700_000_000));
        out["created"] = 0.into();
        assert_eq!(
            out,
            json!({
                "id": "msg_1", "object": "chat.completion", "created": 0, "model": "claude",
                "choices": [{"index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
                    "role": "assistant", "content": "I will", "refusal": null, "reasoning_content": "hm",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1,\"a\":2}"}}],
                }}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17, "prompt_tokens_details": {"cached_tokens": 3}},
            })
        );
    }

    #[test]
    fn what_openai_answers_is_a_message() {
        let out = to_anthropic(read(
            r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"I will",
            "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"b\": 1}"}}]}}],
            "usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        ))
        .expect("translated");
        assert_eq!(
            value(&out),
            json!({
                "id": "c", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "text", "text": "I will"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 1}}],
                "stop_reason": "tool_use", "stop_sequence": null,
                "usage": {"input_tokens": 6, "output_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4},
            })
        );
    }

    #[test]
    fn whoever_called_a_tool_waits_for_it_whatever_the_server_says() {
        let answered = |calls: &str| {
            let text = format!(
                r#"{{"id":"c","model":"m","choices":[{{"finish_reason":"stop","message":{{"content":"a","tool_calls":{calls}}}}}]}}"#
            );
            value(&to_anthropic(read(&text)).expect("translated"))["stop_reason"].clone()
        };
        let call = r#"[{"id":"c1","function":{"name":"f","arguments":"{}"}}]"#;
        assert_eq!(
            (answered(call), answered("[]")),
            ("tool_use".into(), "end_turn".into())
        );
    }

    #[test]
    fn an_answer_that_is_none_is_named() {
        for text in [
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{}]}"#,
            r#"{"choices":[{"message":{"content":7}}],"id":"a","model":"m"}"#,
            r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"["}}]}}],"id":"a","model":"m"}"#,
            r#"{"choices":[{"message":{}}],"id":"a","model":"m","usage":{"prompt_tokens":-1}}"#,
            r#"{"choices":[{"message":{}}]}"#,
        ] {
            to_anthropic(read(text)).expect_err(text);
        }
        for text in [
            "{}",
            r#"{"content":"a"}"#,
            r#"{"content":[{"type":"text"}],"id":"a","model":"m"}"#,
            r#"{"content":[{"type":"tool_use","id":"a","name":"f"}],"id":"a","model":"m"}"#,
            r#"{"content":[]}"#,
        ] {
            to_openai(read(text)).expect_err(text);
        }
    }
}
