//! Whom to tell, and what.
//!
//! A round tells a few members, drawn at random, all that this node holds of those it vouches for, and takes in what they
//! hold. (Demers et al., “Epidemic Algorithms for Replicated Database Maintenance”, 1987: push-pull anti-entropy.)

use crate::id::NodeId;
use crate::member::Member;
use crate::message::{Entry, Status};
use crate::pulse::Signs;
use crate::rng::Rng;
use crate::table::Table;

/// Draws for each peer that is sought, before all members are looked at: where most of them fit, it takes hardly more
/// than one.
const LUCKY_DRAWS: usize = 4;

/// Up to `fanout` members that make up the mesh and for whom `wanted` holds, drawn at random. It is given the signs and the
/// place of each: where nobody fits all are looked at, and the rest of a member lies far away.
pub(crate) fn peers(
    table: &Table,
    fanout: usize,
    rng: &mut Rng,
    wanted: impl Fn(&Signs, usize) -> bool,
) -> Vec<NodeId> {
    let fits = |place: usize| {
        let signs = table.pulses().signs().get(place);
        signs.is_some_and(|signs| signs.is_present() && wanted(signs, place))
    };
    let mut chosen: Vec<usize> = Vec::new();
    for _ in 0..LUCKY_DRAWS * fanout {
        let place = rng.below(table.len());
        if chosen.len() < fanout && !chosen.contains(&place) && fits(place) {
            chosen.push(place);
        }
    }
    if chosen.len() < fanout {
        let others = (0..table.len()).filter(|place| !chosen.contains(place) && fits(*place));
        let others = rng.sample(others.collect(), fanout - chosen.len());
        chosen.extend(others);
    }
    let members = chosen.into_iter().filter_map(|place| table.at(place));
    members.map(|member| member.word().id.clone()).collect()
}

/// What others are told: this node's own word first, and that of every member it vouches for. The dead are not among
/// them, for there is no news of them; those who left are, for that is news.
pub(crate) fn told<'a>(own: Entry, table: &'a Table, leader: Option<&'a NodeId>) -> Vec<Entry> {
    let others = worth_telling(table).map(|member| listed(member, leader));
    std::iter::once(own).chain(others).collect()
}

/// Those whom others are told of.
fn worth_telling(table: &Table) -> impl Iterator<Item = Member<'_>> {
    let all = table.iter().map(|(_, member)| member);
    all.filter(|member| is_worth_telling(*member))
}

/// Whether others are told of it.
pub(crate) fn is_worth_telling(member: Member<'_>) -> bool {
    let has_left = || member.status() == Status::Left && member.word().has_left();
    member.is_present() || member.is_confirmed() && has_left()
}

/// Whom people and joiners are shown: everyone this node vouches for, until forgotten, but nobody who left.
pub(crate) fn shown(table: &Table) -> impl Iterator<Item = Member<'_>> {
    let all = table.iter().map(|(_, member)| member);
    all.filter(|member| member.is_confirmed() && member.status() != Status::Left)
}

/// One member, as it is handed on.
pub(crate) fn listed(member: Member<'_>, leader: Option<&NodeId>) -> Entry {
    Entry {
        record: member.record(),
        status: member.status(),
        leader: leader == Some(&member.word().id),
    }
}
