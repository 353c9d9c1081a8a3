//! One thing that this node does for a request, from its beginning until the last byte of its answer is gone.

use super::Traces;
use super::context::{Context, Trail};
use super::otlp::{self, Attribute, Ended, Kind};
use crate::answer::Answer;
use astromesh_core::http::{Body, BoxError};
use hyper::body::{Body as _, Bytes, Frame, SizeHint};
use hyper::{HeaderMap, StatusCode};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waker, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: Option<Context>;
}

/// Where in a trace whoever calls this is at work, if it is known. For the log.
pub(crate) fn current() -> Option<Context> {
    CURRENT.try_with(|current| *current).ok().flatten()
}

/// `work`, whose log lines say that it belongs to `span`.
pub(crate) fn within<F: Future>(
    span: Option<&Span>,
    work: F,
) -> TaskLocalFuture<Option<Context>, F> {
    CURRENT.scope(span.and_then(|span| span.context), work)
}

/// Something under way. Told when it is dropped; where there is no collector, or the trace is not to be recorded, it does
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Span {
    /// For the log, also where nothing is told.
    context: Option<Context>,
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    traces: Arc<Traces>,
    since: Instant,
    /// Whether it is known how it ended.
    is_judged: bool,
    /// As it is told; how long it took is filled in at the end.
    ended: Ended,
}

impl Span {
    /// Begins one for the request with this head, and writes into the head that what is done for it belongs below.
    pub(crate) fn begin(
        traces: Option<&Arc<Traces>>,
        kind: Kind,
        headers: &mut HeaderMap,
        name: impl FnOnce() -> String,
    ) -> Self {
        let parent = Context::of(headers);
        let traces = match (traces, parent) {
            (None, _) => None,
            (Some(_), Some(parent)) if !parent.is_sampled => None,
            (Some(traces), _) => Some(traces),
        };
        let Some(traces) = traces else {
            return Self {
                context: parent,
                open: None,
            };
        };
        let context = parent.map_or_else(Context::fresh, Context::below);
        context.write(headers, parent.is_none());
        let began = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            context: Some(context),
            open: Some(Box::new(Open {
                traces: Arc::clone(traces),
                since: Instant::now(),
                is_judged: false,
                ended: Ended {
                    context,
                    parent: parent.map(|parent| parent.span),
                    name: otlp::cut(&name()),
                    kind,
                    began: began.unwrap_or_default(),
                    took: std::time::Duration::ZERO,
                    attributes: Vec::new(),
                    error: None,
                },
            })),
        }
    }

    /// Begins one for what this node does by itself for the request that left this trail.
    pub(crate) fn along(trail: &Trail, name: impl FnOnce() -> String) -> Self {
        if trail.traces.is_none() {
            return Self::default();
        }
        let mut headers = HeaderMap::new();
        trail.write(&mut headers);
        Self::begin(trail.traces.as_ref(), Kind::Internal, &mut headers, name)
    }

    /// `work` that is done at once, and whose log lines say that it belongs to this.
    pub(crate) fn around_now<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.context, work)
    }

    /// Whether it will be told.
    pub(crate) fn is_told(&self) -> bool {
        self.open.is_some()
    }

    /// Says something of it.
    pub(crate) fn say(&mut self, name: &'static str, text: &str) {
        if let Some(open) = &mut self.open {
            let text = Attribute::text(text);
            open.ended.attributes.push((name, text));
        }
    }

    /// The same of a number.
    pub(crate) fn count(&mut self, name: &'static str, number: u64) {
        if let Some(open) = &mut self.open {
            let number = Attribute::Number(number);
            open.ended.attributes.push((name, number));
        }
    }

    /// It ended, and not badly.
    pub(crate) fn ended(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_judged = true;
        }
    }

    /// It ended with this status.
    pub(crate) fn ended_with(&mut self, status: StatusCode) {
        self.ended();
        self.count("http.response.status_code", status.as_u16().into());
        let kind = self.open.as_ref().map(|open| open.ended.kind);
        // A refusal is the caller's failure, and not that of whoever was called.
        if status.is_server_error() || kind != Some(Kind::Server) && !status.is_success() {
            self.say("error.type", status.as_str());
            self.fail(status.canonical_reason().unwrap_or("failed"));
        }
    }

    /// It went wrong in this way, and ended without a status.
    pub(crate) fn failed(&mut self, how: &'static str) {
        self.say("error.type", how);
        self.fail(how);
    }

    /// It went wrong.
    fn fail(&mut self, what: &str) {
        if let Some(open) = &mut self.open {
            open.is_judged = true;
            open.ended.error.get_or_insert_with(|| what.to_owned());
        }
    }

    /// `answer`, with which it ends: when its last byte is gone, or nobody reads it any more.
    pub(crate) fn until_gone(self, answer: Answer) -> Answer {
        if !self.is_told() {
            return answer;
        }
        answer.map(|body| {
            Body::new(Passing {
                body,
                span: self,
                is_over: false,
            })
        })
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Its work was dropped before it came to an end, as it is when the client has left.
        if self.open.as_ref().is_some_and(|open| !open.is_judged) {
            self.failed("abandoned");
        }
        if let Some(open) = self.open.take() {
            let mut ended = open.ended;
            ended.took = open.since.elapsed();
            open.traces.tell(ended);
        }
    }
}

