//! The pulses of all members, in order of id, each part in a column.
//!
//! A mesh of a thousand nodes passes every member's count by each node several times a second. Most members are plain:
//! they are alive, and their count is all that there is to tell of them and to hear. Who is not plain is kept apart, so
//! that the plain ones in between are gone through a stretch at a time, without a look at what each of them is.

use crate::message::Status;
use crate::pulse::{Pace, Pulse, Rise, Signs, is_over, lag, millis_down};
use crate::time::Instant;
use std::ops::Range;
use std::time::Duration;

/// All pulses.
#[derive(Debug, Default)]
pub(crate) struct Pulses {
    beats: Vec<u64>,
    ticks: Vec<u32>,
    rises: Vec<Rise>,
    paces: Vec<Pace>,
    signs: Vec<Signs>,
    /// Those who are not plain, in order.
    others: Vec<Other>,
}

/// One who is not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    place: u32,
    /// Its silence comes to nothing before then, unless it changes.
    due: Instant,
}

impl Other {
    fn at(place: usize) -> Self {
        Self {
            place: place as u32,
            due: Instant::START,
        }
    }

    pub(crate) fn place(self) -> usize {
        self.place as usize
    }
}

/// Plain ones side by side, and the one after them that is not plain, unless they are the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) plain: Range<usize>,
    pub(crate) other: Option<Other>,
}

/// Whose silence may have come to something.
#[derive(Debug)]
pub(crate) struct Quiet {
    /// Their places, in order.
    pub(crate) places: Vec<usize>,
    /// The longest silence of those who are alive and were heard of lately, in milliseconds.
    pub(crate) longest_else: u64,
    /// Nobody else's silence comes to anything before then.
    pub(crate) next: Instant,
}

/// What came of counts that were taken in.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Whether any was news.
    pub(crate) has_risen: bool,
    /// The places of those who were not alive, and gave a sign of life.
    pub(crate) returned: Vec<usize>,
    /// The places of those whose heartbeat would have leapt too far, and their counts, which were not taken.
    pub(crate) leaping: Vec<(usize, u64)>,
}

impl Pulses {
    pub(crate) fn len(&self) -> usize {
        self.beats.len()
    }

    pub(crate) fn get(&self, place: usize) -> Option<Pulse> {
        Some(Pulse {
            beat: *self.beats.get(place)?,
            tick: *self.ticks.get(place)?,
            rise: *self.rises.get(place)?,
            pace: *self.paces.get(place)?,
            signs: *self.signs.get(place)?,
        })
    }

    /// Puts another pulse in the place of one that is there.
    pub(crate) fn set(&mut self, place: usize, pulse: Pulse) {
        self.beats[place] = pulse.beat;
        self.ticks[place] = pulse.tick;
        self.rises[place] = pulse.rise;
        self.paces[place] = pulse.pace;
        self.signs[place] = pulse.signs;
        match (self.other(place), is_plain(&pulse)) {
            (Ok(at), true) => drop(self.others.remove(at)),
            (Ok(at), false) => self.others[at] = Other::at(place),
            (Err(at), false) => self.others.insert(at, Other::at(place)),
            (Err(_), true) => {}
        }
    }

    pub(crate) fn insert(&mut self, place: usize, pulse: Pulse) {
        insert(&mut self.beats, place, pulse.beat);
        insert(&mut self.ticks, place, pulse.tick);
        insert(&mut self.rises, place, pulse.rise);
        insert(&mut self.paces, place, pulse.pace);
        insert(&mut self.signs, place, pulse.signs);
        let (Ok(at) | Err(at)) = self.other(place);
        let behind = self.others[at..].iter_mut();
        behind.for_each(|other| other.place += 1);
        if !is_plain(&pulse) {
            self.others.insert(at, Other::at(place));
        }
    }

    pub(crate) fn remove(&mut self, place: usize) -> Pulse {
        let at = match self.other(place) {
            Ok(at) => {
                self.others.remove(at);
                at
            }
            Err(at) => at,
        };
        let behind = self.others[at..].iter_mut();
        behind.for_each(|other| other.place -= 1);
        Pulse {
            beat: self.beats.remove(place),
            tick: self.ticks.remove(place),
            rise: self.rises.remove(place),
            pace: self.paces.remove(place),
            signs: self.signs.remove(place),
        }
    }

    /// What each is, in order of id.
    pub(crate) fn signs(&self) -> &[Signs] {
        &self.signs
    }

    /// The counts of those at `places`.
    pub(crate) fn beats(&self, places: Range<usize>) -> &[u64] {
        &self.beats[places]
    }

