//! From release 0.40 to ours and back, one node after the other, with nobody lost on the way.

use maia::address::Url;
use maia::config::Config;
use maia::event::Event;
use maia::id::NodeId;
use maia::message::{Entry, Reply, Request, Status};
use maia::node::{Identity, Input, Node, Output};
use maia::record::{Incarnation, Record};
use maia::rng::Rng;
use maia::sim::{OlderNode, Process, Sim, WALL_AT_START};
use maia::time::{Instant, Wall};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const EIGHT: [&str; 8] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"];

/// Time between two replacements, and until everybody knows of one.
const BETWEEN: Duration = secs(40);
const SETTLED: Duration = secs(12);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What our nodes sent, by the address it went to: how often the cheap exchange, and how often whole tables.
type Sent = Rc<RefCell<BTreeMap<Url, (u64, u64)>>>;

/// One of ours, whose mail is counted.
#[derive(Debug)]
struct Counted(Node, Sent);

impl Process for Counted {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let outputs = self.0.handle(now, input);
        let mut sent = self.1.borrow_mut();
        for output in &outputs {
            if let Output::Send { to, request, .. } = output {
                let (cheap, whole) = sent.entry(to.clone()).or_default();
                match request {
                    Request::Exchange(_) => *cheap += 1,
                    Request::Gossip(_) => *whole += 1,
                    _ => {}
                }
            }
        }
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

/// One of release 0.40 that joined when it was started; the model alone says that it joined when the simulation began.
#[derive(Debug)]
struct Older(OlderNode, Incarnation);

impl Older {
    fn date(&self, entries: &mut [Entry]) {
        for entry in entries.iter_mut().filter(|e| e.record.id == self.0.id()) {
            let mut record = Record::clone(&entry.record);
            record.version.incarnation = self.1;
            entry.record = Arc::new(record);
        }
    }

    fn date_output(&self, output: &mut Output) {
        match output {
            Output::Send { request, .. } => match request {
                Request::Join(entry) | Request::Heartbeat { entry, .. } => {
                    self.date(std::slice::from_mut(entry));
                }
                Request::Gossip(table) => self.date(&mut table.entries),
                _ => {}
            },
            Output::Reply { reply, .. } => match reply {
                Reply::State(state) => self.date(&mut state.table.entries),
                Reply::Gossip(table) => self.date(&mut table.entries),
                _ => {}
            },
            _ => {}
        }
    }
}

impl Process for Older {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut outputs = self.0.handle(now, input);
        for output in &mut outputs {
            self.date_output(output);
        }
        outputs
    }

    fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    fn speaks_as(&self) -> Option<NodeId> {
        self.0.speaks_as()
    }

    fn id(&self) -> NodeId {
        self.0.id()
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.0.belief(id)
    }
}

/// Eight machines, each with a node of one release or the other.
struct Mesh {
    sim: Sim,
    sent: Sent,
    is_ours: [bool; 8],
    starts: u64,
}

impl Mesh {
    fn of_older(seed: u64) -> Self {
        let mut mesh = Self {
            sim: Sim::empty(seed, Config::default()),
            sent: Sent::default(),
            is_ours: [false; 8],
            starts: 100 * seed,
        };
        EIGHT.iter().for_each(|name| mesh.sim.reserve(name));
        for place in 0..EIGHT.len() {
            mesh.start_older(place);
            mesh.sim.run_for(secs(1));
        }
        mesh.sim.run_for(BETWEEN);
        mesh
    }

    /// Each has its neighbour for a seed, which runs when it is started; the very first one finds nobody.
    fn seed(&self, place: usize) -> Url {
        self.sim.url(EIGHT[(place + 7) % 8])
    }

    fn wall(&self) -> Wall {
        let millis = self.sim.now().since_start().as_millis() as u64;
        Wall::from_unix_millis(WALL_AT_START.unix_millis() + millis)
    }

    fn start_older(&mut self, place: usize) {
        self.starts += 1;
        self.is_ours[place] = false;
        let (url, seed) = (self.sim.url(EIGHT[place]), self.seed(place));
        let id = format!("{}-older-{}", EIGHT[place], self.starts);
        let older = OlderNode::new(&id, &url, Some(seed), self.starts);
        let joined = Incarnation::default().next(self.wall());
        let older = Older(older, joined.expect("before 2100"));
        self.sim.place(EIGHT[place], older);
    }

