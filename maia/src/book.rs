//! Those who are gone: tombstones that keep old gossip from bringing them back, and addresses to look for them at.
//!
//! A partition longer than `forget_after` leaves each side without a row of the other. What heals it is that a few of the
//! old addresses are tried in every round, for as long as they are remembered.

use crate::address::Url;
use crate::beats::Listed;
use crate::config::Limits;
use crate::id::NodeId;
use crate::record::{Record, id_hash};
use crate::rng::Rng;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many of the latest dead are the likeliest to come back.
const LATEST: usize = 16;

#[derive(Clone, Debug)]
struct Departed {
    record: Arc<Record>,
    url: Url,
    left: bool,
    since: Instant,
    refreshed: Instant,
    /// Stand for the id and the record.
    id_hash: u32,
    fingerprint: u32,
}

/// The departed, by id.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: BTreeMap<NodeId, Departed>,
}

impl Book {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes that the owner of `record`, reached at `url`, died, or left.
    pub(crate) fn remember(
        &mut self,
        record: Arc<Record>,
        url: Url,
        left: bool,
        now: Instant,
        limits: &Limits,
    ) {
        let departed = Departed {
            url,
            left,
            since: now,
            refreshed: now,
            id_hash: id_hash(&record.id),
            fingerprint: record.fingerprint() as u32,
            record,
        };
        self.entries.insert(departed.record.id.clone(), departed);
        if self.entries.len() > limits.remembered {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(_, departed)| departed.refreshed);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| self.entries.remove(&id));
        }
    }

    /// Drops whoever is back, or turned out to be this node.
    pub(crate) fn cross_out(&mut self, id: &NodeId) {
        self.entries.remove(id);
    }

    /// Drops the address of this node itself.
    pub(crate) fn cross_out_url(&mut self, url: &Url) {
        self.entries.retain(|_, departed| departed.url != *url);
    }

    /// Whether `record` is old news of one who is gone. Of the dead any higher version is news; of one who left only a
    /// later incarnation.
    pub(crate) fn blocks(&mut self, record: &Record, now: Instant) -> bool {
        let Some(departed) = self.entries.get_mut(&record.id) else {
            return false;
        };
        let held = departed.record.version;
        let blocked = if departed.left {
            record.version.incarnation <= held.incarnation
        } else {
            record.version <= held
        };
        if blocked {
            departed.refreshed = now;
        }
        blocked
    }

    /// Takes out of `wanted`, which goes by the hashes of ids, those of whom there is no news: gone, and listed with no
    /// newer word than their last.
    pub(crate) fn cross_out_old_news(&self, wanted: &mut BTreeMap<u32, &Listed>) {
        for departed in self.entries.values() {
            if wanted.is_empty() {
                return;
            }
            let is_old = wanted.get(&departed.id_hash).is_some_and(|listed| {
                let beat = departed.record.beat();
                let same_word = departed.fingerprint == listed.fingerprint;
                same_word && (departed.left || beat.is_none_or(|beat| listed.beat <= beat))
            });
            if is_old {
                wanted.remove(&departed.id_hash);
            }
        }
    }

    /// The last word of `id`, if it is gone.
    pub(crate) fn last_word(&self, id: &NodeId) -> Option<&Arc<Record>> {
        self.entries.get(id).map(|departed| &departed.record)
    }

    /// Forgets whom nobody has mentioned for too long.
    pub(crate) fn prune(&mut self, now: Instant, limits: &Limits) {
        self.entries
            .retain(|_, departed| now.since(departed.refreshed) < limits.remember_for);
    }

    /// Two addresses to look at: one of `seeds` or of the latest dead, and one of the other dead.
    pub(crate) fn to_look_at(&self, seeds: &[Url], rng: &mut Rng) -> Vec<Url> {
        let mut dead: Vec<&Departed> = self
            .entries
            .values()
            .filter(|departed| !departed.left)
            .collect();
        dead.sort_by_key(|departed| std::cmp::Reverse(departed.since));
        let others = dead.split_off(dead.len().min(LATEST));
        let mut likely: Vec<&Url> = seeds.iter().collect();
        likely.extend(dead.iter().map(|departed| &departed.url));
        let others = others.iter().map(|departed| &departed.url).collect();
        let mut chosen = rng.sample(likely, 1);
        chosen.extend(rng.sample(others, 1));
        chosen.into_iter().cloned().collect()
    }
}
