//! A whole mesh in one thread, on virtual time.
//!
//! Real nodes, an imagined network: messages take time, get lost, come twice or in another order, links are cut, nodes
//! crash, pause and start again, clocks are wrong, all from one seed. The same seed gives the same run. Try your own
//! timeouts in it:
//!
//! ```
//! use maia::message::Status;
//! use maia::sim::Sim;
//! use std::time::Duration;
//!
//! let mut mesh = Sim::new(7, &["ana", "bob", "eve"]);
//! mesh.run_for(Duration::from_secs(10));
//! assert_eq!(mesh.belief("ana", "eve"), Some(Status::Alive));
//!
//! mesh.crash("eve");
//! mesh.run_for(Duration::from_secs(40));
//! assert_eq!(mesh.belief("ana", "eve"), Some(Status::Dead));
//! ```

mod network;
mod older;

pub use network::Network;
pub use older::OlderNode;

use crate::address::Url;
use crate::config::Config;
use crate::event::Event;
use crate::id::{Label, Name, NodeId};
use crate::message::{Answer, Caller, Entry, Failure, Reply, Request, Status, Subject};
use crate::node::{CallId, Command, ExchangeId, Identity, Input, Node, Output};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The time of day when a simulation starts: the beginning of 2026.
pub const WALL_AT_START: Wall = Wall::from_unix_millis(1_767_225_600_000);

/// Something that can run on a simulated machine: a [`Node`], an [`OlderNode`], or what a test makes up.
pub trait Process: Debug {
    /// As [`Node::handle`].
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output>;

    /// As [`Node::deadline`].
    fn deadline(&self) -> Instant;

    /// Who it says it is when it answers; older nodes do not say.
    fn speaks_as(&self) -> Option<NodeId>;

    /// The id it goes by.
    fn id(&self) -> NodeId;

    /// The real node, if this is one.
    fn as_node(&self) -> Option<&Node> {
        None
    }

    /// Whom it believes to be in the mesh, and how they stand.
    fn belief(&self, id: &NodeId) -> Option<Status>;
}

impl Process for Node {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        Self::handle(self, now, input)
    }

    fn deadline(&self) -> Instant {
        Self::deadline(self)
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(Self::id(self).clone())
    }

    fn id(&self) -> NodeId {
        Self::id(self).clone()
    }

    fn as_node(&self) -> Option<&Node> {
        Some(self)
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.status(id)
    }
}

/// A machine: its address, its clock, and what runs on it.
#[derive(Debug)]
struct Machine {
    name: String,
    /// What people call the node on it.
    called: String,
    url: Url,
    address: IpAddr,
    /// How far its time of day is off, in milliseconds.
    wall_off: i64,
    process: Option<Box<dyn Process>>,
    /// The id of the process that runs or ran last.
    last_id: Option<NodeId>,
    seeds: Vec<Url>,
    starts: u32,
    /// What arrived while the process was paused; `None` while it runs.
    held_back: Option<Vec<Happening>>,
    next_call: CallId,
    calls: BTreeMap<CallId, Return>,
}

/// Where an answer has to go.
#[derive(Clone, Copy, Debug)]
enum Return {
    /// To an exchange of the process that was started for the so-manieth time on that machine.
    To {
        machine: usize,
        start: u32,
        exchange: ExchangeId,
    },
    /// To whoever injected the request.
    Outside(u64),
}

/// What happens somewhere.
#[derive(Clone, Debug)]
enum Happening {
    Wake,
    Request {
        caller: Caller,
        from: Option<usize>,
        request: Request,
        back: Return,
    },
    Answer {
        start: u32,
        exchange: ExchangeId,
        answer: Result<Answer, Failure>,
    },
}

