//! Who is in the mesh: the rows, and which address and name belongs to whom.

use crate::address::Url;
use crate::id::{Name, NodeId};
use crate::member::Member;
use std::collections::BTreeMap;

/// All members but this node itself, by id.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<NodeId, Member>,
    by_url: BTreeMap<Url, NodeId>,
    by_name: BTreeMap<Name, NodeId>,
    hearsay: usize,
    /// How many make up the mesh besides this node, and the sum of their fingerprints.
    present: usize,
    sum: u64,
}

impl Table {
    pub(crate) fn get(&self, id: &NodeId) -> Option<&Member> {
        self.rows.get(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many rows are hearsay.
    pub(crate) fn hearsay(&self) -> usize {
        self.hearsay
    }

    /// How many make up the mesh besides this node.
    pub(crate) fn count_present(&self) -> usize {
        self.present
    }

    /// The sum of the fingerprints of those who make up the mesh besides this node.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Lets `visit` change heartbeat and load of each member that makes up the mesh, in order of id, and nothing else.
    pub(crate) fn each_present(&mut self, visit: impl FnMut(&mut Member)) {
        self.rows
            .values_mut()
            .filter(|member| member.is_present())
            .for_each(visit);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.rows.iter()
    }

    /// Everyone who makes up the mesh besides this node.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Member> {
        self.rows.values().filter(|member| member.is_present())
    }

    /// The member that is reached at `url`.
    pub(crate) fn holder(&self, url: &Url) -> Option<&NodeId> {
        self.by_url.get(url)
    }

    /// The member that was last seen to go by `name`.
    pub(crate) fn namesake(&self, name: &Name) -> Option<&NodeId> {
        self.by_name.get(name)
    }

    pub(crate) fn insert(&mut self, member: Member) {
        let id = member.record.id.clone();
        self.remove(&id);
        self.present += usize::from(member.is_present());
        self.sum = self.sum.wrapping_add(member.weight());
        self.index(&id, &member);
        self.rows.insert(id, member);
    }

    pub(crate) fn remove(&mut self, id: &NodeId) -> Option<Member> {
        let member = self.rows.remove(id)?;
        self.present -= usize::from(member.is_present());
        self.sum = self.sum.wrapping_sub(member.weight());
        self.unindex(id, &member);
        Some(member)
    }

    /// Changes a row, and keeps what is known by address and name in step.
    pub(crate) fn update<T>(
        &mut self,
        id: &NodeId,
        change: impl FnOnce(&mut Member) -> T,
    ) -> Option<T> {
        let member = self.rows.get_mut(id)?;
        let before = (
            member.url().clone(),
            member.record.card.name.clone(),
            member.is_confirmed(),
        );
        let (was_present, weighed) = (member.is_present(), member.weight());
        let outcome = change(member);
        let after = (
            member.url(),
            &member.record.card.name,
            member.is_confirmed(),
        );
        let moved = (&before.0, &before.1, before.2) != after;
        self.present = self.present - usize::from(was_present) + usize::from(member.is_present());
        self.sum = self.sum.wrapping_sub(weighed).wrapping_add(member.weight());
        if moved {
            let member = self.rows.remove(id)?;
            self.forget_index(id, &before.0, &before.1);
            self.hearsay -= usize::from(!before.2);
            self.index(id, &member);
            self.rows.insert(id.clone(), member);
        }
        Some(outcome)
    }

    fn index(&mut self, id: &NodeId, member: &Member) {
        if !member.url().is_unspecified() {
            self.by_url.insert(member.url().clone(), id.clone());
        }
        self.by_name
            .insert(member.record.card.name.clone(), id.clone());
        self.hearsay += usize::from(!member.is_confirmed());
    }

    fn unindex(&mut self, id: &NodeId, member: &Member) {
        self.forget_index(id, member.url(), &member.record.card.name);
        self.hearsay -= usize::from(!member.is_confirmed());
    }

    fn forget_index(&mut self, id: &NodeId, url: &Url, name: &Name) {
        if self.by_url.get(url) == Some(id) {
            self.by_url.remove(url);
        }
        if self.by_name.get(name) == Some(id) {
            self.by_name.remove(name);
        }
    }
}
