//! How many requests this node runs at once, and how many may wait for that; who comes when both are full is told when to
//! come back.
//!
//! A node that takes all there is answers none of it in time. A queue takes up what comes in a burst and is short, so that
//! whoever is let in is still answered soon; what goes beyond is refused at once, which costs next to nothing.

use crate::here::Here;
use crate::recent::{Recent, WINDOW};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest that somebody is sent away for.
const LONGEST: Duration = Duration::from_secs(60);

/// A way in for so many at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    open: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
    done: Recent,
}

/// Lets its holder run, until it is dropped.
pub(crate) struct Entry {
    here: Arc<Here>,
    of: fn(&Here) -> &Gate,
    _permit: OwnedSemaphorePermit,
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Gate {
    /// For `at_once`, with `most_waiting` in front of it.
    pub(crate) fn new(at_once: usize, most_waiting: usize) -> Self {
        Self {
            open: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            most_waiting,
            done: Recent::default(),
        }
    }

    /// Goes through the gate that `of` names, waiting where there is room to wait; or else says when there may be room.
    pub(crate) async fn enter(here: &Arc<Here>, of: fn(&Here) -> &Self) -> Result<Entry, Duration> {
        let gate = of(here);
        let permit = match Arc::clone(&gate.open).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let Some(_waiting) = gate.wait() else {
                    return Err(gate.room_in(second(here)));
                };
                let turn = Arc::clone(&gate.open).acquire_owned().await;
                turn.expect("a gate is never closed")
            }
        };
        Ok(Entry {
            here: Arc::clone(here),
            of,
            _permit: permit,
        })
    }

    /// How many wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn wait(&self) -> Option<Waiting<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        (before < self.most_waiting).then_some(waiting)
    }

    /// How long all that wait now will take to be let in, and one more, at the pace of late.
    fn room_in(&self, second: u64) -> Duration {
        let seconds = second.clamp(1, WINDOW) as f64;
        let pace = self.done.so_far(second).max(1) as f64 / seconds;
        let ahead = self.waiting.load(Ordering::Relaxed) as f64 + 1.0;
        Duration::from_secs_f64((ahead / pace).min(LONGEST.as_secs_f64()))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        (self.of)(&self.here).done.count(second(&self.here));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn second(here: &Here) -> u64 {
    here.started.elapsed().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_back_follows_from_the_pace() {
        let gate = Gate::new(1, 30);
        let _waiting: Vec<_> = (0..30).filter_map(|_| gate.wait()).collect();
        assert!(gate.wait().is_none(), "there is no more room");
        assert_eq!(gate.room_in(20), LONGEST, "nothing gets done at all");
        for second in 10..20 {
            (0..5).for_each(|_| gate.done.count(second));
        }
        let soon = gate.room_in(20).as_secs_f64();
        assert!((6.0..6.5).contains(&soon), "31 at 5 a second: {soon}");
    }
}