    /// Whose silence may have come to something at `judged`, which is `now` on another clock: not those who are alive and
    /// silent for less than `short` milliseconds, nor those who were put off. The next is `latest` at the latest.
    pub(crate) fn quiet(
        &self,
        now: Instant,
        judged: Instant,
        short: u64,
        latest: Instant,
    ) -> Quiet {
        let judged = millis_down(judged);
        let silence = |place: usize| u64::from(self.rises[place].silent_millis(judged));
        let (mut places, mut longest_else, mut next) = (Vec::new(), 0, latest);
        let mut look_at = |place: usize, due: Instant| {
            if self.signs[place].status == Status::Alive && silence(place) < short {
                longest_else = longest_else.max(silence(place));
            } else if due > now {
                next = next.min(due);
            } else {
                places.push(place);
            }
        };
        let mut longest_plain = 0;
        for Stretch { plain, other } in self.stretches(0..self.len()) {
            let rises = self.rises[plain.clone()].iter();
            let silences = rises.map(|rise| rise.silent_millis(judged));
            let longest = u64::from(silences.max().unwrap_or(0));
            if longest < short {
                longest_plain = longest_plain.max(longest);
            } else {
                plain.for_each(|place| look_at(place, Instant::START));
            }
            if let Some(other) = other {
                look_at(other.place(), other.due);
            }
        }
        Quiet {
            places,
            longest_else: longest_else.max(longest_plain),
            next,
        }
    }

    /// The silence of the one at `place` comes to nothing before `due`, unless something of it changes.
    pub(crate) fn put_off(&mut self, place: usize, due: Instant) {
        if let Ok(at) = self.other(place) {
            self.others[at].due = due;
        }
    }

    /// The places of those who are not plain.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> {
        self.others.iter().map(|other| other.place())
    }

    /// `places` in stretches, in order.
    pub(crate) fn stretches(&self, places: Range<usize>) -> impl Iterator<Item = Stretch> {
        stretches(&self.others, places)
    }

    /// Takes in the counts of those at `places` who make up the mesh, in order of id, as far as they are news and no
    /// heartbeat rises by more than `most_leap`.
    pub(crate) fn take(
        &mut self,
        places: Range<usize>,
        counts: &mut &[u64],
        rise: Rise,
        most_leap: Duration,
        taken: &mut Taken,
    ) {
        let others = std::mem::take(&mut self.others);
        let mut changed = Vec::new();
        for Stretch { plain, other } in stretches(&others, places) {
            let (told, rest) = counts.split_at(plain.len().min(counts.len()));
            *counts = rest;
            self.take_plain(plain, told, rise, most_leap, taken);
            let place = other.map(Other::place);
            let Some(place) = place.filter(|place| self.signs[*place].is_present()) else {
                continue;
            };
            if let Some((beat, rest)) = counts.split_first() {
                *counts = rest;
                changed.extend(self.taking(place, *beat, rise, most_leap, taken));
            }
        }
        self.others = others;
        for (place, pulse) in changed {
            self.set(place, pulse);
        }
    }

    /// The pulse at `place` with this count taken in, if it is to be.
    fn taking(
        &self,
        place: usize,
        beat: u64,
        rise: Rise,
        most_leap: Duration,
        taken: &mut Taken,
    ) -> Option<(usize, Pulse)> {
        let mut pulse = self.get(place)?;
        if beat <= pulse.beat || !pulse.counts_rounds() {
            return None;
        }
        if pulse.leap(beat) > most_leap {
            taken.leaping.push((place, beat));
            return None;
        }
        taken.has_risen = true;
        pulse.raise(beat, rise);
        if pulse.status != Status::Alive {
            taken.returned.push(place);
        }
        Some((place, pulse))
    }

    /// The same for plain ones that lie side by side.
    fn take_plain(
        &mut self,
        places: Range<usize>,
        counts: &[u64],
        rise: Rise,
        most_leap: Duration,
        taken: &mut Taken,
    ) {
        // Rounds take a millisecond at the least, so that as many are always too many; and none overflow.
        const MANY_ROUNDS: u64 = u32::MAX as u64;
        let most_leap = u64::try_from(most_leap.as_millis()).unwrap_or(u64::MAX);
        let beats = &mut self.beats[places.clone()];
        let ticks = &self.ticks[places.clone()];
        let rises = &mut self.rises[places.clone()];
        let paces = &mut self.paces[places.clone()];
        let (mut has_risen, mut has_leapt) = (false, false);
        // Most counts are known already; which are not is found without a branch for each, for nobody can foresee it.
        for (block, told) in counts.chunks(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut news = news(&beats[first..], told);
            while news != 0 {
                let place = first + news.trailing_zeros() as usize;
                news &= news - 1;
                let (held, told, tick) = (beats[place], counts[place], ticks[place]);
                if (told - held).min(MANY_ROUNDS) * u64::from(tick) > most_leap {
                    has_leapt = true;
                    continue;
                }
                let lag = lag(rise, told, tick);
                has_risen = true;
                beats[place] = told;
                rises[place] = rise;
                paces[place] = paces[place].after(lag, tick, is_over(held, told));
            }
        }
        taken.has_risen |= has_risen;
        if has_leapt {
            let told = places.zip(counts);
            let leaping = told.filter(|(place, told)| **told > self.beats[*place]);
            taken
                .leaping
                .extend(leaping.map(|(place, told)| (place, *told)));
        }
    }

    fn other(&self, place: usize) -> Result<usize, usize> {
        self.others
            .binary_search_by_key(&place, |other| other.place())
    }
}

