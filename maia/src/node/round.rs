//! What is due: rounds of gossip, attempts to join, and what silence has become.

use super::exchanges::Purpose;
use super::seeds::Seed;
use super::{Input, Node};
use crate::address::Url;
use crate::detector::Verdict;
use crate::event::Reason;
use crate::gossip;
use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Entry, Failure, Request, Status, Subject};
use crate::pulse::Pulse;
use crate::pulses::Stretch;
use crate::time::{Instant, Wall};
use std::cmp::Reverse;
use std::time::Duration;

/// Questions about silence that a round allows.
const SILENT_A_ROUND: usize = 16;
/// A sleep, or a jump of the time of day, after which another may lead; shorter where death comes sooner.
const LONG_SLEEP: Duration = Duration::from_secs(5);
/// The shortest time between two looks at everybody's silence.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// Members that are told at once when something changes.
const TOLD_AT_ONCE: usize = 64;
/// The pause between two attempts to join grows up to so many gossip intervals.
const LONGEST_PAUSE: u32 = 4;

impl Node {
    pub(super) fn tick(&mut self, now: Instant, wall: Wall) {
        let due = self.deadline().min(now);
        let overslept = now.since(due).max(self.own.set_wall(now, wall));
        self.detector.woke_up(now, due);
        self.note_sleep(now, overslept);
        for exchange in self.exchanges.overdue(now) {
            self.outputs.push(super::Output::Abandon { exchange });
            self.failed(now, exchange, &Failure::TimedOut);
        }
        if self.own.has_left() {
            self.next_round = self.next_round.max(now + self.config.gossip_interval);
            return;
        }
        self.answer_on_behalf(now);
        if self.is_waiting_to_join() && now >= self.next_join {
            self.join(now);
        }
        if now >= self.next_round {
            self.round(now);
        }
        if now >= self.next_heartbeat {
            self.send_heartbeats(now);
        }
        if now >= self.next_sweep {
            self.sweep(now);
        }
    }

    /// A call that comes before the tick that is long overdue is not answered on old news either.
    pub(super) fn notice_sleep(&mut self, now: Instant, input: &Input) {
        let overslept = now.since(self.deadline());
        let is_tick = matches!(input, Input::Tick { .. });
        if !is_tick && self.asleep_since.is_none() && overslept > self.long_sleep() {
            self.asleep_since = Some(now);
            self.name_leader(now);
        }
    }

    fn long_sleep(&self) -> Duration {
        LONG_SLEEP.min(self.config.dead_timeout / 6)
    }

    /// After a long sleep another may lead: this node names nobody until it has heard from somebody, or a round has
    /// brought nothing.
    fn note_sleep(&mut self, now: Instant, overslept: Duration) {
        if overslept > self.long_sleep() && !self.own.has_left() {
            self.asleep_since = Some(now);
            self.tell_some(now);
            self.name_leader(now);
        } else if self
            .asleep_since
            .is_some_and(|since| now.since(since) > self.config.exchange_timeout)
        {
            self.wake();
        }
    }

    /// What this node knows is up to date again.
    pub(super) fn wake(&mut self) {
        self.changed |= self.asleep_since.take().is_some();
    }

    /// Tries every seed at once; tried again, ever less often up to a bound and never in step with others, until one
    /// answers.
    fn join(&mut self, now: Instant) {
        self.join_attempts = (self.join_attempts + 1).min(LONGEST_PAUSE);
        let pause = self.config.gossip_interval * self.join_attempts;
        self.next_join = now + pause.mul_f64(0.5 + self.rng.fraction());
        let urls: Vec<Url> = self.other_seeds().map(|seed| seed.url.clone()).collect();
        for url in urls {
            let request = Request::Join(self.own_entry());
            self.send(
                now,
                url,
                request,
                Purpose::Join,
                self.config.exchange_timeout,
            );
        }
    }

