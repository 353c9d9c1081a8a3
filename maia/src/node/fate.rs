//! What becomes of a member: confirmed, suspect, dead, left, forgotten. Each has one way in, and says so.

use super::Node;
use crate::event::{Event, Reason};
use crate::id::NodeId;
use crate::member::Doubt;
use crate::message::Status;
use crate::pulse::{Inquiry, Standing};
use crate::record::Record;
use crate::time::Instant;
use std::sync::Arc;

/// The hearsay that does not answer so often in a row is gone.
const PATIENCE_WITH_HEARSAY: u8 = 2;

impl Node {
    /// Makes hearsay a member, and says so.
    pub(super) fn confirm(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        let newly = self.table.update(id, |member| {
            let odd = member.odd_mut();
            (odd.hearsay_since, odd.asked_in_vain) = (Instant::START, 0);
            let before = std::mem::replace(&mut member.pulse.standing, Standing::Confirmed);
            before == Standing::Hearsay
        });
        if newly == Some(true) {
            self.changed = true;
            self.welcome(now, id, reason);
        }
    }

    pub(super) fn welcome(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        let judged = self.detector.judged(now);
        self.book.cross_out(id);
        if let Some(member) = self.table.get(id) {
            let card = &member.word().card;
            let (name, url) = (card.name.clone(), member.url().clone());
            let known = judged.since(member.first_rise);
            self.report(Event::Joined {
                id: id.clone(),
                name,
                url,
                known,
                reason,
            });
        }
    }

    /// Notes that a member gave a sign of life, which ends every doubt about it.
    pub(super) fn note_life(&mut self, now: Instant, id: &NodeId) {
        let was = self.table.get(id).map(|member| member.status());
        if !matches!(was, Some(Status::Suspect | Status::Dead | Status::Left)) {
            return;
        }
        let doubted = self.table.update(id, |member| {
            let after = now.since(member.since);
            member.pulse.status = Status::Alive;
            member.since = now;
            member.odd_mut().doubt = None;
            let reason = member.odd_mut().reason.take();
            let name = member.word().card.name.clone();
            (name, after, reason.unwrap_or(Reason::Silence))
        });
        self.book.cross_out(id);
        self.changed = true;
        self.next_sweep = self.next_sweep.min(now + self.config.failure_timeout);
        if let Some((name, after, reason)) = doubted {
            self.report(Event::Recovered {
                id: id.clone(),
                name,
                after,
                reason,
            });
        }
    }

    pub(super) fn suspect(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        let judged = self.detector.judged(now);
        let suspected = self.table.update(id, |member| {
            let newly = member.pulse.status == Status::Alive;
            if newly {
                member.pulse.status = Status::Suspect;
                member.since = now;
                member.odd_mut().reason = Some(reason);
            }
            member.odd_mut().doubt = None;
            let (name, silent) = (&member.word().card.name, member.pulse.silent(judged));
            (newly && member.as_member().is_confirmed()).then(|| (name.clone(), silent))
        });
        if let Some(Some((name, silent))) = suspected {
            self.changed = true;
            self.sweep_soon(now);
            self.report(Event::Suspected {
                id: id.clone(),
                name,
                silent,
                reason,
            });
        }
    }

    pub(super) fn pronounce_dead(&mut self, now: Instant, id: &NodeId) {
        let judged = self.detector.judged(now);
        let Some(member) = self.table.get(id) else {
            return;
        };
        if !member.is_confirmed() {
            self.table.remove(id);
            return;
        }
        let silent = member.silent(judged);
        let reason = member.odd().reason.unwrap_or(Reason::Silence);
        let (record, url) = (member.record(), member.url().clone());
        let name = record.card.name.clone();
        self.table.update(id, |member| {
            member.pulse.status = Status::Dead;
            member.since = now;
        });
        self.book
            .remember(record, url, false, now, &self.config.limits);
        self.changed = true;
        let id = id.clone();
        self.report(Event::Died {
            id,
            name,
            silent,
            reason,
        });
    }

