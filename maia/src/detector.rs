//! Silence becomes suspicion, and suspicion becomes death.
//!
//! Nobody can tell a dead node from a slow one. So a member that has been silent for `failure_timeout` is first asked,
//! directly and through others; if nobody can say that it lives, it is suspected, here only, which leaves its heartbeat
//! until `dead_timeout` to arrive by any path. This file judges silence for this node; no verdict travels.
//!
//! A node that was itself asleep has no right to call others silent. What it slept is taken off the clock that silence is
//! judged by, within bounds, so that a node which is always late still finds the dead.
//! (After Lifeguard: Dadgar, Phillips, Currey, “Lifeguard: SWIM-ing with Situational Awareness”, 2017.)

use crate::config::Config;
use crate::event::Reason;
use crate::member::Member;
use crate::message::Status;
use crate::pulse::Inquiry;
use crate::time::Instant;
use std::time::Duration;

/// How late a wake-up may be before it counts as this node's own sleep.
const LATE: Duration = Duration::from_secs(1);

/// The span over which the sleep taken off may reach `dead_timeout`.
const FORGIVEN_OVER: Duration = Duration::from_secs(5 * 60);

/// Judges silence.
#[derive(Debug)]
pub(crate) struct Detector {
    gossip_interval: Duration,
    failure_timeout: Duration,
    dead_timeout: Duration,
    forget_after: Duration,
    grace: Duration,
    slept: Duration,
    allowance: Duration,
    allowance_as_of: Instant,
}

/// What is to become of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing, until then at the least.
    Unchanged(Instant),
    /// It has been silent for so long that it is to be asked; from then on it is judged by its age alone.
    Ask(Instant),
    /// It is to be suspected.
    Suspect(Reason),
    /// It is to be given up.
    Dead,
    /// Its row is to be dropped.
    Forget,
}

impl Detector {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            gossip_interval: config.gossip_interval,
            failure_timeout: config.failure_timeout,
            dead_timeout: config.dead_timeout,
            forget_after: config.forget_after,
            // A question, and the same through others.
            grace: 2 * question_timeout(config),
            slept: Duration::ZERO,
            allowance: config.dead_timeout,
            allowance_as_of: now,
        }
    }

    /// What was taken off the clock so far.
    pub(crate) fn slept(&self) -> Duration {
        self.slept
    }

    /// `now` on the clock that silence is judged by: without what this node slept.
    pub(crate) fn judged(&self, now: Instant) -> Instant {
        now - self.slept
    }

    /// Takes off the clock what this node overslept, if that is more than a trifle.
    pub(crate) fn woke_up(&mut self, now: Instant, due: Instant) {
        let late = now.since(due);
        if late <= LATE {
            return;
        }
        let refill = now
            .since(self.allowance_as_of)
            .mul_f64(self.dead_timeout.as_secs_f64() / FORGIVEN_OVER.as_secs_f64());
        self.allowance = (self.allowance + refill).min(self.dead_timeout);
        self.allowance_as_of = now;
        let forgiven = late.min(self.allowance);
        self.allowance -= forgiven;
        self.slept += forgiven;
    }

    /// The milliseconds of silence from which on something is to be done about a member that is alive.
    pub(crate) fn well_below_millis(&self) -> u64 {
        let millis = self.failure_timeout.as_nanos().div_ceil(1_000_000);
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    /// What is to become of `member` at `now`.
    pub(crate) fn judge(&self, member: Member<'_>, now: Instant) -> Verdict {
        match member.status() {
            Status::Alive => self.judge_alive(member, now),
            Status::Suspect => self.judge_suspect(member, now),
            Status::Dead | Status::Left => {
                let forget_at = member.since + self.forget_after;
                if now >= forget_at {
                    Verdict::Forget
                } else {
                    Verdict::Unchanged(forget_at)
                }
            }
        }
    }

    fn judge_alive(&self, member: Member<'_>, now: Instant) -> Verdict {
        let silent = member.silent(self.judged(now));
        let suspect_at = self.failure_timeout + self.grace;
        if silent < self.failure_timeout {
            Verdict::Unchanged(now + (self.failure_timeout - silent))
        } else if member.pulse.inquiry == Inquiry::Over || silent >= suspect_at {
            Verdict::Suspect(Reason::Silence)
        } else if member.pulse.inquiry == Inquiry::None {
            Verdict::Ask(now + (suspect_at - silent))
        } else {
            Verdict::Unchanged(now + (suspect_at - silent))
        }
    }

    fn judge_suspect(&self, member: Member<'_>, now: Instant) -> Verdict {
        let judged = self.judged(now);
        let by_pace = self.dead_timeout.saturating_sub(
            member
                .pulse
                .silent_by_its_pace(judged, self.gossip_interval),
        );
        let by_arrival = self.failure_timeout.saturating_sub(member.silent(judged));
        match by_pace.max(by_arrival) {
            Duration::ZERO => Verdict::Dead,
            left => Verdict::Unchanged(now + left),
        }
    }
}

/// How long one question may take: where the timeouts are short, a question must not outlast them.
pub(crate) fn question_timeout(config: &Config) -> Duration {
    config.exchange_timeout.min(config.failure_timeout / 4)
}
