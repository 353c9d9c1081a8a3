//! The two clocks, which never mix: one to judge by, one to sign with.
//!
//! Silence is judged by [`Instant`], a monotonic time since the node's start. [`Wall`] is the time of day, which people
//! and suspended machines set forward and back: it only stamps what a node says of itself.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on this node's monotonic clock, as the time since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The node's start.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment `elapsed` after the start.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the start this is.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// The moment `earlier` before this one, or the start if that lies before it.
    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier))
    }
}

/// A time of day, in whole milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(u64);

impl Wall {
    /// The time of day `millis` after the beginning of 1970.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the beginning of 1970.
    pub const fn unix_millis(self) -> u64 {
        self.0
    }
}
