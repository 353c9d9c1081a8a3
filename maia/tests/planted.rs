//! The watch, watched: for each invariant a node that breaks it on purpose, and the violation that it is caught by.

use maia::address::Url;
use maia::config::{Config, Limits};
use maia::id::{Label, Name, NodeId};
use maia::message::{Entry, Reply, Request, Status};
use maia::node::{ExchangeId, Identity, Input, Node, Output};
use maia::record::Record;
use maia::rng::Rng;
use maia::selector::Selector;
use maia::selector::candidates::Candidates;
use maia::sim::{Process, Sim, WALL_AT_START};
use maia::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How a node is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// None: what the others are compared with.
    Sound,
    /// It raises the heartbeats of others in what it hears.
    RaisesOthers,
    /// It tells that it is suspect itself.
    SuspectsItself,
    /// It calls itself.
    CallsItself,
    /// It calls an address that is nowhere.
    CallsNowhere,
    /// It answers nobody.
    KeepsCallsWaiting,
    /// It begins exchanges without end.
    BeginsTooMuch,
    /// Its clock runs at half the pace.
    SlowClock,
    /// It hears of others that they left, which they did not.
    HearsGoodbyes,
}

/// A node with a fault, which the watch takes for one of ours.
#[derive(Debug)]
struct Faulty {
    node: Node,
    fault: Fault,
    own_url: Url,
    exchange: ExchangeId,
    start: Instant,
}

impl Faulty {
    /// Beyond the exchanges that the node itself begins.
    fn send(&mut self, to: &str) -> Output {
        self.exchange = self.exchange.next();
        Output::Send {
            exchange: self.exchange,
            from: self.node.id().clone(),
            to: Url::new(to).expect("an address"),
            request: Request::State,
        }
    }

    fn alter(&self, answer: &mut Reply) {
        let entries: &mut [Entry] = match answer {
            Reply::State(state) => &mut state.table.entries,
            Reply::Gossip(table) => &mut table.entries,
            Reply::Heartbeat { node, .. } => node.as_mut_slice(),
            _ => return,
        };
        for entry in entries
            .iter_mut()
            .filter(|e| e.record.id != *self.node.id())
        {
            let mut record = Record::clone(&entry.record);
            if self.fault == Fault::RaisesOthers {
                let millis = record.version.heartbeat.unix_millis() + 60_000;
                let heartbeat = maia::record::Heartbeat::from_unix_millis(millis);
                record.version.heartbeat = heartbeat.expect("before 2100");
            } else if let Some(ext) = &mut record.ext {
                let ext = Arc::make_mut(ext);
                (ext.n, ext.left) = (ext.n + 100, true);
            }
            entry.record = Arc::new(record);
        }
    }

    fn clock(&self, now: Instant) -> Instant {
        if self.fault == Fault::SlowClock {
            self.start + now.since(self.start) / 2
        } else {
            now
        }
    }
}

impl Process for Faulty {
    fn handle(&mut self, now: Instant, mut input: Input) -> Vec<Output> {
        if let (
            Fault::RaisesOthers | Fault::HearsGoodbyes,
            Input::Answer {
                answer: Ok(answer), ..
            },
        ) = (self.fault, &mut input)
        {
            if now.since(self.start) > secs(10) {
                self.alter(&mut answer.reply);
            }
        }
        let is_tick = matches!(input, Input::Tick { .. });
        let mut outputs = self.node.handle(self.clock(now), input);
        match self.fault {
            Fault::SuspectsItself => outputs.iter_mut().for_each(suspect_the_sender),
            Fault::CallsItself if is_tick => outputs.push(self.send(&self.own_url.to_string())),
            Fault::CallsNowhere if is_tick => outputs.push(self.send("http://0.0.0.0:8000")),
            Fault::KeepsCallsWaiting => outputs.retain(|o| !matches!(o, Output::Reply { .. })),
            Fault::BeginsTooMuch if is_tick => {
                outputs.extend((0..20).map(|_| self.send("http://10.9.9.9:8000")));
            }
            _ => {}
        }
        outputs
    }

    fn deadline(&self) -> Instant {
        let deadline = self.node.deadline();
        if self.fault == Fault::SlowClock {
            self.start + deadline.since(self.start) * 2
        } else {
            deadline
        }
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(self.node.id().clone())
    }

    fn id(&self) -> NodeId {
        self.node.id().clone()
    }

    fn as_node(&self) -> Option<&Node> {
        Some(&self.node)
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.node.status(id)
    }
}

fn suspect_the_sender(output: &mut Output) {
    match output {
        Output::Send {
            request: Request::Gossip(table) | Request::Reconcile { table, .. },
            ..
        } => table.entries.truncate(1),
        Output::Send {
            request: Request::Heartbeat { entry, .. } | Request::Join(entry),
            ..
        } => entry.status = Status::Suspect,
        _ => {}
    }
}

