//! Weighs what is said of others: what came pushed is a reason to ask, what we fetched is evidence.

use super::Node;
use super::exchange::WORDS_AT_ONCE;
use crate::address::Url;
use crate::error::Invalid;
use crate::event::{Event, Reason};
use crate::member::{Member, Row};
use crate::message::{Caller, Entry, Status};
use crate::pulse::{Pulse, Standing};
use crate::record::{Record, id_hash};
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

impl Node {
    /// Whether `record` is one that this node could take at all.
    pub(super) fn check(&mut self, record: &Record) -> Result<(), Invalid> {
        let most = self.config.limits.record_bytes;
        if !record.fits_in(most) {
            let size = record.size_bytes();
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
        // All are looked at first: each lies elsewhere in memory, and like this none waits for the one before.
        let sound: Vec<bool> = entries
            .iter()
            .map(|entry| self.check(&entry.record).is_ok())
            .collect();
        for (entry, is_sound) in entries.iter().zip(sound) {
            if is_sound {
                self.hear(now, entry, evidence, known_sender);
            } else {
                self.counters.skipped_records += 1;
            }
        }
    }

    /// Hears a table that `caller` pushed. A node of ours is asked itself about those it tells of first: its answer
    /// vouches for it and for all of them, so that they need not be asked one by one.
    pub(super) fn hear_pushed(&mut self, now: Instant, caller: &Caller, entries: &[Entry]) {
        let teller = caller.id.as_ref().and_then(|id| self.table.get(id));
        let known_sender = teller.is_some_and(Member::is_confirmed);
        let speaks_otherwise = teller.is_some_and(|teller| !self.is_offered(now, teller));
        let Some(id) = &caller.id else {
            self.hear_all(now, entries, Evidence::Pushed, known_sender);
            return;
        };
        let (unheard_of, heard_of): (Vec<Entry>, Vec<Entry>) =
            entries.iter().cloned().partition(|entry| {
                let is_other = entry.record.id != *id;
                is_other && !speaks_otherwise && self.is_unheard_of(now, entry)
            });
        self.hear_all(now, &heard_of, Evidence::Pushed, known_sender);
        if !unheard_of.is_empty() {
            let hashes = unheard_of.iter().map(|entry| id_hash(&entry.record.id));
            self.ask_for(now, id, hashes.take(WORDS_AT_ONCE).collect());
        }
        if !known_sender {
            self.ask_back(now, id);
            if let Some(entry) = heard_of.iter().find(|entry| entry.record.id == *id) {
                self.ask_the_crowded_out(now, entry);
            }
        }
    }

    /// Whether `entry` would be news of somebody who is no member yet.
    fn is_unheard_of(&mut self, now: Instant, entry: &Entry) -> bool {
        let record = &entry.record;
        record.id != *self.own.id()
            && entry.status == Status::Alive
            && !record.has_left()
            && !self.is_confirmed(&record.id)
            && !self.book.blocks(record, now)
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
            return;
        }
        let Some(held) = self.table.get(&record.id) else {
            self.hear_first(now, entry, evidence, known_sender);
            return;
        };
        // Most of what is told is known.
        let (is_news, is_hearsay) = (held.is_superseded_by(record), !held.is_confirmed());
        if is_news {
            self.hear_news(now, record, evidence);
        }
        let is_vouched = evidence == Evidence::Fetched && entry.status == Status::Alive;
        if is_vouched && (is_news || is_hearsay) {
            self.confirm_if_same(now, record);
        }
    }

    pub(super) fn hear_of_myself(&mut self, now: Instant, word: &Record) {
        if self.own.is_misquoted(word) {
            let above = word.version.incarnation;
            self.own.begin_anew(now, above, Some(&mut self.rng));
            self.table.rename(self.own.id());
            self.stakes = None;
            self.counters.refutations += 1;
            self.changed = true;
            self.report(Event::Refuted);
        }
    }

    /// Hears a word about a member that supersedes the one held.
    fn hear_news(&mut self, now: Instant, word: &Arc<Record>, evidence: Evidence) {
        let Some(held) = self.table.get(&word.id) else {
            return;
        };
        let (held_word, status) = (held.record(), held.status());
        if status == Status::Left && word.version.incarnation <= held_word.version.incarnation {
            return;
        }
        if word.has_left() {
            match evidence {
                Evidence::Pushed => self.ask_whether_it_left(now, &word.id, Some(Arc::clone(word))),
                Evidence::Fetched | Evidence::Owner => self.mark_left(now, &word.id, Some(word)),
            }
            return;
        }
        if evidence == Evidence::Pushed && is_strange(word, &held_word) {
            let url = held.url().clone();
            if word.card.url != held_word.card.url && !word.card.url.is_unspecified() {
                self.follow_lead(&word.card.url);
            }
            self.ask_about(now, url, &word.id);
            return;
        }
        let moves = word.card.url != held_word.card.url;
        let moves_here = moves && word.card.url == self.own.record.card.url;
        if moves_here || moves && !self.may_take_address(now, word) {
            return;
        }
        self.take(now, word);
    }

    /// Takes a newer word about a known member in.
    fn take(&mut self, now: Instant, word: &Arc<Record>) {
        let judged = self.detector.judged(now);
        let risen = self
            .table
            .update(&word.id, |member| member.take(word, judged));
        self.changed = true;
        if risen == Some(true) {
            self.note_life(now, &word.id);
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
            Evidence::Pushed => Standing::Hearsay,
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
        if is_hearsay && !known_sender && !self.spend_stranger(now) {
            self.counters.rationed += 1;
            return false;
        }
        if !self.make_room(is_hearsay) {
            self.counters.crowded_out += 1;
            return false;
        }
        self.ask_namesake(now, record);
        let judged = self.detector.judged(now);
        let mut row = Row::new(Arc::clone(record), now, judged);
        if is_hearsay {
            row.odd_mut().hearsay_since = now;
        }
        self.table.insert(Pulse::new(record, standing, judged), row);
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
            member.version() >= word.version && member.word().card.url == word.card.url
        });
        if is_same {
            self.confirm(now, &word.id, Reason::Vouched);
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
        let latest = self
            .table
            .unconfirmed()
            .map(|member| (member.odd().hearsay_since, member.word().id.clone()))
            .max();
        latest.is_some_and(|(_, id)| self.table.remove(&id).is_some())
    }

    /// Remembers an address to be asked in one of the next rounds.
    fn follow_lead(&mut self, url: &Url) {
        if self.leads.len() < MOST_LEADS && !self.leads.contains(url) {
            self.leads.push_back(url.clone());
        }
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
        || word.version >= held.version && word.card.url != held.card.url
}

/// How long hearsay is kept at the most.
pub(super) const HEARSAY_KEPT: Duration = Duration::from_secs(60);
