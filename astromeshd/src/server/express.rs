//! The express: a run of an agent that another node is to make, passed on as the bytes it came in.
//!
//! Most requests through a gateway are alike: short, whole when they come, for an agent elsewhere, and answered at once and
//! in short. For them a head is read once and written once, without the forms that everything else wants. All else is left
//! to the ordinary way, from the first byte: what is not [plain](request), what asks for anything besides, and what the
//! first node that is asked does not answer plainly. A connection that leaves the express does not come back to it.

mod answer;
mod fields;
mod request;

use super::pulse::Pulse;
use crate::here::{Here, Phase, Visitor};
use crate::metrics::Route;
use crate::router::{Choice, First};
use answer::Added;
use astromesh_core::http::{Wire, chain, poll_read, reply};
use astromesh_core::settings::Service;
use hyper::StatusCode;
use log::Level;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest request that is waited for; what is longer is passed on while it comes.
const LONGEST_BYTES: usize = 64 * 1_024;

/// As much is read ahead of a connection: a request, and what follows it without waiting.
const AHEAD_BYTES: usize = 2 * LONGEST_BYTES;

/// How long a request that has begun may take to be whole.
const PROMPT: Duration = Duration::from_millis(50);

/// A connection as long as the express serves it.
pub(super) struct Express<'a> {
    here: &'a Arc<Here>,
    visitor: &'a Visitor,
    pulse: &'a Pulse,
    stream: TcpStream,
    /// What has come and is not answered.
    came: Vec<u8>,
}

/// A connection that is to be served in the ordinary way from here on.
pub(super) struct Rest {
    pub(super) stream: TcpStream,
    /// What has come and is not answered, from the beginning of a request.
    pub(super) came: Vec<u8>,
    /// What became of that request so far.
    pub(super) first: Option<First>,
}

/// What comes next on a connection.
enum Next {
    Plain(Box<request::Plain>),
    Other,
    Closed,
}

/// What became of a request.
enum Outcome {
    Answered,
    /// The client is gone, or is to go.
    Closed,
    Otherwise(Option<First>),
}

/// What a node said.
enum Heard {
    Plain(Box<answer::Plain>, Vec<u8>, Wire),
    /// At least the beginning of an answer of another kind.
    Other(Vec<u8>, Wire),
    Broken(io::Error),
    /// Nothing yet, and the client is gone.
    Gone,
}

/// When a request came, was sent, and its answer was there.
struct Times {
    began: Instant,
    sent: Instant,
    heard: Instant,
}

impl<'a> Express<'a> {
    pub(super) fn new(
        stream: TcpStream,
        here: &'a Arc<Here>,
        visitor: &'a Visitor,
        pulse: &'a Pulse,
    ) -> Self {
        Self {
            here,
            visitor,
            pulse,
            stream,
            came: Vec::new(),
        }
    }

