//! What this node asked others and has not heard back on.

use super::ExchangeId;
use crate::address::Url;
use crate::id::NodeId;
use crate::record::{Incarnation, hash};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// What an exchange is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To join through a seed.
    Join,
    /// To tell and be told.
    Gossip,
    /// The same, cheaply.
    Exchange,
    /// To see whether somebody is back.
    LookAt,
    /// To hear from whoever is there; the member that is meant, if one is.
    Ask(Option<NodeId>),
    /// To hear of a member through somebody else.
    AskThrough(NodeId),
    /// To show an older node a sign of life, or to tell of a change.
    Tell,
    /// To tell an older node that we leave, before it is told that we are dead.
    SayGoodbye,
    /// To tell that we left.
    Farewell,
}

/// One exchange under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) to: Url,
    pub(super) purpose: Purpose,
    /// Who was thought to be there, in which life: a refusal speaks of that one and of no later one.
    pub(super) meant: Option<(NodeId, Incarnation)>,
    until: Instant,
}

/// All exchanges under way, by number.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    pending: BTreeMap<ExchangeId, Pending>,
    /// The same, by when they will have waited long enough: asked for after everything that happens.
    by_deadline: BTreeSet<(Instant, ExchangeId)>,
    /// The questions among them, by the hash of where they went: they are looked through before each further one.
    questions: Vec<(u32, ExchangeId)>,
    next: ExchangeId,
}

impl Exchanges {
    pub(super) fn begin(
        &mut self,
        to: Url,
        purpose: Purpose,
        meant: Option<(NodeId, Incarnation)>,
        until: Instant,
    ) -> ExchangeId {
        let exchange = self.next;
        self.next = exchange.next();
        self.by_deadline.insert((until, exchange));
        if matches!(purpose, Purpose::Ask(_)) {
            self.questions.push((hash(to.as_str()), exchange));
        }
        self.pending.insert(
            exchange,
            Pending {
                to,
                purpose,
                meant,
                until,
            },
        );
        exchange
    }

    pub(super) fn end(&mut self, exchange: ExchangeId) -> Option<Pending> {
        let ended = self.pending.remove(&exchange)?;
        self.by_deadline.remove(&(ended.until, exchange));
        if matches!(ended.purpose, Purpose::Ask(_)) {
            self.questions.retain(|(_, question)| *question != exchange);
        }
        Some(ended)
    }

    /// When the first of them has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(until, _)| *until)
    }

    /// Those that have waited long enough, in the order in which they were begun.
    pub(super) fn overdue(&self, now: Instant) -> Vec<ExchangeId> {
        let overdue = self
            .by_deadline
            .iter()
            .take_while(|(until, _)| *until <= now);
        let mut overdue: Vec<_> = overdue.map(|(_, exchange)| *exchange).collect();
        overdue.sort_unstable();
        overdue
    }

    pub(super) fn count(&self, matches: impl Fn(&Purpose) -> bool) -> usize {
        self.pending
            .values()
            .filter(|pending| matches(&pending.purpose))
            .count()
    }

    /// How many are questions.
    pub(super) fn questions(&self) -> usize {
        self.questions.len()
    }

    /// Whether somebody at `url` is being asked already.
    pub(super) fn is_asking(&self, url: &Url) -> bool {
        let hash = hash(url.as_str());
        let is_there = |question: &ExchangeId| {
            let pending = self.pending.get(question);
            pending.is_some_and(|pending| pending.to == *url)
        };
        let mut questions = self.questions.iter();
        questions.any(|(other, question)| *other == hash && is_there(question))
    }

    /// Whether an exchange of gossip with `url` is under way.
    pub(super) fn is_gossiping(&self, url: &Url) -> bool {
        let gossips = |pending: &Pending| {
            matches!(
                pending.purpose,
                Purpose::Gossip | Purpose::Exchange | Purpose::LookAt
            ) && pending.to == *url
        };
        self.pending.values().any(gossips)
    }

    /// Ends all of them at once.
    pub(super) fn clear(&mut self) -> Vec<ExchangeId> {
        self.by_deadline.clear();
        self.questions.clear();
        std::mem::take(&mut self.pending).into_keys().collect()
    }
}
