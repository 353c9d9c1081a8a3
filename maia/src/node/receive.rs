//! Answers the calls of others.

use super::exchange::WORDS_AT_ONCE;
use super::hear::Evidence;
use super::questions::QUESTIONS_AT_ONCE;
use super::{CallId, Node, OnBehalf};
use crate::detector::question_timeout;
use crate::error::Invalid;
use crate::gossip;
use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Caller, Entry, Refusal, Reply, Request, State, Status, Subject, Table};
use crate::pulse::Standing;
use crate::time::Instant;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a caller waits for a third member to be asked, and how many may wait.
const ASKED_WITHIN: Duration = Duration::from_secs(1);
const MOST_ON_BEHALF: usize = 64;

impl Node {
    pub(super) fn receive(
        &mut self,
        now: Instant,
        call: CallId,
        caller: &Caller,
        request: Request,
    ) {
        if let Some(refusal) = self.refusal(caller, &request) {
            self.refuse(call, refusal);
            return;
        }
        match request {
            Request::State => self.reply_with_state(call, None),
            Request::Join(entry) => self.receive_join(now, call, caller, &entry),
            Request::Rejoin => self.rejoin(now, call),
            Request::Gossip(table) => self.receive_gossip(now, call, caller, table),
            Request::Exchange(beats) => self.receive_beats(now, call, caller, &beats),
            Request::Reconcile { table, wanted } => {
                self.receive_reconcile(now, call, caller, &table, &wanted);
            }
            Request::Heartbeat { entry, ask } => {
                self.receive_heartbeat(now, call, caller, &entry, ask);
            }
            Request::Leave(Subject::Myself) => self.leave(now, call),
            Request::Leave(Subject::Id(id)) => {
                self.ask_whether_it_left(now, &id, None);
                self.reply(call, Reply::Leave);
            }
            Request::Election => {
                let leader = self.leader.clone();
                self.reply(call, Reply::Election(leader));
            }
        }
    }

    /// What may not be asked of this node, by this caller or at this time.
    fn refusal(&self, caller: &Caller, request: &Request) -> Option<Refusal> {
        let about_self = matches!(request, Request::Rejoin | Request::Leave(Subject::Myself));
        if about_self && !caller.on_this_host {
            return Some(Refusal::NotFromHere);
        }
        let allowed_after_leaving = about_self || matches!(request, Request::State);
        (self.own.has_left() && !allowed_after_leaving).then_some(Refusal::Left)
    }

    pub(super) fn refuse(&mut self, call: CallId, refusal: Refusal) {
        self.counters.refused_requests += 1;
        self.reply(call, Reply::Refused(refusal));
    }

    /// Shows the mesh as seen here: to a joiner no more of it than a message may hold, each time others, for it hears of
    /// the rest by gossip. A joiner whose clock was set back also learns what it said of itself before.
    fn reply_with_state(&mut self, call: CallId, joiner: Option<&NodeId>) {
        let mut shown: Vec<Member<'_>> = gossip::shown(&self.table).collect();
        if joiner.is_some() && shown.len() >= WORDS_AT_ONCE {
            shown = self.rng.sample(shown, WORDS_AT_ONCE);
        }
        let shown = shown.into_iter();
        let shown = shown.map(|member| gossip::listed(member, self.leader.as_ref()));
        let mut entries: Vec<Entry> = std::iter::once(self.own_entry()).chain(shown).collect();
        if let Some(joiner) = joiner {
            self.remind(&mut entries, joiner);
        }
        let state = State {
            table: entries.into(),
            leader: self.leader.clone(),
            version: self.version,
        };
        self.reply(call, Reply::State(state));
    }

    /// Adds the last word of `caller`, if it is gone here: where somebody forged that, all that it says now is old news, and
    /// only itself can refute it.
    pub(super) fn remind(&self, entries: &mut Vec<Entry>, caller: &NodeId) {
        let is_told = entries.iter().any(|entry| entry.record.id == *caller);
        let last_word = self.book.last_word(caller).filter(|_| !is_told);
        entries.extend(last_word.map(|record| Entry {
            record: Arc::clone(record),
            status: Status::Dead,
            leader: false,
        }));
    }

