//! What a node says of itself, and which of two sayings to keep.
//!
//! A record is its owner's alone: others copy it and never change it. It has two parts, each a maximum of its own: the
//! [`Card`], which older nodes know too, goes by the [`Version`]; the [`Ext`] goes by its own rising number within one
//! incarnation. So merging is commutative, associative and idempotent, and gossip may come twice, late, or in any order.
//! (Shapiro et al., “Conflict-free Replicated Data Types”, 2011, section 2: a join semilattice.)

use crate::address::Url;
use crate::error::Invalid;
use crate::id::{Label, Name, NodeId};
use crate::time::Wall;
use std::sync::Arc;

/// Unix seconds as the owner wrote them, to the bit: from 1970 to the end of 2099.
///
/// Kept as the bits of a double, which for such numbers sort as the numbers do, so that a stamp can be compared, hashed
/// and relayed without ever being rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Stamp(u64);

/// The first moment of the year 2100: no version reaches it.
const CEILING_MILLIS: u64 = 4_102_444_800_000;

impl Stamp {
    fn from_unix_seconds(field: &str, seconds: f64) -> Result<Self, Invalid> {
        // `+ 0.0` turns a negative zero into the plain one, whose bits sort.
        let seconds = seconds + 0.0;
        if seconds >= 0.0 && seconds < CEILING_MILLIS as f64 / 1_000.0 {
            return Ok(Self(seconds.to_bits()));
        }
        let expected = "expected unix seconds between the years 1970 and 2100";
        Err(Invalid::new(field, format!("{expected}, found {seconds}")))
    }

    fn from_unix_millis(millis: u64) -> Option<Self> {
        (millis < CEILING_MILLIS).then(|| Self((millis as f64 / 1_000.0).to_bits()))
    }

    fn unix_seconds(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// In whole milliseconds, rounded up: a stamp of that many is not below this one.
    fn unix_millis(self) -> u64 {
        (self.unix_seconds() * 1_000.0).ceil() as u64
    }
}

/// A member's own life, `joined_at` on the wire. Only the member itself raises it: by starting anew, or to refute what
/// others say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(Stamp);

/// A member's sign of life, `last_heartbeat` on the wire. Only the member itself raises it, once every gossip round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Heartbeat(Stamp);

/// How new a word about a member is: its incarnation, then its heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The life it speaks of.
    pub incarnation: Incarnation,
    /// The sign within that life.
    pub heartbeat: Heartbeat,
}

impl Incarnation {
    /// Reads `joined_at`.
    ///
    /// # Errors
    /// Where it lies outside the years 1970 to 2099 or is not a number.
    pub fn from_unix_seconds(seconds: f64) -> Result<Self, Invalid> {
        Stamp::from_unix_seconds("joined_at", seconds).map(Self)
    }

    /// As it stands on the wire.
    pub fn unix_seconds(self) -> f64 {
        self.0.unix_seconds()
    }

    /// The life that begins at `wall`, but in any case after `self`; `None` at the end of time (the year 2100).
    pub fn next(self, wall: Wall) -> Option<Self> {
        Stamp::from_unix_millis(wall.unix_millis().max(self.0.unix_millis() + 1)).map(Self)
    }

    /// In whole milliseconds since 1970, rounded up.
    pub fn unix_millis(self) -> u64 {
        self.0.unix_millis()
    }
}

impl Heartbeat {
    /// Reads `last_heartbeat`.
    ///
    /// # Errors
    /// Where it lies outside the years 1970 to 2099 or is not a number.
    pub fn from_unix_seconds(seconds: f64) -> Result<Self, Invalid> {
        Stamp::from_unix_seconds("last_heartbeat", seconds).map(Self)
    }

    /// A heartbeat of `millis` since 1970; `None` from the year 2100 on.
    pub fn from_unix_millis(millis: u64) -> Option<Self> {
        Stamp::from_unix_millis(millis).map(Self)
    }

    /// As it stands on the wire.
    pub fn unix_seconds(self) -> f64 {
        self.0.unix_seconds()
    }

    /// In whole milliseconds since 1970, rounded up.
    pub fn unix_millis(self) -> u64 {
        self.0.unix_millis()
    }
}

