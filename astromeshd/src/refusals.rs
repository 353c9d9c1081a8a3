//! What was refused of the mesh's calls: counted always, logged now and then.
//!
//! A peer that sends rubbish sends it every round, and anyone can be that peer; so the log hears of each address once in a
//! while, and of a bounded number of them.

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

#[cfg(test)]
mod tests {
    use super::*;

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
