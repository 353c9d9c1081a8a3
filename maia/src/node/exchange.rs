//! The cheap exchange between our own nodes: counts of rounds where both hold the same, and what differs where not.

use super::exchanges::Purpose;
use super::hear::Evidence;
use super::{CallId, Node};
use crate::address::Url;
use crate::beats::{Beats, Held, Listed, LoadAt};
use crate::gossip;
use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Caller, Entry, Failure, Reply, Request, Status, Table};
use crate::record::id_hash;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Words that one message hands over, some 256 kB; the others follow in the next rounds.
const WORDS_AT_ONCE: usize = 640;
/// Load figures in one message.
const LOADS_AT_ONCE: usize = 64;
/// How often a load figure is passed on by each node that it is news to.
const TIMES_TOLD: u8 = 4;
/// A load that does not move is told again after so many heartbeat intervals, for those whom the news did not reach.
const LOAD_TOLD_AGAIN: u32 = 48;
/// A counted heartbeat that rises by more than this at once is not taken from a request.
const LEAP: Duration = Duration::from_secs(60 * 60);
/// How long a node that refused the cheap exchange is spoken to plainly.
const PLAINLY: Duration = Duration::from_secs(60);

impl Node {
    /// Whether a member can be offered the cheap exchange: it counts rounds, as only ours do.
    pub(super) fn is_offered(&self, now: Instant, member: &Member) -> bool {
        member.is_ours() && member.record.beat().is_some() && now >= member.plain_until
    }

    /// Stands for all the words that this node goes by: two nodes with the same one hold the same members, but for their
    /// heartbeats and load figures.
    pub fn fingerprint(&self) -> u64 {
        self.table.sum().wrapping_add(self.own.record.fingerprint())
    }

    pub(super) fn send_beats(&mut self, now: Instant, url: Url) {
        let request = Request::Exchange(self.beats());
        self.send(
            now,
            url,
            request,
            Purpose::Exchange,
            self.config.exchange_timeout,
        );
    }

    /// Tells the own load if that is due.
    pub(super) fn tell_load(&mut self) {
        let again = self.config.heartbeat_interval * LOAD_TOLD_AGAIN;
        let rounds = again.as_nanos() / self.own.tick().as_nanos().max(1);
        self.own
            .tell_load(u64::try_from(rounds).unwrap_or(u64::MAX), TIMES_TOLD);
    }

    /// What this node holds, counted.
    fn beats(&mut self) -> Beats {
        let mut beats = Beats {
            fingerprint: self.fingerprint(),
            beats: Vec::with_capacity(self.table.count_present() + 1),
            ..Beats::default()
        };
        let (own_id, own_beat) = (self.own.id().clone(), self.own.beats());
        let own_load = (self.own.load_news > 0).then_some(self.own.told_load);
        self.own.load_news = self.own.load_news.saturating_sub(1);
        let mut own_is_in = false;
        self.table.each_present(|member| {
            if !own_is_in && member.record.id > own_id {
                own_is_in = true;
                push_own(&mut beats, own_beat, own_load);
            }
            push(&mut beats, member);
        });
        if !own_is_in {
            push_own(&mut beats, own_beat, own_load);
        }
        beats
    }

    /// What this node holds, listed.
    fn listed(&self) -> Vec<Listed> {
        let one = |id: &NodeId, fingerprint: u64, beat: u64| Listed {
            id_hash: id_hash(id),
            fingerprint: fingerprint as u32,
            beat,
        };
        let own = one(
            self.own.id(),
            self.own.record.fingerprint(),
            self.own.beats(),
        );
        let others = self.table.present().map(|member| {
            let record = &member.record;
            one(&record.id, member.fingerprint, record.beat().unwrap_or(0))
        });
        std::iter::once(own).chain(others).collect()
    }

