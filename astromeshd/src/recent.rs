//! How many there were lately, by seconds: counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Over so many seconds.
pub(crate) const WINDOW: u64 = 10;

/// What happened in the last [`WINDOW`] seconds. A count that comes in the very moment a second begins may be lost.
#[derive(Debug, Default)]
pub(crate) struct Recent([Second; WINDOW as usize + 1]);

/// One second, above, and how many there were in it, below.
#[derive(Debug, Default)]
struct Second(AtomicU64);

const COUNT: u64 = u32::MAX as u64;

impl Recent {
    /// One more, `second` seconds after the start.
    pub(crate) fn count(&self, second: u64) {
        let slot = &self.0[(second % (WINDOW + 1)) as usize].0;
        let held = slot.load(Ordering::Relaxed);
        if held >> 32 == second {
            slot.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let anew = (second << 32) | 1;
        let swapped = slot.compare_exchange(held, anew, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_err() {
            slot.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were in the seconds up to this one, and this one so far.
    pub(crate) fn so_far(&self, second: u64) -> u64 {
        let first = second.saturating_sub(WINDOW);
        let slots = self.0.iter().map(|slot| slot.0.load(Ordering::Relaxed));
        let recent = slots.filter(|held| (first..=second).contains(&(held >> 32)));
        recent.map(|held| held & COUNT).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_lately_counts() {
        let recent = Recent::default();
        for second in 0..30 {
            recent.count(second);
            recent.count(second);
        }
        assert_eq!(recent.so_far(29), 2 * (WINDOW + 1));
        assert_eq!(recent.so_far(35), 2 * (WINDOW - 5));
        assert_eq!(recent.so_far(100), 0);
    }
}
