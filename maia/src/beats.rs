//! The cheap exchange between our own nodes: who is alive, in two bits a member.
//!
//! A heartbeat is a count of rounds, so where two nodes hold the same members with the same words, all that is left to
//! tell is how far each member's count is behind the greatest: mostly one of three neighbouring numbers, two bits. Whether
//! they do hold the same is told by a fingerprint of the whole. Where they do not, the one that was asked lists what it
//! holds, eight bytes and the count a member, and the two hand each other the records that differ.
//!
//! Bytes are read as strictly as they are written: a length that does not follow from what came before, a count that is
//! too great or a byte too many refuses the whole.

use crate::error::Invalid;
use crate::record::{Heartbeat, Load};

/// What a node holds, where both hold the same members: each member's count of rounds, in order of id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beats {
    /// The fingerprint of all words that the sender goes by.
    pub fingerprint: u64,
    /// Each member's count, the sender's own among them, in order of id.
    pub beats: Vec<u64>,
    /// The members that do not count rounds, by place: older nodes. Their count above means nothing.
    pub uneven: Vec<(u32, Heartbeat)>,
    /// Load figures that are news, by place.
    pub loads: Vec<(u32, LoadAt)>,
}

/// A load figure, and the count of rounds at which its owner told it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadAt {
    /// The figures; the percentages in whole numbers.
    pub load: Load,
    /// Of two, the one with the greater count is the newer.
    pub beat: u64,
}

/// What a node holds, where the asker holds something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Stands for the id.
    pub id_hash: u32,
    /// Stands for the words about it.
    pub fingerprint: u32,
    /// Its count of rounds; zero for one that does not count.
    pub beat: u64,
}

/// The answer to [`Beats`].
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// The same members: this is how far each has counted here.
    Same(Beats),
    /// Others: this is what is held here.
    Other(Vec<Listed>),
}

/// The version of this encoding.
const VERSION: u8 = 1;
const SAME: u8 = 0;
const OTHER: u8 = 1;

/// The code for a lag outside of the window.
const ESCAPE: u8 = 3;
/// The nibble that says that a lag follows as a number of its own.
const LONG: u8 = 15;

impl Beats {
    /// Writes a request.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![VERSION]);
        self.write(&mut out);
        out.0
    }

    /// Reads a request of at most `most` members.
    ///
    /// # Errors
    /// Says where it is not what [`Beats::encode`] writes. Nothing of it may be used.
    pub fn decode(bytes: &[u8], most: usize) -> Result<Self, Invalid> {
        let mut input = Reader(bytes);
        input.expect(VERSION, "version")?;
        let beats = Self::read(&mut input, most)?;
        input.end()?;
        Ok(beats)
    }

    fn write(&self, out: &mut Writer) {
        let base = greatest(&self.beats);
        out.bytes(&self.fingerprint.to_le_bytes());
        out.number(self.beats.len() as u64);
        out.number(base);
        write_lags(&self.beats, base, out);
        out.number(self.uneven.len() as u64);
        out.places(&self.uneven, |out, heartbeat| {
            out.bytes(&heartbeat.unix_seconds().to_le_bytes());
        });
        out.number(self.loads.len() as u64);
        out.places(&self.loads, |out, told| {
            out.0.push(whole_percent(told.load.cpu_percent()));
            out.0.push(whole_percent(told.load.memory_percent()));
            out.number(u64::from(told.load.active_requests()));
            out.number(base.saturating_sub(told.beat));
        });
    }

    fn read(input: &mut Reader<'_>, most: usize) -> Result<Self, Invalid> {
        let fingerprint = u64::from_le_bytes(input.array("fingerprint")?);
        let count = input.count("members", most)?;
        let base = input.number("base")?;
        if base > MOST_BEATS {
            return Err(wrong("base", "is greater than any count of rounds can be"));
        }
        let beats = read_lags(input, count, base)?;
        if !beats.is_empty() && greatest(&beats) < base {
            return Err(wrong("base", "is greater than every count"));
        }
        let uneven = input.places("uneven", count, |input| {
            let seconds = f64::from_le_bytes(input.array("uneven")?);
            Heartbeat::from_unix_seconds(seconds)
        })?;
        let loads = input.places("loads", count, |input| {
            let [cpu, memory] = input.array("loads")?;
            let requests = u32::try_from(input.number("loads")?)
                .map_err(|_| wrong("loads", "has more requests than can be counted"))?;
            let age = input.number("loads")?;
            Ok(LoadAt {
                load: Load::new(f64::from(cpu), f64::from(memory), requests)?,
                beat: base
                    .checked_sub(age)
                    .ok_or_else(|| wrong("loads", "is older than the mesh"))?,
            })
        })?;
        Ok(Self {
            fingerprint,
            beats,
            uneven,
            loads,
        })
    }
}

