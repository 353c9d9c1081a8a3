//! Our own nodes in `maia::sim`, each weighed as it speaks.
//!
//! Messages of the cheap exchange are written and read by the real code while they are counted, so that this is in the
//! processor time too. What nodes report is counted and dropped at once: kept, it would be most of the memory.

use crate::heads::Heads;
use crate::measure::{Mesh, Verdict, What};
use maia::beats::{Beats, Held};
use maia::config::Config;
use maia::event::Event;
use maia::id::{Label, Name, NodeId};
use maia::message::{Reply, Request, Status};
use maia::node::{Command, Identity, Input, Node, Output};
use maia::record::Load;
use maia::rng::Rng;
use maia::sim::{Process, Sim, WALL_AT_START};
use maia::time::{Instant, Wall};
use maia::wire;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub(crate) struct Ours {
    sim: Sim,
    config: Config,
    running: Vec<usize>,
    ids: Vec<NodeId>,
    tally: Rc<RefCell<Tally>>,
    rng: Rng,
}

/// What all nodes did together.
#[derive(Debug)]
struct Tally {
    heads: Heads,
    is_weighing: bool,
    bytes: u64,
    places: BTreeMap<NodeId, usize>,
    verdicts: Vec<Verdict>,
}

/// A node whose every word is weighed.
#[derive(Debug)]
struct Weighed {
    node: Node,
    tally: Rc<RefCell<Tally>>,
}

impl Ours {
    pub(crate) fn new(nodes: usize, heads: Heads, seed: u64) -> Self {
        let mut config = Config::default();
        config.limits.nodes = config.limits.nodes.max(nodes);
        let mut rng = Rng::from_seed(seed ^ 0x1d5);
        let ids: Vec<NodeId> = (0..nodes).map(|_| uuid(&mut rng)).collect();
        let places = ids.iter().cloned().zip(0..).collect();
        let tally = Tally {
            heads,
            is_weighing: false,
            bytes: 0,
            places,
            verdicts: Vec::new(),
        };
        Self {
            sim: Sim::empty(seed, config.clone()),
            config,
            running: Vec::new(),
            ids,
            tally: Rc::new(RefCell::new(tally)),
            rng,
        }
    }

    fn node(&self, place: usize) -> &Node {
        let node = self.sim.node(&name(place));
        node.expect("it was started and not killed")
    }

    fn made(&mut self, place: usize) -> Node {
        let machine = name(place);
        self.sim.reserve(&machine);
        let me = Identity {
            services: vec![Label::new("agents").expect("plain")],
            agents: vec![Label::new("echo").expect("plain")],
            ..Identity::new(
                self.ids[place].clone(),
                Name::new(&machine).expect("plain"),
                self.sim.url(&machine),
            )
        };
        let mut config = self.config.clone();
        if place > 0 {
            config.seeds = vec![self.sim.url(&name(0))];
        }
        let now = self.sim.now();
        let elapsed = u64::try_from(now.since_start().as_millis()).unwrap_or(0);
        let wall = Wall::from_unix_millis(WALL_AT_START.unix_millis() + elapsed);
        Node::new(config, me, now, wall, self.rng.split()).expect("default settings go together")
    }
}

fn name(place: usize) -> String {
    format!("n{place:05}")
}

/// An id as long as the daemon's.
fn uuid(rng: &mut Rng) -> NodeId {
    let (high, low) = (rng.draw(), rng.draw());
    let text = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    );
    NodeId::new(&text).expect("digits and dashes make an id")
}

impl Mesh for Ours {
    fn now(&self) -> Duration {
        self.sim.now().since_start()
    }

    fn run_for(&mut self, time: Duration) {
        self.sim.run_for(time);
    }

    fn start(&mut self, node: usize) {
        let made = Weighed {
            node: self.made(node),
            tally: Rc::clone(&self.tally),
        };
        self.sim.place(&name(node), made);
        self.running.push(node);
    }

