//! The express: runs of agents, read and answered as the bytes they are.
//!
//! Most requests through a gateway are alike: short, whole when they come, for an agent elsewhere, and answered at once and
//! in short. For them a head is read once and written once, without the forms that everything else wants. A run that wants
//! more than that, or does not go so well, is the router's, with what became of its first attempt; its answer is written
//! from here as well. What is no [plain](request) run leaves the express, from its first byte, and a connection that has left
//! does not come back.

mod answer;
mod client;
mod fields;
mod framing;
mod request;

use super::pulse::Pulse;
use crate::answer::trouble;
use crate::here::{Here, Phase, Visitor};
use crate::metrics::Route;
use crate::router::{Choice, First};
use answer::Added;
use astromesh_core::http::{Wire, chain, reply};
use astromesh_core::settings::Service;
use client::{Client, More};
use hyper::StatusCode;
use log::Level;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest request that is waited for; what is longer is passed on while it comes.
const LONGEST_BYTES: usize = 64 * 1_024;

/// As much is read ahead of a connection: a request, and what follows it without waiting.
const AHEAD_BYTES: usize = 2 * LONGEST_BYTES;

/// A connection as long as the express serves it.
pub(super) struct Express<'a> {
    here: &'a Arc<Here>,
    visitor: &'a Visitor,
    client: Client<'a>,
}

/// A connection that is to be served in the ordinary way from here on.
pub(super) struct Rest {
    pub(super) stream: TcpStream,
    /// What has come and is not answered, from the beginning of a request.
    pub(super) came: Vec<u8>,
}

/// What comes next on a connection.
enum Next {
    Plain(Box<request::Plain>),
    Other,
    Closed,
}

/// What became of a first attempt.
enum Tried {
    /// It is answered, and whether there may be another request.
    Answered(bool),
    /// It is the router's, with what is known of the attempt, if there was one.
    Otherwise(Option<First>),
    /// The client is gone.
    Gone,
}

