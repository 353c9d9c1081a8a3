//! An answer that comes as events, from one dialect to the other, event by event.
//!
//! [`Translated`] reads what the provider sends and writes what its [`Translator`] makes of it, one event a read. A stream
//! that breaks off, or says what cannot be understood, ends with an event that says so: the client has begun to read, and
//! can be told in no other way.

mod for_anthropic;
mod for_openai;

pub(crate) use for_anthropic::ForAnthropic;
pub(crate) use for_openai::ForOpenAi;

use crate::providers::dialect::Dialect;
use crate::providers::events::{data, named};
use crate::providers::json::Wrong;
use astromesh_core::http::{Body, BoxError, chain};
use astromesh_core::sse::Parser;
use hyper::StatusCode;
use hyper::body::{Bytes, Frame};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What makes one dialect's events of the other's.
pub(crate) trait Translator: Send + Unpin + 'static {
    /// The dialect of what goes out.
    const DIALECT: Dialect;

    /// Takes the data of one event that came, and adds those that go out for it.
    fn take(&mut self, event: &str, out: &mut VecDeque<Bytes>) -> Result<(), Wrong>;

    /// Nothing more comes: adds what is left to be said, or says what is missing.
    fn end(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Wrong>;

    /// Whether the last event has gone out.
    fn is_over(&self) -> bool;
}

/// A body of events in the dialect of the client.
pub(crate) struct Translated<T> {
    /// What the provider sends, until there is nothing more to read.
    from: Option<Body>,
    parser: Parser,
    translator: T,
    out: VecDeque<Bytes>,
    provider: String,
}

impl<T: Translator> Translated<T> {
    /// What `provider` sends as `from`, no event of more than `most_bytes`.
    pub(crate) fn new(translator: T, from: Body, most_bytes: usize, provider: &str) -> Self {
        Self {
            from: Some(from),
            parser: Parser::up_to(most_bytes),
            translator,
            out: VecDeque::new(),
            provider: provider.to_owned(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let messages = match self.parser.take(bytes) {
            Ok(messages) => messages,
            Err(unreadable) => return self.fail(&format!("sent {unreadable}")),
        };
        for message in messages {
            if let Err(wrong) = self.translator.take(&message.data, &mut self.out) {
                return self.fail(&format!("sent an event that is none: {wrong}"));
            }
            if self.translator.is_over() {
                self.from = None;
                return;
            }
        }
    }

    fn end(&mut self) {
        self.from = None;
        if let Err(wrong) = self.translator.end(&mut self.out) {
            self.fail(&wrong.to_string());
        }
    }

    /// Says what went wrong, and reads no more.
    fn fail(&mut self, what: &str) {
        self.from = None;
        let message = format!("provider {} {what}", self.provider);
        log::warn!("{message}");
        let error = T::DIALECT.error(StatusCode::BAD_GATEWAY, None, None, &message);
        self.out.push_back(match T::DIALECT {
            Dialect::OpenAi => data(&error),
            Dialect::Anthropic => named("error", &error),
        });
    }
}

impl<T: Translator> hyper::body::Body for Translated<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            let Some(from) = &mut self.from else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(from).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(&bytes);
                    }
                }
                Some(Err(error)) => self.fail(&format!("broke off: {}", chain(&*error))),
                None => self.end(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.out.is_empty() && self.from.is_none()
    }
}