    fn receive_join(&mut self, now: Instant, call: CallId, caller: &Caller, entry: &Entry) {
        match self.hear_caller(now, caller, entry) {
            Ok(()) => self.reply_with_state(call, Some(&entry.record.id)),
            Err(invalid) => self.refuse(call, Refusal::Invalid(invalid)),
        }
    }

    fn receive_heartbeat(
        &mut self,
        now: Instant,
        call: CallId,
        caller: &Caller,
        entry: &Entry,
        ask: Option<NodeId>,
    ) {
        if let Err(invalid) = self.hear_caller(now, caller, entry) {
            self.refuse(call, Refusal::Invalid(invalid));
            return;
        }
        let subject = ask.and_then(|id| {
            self.table
                .get(&id)
                .filter(|m| m.is_confirmed())
                .map(|m| (id, m.url().clone()))
        });
        match subject {
            Some((subject, url)) if self.on_behalf.len() < MOST_ON_BEHALF => {
                self.ask_about(now, url, &subject);
                let until = now + ASKED_WITHIN.min(question_timeout(&self.config).mul_f64(0.66));
                self.on_behalf.push(OnBehalf {
                    call,
                    subject,
                    until,
                });
            }
            _ => self.reply_to_heartbeat(call, None),
        }
    }

    fn reply_to_heartbeat(&mut self, call: CallId, asked: Option<Entry>) {
        let node = Some(self.own_entry());
        self.reply(call, Reply::Heartbeat { node, asked });
    }

    /// Answers those on whose behalf `subject` was asked: it said so and so.
    pub(super) fn pass_on(&mut self, subject: &NodeId, said: Option<&Entry>) {
        let (done, waiting) = std::mem::take(&mut self.on_behalf)
            .into_iter()
            .partition(|waiting| waiting.subject == *subject);
        self.on_behalf = waiting;
        let done: Vec<OnBehalf> = done;
        for waiting in done {
            self.reply_to_heartbeat(waiting.call, said.cloned());
        }
    }

