//! Who is in the mesh: the rows, and which address and name belongs to whom.
//!
//! Pulses lie in order of id, the order in which exchanges count them; rows lie where there was room. Addresses and names
//! are found by their hashes, so that a member costs little: all that lies here for each takes 132 bytes, and lists grow by
//! an eighth. This node itself has no row, and a seat: its place among the ids.

use crate::address::Url;
use crate::id::{Name, NodeId};
use crate::member::{Member, MemberMut, Row};
use crate::pulse::{Pulse, Standing};
use crate::pulses::{Pulses, insert};
use crate::record::{Record, hash, id_hash};
use std::fmt;
use std::sync::Arc;

/// All members but this node itself.
pub(crate) struct Table {
    own: NodeId,
    seat: usize,
    /// The signs of life, in order of id, with the beginning of each id, and where the row of each is.
    pulses: Pulses,
    keys: Vec<Key>,
    prints: Vec<Print>,
    order: Vec<Slot>,
    rows: Vec<Option<Row>>,
    vacant: Vec<Slot>,
    by_url: Index,
    by_name: Index,
    hearsay: usize,
    /// How many make up the mesh besides this node, and the sum of their fingerprints.
    present: usize,
    sum: u64,
    votes: Votes,
}

/// What elections go by, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Votes {
    /// How many of those who may lead say that they do.
    pub(crate) leading: usize,
    /// How often somebody came who may lead and does not say so.
    pub(crate) came: u64,
    /// How often anything else became of who may lead.
    pub(crate) changed: u64,
}

impl Votes {
    /// Somebody who may lead, or not, and says it does, or not, has become another.
    fn note(&mut self, before: Option<bool>, after: Option<bool>) {
        self.leading -= usize::from(before == Some(true));
        self.leading += usize::from(after == Some(true));
        match (before, after) {
            (before, after) if before == after => {}
            (None, Some(false)) => self.came += 1,
            _ => self.changed += 1,
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A place among the rows.
type Slot = u32;

/// The first eight bytes of an id, by which most ids differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Key {
    fn of(id: &NodeId) -> Self {
        let mut first = [0; 8];
        for (place, byte) in first.iter_mut().zip(id.as_str().bytes()) {
            *place = byte;
        }
        Self(u64::from_be_bytes(first))
    }
}

/// What two nodes compare of a member: they lie side by side, for who looks for differences looks at everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Print {
    /// Stands for the id.
    pub(crate) id_hash: u32,
    /// Stands for the owner's word, but for heartbeat and load.
    pub(crate) word: u32,
}

/// Hashes of texts, and the rows that have them, in order.
#[derive(Default)]
struct Index(Vec<(u32, Slot)>);

impl Index {
    fn note(&mut self, text: &str, slot: Slot) {
        let entry = (hash(text), slot);
        if let Err(place) = self.0.binary_search(&entry) {
            insert(&mut self.0, place, entry);
        }
    }

    fn drop(&mut self, text: &str, slot: Slot) {
        if let Ok(place) = self.0.binary_search(&(hash(text), slot)) {
            self.0.remove(place);
        }
    }

    fn candidates(&self, text: &str) -> impl Iterator<Item = Slot> {
        let hash = hash(text);
        let first = self.0.partition_point(|entry| entry.0 < hash);
        let same = self.0[first..]
            .iter()
            .take_while(move |entry| entry.0 == hash);
        same.map(|(_, slot)| *slot)
    }
}

/// What of a member is found by something else than its id, or counted.
struct Filed {
    word: Arc<Record>,
    reach: Option<Url>,
    hearsay: bool,
    present: bool,
    weight: u64,
    vote: Option<bool>,
}

impl Filed {
    fn of(member: Member<'_>) -> Self {
        Self {
            word: Arc::clone(member.word()),
            reach: member.odd().reach.clone(),
            hearsay: !member.is_confirmed(),
            present: member.is_present(),
            weight: member.weight(),
            vote: member.pulse.vote(),
        }
    }

    fn url(&self) -> &Url {
        self.reach.as_ref().unwrap_or(&self.word.card.url)
    }