impl Held {
    /// Writes an answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(vec![VERSION]);
        match self {
            Self::Same(beats) => {
                out.0.push(SAME);
                beats.write(&mut out);
            }
            Self::Other(listed) => {
                out.0.push(OTHER);
                write_listed(listed, &mut out);
            }
        }
        out.0
    }

    /// Reads an answer of at most `most` members.
    ///
    /// # Errors
    /// Says where it is not what [`Held::encode`] writes. Nothing of it may be used.
    pub fn decode(bytes: &[u8], most: usize) -> Result<Self, Invalid> {
        let mut input = Reader(bytes);
        input.expect(VERSION, "version")?;
        let [kind] = input.array("kind")?;
        let held = match kind {
            SAME => Self::Same(Beats::read(&mut input, most)?),
            OTHER => Self::Other(read_listed(&mut input, most)?),
            _ => return Err(wrong("kind", "is none that is known")),
        };
        input.end()?;
        Ok(held)
    }
}

/// Rounds of a millisecond until the year 2100: no count is greater.
const MOST_BEATS: u64 = 4_102_444_800_000;

fn whole_percent(percent: f64) -> u8 {
    percent.round().clamp(0.0, 255.0) as u8
}

fn wrong(field: &str, reason: &str) -> Invalid {
    Invalid::new(format!("beats.{field}"), reason)
}

/// Two bits a member: which of three neighbouring lags it is, or that a nibble tells it, or that a number does.
fn write_lags(beats: &[u64], base: u64, out: &mut Writer) {
    // What is longer than a byte is told as a number anyway.
    let lags: Vec<u8> = beats.iter().map(|beat| short(base - beat)).collect();
    let window = window(&lags);
    out.number(u64::from(window));
    let first = out.0.len();
    let code = |lag: &u8| lag.wrapping_sub(window).min(ESCAPE);
    let mut codes: Vec<u8> = lags.iter().map(code).collect();
    codes.resize(lags.len().next_multiple_of(4), 0);
    out.0.extend(codes.chunks_exact(4).map(crumbs));
    let (mut nibbles, mut longs) = (Packer::new(4), Writer(Vec::new()));
    for place in escapes(&out.0[first..], lags.len()) {
        nibbles.push(lags[place].min(LONG));
        if lags[place] >= LONG {
            longs.number(base - beats[place]);
        }
    }
    out.bytes(&nibbles.bytes);
    out.bytes(&longs.0);
}

fn short(lag: u64) -> u8 {
    lag.min(u64::from(u8::MAX)) as u8
}

/// Four codes in a byte, the first in the lowest bits.
fn crumbs(codes: &[u8]) -> u8 {
    let four = codes.try_into().unwrap_or_default();
    let apart = u32::from_le_bytes(four);
    (apart | apart >> 6 | apart >> 12 | apart >> 18) as u8
}

/// The greatest count; zero where there is none.
fn greatest(beats: &[u64]) -> u64 {
    // One comparison after the other would have to wait for the one before.
    let mut greatest = [0; 4];
    for four in beats.chunks(4) {
        for (beat, greatest) in four.iter().zip(&mut greatest) {
            *greatest = (*beat).max(*greatest);
        }
    }
    greatest.into_iter().max().unwrap_or(0)
}

/// The first of the three neighbouring lags that leave the fewest members outside.
fn window(lags: &[u8]) -> u8 {
    const LENGTHS: usize = LONG as usize + 2;
    // One count after the other would have to wait for the one before, where lags are alike.
    let mut counts = [[0_u32; 256]; 4];
    for four in lags.chunks(4) {
        for (lag, counts) in four.iter().zip(&mut counts) {
            counts[usize::from(*lag)] += 1;
        }
    }
    let count = |lag: usize| counts.iter().map(|counts| counts[lag]).sum::<u32>();
    let inside = |first: usize| (first..first + 3).map(count).sum::<u32>();
    let best = (0..LENGTHS - 2).max_by_key(|&first| (inside(first), std::cmp::Reverse(first)));
    best.unwrap_or(0) as u8
}

/// The places of those among `count` members whose lag lies outside of the window.
fn escapes(crumbs: &[u8], count: usize) -> impl Iterator<Item = usize> {
    let with_some = crumbs
        .iter()
        .enumerate()
        .filter(|(_, four)| has_escape(**four));
    let places = with_some.flat_map(|(place, four)| {
        let escaped = (0..4).filter(move |crumb| (four >> (crumb * 2)) & 3 == ESCAPE);
        escaped.map(move |crumb| place * 4 + crumb)
    });
    places.filter(move |place| *place < count)
}

