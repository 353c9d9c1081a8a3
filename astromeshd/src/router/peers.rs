//! Static peers: listed by hand, asked in turn. Nobody knows which of them has what is wanted until it answers.

use super::attempts::{Attempts, Place};
use super::wanted::Wanted;
use super::{Job, Routed};
use astromesh_core::http::Body;
use astromesh_core::settings::Peer;
use hyper::Request;
use maia::id::NodeId;
use std::sync::atomic::Ordering;

/// Under this name requests to static peers are counted; they have no ids.
const COUNTED_AS: &str = "static-peers";

impl<W: Wanted> Job<'_, W> {
    /// This node itself, else the peers in turn.
    pub(super) async fn through_peers(&self, request: Request<Body>) -> Routed {
        let here = self.here;
        let mut attempts = Attempts::new(self, request);
        if let Some(routed) = attempts.here().await {
            return routed;
        }
        let service = self.wanted.service();
        let peers = here.settings.peers.iter();
        let peers: Vec<&Peer> = peers.filter(|peer| peer.services.has(service)).collect();
        let counter = here
            .in_flight
            .counter(&NodeId::new(COUNTED_AS).expect("it is short and plain"));
        let first = here.turn.fetch_add(1, Ordering::Relaxed);
        for attempt in 0..peers.len() {
            let peer = peers[first.wrapping_add(attempt) % peers.len()];
            let place = Place {
                name: peer.name.as_str(),
                url: &peer.url,
                pool: &here.listed,
                counter: &counter,
            };
            if let Some(routed) = attempts.at(place).await {
                return routed;
            }
        }
        attempts.in_vain(false)
    }
}
