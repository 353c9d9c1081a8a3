//! Takes in what comes of this node's own exchanges.

use super::exchanges::{Pending, Purpose};
use super::hear::Evidence;
use super::questions::INTRODUCTIONS;
use super::{ExchangeId, Node};
use crate::address::Url;
use crate::event::{Event, Reason};
use crate::id::NodeId;
use crate::message::{Answer, Entry, Failure, Reply, Status};
use crate::pulse::{Inquiry, Standing};
use crate::time::Instant;
use std::cmp::Reverse;

impl Node {
    pub(super) fn answered(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        answer: Result<Answer, Failure>,
    ) {
        match answer {
            Ok(answer) => self.heard_back(now, exchange, answer),
            Err(failure) => self.failed(now, exchange, &failure),
        }
    }

    fn heard_back(&mut self, now: Instant, exchange: ExchangeId, answer: Answer) {
        let Some(pending) = self.exchanges.end(exchange) else {
            return;
        };
        if self.own.has_left() {
            self.go_on_leaving(now, &pending);
            return;
        }
        if answer.from.as_ref() == Some(self.own.id()) {
            self.found_myself(&pending.to);
            return;
        }
        let speaks_ours = answer.from.is_some();
        let (held, reply) = match answer.reply {
            Reply::Held(held) => (Some(held), None),
            reply => (None, Some(reply)),
        };
        let (entries, asked, spoiled) = reply.map_or_else(Default::default, contents);
        self.counters.skipped_records += spoiled as u64;
        let speaker = answer
            .from
            .or_else(|| self.older_speaker(&pending, &entries));
        let trusted = speaker
            .as_ref()
            .is_some_and(|speaker| self.heard_from(now, &pending, speaker, speaks_ours, &entries));
        let evidence = if trusted && speaks_ours {
            Evidence::Fetched
        } else {
            Evidence::Pushed
        };
        self.hear_all(now, &entries, evidence, trusted);
        if let Some(held) = held {
            self.take_held(now, &pending.to, &held, trusted && speaks_ours);
        }
        self.hear_all(now, asked.as_slice(), evidence, trusted);
        let reached = asked.is_some();
        self.conclude(now, &pending, speaker.as_ref(), &entries, reached);
    }

    /// Who an older node is, which does not say: the record whose URL was called, and of several the one with the latest
    /// heartbeat, for it never forgets who was there before it and refreshes only its own; or the one that was meant,
    /// where it has no address of its own. None of ours, for they say who they are.
    fn older_speaker(&self, pending: &Pending, entries: &[Entry]) -> Option<NodeId> {
        let meant = match &pending.purpose {
            Purpose::Ask(Some(id)) => Some(id),
            _ => self.table.holder(&pending.to),
        };
        let unplaced = |entry: &&Entry| {
            let url = &entry.record.card.url;
            url.is_unspecified() && url.port() == pending.to.port()
        };
        let called = entries
            .iter()
            .filter(|entry| entry.record.card.url == pending.to);
        let says_who_it_is = |entry: &&Entry| {
            let member = self.table.get(&entry.record.id);
            member.is_some_and(|member| member.pulse.speaks_ours == Some(true))
        };
        let latest = called
            .filter(|entry| !says_who_it_is(entry))
            .max_by_key(|entry| entry.record.version.heartbeat);
        let as_meant = || {
            entries
                .iter()
                .find(|e| unplaced(e) && Some(&e.record.id) == meant)
        };
        let only_one = || {
            let mut unplaced = entries.iter().filter(unplaced);
            unplaced.next().filter(|_| unplaced.next().is_none())
        };
        let found = latest.or_else(as_meant).or_else(only_one);
        found.map(|entry| entry.record.id.clone())
    }

    /// Takes in that `speaker` answered. True if it is confirmed by that, or was before.
    fn heard_from(
        &mut self,
        now: Instant,
        pending: &Pending,
        speaker: &NodeId,
        speaks_ours: bool,
        entries: &[Entry],
    ) -> bool {
        let own_word = entries.iter().find(|entry| entry.record.id == *speaker);
        if let Some(entry) = own_word {
            self.hear_owner(now, pending, entry);
        }
        // Whoever answers at a seed was named by the person who runs this node.
        let is_seed = self.seeds.iter().any(|seed| seed.url == pending.to);
        let confirmed = self
            .table
            .get(speaker)
            .is_some_and(|member| is_seed || *member.url() == pending.to);
        if !confirmed {
            return false;
        }
        self.settle(now, &pending.to, speaker);
        let was_cut_off = self.table.update(speaker, |member| {
            member.pulse.speaks_ours = Some(speaks_ours);
            member.odd_mut().failures = 0;
            std::mem::take(&mut member.odd_mut().cut_off)
        });
        self.changed |= was_cut_off == Some(true);
        self.confirm(now, speaker, Reason::Answered);
        self.wake();
        if !speaks_ours {
            let judged = self.detector.judged(now);
            self.table
                .update(speaker, |member| member.show_life(judged));
            self.note_life(now, speaker);
        }
        true
    }

