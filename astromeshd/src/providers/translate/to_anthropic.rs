//! A request of OpenAI's shape, in Anthropic's.

use crate::providers::json::{Object, Wrong, raw};
use crate::providers::shapes::{Content, Part, data_url, text_of};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Anthropic wants to be told how long an answer may be; OpenAI does not ask for that.
const MAX_TOKENS: u64 = 4_096;

/// Fields that only steer, or speak of OpenAI's own house: there is nothing to say instead.
const HINTS: [&str; 20] = [
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "n",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "stream_options",
    "top_logprobs",
    "verbosity",
    "web_search_options",
];

/// The same request, in Anthropic's words.
pub(crate) fn request(mut asked: Object) -> Result<Object, Wrong> {
    refuse(&asked)?;
    let mut turns = Turns::default();
    let messages: Vec<Object> = asked.need("messages")?;
    for (place, message) in messages.into_iter().enumerate() {
        turns
            .add(message)
            .map_err(|wrong| wrong.within(&format!("messages[{place}]")))?;
    }
    let mut out = Object::default();
    out.set("messages", &turns.messages());
    if !turns.system.is_empty() {
        out.set("system", &turns.system.join("\n\n"));
    }
    out.set("model", &asked.need::<String>("model")?);
    let (newer, older) = (
        asked.take::<u64>("max_completion_tokens")?,
        asked.take::<u64>("max_tokens")?,
    );
    out.set("max_tokens", &newer.or(older).unwrap_or(MAX_TOKENS));
    for name in ["stream", "temperature", "top_p"] {
        if let Some(value) = asked.take_raw(name) {
            out.set_raw(name, value);
        }
    }
    if let Some(stop) = asked.take_raw("stop") {
        out.set("stop_sequences", &one_or_more(stop));
    }
    if let Some(user) = asked.take::<String>("user")? {
        out.set("metadata", &json!({ "user_id": user }));
    }
    tools(&mut asked, &mut out)?;
    asked.drop_all(&HINTS);
    out.fill(asked);
    Ok(out)
}

/// What cannot be had there, and would be missed.
fn refuse(asked: &Object) -> Result<(), Wrong> {
    let cannot = |field: &str, what: &str| {
        let reason = format!("{what} cannot be had of a model that Anthropic's API serves");
        Err(Wrong::new(field, reason))
    };
    if asked.look_at::<u64>("n")?.is_some_and(|n| n > 1) {
        return cannot("n", "more than one choice");
    }
    if asked.look_at::<bool>("logprobs")?.unwrap_or(false) {
        return cannot("logprobs", "probabilities of tokens");
    }
    let modalities: Option<Vec<String>> = asked.look_at("modalities")?;
    if modalities.is_some_and(|all| all.iter().any(|one| one != "text")) {
        return cannot("modalities", "anything but text");
    }
    let format: Option<Object> = asked.look_at("response_format")?;
    let format = format.map(|format| format.look_at::<String>("type"));
    if format
        .transpose()?
        .flatten()
        .is_some_and(|kind| kind != "text")
    {
        return cannot("response_format", "an answer in a given format");
    }
    for field in ["functions", "function_call"] {
        if asked.look_at::<Value>(field)?.is_some() {
            return Err(Wrong::new(field, "is long out of use; give tools instead"));
        }
    }
    Ok(())
}

fn one_or_more(stop: Box<RawValue>) -> Box<RawValue> {
    if stop.get().starts_with('[') {
        stop
    } else {
        raw(&[stop])
    }
}

/// The turns of a conversation, of which no two in a row are of one side.
#[derive(Default)]
struct Turns {
    system: Vec<String>,
    turns: Vec<(&'static str, Vec<Box<RawValue>>)>,
}

impl Turns {
    fn add(&mut self, mut message: Object) -> Result<(), Wrong> {
        let role: String = message.need("role")?;
        let content = message.take_raw("content");
        match role.as_str() {
            "system" | "developer" => {
                let text = content.map(|content| text_of(&content)).transpose()?;
                self.system.extend(text);
            }
            "user" => {
                let parts = content.map(|content| blocks(&content)).transpose()?;
                self.push("user", parts.unwrap_or_default());
            }
            "assistant" => {
                let mut said = content
                    .map(|content| blocks(&content))
                    .transpose()?
                    .unwrap_or_default();
                if let Some(refusal) = message.take::<String>("refusal")? {
                    said.push(Part::text(&refusal).written);
                }
                said.extend(calls(&mut message)?);
                self.push("assistant", said);
            }
            "tool" => {
                let mut result = Object::default().with("type", "tool_result");
                result.set("tool_use_id", &message.need::<String>("tool_call_id")?);
                if let Some(content) = content {
                    result.set_raw("content", content);
                }
                self.push("user", vec![raw(&result)]);
            }
            other => {
                let reason =
                    format!("there is no role {other:?} among those that can be translated");
                return Err(Wrong::new("role", reason));
            }
        }
        Ok(())
    }

