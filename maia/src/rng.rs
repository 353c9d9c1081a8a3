//! Seeded randomness: the same seed draws the same numbers on every machine and in every build.

/// A small generator (SplitMix64: Steele, Lea, Flood, “Fast Splittable Pseudorandom Number Generators”, 2014). It
/// chooses peers and spreads timers; nothing secret may depend on it.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator that `seed` names. A program takes its seed from the system; a test writes one down.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or zero where `end` is zero.
    pub fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.draw()) * end as u128;
        (wide >> 64) as usize
    }

    /// A number from zero up to, not including, one.
    pub fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True once in `1 / probability` draws.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Up to `count` of `items`, each at most once, in random order.
    pub fn sample<T>(&mut self, mut items: Vec<T>, count: usize) -> Vec<T> {
        let count = count.min(items.len());
        for place in 0..count {
            let other = place + self.below(items.len() - place);
            items.swap(place, other);
        }
        items.truncate(count);
        items
    }

    /// A generator of its own for somebody else, so that their draws do not disturb ours.
    pub fn split(&mut self) -> Self {
        Self(self.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let (mut one, mut other) = (Rng::from_seed(7), Rng::from_seed(7));
        assert_eq!(one.draw(), other.draw());
        assert_eq!(Rng::from_seed(0).draw(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_sample_holds_each_item_at_most_once() {
        let mut rng = Rng::from_seed(1);
        let mut drawn = rng.sample((0..10).collect(), 20);
        drawn.sort_unstable();
        assert_eq!(drawn, (0..10).collect::<Vec<_>>());
    }
}
