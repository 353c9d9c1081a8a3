//! Who takes the next request.
//!
//! For each kind of request there are [`Candidates`]: the members that have what is wanted, with what this node knows of
//! each. A [`Selector`] picks one of them; [`LeastConnections`] picks whoever runs the fewest requests, by what this node
//! knows best (`counter`), and leaves out those that do badly (`health`). Among many it does not look at all of them
//! (`index`). [`Choices`](choices::Choices) has the candidates of a whole mesh, kept as its view changes.
//!
//! The policy is behind a trait; the counts behind it are not, for being exact is not a matter of taste. Nothing here takes
//! a lock that all requests share, or allocates to decide.

pub mod candidates;
pub mod choices;
pub mod counter;
pub mod health;
mod index;
mod slate;

use crate::rng::Rng;
use crate::sync::{AtomicUsize, Ordering};
use candidates::Candidates;

/// A policy for choosing the member that takes the next request.
pub trait Selector: Send + Sync + 'static {
    /// Picks one of `candidates`, by its place, that is not among `tried`; `None` where there is none.
    fn select(&self, candidates: &Candidates, tried: &[usize], rng: &mut Rng) -> Option<usize>;
}

/// Least connections: of those that are alive and do well, the one with the fewest requests in flight; at a tie this node
/// itself, or else one at random.
///
/// Whoever refused or broke a connection, or is more than three times as slow as the median, is [shut
/// out](health::State): it gets one request to be tried with, when it is due, and nothing else. Where more than half of
/// those that are alive are shut out, slowness is ignored: then the fault is not theirs. Suspects are asked where nobody
/// alive is left, and those known by hearsay last.
///
/// ```
/// use maia::id::NodeId;
/// use maia::rng::Rng;
/// use maia::selector::candidates::{Candidate, Candidates, Standing};
/// use maia::selector::counter::InFlight;
/// use maia::selector::health::Answered;
/// use maia::selector::{LeastConnections, Selector};
/// use maia::time::Instant;
/// use std::time::Duration;
///
/// let in_flight = InFlight::default();
/// let candidate = |name: &str| {
///     let id: NodeId = name.parse().expect("a plain id");
///     Candidate {
///         counter: in_flight.counter(&id),
///         id,
///         name: name.parse().expect("a plain name"),
///         url: format!("http://{name}:8000").parse().expect("a URL"),
///         standing: Standing::Alive,
///         is_me: false,
///     }
/// };
/// let candidates = Candidates::new(vec![candidate("ana"), candidate("bob")]);
/// let mut rng = Rng::from_seed(7);
/// let mut choose = || LeastConnections.select(&candidates, &[], &mut rng).expect("there are two");
///
/// // What is on its way counts.
/// let (ana, bob) = (&candidates.members()[0].counter, &candidates.members()[1].counter);
/// let running = ana.begin();
/// assert_eq!(choose(), 1);
///
/// // It answers, and says that it has three more, from elsewhere.
/// ana.heard(4);
/// ana.answered(Answered::Well(Duration::from_millis(20)), candidates.usual());
/// drop(running);
/// assert_eq!((ana.now(), ana.in_flight()), (0, 3));
///
/// // Bob refuses a connection, and is left alone until somebody finds that he takes them again.
/// bob.failed();
/// assert_eq!(choose(), 0);
/// let away = in_flight.review(Instant::after_start(Duration::from_millis(100)));
/// assert_eq!(away[0].as_str(), "bob");
/// bob.returned();
/// assert_eq!(choose(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastConnections;

impl Selector for LeastConnections {
    fn select(&self, candidates: &Candidates, tried: &[usize], rng: &mut Rng) -> Option<usize> {
        candidates
            .least_in_service(tried, rng)
            .or_else(|| candidates.best_of_the_rest(tried, rng))
    }
}

/// Each in its turn, but those last that do badly, and the busier ones after the less busy. It looks at all of them, so it
/// is for a list that somebody wrote down.
#[derive(Debug, Default)]
pub struct InTurn {
    turn: AtomicUsize,
}

impl Selector for InTurn {
    fn select(&self, candidates: &Candidates, tried: &[usize], _: &mut Rng) -> Option<usize> {
        let turn = match tried {
            [] => self.turn.fetch_add(1, Ordering::Relaxed),
            _ => self.turn.load(Ordering::Relaxed),
        };
        candidates.next_in_turn(tried, turn)
    }
}