    fn push(&mut self, side: &'static str, said: Vec<Box<RawValue>>) {
        if said.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some((last, turn)) if *last == side => turn.extend(said),
            _ => self.turns.push((side, said)),
        }
    }

    fn messages(&self) -> Vec<Object> {
        let messages = self.turns.iter();
        let written = messages.map(|(role, content)| {
            Object::default()
                .with("role", role)
                .with("content", content)
        });
        written.collect()
    }
}

/// What a message says, as blocks. An empty text says nothing, and is no block.
fn blocks(content: &RawValue) -> Result<Vec<Box<RawValue>>, Wrong> {
    let parts = Content::read(content)?.into_parts();
    let mut blocks = Vec::with_capacity(parts.len());
    for (place, part) in parts.into_iter().enumerate() {
        let block = block(part).map_err(|wrong| wrong.within(&format!("content[{place}]")))?;
        blocks.extend(block);
    }
    Ok(blocks)
}

fn block(mut part: Part) -> Result<Option<Box<RawValue>>, Wrong> {
    let block = match part.kind.as_str() {
        "text" => {
            let text: String = part.fields.need("text")?;
            return Ok((!text.is_empty()).then_some(part.written));
        }
        "refusal" => Part::text(&part.fields.need::<String>("refusal")?).written,
        "image_url" => {
            let mut image: Object = part.fields.need("image_url")?;
            let url: String = image.need("url")?;
            raw(&json!({"type": "image", "source": source(&url)}))
        }
        "file" => {
            let mut file: Object = part.fields.need("file")?;
            let data: String = file.need("file_data").map_err(|_| {
                Wrong::new(
                    "file",
                    "expected file_data: files elsewhere are not fetched",
                )
            })?;
            raw(&json!({"type": "document", "source": source(&data)}))
        }
        "input_audio" => {
            let reason = "audio cannot be sent to a model that Anthropic's API serves";
            return Err(Wrong::new("type", reason));
        }
        _ => part.written,
    };
    Ok(Some(block))
}

