//! One question to a model, and what it says: whole, or in pieces that are told as they come.

use super::live::Teller;
use super::models::Models;
use super::turns::Failed;
use crate::answer::Answer;
use crate::traces::Trail;
use astromesh_core::api::{PROVIDER_HEADER, Usage};
use astromesh_core::http::{Body, chain, full, read_bounded};
use astromesh_core::sse::Parser;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};
use serde_json::{Map, Value, json as value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest answer that is read.
const ANSWER_BYTES: usize = 8 * 1_024 * 1_024;

/// How much of a refusal is read.
const REFUSAL_BYTES: usize = 64 * 1_024;

/// What a model said.
#[derive(Debug, Default)]
pub(super) struct Completion {
    /// In its own words, to be shown to it again.
    pub(super) message: Map<String, Value>,
    /// What it says to whoever asked.
    pub(super) text: String,
    /// The tools that it wants called.
    pub(super) calls: Vec<Call>,
    pub(super) usage: Usage,
    /// Which model it was, if it said so.
    pub(super) model: Option<String>,
}

/// One call of a tool.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, as the model wrote it.
    pub(super) arguments: String,
}

/// Whom one run asks, and who listens.
pub(super) struct Asking {
    pub(super) models: Arc<dyn Models>,
    /// How often the run had been passed on before it came to this node.
    pub(super) hops: u32,
    /// To which trace the run belongs.
    pub(super) trail: Trail,
    pub(super) teller: Teller,
}

impl Asking {
    /// Asks a model of `provider`. Where somebody listens, its text is told as it comes.
    pub(super) async fn ask(&self, provider: &str, body: Bytes) -> Result<Completion, Failed> {
        let mut request = Request::new(full(body));
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let provider = HeaderValue::from_str(provider)
            .map_err(|_| Failed::upstream(format!("{provider:?} cannot be a provider's name")))?;
        request.headers_mut().insert(PROVIDER_HEADER, provider);
        self.trail.write(request.headers_mut());
        let answer = Arc::clone(&self.models).chat(self.hops, request).await;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let kind = answer.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return pieces(answer.into_body(), &self.teller).await;
        }
        let completion = whole(answer.into_body()).await?;
        if !completion.text.is_empty() {
            self.teller.tell(&value!({ "delta": completion.text }));
        }
        Ok(completion)
    }
}

/// Why the model was not to be had, as the one who ran the agent is told.
async fn refused(answer: Answer) -> Failed {
    let (head, body) = answer.into_parts();
    let said = read_bounded(body, REFUSAL_BYTES).await.unwrap_or_default();
    let reason = match serde_json::from_slice::<Value>(&said) {
        Ok(said) => {
            let places = ["/error/message", "/error", "/detail"];
            let found = places
                .iter()
                .find_map(|place| said.pointer(place)?.as_str());
            found.map_or_else(|| said.to_string(), str::to_owned)
        }
        Err(_) => String::from_utf8_lossy(&said).into_owned(),
    };
    let status = match head.status {
        passed @ (StatusCode::TOO_MANY_REQUESTS
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT) => passed,
        // A model that is not there is not an agent that is not there.
        _ => StatusCode::BAD_GATEWAY,
    };
    let reason: String = reason.chars().take(1_000).collect();
    Failed {
        status,
        detail: format!(
            "the model was refused with {}: {reason}",
            head.status.as_u16()
        ),
        retry_after: head.headers.get(RETRY_AFTER).cloned(),
    }
}

fn unusable(why: &str) -> Failed {
    Failed::upstream(format!("the model's answer is not one: {why}"))
}

async fn whole(body: Body) -> Result<Completion, Failed> {
    let bytes = read_bounded(body, ANSWER_BYTES).await;
    let bytes = bytes.map_err(|error| unusable(&chain(&error)))?;
    let mut said: Value =
        serde_json::from_slice(&bytes).map_err(|error| unusable(&error.to_string()))?;
    let message = said.pointer_mut("/choices/0/message").map(Value::take);
    let Some(Value::Object(message)) = message else {
        return Err(unusable("expected an object at choices[0].message"));
    };
    let calls = message.get("tool_calls").and_then(Value::as_array);
    Ok(Completion {
        text: text_of(message.get("content")),
        calls: calls.into_iter().flatten().map(Call::read).collect(),
        usage: usage_of(said.get("usage")),
        model: said.get("model").and_then(Value::as_str).map(str::to_owned),
        message,
    })
}