fn has_escape(crumbs: u8) -> bool {
    crumbs & (crumbs >> 1) & 0b0101_0101 != 0
}

fn read_lags(input: &mut Reader<'_>, count: usize, base: u64) -> Result<Vec<u64>, Invalid> {
    let window = input.number("window")?;
    let crumbs = input.take(count.div_ceil(4), "lags")?;
    let escaped = escapes(crumbs, count).count();
    let nibbles = input.take(escaped.div_ceil(2), "escapes")?;
    // What an escape stands for is put in its place afterwards.
    let of_code: [Option<u64>; 3] =
        [0, 1, 2].map(|code| base.checked_sub(window.saturating_add(code)));
    let counts = of_code.map(Option::unwrap_or_default);
    let counts = [counts[0], counts[1], counts[2], base];
    let mut beats: Vec<u64> = Vec::with_capacity(crumbs.len() * 4);
    for four in crumbs {
        let count = |shift: u8| counts[usize::from((four >> shift) & 3)];
        beats.extend_from_slice(&[count(0), count(2), count(4), count(6)]);
    }
    beats.truncate(count);
    let too_great = || wrong("lag", "is greater than the base");
    if of_code.contains(&None) {
        let code = |place: usize| usize::from((crumbs[place / 4] >> (place % 4 * 2)) & 3);
        let is_there = |place| of_code.get(code(place)).is_none_or(Option::is_some);
        if !(0..count).all(is_there) {
            return Err(too_great());
        }
    }
    for (escape, place) in escapes(crumbs, count).enumerate() {
        let lag = match (nibbles[escape / 2] >> (escape % 2 * 4)) & 15 {
            LONG => input.number("lag")?,
            nibble => u64::from(nibble),
        };
        beats[place] = base.checked_sub(lag).ok_or_else(too_great)?;
    }
    Ok(beats)
}

fn write_listed(listed: &[Listed], out: &mut Writer) {
    let base = listed.iter().map(|one| one.beat).max().unwrap_or(0);
    out.number(listed.len() as u64);
    out.number(base);
    for one in listed {
        out.bytes(&one.id_hash.to_le_bytes());
        out.bytes(&one.fingerprint.to_le_bytes());
        out.number(base - one.beat);
    }
}

fn read_listed(input: &mut Reader<'_>, most: usize) -> Result<Vec<Listed>, Invalid> {
    let count = input.count("members", most)?;
    let base = input.number("base")?;
    let mut listed = Vec::new();
    for _ in 0..count {
        let id_hash = u32::from_le_bytes(input.array("listed")?);
        let fingerprint = u32::from_le_bytes(input.array("listed")?);
        let lag = input.number("lag")?;
        let beat = base
            .checked_sub(lag)
            .ok_or_else(|| wrong("lag", "is greater than the base"))?;
        listed.push(Listed {
            id_hash,
            fingerprint,
            beat,
        });
    }
    Ok(listed)
}

/// Small numbers of one width, several to a byte.
struct Packer {
    bits: usize,
    bytes: Vec<u8>,
    filled: usize,
}

impl Packer {
    fn new(bits: usize) -> Self {
        Self {
            bits,
            bytes: Vec::new(),
            filled: 8,
        }
    }