    /// Answers those who have waited long enough for somebody else.
    pub(super) fn answer_on_behalf(&mut self, now: Instant) {
        if self.on_behalf.is_empty() {
            return;
        }
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.on_behalf)
            .into_iter()
            .partition(|waiting| waiting.until <= now);
        self.on_behalf = waiting;
        for waiting in done {
            self.reply_to_heartbeat(waiting.call, None);
        }
    }

    /// Hears the caller's word about itself, and asks it back where nobody vouches for it yet.
    fn hear_caller(&mut self, now: Instant, caller: &Caller, entry: &Entry) -> Result<(), Invalid> {
        self.check(&entry.record)?;
        let known = self.is_confirmed(&entry.record.id);
        self.hear(now, entry, Evidence::Pushed, known);
        if let (true, Some(address)) = (entry.record.card.url.is_unspecified(), caller.address) {
            self.call_back(now, entry, address);
        }
        self.ask_back(now, &entry.record.id);
        self.ask_the_crowded_out(now, entry);
        Ok(())
    }

    /// A caller that found no place in the table is asked all the same: once it has answered, hearsay makes way for it.
    pub(super) fn ask_the_crowded_out(&mut self, now: Instant, entry: &Entry) {
        let record = &entry.record;
        let is_here = record.id == *self.own.id() || self.table.get(&record.id).is_some();
        let is_sensible = entry.status == Status::Alive
            && !record.has_left()
            && !record.card.url.is_unspecified();
        if !is_here && is_sensible && !self.book.blocks(record, now) {
            self.ask(now, record.card.url.clone(), None, QUESTIONS_AT_ONCE);
        }
    }

    pub(super) fn ask_back(&mut self, now: Instant, id: &NodeId) {
        let unconfirmed = self.table.get(id).filter(|member| !member.is_confirmed());
        if let Some(url) = unconfirmed.map(|member| member.url().clone()) {
            self.ask_about(now, url, id);
        }
    }

    /// A node that advertises no address at all is looked for where its call came from.
    fn call_back(&mut self, now: Instant, entry: &Entry, address: IpAddr) {
        let id = &entry.record.id;
        let url = entry.record.card.url.on_host(address.to_canonical());
        let known_to_be_there = self
            .table
            .get(id)
            .is_some_and(|member| *member.url() == url);
        let may_call = url.may_be_called_from(&self.own.record.card.url);
        if *id == *self.own.id()
            || known_to_be_there
            || !may_call
            || self.table.holder(&url).is_some()
        {
            return;
        }
        if self.table.get(id).is_none() && !self.book.blocks(&entry.record, now) {
            self.enter(now, &entry.record, Standing::Hearsay, false);
        }
        self.table.update(id, |member| {
            if member.pulse.standing == Standing::Hearsay {
                member.odd_mut().reach = Some(url.clone());
            }
        });
        self.ask_about(now, url, id);
    }

    fn receive_gossip(&mut self, now: Instant, call: CallId, caller: &Caller, table: Table) {
        if let Err(refusal) = self.pass_over_spoiled(&table) {
            self.refuse(call, refusal);
            return;
        }
        let Table { entries, spoiled } = table;
        if let ([only], true) = (&entries[..], spoiled.is_empty()) {
            if let Err(invalid) = self.hear_caller(now, caller, only) {
                self.refuse(call, Refusal::Invalid(invalid));
                return;
            }
        } else {
            self.hear_pushed(now, caller, &entries);
        }
        let mut told = gossip::told(self.own_entry(), &self.table, self.leader.as_ref());
        let only = entries.first().filter(|_| entries.len() == 1);
        let speaker = caller.id.as_ref().or(only.map(|entry| &entry.record.id));
        if let Some(speaker) = speaker {
            self.remind(&mut told, speaker);
        }
        self.reply(call, Reply::Gossip(told.into()));
    }

    /// Counts the records that could not be read. They spoil the whole table, unless a member that is confirmed stands in
    /// it: a forged record must not cut this node off from everybody who relays it.
    pub(super) fn pass_over_spoiled(&mut self, table: &Table) -> Result<(), Refusal> {
        let vouched = || {
            table
                .entries
                .iter()
                .any(|entry| self.is_confirmed(&entry.record.id))
        };
        match table.spoiled.first() {
            Some(invalid) if !vouched() => Err(Refusal::Invalid(invalid.clone())),
            _ => {
                self.counters.skipped_records += table.spoiled.len() as u64;
                Ok(())
            }
        }
    }

    pub(super) fn is_confirmed(&self, id: &NodeId) -> bool {
        self.table
            .get(id)
            .is_some_and(|member| member.is_confirmed())
    }

    /// Says goodbye; the reply waits until the others have been told.
    fn leave(&mut self, now: Instant, call: CallId) {
        if !self.own.has_left() {
            self.own.leave();
            self.changed = true;
            for exchange in self.exchanges.clear() {
                self.outputs.push(super::Output::Abandon { exchange });
            }
            for waiting in std::mem::take(&mut self.on_behalf) {
                self.refuse(waiting.call, Refusal::Left);
            }
            self.introductions.clear();
            self.to_ask.clear();
            self.say_farewell(now);
        }
        self.leaving.push(call);
        self.finish_leaving();
    }

    /// Answers those who asked this node to leave, once nobody is left to be told.
    pub(super) fn finish_leaving(&mut self) {
        if self.own.has_left() && self.exchanges.deadline().is_none() {
            for call in std::mem::take(&mut self.leaving) {
                self.reply(call, Reply::Leave);
            }
        }
    }

    /// Comes back, in a new life, and looks for everyone it knew.
    fn rejoin(&mut self, now: Instant, call: CallId) {
        if self.own.has_left() {
            self.own.come_back(now);
            let judged = self.detector.judged(now);
            let known: Vec<NodeId> = self.table.present().map(|m| m.word().id.clone()).collect();
            for id in known {
                self.table.update(&id, |member| member.show_life(judged));
            }
            self.joined = self.is_its_only_seed();
            self.join_attempts = 0;
            self.started = now;
            self.next_join = now;
            self.next_round = now;
            self.next_heartbeat = now + self.config.heartbeat_interval;
            self.next_sweep = now + self.config.failure_timeout;
            self.changed = true;
            self.tell_everyone(now);
        }
        self.reply_with_state(call, None);
    }
}
