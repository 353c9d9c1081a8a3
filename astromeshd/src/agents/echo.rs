//! The agent that answers with the query, so that the whole path runs on a bare machine.

use super::Around;
use crate::answer::{self, Answer, json};
use astromesh_core::api::{RunAnswer, RunRequest, Usage};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::json as value;
use std::collections::VecDeque;

/// How many pieces an answer comes in.
const PIECES: usize = 4;

/// Answers with the query.
pub(super) fn run(around: &Around<'_>, request: RunRequest) -> Answer {
    // A word is a token to it.
    let tokens = request.query.split_whitespace().count() as u64;
    let answer = RunAnswer {
        answer: request.query,
        session_id: around.session(request.session_id),
        model: "echo".to_owned(),
        usage: Usage {
            prompt_tokens: tokens,
            completion_tokens: tokens,
            total_tokens: 2 * tokens,
        },
        steps: Vec::new(),
        node: around.node.to_owned(),
    };
    if request.stream {
        streamed(&answer)
    } else {
        json(StatusCode::OK, &answer)
    }
}

/// The answer in pieces (`{"delta": …}`), then whole, then `[DONE]`.
fn streamed(answer: &RunAnswer) -> Answer {
    let whole =
        serde_json::to_value(answer).expect("text keys and finite numbers always make JSON");
    let deltas = pieces(&answer.answer).map(|piece| value!({ "delta": piece }));
    let mut events: VecDeque<Bytes> = deltas
        .chain([whole])
        .map(|event| format!("data: {event}\n\n").into())
        .collect();
    events.push_back("data: [DONE]\n\n".into());

    answer::events(events)
}

/// `text` in up to [`PIECES`] parts, cut between words.
fn pieces(text: &str) -> impl Iterator<Item = String> {
    let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    let size = words.len().div_ceil(PIECES).max(1);
    words
        .chunks(size)
        .map(<[&str]>::concat)
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_the_text() {
        for text in ["", "one", "one two", "a b c d e f  g\nh ", "ä ö ü"] {
            let pieces: Vec<_> = pieces(text).collect();
            assert!(pieces.len() <= PIECES, "{pieces:?}");
            assert_eq!(pieces.concat(), text);
        }
    }
}
