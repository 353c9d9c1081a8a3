//! Tokens and beginnings of what models answer, read off the answers as they pass.
//!
//! How many tokens there were, the provider says at the end of its answer, or does not; of a stream OpenAI's say so only
//! where the request has `stream_options.include_usage`. What is said is believed.

use super::bounded::Bounded;
use super::seconds;
use crate::answer::Answer;
use crate::traces::Span;
use astromesh_core::http::{Body, BoxError};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::CONTENT_TYPE;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// As many models are told apart. A provider may have names without end.
const MODELS: usize = 128;

/// So much of the end of an answer is looked through for what it says of tokens, and so much of the beginning.
const LOOKED_AT: usize = 4 * 1_024;

/// What is counted of models.
#[derive(Clone, Debug)]
pub(crate) struct Models(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    tokens: Bounded<Used, Counter>,
    beginnings: Bounded<Model, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Used {
    model: String,
    kind: &'static str,
}

impl Default for Models {
    fn default() -> Self {
        let model = "other".to_owned();
        let used = Used {
            model: model.clone(),
            kind: "other",
        };
        let beginnings = Family::new_with_constructor(seconds as fn() -> Histogram);
        Self(Arc::new(Counts {
            tokens: Bounded::new(2 * MODELS, Family::default(), used),
            beginnings: Bounded::new(MODELS, beginnings, Model { model }),
        }))
    }
}

impl Models {
    /// `answer` of `model`, which was asked at `began`, and whose tokens are counted as it passes.
    /// The `span` of it ends with it, and is told of them.
    pub(crate) fn heeded(&self, answer: Answer, model: &str, began: Instant, span: Span) -> Answer {
        if !answer.status().is_success() {
            return answer;
        }
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        answer.map(|body| {
            Body::new(Heeded {
                body,
                counts: Arc::clone(&self.0),
                model: model.to_owned(),
                began: is_stream.then_some(began),
                first: Vec::new(),
                last: Vec::new(),
                span,
            })
        })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "model_tokens",
            "Tokens of requests to models of this node, as far as their providers tell",
            self.0.tokens.family(),
        );
        registry.register(
            "model_first_token_seconds",
            "Time from a request to a model of this node until the first event of the answer, where it is streamed",
            self.0.beginnings.family(),
        );
    }
}

/// The body of a model's answer on its way.
struct Heeded {
    body: Body,
    counts: Arc<Counts>,
    model: String,
    /// When it was asked, until the first event has come.
    began: Option<Instant>,
    first: Vec<u8>,
    last: Vec<u8>,
    span: Span,
}

impl Heeded {
    fn look_at(&mut self, data: &[u8]) {
        if let Some(began) = self.began.take() {
            let model = Model {
                model: self.model.clone(),
            };
            let took = began.elapsed().as_secs_f64();
            self.counts
                .beginnings
                .with(&model, || true, |times| times.observe(took));
        }
        let room = LOOKED_AT - self.first.len();
        self.first.extend_from_slice(&data[..data.len().min(room)]);
        let new = &data[data.len().saturating_sub(LOOKED_AT)..];
        let kept = self.last.len().min(LOOKED_AT - new.len());
        self.last.drain(..self.last.len() - kept);
        self.last.extend_from_slice(new);
    }
}

impl Drop for Heeded {
    fn drop(&mut self) {
        let (first, last) = (usage(&self.first), usage(&self.last));
        for (kind, attribute, tokens) in [
            (
                "prompt",
                "gen_ai.usage.input_tokens",
                first.prompt_tokens.max(last.prompt_tokens),
            ),
            (
                "completion",
                "gen_ai.usage.output_tokens",
                first.completion_tokens.max(last.completion_tokens),
            ),
        ] {
            let model = self.model.clone();
            let used = Used { model, kind };
            if let Some(tokens) = tokens {
                self.span.count(attribute, tokens);
                self.counts.tokens.with(
                    &used,
                    || true,
                    |count| {
                        count.inc_by(tokens);
                    },
                );
            }
        }
    }
}

/// What is said of tokens, in OpenAI's words or Anthropic's.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Usage {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u64>,
}

/// The last that `text`, a part of an answer, says of tokens. In what a model says the key cannot be found: there its
/// quotation marks are escaped.
fn usage(text: &[u8]) -> Usage {
    const KEY: &[u8] = b"\"usage\":";
    let places = (0..text.len()).rev();
    let mut said = places
        .filter(|place| text[*place..].starts_with(KEY))
        .filter_map(|place| {
            let rest = &text[place + KEY.len()..];
            let said = serde_json::Deserializer::from_slice(rest).into_iter::<Option<Usage>>();
            said.flatten().next().flatten()
        });
    said.next().unwrap_or_default()
}

impl hyper::body::Body for Heeded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.look_at(data);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_in_either_dialect_and_not_in_what_was_said() {
        let usage_of = |prompt_tokens, completion_tokens| Usage {
            prompt_tokens,
            completion_tokens,
        };
        for (text, found) in [
            (
                r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"x":{}}}"#,
                usage_of(Some(5), Some(7)),
            ),
            (
                "data: {\"usage\":null}\n\ndata: {\"usage\": {\"input_tokens\":3}}\n\n",
                usage_of(Some(3), None),
            ),
            (
                "data: {\"usage\":{\"output_tokens\":9}}\n\ndata: {\"usage\":null}\n\n",
                usage_of(None, Some(9)),
            ),
            (
                r#"{"content":"\"usage\":{\"prompt_tokens\":5}"}"#,
                Usage::default(),
            ),
            (r#"{"usage":{"prompt_tokens":"#, Usage::default()),
            ("", Usage::default()),
        ] {
            assert_eq!(usage(text.as_bytes()), found, "{text}");
        }
    }

    #[test]
    fn only_the_ends_of_a_long_answer_are_kept() {
        let answer = Answer::new(astromesh_core::http::empty());
        let models = Models::default();
        let mut heeded = Heeded {
            body: answer.into_body(),
            counts: Arc::clone(&models.0),
            model: "m".to_owned(),
            began: None,
            first: Vec::new(),
            last: Vec::new(),
            span: Span::default(),
        };
        for n in 0..1_000_u32 {
            heeded.look_at(&[n as u8; 100]);
        }
        heeded.look_at(&[7; 3 * LOOKED_AT]);
        heeded.look_at(br#"{"usage":{"completion_tokens":4}}"#);
        assert_eq!(
            (heeded.first.len(), heeded.last.len()),
            (LOOKED_AT, LOOKED_AT)
        );
        drop(heeded);
        let used = Used {
            model: "m".to_owned(),
            kind: "completion",
        };
        let counted = models.0.tokens.family();
        assert_eq!(counted.get(&used).map(|count| count.get()), Some(4));
    }
}