    /// Asks a member whether it left, as somebody says.
    pub(super) fn ask_whether_it_left(
        &mut self,
        now: Instant,
        id: &NodeId,
        word: Option<Arc<Record>>,
    ) {
        let url = self.table.update(id, |member| {
            let doubt = &mut member.odd_mut().doubt;
            let keeps_word = word.is_none() && matches!(doubt, Some(Doubt::SaidToLeave(Some(_))));
            if !keeps_word {
                *doubt = Some(Doubt::SaidToLeave(word));
            }
            member.url().clone()
        });
        if let Some(url) = url {
            self.ask_about(now, url, id);
        }
    }

    /// Takes for a fact that a member left; `word` is its own on that, where there is one.
    pub(super) fn mark_left(&mut self, now: Instant, id: &NodeId, word: Option<&Arc<Record>>) {
        let Some(member) = self.table.get(id) else {
            return;
        };
        if !member.is_confirmed() {
            self.table.remove(id);
            return;
        }
        let newly = member.status() != Status::Left;
        let judged = self.detector.judged(now);
        let departed = self.table.update(id, |member| {
            if let Some(word) = word {
                let merged = member.as_member().record().merged(word);
                member.hold(Arc::new(merged));
            }
            if newly {
                member.pulse.status = Status::Left;
                member.since = now;
            }
            member.odd_mut().doubt = None;
            let reason = match member.word().has_left() {
                true => Reason::Goodbye,
                false => Reason::Departure,
            };
            member.odd_mut().reason = Some(reason);
            let known = judged.since(member.first_rise);
            (
                member.as_member().record(),
                member.url().clone(),
                known,
                reason,
            )
        });
        let Some((record, url, known, reason)) = departed else {
            return;
        };
        let name = record.card.name.clone();
        // Without its own word on it, it may be alive all the same: then any newer word brings it back.
        let left = record.has_left();
        self.book
            .remember(record, url, left, now, &self.config.limits);
        self.changed = true;
        self.next_sweep = self.next_sweep.min(now + self.config.forget_after);
        if newly {
            let id = id.clone();
            self.report(Event::Left {
                id,
                name,
                known,
                reason,
            });
        }
    }

    /// Takes note that an exchange with whoever is at `url` failed because nobody listens there.
    pub(super) fn note_refusal(&mut self, now: Instant, id: &NodeId) {
        match self
            .table
            .get(id)
            .and_then(|member| member.odd().doubt.clone())
        {
            Some(Doubt::SaidToLeave(word)) => self.mark_left(now, id, word.as_ref()),
            Some(Doubt::NameElsewhere) => self.suspect(now, id, Reason::Refusal),
            None => {}
        }
    }

    /// Takes note that hearsay did not answer.
    pub(super) fn note_no_answer(&mut self, id: &NodeId) {
        let tired = self.table.update(id, |member| {
            let is_hearsay = member.pulse.standing == Standing::Hearsay;
            let asked_in_vain = &mut member.odd_mut().asked_in_vain;
            *asked_in_vain += u8::from(is_hearsay);
            *asked_in_vain >= PATIENCE_WITH_HEARSAY
        });
        if tired == Some(true) {
            self.table.remove(id);
            self.changed = true;
        }
    }

    /// Nobody who was asked could reach a member: it has no more time to be heard of, and where exchanges with it fail it
    /// is sent nothing.
    pub(super) fn give_up_asking(&mut self, now: Instant, id: &NodeId) {
        let cut_off = self.table.update(id, |member| {
            let inquiry = &mut member.pulse.inquiry;
            if matches!(inquiry, Inquiry::Direct | Inquiry::ThroughOthers) {
                *inquiry = Inquiry::Over;
            }
            let odd = member.odd_mut();
            odd.cut_off = odd.failures > 0;
            odd.cut_off
        });
        self.changed |= cut_off == Some(true);
        self.sweep_soon(now);
    }

    /// Forgets a dead member, and no other, because its owner told this node to.
    pub(super) fn dismiss(&mut self, now: Instant, id: &NodeId) {
        if self.status(id) == Some(Status::Dead) {
            self.forget(now, id, Reason::Dismissal);
        }
    }

    pub(super) fn forget(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        if let Some((_, row)) = self.table.remove(id) {
            self.changed = true;
            let name = row.word().card.name.clone();
            self.report(Event::Forgotten {
                id: id.clone(),
                name,
                gone: now.since(row.since),
                reason,
            });
        }
    }
}