/// A [`Happening`] with its place in the order of things.
#[derive(Debug)]
struct Scheduled {
    at: Instant,
    sequence: u64,
    machine: usize,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// An event that a node reported.
#[derive(Clone, Debug)]
pub struct Reported {
    /// When.
    pub at: Instant,
    /// The name of the machine whose node reported it.
    pub by: String,
    /// What.
    pub event: Event,
}

/// A simulated mesh.
#[derive(Debug)]
pub struct Sim {
    now: Instant,
    rng: Rng,
    config: Config,
    network: Network,
    machines: Vec<Machine>,
    by_name: BTreeMap<String, usize>,
    by_url: BTreeMap<Url, usize>,
    schedule: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    events: Vec<Reported>,
    outside: BTreeMap<u64, Option<Reply>>,
    next_outside: u64,
    trace: u64,
    messages: u64,
}

impl Sim {
    /// A mesh of nodes with these names and default settings, all started at once; the first is the seed of the others.
    pub fn new(seed: u64, names: &[&str]) -> Self {
        let mut sim = Self::empty(seed, Config::default());
        for name in names {
            let seeds: &[&str] = if *name == names[0] { &[] } else { &names[..1] };
            sim.start(name, seeds);
        }
        sim
    }

    /// No nodes yet; those that are started get `config`, with seeds of their own.
    pub fn empty(seed: u64, config: Config) -> Self {
        Self {
            now: Instant::START,
            rng: Rng::from_seed(seed),
            config,
            network: Network::default(),
            machines: Vec::new(),
            by_name: BTreeMap::new(),
            by_url: BTreeMap::new(),
            schedule: BinaryHeap::new(),
            sequence: 0,
            events: Vec::new(),
            outside: BTreeMap::new(),
            next_outside: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            messages: 0,
        }
    }

    /// The network, to make it worse or better from now on.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The settings of nodes that are started from now on.
    pub fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Everything that nodes reported, in order.
    pub fn events(&self) -> &[Reported] {
        &self.events
    }

    /// A fingerprint of all that happened: two runs with the same one were the same.
    pub fn trace_hash(&self) -> u64 {
        self.trace
    }

    /// Messages sent so far, answers included.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Starts a node on a machine of this name, which may be new, with the machines named `seeds` as its seeds. A node
    /// that runs there is killed first. Each start has an id of its own: `eve.1`, then `eve.2`.
    pub fn start(&mut self, name: &str, seeds: &[&str]) {
        let machine = self.machine(name);
        self.set_seeds(machine, seeds);
        self.boot(machine, None);
    }

    /// Starts a node with an id that somebody chose.
    pub fn start_as(&mut self, name: &str, id: &str, seeds: &[&str]) {
        let machine = self.machine(name);
        self.set_seeds(machine, seeds);
        self.boot(machine, Some(NodeId::new(id).expect("a test's id is one")));
    }

    /// Starts a node that people call `called`, whatever the machine's name is.
    pub fn start_named(&mut self, name: &str, called: &str, seeds: &[&str]) {
        let machine = self.machine(name);
        self.machines[machine].called = called.to_owned();
        self.start(name, seeds);
    }

    /// Sets up a machine on which nothing runs yet, so that its address is known.
    pub fn reserve(&mut self, name: &str) {
        self.machine(name);
    }

    /// Sets up a second address, of the name `alias`, at which the machine `name` is reached too.
    pub fn alias(&mut self, alias: &str, name: &str) {
        let machine = self.machine(name);
        let other = self.machine(alias);
        self.by_url
            .insert(self.machines[other].url.clone(), machine);
    }

    /// Puts something else than a node of ours on a machine of this name.
    pub fn place(&mut self, name: &str, process: impl Process + 'static) {
        let machine = self.machine(name);
        self.put(machine, Box::new(process));
    }

    /// Kills what runs on this machine, and starts a node there anew, with a new id and the same seeds.
    pub fn restart(&mut self, name: &str) {
        let machine = self.place_of(name);
        self.boot(machine, None);
    }

