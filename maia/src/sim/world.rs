//! Machines, messages on their way, and the order in which things happen.

use super::network::Network;
use super::process::Process;
use super::replay::Past;
use super::watch::{Moment, Watch};
use crate::address::{Host, Url};
use crate::config::Config;
use crate::event::Event;
use crate::id::{Label, Name, NodeId};
use crate::message::{Answer, Caller, Failure, Reply, Request};
use crate::node::{CallId, Command, ExchangeId, Identity, Input, Node, Output};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The time of day when a simulation starts: the beginning of 2026.
pub const WALL_AT_START: Wall = Wall::from_unix_millis(1_767_225_600_000);

/// How long a message waits for a starved process: then its sender has given up long ago, and the connection is closed.
const GIVEN_UP: Duration = Duration::from_secs(10);

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
    pub(super) past: Past,
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
    /// Since when the whole machine stands still, its monotonic clock too.
    pub(super) suspended: Option<Instant>,
    /// How far its monotonic clock is behind for that.
    pub(super) behind: Duration,
    /// How long the process takes for one input at the most, where it gets too little of the processor.
    pub(super) starved: Option<Duration>,
    pub(super) busy_until: Instant,
    /// When the process was first due for the tick that it has not had yet, by its own clock.
    pub(super) due: Instant,
    pub(super) tick_is_queued: bool,
    /// The last moment for which it was planned to wake: nothing more is planned for the same.
    wakes: Option<Instant>,
    pub(super) next_call: CallId,
    /// Calls that the process has not answered.
    pub(super) calls: BTreeMap<CallId, Return>,
    /// Exchanges that the process has begun and that have not ended.
    pub(super) open: BTreeSet<ExchangeId>,
}

impl Machine {
    /// Drops what a process that is no more was to get.
    pub(super) fn stand_by(&mut self) {
        self.held_back = None;
        self.suspended = None;
        self.tick_is_queued = false;
        self.calls.clear();
        self.open.clear();
    }
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
    /// To nobody: an old message came again, and whoever sent it has had its answer.
    Nowhere,
}

/// What happens somewhere.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Wake,
    /// Its owner tells the node something.
    Command(Command),
    Request {
        caller: Caller,
        from: Option<usize>,
        request: Request,
        back: Return,
    },
    /// A request that nobody can read.
    Garbled {
        from: usize,
        back: Return,
    },
    Answer {
        start: u32,
        exchange: ExchangeId,
        answer: Result<Answer, Failure>,
    },
}

impl Happening {
    /// Whether it is a message of another machine, which gives up waiting at some time.
    fn has_a_sender(&self) -> bool {
        !matches!(
            self,
            Self::Wake | Self::Command(_) | Self::Request { from: None, .. }
        )
    }
}

