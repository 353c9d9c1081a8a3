//! From one dialect to the other, both ways: requests, answers, and answers that come as events.
//!
//! What both can say is said in the other's words. What is asked for and cannot be had there is refused and named, rather
//! than left out; hints that only steer are left out. A field that its own dialect does not know was meant for the
//! provider, and goes on as it is.

mod answers;
mod stream;
mod to_anthropic;
mod to_openai;

pub(super) use to_anthropic::request as request_to_anthropic;
pub(super) use to_openai::{Limit, request as request_to_openai};

use super::ask::Ask;
use super::dialect::Dialect;
use super::json::Object;
use crate::answer::{Answer, json_bytes, mark_events};
use astromesh_core::http::{Body, chain, read_bounded};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Response, StatusCode};
use stream::{ForAnthropic, ForOpenAi, Translated};

/// Why a model stopped: OpenAI's word, then Anthropic's. The first that fits is taken, either way.
const REASONS: [(&str, &str); 8] = [
    ("stop", "end_turn"),
    ("length", "max_tokens"),
    ("tool_calls", "tool_use"),
    ("content_filter", "refusal"),
    ("function_call", "tool_use"),
    ("stop", "stop_sequence"),
    ("stop", "pause_turn"),
    ("length", "model_context_window_exceeded"),
];

/// A success of `provider`'s, in the dialect that was asked in, which is the other one. An error says why it is none. No
/// answer that is whole is longer than `most_bytes`, and no event of one that is not.
pub(super) async fn answer(
    ask: &Ask,
    provider: &str,
    given: Response<Body>,
    most_bytes: usize,
) -> Result<Answer, String> {
    let (head, body) = given.into_parts();
    if is_stream(&head.headers) {
        let body = match ask.dialect {
            Dialect::OpenAi => {
                let translator = ForOpenAi::new(wants_usage(&ask.body));
                Body::new(Translated::new(translator, body, most_bytes, provider))
            }
            Dialect::Anthropic => {
                let translator = ForAnthropic::default();
                Body::new(Translated::new(translator, body, most_bytes, provider))
            }
        };
        let mut answer = Response::new(body);
        mark_events(answer.headers_mut());
        return Ok(answer);
    }
    let body = read_bounded(body, most_bytes).await;
    let body = body.map_err(|error| format!("did not answer whole: {}", chain(&error)))?;
    let said = Object::read(&body).and_then(match ask.dialect {
        Dialect::OpenAi => answers::to_openai,
        Dialect::Anthropic => answers::to_anthropic,
    });
    let said = said.map_err(|wrong| format!("gave an answer that is none: {wrong}"))?;
    Ok(json_bytes(StatusCode::OK, said.to_bytes().into()))
}

/// Whether an answer comes as events.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether a client of OpenAI's wants its stream to end with what was used.
fn wants_usage(body: &[u8]) -> bool {
    let options = Object::read(body).and_then(|asked| asked.look_at::<Object>("stream_options"));
    let wanted = options.and_then(|options| match options {
        Some(options) => options.look_at::<bool>("include_usage"),
        None => Ok(None),
    });
    wanted.ok().flatten().unwrap_or(false)
}

/// Anthropic's word for why a model stopped, in OpenAI's.
fn finish_reason(stop_reason: &str) -> &'static str {
    let known = REASONS.iter().find(|(_, theirs)| *theirs == stop_reason);
    known.map_or("stop", |(ours, _)| ours)
}

/// OpenAI's word for why a model stopped, in Anthropic's. Some servers say `stop` where the model waits for a tool, and
/// clients of Anthropic go by the reason alone.
fn stop_reason(finish_reason: &str, has_calls: bool) -> &'static str {
    if has_calls && matches!(finish_reason, "stop" | "") {
        return "tool_use";
    }
    let known = REASONS.iter().find(|(theirs, _)| *theirs == finish_reason);
    known.map_or("end_turn", |(_, ours)| ours)
}