    /// Kills what runs on this machine: nobody listens there any more.
    pub fn crash(&mut self, name: &str) {
        let machine = self.place_of(name);
        let machine = &mut self.machines[machine];
        machine.process = None;
        machine.held_back = None;
        machine.calls.clear();
    }

    /// Stops what runs on this machine in its tracks, as SIGSTOP does: what arrives waits.
    pub fn pause(&mut self, name: &str) {
        let machine = self.place_of(name);
        self.machines[machine].held_back.get_or_insert_default();
    }

    /// Lets it go on.
    pub fn resume(&mut self, name: &str) {
        let machine = self.place_of(name);
        let held_back = self.machines[machine].held_back.take().unwrap_or_default();
        self.plan(self.now, machine, Happening::Wake);
        for what in held_back {
            self.plan(self.now, machine, what);
        }
    }

    /// Lets a node say goodbye, as `astromeshctl mesh leave` does.
    pub fn leave(&mut self, name: &str) {
        self.call_locally(name, Request::Leave(Subject::Myself));
    }

    /// Lets a node that left come back.
    pub fn rejoin(&mut self, name: &str) {
        self.call_locally(name, Request::Rejoin);
    }

    /// Tells a node something about itself.
    pub fn command(&mut self, name: &str, command: Command) {
        let machine = self.place_of(name);
        self.feed(machine, Input::Command(command));
    }

    /// Sets a machine's time of day off by `millis`.
    pub fn set_wall_off(&mut self, name: &str, millis: i64) {
        let machine = self.machine(name);
        self.machines[machine].wall_off = millis;
    }

    /// Sends a request to a node from an address outside the mesh, as anyone can; `claim` is who they say they are.
    /// Returns what [`Sim::reply`] finds the answer by.
    pub fn inject(&mut self, name: &str, claim: Option<&NodeId>, request: Request) -> u64 {
        let caller = Caller {
            id: claim.cloned(),
            address: Some(IpAddr::V4(Ipv4Addr::new(10, 255, 255, 254))),
            on_this_host: false,
        };
        self.call(name, caller, request)
    }

    /// What came back to an injected request, if it did.
    pub fn reply(&self, ticket: u64) -> Option<&Reply> {
        self.outside.get(&ticket).and_then(Option::as_ref)
    }

    /// Cuts both ways between `name` and everybody else.
    pub fn isolate(&mut self, name: &str) {
        let others: Vec<usize> = (0..self.machines.len()).collect();
        let machine = self.place_of(name);
        for other in others {
            self.network.cut(machine, other);
            self.network.cut(other, machine);
        }
    }

    /// Cuts the way from one machine to another; the way back stays.
    pub fn cut_one_way(&mut self, from: &str, to: &str) {
        let (from, to) = (self.place_of(from), self.place_of(to));
        self.network.cut(from, to);
    }

    /// Cuts both ways between every machine of `side` and every other.
    pub fn split(&mut self, side: &[&str]) {
        let side: Vec<usize> = side.iter().map(|name| self.place_of(name)).collect();
        for machine in 0..self.machines.len() {
            for &other in side.iter().filter(|_| !side.contains(&machine)) {
                self.network.cut(machine, other);
                self.network.cut(other, machine);
            }
        }
    }

    /// Mends every link.
    pub fn heal(&mut self) {
        self.network.mend();
    }

    /// Lets `time` pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until `holds`, looking every 10 ms; says how long that took, or `None` if it takes longer than
    /// `most`.
    pub fn run_until(
        &mut self,
        most: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while self.now.since(start) <= most {
            if holds(self) {
                return Some(self.now.since(start));
            }
            self.run_for(Duration::from_millis(10));
        }
        None
    }

    /// How the node on machine `of` stands to the node on machine `by`; `None` if that has no row of it.
    pub fn belief(&self, by: &str, of: &str) -> Option<Status> {
        let subject = self.machines[self.place_of(of)].last_id.as_ref()?;
        self.belief_in(by, subject)
    }