/// What a node said.
enum Heard {
    Plain(Box<answer::Plain>, Vec<u8>, Wire),
    /// At least the beginning of an answer of another kind.
    Other(Vec<u8>, Wire),
    Broken(io::Error),
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
            client: Client::new(stream, pulse),
        }
    }

    /// Serves requests until one is not for the express, and returns what is left to do. `None`: it is over, as it is
    /// between two requests once `closed`.
    pub(super) async fn serve(
        mut self,
        mut closed: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<Rest> {
        loop {
            match self.next(closed.as_mut()).await {
                Next::Plain(request) => {
                    if !self.answer(request).await {
                        return None;
                    }
                    self.client.rest();
                }
                Next::Other => return Some(self.client.into_rest()),
                Next::Closed => return None,
            }
        }
    }

    /// Waits for the next request.
    async fn next(&mut self, mut closed: Pin<&mut impl Future<Output = ()>>) -> Next {
        loop {
            let came = self.client.came();
            if !came.is_empty() {
                if !self.here.offers(Service::Api) || came.len() > AHEAD_BYTES {
                    return Next::Other;
                }
                match request::Plain::read(came, self.here, self.visitor) {
                    request::Read::Plain(request) => return Next::Plain(request),
                    request::Read::Other => return Next::Other,
                    request::Read::Part => {}
                }
            }
            match self.client.more(closed.as_mut()).await {
                More::Came => {}
                More::Late => return Next::Other,
                More::Closed => return Next::Closed,
            }
        }
    }

    /// Answers a request, and says whether there may be another one.
    async fn answer(&mut self, request: Box<request::Plain>) -> bool {
        let began = Instant::now();
        self.client.begin();
        match self.tried(&request).await {
            Tried::Answered(may_go_on) => may_go_on,
            // The room for it is taken where it is needed, and only there.
            Tried::Otherwise(first) => Box::pin(self.routed(request, began, first)).await,
            Tried::Gone => false,
        }
    }

    /// Asks the node that is asked first, if that is all there is to do, and passes its answer on, if that is plain.
    async fn tried(&mut self, request: &request::Plain) -> Tried {
        let here = self.here;
        if request.names_session || !takes_all_alike(here) {
            return Tried::Otherwise(None);
        }
        let Some(choice) = Choice::of(here, &request.agent) else {
            return Tried::Otherwise(None);
        };
        let in_hand = choice.begin(here);
        let (wire, sent) = match self.sent(&choice, request).await {
            Ok(sent) => sent,
            Err(first) => return Tried::Otherwise(first),
        };
        let patience = here.settings.limits.node_first_byte_timeout;
        let heard = self.client.while_there(heard(here, wire));
        let (said, wire) = match timeout(patience, heard).await {
            Ok(Some(Heard::Plain(answer, said, wire))) => {
                if answer.keeps {
                    choice.pool(here).keep(wire);
                }
                let may_go_on = self.pass_on(&choice, request, *answer, &said, sent).await;
                drop(in_hand);
                return Tried::Answered(may_go_on);
            }
            Ok(Some(Heard::Other(said, wire))) => (said, wire),
            Ok(Some(Heard::Broken(cause))) => {
                return Tried::Otherwise(Some(First::broken(choice, &cause.to_string())));
            }
            Ok(None) => return Tried::Gone,
            Err(_) => return Tried::Otherwise(Some(First::silent(choice, patience))),
        };
        let answer = reply(choice.pool(here).clone(), wire, said);
        let left = patience.saturating_sub(sent.elapsed());
        let first = match timeout(left, self.client.while_there(Box::pin(answer))).await {
            Ok(Some(Ok(answer))) => First::answered(choice, answer, in_hand, sent.elapsed()),
            Ok(Some(Err(cause))) => First::broken(choice, &cause.to_string()),
            Ok(None) => return Tried::Gone,
            Err(_) => First::silent(choice, patience),
        };
        Tried::Otherwise(Some(first))
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
        match wire.write(&request.to(url, self.client.came())).await {
            Ok(()) => Ok((wire, sent)),
            // It was kept, and had closed meanwhile.
            Err(error) if error.sent == 0 => Err(None),
            Err(error) => Err(Some(First::broken(choice.clone(), &chain(&error)))),
        }
    }

    /// Writes a plain answer to what was `sent` then, and notes what is noted of each. False where it is the last one.
    async fn pass_on(
        &mut self,
        choice: &Choice,
        request: &request::Plain,
        mut answer: answer::Plain,
        said: &[u8],
        sent: Instant,
    ) -> bool {
        let (here, now) = (self.here, Instant::now());
        let (waited, took) = (now - sent, now - choice.at);
        let spoken = std::mem::take(&mut answer.spoken);
        let ran_by = &choice.ran(here, &request.agent, spoken, waited, now);
        let metrics = &here.metrics;
        metrics.answered(here, Route::RUN, Some(ran_by), StatusCode::OK, took);
        let added = Added {
            id: &request.id,
            ran_by,
            overhead: took - waited,
            is_last: super::is_closing(here),
        };
        let is_sent = self.client.send(&answer.written(said, here, &added)).await;
        self.client.took(request.bytes());
        is_sent && !added.is_last
    }

    /// Lets the router answer, after what it `began` with. False where that is the last answer.
    async fn routed(
        &mut self,
        request: Box<request::Plain>,
        began: Instant,
        first: Option<First>,
    ) -> bool {
        let (here, visitor) = (self.here, self.visitor);
        let usual = request.usual(self.client.came());
        self.client.took(request.bytes());
        let answer = match usual {
            Ok(usual) => {
                let run = super::run_whole(here, visitor, &request.agent, usual, began, first);
                self.client.while_there(Box::pin(run)).await
            }
            Err(error) => Some(trouble(StatusCode::BAD_REQUEST, error.to_string())),
        };
        // Passing the answer on may take hours.
        drop(request);
        match answer {
            Some(answer) => self.client.pass(answer).await,
            None => false,
        }
    }
}

/// Whether nobody follows requests one by one, and there is no need to say that this node is on its way out.
fn takes_all_alike(here: &Here) -> bool {
    here.traces.is_none()
        && here.phase() == Phase::Running
        && !here.is_stopping()
        && !log::log_enabled!(target: super::passage::LOGGED, Level::Debug)
}

/// Reads what the node says until it is whole, or clearly not plain.
async fn heard(here: &Here, mut wire: Wire) -> Heard {
    let mut said = Vec::new();
    loop {
        match poll_fn(|context| wire.poll_read(context, &mut said)).await {
            Ok(0) => return Heard::Broken(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => match answer::Plain::read(&said, here) {
                answer::Read::Plain(plain) => return Heard::Plain(plain, said, wire),
                answer::Read::Other => return Heard::Other(said, wire),
                answer::Read::Part => {}
            },
            Err(error) => return Heard::Broken(error),
        }
    }
}