/// The body of an answer, and what ends with it.
struct Passing {
    // Dropped first: what is in it belongs below.
    body: Body,
    span: Span,
    is_over: bool,
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.is_over && !self.body.is_end_stream() {
            self.span.fail("nobody read the answer to its end");
        }
    }
}

impl hyper::body::Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        waker: &mut Waker<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self {
            body,
            span,
            is_over,
        } = self.get_mut();
        let frame = span.around_now(|| Pin::new(body).poll_frame(waker));
        match &frame {
            Poll::Ready(None) => *is_over = true,
            Poll::Ready(Some(Err(_))) => span.fail("the answer broke off"),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
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
    use super::super::export::Item;
    use super::*;
    use astromesh_core::http::full;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn an_answer_that_nobody_reads_to_its_end_is_a_failure() {
        for is_read in [true, false] {
            let (queue, mut queued) = mpsc::channel(1);
            let told = Arc::default();
            let traces = Arc::new(Traces { queue, told });
            let name = || "a run".to_owned();
            let mut span = Span::begin(Some(&traces), Kind::Server, &mut HeaderMap::new(), name);
            span.ended_with(StatusCode::OK);
            let answer = span.until_gone(Answer::new(full("hello")));
            assert!(queued.try_recv().is_err(), "it is not over");
            if is_read {
                answer.into_body().collect().await.expect("whole");
            } else {
                drop(answer);
            }
            let Ok(Item::Span(ended)) = queued.try_recv() else {
                panic!("nothing is told");
            };
            assert_eq!(ended.error.is_none(), is_read, "{ended:?}");
        }
    }

    #[tokio::test]
    async fn what_is_dropped_before_its_end_is_a_failure() {
        for is_ended in [true, false] {
            let (queue, mut queued) = mpsc::channel(1);
            let told = Arc::default();
            let traces = Arc::new(Traces { queue, told });
            let name = || "POST".to_owned();
            let mut span = Span::begin(Some(&traces), Kind::Client, &mut HeaderMap::new(), name);
            if is_ended {
                span.ended();
            }
            drop(span);
            let Ok(Item::Span(ended)) = queued.try_recv() else {
                panic!("nothing is told");
            };
            assert_eq!(ended.error.is_none(), is_ended, "{ended:?}");
            let says_how = ended
                .attributes
                .iter()
                .any(|(name, _)| *name == "error.type");
            assert_eq!(says_how, !is_ended, "{ended:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_waits_is_no_longer_than_what_is_told_of_it() {
        let (queue, mut queued) = mpsc::channel(1);
        let told = Arc::default();
        let traces = Arc::new(Traces { queue, told });
        let name = || format!("chat {}", "ä".repeat(1_000_000));
        drop(Span::begin(
            Some(&traces),
            Kind::Client,
            &mut HeaderMap::new(),
            name,
        ));
        let Ok(Item::Span(ended)) = queued.try_recv() else {
            panic!("nothing is told");
        };
        assert!(ended.name.starts_with("chat ä"));
        assert!(ended.name.capacity() <= 256, "{}", ended.name.capacity());
    }

    #[tokio::test]
    async fn where_there_is_no_room_it_is_lost_and_counted() {
        let (queue, _queued) = mpsc::channel(1);
        let told = Arc::default();
        let traces = Arc::new(Traces { queue, told });
        for _ in 0..3 {
            let name = || "a run".to_owned();
            drop(Span::begin(
                Some(&traces),
                Kind::Server,
                &mut HeaderMap::new(),
                name,
            ));
        }
        assert_eq!(traces.so_far()["lost"], 2);
    }
}