    /// Serves requests until one is not for the express, and returns what is left to do. `None`: it is over, as it is
    /// between two requests once `closed`.
    pub(super) async fn serve(
        mut self,
        mut closed: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<Rest> {
        loop {
            let outcome = match self.next(closed.as_mut()).await {
                Next::Plain(request) => self.pass_on(*request).await,
                Next::Other => Outcome::Otherwise(None),
                Next::Closed => Outcome::Closed,
            };
            match outcome {
                Outcome::Answered => {}
                Outcome::Closed => return None,
                Outcome::Otherwise(first) => {
                    self.pulse.rest();
                    return Some(Rest {
                        stream: self.stream,
                        came: self.came,
                        first,
                    });
                }
            }
        }
    }

    /// Waits for the next request.
    async fn next(&mut self, mut closed: Pin<&mut impl Future<Output = ()>>) -> Next {
        loop {
            if !self.came.is_empty() {
                if !self.is_open() || self.came.len() > AHEAD_BYTES {
                    return Next::Other;
                }
                match request::Plain::read(&self.came, self.here, self.visitor) {
                    request::Read::Plain(request) => return Next::Plain(request),
                    request::Read::Other => return Next::Other,
                    request::Read::Part => {}
                }
            }
            let has_begun = !self.came.is_empty();
            if !has_begun {
                // Of a connection that waits nothing is kept.
                self.came = Vec::new();
            }
            let more = poll_fn(|context| poll_read(&mut self.stream, context, &mut self.came));
            let more = if has_begun {
                timeout(PROMPT, more).await.ok()
            } else {
                tokio::select! {
                    biased;
                    more = more => Some(more),
                    () = closed.as_mut() => return Next::Closed,
                }
            };
            match more {
                Some(Ok(1..)) => drop(self.pulse.bytes_came()),
                _ if has_begun => return Next::Other,
                _ => return Next::Closed,
            }
        }
    }

    /// Whether there is an express at all now: whoever follows each request wants them in another form.
    fn is_open(&self) -> bool {
        let here = self.here;
        here.traces.is_none()
            && here.offers(Service::Api)
            && here.phase() == Phase::Running
            && !here.is_stopping()
            && !log::log_enabled!(target: super::passage::LOGGED, Level::Debug)
    }

    async fn pass_on(&mut self, request: request::Plain) -> Outcome {
        let began = Instant::now();
        let Some(choice) = Choice::of(self.here, &request.agent) else {
            return Outcome::Otherwise(None);
        };
        self.pulse.begin();
        let in_hand = choice.begin(self.here);
        let (wire, sent) = match self.sent(&choice, &request).await {
            Ok(sent) => sent,
            Err(first) => return Outcome::Otherwise(first),
        };
        let patience = self.here.settings.limits.node_first_byte_timeout;
        let heard = match timeout(patience, self.hear(wire)).await {
            Ok(heard) => heard,
            Err(_) => return Outcome::Otherwise(Some(First::silent(choice, patience))),
        };
        match heard {
            Heard::Plain(answer, said, wire) => {
                if answer.keeps {
                    choice.pool(self.here).keep(wire);
                }
                let times = Times {
                    began,
                    sent,
                    heard: Instant::now(),
                };
                let outcome = self.answer(&choice, &request, *answer, &said, times).await;
                drop(in_hand);
                outcome
            }
            Heard::Other(said, wire) => {
                let pool = choice.pool(self.here).clone();
                let left = patience.saturating_sub(sent.elapsed());
                Outcome::Otherwise(Some(match timeout(left, reply(pool, wire, said)).await {
                    Ok(Ok(answer)) => First::answered(choice, answer, in_hand, sent.elapsed()),
                    Ok(Err(cause)) => First::broken(choice, &cause.to_string()),
                    Err(_) => First::silent(choice, patience),
                }))
            }
            Heard::Broken(cause) => {
                Outcome::Otherwise(Some(First::broken(choice, &cause.to_string())))
            }
            Heard::Gone => Outcome::Closed,
        }
    }

    /// Sends it to whom it is for, and says when; else, what became of that.
    async fn sent(
        &self,
        choice: &Choice,
        request: &request::Plain,
    ) -> Result<(Wire, Instant), Option<First>> {
        let url = &choice.candidate().url;
        let mut wire = match choice.pool(self.here).wire(url).await {
            Ok(wire) => wire,
            Err(cause) => return Err(Some(First::not_sent(choice.clone(), cause))),
        };
        let sent = Instant::now();
        match wire.write(&request.to(url, &self.came)).await {
            Ok(()) => Ok((wire, sent)),
            // It was kept, and had closed meanwhile.
            Err(error) if error.sent == 0 => Err(None),
            Err(error) => Err(Some(First::broken(choice.clone(), &chain(&error)))),
        }
    }

    /// Writes the answer, and notes what is noted of each.
    async fn answer(
        &mut self,
        choice: &Choice,
        request: &request::Plain,
        mut answer: answer::Plain,
        said: &[u8],
        times: Times,
    ) -> Outcome {
        let here = self.here;
        let (waited, took) = (times.heard - times.sent, times.heard - times.began);
        let spoken = std::mem::take(&mut answer.spoken);
        let ran_by = &choice.ran(here, &request.agent, spoken, waited, times.heard);
        let metrics = &here.metrics;
        metrics.answered(here, Route::RUN, Some(ran_by), StatusCode::OK, took);
        let added = Added {
            id: &request.id,
            ran_by,
            overhead: took - waited,
            is_last: !self.is_open(),
        };
        let is_sent = self.send(&answer.written(said, here, &added)).await;
        self.came.drain(..request.bytes());
        self.pulse.rest();
        if is_sent && !added.is_last {
            Outcome::Answered
        } else {
            Outcome::Closed
        }
    }

    /// Reads what the node says until it is whole, or clearly not plain; and what the client sends meanwhile, for that is how
    /// one hears that it is gone.
    async fn hear(&mut self, mut wire: Wire) -> Heard {
        let mut said = Vec::new();
        let outcome = poll_fn(|context| {
            loop {
                match wire.poll_read(context, &mut said) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(Heard::Broken(
                            io::ErrorKind::UnexpectedEof.into(),
                        )));
                    }
                    Poll::Ready(Ok(_)) => match answer::Plain::read(&said, self.here) {
                        answer::Read::Plain(plain) => return Poll::Ready(Ok(Some(plain))),
                        answer::Read::Other => return Poll::Ready(Ok(None)),
                        answer::Read::Part => continue,
                    },
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Heard::Broken(error))),
                    Poll::Pending => {}
                }
                if self.came.len() > AHEAD_BYTES {
                    return Poll::Pending;
                }
                match poll_read(&mut self.stream, context, &mut self.came) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Heard::Gone)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        match outcome.await {
            Ok(Some(plain)) => Heard::Plain(plain, said, wire),
            Ok(None) => Heard::Other(said, wire),
            Err(trouble) => trouble,
        }
    }

    /// Writes an answer. False where nobody takes it.
    async fn send(&mut self, mut answer: &[u8]) -> bool {
        while !answer.is_empty() {
            match self.stream.try_write(answer) {
                Ok(sent) => answer = &answer[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pulse.write_waits(true);
                    if self.stream.writable().await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        self.pulse.write_waits(false);
        true
    }
}
