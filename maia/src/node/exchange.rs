//! The cheap exchange between our own nodes: counts of rounds where both hold the same, and what differs where not.

use super::exchanges::Purpose;
use super::hear::Evidence;
use super::{CallId, Node};
use crate::address::Url;
use crate::beats::{Beats, Held, Listed};
use crate::gossip;
use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Caller, Entry, Failure, Reply, Request, Status, Table};
use crate::pulse::{Rise, Standing};
use crate::pulses::{Other, Stretch, Taken};
use crate::record::id_hash;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// Words that one message hands over, some 256 kB; the others follow in the next rounds.
pub(super) const WORDS_AT_ONCE: usize = 640;
/// Load figures in one message.
const LOADS_AT_ONCE: usize = 64;
/// How often a load figure is passed on by each node that it is news to.
const TIMES_TOLD: u8 = 6;
/// A load that does not move is told again after so many heartbeat intervals, for those whom the news did not reach.
const LOAD_TOLD_AGAIN: u32 = 48;
/// A heartbeat that rises by more than this at once is not taken from a request.
const LEAP: Duration = Duration::from_secs(60 * 60);
/// How long a node that refused the cheap exchange is spoken to plainly.
const PLAINLY: Duration = Duration::from_secs(60);

impl Node {
    /// Whether a member can be offered the cheap exchange: it counts rounds, as only ours do.
    pub(super) fn is_offered(&self, now: Instant, member: Member<'_>) -> bool {
        member.is_ours() && member.pulse.counts_rounds() && now >= member.odd().plain_until
    }

    /// Stands for all the words that this node goes by: two nodes with the same one hold the same members, but for their
    /// heartbeats and load figures.
    pub fn fingerprint(&self) -> u64 {
        self.table.sum().wrapping_add(self.own.fingerprint())
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
        let seat = self.table.seat();
        let mut counts = Vec::with_capacity(self.table.count_present() + 1);
        let mut special = Vec::new();
        self.count(0..seat, &mut counts, &mut special);
        let own_count = counts.len();
        counts.push(self.own.beats());
        self.count(seat..self.table.len(), &mut counts, &mut special);
        let mut beats = Beats {
            fingerprint: self.fingerprint(),
            beats: counts,
            ..Beats::default()
        };
        if self.own.load_news > 0 {
            self.own.load_news -= 1;
            beats.loads.push((own_count as u32, self.own.told_load));
        }
        for (count, place) in special {
            self.tell_of(&mut beats, count as u32, place);
        }
        beats.loads.sort_by_key(|(count, _)| *count);
        beats
    }

    /// Counts those at `places`. Of some there is more to tell than that: those are noted, by count and place.
    fn count(
        &self,
        places: Range<usize>,
        counts: &mut Vec<u64>,
        special: &mut Vec<(usize, usize)>,
    ) {
        let pulses = self.table.pulses();
        for Stretch { plain, other } in pulses.stretches(places) {
            counts.extend_from_slice(pulses.beats(plain));
            let other = other.map(Other::place);
            let other = other.and_then(|place| Some((place, pulses.get(place)?)));
            let Some((place, pulse)) = other.filter(|(_, pulse)| pulse.is_present()) else {
                continue;
            };
            if pulse.load_news > 0 || !pulse.counts_rounds() {
                special.push((counts.len(), place));
            }
            // For one who counts none, a neighbour's count costs the least.
            let neighbour = counts.last().copied().unwrap_or(pulse.beat);
            counts.push(if pulse.counts_rounds() {
                pulse.beat
            } else {
                neighbour
            });
        }
    }

    /// Adds what a count does not say: the heartbeat of one who counts no rounds, and a load that is news.
    fn tell_of(&mut self, beats: &mut Beats, count: u32, place: usize) {
        self.table.stir(place, |member| {
            if !member.pulse.counts_rounds() {
                let heartbeat = member.word().version.heartbeat;
                beats.uneven.push((count, heartbeat));
            }
            if member.pulse.load_news > 0 && beats.loads.len() < LOADS_AT_ONCE {
                member.pulse.load_news -= 1;
                beats.loads.push((count, member.load()));
            }
        });
    }

