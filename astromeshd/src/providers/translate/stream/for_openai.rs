//! Anthropic's events, as chunks of a completion.

use super::Translator;
use crate::providers::dialect::Dialect;
use crate::providers::events::{data, done};
use crate::providers::json::{Object, Wrong};
use crate::providers::shapes::unix_now;
use crate::providers::translate::answers::Used;
use crate::providers::translate::finish_reason;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// What is known of the completion so far.
#[derive(Debug)]
pub(crate) struct ForOpenAi {
    id: String,
    model: String,
    created: i64,
    /// The place of each call among the calls, by its place among the blocks.
    calls: BTreeMap<u64, usize>,
    used: Used,
    with_usage: bool,
    over: bool,
}

impl ForOpenAi {
    /// One that ends with what was used, if the client wants that.
    pub(crate) fn new(with_usage: bool) -> Self {
        Self {
            id: String::new(),
            model: String::new(),
            created: unix_now(),
            calls: BTreeMap::new(),
            used: Used::default(),
            with_usage,
            over: false,
        }
    }

    fn begin(&mut self, mut event: Object) -> Result<Value, Wrong> {
        let mut message: Object = event.need("message")?;
        let within = |wrong: Wrong| wrong.within("message");
        self.id = message.need("id").map_err(within)?;
        self.model = message.need("model").map_err(within)?;
        let usage: Option<Object> = message.take("usage").map_err(within)?;
        self.used = Used::by_anthropic(usage.unwrap_or_default())?;
        Ok(self.delta(&json!({"role": "assistant", "content": ""})))
    }

    fn block_begins(&mut self, mut event: Object) -> Result<Option<Value>, Wrong> {
        let index: u64 = event.need("index")?;
        let mut block: Object = event.need("content_block")?;
        let within = |wrong: Wrong| wrong.within("content_block");
        match block.need::<String>("type").map_err(within)?.as_str() {
            "tool_use" => {
                let place = self.calls.len();
                self.calls.insert(index, place);
                let call = json!({
                    "index": place,
                    "id": block.need::<String>("id").map_err(within)?,
                    "type": "function",
                    "function": {"name": block.need::<String>("name").map_err(within)?, "arguments": ""},
                });
                Ok(Some(self.delta(&json!({ "tool_calls": [call] }))))
            }
            "text" => {
                let text: Option<String> = block.take("text").map_err(within)?;
                let text = text.filter(|text| !text.is_empty());
                Ok(text.map(|text| self.delta(&json!({ "content": text }))))
            }
            _ => Ok(None),
        }
    }

    fn block_grows(&self, mut event: Object) -> Result<Option<Value>, Wrong> {
        let index: u64 = event.need("index")?;
        let mut delta: Object = event.need("delta")?;
        let within = |wrong: Wrong| wrong.within("delta");
        let kind: String = delta.need("type").map_err(within)?;
        let mut text = |name: &str| delta.need::<String>(name).map_err(within);
        Ok(match (kind.as_str(), self.calls.get(&index)) {
            ("text_delta", _) => Some(self.delta(&json!({ "content": text("text")? }))),
            ("thinking_delta", _) => {
                Some(self.delta(&json!({ "reasoning_content": text("thinking")? })))
            }
            ("input_json_delta", Some(place)) => {
                let function = json!({ "arguments": text("partial_json")? });
                Some(self.delta(&json!({ "tool_calls": [{"index": place, "function": function}] })))
            }
            _ => None,
        })
    }

    fn message_grows(&mut self, mut event: Object) -> Result<Option<Value>, Wrong> {
        let usage: Option<Object> = event.take("usage")?;
        self.used = Used::by_anthropic(usage.unwrap_or_default())?.or(self.used);
        let mut delta: Object = event.take("delta")?.unwrap_or_default();
        let reason: Option<String> = delta.take("stop_reason")?;
        Ok(reason.map(|reason| {
            self.chunk(&json!([{
                "index": 0, "delta": {}, "finish_reason": finish_reason(&reason),
            }]))
        }))
    }

    fn delta(&self, delta: &Value) -> Value {
        self.chunk(&json!([{"index": 0, "delta": delta, "finish_reason": null}]))
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

impl Translator for ForOpenAi {
    const DIALECT: Dialect = Dialect::OpenAi;

    fn take(&mut self, event: &str, out: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        let mut event = Object::read(event.as_bytes())?;
        let chunk = match event.need::<String>("type")?.as_str() {
            "message_start" => Some(self.begin(event)?),
            "content_block_start" => self.block_begins(event)?,
            "content_block_delta" => self.block_grows(event)?,
            "message_delta" => self.message_grows(event)?,
            "message_stop" => {
                if self.with_usage {
                    let mut last = self.chunk(&json!([]));
                    last["usage"] = self.used.for_openai();
                    out.push_back(data(&last));
                }
                out.push_back(done());
                self.over = true;
                None
            }
            "error" => {
                out.push_back(data(&json!({ "error": event.need::<Value>("error")? })));
                self.over = true;
                None
            }
            // A sign of life, the end of a block, or what is newer than this.
            _ => None,
        };
        out.extend(chunk.as_ref().map(data));
        Ok(())
    }

    fn end(&mut self, _: &mut VecDeque<Bytes>) -> Result<(), Wrong> {
        Err(Wrong::new("", "ended its stream before the message did"))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
