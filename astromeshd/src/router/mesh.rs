//! Through the mesh: the members that say they have what is wanted, the best first.

use super::attempts::Attempts;
use super::wanted::Wanted;
use super::{Job, Routed};
use crate::here::Mesh;
use astromesh_core::http::Body;
use hyper::Request;
use maia::selector::candidates::{Candidates, Standing};
use maia::selector::{LeastConnections, Selector};

impl<W: Wanted> Job<'_, W> {
    pub(super) async fn through_mesh(&self, mesh: &Mesh, request: Request<Body>) -> Routed {
        let choices = mesh.choices.load_full();
        let mut attempts = Attempts::new(self, request);
        let candidates = choices.get(self.wanted.want());
        let mut has_me = false;
        if let Some(candidates) = candidates {
            let (mut tried, mut rng) = (Vec::new(), self.here.rng());
            let mut preferred = self.preferred(candidates);
            while let Some(place) = preferred
                .take()
                .or_else(|| LeastConnections.select(candidates, &tried, &mut rng))
            {
                tried.push(place);
                let candidate = &candidates.members()[place];
                let attempt = if candidate.is_me {
                    has_me = true;
                    attempts.here(Some(candidates.usual())).await
                } else {
                    attempts
                        .at(&mesh.members, candidate, candidates.usual())
                        .await
                };
                if let Some(routed) = attempt {
                    return routed;
                }
            }
        }
        if !has_me {
            // A node on its way out has withdrawn what it has, but still runs what nobody else can.
            if let Some(routed) = attempts.here(None).await {
                return routed;
            }
        }
        attempts.in_vain(candidates.is_some())
    }

    /// The place of the one that holds the session, while it is alive and within reach.
    fn preferred(&self, candidates: &Candidates) -> Option<usize> {
        let place = candidates.place_of(self.wanted.prefers()?)?;
        let member = &candidates.members()[place];
        let is_well = member.standing == Standing::Alive && !member.counter.state().is_out();
        is_well.then_some(place)
    }
}