    /// What this node holds, listed.
    fn listed(&self) -> Vec<Listed> {
        let own = Listed {
            id_hash: id_hash(self.own.id()),
            fingerprint: self.own.fingerprint() as u32,
            beat: self.own.beats(),
        };
        let pulses = self.table.pulses();
        let beats = pulses.beats(0..pulses.len()).iter();
        let all = pulses.signs().iter().zip(self.table.prints()).zip(beats);
        let others = all.filter(|((signs, _), _)| signs.is_present());
        let others = others.map(|((_, print), beat)| Listed {
            id_hash: print.id_hash,
            fingerprint: print.word,
            beat: *beat,
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
            self.take_beats(now, beats, Evidence::Pushed);
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
    /// than [`LEAP`] at once.
    fn take_beats(&mut self, now: Instant, beats: &Beats, evidence: Evidence) {
        let rise = Rise::at(self.detector.judged(now));
        let (seat, end) = (self.table.seat(), self.table.len());
        let (mut counts, mut taken) = (beats.beats.as_slice(), Taken::default());
        let pulses = self.table.pulses_mut();
        pulses.take(0..seat, &mut counts, rise, LEAP, &mut taken);
        let own_count = counts.split_first().map(|(own, rest)| {
            counts = rest;
            *own
        });
        pulses.take(seat..end, &mut counts, rise, LEAP, &mut taken);
        self.risen |= taken.has_risen;
        let ids = |places: &[usize]| -> Vec<NodeId> {
            let members = places.iter().filter_map(|place| self.table.at(*place));
            members.map(|member| member.word().id.clone()).collect()
        };
        let returned = ids(&taken.returned);
        let (far, counts): (Vec<usize>, Vec<u64>) = taken.leaping.into_iter().unzip();
        let far: Vec<(NodeId, u64)> = ids(&far).into_iter().zip(counts).collect();
        self.take_what_is_not_counted(now, beats, evidence);
        for id in returned {
            self.note_life(now, &id);
        }
        if evidence == Evidence::Fetched {
            for (id, beat) in far {
                if let Ok(place) = self.table.place(&id) {
                    self.take_count(now, place, beat);
                }
            }
        }
        if own_count.is_some_and(|beat| beat > self.own.beats()) {
            let word = self
                .own
                .record
                .with_heartbeat(self.own.impossible_heartbeat());
            self.hear_of_myself(now, &word);
        }
    }

    /// Takes in the heartbeats of those who count no rounds, and loads.
    fn take_what_is_not_counted(&mut self, now: Instant, beats: &Beats, evidence: Evidence) {
        if beats.uneven.is_empty() && beats.loads.is_empty() {
            return;
        }
        let judged = self.detector.judged(now);
        let places = self.counted_places();
        let place_of = |count: u32| places.get(count as usize).copied().flatten();
        for (count, told) in &beats.loads {
            let newer = place_of(*count).and_then(|place| {
                self.table.stir(place, |member| {
                    let newer = member.row.take_load(told);
                    if newer {
                        member.pulse.load_news = TIMES_TOLD;
                    }
                    newer
                })
            });
            self.risen |= newer == Some(true);
        }
        let mut returned = Vec::new();
        for (count, heartbeat) in &beats.uneven {
            let risen = place_of(*count).and_then(|place| {
                self.table.stir(place, |member| {
                    let held = member.word().version.heartbeat.unix_millis();
                    let leap = heartbeat.unix_millis().saturating_sub(held);
                    let too_far =
                        evidence == Evidence::Pushed && Duration::from_millis(leap) > LEAP;
                    let risen = !member.pulse.counts_rounds()
                        && !too_far
                        && member.raise_unevenly(*heartbeat, judged);
                    risen.then(|| member.word().id.clone())
                })
            });
            returned.extend(risen.flatten());
        }
        self.risen |= !returned.is_empty();
        for id in returned {
            self.note_life(now, &id);
        }
    }

    /// Where the pulse of each counted member is, in the order of counting; nowhere for this node itself.
    fn counted_places(&self) -> Vec<Option<usize>> {
        let signs = self.table.pulses().signs().iter().enumerate();
        let present = signs.filter(|(_, signs)| signs.is_present());
        let mut places: Vec<Option<usize>> = present.map(|(place, _)| Some(place)).collect();
        let seat = self.table.seat();
        let own_count = places.partition_point(|place| *place < Some(seat));
        places.insert(own_count, None);
        places
    }

    /// The answer to a cheap exchange. `trusted` says whether it came from a confirmed member.
    pub(super) fn take_held(&mut self, now: Instant, from: &Url, held: &Held, trusted: bool) {
        match held {
            _ if !trusted => self.gossip_with(now, from.clone(), Purpose::Gossip),
            // What is held here may have changed since the question.
            Held::Same(beats) if self.holds_the_same(beats) => {
                self.take_beats(now, beats, Evidence::Fetched);
            }
            Held::Same(_) => {}
            Held::Other(listed) => self.reconcile(now, from, listed),
        }
    }

    /// Compares what another node holds with what this one does: takes the counts of what is the same, hands over what
    /// the other lacks, and asks for what is lacking here.
    fn reconcile(&mut self, now: Instant, from: &Url, listed: &[Listed]) {
        let mut theirs: Vec<&Listed> = listed.iter().collect();
        theirs.sort_unstable_by_key(|one| one.id_hash);
        let mut wanted = vec![true; theirs.len()];
        let own_hash = id_hash(self.own.id());
        let place_of = |hash: u32| theirs.binary_search_by_key(&hash, |one| one.id_hash).ok();
        let own = place_of(own_hash);
        own.into_iter().for_each(|own| wanted[own] = false);
        let own_print = self.own.fingerprint() as u32;
        let knows_me = own.is_some_and(|own| theirs[own].fingerprint == own_print);
        let (mut lacking, mut counted) = (Vec::new(), Vec::new());
        let pulses = self.table.pulses();
        let beats = pulses.beats(0..pulses.len()).iter();
        let all = pulses.signs().iter().zip(self.table.prints()).zip(beats);
        for (place, ((signs, print), beat)) in all.enumerate() {
            if signs.standing == Standing::Hearsay {
                continue;
            }
            // No count of the life that somebody left says that it is back.
            let may_count = signs.status != Status::Left;
            match place_of(print.id_hash) {
                Some(at) if theirs[at].fingerprint == print.word => {
                    wanted[at] = false;
                    if may_count && theirs[at].beat > *beat {
                        counted.push((place, theirs[at].beat));
                    }
                }
                None if signs.status != Status::Alive => {}
                _ => lacking.push(place),
            }
        }
        let mut wanted: BTreeMap<u32, &Listed> = theirs
            .iter()
            .zip(wanted)
            .filter(|(_, wanted)| *wanted)
            .map(|(one, _)| (one.id_hash, *one))
            .collect();
        for (place, beat) in counted {
            self.take_count(now, place, beat);
        }
        self.book.cross_out_old_news(&mut wanted);
        // Where not all fit into a message, everybody tells and wants others, so that one does not hear the same of all.
        let wanted = self.rng.sample(wanted.into_keys().collect(), WORDS_AT_ONCE);
        let told = self.rng.sample(lacking, WORDS_AT_ONCE - 1);
        let told = told.into_iter().filter_map(|place| self.table.at(place));
        let told = told.map(|member| gossip::listed(member, self.leader.as_ref()));
        let words: Vec<Entry> = std::iter::once(self.own_entry()).chain(told).collect();
        if words.len() > 1 || !wanted.is_empty() || !knows_me {
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

    /// Takes in the count of the member at `place`, from an answer.
    fn take_count(&mut self, now: Instant, place: usize, beat: u64) {
        let rise = Rise::at(self.detector.judged(now));
        let returned = self.table.stir(place, |member| {
            let rounds = member.word().rounds();
            let exists = rounds.is_some_and(|rounds| rounds.heartbeat(beat).is_some());
            let risen = exists && beat > member.pulse.beat;
            if risen {
                member.pulse.raise(beat, rise);
            }
            let is_back = member.pulse.status != Status::Alive;
            risen.then(|| is_back.then(|| member.word().id.clone()))
        });
        if let Some(Some(returned)) = returned {
            self.risen = true;
            if let Some(id) = returned {
                self.note_life(now, &id);
            }
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
        self.hear_pushed(now, caller, &table.entries);
        let mut places: BTreeSet<usize> = self.table.hashed(wanted).collect();
        let pushed = table.entries.iter().map(|entry| &entry.record.id);
        places.extend(pushed.filter_map(|id| self.table.place(id).ok()));
        let asked_for = places.into_iter().filter_map(|place| self.table.at(place));
        let told = asked_for.filter(|member| gossip::is_worth_telling(*member));
        let told = told.map(|member| gossip::listed(member, self.leader.as_ref()));
        let mut entries: Vec<Entry> = std::iter::once(self.own_entry())
            .chain(told.take(WORDS_AT_ONCE))
            .collect();
        if let Some(caller) = &caller.id {
            self.remind(&mut entries, caller);
        }
        self.reply(call, Reply::Gossip(entries.into()));
    }

    /// Where the cheap exchange is not understood, the plain one is.
    pub(super) fn speak_plainly(&mut self, now: Instant, url: &Url, failure: &Failure) {
        if !matches!(failure, Failure::Unusable(_)) {
            return;
        }
        if let Some(id) = self.table.holder(url).cloned() {
            self.table
                .update(&id, |member| member.odd_mut().plain_until = now + PLAINLY);
            self.gossip_with(now, url.clone(), Purpose::Gossip);
        }
    }
}