/// Where the bytes of a block are: in the URL itself, or at it.
fn source(url: &str) -> Value {
    match data_url(url) {
        Some((media_type, data)) => {
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
        None => json!({"type": "url", "url": url}),
    }
}

/// The tools that a message of the model's called.
fn calls(message: &mut Object) -> Result<Vec<Box<RawValue>>, Wrong> {
    let calls: Vec<Object> = message.take("tool_calls")?.unwrap_or_default();
    let read = calls.into_iter().enumerate().map(|(place, mut call)| {
        let within = |wrong: Wrong| wrong.within(&format!("tool_calls[{place}]"));
        let mut function: Object = call.need("function").map_err(within)?;
        let mut block = Object::default().with("type", "tool_use");
        block.set("id", &call.need::<String>("id").map_err(within)?);
        block.set("name", &function.need::<String>("name").map_err(within)?);
        let arguments: Option<String> = function.take("arguments").map_err(within)?;
        let input = input(&arguments.unwrap_or_default());
        block.set_raw(
            "input",
            input.map_err(|wrong| within(wrong.within("function")))?,
        );
        Ok(raw(&block))
    });
    read.collect()
}

/// The arguments of a call, which OpenAI writes as text, as they were written.
pub(super) fn input(arguments: &str) -> Result<Box<RawValue>, Wrong> {
    if arguments.trim().is_empty() {
        return Ok(raw(&json!({})));
    }
    let is_object = Object::read(arguments.as_bytes()).is_ok();
    let input = RawValue::from_string(arguments.trim().to_owned());
    input
        .ok()
        .filter(|_| is_object)
        .ok_or_else(|| Wrong::new("arguments", "expected a JSON object, written as text"))
}

fn tools(asked: &mut Object, out: &mut Object) -> Result<(), Wrong> {
    let tools: Option<Vec<Object>> = asked.take("tools")?;
    let choice = asked.take_raw("tool_choice");
    let parallel: Option<bool> = asked.take("parallel_tool_calls")?;
    let Some(tools) = tools.filter(|tools| !tools.is_empty()) else {
        return Ok(());
    };
    let offered = tools.into_iter().enumerate().map(|(place, tool)| {
        tool_offered(tool).map_err(|wrong| wrong.within(&format!("tools[{place}]")))
    });
    out.set("tools", &offered.collect::<Result<Vec<_>, _>>()?);
    let mut choice = match choice {
        Some(choice) => tool_choice(&choice)?,
        None if parallel == Some(false) => json!({"type": "auto"}),
        None => return Ok(()),
    };
    if parallel == Some(false) && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    out.set("tool_choice", &choice);
    Ok(())
}

fn tool_offered(mut tool: Object) -> Result<Object, Wrong> {
    // What is no function of the client's is a tool of the provider's own, and known to it.
    if tool.look_at::<String>("type")?.as_deref() != Some("function") {
        return Ok(tool);
    }
    let mut function: Object = tool.need("function")?;
    let mut out = Object::default();
    out.set(
        "name",
        &function
            .need::<String>("name")
            .map_err(|wrong| wrong.within("function"))?,
    );
    if let Some(description) = function.take_raw("description") {
        out.set_raw("description", description);
    }
    match function.take_raw("parameters") {
        Some(schema) => out.set_raw("input_schema", schema),
        None => out.set("input_schema", &json!({"type": "object", "properties": {}})),
    }
    Ok(out)
}

fn tool_choice(choice: &RawValue) -> Result<Value, Wrong> {
    const FIELD: &str = "tool_choice";
    let choice: Value =
        serde_json::from_str(choice.get()).map_err(|error| Wrong::new(FIELD, error.to_string()))?;
    match (choice.as_str(), choice["function"]["name"].as_str()) {
        (Some("auto"), _) => Ok(json!({"type": "auto"})),
        (Some("none"), _) => Ok(json!({"type": "none"})),
        (Some("required"), _) => Ok(json!({"type": "any"})),
        (None, Some(name)) => Ok(json!({"type": "tool", "name": name})),
        _ => Err(Wrong::new(
            FIELD,
            "expected auto, none, required, or a function by name",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(asked: &str) -> Value {
        let out = request(Object::read(asked.as_bytes()).expect("JSON")).expect(asked);
        serde_json::from_slice(&out.to_bytes()).expect("JSON")
    }

    fn refused(asked: &str) -> String {
        let asked = Object::read(asked.as_bytes()).expect("JSON");
        request(asked).expect_err("refused").to_string()
    }

    #[test]
    fn a_conversation_with_tools_is_the_same_conversation() {
        let out = translated(
            r#"{"model":"claude","max_completion_tokens":9,"temperature":0.50,"stop":"x","user":"u","seed":1,"thinking":{"type":"enabled"},
            "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}},{"type":"web_search_20250305","name":"web"}],
            "tool_choice":"required","parallel_tool_calls":false,
            "messages":[{"role":"system","content":"be brief"},{"role":"developer","content":[{"type":"text","text":"and kind"}]},
            {"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":""}}]},
            {"role":"tool","tool_call_id":"c1","content":"one"},{"role":"tool","tool_call_id":"c2","content":"two"},
            {"role":"user","content":"go on"}]}"#,
        );
        let expected = json!({
            "model": "claude", "max_tokens": 9, "temperature": 0.5, "stop_sequences": ["x"],
            "metadata": {"user_id": "u"}, "thinking": {"type": "enabled"},
            "system": "be brief\n\nand kind",
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "name": "web"}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 1, "a": 2}},
                    {"type": "tool_use", "id": "c2", "name": "f", "input": {}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                    {"type": "text", "text": "go on"}]},
            ],
        });
        assert_eq!(out, expected);
    }

    #[test]
    fn arguments_keep_their_order() {
        assert_eq!(
            input(r#" {"b": 1,"a":2}"#).expect("an object").get(),
            r#"{"b": 1,"a":2}"#
        );
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let asked = |rest: &str| {
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],{rest}}}"#)
        };
        for (rest, named) in [
            (r#""n":2"#, "n: "),
            (r#""logprobs":true"#, "logprobs: "),
            (r#""modalities":["text","audio"]"#, "modalities: "),
            (
                r#""response_format":{"type":"json_object"}"#,
                "response_format: ",
            ),
            (r#""functions":[]"#, "functions: "),
            (r#""tools":[{"type":"function"}]"#, "tools[0].function: "),
            (
                r#""tools":[{"type":"x"}],"tool_choice":"maybe""#,
                "tool_choice: ",
            ),
            (r#""max_tokens":"many""#, "max_tokens: "),
        ] {
            let reason = refused(&asked(rest));
            assert!(reason.starts_with(named), "{rest}: {reason}");
        }
        for (messages, named) in [
            (r#"[{"role":"judge"}]"#, "messages[0].role: "),
            (r#"[{"content":"a"}]"#, "messages[0].role: "),
            (
                r#"[{"role":"user","content":[{"type":"input_audio"}]}]"#,
                "messages[0].content[0].type: ",
            ),
            (
                r#"[{"role":"user","content":[{"text":"a"}]}]"#,
                "messages[0].content[0].type: ",
            ),
            (
                r#"[{"role":"tool","content":"a"}]"#,
                "messages[0].tool_call_id: ",
            ),
            (
                r#"[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}]"#,
                "messages[0].tool_calls[0].function.arguments: ",
            ),
            (r#"7"#, "messages: "),
        ] {
            let reason = refused(&format!(r#"{{"model":"m","messages":{messages}}}"#));
            assert!(reason.starts_with(named), "{messages}: {reason}");
        }
    }

    #[test]
    fn what_asks_for_nothing_special_is_not_refused() {
        let out = translated(
            r#"{"model":"m","n":1,"logprobs":false,"response_format":{"type":"text"},"tools":[],"tool_choice":"auto","messages":[{"role":"user","content":"a"},{"role":"user","content":""}]}"#,
        );
        assert_eq!(
            out,
            json!({"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]})
        );
    }
}
