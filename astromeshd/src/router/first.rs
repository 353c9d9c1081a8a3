//! A first attempt that somebody else makes: whom it is for, and how the router goes on where it did not end well.

use super::forward::{Forwarded, InHand, held};
use super::headers::{self, Spoken};
use super::mesh::next;
use super::wanted::{Run, Wanted};
use crate::answer::{Answer, header_text};
use crate::here::Here;
use astromesh_core::http::{ConnectError, Pool};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use maia::id::Label;
use maia::selector::Selector;
use maia::selector::candidates::{Candidate, Candidates};
use maia::selector::health::Answered;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Another node that is to run an agent: the one that the router asks first.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    candidates: Candidates,
    place: usize,
    /// When it was made.
    pub(crate) at: Instant,
}

/// What became of the attempt.
pub(crate) struct First {
    pub(super) choice: Choice,
    pub(super) forwarded: Forwarded,
}

impl Choice {
    /// The node to ask to run `agent`; `None` where that is this one, or there is none.
    pub(crate) fn of(here: &Arc<Here>, agent: &Label) -> Option<Self> {
        let (wanted, mut rng) = (Run::of(agent), here.rng());
        let (candidates, place) = match &here.mesh {
            Some(mesh) => {
                let choices = mesh.choices.load();
                let candidates = choices.get(wanted.want())?;
                let place = next(&wanted, candidates, &[], &mut rng)?;
                (candidates.clone(), place)
            }
            None if wanted.is_here(here) => return None,
            None => {
                let peers = here.peers.get(&wanted.service())?;
                (peers.clone(), here.turn.select(peers, &[], &mut rng)?)
            }
        };
        let choice = Self {
            candidates,
            place,
            at: Instant::now(),
        };
        (!choice.candidate().is_me).then_some(choice)
    }

    /// Who it is.
    pub(crate) fn candidate(&self) -> &Candidate {
        &self.candidates.members()[self.place]
    }

    /// Its place among all that could be asked.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// The connections to it.
    pub(crate) fn pool<'a>(&self, here: &'a Here) -> &'a Pool {
        here.mesh
            .as_ref()
            .map_or(&here.listed, |mesh| &mesh.members)
    }

    /// A request to it is in flight, until what is returned is dropped.
    pub(crate) fn begin(&self, here: &Arc<Here>) -> InHand {
        InHand::new(here, &self.candidate().counter)
    }

    /// It ran `agent`, as it says so, `waited` after it was asked, and it is `now`. Returns its name, as headers write it.
    pub(crate) fn ran(
        &self,
        here: &Here,
        agent: &Label,
        spoken: Spoken,
        waited: Duration,
        now: Instant,
    ) -> HeaderValue {
        let counter = &self.candidate().counter;
        spoken.heed(here, &Run::of(agent), counter, StatusCode::OK);
        counter.answered(Answered::Well(waited), self.candidates.usual());
        here.budget.request((now - here.started).as_secs());
        here.tally.count("forwarded");
        let name = || header_text(self.candidate().name.as_str());
        spoken.ran_by.unwrap_or_else(name)
    }
}

impl First {
    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.choice.at
    }

    /// Nothing was sent.
    pub(crate) fn not_sent(choice: Choice, cause: ConnectError) -> Self {
        let forwarded = Forwarded::NotSent(cause);
        Self { choice, forwarded }
    }

    /// It answered, and took so long to begin.
    pub(crate) fn answered(
        choice: Choice,
        mut answer: Answer,
        in_hand: InHand,
        waited: Duration,
    ) -> Self {
        headers::inbound(&mut answer);
        let forwarded = Forwarded::Answered(held(answer, in_hand), waited);
        Self { choice, forwarded }
    }

    /// It was sent, and the connection broke.
    pub(crate) fn broken(choice: Choice, cause: &str) -> Self {
        let forwarded = Forwarded::broken(&choice.candidate().url, cause);
        Self { choice, forwarded }
    }

    /// It was sent, and there was no answer for so long.
    pub(crate) fn silent(choice: Choice, patience: Duration) -> Self {
        let forwarded = Forwarded::silent(&choice.candidate().url, patience);
        Self { choice, forwarded }
    }
}