    /// How the node with this id stands to the node on machine `by`.
    pub fn belief_in(&self, by: &str, id: &NodeId) -> Option<Status> {
        self.machines[self.place_of(by)]
            .process
            .as_ref()?
            .belief(id)
    }

    /// The node on this machine, if one of ours runs there.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.machines[self.place_of(name)]
            .process
            .as_ref()?
            .as_node()
    }

    /// The id of the node that runs on this machine, or ran there last.
    pub fn id(&self, name: &str) -> Option<&NodeId> {
        self.machines[self.place_of(name)].last_id.as_ref()
    }

    /// The address of this machine's node.
    pub fn url(&self, name: &str) -> Url {
        match self.by_name.get(name) {
            Some(&machine) => self.machines[machine].url.clone(),
            None => panic!("there is no machine named {name}"),
        }
    }

    /// Whom the node on machine `by` takes for the leader, by machine name.
    pub fn leader(&self, by: &str) -> Option<&str> {
        let leader = self.node(by)?.leader()?;
        let is_led_by = |machine: &&Machine| machine.last_id.as_ref() == Some(leader);
        self.machines
            .iter()
            .find(is_led_by)
            .map(|machine| machine.name.as_str())
    }

    /// The names of all machines on which something runs.
    pub fn running(&self) -> Vec<String> {
        let running = self
            .machines
            .iter()
            .filter(|machine| machine.process.is_some());
        running.map(|machine| machine.name.clone()).collect()
    }

    /// Whether every node that runs holds every other for alive, holds nobody else for that, and all name one leader.
    pub fn is_whole(&self) -> bool {
        let running: Vec<&Machine> = self
            .machines
            .iter()
            .filter(|m| m.process.is_some())
            .collect();
        let nodes: Vec<&Node> = running
            .iter()
            .filter_map(|machine| {
                machine
                    .process
                    .as_ref()
                    .and_then(|process| process.as_node())
            })
            .collect();
        let sees_all = |node: &&Node| {
            running.iter().all(|machine| {
                machine
                    .last_id
                    .as_ref()
                    .is_some_and(|id| node.status(id) == Some(Status::Alive))
            })
        };
        let sees_no_more = |node: &&Node| {
            let alive = |seen: &&crate::view::Seen| seen.status == Status::Alive && seen.confirmed;
            node.view().members.iter().filter(alive).count() == running.len()
        };
        let leader = nodes.first().and_then(|node| node.leader());
        leader.is_some()
            && nodes.iter().all(|node| node.leader() == leader)
            && nodes.iter().all(sees_all)
            && nodes.iter().all(sees_no_more)
    }

    /// A record of a node that exists only on paper, for forging.
    pub fn forged(id: &str, url: &str) -> Entry {
        older::entry(
            id,
            id,
            Url::new(url).expect("a test's URL is one"),
            WALL_AT_START,
        )
    }

    fn call_locally(&mut self, name: &str, request: Request) -> u64 {
        let caller = Caller {
            id: None,
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            on_this_host: true,
        };
        self.call(name, caller, request)
    }

    fn call(&mut self, name: &str, caller: Caller, request: Request) -> u64 {
        let ticket = self.next_outside;
        self.next_outside += 1;
        self.outside.insert(ticket, None);
        let machine = self.place_of(name);
        let what = Happening::Request {
            caller,
            from: None,
            request,
            back: Return::Outside(ticket),
        };
        self.plan(self.now, machine, what);
        ticket
    }

    fn place_of(&self, name: &str) -> usize {
        match self.by_name.get(name) {
            Some(&machine) => machine,
            None => panic!("there is no machine named {name}"),
        }
    }