/// A node as the simulation starts it, at the machine of this name.
fn node(mesh: &Sim, name: &str, id: &str, config: Config) -> Node {
    let name_and_id = (
        NodeId::new(id).expect("an id"),
        Name::new(name).expect("a name"),
    );
    let mut me = Identity::new(name_and_id.0, name_and_id.1, mesh.url(name));
    me.agents = vec![Label::new("echo").expect("plain")];
    let config = Config {
        seeds: vec![mesh.url("ana")],
        ..config
    };
    let rng = Rng::from_seed(5);
    Node::new(config, me, mesh.now(), WALL_AT_START, rng).expect("the settings go together")
}

/// Three nodes of ours under watch, and a machine on which somebody else will run.
fn three_and_a_machine() -> Sim {
    let mut mesh = Sim::new(1, &["ana", "bob", "cid"]);
    mesh.watch();
    mesh.reserve("eve");
    mesh.run_for(secs(10));
    mesh
}

/// What the watch says of a mesh in which eve has this fault, and bob dies.
fn violations_with(fault: Fault) -> Vec<String> {
    let mut mesh = three_and_a_machine();
    let node = node(&mesh, "eve", "eve", Config::default());
    let faulty = Faulty {
        node,
        fault,
        own_url: mesh.url("eve"),
        start: mesh.now(),
        exchange: (0..1_000_000).fold(ExchangeId::default(), |id, _| id.next()),
    };
    mesh.place("eve", faulty);
    mesh.run_for(secs(20));
    mesh.crash("bob");
    mesh.run_for(secs(60));
    for _ in 0..200 {
        // Somebody who has to be answered.
        mesh.inject("eve", None, Request::State);
    }
    mesh.run_for(secs(1));
    mesh.violations().to_vec()
}

/// What the watch says of a mesh in which eve goes by these settings while bob dies.
fn violations_of(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut mesh = three_and_a_machine();
    let mut config = Config::default();
    change(&mut config);
    let node = node(&mesh, "eve", "eve", config);
    mesh.place("eve", node);
    mesh.run_for(secs(20));
    mesh.crash("bob");
    mesh.run_for(secs(60));
    mesh.violations().to_vec()
}

fn assert_caught(violations: &[String], by: &str) {
    let caught = violations.iter().any(|violation| violation.contains(by));
    assert!(caught, "expected {by:?}, found {violations:#?}");
}

#[test]
fn a_sound_node_breaks_nothing() {
    assert_eq!(violations_with(Fault::Sound), Vec::<String>::new());
    assert_eq!(violations_of(|_| {}), Vec::<String>::new());
}

#[test]
fn a_version_that_somebody_else_raised_is_noticed() {
    assert_caught(
        &violations_with(Fault::RaisesOthers),
        "that its owner never wrote",
    );
}

#[test]
fn a_node_that_suspects_itself_is_noticed() {
    assert_caught(
        &violations_with(Fault::SuspectsItself),
        "is not alive to itself",
    );
}

#[test]
fn a_node_that_calls_itself_is_noticed() {
    assert_caught(
        &violations_with(Fault::CallsItself),
        "eve sends to http://10.0.0.4:8000",
    );
}

#[test]
fn a_node_that_calls_nowhere_is_noticed() {
    assert_caught(
        &violations_with(Fault::CallsNowhere),
        "eve sends to http://0.0.0.0:8000",
    );
}

#[test]
fn calls_that_are_not_answered_are_noticed() {
    assert_caught(&violations_with(Fault::KeepsCallsWaiting), "calls waiting");
}

#[test]
fn exchanges_without_end_are_noticed() {
    assert_caught(
        &violations_with(Fault::BeginsTooMuch),
        "exchanges under way",
    );
}

#[test]
fn a_slow_clock_is_noticed_by_the_silence_that_it_overlooks() {
    assert_caught(
        &violations_with(Fault::SlowClock),
        "after too long a silence",
    );
}

#[test]
fn a_departure_that_never_was_is_noticed() {
    assert_caught(
        &violations_with(Fault::HearsGoodbyes),
        "has left to it, and never did",
    );
}

#[test]
fn silence_that_is_borne_for_too_long_is_noticed() {
    let patient = violations_of(|config| config.failure_timeout = secs(25));
    assert_caught(&patient, "after too long a silence");
}

#[test]
fn a_suspicion_that_comes_too_soon_is_noticed() {
    let hasty = violations_of(|config| config.failure_timeout = secs(6));
    assert_caught(&hasty, "is suspect to it too soon");
}

#[test]
fn a_death_that_comes_too_soon_is_noticed() {
    let hasty = violations_of(|config| config.dead_timeout = secs(20));
    assert_caught(&hasty, "is dead to it too soon");
}

