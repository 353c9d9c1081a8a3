//! Through the mesh: the members that say they have what is wanted, the best first.

use super::attempts::Attempts;
use super::first::First;
use super::wanted::Wanted;
use super::{Job, Routed};
use crate::here::Mesh;
use astromesh_core::http::Body;
use hyper::Request;
use maia::id::NodeId;
use maia::rng::Rng;
use maia::selector::candidates::{Candidate, Candidates, Standing};
use maia::selector::health::State;
use maia::selector::{LeastConnections, Selector};

impl<W: Wanted> Job<'_, W> {
    /// The best, the next best, and so on; after `first`, if that has been tried already.
    pub(super) async fn through_mesh(
        &self,
        mesh: &Mesh,
        request: Request<Body>,
        first: Option<First>,
    ) -> Routed {
        let mut attempts = Attempts::new(self, request);
        let (mut tried, mut rng) = (Vec::new(), self.here.rng());
        if let Some(first) = first {
            tried.push(first.choice.candidate().id.clone());
            if let Some(routed) = attempts.after(first) {
                return routed;
            }
        }
        let mut choices = mesh.choices.load_full();
        while let Some(candidates) = choices.get(self.wanted.want()) {
            let Some(place) = next(self.wanted, candidates, &tried, &mut rng) else {
                break;
            };
            let candidate = &candidates.members()[place];
            tried.push(candidate.id.clone());
            let attempt = if candidate.is_me {
                attempts.here(Some(candidates.usual())).await
            } else {
                let usual = candidates.usual();
                attempts.at(&mesh.members, candidate, usual).await
            };
            if let Some(routed) = attempt {
                return routed;
            }
            // That may have taken minutes, and others may be there by now.
            choices = mesh.choices.load_full();
        }
        if !tried.contains(&self.here.id) {
            // A node on its way out has withdrawn what it has, but still runs what nobody else can.
            if let Some(routed) = attempts.here(None).await {
                return routed;
            }
        }
        let is_known = choices.get(self.wanted.want()).is_some_and(|candidates| {
            let members = candidates.members();
            passed_over(self.wanted, members).any(|over| over.len() < members.len())
        });
        attempts.in_vain(is_known)
    }
}

/// The place of the one to try next for what is wanted.
pub(super) fn next(
    wanted: &impl Wanted,
    candidates: &Candidates,
    tried: &[NodeId],
    rng: &mut Rng,
) -> Option<usize> {
    let preferred = preferred(wanted, candidates).filter(|_| tried.is_empty());
    let places = || tried.iter().filter_map(|id| candidates.place_of(id));
    let select = |mut over: Vec<usize>| {
        over.extend(places());
        LeastConnections.select(candidates, &over, rng)
    };
    preferred.or_else(|| passed_over(wanted, candidates.members()).find_map(select))
}

/// The places of those who are not asked, round by round.
fn passed_over(wanted: &impl Wanted, members: &[Candidate]) -> impl Iterator<Item = Vec<usize>> {
    (0..).map_while(|round| wanted.passed_over(members, round))
}

/// The place of the one that holds the session, while it is alive, within reach and not full. That it is slow is no
/// reason to begin a conversation anew elsewhere.
fn preferred(wanted: &impl Wanted, candidates: &Candidates) -> Option<usize> {
    let place = candidates.place_of(wanted.prefers()?)?;
    let member = &candidates.members()[place];
    let counter = &member.counter;
    let is_there = member.standing == Standing::Alive && counter.state() != State::Away;
    (is_there && !counter.is_full()).then_some(place)
}