    pub(super) fn receive_beats(
        &mut self,
        now: Instant,
        call: CallId,
        caller: &Caller,
        beats: &Beats,
    ) {
        let known = caller.id.as_ref().and_then(|id| self.table.get(id));
        let same = known.is_some_and(Member::is_present) && self.holds_the_same(beats);
        let held = if same {
            self.take_beats(now, beats, Some(LEAP));
            Held::Same(self.beats())
        } else {
            Held::Other(self.listed())
        };
        self.reply(call, Reply::Held(held));
    }

    fn holds_the_same(&self, beats: &Beats) -> bool {
        beats.beats.len() == self.table.count_present() + 1
            && beats.fingerprint == self.fingerprint()
    }

    /// Takes in what somebody who holds the same words has counted. From a request no count is taken that rises by more
    /// than `most` at once.
    fn take_beats(&mut self, now: Instant, beats: &Beats, most: Option<Duration>) {
        let judged = self.detector.judged(now);
        let own_id = self.own.id().clone();
        let mut uneven = beats.uneven.iter().copied().peekable();
        let mut loads = beats.loads.iter().peekable();
        let (mut place, mut own_place) = (0_u32, None);
        let (mut returned, mut changed) = (Vec::new(), false);
        self.table.each_present(|member| {
            if own_place.is_none() && member.record.id > own_id {
                own_place = Some(place);
                uneven.next_if(|(at, _)| *at == place);
                loads.next_if(|(at, _)| *at == place);
                place += 1;
            }
            let counted = beats
                .beats
                .get(place as usize)
                .and_then(|beat| member.heartbeat_of(*beat));
            let told = uneven
                .next_if(|(at, _)| *at == place)
                .map(|(_, heartbeat)| heartbeat);
            let heartbeat = counted.or(told).filter(|heartbeat| {
                let held = member.record.version.heartbeat.unix_millis();
                let leap = Duration::from_millis(heartbeat.unix_millis().saturating_sub(held));
                most.is_none_or(|most| leap <= most)
            });
            if heartbeat.is_some_and(|heartbeat| member.raise(heartbeat, now, judged)) {
                changed = true;
                if member.status != Status::Alive {
                    returned.push(member.record.id.clone());
                }
            }
            if let Some((_, told)) = loads.next_if(|(at, _)| *at == place) {
                changed |= member.take_load(told, TIMES_TOLD);
            }
            place += 1;
        });
        self.changed |= changed;
        for id in returned {
            self.note_life(now, &id);
        }
        let own_place = own_place.unwrap_or(place) as usize;
        if beats
            .beats
            .get(own_place)
            .is_some_and(|beat| *beat > self.own.beats())
        {
            let word = self
                .own
                .record
                .with_heartbeat(self.own.impossible_heartbeat());
            self.hear_of_myself(now, &word);
        }
    }

    /// The answer to a cheap exchange. `trusted` says whether it came from a confirmed member.
    pub(super) fn take_held(&mut self, now: Instant, from: &Url, held: &Held, trusted: bool) {
        match held {
            _ if !trusted => self.gossip_with(now, from.clone(), Purpose::Gossip),
            // What is held here may have changed since the question.
            Held::Same(beats) if self.holds_the_same(beats) => self.take_beats(now, beats, None),
            Held::Same(_) => {}
            Held::Other(listed) => self.reconcile(now, from, listed),
        }
    }

