//! Who has the fewest, without looking at everybody: members by how many they run.
//!
//! For each count there is a set of those who have it, kept as bits; above each 64 words of bits stands a word that says
//! which of them are not empty. The fewest is the first set that holds anybody. Nobody waits for anybody: each member is
//! moved by one thread at a time, and whoever looks meanwhile may miss a member that is on its way, never find a wrong one.

use crate::rng::Rng;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Counts below this have a set each; above, eight sets share the way to the double.
const EXACT: u32 = 32;

/// Enough for 65,535 in flight at one member; more are as many.
const SETS: usize = 120;

/// In no set.
const OUT: u8 = u8::MAX;

const WORD_BITS: usize = u64::BITS as usize;

/// Members by count. A member is its place, from 0.
#[derive(Debug)]
pub(super) struct Index {
    words_a_set: usize,
    tops_a_set: usize,
    words: Box<[AtomicU64]>,
    tops: Box<[AtomicU64]>,
    /// How many are in each set.
    held: Box<[AtomicU32]>,
    /// Which set each member is in.
    sets: Box<[AtomicU8]>,
}

impl Index {
    /// For so many members, none of whom is in it yet.
    pub(super) fn new(members: usize) -> Self {
        let words_a_set = members.div_ceil(WORD_BITS);
        let tops_a_set = words_a_set.div_ceil(WORD_BITS);
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            words_a_set,
            tops_a_set,
            words: zeros(SETS * words_a_set),
            tops: zeros(SETS * tops_a_set),
            held: (0..SETS).map(|_| AtomicU32::new(0)).collect(),
            sets: (0..members).map(|_| AtomicU8::new(OUT)).collect(),
        }
    }

    /// Puts a member where its count belongs, or takes it out. By one thread at a time for each member.
    pub(super) fn put(&self, member: usize, count: Option<u32>) {
        let to = count.map_or(OUT, set_of);
        let from = self.sets[member].swap(to, Ordering::AcqRel);
        if from == to {
            return;
        }
        // First in, then out: it is missed by fewer.
        if to != OUT {
            self.insert(usize::from(to), member);
        }
        if from != OUT {
            self.remove(usize::from(from), member);
        }
    }

    /// One of those with the fewest that `suits`, at random.
    pub(super) fn least(&self, rng: &mut Rng, suits: impl Fn(usize) -> bool) -> Option<usize> {
        (0..SETS)
            .filter(|set| self.held[*set].load(Ordering::Relaxed) > 0)
            .find_map(|set| self.any_of(set, rng, &suits))
    }

    /// Whether the member is where that count belongs, and nowhere else.
    #[cfg(test)]
    pub(super) fn has(&self, member: usize, count: u32) -> bool {
        let word = member / WORD_BITS;
        (0..SETS).all(|set| {
            let is_in = self.word(set, word).load(Ordering::Acquire) & bit(member) != 0;
            let is_found = self.top(set, word).load(Ordering::Acquire) & bit(word) != 0;
            is_in == (set == usize::from(set_of(count))) && (is_found || !is_in)
        })
    }

    fn insert(&self, set: usize, member: usize) {
        let word = member / WORD_BITS;
        self.held[set].fetch_add(1, Ordering::Relaxed);
        let before = self.word(set, word).fetch_or(bit(member), Ordering::AcqRel);
        if before == 0 {
            self.top(set, word).fetch_or(bit(word), Ordering::AcqRel);
        }
    }

    fn remove(&self, set: usize, member: usize) {
        let word = member / WORD_BITS;
        let before = self
            .word(set, word)
            .fetch_and(!bit(member), Ordering::AcqRel);
        if before == bit(member) {
            self.top(set, word).fetch_and(!bit(word), Ordering::AcqRel);
            // Another may have come into the word just before its top was cleared.
            if self.word(set, word).load(Ordering::Acquire) != 0 {
                self.top(set, word).fetch_or(bit(word), Ordering::AcqRel);
            }
        }
        self.held[set].fetch_sub(1, Ordering::Relaxed);
    }

    /// One of a set. Each has the same chance where it is in few words, or where most of the members are in it; else each
    /// word has, and each member of a word.
    fn any_of(&self, set: usize, rng: &mut Rng, suits: &impl Fn(usize) -> bool) -> Option<usize> {
        let found = self.one_of(set, rng)?;
        if suits(found) {
            return Some(found);
        }
        let members = self
            .filled(set)
            .flat_map(|word| ones(self.bits(set, word)).map(move |one| word * WORD_BITS + one));
        members.into_iter().find(|member| suits(*member))
    }

    fn one_of(&self, set: usize, rng: &mut Rng) -> Option<usize> {
        const FEW: usize = 8;
        let mut counts = [(0, 0); FEW];
        let (mut words, mut members) = (0, 0);
        for (word, bits) in self.filled(set).map(|word| (word, self.bits(set, word))) {
            if words == FEW {
                return self.one_of_many(set, rng);
            }
            counts[words] = (word, bits);
            words += 1;
            members += bits.count_ones() as usize;
        }
        let mut left = rng.below(members);
        for (word, bits) in &counts[..words] {
            let here = bits.count_ones() as usize;
            if left < here {
                return Some(word * WORD_BITS + nth_one(*bits, left));
            }
            left -= here;
        }
        None
    }

    fn one_of_many(&self, set: usize, rng: &mut Rng) -> Option<usize> {
        const TRIES: usize = 6;
        let is_in = |member: &usize| self.bits(set, member / WORD_BITS) & bit(*member) != 0;
        let members = self.sets.len();
        let drawn = (0..TRIES).map(|_| rng.below(members)).find(is_in);
        drawn.or_else(|| {
            let filled: u32 = self
                .tops(set)
                .iter()
                .map(|top| load(top).count_ones())
                .sum();
            let word = self.filled(set).nth(rng.below(filled as usize))?;
            let bits = self.bits(set, word);
            let number = rng.below(bits.count_ones() as usize);
            (bits != 0).then(|| word * WORD_BITS + nth_one(bits, number))
        })
    }

    /// The words of a set that are not empty.
    fn filled(&self, set: usize) -> impl Iterator<Item = usize> {
        let tops = self.tops(set).iter().enumerate();
        tops.flat_map(|(place, top)| ones(load(top)).map(move |one| place * WORD_BITS + one))
    }

    fn bits(&self, set: usize, word: usize) -> u64 {
        load(self.word(set, word))
    }

    fn tops(&self, set: usize) -> &[AtomicU64] {
        &self.tops[set * self.tops_a_set..][..self.tops_a_set]
    }

    fn word(&self, set: usize, word: usize) -> &AtomicU64 {
        &self.words[set * self.words_a_set + word]
    }

    fn top(&self, set: usize, word: usize) -> &AtomicU64 {
        &self.tops[set * self.tops_a_set + word / WORD_BITS]
    }
}

