//! Weighs what is said of others: what came pushed is a reason to ask, what we fetched is evidence.

use super::{MOST_RIVALS, Node, Rivals};
use crate::address::Url;
use crate::error::Invalid;
use crate::event::{Event, Reason};
use crate::id::NodeId;
use crate::member::{Doubt, Inquiry, Member, Standing};
use crate::message::{Entry, Status};
use crate::record::Record;
use crate::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// How a word about a member came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// In a request, or through an older node: confirms nobody.
    Pushed,
    /// In an answer that we fetched from a confirmed node of ours.
    Fetched,
    /// From the owner itself, in its answer.
    Owner,
}

/// A version that rises by more than this at once is not taken on hearsay.
const LEAP_MILLIS: u64 = 60 * 60 * 1_000;

/// Addresses that are asked without being entered, at the most.
const MOST_LEADS: usize = 256;

/// The hearsay that does not answer so often in a row is gone.
const PATIENCE_WITH_HEARSAY: u8 = 2;

impl Node {
    /// Whether `record` is one that this node could take at all.
    pub(super) fn check(&mut self, record: &Record) -> Result<(), Invalid> {
        let size = record.size_bytes();
        let most = self.config.limits.record_bytes;
        if size > most {
            let reason = format!("the record takes {size} bytes; expected at most {most}");
            return Err(Invalid::new("record", reason));
        }
        let url = &record.card.url;
        if !url.is_unspecified() && !url.may_be_called_from(&self.own.record.card.url) {
            self.counters.forbidden_addresses += 1;
            let reason = format!("{url} is an address that no peer may send this node to");
            return Err(Invalid::new("url", reason));
        }
        Ok(())
    }

    /// Hears all of `entries`, passing over those that cannot be taken.
    pub(super) fn hear_all(
        &mut self,
        now: Instant,
        entries: &[Entry],
        evidence: Evidence,
        known_sender: bool,
    ) {
        for entry in entries {
            match self.check(&entry.record) {
                Ok(()) => self.hear(now, entry, evidence, known_sender),
                Err(_) => self.counters.skipped_records += 1,
            }
        }
    }