    fn start_ours(&mut self, place: usize) {
        self.starts += 1;
        self.is_ours[place] = true;
        let config = Config {
            seeds: vec![self.seed(place)],
            ..Config::default()
        };
        let id = format!("{}-ours-{}", EIGHT[place], self.starts);
        let me = Identity::new(
            id.parse().expect("an id"),
            EIGHT[place].parse().expect("a name"),
            self.sim.url(EIGHT[place]),
        );
        let (now, wall) = (self.sim.now(), self.wall());
        let rng = Rng::from_seed(self.starts);
        let node = Node::new(config, me, now, wall, rng).expect("good settings");
        self.sim
            .place(EIGHT[place], Counted(node, Rc::clone(&self.sent)));
    }

    /// Stops the node at `place` and starts one of the other release there; afterwards ours see all that runs alive.
    fn replace(&mut self, place: usize, down: Duration) {
        self.sim.crash(EIGHT[place]);
        self.sim.run_for(down);
        match self.is_ours[place] {
            true => self.start_older(place),
            false => self.start_ours(place),
        }
        self.sim.run_for(SETTLED);
        let until = self.sim.now() + BETWEEN;
        while self.sim.now() < until {
            self.assert_ours_see_all();
            self.sim.run_for(secs(1));
        }
    }

    fn assert_ours_see_all(&self) {
        for by in (0..8).filter(|place| self.is_ours[*place]) {
            for of in EIGHT {
                let belief = self.sim.belief(EIGHT[by], of);
                let now = self.sim.now();
                assert_eq!(
                    belief,
                    Some(Status::Alive),
                    "{} of {of} at {now:?}",
                    EIGHT[by]
                );
            }
        }
    }

    /// Nobody was suspected who ran: those who were are gone.
    fn assert_nobody_was_suspected_wrongly(&self) {
        let running: Vec<&NodeId> = EIGHT.iter().filter_map(|name| self.sim.id(name)).collect();
        for reported in self.sim.events() {
            if let Event::Suspected { id, .. } | Event::Died { id, .. } = &reported.event {
                assert!(
                    !running.contains(&id),
                    "{} by {}",
                    reported.event,
                    reported.by
                );
            }
        }
    }

    /// How often, in that time, ours sent the cheap exchange and whole tables, to each other and to older nodes.
    fn sent_in(&mut self, time: Duration) -> [(u64, u64); 2] {
        self.sent.borrow_mut().clear();
        self.sim.run_for(time);
        let mut sums = [(0, 0); 2];
        for (url, (cheap, whole)) in self.sent.borrow().iter() {
            let place = EIGHT.iter().position(|name| self.sim.url(name) == *url);
            let ours = self.is_ours[place.expect("there are no other addresses")];
            let sum = &mut sums[usize::from(!ours)];
            *sum = (sum.0 + cheap, sum.1 + whole);
        }
        sums
    }
}

#[test]
fn a_mesh_is_upgraded_node_by_node_and_taken_back_again() {
    for (seed, down) in [(1, secs(0)), (2, secs(5)), (3, secs(40))] {
        let mut mesh = Mesh::of_older(seed);
        for place in 0..8 {
            mesh.replace(place, down);
            mesh.assert_nobody_was_suspected_wrongly();
            let [_, (cheap, whole)] = mesh.sent_in(secs(60));
            assert_eq!(cheap, 0, "older nodes would not understand it");
            assert!(whole > 0 || place == 7, "they are told in JSON");
        }
        let [(cheap, whole), _] = mesh.sent_in(secs(120));
        // Eight nodes, sixty rounds, three peers; whole tables only to look for those who are gone.
        assert!(cheap > 8 * 60 * 2, "{cheap} cheap exchanges");
        assert!(whole <= cheap / 4, "{whole} whole tables");
        assert!(mesh.sim.is_whole());

        for place in (0..8).rev() {
            mesh.replace(place, down);
            mesh.assert_nobody_was_suspected_wrongly();
            let [(between_ours, _), (cheap, whole)] = mesh.sent_in(secs(60));
            assert_eq!(cheap, 0, "older nodes would not understand it");
            assert!(whole > 0 || place == 0, "they are told in JSON");
            assert!(
                between_ours > 0 || place <= 1,
                "ours still spare each other"
            );
        }
        for by in EIGHT {
            for of in EIGHT {
                let belief = mesh.sim.belief(by, of);
                assert_eq!(belief, Some(Status::Alive), "{by} of {of}, seed {seed}");
            }
        }
    }
}
