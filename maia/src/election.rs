//! Who leads. Leadership is advisory: in a partition each side names a leader, and nothing may be built on there being one.
//!
//! No message decides. Every node applies the same rule to the members it sees, and where they see the same they name the
//! same. (After the bully algorithm: Garcia-Molina, “Elections in a Distributed Computing System”, 1982, with the
//! announcement replaced by what gossip carries anyway.)

use crate::id::NodeId;
use std::fmt::Debug;
use std::time::Duration;

/// A member that may lead: confirmed, alive or suspect, and not on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender<'a> {
    /// Who.
    pub id: &'a NodeId,
    /// Whether it says of itself that it leads.
    pub says_it_leads: bool,
    /// How long its signs of life span here, from the first to the last.
    pub steady_for: Duration,
}

/// A rule by which every node names the leader for itself.
pub trait Election: Debug + Send {
    /// The leader among `contenders`, which come in order of id, the greatest first, this node among them; `None` only
    /// where there are none. Asked when somebody goes or changes its word, and once a round; where somebody comes, at once
    /// only if it says that it leads, or nobody does. A rule that mostly needs to look at few of them costs little in a
    /// large mesh.
    fn leader<'a>(&self, contenders: &mut dyn Iterator<Item = Contender<'a>>)
    -> Option<&'a NodeId>;
}

/// The greatest id leads, but must have shown signs of life for a while before it displaces one that leads already: a
/// node that keeps crashing does not take the mesh along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bully {
    stable_after: Duration,
}

impl Bully {
    /// A rule under which a greater id displaces the leader once its signs of life span `stable_after`.
    pub fn new(stable_after: Duration) -> Self {
        Self { stable_after }
    }
}

impl Election for Bully {
    /// ```
    /// use maia::election::{Bully, Contender, Election};
    /// use maia::id::NodeId;
    /// use std::time::Duration;
    ///
    /// let (ann, bob) = (NodeId::new("ann").unwrap(), NodeId::new("bob").unwrap());
    /// let leads = Contender { id: &ann, says_it_leads: true, steady_for: Duration::from_secs(60) };
    /// let came = Contender { id: &bob, says_it_leads: false, steady_for: Duration::from_secs(3) };
    /// let stayed = Contender { steady_for: Duration::from_secs(10), ..came };
    ///
    /// let bully = Bully::new(Duration::from_secs(10));
    /// assert_eq!(bully.leader(&mut [came, leads].into_iter()), Some(&ann));
    /// assert_eq!(bully.leader(&mut [stayed, leads].into_iter()), Some(&bob));
    /// assert_eq!(bully.leader(&mut [came].into_iter()), Some(&bob));
    /// ```
    fn leader<'a>(
        &self,
        contenders: &mut dyn Iterator<Item = Contender<'a>>,
    ) -> Option<&'a NodeId> {
        let (mut greatest, mut steady) = (None, None);
        for contender in contenders {
            greatest = greatest.or(Some(contender.id));
            if contender.says_it_leads {
                return steady.or(Some(contender.id));
            }
            if contender.steady_for >= self.stable_after {
                steady = steady.or(Some(contender.id));
            }
        }
        greatest
    }
}
