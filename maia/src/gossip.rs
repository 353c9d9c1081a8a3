//! Whom to tell, and what.
//!
//! A round tells a few members, drawn at random, all that this node holds of those it vouches for, and takes in what they
//! hold. (Demers et al., “Epidemic Algorithms for Replicated Database Maintenance”, 1987: push-pull anti-entropy.)

use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Entry, Status};
use crate::rng::Rng;
use crate::table::Table;

/// Up to `fanout` members that make up the mesh and for whom `wanted` holds, drawn at random.
pub(crate) fn peers(
    table: &Table,
    fanout: usize,
    rng: &mut Rng,
    wanted: impl Fn(&Member) -> bool,
) -> Vec<NodeId> {
    let candidates = table.present().filter(|member| wanted(member));
    rng.sample(
        candidates.map(|member| member.record.id.clone()).collect(),
        fanout,
    )
}

/// What others are told: this node's own word first, and that of every member it vouches for. The dead are not among
/// them, for there is no news of them; those who left are, for that is news.
pub(crate) fn told<'a>(own: Entry, table: &'a Table, leader: Option<&'a NodeId>) -> Vec<Entry> {
    let worth_telling = |member: &Member| {
        member.is_present()
            || member.is_confirmed() && member.status == Status::Left && member.record.has_left()
    };
    let others = table.iter().filter(|(_, member)| worth_telling(member));
    std::iter::once(own)
        .chain(others.map(|(_, member)| listed(member, leader)))
        .collect()
}

/// What people and joiners are shown: everyone this node vouches for, until forgotten, but nobody who left.
pub(crate) fn shown<'a>(own: Entry, table: &'a Table, leader: Option<&'a NodeId>) -> Vec<Entry> {
    let worth_showing = |member: &Member| member.is_confirmed() && member.status != Status::Left;
    let others = table.iter().filter(|(_, member)| worth_showing(member));
    std::iter::once(own)
        .chain(others.map(|(_, member)| listed(member, leader)))
        .collect()
}

/// One member, as it is handed on.
pub(crate) fn listed(member: &Member, leader: Option<&NodeId>) -> Entry {
    Entry {
        record: member.record.clone(),
        status: member.status,
        leader: leader == Some(&member.record.id),
    }
}