    /// Hears what a node says of itself in its own answer.
    fn hear_owner(&mut self, now: Instant, pending: &Pending, entry: &Entry) {
        if self.check(&entry.record).is_err() {
            self.counters.skipped_records += 1;
            return;
        }
        let url = &entry.record.card.url;
        let is_seed = self.seeds.iter().any(|seed| seed.url == pending.to);
        if url.is_unspecified() {
            self.place(now, pending, entry);
        } else if *url == pending.to {
            self.settle(now, url, &entry.record.id);
        }
        let evidence = if *url == pending.to || url.is_unspecified() || is_seed {
            Evidence::Owner
        } else {
            Evidence::Pushed
        };
        self.hear(now, entry, evidence, true);
    }

    /// Notes where a node that advertises no address was reached.
    fn place(&mut self, now: Instant, pending: &Pending, entry: &Entry) {
        let id = &entry.record.id;
        self.settle(now, &pending.to, id);
        if self.table.get(id).is_none() && !self.book.blocks(&entry.record, now) {
            self.enter(now, &entry.record, Standing::Hearsay, true);
        }
        self.table.update(id, |member| {
            member.odd_mut().reach = Some(pending.to.clone());
        });
    }

    /// Draws from an answer what it means for what was asked.
    fn conclude(
        &mut self,
        now: Instant,
        pending: &Pending,
        speaker: Option<&NodeId>,
        entries: &[Entry],
        reached: bool,
    ) {
        if let (Some(speaker), Some(seed)) = (
            speaker,
            self.seeds.iter_mut().find(|seed| seed.url == pending.to),
        ) {
            seed.node = Some(speaker.clone());
            seed.outcome = Some(Ok(()));
        }
        match &pending.purpose {
            Purpose::Join => self.joined_through(now, &pending.to, speaker, entries),
            Purpose::Ask(about) => {
                if let Some(about) = about {
                    self.conclude_question(now, about, speaker, entries);
                }
            }
            Purpose::AskThrough(subject) => self.helper_returned(now, subject, reached),
            Purpose::Gossip
            | Purpose::Exchange
            | Purpose::LookAt
            | Purpose::Tell
            | Purpose::SayGoodbye
            | Purpose::Farewell => {}
        }
        self.introduce(now);
        self.ask_more(now);
    }

    fn conclude_question(
        &mut self,
        now: Instant,
        about: &NodeId,
        speaker: Option<&NodeId>,
        entries: &[Entry],
    ) {
        let said = entries.iter().find(|entry| entry.record.id == *about);
        self.pass_on(about, said.filter(|_| speaker == Some(about)));
        if speaker == Some(about) {
            // It answered, so whatever else was said of it is settled.
            self.table
                .update(about, |member| member.odd_mut().doubt = None);
        } else {
            if speaker.is_none() {
                // Nothing of itself in the answer: an older node, to be asked in its own way from now on.
                self.table
                    .update(about, |member| member.pulse.speaks_ours = Some(false));
            }
            self.note_no_answer(about);
        }
        self.go_on_asking(now, about);
    }

    /// If the direct question brought no sign of life, others are asked.
    fn go_on_asking(&mut self, now: Instant, about: &NodeId) {
        let asked = self.table.get(about).map(|member| member.pulse.inquiry);
        if asked == Some(Inquiry::Direct) {
            self.ask_through_others(now, about);
        }
    }

    /// Somebody who was asked about `subject` has come back, or not, and has `reached` it, or not.
    fn helper_returned(&mut self, now: Instant, subject: &NodeId, reached: bool) {
        let nobody_reached_it = self.table.update(subject, |member| {
            let helpers = &mut member.odd_mut().helpers;
            let was_last = *helpers == 1;
            *helpers = if reached {
                0
            } else {
                helpers.saturating_sub(1)
            };
            was_last && !reached
        });
        if nobody_reached_it == Some(true) {
            self.give_up_asking(now, subject);
        }
    }