/// How busy a node says it is. Percentages are kept to the thousandth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load {
    cpu_thousandths: u32,
    memory_thousandths: u32,
    active_requests: u32,
}

impl Load {
    /// Puts the three figures together. Percentages are of the whole machine (or its quota), 0 to 100; small overshoots
    /// that measuring produces are taken as they are, up to 1,000.
    ///
    /// # Errors
    /// Names the figure that is not a number or out of range.
    pub fn new(
        cpu_percent: f64,
        memory_percent: f64,
        active_requests: u32,
    ) -> Result<Self, Invalid> {
        for (field, percent) in [
            ("load.cpu_percent", cpu_percent),
            ("load.memory_percent", memory_percent),
        ] {
            if !(0.0..=1_000.0).contains(&percent) {
                let reason = format!("expected a percentage, found {percent}");
                return Err(Invalid::new(field, reason));
            }
        }
        let thousandths = |percent: f64| (percent * 1_000.0).round() as u32;
        Ok(Self {
            cpu_thousandths: thousandths(cpu_percent),
            memory_thousandths: thousandths(memory_percent),
            active_requests,
        })
    }

    /// Processor time in use, in percent.
    pub fn cpu_percent(&self) -> f64 {
        f64::from(self.cpu_thousandths) / 1_000.0
    }

    /// Memory in use, in percent.
    pub fn memory_percent(&self) -> f64 {
        f64::from(self.memory_thousandths) / 1_000.0
    }

    /// Requests it is running: the figure that selection goes by.
    pub fn active_requests(&self) -> u32 {
        self.active_requests
    }
}

/// What a node tells everybody, older nodes included. It changes only together with the heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// What people call it.
    pub name: Name,
    /// Where it is reached.
    pub url: Url,
    /// What it does: any of `api`, `agents`, `inference`, `memory`, `tools`, `channels`, `rag`, `observability`.
    pub services: Vec<Label>,
    /// The agents it runs.
    pub agents: Vec<Label>,
}

/// What our own nodes add, dropped by an older node that relays. It changes by its own number.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ext {
    /// Rises with every change, within one incarnation.
    pub n: u64,
    /// It said goodbye.
    pub left: bool,
    /// It takes no new requests.
    pub draining: bool,
    /// It says that it leads.
    pub leads: bool,
    /// How its heartbeats count its rounds; older nodes' do not.
    pub rounds: Option<Rounds>,
    /// The release it runs, where it says so.
    pub version: Option<Name>,
    /// What a newer release says beyond that, as one JSON object with sorted keys: relayed untouched.
    pub more: Option<Arc<str>>,
}

/// How a node's heartbeats count its gossip rounds: the heartbeat of round `n` is the origin plus `n` intervals. The owner
/// chooses the origin so that its count is close to everybody else's, which makes the counts cheap to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rounds {
    /// The heartbeat of round zero, in milliseconds since 1970.
    pub origin_millis: u64,
    /// The time between two rounds, in milliseconds, at least 1.
    pub interval_millis: u32,
}

impl Rounds {
    /// The last round at or before `heartbeat`.
    pub fn beat(self, heartbeat: Heartbeat) -> u64 {
        let since = heartbeat.unix_millis().saturating_sub(self.origin_millis);
        since / u64::from(self.interval_millis.max(1))
    }

    /// The heartbeat of a round; `None` from the year 2100 on.
    pub fn heartbeat(self, beat: u64) -> Option<Heartbeat> {
        let since = beat.checked_mul(u64::from(self.interval_millis))?;
        Heartbeat::from_unix_millis(self.origin_millis.checked_add(since)?)
    }

    /// Whether the rounds of both begin at the same moments, however many each has counted by then.
    fn is_in_step_with(self, other: Self) -> bool {
        let apart = self.origin_millis.abs_diff(other.origin_millis);
        let interval = self.interval_millis;
        interval == other.interval_millis && apart % u64::from(interval.max(1)) == 0
    }
}

/// One node's word about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose word.
    pub id: NodeId,
    /// How new the card is.
    pub version: Version,
    /// The part that every node knows.
    pub card: Arc<Card>,
    /// How busy it is. Our nodes tell it more often than they write the rest.
    pub load: Load,
    /// The part that our nodes add; absent where it was dropped on the way.
    pub ext: Option<Arc<Ext>>,
}

