//! Three places with a real node each, the mail between them, and the rules that every node must keep at every step.
//!
//! What is fair is that the oldest message arrives and, where none is on its way, the earliest deadline comes. A [`Turn`]
//! is one way to go on otherwise. Messages take no time; time passes with the deadlines alone.

use maia::address::Url;
use maia::config::Config;
use maia::event::{Event, Reason};
use maia::id::NodeId;
use maia::message::Status::{Alive, Left, Suspect};
use maia::message::{Answer, Caller, Failure, Refusal, Reply, Request, Subject};
use maia::node::{CallId, ExchangeId, Identity, Input, Node, Output};
use maia::record::{Incarnation, Version};
use maia::rng::Rng;
use maia::sim::WALL_AT_START;
use maia::time::{Instant, Wall};
use maia::view::Seen;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{Debug, Write};
use std::time::Duration;

const NAMES: [&str; 3] = ["ana", "bob", "cid"];

/// The time between two rounds.
const ROUND: Duration = Duration::from_secs(2);

/// One way to go on otherwise than is fair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The oldest message never arrives.
    Lose,
    /// It arrives, and once more when all is over.
    Repeat,
    /// All others that are on their way overtake it.
    Delay,
    /// It arrives when all is over.
    Hold,
    /// The deadline of this node comes before the mail does, and before those of others.
    Fire(usize),
    /// The owner of this node makes it leave.
    Leave(usize),
    /// This node is killed, and started again at once.
    Restart(usize),
    /// It is killed, and stays away until all is over.
    Kill(usize),
}

/// Which exchange of which life of the node at which place an answer goes to.
type Return = (usize, u32, ExchangeId);

/// A message on its way.
#[derive(Clone, Debug)]
enum Flight {
    Call {
        back: Return,
        to: usize,
        caller: Caller,
        request: Request,
    },
    Answer {
        to: Return,
        answer: Result<Answer, Failure>,
    },
}

/// A running node, and the calls it has not answered.
#[derive(Debug)]
struct Process {
    node: Node,
    next_call: CallId,
    calls: BTreeMap<CallId, Return>,
    /// Who left by its own word, as it knew, in which life.
    knows_left: BTreeMap<NodeId, Incarnation>,
    /// Which version of whom it held last.
    held: BTreeMap<NodeId, Version>,
}

impl Process {
    /// What must hold of a confirmed member: its version never falls, and if it left it stays away in that life.
    fn check_row(&mut self, seen: &Seen) {
        let (id, version, me) = (seen.id(), seen.record.version, self.node.id());
        let before = self.held.insert(id.clone(), version);
        assert!(before <= Some(version), "{id} fell back at {me}");
        let left = self.knows_left.get(id);
        assert!(
            !matches!(seen.status, Alive | Suspect)
                || left.is_none_or(|left| version.incarnation > *left),
            "{id} has left and is {} again to {me}",
            seen.status
        );
    }
}

/// Three places, what runs there, and what is on its way.
#[derive(Debug)]
pub(crate) struct World {
    /// Whether a node that is started again keeps its id.
    same_id: bool,
    seed: u64,
    now: Instant,
    places: [Option<Process>; 3],
    lives: [u32; 3],
    flights: VecDeque<Flight>,
    held: Vec<Flight>,
    /// The last version that each id itself wrote.
    written: BTreeMap<NodeId, Version>,
    /// Who left, in which life.
    left: BTreeMap<NodeId, Incarnation>,
    /// How many inputs the nodes got.
    pub(crate) inputs: u64,
}

impl World {
    /// Three that have just been started, each with the others for seeds.
    pub(crate) fn new(same_id: bool, seed: u64) -> Self {
        let mut world = Self {
            same_id,
            seed,
            now: Instant::START,
            places: [None, None, None],
            lives: [0; 3],
            flights: VecDeque::new(),
            held: Vec::new(),
            written: BTreeMap::new(),
            left: BTreeMap::new(),
            inputs: 0,
        };
        (0..3).for_each(|place| world.start(place));
        world
    }

    /// Lets them meet.
    pub(crate) fn settle(&mut self) {
        while !self.is_whole() {
            self.go_on();
        }
    }

    /// Starts a node, which takes a moment.
    fn start(&mut self, place: usize) {
        self.lives[place] += 1;
        self.now = self.now + Duration::from_millis(5);
        let name = NAMES[place];
        let id = match self.same_id {
            true => name.to_owned(),
            false => format!("{name}.{}", self.lives[place]),
        };
        let me = Identity::new(
            id.parse().expect("an id"),
            name.parse().expect("a name"),
            url(place),
        );
        let rng = Rng::from_seed(self.seed * 64 + place as u64 * 8 + u64::from(self.lives[place]));
        let wall = self.wall();
        let node = Node::new(config(place), me, self.now, wall, rng).expect("good settings");
        self.places[place] = Some(Process {
            node,
            next_call: CallId::default(),
            calls: BTreeMap::new(),
            knows_left: BTreeMap::new(),
            held: BTreeMap::new(),
        });
        self.check(place);
    }