    fn crash(&mut self, node: usize) -> Duration {
        let own = self.node(node).view().members[0].record.version.heartbeat;
        let millis = own.unix_millis() - WALL_AT_START.unix_millis();
        self.sim.crash(&name(node));
        self.running.retain(|running| *running != node);
        Duration::from_millis(millis)
    }

    fn is_whole(&self) -> bool {
        let others = self.running.len() - 1;
        let nodes = || self.running.iter().map(|place| self.node(*place));
        let sees_all = |node: &Node| {
            let mut ids = self.running.iter().map(|place| &self.ids[*place]);
            ids.all(|id| node.status(id) == Some(Status::Alive))
        };
        // The count is at hand, so that the long look is taken only where it can succeed.
        nodes().all(|node| node.present() == others) && nodes().all(sees_all)
    }

    fn weigh(&mut self, is_wanted: bool) {
        self.tally.borrow_mut().is_weighing = is_wanted;
    }

    fn bytes(&self) -> u64 {
        self.tally.borrow().bytes
    }

    fn move_load(&mut self, node: usize, rng: &mut Rng) -> bool {
        let mut percent = || rng.below(101) as f64;
        let (cpu, memory) = (percent(), percent());
        let requests = u32::try_from(rng.below(100)).expect("below a hundred");
        let load = Load::new(cpu, memory, requests).expect("percentages");
        self.sim.command(&name(node), Command::Load(load));
        true
    }

    fn lose(&mut self, part: f64) {
        self.sim.network().loss = part;
    }

    fn cut(&mut self, before: Option<usize>) {
        let Some(before) = before else {
            self.sim.heal();
            return;
        };
        let side: Vec<String> = (0..before).map(name).collect();
        let side: Vec<&str> = side.iter().map(String::as_str).collect();
        self.sim.split(&side);
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.tally.borrow_mut().verdicts)
    }
}

impl Process for Weighed {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let outputs = self.node.handle(now, input);
        let mut tally = self.tally.borrow_mut();
        outputs
            .into_iter()
            .filter_map(|output| tally.pass(now, output))
            .collect()
    }

    fn deadline(&self) -> Instant {
        self.node.deadline()
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

impl Tally {
    /// What of an output the simulator has to do.
    fn pass(&mut self, now: Instant, output: Output) -> Option<Output> {
        match output {
            Output::Report(event) => {
                self.note(now, &event);
                None
            }
            Output::Send {
                exchange,
                from,
                to,
                request,
            } if self.is_weighing => {
                let call = wire::encode_request(&request);
                self.bytes += self.heads.of_request(&to, &call) as u64;
                let request = request_read(request, &call.body);
                Some(Output::Send {
                    exchange,
                    from,
                    to,
                    request,
                })
            }
            Output::Reply { call, reply } if self.is_weighing => {
                let response = wire::encode_reply(&reply);
                self.bytes += self.heads.of_reply(&response) as u64;
                let reply = reply_read(reply, &response.body);
                Some(Output::Reply { call, reply })
            }
            other => Some(other),
        }
    }

    fn note(&mut self, now: Instant, event: &Event) {
        let (id, what) = match event {
            Event::Suspected { id, .. } => (id, What::Suspect),
            Event::Died { id, .. } => (id, What::Dead),
            _ => return,
        };
        if let Some(of) = self.places.get(id) {
            self.verdicts.push(Verdict {
                at: now.since_start(),
                of: *of,
                what,
            });
        }
    }
}

/// The most members that one exchange may count.
const MOST: usize = 65_536;

fn request_read(request: Request, body: &[u8]) -> Request {
    match request {
        Request::Exchange(_) => {
            Request::Exchange(Beats::decode(body, MOST).expect("it was just written"))
        }
        other => other,
    }
}

fn reply_read(reply: Reply, body: &[u8]) -> Reply {
    match reply {
        Reply::Held(_) => Reply::Held(Held::decode(body, MOST).expect("it was just written")),
        other => other,
    }
}