    /// One round: a heartbeat, news for a few members, a look at those who are gone, questions for hearsay.
    fn round(&mut self, now: Instant) {
        self.next_round = next_after(self.next_round, self.own.tick(), now);
        self.own.beat(now, self.next_round);
        self.fall_in_step();
        self.tell_load();
        self.changed = true;
        self.stakes = None;
        self.questions_left = SILENT_A_ROUND;
        self.book.prune(now, &self.config.limits);
        self.rivals
            .retain(|_, rivals| now.since(rivals.asked) < Duration::from_secs(60 * 60));
        self.tell_some(now);
        self.look_at_the_gone(now);
        self.ask_hearsay(now);
        self.sweep(now);
    }

    fn tell_some(&mut self, now: Instant) {
        let fanout = self.config.gossip_fanout;
        let (table, exchanges) = (&self.table, &self.exchanges);
        let is_free = |member: Member<'_>| !exchanges.is_gossiping(member.url());
        let peers = gossip::peers(table, fanout, &mut self.rng, |_, place| {
            table.at(place).is_some_and(is_free)
        });
        let peers: Vec<(Url, bool)> = peers
            .iter()
            .filter_map(|id| self.table.get(id))
            .map(|member| (member.url().clone(), self.is_offered(now, member)))
            .collect();
        for (url, is_offered) in peers {
            if is_offered {
                self.send_beats(now, url);
            } else {
                self.gossip_with(now, url, Purpose::Gossip);
            }
        }
    }

    /// Counts on from where the mesh is, so that all counts are close to each other and cheap to tell.
    fn fall_in_step(&mut self) {
        let pulses = self.table.pulses();
        let highest = |stretch: Stretch| {
            let plain = pulses.beats(stretch.plain).iter().copied().max();
            let other = stretch.other.and_then(|other| pulses.get(other.place()));
            let is_alive = |pulse: &Pulse| pulse.is_present() && pulse.status == Status::Alive;
            plain.max(other.filter(is_alive).map(|pulse| pulse.beat))
        };
        let stretches = pulses.stretches(0..pulses.len());
        if let Some(highest) = stretches.filter_map(highest).max() {
            self.own.fall_in_step(highest);
        }
    }

    pub(super) fn gossip_with(&mut self, now: Instant, url: Url, purpose: Purpose) {
        let told = gossip::told(self.own_entry(), &self.table, self.leader.as_ref());
        let request = Request::Gossip(told.into());
        self.send(now, url, request, purpose, self.config.exchange_timeout);
    }

    fn look_at_the_gone(&mut self, now: Instant) {
        let is_missing = |seed: &&Seed| {
            let member = seed.node.as_ref().and_then(|id| self.table.get(id));
            !member.is_some_and(|member| member.is_present())
        };
        let missing: Vec<Url> = if self.joined {
            let seeds = self.other_seeds().filter(is_missing);
            seeds.map(|seed| seed.url.clone()).collect()
        } else {
            Vec::new()
        };
        for url in self.book.to_look_at(&missing, &mut self.rng) {
            if !self.exchanges.is_gossiping(&url) {
                // Mostly nobody is there: our word alone is enough to be answered with all that is known there.
                let request = Request::Gossip(vec![self.own_entry()].into());
                let patience = self.config.exchange_timeout;
                self.send(now, url, request, Purpose::LookAt, patience);
            }
        }
    }

    /// Shows older nodes, which know it as the sign of life, our record by itself.
    fn send_heartbeats(&mut self, now: Instant) {
        self.next_heartbeat = next_after(self.next_heartbeat, self.config.heartbeat_interval, now);
        let fanout = self.config.gossip_fanout;
        for id in gossip::peers(&self.table, fanout, &mut self.rng, |signs, _| {
            !signs.is_ours()
        }) {
            self.tell(now, &id);
        }
    }

    fn tell(&mut self, now: Instant, id: &NodeId) {
        if let Some(url) = self.table.get(id).map(|member| member.url().clone()) {
            let entry = self.own_entry();
            let request = Request::Heartbeat { entry, ask: None };
            self.send(
                now,
                url,
                request,
                Purpose::Tell,
                self.config.exchange_timeout,
            );
        }
    }

    /// Tells up to [`TOLD_AT_ONCE`] members of a change, without waiting for the round.
    pub(super) fn tell_everyone(&mut self, now: Instant) {
        for id in gossip::peers(&self.table, TOLD_AT_ONCE, &mut self.rng, |_, _| true) {
            self.tell(now, &id);
        }
    }

