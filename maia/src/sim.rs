//! A whole mesh in one thread, on virtual time.
//!
//! Real nodes, an imagined network: messages take time, get lost, come twice, damaged, in another order or long after,
//! links are cut, nodes crash, pause, starve, lie and start again, clocks are wrong or stand still, all from one seed. The
//! same seed gives the same run. Try your own timeouts in it:
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

pub mod chaos;
mod damage;
mod faults;
mod glimpse;
mod liar;
mod lies;
mod network;
mod older;
mod process;
mod replay;
mod routing;
mod scales;
mod traffic;
mod watch;
mod whole;
mod world;

pub use liar::{Liar, Lie};
pub use network::Network;
pub use older::OlderNode;
pub use process::Process;
pub use world::{Reported, WALL_AT_START};

use crate::address::Url;
use crate::config::Config;
use crate::id::NodeId;
use crate::message::{Caller, Entry, Reply, Request, Status, Subject};
use crate::node::{Command, Node};
use crate::selector::Selector;
use crate::time::Instant;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use watch::Watch;
use world::{Happening, Machine, World};

/// The agent that every simulated node runs.
const AGENT: &str = "echo";

/// A simulated mesh.
#[derive(Debug)]
pub struct Sim {
    world: World,
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
            world: World::new(seed, config),
        }
    }

    /// The network, to make it worse or better from now on.
    pub fn network(&mut self) -> &mut Network {
        &mut self.world.network
    }

    /// The settings of nodes that are started from now on.
    pub fn config(&mut self) -> &mut Config {
        &mut self.world.config
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.world.now
    }

    /// Everything that nodes reported, in order.
    pub fn events(&self) -> &[Reported] {
        &self.world.events
    }

    /// A fingerprint of all that happened: two runs with the same one were the same.
    pub fn trace_hash(&self) -> u64 {
        self.world.trace
    }

    /// Looks over every node's shoulder from now on: after each event what must never be is noted as a violation. The
    /// settings must stay as they are.
    pub fn watch(&mut self) {
        self.world.watch = Some(Watch::new(self.world.config.clone()));
    }

    /// Has the watch, which is on, route requests by `selector` instead of by least connections.
    pub fn route_by(&mut self, selector: impl Selector) {
        if let Some(watch) = &mut self.world.watch {
            watch.route_by(selector);
        }
    }

    /// All are one mesh again: the network keeps no old messages, and who is gone is nobody's candidate.
    pub fn forget_the_past(&mut self) {
        self.world.past.clear();
        if let Some(watch) = &mut self.world.watch {
            watch.forget_the_past();
        }
    }

    /// What must never be, and was, since [`Sim::watch`].
    pub fn violations(&self) -> &[String] {
        self.world.watch.as_ref().map_or(&[], Watch::violations)
    }

    /// How many events happened so far.
    pub fn happened(&self) -> u64 {
        self.world.happened
    }

    /// Weighs every message from now on, which takes time.
    pub fn weigh(&mut self) {
        self.world.bytes = Some(0);
    }

    /// Bytes that all nodes together sent since [`Sim::weigh`]: bodies as the real encoders write them, with the heads of
    /// HTTP. Without the feature `wire` the JSON ones are estimated.
    pub fn bytes(&self) -> u64 {
        self.world.bytes.unwrap_or(0)
    }

    /// Messages sent so far, answers included.
    pub fn messages(&self) -> u64 {
        self.world.messages
    }

    /// Starts a node on a machine of this name, which may be new, with the machines named `seeds` as its seeds. A node
    /// that runs there is killed first. Each start has an id of its own: `eve.1`, then `eve.2`.
    pub fn start(&mut self, name: &str, seeds: &[&str]) {
        let machine = self.world.machine(name);
        self.world.set_seeds(machine, seeds);
        self.world.boot(machine, None);
    }

    /// Starts a node with an id that somebody chose.
    pub fn start_as(&mut self, name: &str, id: &str, seeds: &[&str]) {
        let machine = self.world.machine(name);
        self.world.set_seeds(machine, seeds);
        self.world
            .boot(machine, Some(NodeId::new(id).expect("a test's id is one")));
    }

    /// Starts a node that people call `called`, whatever the machine's name is.
    pub fn start_named(&mut self, name: &str, called: &str, seeds: &[&str]) {
        let machine = self.world.machine(name);
        self.world.machines[machine].called = called.to_owned();
        self.start(name, seeds);
    }

    /// Sets up a machine on which nothing runs yet, so that its address is known.
    pub fn reserve(&mut self, name: &str) {
        self.world.machine(name);
    }

    /// Sets up a second address, of the name `alias`, at which the machine `name` is reached too.
    pub fn alias(&mut self, alias: &str, name: &str) {
        let machine = self.world.machine(name);
        let other = self.world.machine(alias);
        self.world
            .by_url
            .insert(self.world.machines[other].url.clone(), machine);
    }

    /// Puts something else than a node of ours on a machine of this name.
    pub fn place(&mut self, name: &str, process: impl Process + 'static) {
        let machine = self.world.machine(name);
        self.world.put(machine, Box::new(process));
    }

    /// Lets a node say goodbye, as `astromeshctl mesh leave` does.
    pub fn leave(&mut self, name: &str) {
        self.world
            .call_locally(name, Request::Leave(Subject::Myself));
    }

    /// Lets a node that left come back.
    pub fn rejoin(&mut self, name: &str) {
        self.world.call_locally(name, Request::Rejoin);
    }

    /// Tells a node something about itself, as soon as time passes: one that is paused hears of it when it goes on, and
    /// whoever could tell it stands still with a suspended machine.
    pub fn command(&mut self, name: &str, command: Command) {
        let machine = self.world.place_of(name);
        let now = self.world.now;
        self.world.plan(now, machine, Happening::Command(command));
    }

    /// Sends a request to a node from an address outside the mesh, as anyone can; `claim` is who they say they are.
    /// Returns what [`Sim::reply`] finds the answer by.
    pub fn inject(&mut self, name: &str, claim: Option<&NodeId>, request: Request) -> u64 {
        let caller = Caller {
            id: claim.cloned(),
            address: Some(IpAddr::V4(Ipv4Addr::new(10, 255, 255, 254))),
            on_this_host: false,
        };
        if let Some(watch) = &mut self.world.watch {
            watch.hear_stranger(&request);
        }
        self.world.call(name, caller, request)
    }

    /// What came back to an injected request, if it did.
    pub fn reply(&self, ticket: u64) -> Option<&Reply> {
        self.world.outside.get(&ticket).and_then(Option::as_ref)
    }

    /// Lets `time` pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.step(end) {}
    }

    /// Lets time pass until `holds`, looking every 10 ms; says how long that took, or `None` if it takes longer than
    /// `most`.
    pub fn run_until(
        &mut self,
        most: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.world.now;
        while self.world.now.since(start) <= most {
            if holds(self) {
                return Some(self.world.now.since(start));
            }
            self.run_for(Duration::from_millis(10));
        }
        None
    }

    /// How the node on machine `of` stands to the node on machine `by`; `None` if that has no row of it.
    pub fn belief(&self, by: &str, of: &str) -> Option<Status> {
        let subject = self.world.machines[self.world.place_of(of)]
            .last_id
            .as_ref()?;
        self.belief_in(by, subject)
    }

    /// How the node with this id stands to the node on machine `by`.
    pub fn belief_in(&self, by: &str, id: &NodeId) -> Option<Status> {
        self.world.machines[self.world.place_of(by)]
            .process
            .as_ref()?
            .belief(id)
    }

    /// The node on this machine, if one of ours runs there.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.world.machines[self.world.place_of(name)]
            .process
            .as_ref()?
            .as_node()
    }

    /// The id of the node that runs on this machine, or ran there last.
    pub fn id(&self, name: &str) -> Option<&NodeId> {
        self.world.machines[self.world.place_of(name)]
            .last_id
            .as_ref()
    }

    /// The address of this machine's node.
    pub fn url(&self, name: &str) -> Url {
        match self.world.by_name.get(name) {
            Some(&machine) => self.world.machines[machine].url.clone(),
            None => panic!("there is no machine named {name}"),
        }
    }

    /// Whom the node on machine `by` takes for the leader, by machine name.
    pub fn leader(&self, by: &str) -> Option<&str> {
        let leader = self.node(by)?.leader()?;
        let is_led_by = |machine: &&Machine| machine.last_id.as_ref() == Some(leader);
        self.world
            .machines
            .iter()
            .find(is_led_by)
            .map(|machine| machine.name.as_str())
    }

    /// The names of all machines on which something runs.
    pub fn running(&self) -> Vec<String> {
        let running = self
            .world
            .machines
            .iter()
            .filter(|machine| machine.process.is_some());
        running.map(|machine| machine.name.clone()).collect()
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
}