/// A [`Happening`] with its place in the order of things.
#[derive(Debug)]
pub(super) struct Scheduled {
    at: Instant,
    sequence: u64,
    machine: usize,
    /// In a box, for things that are to come are moved about while they are put in order.
    what: Box<Happening>,
    /// Whether a starved machine has put it into its queue already.
    queued: bool,
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
            past: Past::default(),
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
            suspended: None,
            behind: Duration::ZERO,
            starved: None,
            busy_until: Instant::START,
            due: Instant::START,
            tick_is_queued: false,
            wakes: None,
            next_call: CallId::default(),
            calls: BTreeMap::new(),
            open: BTreeSet::new(),
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
        let node = self.fresh_node(place, id);
        self.put(place, Box::new(node));
    }

    /// A node as it starts on that machine.
    pub(super) fn fresh_node(&mut self, place: usize, id: Option<NodeId>) -> Node {
        let machine = &self.machines[place];
        let fresh = format!("{}.{}", machine.name, machine.starts + 1);
        let me = Identity {
            id: id.unwrap_or_else(|| NodeId::new(&fresh).expect("a test's name makes an id")),
            name: Name::new(&machine.called).expect("a test's name is one"),
            url: machine.url.clone(),
            services: vec![Label::new("agents").expect("plain")],
            agents: vec![Label::new(super::AGENT).expect("plain")],
            version: None,
        };
        let config = Config {
            seeds: machine.seeds.clone(),
            ..self.config.clone()
        };
        let (wall, rng) = (self.wall(place), self.rng.split());
        Node::new(config, me, self.local(place), wall, rng)
            .expect("a simulation's settings go together")
    }

    pub(super) fn put(&mut self, place: usize, process: Box<dyn Process>) {
        let machine = &mut self.machines[place];
        machine.starts += 1;
        machine.last_id = Some(process.id());
        machine.due = process.deadline();
        machine.process = Some(process);
        machine.stand_by();
        self.plan(self.now, place, Happening::Wake);
    }

    /// A machine's monotonic clock.
    pub(super) fn local(&self, place: usize) -> Instant {
        self.now - self.machines[place].behind
    }

    pub(super) fn wall(&self, place: usize) -> Wall {
        let elapsed = self.now.since_start().as_millis();
        let right = WALL_AT_START.unix_millis() + u64::try_from(elapsed).unwrap_or(0);
        Wall::from_unix_millis(right.saturating_add_signed(self.machines[place].wall_off))
    }

    pub(super) fn plan(&mut self, at: Instant, machine: usize, what: Happening) {
        self.schedule(at, machine, what, false);
    }

    fn schedule(&mut self, at: Instant, machine: usize, what: Happening, queued: bool) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.schedule.push(Reverse(Scheduled {
            at,
            sequence,
            machine,
            what: Box::new(what),
            queued,
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
        let machine = &mut self.machines[next.machine];
        let is_tick = matches!(*next.what, Happening::Wake);
        if is_tick && machine.wakes == Some(next.at) {
            machine.wakes = None;
        }
        match &mut machine.held_back {
            // A process that is stopped finds everything when it goes on; a machine that is, has missed it.
            Some(_) if machine.suspended.is_some() && !is_tick => {}
            Some(held_back) => {
                // It has to queue anew, if it is starved.
                machine.tick_is_queued &= !(is_tick && next.queued);
                held_back.push(*next.what);
            }
            None => self.take_turn(next.machine, *next.what, next.queued),
        }
        true
    }

    /// A starved process takes one input after the other, each when it is done with the one before.
    fn take_turn(&mut self, place: usize, what: Happening, queued: bool) {
        let machine = &self.machines[place];
        let is_tick = matches!(what, Happening::Wake);
        let is_free = machine.starved.is_none() && machine.busy_until <= self.now;
        if queued || is_free || machine.process.is_none() {
            self.machines[place].tick_is_queued &= !(is_tick && queued);
            self.happen(place, what);
            return;
        }
        let start = machine.busy_until.max(self.now);
        let too_late = what.has_a_sender() && start.since(self.now) > GIVEN_UP;
        let needless = is_tick && (machine.tick_is_queued || !self.is_due(place));
        if too_late || needless {
            return;
        }
        let takes = machine.starved.unwrap_or_default();
        let takes = takes.mul_f64(self.rng.fraction());
        let machine = &mut self.machines[place];
        machine.busy_until = start + takes;
        machine.tick_is_queued |= is_tick;
        self.schedule(start, place, what, true);
    }

    fn is_due(&self, place: usize) -> bool {
        let process = self.machines[place].process.as_ref();
        process.is_some_and(|process| process.deadline() <= self.local(place))
    }

    fn happen(&mut self, place: usize, what: Happening) {
        match what {
            Happening::Wake => {
                if self.is_due(place) {
                    let wall = self.wall(place);
                    self.feed(place, Input::Tick { wall });
                }
            }
            Happening::Command(command) => self.feed(place, Input::Command(command)),
            Happening::Request {
                caller,
                from,
                request,
                back,
            } => self.arrive(place, caller, from, request, back),
            Happening::Garbled { from, back } => self.refuse_garbled(place, from, back),
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

    /// Lets `input` happen to what runs on a machine, and carries out what it wants done.
    pub(super) fn feed(&mut self, place: usize, input: Input) {
        let local = self.local(place);
        let machine = &mut self.machines[place];
        let Some(process) = &mut machine.process else {
            return;
        };
        if let Input::Answer { exchange, .. } = &input {
            machine.open.remove(exchange);
        }
        let refused = matches!(
            input,
            Input::Answer {
                answer: Err(Failure::Refused),
                ..
            }
        );
        let had_its_tick = matches!(input, Input::Tick { .. });
        let late = if had_its_tick {
            local.since(machine.due)
        } else {
            Duration::ZERO
        };
        let outputs = process.handle(local, input);
        let deadline = process.deadline();
        // Other inputs may put off the deadline, but not for a process that is late.
        machine.due = if had_its_tick || machine.due > local {
            deadline
        } else {
            machine.due.min(deadline)
        };
        machine.last_id = Some(process.id());
        self.note(place as u64);
        self.happened += 1;
        self.look_at(place, late, refused, &outputs);
        for output in outputs {
            self.carry_out(place, output);
        }
        self.look_at_queues(place);
        let machine = &mut self.machines[place];
        let wake = deadline.max(local) + machine.behind;
        if machine.wakes.replace(wake) != Some(wake) {
            self.plan(wake, place, Happening::Wake);
        }
    }

    /// Has the watch look at what just happened on a machine, where one looks and a node of ours runs there.
    fn look_at(&mut self, place: usize, late: Duration, refused: bool, outputs: &[Output]) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let machine = &self.machines[place];
        let local = self.now - machine.behind;
        let Some(process) = &machine.process else {
            return;
        };
        if process.lies() {
            outputs.iter().for_each(|output| watch.hear_lies_in(output));
        }
        if let Some(node) = process.as_node() {
            let moment = Moment {
                now: self.now,
                local,
                overdue: local.since(machine.due),
                late,
                refused,
            };
            watch.look(&moment, node, outputs);
        }
    }

    fn look_at_queues(&mut self, place: usize) {
        let machine = &self.machines[place];
        let process = machine.process.as_ref();
        let node = process.and_then(|process| process.as_node());
        if let (Some(watch), Some(node)) = (&mut self.watch, node) {
            watch.look_at_queues(self.now, node, machine.calls.len(), machine.open.len());
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