impl Record {
    /// Both records' newest parts in one: the later incarnation's, and within one incarnation each part's maximum. At a
    /// tie the greater content stays, so that everybody keeps the same.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        use std::cmp::Ordering::{Equal, Greater, Less};
        debug_assert_eq!(self.id, other.id, "only words about one node can be merged");
        match self.version.incarnation.cmp(&other.version.incarnation) {
            Greater => self.clone(),
            Less => other.clone(),
            Equal => {
                let newer = std::cmp::max_by(self, other, |one, two| {
                    (one.version, &one.card, one.load).cmp(&(two.version, &two.card, two.load))
                });
                Self {
                    ext: self.ext.clone().max(other.ext.clone()),
                    ..newer.clone()
                }
            }
        }
    }

    /// Whether merging `self` into `held` would change anything.
    pub fn supersedes(&self, held: &Self) -> bool {
        self.supersedes_risen(held, held.version, held.load)
    }

    /// The same where version and load have risen since `held` was written.
    pub(crate) fn supersedes_risen(&self, held: &Self, version: Version, load: Load) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let newer_ext = || match (&self.ext, &held.ext) {
            (Some(one), Some(other)) => !Arc::ptr_eq(one, other) && one > other,
            (one, _) => one.is_some(),
        };
        let greater_card = || (&self.card, self.load) > (&held.card, load);
        match self.version.cmp(&version) {
            Greater => true,
            Equal => greater_card() || newer_ext(),
            Less => self.version.incarnation == version.incarnation && newer_ext(),
        }
    }

    /// Whether the owner said goodbye.
    pub fn has_left(&self) -> bool {
        self.ext.as_ref().is_some_and(|ext| ext.left)
    }

    /// Whether the owner takes no new requests.
    pub fn is_draining(&self) -> bool {
        self.ext
            .as_ref()
            .is_some_and(|ext| ext.draining || ext.left)
    }

    /// Whether the owner says that it leads.
    pub fn says_it_leads(&self) -> bool {
        self.ext.as_ref().is_some_and(|ext| ext.leads)
    }

    /// How many rounds its owner has counted; `None` for an older node's.
    pub fn beat(&self) -> Option<u64> {
        Some(self.rounds()?.beat(self.version.heartbeat))
    }

    /// How its owner counts rounds; `None` for an older node's, and where round zero is yet to come, which no owner says.
    pub(crate) fn rounds(&self) -> Option<Rounds> {
        let rounds = self.ext.as_ref()?.rounds?;
        let has_begun = rounds.origin_millis <= self.version.heartbeat.unix_millis();
        has_begun.then_some(rounds)
    }

    /// Whether both count rounds that begin at the same moments, or neither counts any. If not, the owner's clock was set
    /// or stood still in between, or one of the two is not its word.
    pub(crate) fn counts_in_step_with(&self, other: &Self) -> bool {
        match (self.rounds(), other.rounds()) {
            (Some(one), Some(two)) => one.is_in_step_with(two),
            (one, two) => one == two,
        }
    }

    /// Stands for all that the owner said, but for the heartbeat and the load, which change all the time: two records with
    /// the same fingerprint are, as good as certainly, the same word.
    pub fn fingerprint(&self) -> u64 {
        let mut print = Fingerprint::default();
        print.text(self.id.as_str());
        print.number(self.version.incarnation.unix_seconds().to_bits());
        print.text(self.card.name.as_str());
        print.text(self.card.url.as_str());
        for labels in [&self.card.services, &self.card.agents] {
            print.number(labels.len() as u64);
            labels.iter().for_each(|label| print.text(label.as_str()));
        }
        if let Some(ext) = &self.ext {
            print.ext(ext);
        }
        print.finish()
    }

    /// The same word with a later heartbeat and nothing else.
    #[must_use]
    pub fn with_heartbeat(&self, heartbeat: Heartbeat) -> Self {
        let mut record = self.clone();
        record.version.heartbeat = heartbeat;
        record
    }

    /// Bytes the record takes in a message, at the most.
    pub fn size_bytes(&self) -> usize {
        // A short label takes more room in memory than on the wire, and it is memory that the bound is for.
        const SHORT_LABEL: usize = 32;
        let label = |label: &Label| (label.as_str().len() + 3).max(SHORT_LABEL);
        self.size_where(|labels| labels.iter().map(label).sum())
    }

    /// Whether it takes at most so many bytes. Most take far fewer, which is seen without a look at each label.
    pub(crate) fn fits_in(&self, most: usize) -> bool {
        let longest = |labels: &[Label]| labels.len() * (Label::LONGEST + 3);
        self.size_where(longest) <= most || self.size_bytes() <= most
    }

    fn size_where(&self, labels: impl Fn(&[Label]) -> usize) -> usize {
        // Braces, keys, numbers and the fields of fixed length; measured on the wire format, rounded up.
        const FRAME: usize = 420;
        // A character of a name may take six bytes once escaped.
        let name = self.card.name.as_str().len() * 6;
        let ext = self.ext.as_ref().map_or(0, |ext| {
            let version = ext.version.as_ref().map_or(0, |v| v.as_str().len() * 6);
            version + ext.more.as_ref().map_or(0, |more| more.len())
        });
        FRAME
            + name
            + ext
            + self.id.as_str().len()
            + self.card.url.as_str().len()
            + labels(&self.card.services)
            + labels(&self.card.agents)
    }
}