    fn joined_through(
        &mut self,
        now: Instant,
        seed: &Url,
        speaker: Option<&NodeId>,
        entries: &[Entry],
    ) {
        if !self.joined {
            self.joined = true;
            self.report(Event::JoinedThrough { seed: seed.clone() });
        }
        let others = entries.iter().map(|entry| &entry.record.id);
        let strangers = others.filter(|id| Some(*id) != speaker && *id != self.own.id());
        self.introductions = strangers.take(INTRODUCTIONS).cloned().collect();
        self.changed = true;
        self.introduce(now);
        self.ask_more(now);
    }

    /// An exchange brought nothing.
    pub(super) fn failed(&mut self, now: Instant, exchange: ExchangeId, failure: &Failure) {
        let Some(pending) = self.exchanges.end(exchange) else {
            return;
        };
        if self.own.has_left() {
            self.go_on_leaving(now, &pending);
            return;
        }
        self.counters.failed_exchanges += 1;
        if let Some(there) = self.still_meant(&pending) {
            match failure {
                Failure::Left => self.mark_left_by_refusal(now, &there),
                Failure::Refused => self.note_refusal(now, &there),
                Failure::TimedOut
                | Failure::Unreachable(_)
                | Failure::InTrouble(_)
                | Failure::Unusable(_) => {}
            }
            if *failure != Failure::Left {
                self.note_failed_exchange(now, &there);
            }
        }
        match &pending.purpose {
            Purpose::Join => self.seed_failed(&pending.to, failure),
            Purpose::Exchange => self.speak_plainly(now, &pending.to, failure),
            Purpose::Ask(Some(about)) => {
                self.pass_on(about, None);
                self.note_no_answer(about);
                self.go_on_asking(now, about);
            }
            Purpose::AskThrough(subject) => self.helper_returned(now, subject, false),
            _ => {}
        }
        self.introduce(now);
        self.ask_more(now);
    }

    /// Who was meant by an exchange, if that is still the one that is held there, in the same life.
    fn still_meant(&self, pending: &Pending) -> Option<NodeId> {
        let (id, incarnation) = pending.meant.as_ref()?;
        let member = self.table.get(id)?;
        (member.word().version.incarnation == *incarnation).then(|| id.clone())
    }

    /// The node at its address says that it left; its own word on it may have come along before.
    fn mark_left_by_refusal(&mut self, now: Instant, id: &NodeId) {
        let doubt = self
            .table
            .get(id)
            .and_then(|member| member.odd().doubt.clone());
        let word = match doubt {
            Some(crate::member::Doubt::SaidToLeave(word)) => word,
            _ => None,
        };
        let is_back = self
            .table
            .get(id)
            .is_some_and(|member| member.status() == Status::Left);
        if !is_back {
            self.mark_left(now, id, word.as_ref());
        }
    }

    fn seed_failed(&mut self, url: &Url, failure: &Failure) {
        let text = failure.to_string();
        let Some(seed) = self.seeds.iter_mut().find(|seed| seed.url == *url) else {
            return;
        };
        let is_news = seed.outcome != Some(Err(text.clone()));
        seed.outcome = Some(Err(text.clone()));
        if is_news {
            self.changed = true;
            self.report(Event::SeedFailed {
                seed: url.clone(),
                failure: text,
            });
        }
    }

    /// Once it left, all a node still waits for is that the others know.
    fn go_on_leaving(&mut self, now: Instant, pending: &Pending) {
        if pending.purpose == Purpose::SayGoodbye {
            self.send_farewell(now, pending.to.clone());
        }
        self.finish_leaving();
    }
}

/// The records of an answer: those of the table or the speaker's own, that of a third member, and how many were bad.
fn contents(reply: Reply) -> (Vec<Entry>, Option<Entry>, usize) {
    match reply {
        Reply::State(state) => (
            newest_first(state.table.entries),
            None,
            state.table.spoiled.len(),
        ),
        Reply::Gossip(table) => (table.entries, None, table.spoiled.len()),
        Reply::Heartbeat { node, asked } => (node.into_iter().collect(), asked, 0),
        Reply::Held(_) | Reply::Leave | Reply::Election(_) | Reply::Refused(_) => {
            (Vec::new(), None, 0)
        }
    }
}

/// A joiner introduces itself to the latest joiners first: they are the least known.
fn newest_first(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(|entry| Reverse(entry.record.version.incarnation));
    entries
}
