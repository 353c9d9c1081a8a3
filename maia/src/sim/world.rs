//! Machines, messages on their way, and the order in which things happen.

use super::network::Network;
use super::process::Process;
use super::scales;
use super::watch::Watch;
use crate::address::{Host, Url};
use crate::config::Config;
use crate::event::Event;
use crate::id::{Label, Name, NodeId};
use crate::message::{Answer, Caller, Failure, Refusal, Reply, Request};
use crate::node::{CallId, ExchangeId, Identity, Input, Node, Output};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};

/// The time of day when a simulation starts: the beginning of 2026.
pub const WALL_AT_START: Wall = Wall::from_unix_millis(1_767_225_600_000);

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

/// Everything there is: who runs where, and what is on its way.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) config: Config,
    pub(super) network: Network,
    pub(super) machines: Vec<Machine>,
    pub(super) by_name: BTreeMap<String, usize>,
    pub(super) by_url: BTreeMap<Url, usize>,
    pub(super) schedule: BinaryHeap<Reverse<Scheduled>>,
    pub(super) sequence: u64,
    pub(super) events: Vec<Reported>,
    pub(super) outside: BTreeMap<u64, Option<Reply>>,
    pub(super) next_outside: u64,
    pub(super) trace: u64,
    pub(super) messages: u64,
    pub(super) happened: u64,
    /// Bytes sent, where they are counted.
    pub(super) bytes: Option<u64>,
    pub(super) watch: Option<Watch>,
}

/// A machine: its address, its clock, and what runs on it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    /// What people call the node on it.
    pub(super) called: String,
    pub(super) url: Url,
    pub(super) address: IpAddr,
    /// How far its time of day is off, in milliseconds.
    pub(super) wall_off: i64,
    pub(super) process: Option<Box<dyn Process>>,
    /// The id of the process that runs or ran last.
    pub(super) last_id: Option<NodeId>,
    pub(super) seeds: Vec<Url>,
    pub(super) starts: u32,
    /// What arrived while the process was paused; `None` while it runs.
    pub(super) held_back: Option<Vec<Happening>>,
    pub(super) next_call: CallId,
    pub(super) calls: BTreeMap<CallId, Return>,
}

/// Where an answer has to go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Return {
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
pub(super) enum Happening {
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
pub(super) struct Scheduled {
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

impl World {
    pub(super) fn new(seed: u64, config: Config) -> Self {
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
            happened: 0,
            bytes: None,
            watch: None,
        }
    }

    pub(super) fn call_locally(&mut self, name: &str, request: Request) -> u64 {
        let caller = Caller {
            id: None,
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            on_this_host: true,
        };
        self.call(name, caller, request)
    }

    pub(super) fn call(&mut self, name: &str, caller: Caller, request: Request) -> u64 {
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

    pub(super) fn place_of(&self, name: &str) -> usize {
        match self.by_name.get(name) {
            Some(&machine) => machine,
            None => panic!("there is no machine named {name}"),
        }
    }

    /// The machine of this name, set up if there is none.
    pub(super) fn machine(&mut self, name: &str) -> usize {
        if let Some(&machine) = self.by_name.get(name) {
            return machine;
        }
        let machine = self.machines.len();
        let [high, low] = u16::try_from(machine + 1)
            .expect("fewer than 65,536 machines")
            .to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, high, low));
        let url = Url::from_parts(Host::Ip(address), 8_000);
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

    pub(super) fn set_seeds(&mut self, machine: usize, seeds: &[&str]) {
        let places: Vec<usize> = seeds.iter().map(|seed| self.machine(seed)).collect();
        self.machines[machine].seeds = places
            .into_iter()
            .map(|seed| self.machines[seed].url.clone())
            .collect();
    }

    pub(super) fn boot(&mut self, place: usize, id: Option<NodeId>) {
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

    pub(super) fn put(&mut self, place: usize, process: Box<dyn Process>) {
        let machine = &mut self.machines[place];
        machine.starts += 1;
        machine.last_id = Some(process.id());
        machine.process = Some(process);
        machine.held_back = None;
        machine.calls.clear();
        self.plan(self.now, place, Happening::Wake);
    }

    pub(super) fn wall(&self, place: usize) -> Wall {
        let elapsed = self.now.since_start().as_millis();
        let right = WALL_AT_START.unix_millis() + u64::try_from(elapsed).unwrap_or(0);
        Wall::from_unix_millis(right.saturating_add_signed(self.machines[place].wall_off))
    }

    pub(super) fn plan(&mut self, at: Instant, machine: usize, what: Happening) {
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
    pub(super) fn step(&mut self, end: Instant) -> bool {
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

    pub(super) fn happen(&mut self, place: usize, what: Happening) {
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

    pub(super) fn arrive(
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
    pub(super) fn feed(&mut self, place: usize, input: Input) {
        let now = self.now;
        let Some(process) = &mut self.machines[place].process else {
            return;
        };
        let outputs = process.handle(now, input);
        let (deadline, id) = (process.deadline(), process.id());
        self.machines[place].last_id = Some(id);
        self.note(place as u64);
        self.happened += 1;
        let node = self.machines[place]
            .process
            .as_ref()
            .and_then(|process| process.as_node());
        if let (Some(watch), Some(node)) = (&mut self.watch, node) {
            watch.look(now, node);
        }
        for output in outputs {
            self.carry_out(place, output);
        }
        self.plan(deadline.max(now), place, Happening::Wake);
    }

    pub(super) fn carry_out(&mut self, place: usize, output: Output) {
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

    pub(super) fn send(
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
        if let Some(bytes) = &mut self.bytes {
            *bytes += scales::request_bytes(request) as u64;
        }
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

    pub(super) fn send_back(&mut self, place: usize, call: CallId, reply: Reply) {
        let speaks_as = self.machines[place]
            .process
            .as_ref()
            .and_then(|process| process.speaks_as());
        match self.machines[place].calls.remove(&call) {
            Some(Return::Outside(ticket)) => {
                self.outside.insert(ticket, Some(reply));
            }
            Some(back @ Return::To { machine, .. }) => {
                if let Some(bytes) = &mut self.bytes {
                    *bytes += scales::reply_bytes(&reply) as u64;
                }
                let answer = match reply {
                    Reply::Refused(Refusal::Left) => Err(Failure::Left),
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

    pub(super) fn bring_back(
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

    pub(super) fn note(&mut self, number: u64) {
        let time = self.now.since_start().as_nanos() as u64;
        for word in [time, number] {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(super) fn note_text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