fn bit(place: usize) -> u64 {
    1 << (place % WORD_BITS)
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}

/// The place of the one with this number, from 0, in a word that has it: the half that it is in, and the half of that.
pub(super) fn nth_one(word: u64, number: usize) -> usize {
    let (mut place, mut left) = (0, number as u32);
    for half in [32, 16, 8, 4, 2, 1] {
        let below = (word >> place) & ((1 << half) - 1);
        if left >= below.count_ones() {
            left -= below.count_ones();
            place += half;
        }
    }
    place
}

/// The places of the ones in a word.
fn ones(word: u64) -> impl Iterator<Item = usize> {
    let rests = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
    rests
        .take_while(|word| *word != 0)
        .map(|word| word.trailing_zeros() as usize)
}

/// The set that a count belongs to.
fn set_of(count: u32) -> u8 {
    let set = if count < EXACT {
        count
    } else {
        let octave = count.ilog2();
        let eighth = (count >> (octave - 3)) & 7;
        EXACT + (octave - EXACT.ilog2()) * 8 + eighth
    };
    set.min(SETS as u32 - 1) as u8
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn least(index: &Index, seed: u64) -> Option<usize> {
        index.least(&mut Rng::from_seed(seed), |_| true)
    }

    #[test]
    fn more_is_never_in_a_lower_set() {
        let sets: Vec<u8> = (0..200_000).map(set_of).collect();
        assert!(sets.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((0..EXACT).all(|count| u32::from(set_of(count)) == count));
        assert_eq!(set_of(u32::MAX), SETS as u8 - 1);
    }

    #[test]
    fn the_fewest_are_found_wherever_they_are() {
        for members in [1, 63, 64, 65, 5_000, 10_000] {
            let index = Index::new(members);
            assert_eq!(least(&index, 1), None);
            for member in 0..members {
                index.put(member, Some(7));
            }
            for chosen in [0, members / 2, members - 1] {
                index.put(chosen, Some(3));
                assert_eq!(least(&index, 2), Some(chosen), "of {members}");
                index.put(chosen, None);
                index.put(chosen, Some(7));
            }
        }
    }

    #[test]
    fn each_of_the_few_that_have_the_fewest_has_the_same_chance() {
        let index = Index::new(10_000);
        for member in 0..10_000 {
            index.put(member, Some(1));
        }
        let few = [3, 4, 200, 9_999];
        for member in few {
            index.put(member, Some(0));
        }
        let mut rng = Rng::from_seed(5);
        let mut taken = [0; 4];
        for _ in 0..30_000 {
            let chosen = index.least(&mut rng, |_| true).expect("there are some");
            let place = few.iter().position(|member| *member == chosen);
            taken[place.expect("one of the few")] += 1;
        }
        assert!(
            taken.iter().all(|count| (7_000..8_000).contains(count)),
            "{taken:?}"
        );
    }

    #[test]
    fn the_ones_of_a_word_are_numbered_from_below() {
        let mut rng = Rng::from_seed(4);
        for word in [1, u64::MAX, 1 << 63, rng.draw(), rng.draw() & rng.draw()] {
            let places: Vec<usize> = ones(word).collect();
            let numbered = (0..places.len()).map(|number| nth_one(word, number));
            assert_eq!(numbered.collect::<Vec<_>>(), places, "{word:x}");
        }
    }

    #[test]
    fn one_that_does_not_suit_is_passed_over() {
        let index = Index::new(100);
        index.put(10, Some(0));
        index.put(11, Some(0));
        index.put(90, Some(0));
        index.put(50, Some(1));
        let mut rng = Rng::from_seed(9);
        for _ in 0..100 {
            assert_eq!(index.least(&mut rng, |member| member == 90), Some(90));
            assert_eq!(
                index.least(&mut rng, |member| (50..90).contains(&member)),
                Some(50)
            );
        }
        assert_eq!(index.least(&mut rng, |_| false), None);
    }
}
