//! Whom this node asks for a sign of life, and how many at a time.
//!
//! Hearsay is asked before it counts, a silent member before it is suspected, whoever is at a disputed address before
//! anybody makes way. One question at a time goes to one address, whatever its reasons: the answer settles them all.

use super::Node;
use super::exchanges::Purpose;
use super::hear::HEARSAY_KEPT;
use crate::address::Url;
use crate::detector::question_timeout;
use crate::gossip;
use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Request, Status};
use crate::pulse::{Inquiry, Signs};
use crate::time::Instant;

/// Questions about silence that are open at a time; a round allows twice as many.
const SILENT_AT_ONCE: usize = 8;
/// Others that are asked about a silent member.
const ASKED_THROUGH: usize = 3;
/// All other questions that are open at a time.
pub(super) const QUESTIONS_AT_ONCE: usize = 64;
/// Members that a joiner introduces itself to, and how many at a time.
pub(super) const INTRODUCTIONS: usize = 64;
const INTRODUCTIONS_AT_ONCE: usize = 8;
/// Leads that are followed in a round.
const LEADS_A_ROUND: usize = 8;
/// Exchanges with a member that fail in a row until others are asked whether they can reach it.
const FAILURES: u8 = 2;

impl Node {
    /// Asks hearsay, the longest held first, and drops what was held too long; follows a few leads.
    pub(super) fn ask_hearsay(&mut self, now: Instant) {
        let mut hearsay: Vec<(Instant, NodeId)> = self
            .table
            .unconfirmed()
            .map(|member| (member.odd().hearsay_since, member.word().id.clone()))
            .collect();
        hearsay.sort();
        let (kept, tired): (Vec<_>, Vec<_>) = hearsay
            .into_iter()
            .partition(|(since, _)| now.since(*since) < HEARSAY_KEPT);
        for (_, id) in tired {
            self.table.remove(&id);
        }
        self.to_ask = kept.into_iter().map(|(_, id)| id).collect();
        self.ask_more(now);
        for _ in 0..LEADS_A_ROUND {
            if let Some(url) = self.leads.pop_front() {
                self.ask(now, url, None, QUESTIONS_AT_ONCE);
            }
        }
    }

    /// Goes on with asking hearsay, as many at a time as may be.
    pub(super) fn ask_more(&mut self, now: Instant) {
        while let Some(id) = self.to_ask.front().cloned() {
            let unconfirmed = self.table.get(&id).filter(|member| !member.is_confirmed());
            if let Some(url) = unconfirmed.map(|member| member.url().clone()) {
                if !self.ask_about(now, url, &id) {
                    return;
                }
            }
            self.to_ask.pop_front();
        }
    }

    /// Asks the member `id` at `url`. False if too many questions are open already.
    pub(super) fn ask_about(&mut self, now: Instant, url: Url, id: &NodeId) -> bool {
        self.ask(now, url, Some(id.clone()), QUESTIONS_AT_ONCE)
    }