impl Call {
    fn read(call: &Value) -> Self {
        let text = |place: &str| {
            let found = call.pointer(place).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        Self {
            id: text("/id"),
            name: text("/function/name"),
            arguments: match call.pointer("/function/arguments") {
                // Some servers write the object itself.
                Some(object @ Value::Object(_)) => object.to_string(),
                _ => text("/function/arguments"),
            },
        }
    }

    fn written(&self) -> Value {
        value!({
            "id": self.id, "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        })
    }
}

/// What has come of a completion in pieces.
#[derive(Default)]
struct Pieces {
    text: String,
    calls: BTreeMap<u64, Call>,
    usage: Usage,
    model: Option<String>,
    bytes: usize,
}

async fn pieces(mut body: Body, teller: &Teller) -> Result<Completion, Failed> {
    let (mut parser, mut pieces) = (Parser::up_to(ANSWER_BYTES), Pieces::default());
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failed::upstream(format!("the model broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        pieces.bytes += data.len();
        if pieces.bytes > ANSWER_BYTES {
            return Err(unusable(&format!("it is longer than {ANSWER_BYTES} bytes")));
        }
        for message in parser
            .take(&data)
            .map_err(|error| unusable(&error.to_string()))?
        {
            if message.data == "[DONE]" {
                return Ok(pieces.whole());
            }
            pieces.add(&message.data, teller)?;
        }
    }
    // Some servers end without a word; what has come is all there is.
    match pieces.text.is_empty() && pieces.calls.is_empty() {
        true => Err(unusable("it ended before it began")),
        false => Ok(pieces.whole()),
    }
}

impl Pieces {
    fn add(&mut self, data: &str, teller: &Teller) -> Result<(), Failed> {
        let chunk: Value =
            serde_json::from_str(data).map_err(|error| unusable(&error.to_string()))?;
        if let Some(trouble) = chunk.pointer("/error/message").and_then(Value::as_str) {
            return Err(Failed::upstream(format!("the model failed: {trouble}")));
        }
        if let Some(model) = chunk.get("model").and_then(Value::as_str) {
            self.model.get_or_insert_with(|| model.to_owned());
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = usage_of(Some(usage));
        }
        let Some(delta) = chunk.pointer("/choices/0/delta") else {
            return Ok(());
        };
        let text = text_of(delta.get("content"));
        if !text.is_empty() {
            teller.tell(&value!({ "delta": text }));
            self.text.push_str(&text);
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for (place, piece) in calls.into_iter().flatten().enumerate() {
            let index = piece
                .get("index")
                .and_then(Value::as_u64)
                .unwrap_or(place as u64);
            let (call, piece) = (self.calls.entry(index).or_default(), Call::read(piece));
            call.arguments.push_str(&piece.arguments);
            for (held, new) in [(&mut call.id, piece.id), (&mut call.name, piece.name)] {
                if held.is_empty() {
                    *held = new;
                }
            }
        }
        Ok(())
    }

    fn whole(self) -> Completion {
        let calls: Vec<Call> = self.calls.into_values().collect();
        let mut message = Map::new();
        message.insert("role".to_owned(), value!("assistant"));
        message.insert("content".to_owned(), value!(self.text));
        if !calls.is_empty() {
            let written: Vec<Value> = calls.iter().map(Call::written).collect();
            message.insert("tool_calls".to_owned(), value!(written));
        }
        Completion {
            message,
            text: self.text,
            calls,
            usage: self.usage,
            model: self.model,
        }
    }
}

/// The text of a message's content, which may come in parts.
fn text_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect()
        }
        _ => String::new(),
    }
}

fn usage_of(usage: Option<&Value>) -> Usage {
    let count = |name: &str| {
        let found = usage.and_then(|usage| usage.get(name)?.as_u64());
        found.unwrap_or_default()
    };
    let (prompt_tokens, completion_tokens) = (count("prompt_tokens"), count("completion_tokens"));
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: count("total_tokens").max(prompt_tokens.saturating_add(completion_tokens)),
    }
}
