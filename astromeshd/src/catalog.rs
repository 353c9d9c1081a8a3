//! Which models the other nodes serve, as they last said: gossip tells that a node serves models, and not which.
//!
//! What is here only decides whom to ask first. A node may have got a model since, or lost one: its 404 passes a request
//! on, and whoever is not known to lack a model is asked before nobody has it.

use astromesh_core::api::ModelList;
use maia::id::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long what a node said is taken for the truth.
const FRESH: Duration = Duration::from_secs(15);

/// How soon it is asked again where that does not help.
const AGAIN: Duration = Duration::from_secs(2);

/// The most nodes whose word is kept; of the others one cannot tell.
const MOST_NODES: usize = 64;

/// What the nodes said.
#[derive(Debug, Default)]
pub(crate) struct Catalog(Mutex<BTreeMap<NodeId, Told>>);

#[derive(Debug)]
struct Told {
    asked: Instant,
    /// What it last said, if it ever did.
    list: Option<Arc<ModelList>>,
    /// Whether it said nothing when it was asked last.
    is_silent: bool,
}

/// Who has a model, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holders {
    pub(crate) has: BTreeSet<NodeId>,
    pub(crate) lacks: BTreeSet<NodeId>,
}

impl Catalog {
    /// Which of `members`, who are all that serve models, are to be asked what they have: those that said nothing for
    /// long, or where one is `in_need` even lately. They count as asked from now on.
    pub(crate) fn to_ask(
        &self,
        members: &BTreeSet<NodeId>,
        in_need: bool,
        now: Instant,
    ) -> Vec<NodeId> {
        let mut nodes = self.nodes();
        nodes.retain(|id, _| members.contains(id));
        let mut to_ask = Vec::new();
        for id in members {
            let is_full = nodes.len() >= MOST_NODES;
            let patience = match nodes.get(id) {
                Some(told) if told.is_silent || in_need => AGAIN,
                _ => FRESH,
            };
            match nodes.get_mut(id) {
                Some(told) if now.saturating_duration_since(told.asked) <= patience => continue,
                Some(told) => told.asked = now,
                None if is_full => continue,
                None => {
                    let told = Told {
                        asked: now,
                        list: None,
                        is_silent: true,
                    };
                    nodes.insert(id.clone(), told);
                }
            }
            to_ask.push(id.clone());
        }
        to_ask
    }

    /// Takes note of what a node said, or that it said nothing.
    pub(crate) fn note(&self, id: &NodeId, said: Option<ModelList>) {
        if let Some(told) = self.nodes().get_mut(id) {
            told.is_silent = said.is_none();
            told.list = said.map(Arc::new).or_else(|| told.list.take());
        }
    }

    /// Who has `model`.
    pub(crate) fn holders(&self, model: &str) -> Holders {
        let mut holders = Holders::default();
        for (id, told) in self.nodes().iter() {
            let Some(list) = &told.list else {
                continue;
            };
            if list.has(model) {
                holders.has.insert(id.clone());
            } else if !list.incomplete && !told.is_silent {
                holders.lacks.insert(id.clone());
            }
        }
        holders
    }

    /// All that they said, and whether any of them said nothing lately.
    pub(crate) fn lists(&self) -> (Vec<Arc<ModelList>>, bool) {
        let nodes = self.nodes();
        let lists = nodes.values().filter_map(|told| told.list.clone());
        let is_any_silent = nodes.values().any(|told| told.is_silent);
        (lists.collect(), is_any_silent)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeId, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).expect("a plain id")
    }

    fn ids(names: &[&str]) -> BTreeSet<NodeId> {
        names.iter().map(|name| id(name)).collect()
    }

    fn list(prefixes: &[&str], incomplete: bool) -> Option<ModelList> {
        let mut list = ModelList::of(Vec::new());
        list.prefixes = prefixes.iter().map(ToString::to_string).collect();
        list.incomplete = incomplete;
        Some(list)
    }

    #[test]
    fn nodes_are_asked_in_good_time_and_forgotten_when_they_are_gone() {
        let (catalog, now) = (Catalog::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let (both, one) = (ids(&["ana", "bob"]), ids(&["bob"]));
        assert_eq!(catalog.to_ask(&both, false, now), [id("ana"), id("bob")]);
        assert_eq!(catalog.to_ask(&both, true, later(1)), []);
        catalog.note(&id("ana"), list(&["a"], false));
        // Bob said nothing, and is asked again sooner.
        assert_eq!(catalog.to_ask(&both, false, later(3)), [id("bob")]);
        catalog.note(&id("bob"), list(&["b"], false));
        assert_eq!(catalog.to_ask(&both, false, later(6)), []);
        assert_eq!(catalog.to_ask(&both, true, later(6)).len(), 2);
        assert_eq!(catalog.lists().0.len(), 2);
        assert_eq!(catalog.to_ask(&one, false, later(7)), []);
        assert_eq!(catalog.lists().0.len(), 1);
    }

    #[test]
    fn who_may_have_a_model_is_not_taken_for_one_that_lacks_it() {
        let (catalog, now) = (Catalog::default(), Instant::now());
        let all = ids(&["ana", "bob", "eve", "tom"]);
        catalog.to_ask(&all, false, now);
        catalog.note(&id("ana"), list(&["a-"], false));
        catalog.note(&id("bob"), list(&["b-"], false));
        catalog.note(&id("eve"), list(&[], true));
        let holders = Holders {
            has: ids(&["ana"]),
            lacks: ids(&["bob"]),
        };
        assert_eq!(catalog.holders("a-1"), holders);
        catalog.note(&id("bob"), None);
        catalog.note(&id("ana"), None);
        let holders = Holders {
            has: ids(&["ana"]),
            lacks: BTreeSet::new(),
        };
        assert_eq!(catalog.holders("a-1"), holders);
    }

    #[test]
    fn a_crowd_does_not_fill_the_memory() {
        let catalog = Catalog::default();
        let crowd: BTreeSet<_> = (0..1_000).map(|n| id(&format!("n{n}"))).collect();
        assert_eq!(
            catalog.to_ask(&crowd, false, Instant::now()).len(),
            MOST_NODES
        );
    }
}
