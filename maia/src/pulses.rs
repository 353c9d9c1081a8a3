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
    /// The places of those who are not plain, in order.
    others: Vec<u32>,
}

/// Places that can be gone through in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// All of these are plain.
    Plain(Range<usize>),
    /// This one is not.
    Other(usize),
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
            (Err(at), false) => self.others.insert(at, place as u32),
            _ => {}
        }
    }

    pub(crate) fn insert(&mut self, place: usize, pulse: Pulse) {
        insert(&mut self.beats, place, pulse.beat);
        insert(&mut self.ticks, place, pulse.tick);
        insert(&mut self.rises, place, pulse.rise);
        insert(&mut self.paces, place, pulse.pace);
        insert(&mut self.signs, place, pulse.signs);
        let (Ok(at) | Err(at)) = self.other(place);
        self.others[at..].iter_mut().for_each(|other| *other += 1);
        if !is_plain(&pulse) {
            self.others.insert(at, place as u32);
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
        self.others[at..].iter_mut().for_each(|other| *other -= 1);
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

    /// The places of all but those who are alive and whose silence at `judged` is shorter than this, in order; and the
    /// longest silence of those. In milliseconds.
    pub(crate) fn quiet(&self, judged: Instant, short: u64) -> (Vec<usize>, u64) {
        let judged = millis_down(judged);
        let silence = |place: usize| u64::from(self.rises[place].silent_millis(judged));
        let (mut quiet, mut longest) = (Vec::new(), 0);
        let mut look_at = |place: usize| {
            if self.signs[place].status == Status::Alive && silence(place) < short {
                longest = longest.max(silence(place));
            } else {
                quiet.push(place);
            }
        };
        let mut longest_of_plain = 0;
        for stretch in self.stretches(0..self.len()) {
            match stretch {
                Stretch::Plain(plain) => {
                    let rises = self.rises[plain.clone()].iter();
                    let silences = rises.map(|rise| rise.silent_millis(judged));
                    let most = u64::from(silences.max().unwrap_or(0));
                    if most < short {
                        longest_of_plain = longest_of_plain.max(most);
                    } else {
                        plain.for_each(&mut look_at);
                    }
                }
                Stretch::Other(place) => look_at(place),
            }
        }
        (quiet, longest.max(longest_of_plain))
    }

    /// The places of those who are not plain.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> {
        self.others.iter().map(|place| *place as usize)
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
        for stretch in stretches(&others, places) {
            match stretch {
                Stretch::Plain(plain) => {
                    let (told, rest) = counts.split_at(plain.len().min(counts.len()));
                    *counts = rest;
                    self.take_plain(plain, told, rise, most_leap, taken);
                }
                Stretch::Other(place) if self.signs[place].is_present() => {
                    if let Some((beat, rest)) = counts.split_first() {
                        *counts = rest;
                        changed.extend(self.taking(place, *beat, rise, most_leap, taken));
                    }
                }
                Stretch::Other(_) => {}
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

    /// The same for plain ones that lie side by side. About every second count is news, which no processor can guess: so
    /// each is written, whether it is news or not.
    fn take_plain(
        &mut self,
        places: Range<usize>,
        counts: &[u64],
        rise: Rise,
        most_leap: Duration,
        taken: &mut Taken,
    ) {
        let most_leap = u64::try_from(most_leap.as_millis()).unwrap_or(u64::MAX);
        let beats = &mut self.beats[places.clone()];
        let ticks = &self.ticks[places.clone()];
        let rises = &mut self.rises[places.clone()];
        let paces = &mut self.paces[places.clone()];
        let (mut has_risen, mut has_leapt) = (false, false);
        let held = beats.iter_mut().zip(ticks).zip(rises).zip(paces);
        for ((((held, tick), risen), pace), told) in held.zip(counts) {
            let rounds = told.saturating_sub(*held);
            let is_far = rounds.saturating_mul(u64::from(*tick)) > most_leap;
            let is_news = rounds > 0 && !is_far;
            let after = pace.after(lag(rise, *told, *tick), *tick, is_over(*held, *told));
            has_leapt |= is_far;
            has_risen |= is_news;
            *risen = if is_news { rise } else { *risen };
            *pace = if is_news { after } else { *pace };
            *held = if is_news { *told } else { *held };
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
        self.others.binary_search(&(place as u32))
    }
}

/// Whether its count is all there is to tell of it and to hear.
fn is_plain(pulse: &Pulse) -> bool {
    pulse.signs.are_plain() && pulse.counts_rounds()
}

/// Inserts into a list that grows by an eighth: half of a large one is not to lie empty.
pub(crate) fn insert<T>(list: &mut Vec<T>, place: usize, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 4);
    }
    list.insert(place, item);
}

/// `places` in stretches, where these are not plain.
fn stretches(others: &[u32], places: Range<usize>) -> impl Iterator<Item = Stretch> {
    let first = others.partition_point(|other| (*other as usize) < places.start);
    let others = others[first..].iter().map(|other| *other as usize);
    let others = others.take_while({
        let end = places.end;
        move |other| *other < end
    });
    let ends = others.map(Some).chain([None]);
    let mut from = places.start;
    let between = ends.map(move |other| {
        let plain = from..other.unwrap_or(places.end);
        from = plain.end + 1;
        [Some(Stretch::Plain(plain)), other.map(Stretch::Other)]
    });
    between.flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_takes_little() {
        assert_eq!(size_of::<(u64, u32, Rise, Pace)>() + size_of::<Signs>(), 32);
    }

    #[test]
    fn stretches_are_what_lies_between_the_others() {
        let of = |others: &[u32], places: Range<usize>| {
            let all = stretches(others, places);
            all.filter(|one| *one != Stretch::Plain(0..0))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[], 2..5), [Stretch::Plain(2..5)]);
        assert_eq!(
            of(&[1, 3, 9], 2..5),
            [
                Stretch::Plain(2..3),
                Stretch::Other(3),
                Stretch::Plain(4..5)
            ]
        );
        assert_eq!(of(&[0], 0..1)[0], Stretch::Other(0));
    }
}
