//! The imagined mesh: queues, and what happens to them in order of time.

use super::policy::{Gateway, Policy};
use maia::id::NodeId;
use maia::rng::Rng;
use maia::selector::counter::Running;
use maia::sim::Sim;
use maia::view::View;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The agent that all imagined members of the library's own simulator have.
pub(crate) const AGENT: &str = "echo";

/// How often gateways compare how nodes do, in service times.
const REVIEW: f64 = 1.0;

/// What the mesh is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) nodes: usize,
    pub(crate) gateways: usize,
    /// Of what the nodes can do.
    pub(crate) busy: f64,
    /// Requests that are counted; as many as a fifth of them go before.
    pub(crate) requests: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            nodes: 100,
            gateways: 10,
            busy: 0.8,
            requests: 100_000,
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request comes to some gateway.
    Arrival,
    /// A node answers what it has run.
    Done { node: usize },
    /// A gateway hears what a node reports.
    Report { gateway: usize, node: usize },
    /// All gateways compare.
    Review,
}

/// A moment, in billionths of a service time, so that moments sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    fn after(self, time: f64) -> Self {
        Self(self.0 + (time * 1e9) as u64)
    }

    fn time(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// A request with a node.
struct Waiting {
    came: Moment,
    length: f64,
    gateway: usize,
    counted: bool,
    running: Option<Running>,
}

struct Mesh<'a> {
    load: &'a Load,
    events: BinaryHeap<Reverse<(Moment, Event)>>,
    gateways: Vec<Gateway>,
    queues: Vec<VecDeque<Waiting>>,
    lengths: Vec<u32>,
    arrivals: Rng,
    took: Vec<f64>,
    came: usize,
}

/// The time, in service times, by which 99 of 100 requests are answered.
pub(crate) fn simulate(load: &Load, policy: Policy, age: f64, seed: u64) -> f64 {
    let view = view_of(load.nodes);
    let mut seeds = Rng::from_seed(seed);
    let mut mesh = Mesh {
        load,
        events: BinaryHeap::new(),
        gateways: (0..load.gateways)
            .map(|_| Gateway::new(policy, &view, seeds.draw()))
            .collect(),
        queues: (0..load.nodes).map(|_| VecDeque::new()).collect(),
        lengths: vec![0; load.nodes],
        arrivals: seeds.split(),
        took: Vec::with_capacity(load.requests),
        came: 0,
    };
    for gateway in 0..load.gateways {
        for node in 0..load.nodes {
            let first = Moment::default().after(seeds.fraction() * age);
            let report = Event::Report { gateway, node };
            mesh.events.push(Reverse((first, report)));
        }
    }
    mesh.events
        .push(Reverse((Moment::default(), Event::Arrival)));
    mesh.events
        .push(Reverse((Moment::default(), Event::Review)));
    mesh.run(age);
    percentile(mesh.took, 0.99)
}

impl Mesh<'_> {
    fn run(&mut self, age: f64) {
        while self.took.len() < self.load.requests {
            let Some(Reverse((now, event))) = self.events.pop() else {
                return;
            };
            match event {
                Event::Arrival => self.arrive(now),
                Event::Done { node } => self.done(now, node),
                Event::Report { gateway, node } => {
                    self.gateways[gateway].report(node, self.lengths[node]);
                    self.events.push(Reverse((now.after(age), event)));
                }
                Event::Review => {
                    for gateway in &self.gateways {
                        gateway.review(now.time());
                    }
                    self.events.push(Reverse((now.after(REVIEW), event)));
                }
            }
        }
    }

    fn arrive(&mut self, now: Moment) {
        let rate = self.load.nodes as f64 * self.load.busy;
        let next = now.after(exponential(&mut self.arrivals) / rate);
        self.events.push(Reverse((next, Event::Arrival)));
        let gateway = self.arrivals.below(self.load.gateways);
        let length = exponential(&mut self.arrivals);
        self.came += 1;
        let node = self.gateways[gateway].choose(&self.lengths);
        let waiting = Waiting {
            came: now,
            length,
            gateway,
            counted: self.came > self.load.requests / 5,
            running: self.gateways[gateway].begin(node),
        };
        self.queues[node].push_back(waiting);
        self.lengths[node] += 1;
        if self.lengths[node] == 1 {
            self.events
                .push(Reverse((now.after(length), Event::Done { node })));
        }
    }

    fn done(&mut self, now: Moment, node: usize) {
        let Some(done) = self.queues[node].pop_front() else {
            return;
        };
        let took = now.time() - done.came.time();
        if done.counted {
            self.took.push(took);
        }
        self.gateways[done.gateway].answered(node, took, self.lengths[node], done.running);
        self.lengths[node] -= 1;
        if let Some(next) = self.queues[node].front() {
            let end = now.after(next.length);
            self.events.push(Reverse((end, Event::Done { node })));
        }
    }
}

/// A mesh as a gateway sees it that runs nothing itself: so many members, made after one of the library's simulator.
fn view_of(nodes: usize) -> View {
    let mut mesh = Sim::new(1, &["ana", "bob"]);
    mesh.run_for(Duration::from_secs(10));
    let seen = mesh.node("ana").expect("it runs").view();
    let bob = seen.members.last().expect("there are two").clone();
    let member = |number: usize| {
        let mut member = bob.clone();
        let id: NodeId = format!("node-{number:03}").parse().expect("a plain id");
        Arc::make_mut(&mut member.record).id = id;
        member
    };
    let mut view = View::clone(&seen);
    view.members = (0..nodes).map(member).collect();
    view.indexed()
}

fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.fraction()).ln()
}

fn percentile(mut times: Vec<f64>, part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() as f64 * part) as usize;
    times[place.min(times.len() - 1)]
}
