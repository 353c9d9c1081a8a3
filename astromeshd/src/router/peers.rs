//! Static peers: listed by hand, asked in turn. Nobody knows which of them has what is wanted until it answers.

use super::attempts::Attempts;
use super::first::First;
use super::wanted::Wanted;
use super::{Job, Routed};
use astromesh_core::http::Body;
use hyper::Request;
use maia::selector::Selector;

impl<W: Wanted> Job<'_, W> {
    /// This node itself, else the peers in turn; after `first`, if that has been tried already.
    pub(super) async fn through_peers(
        &self,
        request: Request<Body>,
        first: Option<First>,
    ) -> Routed {
        let here = self.here;
        let mut attempts = Attempts::new(self, request);
        let mut tried = Vec::new();
        if let Some(first) = first {
            tried.push(first.choice.place());
            if let Some(routed) = attempts.after(first) {
                return routed;
            }
        }
        if let Some(routed) = attempts.here(None).await {
            return routed;
        }
        if let Some(peers) = here.peers.get(&self.wanted.service()) {
            let mut rng = here.rng();
            while let Some(place) = here.turn.select(peers, &tried, &mut rng) {
                tried.push(place);
                let peer = &peers.members()[place];
                if let Some(routed) = attempts.at(&here.listed, peer, peers.usual()).await {
                    return routed;
                }
            }
        }
        attempts.in_vain(false)
    }
}
