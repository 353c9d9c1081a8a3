//! The addresses to join through: which they are, what came of each, and whether there is anybody to join at all.
//!
//! Names are resolved by whoever drives the node; here a seed is one address. One that turned out to be this node's own is
//! kept, so that it is not tried again when it is told again.

use super::Node;
use crate::address::Url;
use crate::event::Event;
use crate::id::NodeId;
use crate::time::Instant;
use crate::view::SeedView;

/// An address to join through.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) url: Url,
    pub(super) outcome: Option<Result<(), String>>,
    /// Who answered there.
    pub(super) node: Option<NodeId>,
    /// Whether that was this node itself.
    is_me: bool,
}

impl Seed {
    pub(super) fn new(url: Url) -> Self {
        Self {
            url,
            outcome: None,
            node: None,
            is_me: false,
        }
    }
}

impl Node {
    /// The seeds that are others.
    pub(super) fn other_seeds(&self) -> impl Iterator<Item = &Seed> {
        self.seeds.iter().filter(|seed| !seed.is_me)
    }

    /// Whether a mesh may begin with this node: it is all its seeds, and no more are to come before it knows of any.
    pub(super) fn is_its_only_seed(&self) -> bool {
        let may_be_told = self.config.seeds_follow && self.seeds.is_empty();
        !may_be_told && self.other_seeds().next().is_none()
    }

    pub(super) fn seed_views(&self) -> Vec<SeedView> {
        let seen = |seed: &Seed| SeedView {
            url: seed.url.clone(),
            outcome: seed.outcome.clone(),
        };
        self.other_seeds().map(seen).collect()
    }

    /// Takes `urls` for the seeds from now on. What is known of those that stay is kept; where this node has not joined
    /// yet, it tries the new ones at once.
    pub(super) fn take_seeds(&mut self, now: Instant, urls: Vec<Url>) {
        let mut held = std::mem::take(&mut self.seeds);
        let mut are_new = false;
        for url in urls {
            if self.seeds.iter().any(|seed| seed.url == url) {
                continue;
            }
            let place = held.iter().position(|seed| seed.url == url);
            are_new |= place.is_none();
            let seed = place.map_or_else(|| Seed::new(url), |place| held.swap_remove(place));
            self.seeds.push(seed);
        }
        if are_new {
            self.next_join = now;
        }
        self.joined |= self.is_its_only_seed();
        self.changed = true;
    }

    /// Tries an address no more that turned out to be this node's own.
    pub(super) fn found_myself(&mut self, url: &Url) {
        self.book.cross_out_url(url);
        let same = self.seeds.iter_mut().find(|seed| seed.url == *url);
        let is_news = same.is_some_and(|seed| !std::mem::replace(&mut seed.is_me, true));
        self.joined |= self.is_its_only_seed();
        self.changed = true;
        if is_news {
            self.report(Event::FoundMyself { url: url.clone() });
        }
    }
}