#[test]
fn a_table_that_grows_too_large_is_noticed() {
    let mut mesh = Sim::empty(2, Config::default());
    mesh.config().limits.nodes = 3;
    mesh.watch();
    mesh.config().limits = Limits::default();
    for name in ["ana", "bob", "cid", "eve"] {
        mesh.start(name, &["ana"]);
    }
    mesh.run_for(secs(10));
    assert_caught(mesh.violations(), "holds 4 members");
}

#[test]
fn a_book_that_grows_too_large_is_noticed() {
    let mut mesh = Sim::empty(2, Config::default());
    mesh.config().limits.remembered = 0;
    mesh.watch();
    mesh.config().limits = Limits::default();
    for name in ["ana", "bob", "cid"] {
        mesh.start(name, &["ana"]);
    }
    mesh.run_for(secs(10));
    mesh.crash("cid");
    mesh.run_for(secs(40));
    assert_caught(mesh.violations(), "and 1 departed");
}

/// Shows the watch one node and then another, both of one id: what no node does by itself.
#[derive(Debug)]
struct TwoFaced {
    faces: [Node; 2],
    shown: usize,
    /// From then on the second hears nothing.
    deaf_from: Instant,
}

impl Process for TwoFaced {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let [first, second] = &mut self.faces;
        let is_tick = matches!(input, Input::Tick { .. });
        if is_tick || now < self.deaf_from {
            drop(second.handle(now, input.clone()));
        }
        self.shown = (self.shown + usize::from(is_tick)) % 2;
        first.handle(now, input)
    }

    fn deadline(&self) -> Instant {
        self.faces[0].deadline()
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(self.faces[0].id().clone())
    }

    fn id(&self) -> NodeId {
        self.faces[0].id().clone()
    }

    fn as_node(&self) -> Option<&Node> {
        Some(&self.faces[self.shown])
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.faces[0].status(id)
    }
}

fn two_faced(config: Config, deaf_after: Duration) -> Vec<String> {
    let mut mesh = three_and_a_machine();
    let first = node(&mesh, "eve", "eve", Config::default());
    let second = node(&mesh, "eve", "eve", config);
    let faces = [first, second];
    let two_faced = TwoFaced {
        faces,
        shown: 0,
        deaf_from: mesh.now() + deaf_after,
    };
    mesh.place("eve", two_faced);
    mesh.run_for(secs(30));
    mesh.crash("bob");
    mesh.run_for(secs(40));
    mesh.violations().to_vec()
}

#[test]
fn a_version_that_falls_is_noticed() {
    assert_caught(
        &two_faced(Config::default(), secs(10)),
        "holds an older version than before",
    );
}

#[test]
fn a_return_without_a_sign_of_life_is_noticed() {
    let hasty = Config {
        failure_timeout: secs(6),
        ..Config::default()
    };
    assert_caught(
        &two_faced(hasty, secs(1_000)),
        "is alive to it again without a sign of life",
    );
}

#[test]
fn a_node_that_does_not_agree_after_quiet_is_noticed() {
    let mut mesh = three_and_a_machine();
    // Never so many, so it names nobody.
    let config = Config {
        expected_nodes: Some(99),
        ..Config::default()
    };
    let stubborn = node(&mesh, "eve", "eve", config);
    mesh.place("eve", stubborn);
    mesh.must_become_whole(secs(60));
    assert_caught(mesh.violations(), "not whole after 60s of peace");
}

#[test]
fn a_mesh_that_is_not_one_after_quiet_is_noticed() {
    let mut mesh = three_and_a_machine();
    mesh.start("eve", &["ana"]);
    mesh.run_for(secs(10));
    mesh.isolate("eve");
    mesh.must_become_whole(secs(1));
    assert_eq!(mesh.violations(), Vec::<String>::new(), "nobody knows yet");
    mesh.run_for(secs(60));
    mesh.must_become_whole(secs(10));
    assert_caught(mesh.violations(), "not whole after 10s of peace");
}

/// Takes the worst.
struct Worst;

impl Selector for Worst {
    fn select(&self, candidates: &Candidates, _: &[usize], _: &mut Rng) -> Option<usize> {
        let members = candidates.members();
        (0..members.len()).max_by_key(|place| members[*place].standing)
    }
}

#[test]
fn a_request_to_hearsay_while_others_are_alive_is_noticed() {
    let mut mesh = three_and_a_machine();
    mesh.route_by(Worst);
    mesh.run_for(secs(10));
    assert_eq!(mesh.violations(), Vec::<String>::new(), "all are alive");
    let mut forged = Sim::forged("ghost", "http://10.9.9.9:8000");
    let card = Arc::make_mut(&mut Arc::make_mut(&mut forged.record).card);
    card.agents = vec![Label::new("echo").expect("plain")];
    mesh.inject("ana", None, Request::Gossip(vec![forged].into()));
    mesh.run_for(secs(1));
    assert_caught(mesh.violations(), "though others are alive");
}
