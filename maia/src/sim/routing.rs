//! Whether a request would go where it may: the selector, tried on what a node sees.

use crate::id::Label;
use crate::message::Status;
use crate::rng::Rng;
use crate::selector::candidates::{Candidates, Standing};
use crate::selector::counter::InFlight;
use crate::selector::{LeastConnections, Selector};
use crate::view::{Seen, View, Want};
use std::fmt;

/// A selector, and what it goes by.
pub(super) struct Routing {
    selector: Box<dyn Selector>,
    agent: Label,
    in_flight: InFlight,
    rng: Rng,
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routing").finish_non_exhaustive()
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self::by(LeastConnections)
    }
}

impl Routing {
    /// Routes by `selector`.
    pub(super) fn by(selector: impl Selector) -> Self {
        Self {
            selector: Box::new(selector),
            agent: Label::new(super::AGENT).expect("plain"),
            in_flight: InFlight::default(),
            rng: Rng::from_seed(0),
        }
    }

    /// Sends a request by `view`, and says what is wrong with where it goes.
    pub(super) fn try_on(&mut self, view: &View) -> Option<String> {
        let candidates = Candidates::all(view, Want::Agent(&self.agent), &self.in_flight);
        self.judge(view, &candidates)
    }

    fn judge(&mut self, view: &View, candidates: &Candidates) -> Option<String> {
        let place = self.selector.select(candidates, &[], &mut self.rng)?;
        let picked = &candidates.members()[place];
        let Some(seen) = view.member(&picked.id) else {
            return Some(format!("to {}, which it does not know", picked.id));
        };
        let is_better_left = picked.standing != Standing::Alive && view.members.iter().any(is_well);
        let what = if is_gone(seen) {
            "which does not take any"
        } else if is_better_left {
            "though others are alive"
        } else {
            return None;
        };
        Some(format!("to {}, {what}: {seen:?}", picked.id))
    }

    /// Counters of those who are gone are of no use.
    pub(super) fn forget(&mut self) {
        self.in_flight = InFlight::default();
    }
}

fn is_gone(seen: &Seen) -> bool {
    let record = &seen.record;
    matches!(seen.status, Status::Dead | Status::Left) || record.has_left() || record.is_draining()
}

/// Alive, confirmed, within reach, and carrying what is wanted.
fn is_well(seen: &Seen) -> bool {
    let carries = seen.record.card.agents.iter();
    let mut carries = carries.filter(|agent| agent.as_str() == super::AGENT);
    let known = seen.confirmed || seen.is_me;
    known && seen.status == Status::Alive && seen.takes_requests() && carries.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::candidates::Candidate;
    use crate::sim::Sim;
    use std::time::Duration;

    /// What `Candidates::all` keeps from a selector, offered to it all the same.
    #[test]
    fn a_request_to_the_dead_is_noticed() {
        let mut mesh = Sim::new(1, &["ana", "bob"]);
        mesh.run_for(Duration::from_secs(10));
        mesh.crash("bob");
        mesh.run_for(Duration::from_secs(40));
        let view = mesh.node("ana").expect("it runs").view();
        let mut routing = Routing::default();
        assert_eq!(routing.try_on(&view), None);
        let bob = &view.members[1];
        let dead = Candidate::of(bob, routing.in_flight.counter(bob.id()));
        let candidates = Candidates::new(vec![dead]);
        assert!(routing.judge(&view, &candidates).is_some());
    }
}