/// Whether its count is all there is to tell of it and to hear.
fn is_plain(pulse: &Pulse) -> bool {
    pulse.signs.are_plain() && pulse.counts_rounds()
}

/// Counts that are compared at a time.
const BLOCK: usize = u64::BITS as usize;

/// Which of up to [`BLOCK`] counts are greater than those held, a bit each.
fn news(held: &[u64], told: &[u64]) -> u64 {
    let pairs = held.iter().zip(told).enumerate();
    pairs.fold(0, |news, (at, (held, told))| {
        news | u64::from(told > held) << at
    })
}

/// Inserts into a list that grows by an eighth: half of a large one is not to lie empty.
pub(crate) fn insert<T>(list: &mut Vec<T>, place: usize, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 4);
    }
    list.insert(place, item);
}

/// `places` in stretches, where these are not plain.
fn stretches(others: &[Other], places: Range<usize>) -> impl Iterator<Item = Stretch> {
    let first = others.partition_point(|other| other.place() < places.start);
    let last = others.partition_point(|other| other.place() < places.end);
    let others = others[first..last].iter().copied().map(Some);
    let mut from = places.start;
    others.chain([None]).map(move |other| {
        let plain = from..other.map_or(places.end, Other::place);
        from = plain.end + 1;
        Stretch { plain, other }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::Standing;
    use crate::pulse::tests::counting_from;

    #[test]
    fn a_pulse_takes_little() {
        assert_eq!(size_of::<(u64, u32, Rise, Pace)>() + size_of::<Signs>(), 32);
    }

    #[test]
    fn what_is_news_is_taken_in_wherever_it_lies_and_no_leap_is() {
        const MEMBERS: usize = 3 * BLOCK + 5;
        let mut pulse = Pulse::new(&counting_from(0), Standing::Confirmed, Instant::START);
        pulse.beat = 10;
        let mut pulses = Pulses::default();
        (0..MEMBERS).for_each(|place| pulses.insert(place, pulse));
        let news = [0, BLOCK - 1, BLOCK, 2 * BLOCK + 1, MEMBERS - 1];
        let mut counts = vec![10; MEMBERS];
        news.iter().for_each(|place| counts[*place] = 11);
        (counts[1], counts[2]) = (9, 1_000);
        let mut taken = Taken::default();
        let (all, leap) = (0..MEMBERS, Duration::from_secs(60));
        pulses.take(
            all.clone(),
            &mut counts.as_slice(),
            pulse.rise,
            leap,
            &mut taken,
        );
        let risen = |place: &usize| pulses.beats(all.clone())[*place] == 11;
        assert_eq!(all.clone().filter(risen).collect::<Vec<_>>(), news);
        assert!(taken.has_risen && taken.leaping == [(2, 1_000)]);
    }

    #[test]
    fn stretches_are_what_lies_between_the_others() {
        let of = |others: &[usize], places: Range<usize>| {
            let others: Vec<Other> = others.iter().copied().map(Other::at).collect();
            let all = stretches(&others, places);
            let all = all.map(|one| (one.plain, one.other.map(Other::place)));
            all.collect::<Vec<_>>()
        };
        assert_eq!(of(&[], 2..5), [(2..5, None)]);
        assert_eq!(of(&[1, 3, 9], 2..5), [(2..3, Some(3)), (4..5, None)]);
        assert_eq!(of(&[0], 0..1), [(0..0, Some(0)), (1..1, None)]);
    }
}