    /// Asks whoever is at `url` for a sign of life, unless that is being done or `most` questions are open.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        url: Url,
        about: Option<NodeId>,
        most: usize,
    ) -> bool {
        let speaks_ours = about
            .as_ref()
            .and_then(|id| self.table.get(id))
            .is_none_or(|member| member.is_ours());
        let entry = self.own_entry();
        let request = if speaks_ours {
            Request::Heartbeat { entry, ask: None }
        } else {
            // An older node answers a heartbeat with nothing of itself, but gossip with all it holds.
            Request::Gossip(vec![entry].into())
        };
        self.ask_by(now, url, about, request, most)
    }

    /// Asks the member `id`, which told of others, for what it holds of them: of those whose ids have these hashes.
    pub(super) fn ask_for(&mut self, now: Instant, id: &NodeId, wanted: Vec<u32>) {
        if let Some(url) = self.table.get(id).map(|member| member.url().clone()) {
            let table = vec![self.own_entry()].into();
            let request = Request::Reconcile { table, wanted };
            self.ask_by(now, url, Some(id.clone()), request, QUESTIONS_AT_ONCE);
        }
    }

    fn ask_by(
        &mut self,
        now: Instant,
        url: Url,
        about: Option<NodeId>,
        request: Request,
        most: usize,
    ) -> bool {
        if self.own.has_left() || self.exchanges.is_asking(&url) || url == self.own.record.card.url
        {
            return true;
        }
        if self.exchanges.questions() >= most {
            return false;
        }
        let patience = question_timeout(&self.config);
        self.send(now, url, request, Purpose::Ask(about), patience);
        true
    }

    /// Goes on with introducing this node to the members that it learned of when it joined.
    pub(super) fn introduce(&mut self, now: Instant) {
        while let Some(id) = self.introductions.front() {
            let url = self.table.get(id).map(|member| member.url().clone());
            let id = id.clone();
            if let Some(url) = url {
                if !self.ask(now, url, Some(id), INTRODUCTIONS_AT_ONCE) {
                    return;
                }
            }
            self.introductions.pop_front();
        }
    }

    /// Whether one more silent member may be asked now.
    pub(super) fn may_ask_the_silent(&self) -> bool {
        let signs = self.table.pulses().signs();
        let others = self.table.pulses().others();
        let asked = || {
            others
                .filter(|place| is_being_asked(&signs[*place]))
                .count()
        };
        self.questions_left > 0 && asked() < SILENT_AT_ONCE
    }

    /// The others are asked in a while, or judged by age.
    pub(super) fn ask_the_silent_later(&mut self, now: Instant) {
        let later = now + question_timeout(&self.config) / 4;
        self.next_sweep = self.next_sweep.min(later);
    }

    pub(super) fn ask_the_silent(&mut self, now: Instant, id: &NodeId) {
        let Some(url) = self.table.get(id).map(|member| member.url().clone()) else {
            return;
        };
        if self.ask(
            now,
            url,
            Some(id.clone()),
            QUESTIONS_AT_ONCE + SILENT_AT_ONCE,
        ) {
            self.questions_left -= 1;
            self.table
                .update(id, |member| member.pulse.inquiry = Inquiry::Direct);
            self.next_sweep = self
                .next_sweep
                .min(now + 2 * question_timeout(&self.config));
        }
    }

    /// The direct question went unanswered: up to three others are asked whether they can reach the member.
    pub(super) fn ask_through_others(&mut self, now: Instant, id: &NodeId) {
        let is_other = |member: Member<'_>| member.word().id != *id;
        let helpers = gossip::peers(&self.table, ASKED_THROUGH, &mut self.rng, |signs, place| {
            signs.is_ours()
                && signs.status == Status::Alive
                && self.table.at(place).is_some_and(is_other)
        });
        if helpers.is_empty() {
            self.give_up_asking(now, id);
            return;
        }
        self.table.update(id, |member| {
            member.odd_mut().helpers = helpers.len();
            if member.pulse.inquiry == Inquiry::Direct {
                member.pulse.inquiry = Inquiry::ThroughOthers;
            }
        });
        for helper in helpers {
            if let Some(url) = self.table.get(&helper).map(|member| member.url().clone()) {
                let request = Request::Heartbeat {
                    entry: self.own_entry(),
                    ask: Some(id.clone()),
                };
                let patience = question_timeout(&self.config);
                self.send(now, url, request, Purpose::AskThrough(id.clone()), patience);
            }
        }
    }

    /// An exchange with a member failed; after two in a row others are asked whether they can reach it.
    pub(super) fn note_failed_exchange(&mut self, now: Instant, id: &NodeId) {
        let to_ask = self.table.update(id, |member| {
            let odd = member.odd_mut();
            odd.failures = odd.failures.saturating_add(1);
            let in_a_row = odd.failures % FAILURES == 0;
            let may_ask = in_a_row && odd.helpers == 0 && !odd.cut_off;
            may_ask && member.pulse.is_present()
        });
        if to_ask == Some(true) {
            self.ask_through_others(now, id);
        }
    }
}

fn is_being_asked(signs: &Signs) -> bool {
    signs.is_present()
        && signs.status == Status::Alive
        && matches!(signs.inquiry, Inquiry::Direct | Inquiry::ThroughOthers)
}
