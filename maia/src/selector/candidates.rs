//! Those who can take a request, ready to be chosen from.

use super::counter::{Counter, InFlight};
use super::health::{State, Usual};
use super::index::nth_one;
use super::slate::Slate;
use crate::address::Url;
use crate::id::{Name, NodeId};
use crate::message::Status;
use crate::rng::Rng;
use crate::view::{Seen, View, Want};
use std::sync::Arc;

/// Up to so many are looked through one by one, which is as quick as to keep them in order and costs nothing in between.
const FEW: usize = 16;

/// How far a candidate is to be trusted, the best first. A worse one is asked only where no better one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Confirmed, and heard of in time.
    Alive,
    /// Confirmed, but silent for longer than `failure_timeout`.
    Suspect,
    /// Known only through others.
    Hearsay,
}

/// A member that could take a request.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who.
    pub id: NodeId,
    /// What people call it.
    pub name: Name,
    /// Where it is reached from here.
    pub url: Url,
    /// How far it is to be trusted.
    pub standing: Standing,
    /// Whether it is this node, whose own count is the whole truth.
    pub is_me: bool,
    /// What it has in flight, and how it does.
    pub counter: Arc<Counter>,
}

/// Everyone who could take requests of one kind. Cheap to clone; what changes is shared.
#[derive(Clone, Debug)]
pub struct Candidates {
    pub(super) set: Arc<Set>,
    usual: Arc<Usual>,
}

/// Some candidates, those that are alive first.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) members: Box<[Candidate]>,
    alive: usize,
    me: Option<usize>,
    /// Of those that are alive, where there are many.
    pub(super) slate: Option<Arc<Slate>>,
}

impl Candidate {
    /// This member, whether it takes requests or not.
    pub fn of(seen: &Seen, counter: Arc<Counter>) -> Self {
        let standing = match (seen.confirmed || seen.is_me, seen.status) {
            (false, _) => Standing::Hearsay,
            (true, Status::Alive) => Standing::Alive,
            (true, _) => Standing::Suspect,
        };
        Self {
            id: seen.id().clone(),
            name: seen.name().clone(),
            url: seen.url.clone(),
            standing,
            is_me: seen.is_me,
            counter,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.counter, &other.counter)
            && self.standing == other.standing
            && self.url == other.url
            && self.name == other.name
    }
}

impl Candidates {
    /// These, of whom nobody else keeps account: good for a choice among a few. For a mesh there is
    /// [`Choices`](super::choices::Choices).
    pub fn new(members: Vec<Candidate>) -> Self {
        Self::from_parts(Arc::new(Set::new(members)), Arc::default())
    }

    /// Everyone in `view` who has what is wanted and takes requests, as [`Candidates::new`].
    pub fn all(view: &View, want: Want<'_>, in_flight: &InFlight) -> Self {
        let takers = view.offering(want).filter(|seen| seen.takes_requests());
        Self::new(
            takers
                .map(|seen| Candidate::of(seen, in_flight.counter(seen.id())))
                .collect(),
        )
    }

    pub(super) fn from_parts(set: Arc<Set>, usual: Arc<Usual>) -> Self {
        Self { set, usual }
    }

    /// All of them, those that are alive first. Their places are what a [`Selector`](super::Selector) speaks of.
    pub fn members(&self) -> &[Candidate] {
        &self.set.members
    }

    /// How long an answer to what these are asked takes, usually.
    pub fn usual(&self) -> &Arc<Usual> {
        &self.usual
    }

    /// The place of the member with this id.
    pub fn place_of(&self, id: &NodeId) -> Option<usize> {
        self.set.members.iter().position(|member| member.id == *id)
    }

    /// One that is to be tried with the next request after it was shut out; else of those that are alive and not shut out the
    /// least busy, at a tie this node itself, or else one at random. `None` also where more than half are shut out: then it
    /// is not they who do badly.
    pub(super) fn least_in_service(&self, tried: &[usize], rng: &mut Rng) -> Option<usize> {
        let set = &*self.set;
        let Some(slate) = &set.slate else {
            return set.least_of_few(tried, rng);
        };
        if slate.has_trials() {
            let is_due = |place: &usize| set.state(*place) == State::OnTrial;
            let due = (0..set.alive).find(|place| is_due(place) && !tried.contains(place));
            if due.is_some() {
                return due;
            }
        }
        if slate.out() * 2 > set.alive {
            return None;
        }
        let least = slate.least(rng, |place| !tried.contains(&place))?;
        let count = |place: usize| set.members[place].counter.in_flight();
        let is_fit = |me: &usize| !set.state(*me).is_out() && !tried.contains(me);
        let here = set.me.filter(|me| is_fit(me) && count(*me) <= count(least));
        Some(here.unwrap_or(least))
    }

