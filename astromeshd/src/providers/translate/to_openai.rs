//! A request of Anthropic's shape, in OpenAI's.

use crate::providers::json::{Object, Wrong, raw};
use crate::providers::shapes::{Content, Part, text_of};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Fields that only steer, or speak of Anthropic's own house: there is nothing to say instead.
const HINTS: [&str; 5] = [
    "container",
    "context_management",
    "service_tier",
    "thinking",
    "top_k",
];

/// How a provider is told how long an answer may be: OpenAI itself wants the newer name, and many others know the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    MaxTokens,
    MaxCompletionTokens,
}

/// The same request, in OpenAI's words.
pub(crate) fn request(mut asked: Object, limit: Limit) -> Result<Object, Wrong> {
    let mut messages = Vec::new();
    if let Some(system) = asked.take_raw("system") {
        let text = text_of(&system).map_err(|wrong| wrong.within("system"))?;
        messages.push(message("system", &text));
    }
    let turns: Vec<Object> = asked.need("messages")?;
    for (place, turn) in turns.into_iter().enumerate() {
        let said = said(turn).map_err(|wrong| wrong.within(&format!("messages[{place}]")))?;
        messages.extend(said);
    }
    let mut out = Object::default();
    out.set("messages", &messages);
    out.set("model", &asked.need::<String>("model")?);
    if let Some(most) = asked.take_raw("max_tokens") {
        let name = match limit {
            Limit::MaxTokens => "max_tokens",
            Limit::MaxCompletionTokens => "max_completion_tokens",
        };
        out.set_raw(name, most);
    }
    if asked.take::<bool>("stream")?.unwrap_or(false) {
        out.set("stream", &true);
        // Anthropic's streams end with what was used; OpenAI's only on request.
        out.set("stream_options", &json!({"include_usage": true}));
    }
    for (theirs, ours) in [
        ("stop_sequences", "stop"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
    ] {
        if let Some(value) = asked.take_raw(theirs) {
            out.set_raw(ours, value);
        }
    }
    if let Some(mut metadata) = asked.take::<Object>("metadata")? {
        out.set_some("user", metadata.take::<String>("user_id")?.as_ref());
    }
    tools(&mut asked, &mut out)?;
    asked.drop_all(&HINTS);
    out.fill(asked);
    Ok(out)
}

fn message(role: &str, text: &str) -> Object {
    Object::default().with("role", role).with("content", text)
}

/// One turn, which may be several messages: each result of a tool is one of its own.
fn said(mut turn: Object) -> Result<Vec<Object>, Wrong> {
    let role: String = turn.need("role")?;
    let content: Box<RawValue> = turn.need("content")?;
    let parts = match (role.as_str(), Content::read(&content)?) {
        (_, Content::Text(text)) => return Ok(vec![message(&role, &text)]),
        (_, Content::Parts(parts)) => parts,
    };
    match role.as_str() {
        "user" => by_user(parts),
        "assistant" => by_assistant(parts),
        other => Err(Wrong::new(
            "role",
            format!("expected user or assistant, found {other:?}"),
        )),
    }
}

fn by_user(parts: Vec<Part>) -> Result<Vec<Object>, Wrong> {
    let (mut results, mut rest) = (Vec::new(), Vec::new());
    for (place, mut part) in parts.into_iter().enumerate() {
        let within = |wrong: Wrong| wrong.within(&format!("content[{place}]"));
        if part.kind == "tool_result" {
            results.push(result(part.fields).map_err(within)?);
            continue;
        }
        rest.push(match part.kind.as_str() {
            "text" => text_part(&part.fields.need::<String>("text").map_err(within)?),
            "image" => image(part.fields).map_err(within)?,
            "document" => document(part.fields).map_err(within)?,
            other => return Err(within(no_counterpart(other))),
        });
    }
    // Many servers take only text that stands by itself.
    let content = match rest.as_slice() {
        [] => return Ok(results),
        [only] if only["type"] == "text" => only["text"].clone(),
        _ => rest.into(),
    };
    results.push(
        Object::default()
            .with("role", "user")
            .with("content", &content),
    );
    Ok(results)
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn no_counterpart(kind: &str) -> Wrong {
    let reason =
        format!("a block of type {kind:?} cannot be sent to a model that OpenAI's API serves");
    Wrong::new("type", reason)
}

fn result(mut block: Object) -> Result<Object, Wrong> {
    let mut message = Object::default().with("role", "tool");
    message.set("tool_call_id", &block.need::<String>("tool_use_id")?);
    let text = match block.take_raw("content") {
        None => String::new(),
        Some(content) => only_text(&content)?,
    };
    message.set("content", &text);
    Ok(message)
}

/// The text of `content`, in which there must be nothing else.
fn only_text(content: &RawValue) -> Result<String, Wrong> {
    if let Content::Parts(parts) = Content::read(content)? {
        let other = parts.iter().position(|part| part.kind != "text");
        if let Some(place) = other {
            let wrong = no_counterpart(&parts[place].kind);
            return Err(wrong.within(&format!("content[{place}]")));
        }
    }
    text_of(content)
}

fn image(mut block: Object) -> Result<Value, Wrong> {
    let url = source(&mut block)?;
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(mut block: Object) -> Result<Value, Wrong> {
    let source_of: Object = block.look_at("source")?.unwrap_or_default();
    if source_of.look_at::<String>("type")?.as_deref() == Some("text") {
        let mut source_of = source_of;
        let text: String = source_of
            .need("data")
            .map_err(|wrong| wrong.within("source"))?;
        return Ok(text_part(&text));
    }
    let title: Option<String> = block.take("title")?;
    let name = title.unwrap_or_else(|| "document.pdf".to_owned());
    let data = source(&mut block)?;
    if !data.starts_with("data:") {
        let reason = "expected its data: documents elsewhere are not fetched";
        return Err(Wrong::new("source", reason));
    }
    Ok(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
}

/// Where the bytes of a block are, as a URL.
fn source(block: &mut Object) -> Result<String, Wrong> {
    let mut source: Object = block.need("source")?;
    let within = |wrong: Wrong| wrong.within("source");
    match source.need::<String>("type").map_err(within)?.as_str() {
        "base64" => {
            let media_type: String = source.need("media_type").map_err(within)?;
            let data: String = source.need("data").map_err(within)?;
            Ok(format!("data:{media_type};base64,{data}"))
        }
        "url" => source.need("url").map_err(within),
        other => Err(Wrong::new(
            "source.type",
            format!("expected base64 or url, found {other:?}"),
        )),
    }
}

fn by_assistant(parts: Vec<Part>) -> Result<Vec<Object>, Wrong> {
    let (mut text, mut calls) = (None::<String>, Vec::new());
    for (place, mut part) in parts.into_iter().enumerate() {
        let within = |wrong: Wrong| wrong.within(&format!("content[{place}]"));
        match part.kind.as_str() {
            "text" => {
                let said: String = part.fields.need("text").map_err(within)?;
                text.get_or_insert_default().push_str(&said);
            }
            "tool_use" => calls.push(call(part.fields).map_err(within)?),
            // What a model thought is its own; no other takes it back.
            "thinking" | "redacted_thinking" => {}
            other => return Err(within(no_counterpart(other))),
        }
    }
    let mut message = Object::default()
        .with("role", "assistant")
        .with("content", &text);
    if !calls.is_empty() {
        message.set("tool_calls", &calls);
    }
    Ok(vec![message])
}

fn call(mut block: Object) -> Result<Value, Wrong> {
    let input = block.take_raw("input").unwrap_or_else(|| raw(&json!({})));
    Ok(json!({
        "id": block.need::<String>("id")?,
        "type": "function",
        "function": {"name": block.need::<String>("name")?, "arguments": input.get()},
    }))
}

fn tools(asked: &mut Object, out: &mut Object) -> Result<(), Wrong> {
    let tools: Vec<Object> = asked.take("tools")?.unwrap_or_default();
    let choice: Option<Value> = asked.take("tool_choice")?;
    if tools.is_empty() {
        return Ok(());
    }
    let offered = tools.into_iter().enumerate().map(|(place, tool)| {
        tool_offered(tool).map_err(|wrong| wrong.within(&format!("tools[{place}]")))
    });
    out.set("tools", &offered.collect::<Result<Vec<_>, _>>()?);
    let Some(choice) = choice else {
        return Ok(());
    };
    let chosen = match (choice["type"].as_str(), choice["name"].as_str()) {
        (Some("auto"), _) => json!("auto"),
        (Some("any"), _) => json!("required"),
        (Some("none"), _) => json!("none"),
        (Some("tool"), Some(name)) => json!({"type": "function", "function": {"name": name}}),
        _ => {
            let reason = "expected a map with type: auto, any, none, or tool with a name";
            return Err(Wrong::new("tool_choice", reason));
        }
    };
    out.set("tool_choice", &chosen);
    if choice["disable_parallel_tool_use"] == true {
        out.set("parallel_tool_calls", &false);
    }
    Ok(())
}

fn tool_offered(mut tool: Object) -> Result<Object, Wrong> {
    let kind: Option<String> = tool.take("type")?;
    if let Some(kind) = kind.filter(|kind| kind != "custom") {
        let reason = format!("{kind:?} is a tool of Anthropic's own, which this model has not got");
        return Err(Wrong::new("type", reason));
    }
    let mut function = Object::default();
    function.set("name", &tool.need::<String>("name")?);
    for (theirs, ours) in [
        ("description", "description"),
        ("input_schema", "parameters"),
    ] {
        if let Some(value) = tool.take_raw(theirs) {
            function.set_raw(ours, value);
        }
    }
    Ok(Object::default()
        .with("type", "function")
        .with("function", &function))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(asked: &str) -> Value {
        let asked = Object::read(asked.as_bytes()).expect("JSON");
        let out = request(asked, Limit::MaxTokens).expect("translated");
        serde_json::from_slice(&out.to_bytes()).expect("JSON")
    }

    #[test]
    fn a_conversation_with_tools_is_the_same_conversation() {
        let out = translated(
            r#"{"model":"m","max_tokens":9,"stream":true,"temperature":0.5,"stop_sequences":["x"],"metadata":{"user_id":"u"},"thinking":{"type":"enabled"},"seed":7,
            "system":[{"type":"text","text":"be brief"},{"type":"text","text":"and kind"}],
            "tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},
            "messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I will"},{"type":"tool_use","id":"c1","name":"f","input":{"b": 1,"a":2}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"one"}]},{"type":"text","text":"go on"}]}]}"#,
        );
        let expected = json!({
            "model": "m", "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true},
            "temperature": 0.5, "stop": ["x"], "user": "u", "seed": 7,
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
            "tool_choice": "required", "parallel_tool_calls": false,
            "messages": [
                {"role": "system", "content": "be brief\nand kind"},
                {"role": "user", "content": [{"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
                {"role": "assistant", "content": "I will", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"b\": 1,\"a\":2}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "user", "content": "go on"},
            ],
        });
        assert_eq!(out, expected);
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        for (asked, named) in [
            (r#"{"model":"m"}"#, "messages: "),
            (r#"{"messages":[]}"#, "model: "),
            (
                r#"{"model":"m","messages":[{"role":"user"}]}"#,
                "messages[0].content: ",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"search_result"}]}]}"#,
                "messages[0].content[0].type: ",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"image"}]}]}]}"#,
                "messages[0].content[0].content[0].type: ",
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"file"}}]}]}"#,
                "messages[0].content[0].source.type: ",
            ),
            (
                r#"{"model":"m","messages":[],"tools":[{"type":"bash_20250124","name":"bash"}]}"#,
                "tools[0].type: ",
            ),
            (
                r#"{"model":"m","messages":[],"tools":[{"name":"f"}],"tool_choice":"auto"}"#,
                "tool_choice: ",
            ),
        ] {
            let object = Object::read(asked.as_bytes()).expect("JSON");
            let reason = request(object, Limit::MaxTokens)
                .expect_err(asked)
                .to_string();
            assert!(reason.starts_with(named), "{asked}: {reason}");
        }
    }
}