    /// Tells up to [`TOLD_AT_ONCE`] members that this node left; the others hear it from them.
    pub(super) fn say_farewell(&mut self, now: Instant) {
        let peers = gossip::peers(&self.table, TOLD_AT_ONCE, &mut self.rng, |_, _| true);
        let known: Vec<(Url, bool)> = peers
            .iter()
            .filter_map(|id| self.table.get(id))
            .map(|member| (member.url().clone(), member.is_ours()))
            .collect();
        let patience = self.config.exchange_timeout;
        for (url, is_ours) in known {
            if is_ours {
                self.send_farewell(now, url);
            } else {
                let request = Request::Leave(Subject::Id(self.own.id().clone()));
                self.send(now, url, request, Purpose::SayGoodbye, patience);
            }
        }
    }

    pub(super) fn send_farewell(&mut self, now: Instant, url: Url) {
        let entry = Entry {
            leader: false,
            ..self.own_entry()
        };
        let request = Request::Heartbeat { entry, ask: None };
        self.send(
            now,
            url,
            request,
            Purpose::Farewell,
            self.config.exchange_timeout,
        );
    }

    /// Where half a mesh falls silent, each member at a moment of its own, they are judged a few at a time.
    fn sweep_pause(&self) -> Duration {
        SWEEP_PAUSE.min(self.config.failure_timeout / 100)
    }

    pub(super) fn sweep_soon(&mut self, now: Instant) {
        self.next_sweep = self.next_sweep.min(now + self.sweep_pause());
    }

    /// Carries out what each member's silence has come to.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut to_ask: Vec<(Reverse<Duration>, NodeId)> = Vec::new();
        let mut too_many = false;
        let mut due: Vec<(NodeId, Verdict)> = Vec::new();
        let judged = self.detector.judged(now);
        // Almost all are alive and were heard of lately.
        let well_below = self.detector.well_below_millis();
        let latest = now + self.config.failure_timeout;
        let quiet = (self.table.pulses()).quiet(now, judged, well_below, latest);
        let mut next = quiet.next;
        for place in quiet.places {
            let Some(member) = self.table.at(place) else {
                continue;
            };
            let id = || member.word().id.clone();
            match self.detector.judge(member, now) {
                Verdict::Unchanged(until) => {
                    next = next.min(until);
                    self.table.pulses_mut().put_off(place, until);
                }
                Verdict::Ask(until) => {
                    next = next.min(until);
                    if !member.is_confirmed() {
                        continue;
                    }
                    if self.questions_left == 0 {
                        too_many = true;
                    } else {
                        to_ask.push((Reverse(member.silent(judged)), id()));
                    }
                }
                verdict => due.push((id(), verdict)),
            }
        }
        let longest = Duration::from_millis(quiet.longest_else);
        let next = next.min(now + self.config.failure_timeout.saturating_sub(longest));
        self.next_sweep = next.max(now + self.sweep_pause());
        for (id, verdict) in due {
            match verdict {
                Verdict::Suspect(reason) => self.suspect(now, &id, reason),
                Verdict::Dead => self.pronounce_dead(now, &id),
                Verdict::Forget => self.forget(now, &id, Reason::Age),
                Verdict::Ask(_) | Verdict::Unchanged(_) => {}
            }
        }
        if too_many {
            self.ask_the_silent_later(now);
        }
        to_ask.sort();
        for (_, id) in to_ask {
            if !self.may_ask_the_silent() {
                self.ask_the_silent_later(now);
                return;
            }
            self.ask_the_silent(now, &id);
        }
    }
}

/// The next moment of a schedule that keeps its phase, also where moments were missed: the heartbeats of a node are as
/// even as its rounds.
fn next_after(due: Instant, interval: Duration, now: Instant) -> Instant {
    let missed = now.since(due).as_nanos() / interval.as_nanos().max(1);
    due + interval.saturating_mul(u32::try_from(missed + 1).unwrap_or(u32::MAX))
}