    /// The machine of this name, set up if there is none.
    fn machine(&mut self, name: &str) -> usize {
        if let Some(&machine) = self.by_name.get(name) {
            return machine;
        }
        let machine = self.machines.len();
        let [high, low] = u16::try_from(machine + 1)
            .expect("fewer than 65,536 machines")
            .to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, high, low));
        let url = Url::from_parts(crate::address::Host::Ip(address), 8_000);
        self.by_name.insert(name.to_owned(), machine);
        self.by_url.insert(url.clone(), machine);
        self.machines.push(Machine {
            name: name.to_owned(),
            called: name.to_owned(),
            url,
            address,
            wall_off: 0,
            process: None,
            last_id: None,
            seeds: Vec::new(),
            starts: 0,
            held_back: None,
            next_call: CallId::default(),
            calls: BTreeMap::new(),
        });
        machine
    }

    fn set_seeds(&mut self, machine: usize, seeds: &[&str]) {
        let places: Vec<usize> = seeds.iter().map(|seed| self.machine(seed)).collect();
        self.machines[machine].seeds = places
            .into_iter()
            .map(|seed| self.machines[seed].url.clone())
            .collect();
    }

    fn boot(&mut self, place: usize, id: Option<NodeId>) {
        let machine = &self.machines[place];
        let fresh = format!("{}.{}", machine.name, machine.starts + 1);
        let me = Identity {
            id: id.unwrap_or_else(|| NodeId::new(&fresh).expect("a test's name makes an id")),
            name: Name::new(&machine.called).expect("a test's name is one"),
            url: machine.url.clone(),
            services: vec![Label::new("agents").expect("plain")],
            agents: vec![Label::new("echo").expect("plain")],
            version: None,
        };
        let config = Config {
            seeds: machine.seeds.clone(),
            ..self.config.clone()
        };
        let (wall, rng) = (self.wall(place), self.rng.split());
        let node = Node::new(config, me, self.now, wall, rng)
            .expect("a simulation's settings go together");
        self.put(place, Box::new(node));
    }

    fn put(&mut self, place: usize, process: Box<dyn Process>) {
        let machine = &mut self.machines[place];
        machine.starts += 1;
        machine.last_id = Some(process.id());
        machine.process = Some(process);
        machine.held_back = None;
        machine.calls.clear();
        self.plan(self.now, place, Happening::Wake);
    }

    fn wall(&self, place: usize) -> Wall {
        let elapsed = self.now.since_start().as_millis();
        let right = WALL_AT_START.unix_millis() + u64::try_from(elapsed).unwrap_or(0);
        Wall::from_unix_millis(right.saturating_add_signed(self.machines[place].wall_off))
    }

    fn plan(&mut self, at: Instant, machine: usize, what: Happening) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.schedule.push(Reverse(Scheduled {
            at,
            sequence,
            machine,
            what,
        }));
    }

    /// Lets the next thing happen, if that is before `end`; otherwise only time passes.
    fn step(&mut self, end: Instant) -> bool {
        let due = self
            .schedule
            .peek()
            .is_some_and(|Reverse(next)| next.at <= end);
        let Some(Reverse(next)) = due.then(|| self.schedule.pop()).flatten() else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next.at);
        match &mut self.machines[next.machine].held_back {
            Some(held_back) => held_back.push(next.what),
            None => self.happen(next.machine, next.what),
        }
        true
    }

    fn happen(&mut self, place: usize, what: Happening) {
        match what {
            Happening::Wake => {
                let machine = &self.machines[place];
                let due = machine
                    .process
                    .as_ref()
                    .is_some_and(|process| process.deadline() <= self.now);
                if due {
                    let wall = self.wall(place);
                    self.feed(place, Input::Tick { wall });
                }
            }
            Happening::Request {
                caller,
                from,
                request,
                back,
            } => self.arrive(place, caller, from, request, back),
            Happening::Answer {
                start,
                exchange,
                answer,
            } => {
                if self.machines[place].starts == start {
                    self.feed(place, Input::Answer { exchange, answer });
                }
            }
        }
    }

    fn arrive(
        &mut self,
        place: usize,
        caller: Caller,
        from: Option<usize>,
        request: Request,
        back: Return,
    ) {
        let machine = &mut self.machines[place];
        if machine.process.is_none() {
            if let Some(from) = from {
                self.bring_back(place, from, back, &Err(Failure::Refused));
            }
            return;
        }
        let call = machine.next_call;
        machine.next_call = call.next();
        machine.calls.insert(call, back);
        self.feed(
            place,
            Input::Receive {
                call,
                caller,
                request,
            },
        );
    }

    /// Lets `input` happen to what runs on a machine, and carries out what it wants done.
    fn feed(&mut self, place: usize, input: Input) {
        let now = self.now;
        let Some(process) = &mut self.machines[place].process else {
            return;
        };
        let outputs = process.handle(now, input);
        let (deadline, id) = (process.deadline(), process.id());
        self.machines[place].last_id = Some(id);
        self.note(place as u64);
        for output in outputs {
            self.carry_out(place, output);
        }
        self.plan(deadline.max(now), place, Happening::Wake);
    }

    fn carry_out(&mut self, place: usize, output: Output) {
        match output {
            Output::Send {
                exchange,
                from,
                to,
                request,
            } => self.send(place, exchange, from, &to, &request),
            Output::Reply { call, reply } => self.send_back(place, call, reply),
            Output::Report(event) => {
                self.note_text(&event.to_string());
                let by = self.machines[place].name.clone();
                self.events.push(Reported {
                    at: self.now,
                    by,
                    event,
                });
            }
            Output::Abandon { .. } | Output::Changed => {}
        }
    }

    fn send(
        &mut self,
        place: usize,
        exchange: ExchangeId,
        from: NodeId,
        to: &Url,
        request: &Request,
    ) {
        assert!(
            *to != self.machines[place].url,
            "a node called itself at {to}"
        );
        assert!(!to.is_unspecified(), "a node called {to}, which is nowhere");
        self.messages += 1;
        let start = self.machines[place].starts;
        let back = Return::To {
            machine: place,
            start,
            exchange,
        };
        let Some(&there) = self.by_url.get(to) else {
            return;
        };
        let is_ours = self.machines[place]
            .process
            .as_ref()
            .is_some_and(|p| p.as_node().is_some());
        let caller = Caller {
            id: is_ours.then_some(from),
            address: Some(self.machines[place].address),
            on_this_host: false,
        };
        for at in self.network.arrivals(place, there, self.now, &mut self.rng) {
            let what = Happening::Request {
                caller: caller.clone(),
                from: Some(place),
                request: request.clone(),
                back,
            };
            self.plan(at, there, what);
        }
    }

    fn send_back(&mut self, place: usize, call: CallId, reply: Reply) {
        let speaks_as = self.machines[place]
            .process
            .as_ref()
            .and_then(|process| process.speaks_as());
        match self.machines[place].calls.remove(&call) {
            Some(Return::Outside(ticket)) => {
                self.outside.insert(ticket, Some(reply));
            }
            Some(back @ Return::To { machine, .. }) => {
                let answer = match reply {
                    Reply::Refused(crate::message::Refusal::Left) => Err(Failure::Left),
                    Reply::Refused(refusal) => Err(Failure::Unusable(refusal.to_string())),
                    reply => Ok(Answer {
                        from: speaks_as,
                        reply,
                    }),
                };
                self.bring_back(place, machine, back, &answer);
            }
            None => {}
        }
    }

    fn bring_back(
        &mut self,
        from: usize,
        to: usize,
        back: Return,
        answer: &Result<Answer, Failure>,
    ) {
        let Return::To {
            start, exchange, ..
        } = back
        else {
            return;
        };
        self.messages += 1;
        for at in self.network.arrivals(from, to, self.now, &mut self.rng) {
            let what = Happening::Answer {
                start,
                exchange,
                answer: answer.clone(),
            };
            self.plan(at, to, what);
        }
    }

    fn note(&mut self, number: u64) {
        let time = self.now.since_start().as_nanos() as u64;
        for word in [time, number] {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn note_text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
