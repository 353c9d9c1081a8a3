//! Who is at an address, where more than one says so.

use super::Node;
use crate::address::Url;
use crate::event::Event;
use crate::id::NodeId;
use crate::member::{Doubt, Member};
use crate::message::Status;
use crate::record::Record;
use crate::time::Instant;

/// Addresses with rival ids that are kept in mind at the most.
const MOST_RIVALS: usize = 256;

/// What is known of an address that more than one id lays claim to.
#[derive(Debug)]
pub(super) struct Rivals {
    /// Who last made way there.
    displaced: Option<NodeId>,
    /// When whoever is there was last asked.
    pub(super) asked: Instant,
}

impl Node {
    /// Whether `record`'s owner may be entered at its address. One that is held by another must make way: at once where
    /// the holder is suspect or gone; else the address is asked, once a round, and who answers there stays.
    pub(super) fn may_take_address(&mut self, now: Instant, record: &Record) -> bool {
        let url = &record.card.url;
        let Some(holder) = self
            .table
            .holder(url)
            .filter(|holder| **holder != record.id)
            .cloned()
        else {
            return true;
        };
        let held_firmly = self
            .table
            .get(&holder)
            .is_some_and(|member| member.status() == Status::Alive);
        if !held_firmly {
            self.replace(now, &holder, &record.id, url);
            return true;
        }
        let asked_lately = |rivals: &Rivals| now.since(rivals.asked) < self.config.gossip_interval;
        if !self.rivals.get(url).is_some_and(asked_lately)
            && self.ask_about(now, url.clone(), &holder)
        {
            let displaced = self
                .rivals
                .get(url)
                .and_then(|rivals| rivals.displaced.clone());
            self.note_rivals(now, url, displaced);
        }
        false
    }

    /// Notes that more than one id lays claim to `url`. Returns who had been displaced there before.
    pub(super) fn note_rivals(
        &mut self,
        now: Instant,
        url: &Url,
        displaced: Option<NodeId>,
    ) -> Option<NodeId> {
        let rivals = Rivals {
            displaced,
            asked: now,
        };
        let before = self.rivals.insert(url.clone(), rivals);
        if self.rivals.len() > MOST_RIVALS {
            self.rivals.pop_first();
        }
        before.and_then(|rivals| rivals.displaced)
    }

    /// Notes that `id` answers at `url`: whoever else was thought to be there makes way.
    pub(super) fn settle(&mut self, now: Instant, url: &Url, id: &NodeId) {
        if let Some(holder) = self
            .table
            .holder(url)
            .filter(|holder| *holder != id)
            .cloned()
        {
            self.replace(now, &holder, id, url);
        }
    }

    pub(super) fn replace(&mut self, now: Instant, holder: &NodeId, by: &NodeId, url: &Url) {
        let Some((pulse, row)) = self.table.remove(holder) else {
            return;
        };
        let gone = Member { pulse, row: &row };
        self.changed = true;
        if !gone.is_confirmed() {
            return;
        }
        let left = gone.status() == Status::Left;
        let name = gone.word().card.name.clone();
        self.book
            .remember(gone.record(), url.clone(), left, now, &self.config.limits);
        let known = self.detector.judged(now).since(gone.first_rise);
        let displaced_before = self.note_rivals(now, url, Some(holder.clone()));
        let (url, one, other) = (url.clone(), holder.clone(), by.clone());
        self.report(if displaced_before.as_ref() == Some(by) {
            Event::Conflict { url, one, other }
        } else {
            Event::Replaced {
                id: one,
                name,
                known,
                by: other,
                url,
            }
        });
    }

    /// Where a node of the same name is held at another address, that one is asked at once: it may have moved.
    pub(super) fn ask_namesake(&mut self, now: Instant, record: &Record) {
        let Some(namesake) = self.table.namesake(&record.card.name).cloned() else {
            return;
        };
        let Some(url) = self
            .table
            .get(&namesake)
            .filter(|m| m.is_present())
            .map(|m| m.url().clone())
        else {
            return;
        };
        if url != record.card.url {
            self.table.update(&namesake, |member| {
                member.odd_mut().doubt = Some(Doubt::NameElsewhere);
            });
            self.ask_about(now, url, &namesake);
        }
    }
}
