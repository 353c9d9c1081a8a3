//! Through the mesh: the members that say they have what is wanted, the best first.

use super::attempts::Attempts;
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
    pub(super) async fn through_mesh(&self, mesh: &Mesh, request: Request<Body>) -> Routed {
        let mut choices = mesh.choices.load_full();
        let mut attempts = Attempts::new(self, request);
        let (mut tried, mut rng) = (Vec::new(), self.here.rng());
        while let Some(candidates) = choices.get(self.wanted.want()) {
            let Some(place) = self.next(candidates, &tried, &mut rng) else {
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
            self.passed_over(members)
                .any(|over| over.len() < members.len())
        });
        attempts.in_vain(is_known)
    }

    /// The place of the one to try next.
    fn next(&self, candidates: &Candidates, tried: &[NodeId], rng: &mut Rng) -> Option<usize> {
        let preferred = self.preferred(candidates).filter(|_| tried.is_empty());
        let places = || tried.iter().filter_map(|id| candidates.place_of(id));
        let select = |mut over: Vec<usize>| {
            over.extend(places());
            LeastConnections.select(candidates, &over, rng)
        };
        preferred.or_else(|| self.passed_over(candidates.members()).find_map(select))
    }

    /// The places of those who are not asked, round by round.
    fn passed_over<'a>(&'a self, members: &'a [Candidate]) -> impl Iterator<Item = Vec<usize>> {
        (0..).map_while(|round| self.wanted.passed_over(members, round))
    }

    /// The place of the one that holds the session, while it is alive, within reach and not full. That it is slow is no
    /// reason to begin a conversation anew elsewhere.
    fn preferred(&self, candidates: &Candidates) -> Option<usize> {
        let place = candidates.place_of(self.wanted.prefers()?)?;
        let member = &candidates.members()[place];
        let counter = &member.counter;
        let is_there = member.standing == Standing::Alive && counter.state() != State::Away;
        (is_there && !counter.is_full()).then_some(place)
    }
}
