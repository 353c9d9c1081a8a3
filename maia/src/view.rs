//! The mesh as one node sees it at one moment: a value to read from, shared and never changed.
//!
//! The node publishes a new view with every change, and policy (who takes a request, what people are shown) reads that,
//! so nobody waits for the node.

use crate::address::Url;
use crate::id::{Label, Name, NodeId};
use crate::message::Status;
use crate::record::{Card, Record};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who is in the mesh, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Rises with every view that this node publishes.
    pub version: u64,
    /// Everyone, this node first, the others in order of id: dead members too, and hearsay, but nobody who left.
    pub members: Vec<Seen>,
    /// Whom this node takes for the leader. Advisory: in a partition each side names one.
    pub leader: Option<NodeId>,
    /// Since when.
    pub leader_since: Instant,
    /// Whether this node has met the mesh: joined through a seed, or has none to join through.
    pub joined: bool,
    /// Whether this node has left.
    pub left: bool,
    /// The seeds and how the last attempt at each went.
    pub seeds: Vec<SeedView>,
    /// What was turned away so far.
    pub counters: Counters,
    pub(crate) index: Arc<Index>,
}

/// Who has what, by place among the members.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) carriers: BTreeMap<Label, Vec<usize>>,
    pub(crate) providers: BTreeMap<Label, Vec<usize>>,
}

/// One member, as seen here.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it says of itself.
    pub record: Arc<Record>,
    /// Where it is reached from here: its own URL, unless that names no machine and another was found to work.
    pub url: Url,
    /// The round of its owner, counted from its start, in which the load in `record` was told. A newer heartbeat may have
    /// come without one.
    pub load_beat: u64,
    /// How it stands.
    pub status: Status,
    /// Since when it stands so.
    pub since: Instant,
    /// When its last sign of life came; what this node slept since is not counted.
    pub heard: Instant,
    /// Whether it answered us, or one that we trust vouched for it. Others are hearsay: not counted, and asked for
    /// nothing unless nobody else has what is wanted.
    pub confirmed: bool,
    /// Whether exchanges with it fail, from here and from those that were asked to try: it is sent nothing until one
    /// succeeds.
    pub cut_off: bool,
    /// Whether it is this node.
    pub is_me: bool,
    /// Why it is suspect, where it is.
    pub reason: Option<crate::event::Reason>,
}

/// What a request may want of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want<'a> {
    /// To run this agent.
    Agent(&'a Label),
    /// This service.
    Service(&'a Label),
}

/// A seed, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedView {
    /// Its address.
    pub url: Url,
    /// Whether it ever let this node join, or why it did not last time; `None` while the first attempt is under way.
    pub outcome: Option<Result<(), String>>,
}

/// How much was turned away since the start. Each only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests refused because something in them was wrong.
    pub refused_requests: u64,
    /// Records passed over in tables whose other records were taken.
    pub skipped_records: u64,
    /// Records not taken because they speak of an address that nobody may send us to.
    pub forbidden_addresses: u64,
    /// Unknown ids not taken up because strangers had brought as many as they may.
    pub rationed: u64,
    /// Unknown ids not taken up because the table, or the half of it that hearsay may fill, was full.
    pub crowded_out: u64,
    /// Exchanges of this node that failed.
    pub failed_exchanges: u64,
    /// Times this node had to refute what was said of it.
    pub refutations: u64,
}

impl Seen {
    /// Its id.
    pub fn id(&self) -> &NodeId {
        &self.record.id
    }

    /// What people call it.
    pub fn name(&self) -> &Name {
        &self.record.card.name
    }

    /// Whether it takes requests: alive or suspect, within reach, and neither draining nor gone.
    pub fn takes_requests(&self) -> bool {
        matches!(self.status, Status::Alive | Status::Suspect)
            && !self.record.is_draining()
            && !self.cut_off
    }
}

impl View {
    /// The member with this id.
    pub fn member(&self, id: &NodeId) -> Option<&Seen> {
        let (me, others) = self.members.split_first()?;
        if me.id() == id {
            return Some(me);
        }
        let place = others.binary_search_by(|seen| seen.id().cmp(id)).ok()?;
        others.get(place)
    }

    /// This node's own row.
    pub fn me(&self) -> Option<&Seen> {
        self.members.first()
    }