    fn wall(&self) -> Wall {
        let millis = self.now.since_start().as_millis() as u64;
        Wall::from_unix_millis(WALL_AT_START.unix_millis() + millis)
    }

    /// What is fair: mail before deadlines, each in its order.
    pub(crate) fn go_on(&mut self) {
        match self.flights.pop_front() {
            Some(flight) => self.arrive(flight),
            None => self.fire(self.earliest()),
        }
    }

    fn earliest(&self) -> usize {
        let due = |place: &usize| self.places[*place].as_ref().map(|p| p.node.deadline());
        let running = (0..3).filter(|place| self.places[*place].is_some());
        running.min_by_key(due).expect("never all are killed")
    }

    fn fire(&mut self, place: usize) {
        let process = self.places[place].as_ref().expect("it runs");
        self.now = self.now.max(process.node.deadline());
        let wall = self.wall();
        self.feed(place, Input::Tick { wall });
    }

    /// Takes a turn, where that means anything now.
    pub(crate) fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Lose => drop(self.flights.pop_front()),
            Turn::Repeat => {
                self.held.extend(self.flights.front().cloned());
                self.go_on();
            }
            Turn::Delay => self.flights.rotate_left(1),
            Turn::Hold => self.held.extend(self.flights.pop_front()),
            Turn::Fire(place) => self.fire(place),
            Turn::Leave(place) => self.leave(place),
            Turn::Restart(place) => self.start(place),
            Turn::Kill(place) => self.places[place] = None,
        }
    }

    /// The turns that would make a difference here.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        let mut turns = Vec::new();
        if !self.flights.is_empty() {
            turns.extend([Turn::Lose, Turn::Repeat, Turn::Hold]);
        }
        if self.flights.len() > 1 {
            turns.push(Turn::Delay);
        }
        let running = |place: &usize| self.places[*place].is_some();
        let many = (0..3).filter(running).count() > 1;
        for place in (0..3).filter(running) {
            if !self.flights.is_empty() || place != self.earliest() {
                turns.push(Turn::Fire(place));
            }
            if !self.has_left(place) {
                turns.push(Turn::Leave(place));
            }
            turns.push(Turn::Restart(place));
            turns.extend(many.then_some(Turn::Kill(place)));
        }
        turns
    }

    fn leave(&mut self, place: usize) {
        let process = self.places[place].as_mut().expect("it runs");
        let call = process.next_call;
        process.next_call = call.next();
        let caller = Caller {
            on_this_host: true,
            ..Caller::default()
        };
        let request = Request::Leave(Subject::Myself);
        let input = Input::Receive {
            call,
            caller,
            request,
        };
        self.feed(place, input);
    }

    fn arrive(&mut self, flight: Flight) {
        match flight {
            Flight::Answer {
                to: (place, life, exchange),
                answer,
            } => {
                if self.lives[place] == life && self.places[place].is_some() {
                    self.feed(place, Input::Answer { exchange, answer });
                }
            }
            Flight::Call {
                back,
                to,
                caller,
                request,
            } => self.arrive_call(back, to, caller, request),
        }
    }

    fn arrive_call(&mut self, back: Return, to: usize, caller: Caller, request: Request) {
        let Some(process) = self.places[to].as_mut() else {
            let answer = Err(Failure::Refused);
            self.flights.push_back(Flight::Answer { to: back, answer });
            return;
        };
        let call = process.next_call;
        process.next_call = call.next();
        process.calls.insert(call, back);
        let input = Input::Receive {
            call,
            caller,
            request,
        };
        self.feed(to, input);
    }

    fn feed(&mut self, place: usize, input: Input) {
        self.inputs += 1;
        let process = self.places[place].as_mut().expect("it runs");
        for output in process.node.handle(self.now, input) {
            self.carry_out(place, output);
        }
        self.check(place);
    }

    fn carry_out(&mut self, place: usize, output: Output) {
        let process = self.places[place].as_mut().expect("it just spoke");
        match output {
            Output::Send {
                exchange,
                from,
                to,
                request,
            } => {
                let to = (0..3).find(|place| url(*place) == to);
                self.flights.push_back(Flight::Call {
                    back: (place, self.lives[place], exchange),
                    to: to.expect("there are no other addresses"),
                    caller: Caller {
                        id: Some(from),
                        ..Caller::default()
                    },
                    request,
                });
            }
            Output::Reply { call, reply } => {
                if let Some(to) = process.calls.remove(&call) {
                    let answer = read(process.node.id().clone(), reply);
                    self.flights.push_back(Flight::Answer { to, answer });
                }
            }
            // A refusal does not say which life has left.
            Output::Report(Event::Left {
                id,
                reason: Reason::Goodbye,
                ..
            }) => {
                let life = self.left[&id];
                process.knows_left.insert(id, life);
            }
            Output::Abandon { .. } | Output::Report(_) | Output::Changed => {}
        }
    }

    fn has_left(&self, place: usize) -> bool {
        let process = self.places[place].as_ref();
        process.is_some_and(|process| process.node.status(process.node.id()) == Some(Left))
    }

    /// What must hold after every input, of the node that it went to.
    fn check(&mut self, place: usize) {
        let process = self.places[place].as_mut().expect("it runs");
        let view = process.node.view();
        let me = view.me().expect("a node sees itself");
        let written = self.written.entry(me.id().clone()).or_default();
        *written = me.record.version.max(*written);
        if view.left {
            let life = me.record.version.incarnation;
            self.left.insert(me.id().clone(), life);
        }
        for seen in view.members.iter().filter(|seen| !seen.is_me) {
            let written = self.written.get(seen.id());
            let me = process.node.id();
            assert!(
                written >= Some(&seen.record.version),
                "{me} holds a version of {} that it never wrote",
                seen.id()
            );
            if seen.confirmed {
                process.check_row(seen);
            }
        }
    }

    /// Every node that runs and has not left sees those alive and nobody else, and all name the greatest of them leader.
    fn is_whole(&self) -> bool {
        let members: Vec<&Node> = (0..3)
            .filter(|place| !self.has_left(*place))
            .filter_map(|place| self.places[place].as_ref().map(|process| &process.node))
            .collect();
        let ids: BTreeSet<&NodeId> = members.iter().map(|node| node.id()).collect();
        let leader = ids.last().copied();
        members.iter().all(|node| {
            let view = node.view();
            let shown = view.members.iter().filter(|seen| seen.confirmed);
            let shown: Vec<_> = shown.map(|seen| (seen.id(), seen.status)).collect();
            shown.len() == ids.len()
                && shown.iter().all(|(id, s)| ids.contains(id) && *s == Alive)
                && node.leader() == leader
        })
    }

    /// All that was held back arrives, all runs that was killed, nothing is lost: soon the mesh is whole, and it stays so.
    pub(crate) fn make_peace(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.flights.extend(held);
        for place in 0..3 {
            if self.places[place].is_none() {
                self.start(place);
            }
        }
        // A turn may have made a node late for its next round: that one belongs to the trouble.
        let begun = self.now;
        while self.now <= begun + ROUND || !self.is_whole() || !self.flights.is_empty() {
            let took = self.now.since(begun);
            assert!(took < 30 * ROUND, "not whole: {:#?}", self.beliefs());
            self.go_on();
        }
        let end = self.now + 2 * ROUND;
        while self.now < end {
            self.go_on();
            assert!(self.is_whole(), "no longer whole: {:#?}", self.beliefs());
        }
    }

    fn beliefs(&self) -> Vec<String> {
        let of = |process: &Process| {
            let view = process.node.view();
            let seen = view.members.iter();
            let seen: Vec<String> = seen
                .map(|s| format!("{} {} confirmed {}", s.id(), s.status, s.confirmed))
                .collect();
            format!(
                "{} leader {:?}: {seen:?}",
                process.node.id(),
                process.node.leader()
            )
        };
        self.places.iter().flatten().map(of).collect()
    }

    /// Stands for everything that decides how this goes on.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut print = Print::default();
        let world = (
            self.now,
            &self.places,
            self.lives,
            &self.flights,
            &self.held,
            (&self.written, &self.left),
        );
        write!(print, "{world:?}").expect("hashing does not fail");
        print.0
    }
}

/// An answer as it comes in.
fn read(speaker: NodeId, reply: Reply) -> Result<Answer, Failure> {
    match reply {
        Reply::Refused(Refusal::Left) => Err(Failure::Left),
        Reply::Refused(refusal) => Err(Failure::Unusable(refusal.to_string())),
        reply => Ok(Answer {
            from: Some(speaker),
            reply,
        }),
    }
}

/// Short timeouts, so that whoever is gone is soon forgotten too.
fn config(place: usize) -> Config {
    Config {
        seeds: (0..3).filter(|other| *other != place).map(url).collect(),
        gossip_interval: ROUND,
        failure_timeout: 3 * ROUND,
        dead_timeout: 4 * ROUND,
        forget_after: 2 * ROUND,
        stable_after: ROUND,
        ..Config::default()
    }
}

fn url(place: usize) -> Url {
    let text = format!("http://10.0.0.{}:8000", place + 1);
    text.parse().expect("a URL")
}

/// A hash of what is written into it (FNV-1a).
struct Print(u64);

impl Default for Print {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Print {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
