//! The two clocks, which never mix: one to judge by, one to sign with.
//!
//! Silence is judged by [`Instant`], a monotonic time since the node's start. [`Wall`] is the time of day, which people
//! and suspended machines set forward and back: it only stamps what a node says of itself.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on this node's monotonic clock, as the time since its start: up to 584 years.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// The node's start.
    pub const START: Self = Self { nanos: 0 };

    /// The moment `elapsed` after the start.
    pub const fn after_start(elapsed: Duration) -> Self {
        let nanos = nanos(elapsed);
        Self { nanos }
    }

    /// How long after the start this is.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

const fn nanos(time: Duration) -> u64 {
    let nanos = time.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.since_start().fmt(f)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        let nanos = self.nanos.saturating_add(nanos(later));
        Self { nanos }
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// The moment `earlier` before this one, or the start if that lies before it.
    fn sub(self, earlier: Duration) -> Self {
        let nanos = self.nanos.saturating_sub(nanos(earlier));
        Self { nanos }
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
