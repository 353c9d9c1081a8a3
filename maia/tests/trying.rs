//! Nodes that cannot reach others yet, or only one way: they go on trying, never in step, and nobody is convicted for a
//! link. (H13, H14)

use maia::config::Config;
use maia::event::Event;
use maia::id::NodeId;
use maia::message::Status::Alive;
use maia::message::{Request, Status};
use maia::node::{Identity, Input, Node, Output};
use maia::rng::Rng;
use maia::sim::{Process, Sim, WALL_AT_START};
use maia::time::Instant;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const FIVE: [&str; 5] = ["ana", "bob", "cid", "dan", "eve"];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A node whose attempts to join are noted.
#[derive(Debug)]
struct Joiner(Node, Rc<RefCell<Vec<Instant>>>);

impl Process for Joiner {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let outputs = self.0.handle(now, input);
        let is_join = |output: &&Output| {
            let Output::Send { request, .. } = output else {
                return false;
            };
            matches!(request, Request::Join(_))
        };
        let joins = outputs.iter().filter(is_join).count();
        self.1.borrow_mut().extend(std::iter::repeat_n(now, joins));
        outputs
    }

    fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(self.0.id().clone())
    }

    fn id(&self) -> NodeId {
        self.0.id().clone()
    }

    fn as_node(&self) -> Option<&Node> {
        Some(&self.0)
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.0.status(id)
    }
}

/// H13: ten hours without a seed, and it is still tried, about as often as in the first minute; two that began together
/// never keep step; and when it comes, they are there at once.
#[test]
fn a_missing_seed_is_tried_for_ever_and_out_of_step() {
    let mut mesh = Sim::empty(1, Config::default());
    mesh.reserve("seed");
    let attempts = [3, 4].map(|rng_seed| {
        let name = format!("node{rng_seed}");
        mesh.reserve(&name);
        let config = Config {
            seeds: vec![mesh.url("seed")],
            ..Config::default()
        };
        let (id, called) = (name.parse().expect("an id"), name.parse().expect("a name"));
        let me = Identity::new(id, called, mesh.url(&name));
        let rng = Rng::from_seed(rng_seed);
        let node = Node::new(config, me, mesh.now(), WALL_AT_START, rng).expect("good settings");
        let attempts = Rc::new(RefCell::new(Vec::new()));
        mesh.place(&name, Joiner(node, Rc::clone(&attempts)));
        attempts
    });
    mesh.run_for(secs(36_000));
    let of_each: Vec<Vec<Instant>> = attempts.iter().map(|a| a.borrow().clone()).collect();
    for of_one in &of_each {
        let pauses: Vec<Duration> = of_one.windows(2).map(|w| w[1].since(w[0])).collect();
        let longest = pauses.iter().max().expect("it tried more than once");
        assert!(*longest <= secs(12), "a pause of {longest:?}");
        let mut different = pauses.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > pauses.len() / 2, "pauses are drawn");
    }
    let together = of_each[0]
        .iter()
        .skip(1)
        .filter(|at| of_each[1].contains(at));
    assert_eq!(together.count(), 0);

    mesh.start("seed", &[]);
    assert!(mesh.run_until(secs(15), Sim::is_whole).is_some());
}

fn fallen(mesh: &Sim) -> Vec<String> {
    let fallen = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::Suspected { .. } | Event::Died { .. }));
    fallen
        .map(|r| format!("{:?} {}: {}", r.at, r.by, r.event))
        .collect()
}

/// H14: any one or two ways cut, of the twenty there are between five nodes: nobody is so much as suspected.
#[test]
fn any_two_one_way_cuts_convict_nobody() {
    let ways: Vec<(&str, &str)> = FIVE
        .iter()
        .flat_map(|from| FIVE.iter().map(move |to| (*from, *to)))
        .filter(|(from, to)| from != to)
        .collect();
    for (place, one) in ways.iter().enumerate() {
        for other in &ways[place..] {
            let mut mesh = Sim::new(place as u64, &FIVE);
            mesh.run_for(secs(20));
            mesh.cut_one_way(one.0, one.1);
            mesh.cut_one_way(other.0, other.1);
            mesh.run_for(secs(60));
            assert_eq!(fallen(&mesh), Vec::<String>::new(), "{one:?} {other:?}");
        }
    }
}

/// H14: one whom nobody can reach, but who reaches everybody, is alive everywhere; one who reaches nobody is dead where it
/// is not heard, and convicts nobody whom it hears.
#[test]
fn a_node_that_only_speaks_lives_and_one_that_only_hears_convicts_nobody() {
    let mut mesh = Sim::new(1, &FIVE);
    mesh.run_for(secs(20));
    for other in &FIVE[..4] {
        mesh.cut_one_way(other, "eve");
    }
    mesh.run_for(secs(300));
    for other in &FIVE[..4] {
        assert_eq!(mesh.belief(other, "eve"), Some(Alive), "{other}");
    }

    let mut mesh = Sim::new(2, &FIVE);
    mesh.run_for(secs(20));
    for other in &FIVE[..4] {
        mesh.cut_one_way("eve", other);
    }
    mesh.run_for(secs(25));
    for other in &FIVE[..4] {
        assert_eq!(mesh.belief("eve", other), Some(Alive), "{other}");
    }
    mesh.heal();
    assert!(mesh.run_until(secs(20), Sim::is_whole).is_some());
}
