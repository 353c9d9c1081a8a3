//! Chance from a seed: times as they fall between events that know nothing of each other.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// A source of times with an exponential distribution.
#[derive(Debug)]
pub struct Times(SmallRng);

impl Times {
    /// The same seed gives the same times.
    pub fn from_seed(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// One of this mean.
    pub fn next(&mut self, mean: Duration) -> Duration {
        let even: f64 = self.0.random();
        mean.mul_f64(-(1.0 - even).ln())
    }

    /// An even number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(..bound)
    }
}