    /// Hears one word about a node. `known_sender` says whether it came from a confirmed member, whose unknown ids are
    /// not rationed.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        entry: &Entry,
        evidence: Evidence,
        known_sender: bool,
    ) {
        let record = &entry.record;
        if record.id == *self.own.id() {
            self.hear_of_myself(now, record);
        } else if self.table.get(&record.id).is_some() {
            self.hear_again(now, record, evidence);
            if evidence == Evidence::Fetched && entry.status == Status::Alive {
                self.confirm_if_same(now, record);
            }
        } else {
            self.hear_first(now, entry, evidence, known_sender);
        }
    }

    pub(super) fn hear_of_myself(&mut self, now: Instant, word: &Record) {
        if self.own.is_misquoted(word) {
            let above = word.version.incarnation;
            self.own.begin_anew(now, above, Some(&mut self.rng));
            self.counters.refutations += 1;
            self.changed = true;
            self.report(Event::Refuted);
        }
    }

    fn hear_again(&mut self, now: Instant, word: &Arc<Record>, evidence: Evidence) {
        let Some(held) = self.table.get(&word.id) else {
            return;
        };
        if !word.supersedes(&held.record) {
            return;
        }
        if held.status == Status::Left
            && word.version.incarnation <= held.record.version.incarnation
        {
            return;
        }
        if word.has_left() {
            match evidence {
                Evidence::Pushed => self.ask_whether_it_left(now, &word.id, Some(Arc::clone(word))),
                Evidence::Fetched | Evidence::Owner => self.mark_left(now, &word.id, Some(word)),
            }
            return;
        }
        if evidence == Evidence::Pushed && is_strange(word, &held.record) {
            let url = held.url().clone();
            if word.card.url != held.record.card.url && !word.card.url.is_unspecified() {
                self.follow_lead(&word.card.url);
            }
            self.ask_about(now, url, &word.id);
            return;
        }
        if word.card.url != held.record.card.url && !self.may_take_address(now, word) {
            return;
        }
        self.take(now, word);
    }

    /// Takes a newer word about a known member in.
    fn take(&mut self, now: Instant, word: &Arc<Record>) {
        let judged = self.detector.judged(now);
        let risen = self
            .table
            .update(&word.id, |member| member.take(word, now, judged));
        self.changed = true;
        if risen == Some(true) {
            self.note_life(now, &word.id);
        }
    }

    /// Notes that a member gave a sign of life, which ends every doubt about it.
    pub(super) fn note_life(&mut self, now: Instant, id: &NodeId) {
        let was = self.table.get(id).map(|member| member.status);
        if !matches!(was, Some(Status::Suspect | Status::Dead | Status::Left)) {
            return;
        }
        let doubted = self.table.update(id, |member| {
            let after = now.since(member.since);
            member.status = Status::Alive;
            member.since = now;
            member.doubt = None;
            let reason = member.reason.take().unwrap_or(Reason::Silence);
            (member.record.card.name.clone(), after, reason)
        });
        self.book.cross_out(id);
        self.changed = true;
        self.next_sweep = now;
        if let Some((name, after, reason)) = doubted {
            self.report(Event::Recovered {
                id: id.clone(),
                name,
                after,
                reason,
            });
        }
    }

    fn hear_first(&mut self, now: Instant, entry: &Entry, evidence: Evidence, known_sender: bool) {
        let record = &entry.record;
        if self.book.blocks(record, now) {
            return;
        }
        if record.has_left() {
            if evidence != Evidence::Pushed {
                let url = record.card.url.clone();
                self.book
                    .remember(Arc::clone(record), url, true, now, &self.config.limits);
            }
            return;
        }
        if record.card.url.is_unspecified() || record.card.url == self.own.record.card.url {
            return;
        }
        if evidence != Evidence::Owner && entry.status != Status::Alive {
            self.follow_lead(&record.card.url);
            return;
        }
        if !self.may_take_address(now, record) {
            return;
        }
        let standing = match evidence {
            Evidence::Pushed => Standing::Hearsay {
                since: now,
                failures: 0,
            },
            Evidence::Fetched | Evidence::Owner => Standing::Confirmed,
        };
        let reason = match evidence {
            Evidence::Owner => Reason::Answered,
            _ => Reason::Vouched,
        };
        if self.enter(now, record, standing, known_sender) && standing == Standing::Confirmed {
            self.welcome(now, &record.id, reason);
        }
    }

    /// Gives `record` a row, if there is room for it. Whoever enters a confirmed one welcomes it.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        record: &Arc<Record>,
        standing: Standing,
        known_sender: bool,
    ) -> bool {
        let is_hearsay = standing != Standing::Confirmed;
        if is_hearsay && !(known_sender || self.spend_stranger(now)) || !self.make_room(is_hearsay)
        {
            self.counters.crowded_out += 1;
            return false;
        }
        self.ask_namesake(now, record);
        let judged = self.detector.judged(now);
        self.table
            .insert(Member::new(Arc::clone(record), standing, now, judged));
        self.changed = true;
        self.next_sweep = self.next_sweep.min(now + self.config.failure_timeout);
        true
    }

    /// Makes hearsay a member if it is the one, at the same place, that a confirmed node vouches for.
    fn confirm_if_same(&mut self, now: Instant, word: &Record) {
        let held = self
            .table
            .get(&word.id)
            .filter(|member| !member.is_confirmed());
        let is_same = held.is_some_and(|member| {
            let record = &member.record;
            record.version >= word.version && record.card.url == word.card.url
        });
        if is_same {
            self.confirm(now, &word.id);
        }
    }

    /// Makes hearsay a member, and says so.
    pub(super) fn confirm(&mut self, now: Instant, id: &NodeId) {
        let newly = self.table.update(id, |member| {
            let newly = !member.is_confirmed();
            member.standing = Standing::Confirmed;
            newly
        });
        if newly == Some(true) {
            self.changed = true;
            self.welcome(now, id, Reason::Answered);
        }
    }

    fn welcome(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        let judged = self.detector.judged(now);
        self.book.cross_out(id);
        if let Some(member) = self.table.get(id) {
            let card = &member.record.card;
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

    /// Whether a stranger may bring one more unknown id now.
    fn spend_stranger(&mut self, now: Instant) -> bool {
        let limits = &self.config.limits;
        let refill = now.since(self.stranger_allowance_as_of).as_secs_f64()
            * f64::from(limits.new_ids_per_second);
        self.stranger_allowance =
            (self.stranger_allowance + refill).min(f64::from(limits.new_ids_burst));
        self.stranger_allowance_as_of = now;
        let allowed = self.stranger_allowance >= 1.0;
        if allowed {
            self.stranger_allowance -= 1.0;
        }
        allowed
    }

    /// Whether there is room for one more row. Hearsay fills half the table at the most and yields its place to a
    /// confirmed member, the latest heard of first.
    fn make_room(&mut self, for_hearsay: bool) -> bool {
        let room = self.table.len() + 1 < self.config.limits.nodes;
        if for_hearsay {
            return room && self.table.hearsay() < self.config.limits.nodes / 2;
        }
        if room {
            return true;
        }
        let since = |member: &Member| match member.standing {
            Standing::Confirmed => None,
            Standing::Hearsay { since, .. } => Some(since),
        };
        let latest = self
            .table
            .iter()
            .filter_map(|(id, member)| since(member).map(|since| (since, id.clone())))
            .max();
        latest.is_some_and(|(_, id)| self.table.remove(&id).is_some())
    }

    /// Whether `record`'s owner may be entered at its address. One that is held by another must make way: at once where
    /// the holder is suspect or gone; else the address is asked, once a round, and who answers there stays.
    fn may_take_address(&mut self, now: Instant, record: &Record) -> bool {
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
            .is_some_and(|member| member.status == Status::Alive);
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
    fn note_rivals(
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

    fn replace(&mut self, now: Instant, holder: &NodeId, by: &NodeId, url: &Url) {
        let Some(gone) = self.table.remove(holder) else {
            return;
        };
        self.changed = true;
        if !gone.is_confirmed() {
            return;
        }
        let left = gone.status == Status::Left;
        let name = gone.record.card.name.clone();
        self.book
            .remember(gone.record, url.clone(), left, now, &self.config.limits);
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
    fn ask_namesake(&mut self, now: Instant, record: &Record) {
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
                member.doubt = Some(Doubt::NameElsewhere);
            });
            self.ask_about(now, url, &namesake);
        }
    }

    /// Asks a member whether it left, as somebody says.
    pub(super) fn ask_whether_it_left(
        &mut self,
        now: Instant,
        id: &NodeId,
        word: Option<Arc<Record>>,
    ) {
        let url = self.table.update(id, |member| {
            let keeps_word =
                word.is_none() && matches!(member.doubt, Some(Doubt::SaidToLeave(Some(_))));
            if !keeps_word {
                member.doubt = Some(Doubt::SaidToLeave(word));
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
        let newly = member.status != Status::Left;
        let judged = self.detector.judged(now);
        let departed = self.table.update(id, |member| {
            if let Some(word) = word {
                member.hold(member.record.merged(word));
            }
            if newly {
                member.status = Status::Left;
                member.since = now;
            }
            member.doubt = None;
            let reason = match member.record.has_left() {
                true => Reason::Goodbye,
                false => Reason::Departure,
            };
            member.reason = Some(reason);
            let known = judged.since(member.first_rise);
            (
                Arc::clone(&member.record),
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
        match self.table.get(id).and_then(|member| member.doubt.clone()) {
            Some(Doubt::SaidToLeave(word)) => self.mark_left(now, id, word.as_ref()),
            Some(Doubt::NameElsewhere) => self.suspect(now, id, Reason::Refusal),
            None => {}
        }
    }

    pub(super) fn suspect(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        let judged = self.detector.judged(now);
        let suspected = self.table.update(id, |member| {
            let newly = member.status == Status::Alive;
            if newly {
                member.status = Status::Suspect;
                member.since = now;
                member.reason = Some(reason);
            }
            member.doubt = None;
            (newly && member.is_confirmed())
                .then(|| (member.record.card.name.clone(), member.silent(judged)))
        });
        if let Some(Some((name, silent))) = suspected {
            self.changed = true;
            self.next_sweep = now;
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
        let reason = member.reason.unwrap_or(Reason::Silence);
        let (record, url) = (Arc::clone(&member.record), member.url().clone());
        let name = record.card.name.clone();
        self.table.update(id, |member| {
            member.status = Status::Dead;
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

    pub(super) fn forget(&mut self, now: Instant, id: &NodeId, reason: Reason) {
        if let Some(member) = self.table.remove(id) {
            self.changed = true;
            let name = member.record.card.name.clone();
            self.report(Event::Forgotten {
                id: id.clone(),
                name,
                gone: now.since(member.since),
                reason,
            });
        }
    }

    /// Forgets a dead member, and no other, because its owner told this node to.
    pub(super) fn dismiss(&mut self, now: Instant, id: &NodeId) {
        if self.status(id) == Some(Status::Dead) {
            self.forget(now, id, Reason::Dismissal);
        }
    }

    /// Takes note that hearsay did not answer.
    pub(super) fn note_no_answer(&mut self, id: &NodeId) {
        let tired = self.table.update(id, |member| match &mut member.standing {
            Standing::Confirmed => false,
            Standing::Hearsay { failures, .. } => {
                *failures += 1;
                *failures >= PATIENCE_WITH_HEARSAY
            }
        });
        if tired == Some(true) {
            self.table.remove(id);
            self.changed = true;
        }
    }

    /// Remembers an address to be asked in one of the next rounds.
    fn follow_lead(&mut self, url: &Url) {
        if self.leads.len() < MOST_LEADS && !self.leads.contains(url) {
            self.leads.push_back(url.clone());
        }
    }

    /// Nobody who was asked could reach a member: it has no more time to be heard of, and where exchanges with it fail it
    /// is sent nothing.
    pub(super) fn give_up_asking(&mut self, now: Instant, id: &NodeId) {
        let cut_off = self.table.update(id, |member| {
            if matches!(member.inquiry, Inquiry::Direct | Inquiry::ThroughOthers) {
                member.inquiry = Inquiry::Over;
            }
            member.cut_off = member.failures > 0;
            member.cut_off
        });
        self.changed |= cut_off == Some(true);
        self.next_sweep = now;
    }
}

/// Whether a pushed word differs so much from what is held that only the owner can vouch for it.
fn is_strange(word: &Record, held: &Record) -> bool {
    let leap = word
        .version
        .heartbeat
        .unix_millis()
        .saturating_sub(held.version.heartbeat.unix_millis());
    word.version.incarnation > held.version.incarnation
        || leap > LEAP_MILLIS
        || word.version > held.version && word.card.url != held.card.url
}

/// How long hearsay is kept at the most.
pub(super) const HEARSAY_KEPT: Duration = Duration::from_secs(60);
