//! What the log hears of all that is turned away: counted always, logged now and then.
//!
//! A peer that sends rubbish sends it every round, and anyone can be that peer; so the log hears of each address once in a
//! while, and of a bounded number of them.

use maia::view::Counters;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the log hears nothing more of an address.
const PAUSE: Duration = Duration::from_secs(10);

/// How many addresses are remembered.
const REMEMBERED: usize = 1_024;

/// When the log last heard of whom.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<IpAddr, Instant>>);

impl Refusals {
    /// Whether a refusal of `peer` at `now` is to be logged; if so, the next ones are not for a while.
    pub(crate) fn is_news(&self, peer: IpAddr, now: Instant) -> bool {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < PAUSE;
        if heard.get(&peer).is_some_and(is_recent) {
            return false;
        }
        if heard.len() >= REMEMBERED {
            heard.retain(|_, at| is_recent(at));
        }
        if heard.len() >= REMEMBERED {
            return false;
        }
        heard.insert(peer, now);
        true
    }
}

/// What the log was last told that the node itself had turned away: of what stands in a table that is taken otherwise,
/// nobody gets an answer.
#[derive(Debug, Default)]
pub(crate) struct Told {
    counters: Counters,
    at: Option<Instant>,
}

impl Told {
    /// What is to be logged at `now`, if there is news and the last of it was a while ago.
    pub(crate) fn news(&mut self, counters: Counters, now: Instant) -> Option<String> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < PAUSE;
        let (ids, places, records) = (
            counters.crowded_out + counters.rationed
                - self.counters.crowded_out
                - self.counters.rationed,
            counters.forbidden_addresses - self.counters.forbidden_addresses,
            counters.skipped_records - self.counters.skipped_records,
        );
        if ids + places + records == 0 || self.at.is_some_and(is_recent) {
            return None;
        }
        (self.counters, self.at) = (counters, Some(now));
        Some(format!(
            "turned away lately: {ids} unknown ids too many, {places} records with addresses that nobody may send this node to, {records} bad records in tables"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_turned_away_is_told_once_in_a_while_and_in_sum() {
        let mut told = Told::default();
        let now = Instant::now();
        let crowded_out = |crowded_out| Counters {
            crowded_out,
            ..Counters::default()
        };
        assert_eq!(told.news(crowded_out(0), now), None);
        let said = told.news(crowded_out(3), now).expect("it is news");
        assert!(said.contains(" 3 unknown ids"), "{said}");
        assert_eq!(told.news(crowded_out(5), now + PAUSE / 2), None);
        let said = told.news(crowded_out(9), now + PAUSE);
        assert!(said.expect("it is news").contains(" 6 unknown ids"));
        assert_eq!(told.news(crowded_out(9), now + 3 * PAUSE), None);
    }

    #[test]
    fn each_peer_is_heard_of_once_in_a_while() {
        let refusals = Refusals::default();
        let (ana, bob) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let now = Instant::now();
        assert!(refusals.is_news(ana, now));
        assert!(!refusals.is_news(ana, now + Duration::from_secs(9)));
        assert!(refusals.is_news(bob, now));
        assert!(refusals.is_news(ana, now + Duration::from_secs(11)));
    }

    #[test]
    fn a_crowd_does_not_fill_the_memory() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let crowd = || (0..2 * REMEMBERED as u32).map(|n| IpAddr::from(n.to_be_bytes()));
        assert_eq!(
            crowd().filter(|peer| refusals.is_news(*peer, now)).count(),
            REMEMBERED
        );
        let later = now + PAUSE;
        assert!(refusals.is_news(IpAddr::from([10, 0, 0, 1]), later));
    }
}
