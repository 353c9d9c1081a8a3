//! Chunks of a completion, as Anthropic's events.
//!
//! OpenAI says in each chunk what has grown, Anthropic says when a block begins and ends. What was used comes in a chunk
//! after the one that says why the model stopped, and Anthropic says both at once: so that event waits for the end.

use super::Translator;
use crate::providers::dialect::Dialect;
use crate::providers::events::named;
use crate::providers::json::{Object, Wrong};
use crate::providers::translate::answers::Used;
use crate::providers::translate::stop_reason;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The most calls of tools that are followed in one answer.
const MOST_CALLS: usize = 1_024;

/// What is known of the message so far.
#[derive(Debug, Default)]
pub(crate) struct ForAnthropic {
    began: bool,
    /// The block that is open.
    open: Option<Block>,
    /// How many there have been.
    blocks: usize,
    /// The block of each call, by OpenAI's place of it.
    calls: BTreeMap<u64, usize>,
    reason: Option<String>,
    used: Used,
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Call(u64),
}

impl ForAnthropic {
    fn begin(&mut self, chunk: &mut Object, out: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        if self.began {
            return Ok(());
        }
        self.began = true;
        let message = json!({
            "id": chunk.take::<String>("id")?,
            "type": "message",
            "role": "assistant",
            "model": chunk.take::<String>("model")?,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": self.used.for_anthropic(),
        });
        out.push_back(event("message_start", json!({ "message": message })));
        Ok(())
    }

    fn choice(&mut self, mut choice: Object, out: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        let mut delta: Object = choice.take("delta")?.unwrap_or_default();
        for name in ["content", "refusal"] {
            let text: Option<String> = delta.take(name)?;
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.enter(Block::Text, &json!({"type": "text", "text": ""}), out);
                let index = self.blocks - 1;
                let delta = json!({"type": "text_delta", "text": text});
                out.push_back(grown(index, &delta));
            }
        }
        let calls: Vec<Object> = delta.take("tool_calls")?.unwrap_or_default();
        for call in calls {
            self.call(call, out)
                .map_err(|wrong| wrong.within("tool_calls"))?;
        }
        if let Some(reason) = choice.take::<String>("finish_reason")? {
            self.reason = Some(reason);
        }
        Ok(())
    }

    fn call(&mut self, mut call: Object, out: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        let place: u64 = call.take("index")?.unwrap_or_default();
        let mut function: Object = call.take("function")?.unwrap_or_default();
        if !self.calls.contains_key(&place) {
            if self.calls.len() >= MOST_CALLS {
                return Err(Wrong::new("index", "more calls than anybody makes"));
            }
            let block = json!({
                "type": "tool_use",
                "id": call.need::<String>("id")?,
                "name": function.need::<String>("name")?,
                "input": {},
            });
            self.enter(Block::Call(place), &block, out);
            self.calls.insert(place, self.blocks - 1);
        }
        let index = self.calls[&place];
        let arguments: Option<String> = function.take("arguments")?;
        if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
            let delta = json!({"type": "input_json_delta", "partial_json": arguments});
            out.push_back(grown(index, &delta));
        }
        Ok(())
    }

    /// Makes `block` the open one, if it is not.
    fn enter(&mut self, block: Block, begins_as: &Value, out: &mut VecDeque<Bytes>) {
        if self.open == Some(block) {
            return;
        }
        self.leave(out);
        let index = self.blocks;
        self.blocks += 1;
        self.open = Some(block);
        let begun = json!({"index": index, "content_block": begins_as});
        out.push_back(event("content_block_start", begun));
    }

    fn leave(&mut self, out: &mut VecDeque<Bytes>) {
        if self.open.take().is_some() {
            let ended = json!({"index": self.blocks - 1});
            out.push_back(event("content_block_stop", ended));
        }
    }
}

/// An event with its name in it, as Anthropic writes them.
fn event(name: &str, mut fields: Value) -> Bytes {
    fields["type"] = name.into();
    named(name, &fields)
}

fn grown(index: usize, delta: &Value) -> Bytes {
    event(
        "content_block_delta",
        json!({"index": index, "delta": delta}),
    )
}

impl Translator for ForAnthropic {
    const DIALECT: Dialect = Dialect::Anthropic;

    fn take(&mut self, event: &str, out: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        if event == "[DONE]" {
            self.end(out)?;
            return Ok(());
        }
        let mut chunk = Object::read(event.as_bytes())?;
        if let Some(error) = chunk.take::<Value>("error")? {
            let message = error["message"].as_str().unwrap_or("the model failed");
            let error = json!({"type": "api_error", "message": message});
            out.push_back(named("error", &json!({"type": "error", "error": error})));
            self.over = true;
            return Ok(());
        }
        if let Some(usage) = chunk.take::<Object>("usage")? {
            self.used = Used::by_openai(usage)?;
        }
        self.begin(&mut chunk, out)?;
        let choices: Vec<Object> = chunk.take("choices")?.unwrap_or_default();
        if let Some(choice) = choices.into_iter().next() {
            self.choice(choice, out)
                .map_err(|wrong| wrong.within("choices[0]"))?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        let Some(reason) = self.reason.take() else {
            return Err(Wrong::new("", "ended its stream before the message did"));
        };
        self.leave(out);
        let delta = json!({"stop_reason": stop_reason(&reason, !self.calls.is_empty()), "stop_sequence": null});
        let usage = self.used.for_anthropic();
        out.push_back(event(
            "message_delta",
            json!({"delta": delta, "usage": usage}),
        ));
        out.push_back(event("message_stop", json!({})));
        self.over = true;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