    fn is(&self, member: Member<'_>) -> bool {
        Arc::ptr_eq(&self.word, member.word())
            && self.reach == member.odd().reach
            && self.hearsay != member.is_confirmed()
            && self.weight == member.weight()
            && self.vote == member.pulse.vote()
    }
}

impl Table {
    /// Nobody's yet but this node's.
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            seat: 0,
            pulses: Pulses::default(),
            keys: Vec::new(),
            prints: Vec::new(),
            order: Vec::new(),
            rows: Vec::new(),
            vacant: Vec::new(),
            by_url: Index::default(),
            by_name: Index::default(),
            hearsay: 0,
            present: 0,
            sum: 0,
            votes: Votes::default(),
        }
    }

    /// This node has another id from now on.
    pub(crate) fn rename(&mut self, own: &NodeId) {
        self.own = own.clone();
        self.seat = self.place(own).unwrap_or_else(|place| place);
    }

    /// How many ids of rows lie before this node's own.
    pub(crate) fn seat(&self) -> usize {
        self.seat
    }

    pub(crate) fn get(&self, id: &NodeId) -> Option<Member<'_>> {
        let place = self.place(id).ok()?;
        self.at(place)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// How many rows are hearsay.
    pub(crate) fn hearsay(&self) -> usize {
        self.hearsay
    }

    /// What elections go by.
    pub(crate) fn votes(&self) -> Votes {
        self.votes
    }

    /// How many make up the mesh besides this node.
    pub(crate) fn count_present(&self) -> usize {
        self.present
    }

    /// The sum of the fingerprints of those who make up the mesh besides this node.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// The signs of life, in order of id.
    pub(crate) fn pulses(&self) -> &Pulses {
        &self.pulses
    }

    /// The same, of which nothing may be changed but counts and rises, and who is put off.
    pub(crate) fn pulses_mut(&mut self) -> &mut Pulses {
        &mut self.pulses
    }

    /// What stands for each and its word, in order of id.
    pub(crate) fn prints(&self) -> &[Print] {
        &self.prints
    }

    /// The member whose pulse is the so-manieth.
    pub(crate) fn at(&self, place: usize) -> Option<Member<'_>> {
        let slot = *self.order.get(place)?;
        Some(Member {
            pulse: self.pulses.get(place)?,
            row: self.rows[slot as usize].as_ref()?,
        })
    }

    /// Changes heartbeat or load of the member at `place`, and nothing else.
    pub(crate) fn stir<T>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut MemberMut<'_>) -> T,
    ) -> Option<T> {
        let slot = *self.order.get(place)?;
        let mut pulse = self.pulses.get(place)?;
        let outcome = change(&mut MemberMut {
            pulse: &mut pulse,
            row: self.rows[slot as usize].as_mut()?,
        });
        self.pulses.set(place, pulse);
        Some(outcome)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, Member<'_>)> {
        let places = 0..self.order.len();
        places
            .filter_map(|place| self.at(place))
            .map(|member| (&member.row.word().id, member))
    }

    /// Everyone who is hearsay.
    pub(crate) fn unconfirmed(&self) -> impl Iterator<Item = Member<'_>> {
        let others = self.pulses.others();
        others
            .filter(|place| self.pulses.signs()[*place].standing == Standing::Hearsay)
            .filter_map(|place| self.at(place))
    }

    /// Everyone who makes up the mesh besides this node.
    pub(crate) fn present(&self) -> impl Iterator<Item = Member<'_>> {
        let places = self.pulses.signs().iter().enumerate();
        places
            .filter(|(_, signs)| signs.is_present())
            .filter_map(|(place, _)| self.at(place))
    }

    /// The member that is reached at `url`.
    pub(crate) fn holder(&self, url: &Url) -> Option<&NodeId> {
        let mut rows = self
            .by_url
            .candidates(url.as_str())
            .map(|slot| self.row(slot));
        let holder = rows.find(|row| row.is_some_and(|row| row.url() == url));
        holder.flatten().map(|row| &row.word().id)
    }

    /// A member that goes by `name`.
    pub(crate) fn namesake(&self, name: &Name) -> Option<&NodeId> {
        let mut rows = self
            .by_name
            .candidates(name.as_str())
            .map(|slot| self.row(slot));
        let namesake = rows.find(|row| row.is_some_and(|row| row.word().card.name == *name));
        namesake.flatten().map(|row| &row.word().id)
    }

    pub(crate) fn insert(&mut self, pulse: Pulse, row: Row) {
        let id = row.word().id.clone();
        self.remove(&id);
        let place = self.place(&id).unwrap_or_else(|place| place);
        self.seat += usize::from(id < self.own);
        let slot = self.vacant.pop().unwrap_or_else(|| {
            let last = self.rows.len();
            insert(&mut self.rows, last, None);
            Slot::try_from(self.rows.len() - 1).expect("fewer members than numbers")
        });
        let print = Print {
            id_hash: id_hash(&id),
            word: row.fingerprint as u32,
        };
        self.rows[slot as usize] = Some(row);
        insert(&mut self.order, place, slot);
        insert(&mut self.prints, place, print);
        insert(&mut self.keys, place, Key::of(&id));
        self.pulses.insert(place, pulse);
        if let Some(filed) = self.at(place).map(Filed::of) {
            self.file(slot, &filed);
            self.votes.note(None, filed.vote);
        }
    }

    pub(crate) fn remove(&mut self, id: &NodeId) -> Option<(Pulse, Row)> {
        let place = self.place(id).ok()?;
        let filed = self.at(place).map(Filed::of)?;
        self.seat -= usize::from(*id < self.own);
        let slot = self.order.remove(place);
        self.keys.remove(place);
        self.prints.remove(place);
        let pulse = self.pulses.remove(place);
        self.unfile(slot, &filed);
        self.votes.note(filed.vote, None);
        self.vacant.push(slot);
        Some((pulse, self.rows[slot as usize].take()?))
    }

    /// Changes a member, and keeps what is known by address and name in step.
    pub(crate) fn update<T>(
        &mut self,
        id: &NodeId,
        change: impl FnOnce(&mut MemberMut<'_>) -> T,
    ) -> Option<T> {
        let place = self.place(id).ok()?;
        let before = self.at(place).map(Filed::of)?;
        let outcome = self.stir(place, |member| {
            let outcome = change(member);
            member.tidy();
            outcome
        })?;
        if !before.is(self.at(place)?) {
            let (slot, after) = (self.order[place], self.at(place).map(Filed::of)?);
            self.prints[place].word = self.at(place)?.fingerprint as u32;
            if *before.url() != *after.url() {
                self.unfile_url(slot, before.url());
                self.file_url(slot, after.url());
            }
            let (name, renamed) = (&before.word.card.name, &after.word.card.name);
            if name != renamed {
                self.by_name.drop(name.as_str(), slot);
                self.by_name.note(renamed.as_str(), slot);
            }
            self.uncount(&before);
            self.count(&after);
            self.votes.note(before.vote, after.vote);
        }
        Some(outcome)
    }

    /// The places of those whose ids have one of these hashes.
    pub(crate) fn hashed(&self, hashes: &[u32]) -> impl Iterator<Item = usize> {
        const BITS: usize = 1 << 13;
        let mut hashes = hashes.to_vec();
        hashes.sort_unstable();
        // Most ids have none of them, which a few bits tell.
        let mut bits = vec![false; BITS];
        let bit = |hash: u32| hash as usize % BITS;
        hashes.iter().for_each(|hash| bits[bit(*hash)] = true);
        let has_one = move |print: &Print| {
            bits[bit(print.id_hash)] && hashes.binary_search(&print.id_hash).is_ok()
        };
        let prints = self.prints.iter().enumerate();
        prints
            .filter(move |(_, print)| has_one(print))
            .map(|(place, _)| place)
    }

    /// Where the pulse of `id` is, or where it would be.
    pub(crate) fn place(&self, id: &NodeId) -> Result<usize, usize> {
        let key = Key::of(id);
        let first = self.keys.partition_point(|other| *other < key);
        let is_shared = self.keys.get(first + 1) == Some(&key);
        let same = if is_shared {
            self.keys[first..].partition_point(|other| *other == key)
        } else {
            usize::from(self.keys.get(first) == Some(&key))
        };
        let found = self.order[first..first + same].binary_search_by(|slot| {
            let row = self.row(*slot).map(|row| &row.word().id);
            row.cmp(&Some(id))
        });
        found.map(|at| first + at).map_err(|at| first + at)
    }

    fn row(&self, slot: Slot) -> Option<&Row> {
        self.rows[slot as usize].as_ref()
    }

    fn file(&mut self, slot: Slot, filed: &Filed) {
        self.file_url(slot, filed.url());
        self.by_name.note(filed.word.card.name.as_str(), slot);
        self.count(filed);
    }

    fn unfile(&mut self, slot: Slot, filed: &Filed) {
        self.unfile_url(slot, filed.url());
        self.by_name.drop(filed.word.card.name.as_str(), slot);
        self.uncount(filed);
    }

    fn file_url(&mut self, slot: Slot, url: &Url) {
        if !url.is_unspecified() {
            self.by_url.note(url.as_str(), slot);
        }
    }

    fn unfile_url(&mut self, slot: Slot, url: &Url) {
        self.by_url.drop(url.as_str(), slot);
    }

    fn count(&mut self, filed: &Filed) {
        self.hearsay += usize::from(filed.hearsay);
        self.present += usize::from(filed.present);
        self.sum = self.sum.wrapping_add(filed.weight);
    }

    fn uncount(&mut self, filed: &Filed) {
        self.hearsay -= usize::from(filed.hearsay);
        self.present -= usize::from(filed.present);
        self.sum = self.sum.wrapping_sub(filed.weight);
    }
}