/// Stands for an id, in fewer bytes.
pub fn id_hash(id: &NodeId) -> u32 {
    hash(id.as_str())
}

/// Stands for a text, in four bytes.
pub(crate) fn hash(text: &str) -> u32 {
    let mut print = Fingerprint::default();
    print.text(text);
    print.finish() as u32
}

/// What a byte is multiplied with.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// What so many bytes are multiplied with, one after the other.
const POWERS: [u64; 9] = {
    let mut powers = [1_u64; 9];
    let mut power = 1;
    while power < powers.len() {
        powers[power] = powers[power - 1].wrapping_mul(PRIME);
        power += 1;
    }
    powers
};

/// A hash that is the same on every machine (FNV-1a, with the bits mixed at the end so that sums of hashes differ too).
struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    /// Eight bytes, the lowest first. Most numbers are small, and zeros do nothing but multiply.
    fn number(&mut self, number: u64) {
        let zeros = number.leading_zeros() as usize / 8;
        self.bytes(&number.to_le_bytes()[..8 - zeros]);
        self.0 = self.0.wrapping_mul(POWERS[zeros]);
    }

    fn ext(&mut self, ext: &Ext) {
        let Ext {
            n,
            left,
            draining,
            leads,
            rounds,
            version,
            more,
        } = ext;
        self.number(n.saturating_add(1));
        self.bytes(&[u8::from(*left), u8::from(*draining), u8::from(*leads)]);
        if let Some(rounds) = rounds {
            self.number(rounds.origin_millis);
            self.number(u64::from(rounds.interval_millis));
        }
        self.text(version.as_ref().map_or("", Name::as_str));
        self.text(more.as_deref().unwrap_or(""));
    }

    fn finish(&self) -> u64 {
        crate::rng::Rng::from_seed(self.0).draw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_hashed_as_its_eight_bytes() {
        for number in (0..64)
            .map(|bits| u64::MAX >> bits)
            .chain([0, 256, 1 << 40])
        {
            let (mut quick, mut plain) = (Fingerprint::default(), Fingerprint::default());
            quick.number(number);
            plain.bytes(&number.to_le_bytes());
            assert_eq!(quick.0, plain.0, "{number}");
        }
    }

    #[test]
    fn a_record_fits_exactly_where_its_bytes_do() {
        for labels in [0, 1, 50] {
            for length in [1, 30, 64] {
                let label = Label::new(&"x".repeat(length)).expect("short");
                let record = Record {
                    id: NodeId::new("eve").expect("an id"),
                    version: Version::default(),
                    card: Arc::new(Card {
                        name: Name::new("eve").expect("a name"),
                        url: Url::new("http://10.0.0.1:8000").expect("an address"),
                        services: Vec::new(),
                        agents: vec![label; labels],
                    }),
                    load: Load::default(),
                    ext: None,
                };
                let size = record.size_bytes();
                assert!(record.fits_in(size) && !record.fits_in(size - 1), "{size}");
            }
        }
    }
}