    /// The best of all that were not tried, whoever they are.
    pub(super) fn best_of_the_rest(&self, tried: &[usize], rng: &mut Rng) -> Option<usize> {
        let set = &*self.set;
        let shut_out = set.alive().iter().filter(|member| member.is_out()).count();
        let shutting_out_is_ignored = shut_out * 2 > set.alive;
        let trouble = |member: &Candidate| match member.counter.state() {
            State::Serving | State::OnTrial => 0,
            State::Slow if shutting_out_is_ignored => 0,
            State::Slow => 1,
            _ => 2,
        };
        let rank = |member: &Candidate| {
            let busy = member.counter.in_flight();
            (member.standing, trouble(member), busy, !member.is_me)
        };
        best(set.members.iter().map(rank), tried, rng)
    }

    /// The best of all that were not tried, the next one from `turn` on at a tie.
    pub(super) fn next_in_turn(&self, tried: &[usize], turn: usize) -> Option<usize> {
        let members = &self.set.members;
        let count = members.len();
        let rank = |place: usize| {
            let member = &members[place];
            let trouble = match member.counter.state() {
                State::OnTrial => 0,
                State::Serving => 1,
                State::Slow | State::Trying => 2,
                State::Away => 3,
            };
            let distance = (place + count - turn % count) % count;
            (trouble, member.counter.in_flight(), distance)
        };
        let left = (0..count).filter(|place| !tried.contains(place));
        left.min_by_key(|place| rank(*place))
    }
}

impl Candidate {
    fn is_out(&self) -> bool {
        self.counter.state().is_out()
    }
}

impl Set {
    pub(super) fn new(mut members: Vec<Candidate>) -> Self {
        members.sort_by_key(|member| member.standing != Standing::Alive);
        let alive = members.partition_point(|member| member.standing == Standing::Alive);
        Self {
            me: members[..alive].iter().position(|member| member.is_me),
            slate: None,
            members: members.into(),
            alive,
        }
    }

    /// The same, for members that keep account in it.
    pub(super) fn seated(self) -> Self {
        let slate = (self.alive > FEW).then(|| Arc::new(Slate::new(self.alive)));
        Self { slate, ..self }
    }

    /// Whether the other is made of the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.members.len() == other.members.len()
            && self
                .members
                .iter()
                .zip(&other.members)
                .all(|(one, other)| one.is_same(other))
    }

    pub(super) fn alive(&self) -> &[Candidate] {
        &self.members[..self.alive]
    }

    fn state(&self, place: usize) -> State {
        self.members[place].counter.state()
    }

    /// [`Candidates::least_in_service`] in one pass, with a bit for each of those that have the fewest so far. `None` where
    /// there are more than bits.
    fn least_of_few(&self, tried: &[usize], rng: &mut Rng) -> Option<usize> {
        if self.alive > u64::BITS as usize {
            return None;
        }
        let (mut least, mut ties, mut out) = (u32::MAX, 0_u64, 0);
        for (place, member) in self.alive().iter().enumerate() {
            let state = member.counter.state();
            out += usize::from(state.is_out());
            if (state.is_out() && state != State::OnTrial) || tried.contains(&place) {
                continue;
            }
            if state == State::OnTrial {
                return Some(place);
            }
            let count = member.counter.in_flight();
            if count < least {
                (least, ties) = (count, 1 << place);
            } else if count == least {
                ties |= 1 << place;
            }
        }
        if out * 2 > self.alive || ties == 0 {
            return None;
        }
        let here = self.me.filter(|me| ties & (1 << me) != 0);
        here.or_else(|| {
            let number = rng.below(ties.count_ones() as usize);
            Some(nth_one(ties, number))
        })
    }
}

/// The place of the least rank that was not tried; at a tie each has the same chance.
fn best<R: Ord + Copy>(
    ranks: impl Iterator<Item = R>,
    tried: &[usize],
    rng: &mut Rng,
) -> Option<usize> {
    let mut best = None;
    let (mut chosen, mut ties) = (None, 0);
    for (place, rank) in ranks.enumerate() {
        if tried.contains(&place) {
            continue;
        }
        if best.is_none_or(|best| rank < best) {
            (best, chosen, ties) = (Some(rank), Some(place), 1);
        } else if best == Some(rank) {
            // Each of the ties found so far stays with the same chance.
            ties += 1;
            if rng.below(ties) == 0 {
                chosen = Some(place);
            }
        }
    }
    chosen
}