    /// Compares what another node holds with what this one does: takes the counts of what is the same, hands over what
    /// the other lacks, and asks for what is lacking here.
    fn reconcile(&mut self, now: Instant, from: &Url, listed: &[Listed]) {
        let theirs: BTreeMap<u32, &Listed> = listed.iter().map(|one| (one.id_hash, one)).collect();
        let mut wanted = theirs.clone();
        let (mut words, mut counted) = (vec![self.own_entry()], Vec::new());
        wanted.remove(&id_hash(self.own.id()));
        for (id, member) in self
            .table
            .iter()
            .filter(|(_, member)| member.is_confirmed())
        {
            let hash = id_hash(id);
            match theirs.get(&hash) {
                Some(one) if one.fingerprint == member.fingerprint as u32 => {
                    wanted.remove(&hash);
                    counted.push((id.clone(), one.beat));
                }
                Some(_) => words.push(gossip::listed(member, self.leader.as_ref())),
                None if member.status == Status::Alive => {
                    words.push(gossip::listed(member, self.leader.as_ref()));
                }
                None => {}
            }
        }
        for (id, beat) in counted {
            self.take_count(now, &id, beat);
        }
        self.book.cross_out_old_news(&mut wanted);
        words.truncate(WORDS_AT_ONCE);
        let wanted: Vec<u32> = wanted.into_keys().take(WORDS_AT_ONCE).collect();
        if words.len() > 1 || !wanted.is_empty() {
            let request = Request::Reconcile {
                table: words.into(),
                wanted,
            };
            self.send(
                now,
                from.clone(),
                request,
                Purpose::Gossip,
                self.config.exchange_timeout,
            );
        }
    }

    /// Takes in the count of one member, from an answer.
    fn take_count(&mut self, now: Instant, id: &NodeId, beat: u64) {
        let judged = self.detector.judged(now);
        let risen = self.table.update(id, |member| {
            let heartbeat = member.heartbeat_of(beat);
            heartbeat.is_some_and(|heartbeat| member.raise(heartbeat, now, judged))
        });
        if risen == Some(true) {
            self.changed = true;
            self.note_life(now, id);
        }
    }

    pub(super) fn receive_reconcile(
        &mut self,
        now: Instant,
        call: CallId,
        caller: &Caller,
        table: &Table,
        wanted: &[u32],
    ) {
        if let Err(refusal) = self.pass_over_spoiled(table) {
            self.refuse(call, refusal);
            return;
        }
        let known = caller.id.as_ref().is_some_and(|id| self.is_confirmed(id));
        self.hear_all(now, &table.entries, Evidence::Pushed, known);
        if let (Some(id), false) = (&caller.id, known) {
            self.ask_back(now, id);
        }
        let pushed: BTreeSet<&NodeId> =
            table.entries.iter().map(|entry| &entry.record.id).collect();
        let wanted: BTreeSet<u32> = wanted.iter().copied().collect();
        let told = gossip::told(self.own_entry(), &self.table, self.leader.as_ref());
        let mut told = told.into_iter();
        let own = told.next();
        let answers = |entry: &Entry| {
            let id = &entry.record.id;
            wanted.contains(&id_hash(id)) || pushed.contains(id)
        };
        let entries: Vec<Entry> = own
            .into_iter()
            .chain(told.filter(answers).take(WORDS_AT_ONCE))
            .collect();
        self.reply(call, Reply::Gossip(entries.into()));
    }

    /// Where the cheap exchange is not understood, the plain one is.
    pub(super) fn speak_plainly(&mut self, now: Instant, url: &Url, failure: &Failure) {
        if !matches!(failure, Failure::Unusable(_)) {
            return;
        }
        if let Some(id) = self.table.holder(url).cloned() {
            self.table
                .update(&id, |member| member.plain_until = now + PLAINLY);
            self.gossip_with(now, url.clone(), Purpose::Gossip);
        }
    }
}

fn push(beats: &mut Beats, member: &mut Member) {
    let place = beats.beats.len() as u32;
    match member.record.beat() {
        Some(beat) => beats.beats.push(beat),
        None => {
            // A neighbour's count costs the least.
            let filler = beats.beats.last().copied().unwrap_or(0);
            beats.beats.push(filler);
            beats.uneven.push((place, member.record.version.heartbeat));
        }
    }
    if member.load_news > 0 && beats.loads.len() < LOADS_AT_ONCE {
        member.load_news -= 1;
        let (load, beat) = (member.record.card.load, member.load_beat);
        beats.loads.push((place, LoadAt { load, beat }));
    }
}

fn push_own(beats: &mut Beats, beat: u64, load: Option<LoadAt>) {
    let place = beats.beats.len() as u32;
    beats.beats.push(beat);
    beats.loads.extend(load.map(|load| (place, load)));
}