    /// Everyone who says that it runs `agent`, whatever its status.
    pub fn carriers(&self, agent: &Label) -> impl Iterator<Item = &Seen> {
        self.offering(Want::Agent(agent))
    }

    /// Everyone who says that it offers `service`, whatever its status.
    pub fn providers(&self, service: &Label) -> impl Iterator<Item = &Seen> {
        self.offering(Want::Service(service))
    }

    /// Everyone who says that it has what is wanted, whatever its status.
    pub fn offering(&self, want: Want<'_>) -> impl Iterator<Item = &Seen> {
        match want {
            Want::Agent(agent) => self.listed(&self.index.carriers, agent),
            Want::Service(service) => self.listed(&self.index.providers, service),
        }
    }

    /// Every agent that anybody says it runs, in order.
    pub fn agents(&self) -> impl Iterator<Item = &Label> {
        self.index.carriers.keys()
    }

    fn listed<'a>(
        &'a self,
        index: &'a BTreeMap<Label, Vec<usize>>,
        label: &Label,
    ) -> impl Iterator<Item = &'a Seen> {
        let places = index.get(label).map_or(&[][..], Vec::as_slice);
        places.iter().map(|&place| &self.members[place])
    }

    /// Fills in who has what, from the members.
    #[must_use]
    pub fn indexed(mut self) -> Self {
        self.index = Arc::new(Index::of(&self.members));
        self
    }

    /// The same where the view before is at hand: mostly nobody has come, gone or changed since, and who has what stays.
    pub(crate) fn indexed_after(mut self, before: &Self) -> Self {
        if !cards(&self).eq(cards(before)) {
            return self.indexed();
        }
        self.index = Arc::clone(&before.index);
        self
    }
}

fn cards(view: &View) -> impl Iterator<Item = &Arc<Card>> {
    view.members.iter().map(|seen| &seen.record.card)
}

impl Index {
    fn of(members: &[Seen]) -> Self {
        let mut index = Self::default();
        for (place, seen) in members.iter().enumerate() {
            let card = &seen.record.card;
            for agent in &card.agents {
                index.carriers.entry(agent.clone()).or_default().push(place);
            }
            for service in &card.services {
                let providers = index.providers.entry(service.clone());
                providers.or_default().push(place);
            }
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Load, Version};

    fn seen(name: &str, agents: &[&str]) -> Seen {
        let url = Url::new("http://10.0.0.1:8000").expect("an address");
        let agents = agents.iter().map(|agent| Label::new(agent));
        let card = Card {
            name: Name::new(name).expect("a name"),
            url: url.clone(),
            services: Vec::new(),
            agents: agents.collect::<Result<_, _>>().expect("labels"),
        };
        Seen {
            record: Arc::new(Record {
                id: NodeId::new(name).expect("an id"),
                version: Version::default(),
                card: Arc::new(card),
                load: Load::default(),
                ext: None,
            }),
            url,
            load_beat: 0,
            status: Status::Alive,
            since: Instant::default(),
            heard: Instant::default(),
            confirmed: true,
            cut_off: false,
            is_me: false,
            reason: None,
        }
    }

    fn view(members: Vec<Seen>) -> View {
        View {
            members,
            ..View::default()
        }
    }

    #[test]
    fn who_has_what_is_found_anew_where_somebody_came_went_or_changed() {
        let (echo, echo2) = (&["echo"][..], &["echo", "other"][..]);
        let first = || vec![seen("ann", echo), seen("bob", echo)];
        let before = view(first()).indexed();
        let same = view(first()).indexed_after(&before);
        assert!(Arc::ptr_eq(&same.index, &before.index));
        let label = Label::new("echo").expect("a label");
        let other = Label::new("other").expect("a label");
        for (members, carriers, others) in [
            (vec![seen("bob", echo)], 1, 0),
            (vec![seen("ann", echo), seen("bob", echo2)], 2, 1),
            (vec![seen("ann", &[]), seen("bob", echo)], 1, 0),
            (
                vec![seen("a", echo), seen("b", echo), seen("c", echo)],
                3,
                0,
            ),
            (Vec::new(), 0, 0),
        ] {
            let after = view(members).indexed_after(&before);
            assert_eq!(after.carriers(&label).count(), carriers);
            assert_eq!(after.carriers(&other).count(), others);
        }
    }
}
