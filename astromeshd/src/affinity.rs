//! Where sessions ran last, as far as this node has seen it itself.
//!
//! A session stays where it ran, also when a node joins to which its name would lead. What is remembered is bounded, and
//! with what is not, nothing is lost but that.

use maia::id::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many sessions are remembered at least; at most twice as many.
const REMEMBERED: usize = 16_384;

/// Where sessions ran last, by agent and session, the older half apart.
#[derive(Debug, Default)]
pub(crate) struct Affinity(Mutex<[HashMap<Arc<str>, NodeId>; 2]>);

impl Affinity {
    /// Where it ran last, if that is known.
    pub(crate) fn recall(&self, key: &str) -> Option<NodeId> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &*halves;
        young.get(key).or_else(|| old.get(key)).cloned()
    }

    /// It ran there.
    pub(crate) fn note(&self, key: Arc<str>, id: NodeId) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *halves;
        if young.len() >= REMEMBERED {
            *old = std::mem::take(young);
        }
        young.insert(key, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let affinity = Affinity::default();
        let id = NodeId::new("ana").expect("a plain id");
        for session in 0..3 * REMEMBERED {
            affinity.note(session.to_string().into(), id.clone());
        }
        assert_eq!(affinity.recall("0"), None);
        assert_eq!(affinity.recall(&(3 * REMEMBERED - 1).to_string()), Some(id));
        let halves = affinity.0.lock().expect("nobody else");
        assert!(halves.iter().map(HashMap::len).sum::<usize>() <= 2 * REMEMBERED);
    }
}