    fn push(&mut self, value: u8) {
        if self.filled == 8 {
            self.bytes.push(0);
            self.filled = 0;
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= value << self.filled;
        }
        self.filled += self.bits;
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn places<T>(&mut self, items: &[(u32, T)], write: impl Fn(&mut Self, &T)) {
        let mut next = 0;
        for (place, item) in items {
            self.number(u64::from(place - next));
            next = place + 1;
            write(self, item);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize, field: &str) -> Result<&'a [u8], Invalid> {
        let Some((taken, rest)) = self.0.split_at_checked(length) else {
            return Err(wrong(field, "ends too soon"));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Invalid> {
        let taken = self.take(N, field)?;
        taken.try_into().map_err(|_| wrong(field, "ends too soon"))
    }

    fn number(&mut self, field: &str) -> Result<u64, Invalid> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array(field)?;
            let bits = u64::from(byte & 0x7f);
            if bits.checked_shl(shift).map(|shifted| shifted >> shift) != Some(bits) {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(wrong(field, "is greater than any number can be"))
    }

    /// A count of at most `most`, and of no more than there are bytes for at four to a byte.
    fn count(&mut self, field: &str, most: usize) -> Result<usize, Invalid> {
        let count = self.number(field)?;
        let possible = most.min(self.0.len().saturating_mul(4));
        match usize::try_from(count) {
            Ok(count) if count <= possible => Ok(count),
            _ => Err(wrong(field, "are more than there can be")),
        }
    }

    fn places<T>(
        &mut self,
        field: &str,
        members: usize,
        read: impl Fn(&mut Self) -> Result<T, Invalid>,
    ) -> Result<Vec<(u32, T)>, Invalid> {
        let count = self.count(field, members)?;
        let (mut items, mut next) = (Vec::new(), 0_u64);
        for _ in 0..count {
            let place = next.saturating_add(self.number(field)?);
            if place >= members as u64 {
                return Err(wrong(field, "speak of a member that is not there"));
            }
            next = place + 1;
            items.push((place as u32, read(self)?));
        }
        Ok(items)
    }

    fn expect(&mut self, wanted: u8, field: &str) -> Result<(), Invalid> {
        match self.array(field)? {
            [byte] if byte == wanted => Ok(()),
            [byte] => Err(wrong(
                field,
                &format!("is {byte}, and {wanted} is what is known"),
            )),
        }
    }

    fn end(&self) -> Result<(), Invalid> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(wrong("end", "comes before the last byte"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn some(rng: &mut Rng, members: usize) -> Beats {
        let base = 1_000_000 + rng.below(1_000) as u64;
        let spread = [1, 5, 20, 2_000][rng.below(4)];
        let places = |rng: &mut Rng| {
            (0..members as u32)
                .filter(|_| rng.chance(0.1))
                .collect::<Vec<_>>()
        };
        let uneven = places(rng).into_iter().map(|place| {
            let heartbeat =
                Heartbeat::from_unix_seconds(1_795_313_885.017_129_2 + f64::from(place));
            (place, heartbeat.expect("in range"))
        });
        Beats {
            fingerprint: rng.draw(),
            uneven: uneven.collect(),
            beats: (0..members)
                .map(|_| base - rng.below(spread) as u64)
                .collect(),
            loads: Vec::new(),
        }
    }

    fn with_loads(rng: &mut Rng, mut beats: Beats) -> Beats {
        let base = beats.beats.iter().copied().max().unwrap_or(0);
        for place in 0..beats.beats.len() as u32 {
            if rng.chance(0.2) {
                let percent = rng.below(101) as f64;
                let load =
                    Load::new(percent, 100.0 - percent, rng.below(1_000) as u32).expect("in range");
                let beat = base - rng.below(30) as u64;
                beats.loads.push((place, LoadAt { load, beat }));
            }
        }
        beats
    }

    #[test]
    fn what_is_written_is_read() {
        let mut rng = Rng::from_seed(1);
        for members in (0..70).chain([1_000]) {
            let beats = some(&mut rng, members);
            let beats = with_loads(&mut rng, beats);
            assert_eq!(Beats::decode(&beats.encode(), 10_000), Ok(beats.clone()));
            let held = Held::Same(beats);
            assert_eq!(Held::decode(&held.encode(), 10_000), Ok(held));
            let listed = (0..members).map(|_| Listed {
                id_hash: rng.draw() as u32,
                fingerprint: rng.draw() as u32,
                beat: rng.below(100) as u64,
            });
            let held = Held::Other(listed.collect());
            assert_eq!(Held::decode(&held.encode(), 10_000), Ok(held));
        }
    }

    #[test]
    fn neighbouring_counts_take_two_bits_a_member() {
        let beats = Beats {
            beats: (0..1_000).map(|n| 5_000 - n % 3).collect(),
            ..Beats::default()
        };
        assert!(beats.encode().len() <= 250 + 20, "{}", beats.encode().len());
    }

    #[test]
    fn no_bytes_cause_a_panic_and_none_too_many_or_too_few_are_taken() {
        let mut rng = Rng::from_seed(2);
        for _ in 0..2_000 {
            let beats = some(&mut rng, 20);
            let beats = with_loads(&mut rng, beats);
            let right = beats.encode();
            for length in 0..right.len() {
                assert!(Beats::decode(&right[..length], 10_000).is_err());
            }
            let mut longer = right.clone();
            longer.push(0);
            assert!(Beats::decode(&longer, 10_000).is_err());
            let mut flipped = right;
            let place = rng.below(flipped.len());
            flipped[place] ^= 1 << rng.below(8);
            drop((
                Beats::decode(&flipped, 10_000),
                Held::decode(&flipped, 10_000),
            ));
            let noise: Vec<u8> = (0..rng.below(60)).map(|_| rng.draw() as u8).collect();
            drop((Beats::decode(&noise, 10_000), Held::decode(&noise, 10_000)));
        }
        assert!(
            Beats::decode(
                &Beats {
                    beats: vec![1; 11],
                    ..Beats::default()
                }
                .encode(),
                10
            )
            .is_err()
        );
    }
}
