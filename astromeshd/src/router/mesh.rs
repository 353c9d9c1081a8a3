//! Through the mesh: the members that say they have what is wanted, the best first.

use super::attempts::{Attempts, Place};
use super::wanted::Wanted;
use super::{Job, Routed};
use crate::here::Mesh;
use astromesh_core::http::Body;
use hyper::Request;
use maia::selector::{Candidate, LeastConnections, Selector, Standing};
use maia::view::Seen;

impl<W: Wanted> Job<'_, W> {
    pub(super) async fn through_mesh(&self, mesh: &Mesh, request: Request<Body>) -> Routed {
        let here = self.here;
        let view = mesh.view.load_full();
        let carriers: Vec<&Seen> = view
            .offering(self.wanted.want())
            .filter(|seen| seen.takes_requests())
            .collect();
        let candidates: Vec<Candidate> = carriers
            .iter()
            .map(|seen| Candidate::of(seen, &here.in_flight))
            .collect();
        let (mut tried, mut rng) = (Vec::new(), here.rng());
        let mut attempts = Attempts::new(self, request);
        let mut preferred = self.preferred(&candidates);
        while let Some(place) = preferred
            .take()
            .or_else(|| LeastConnections.select(&candidates, &tried, &mut rng))
        {
            let (seen, candidate) = (carriers[place], &candidates[place]);
            tried.push(candidate.id.clone());
            let attempt = if candidate.is_me {
                attempts.here().await
            } else {
                let place = Place {
                    name: seen.name().as_str(),
                    url: &seen.url,
                    pool: &mesh.members,
                    counter: &candidate.counter,
                };
                attempts.at(place).await
            };
            if let Some(routed) = attempt {
                return routed;
            }
        }
        if !candidates.iter().any(|candidate| candidate.is_me) {
            // A node on its way out has withdrawn what it has, but still runs what nobody else can.
            if let Some(routed) = attempts.here().await {
                return routed;
            }
        }
        let is_known = view.offering(self.wanted.want()).next().is_some();
        attempts.in_vain(is_known)
    }

    /// The place of the one that holds the session, while it is alive.
    fn preferred(&self, candidates: &[Candidate]) -> Option<usize> {
        let id = self.wanted.prefers()?;
        candidates
            .iter()
            .position(|candidate| candidate.id == *id && candidate.standing == Standing::Alive)
    }
}
