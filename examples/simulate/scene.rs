//! What happens to the mesh, one scene after the other, and what is measured in each.

use super::options::Plan;
use super::progress::Progress;
use maia::event::Event;
use maia::id::NodeId;
use maia::message::Status;
use maia::rng::Rng;
use maia::sim::{Reported, Sim, WALL_AT_START};
use maia::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All nodes start within this time.
pub(crate) const STARTS_WITHIN: Duration = Duration::from_secs(1);

/// Rounds after which a mesh that has joined has told itself all there is to tell.
const ROUNDS_TO_SETTLE: u32 = 60;

/// The mesh, and who is left in it.
pub(crate) struct Scene<'a> {
    plan: &'a Plan,
    mesh: Sim,
    rng: Rng,
    running: Vec<String>,
    killed: BTreeMap<NodeId, Victim>,
    /// When the mesh was first in peace, and how many events there had been.
    peace: (Instant, usize),
    progress: Progress,
}

/// Somebody who was killed.
#[derive(Clone, Copy, Debug)]
struct Victim {
    last_beat: Instant,
    killed: Instant,
}

/// How the mesh came together.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) nodes: usize,
    /// How many of them see all others.
    pub(crate) see_all: usize,
    /// How long after the last start that was so of all.
    pub(crate) took: Option<Duration>,
}

/// What a mesh sends in which nothing happens.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) time: Duration,
    pub(crate) bytes_a_second: f64,
    pub(crate) messages_a_second: f64,
}

/// How long after the last heartbeats of those who were killed the others took them for suspect, and for dead.
#[derive(Debug)]
pub(crate) struct Detection {
    pub(crate) victims: usize,
    pub(crate) observers: usize,
    /// In order.
    pub(crate) suspect: Vec<Duration>,
    /// In order.
    pub(crate) dead: Vec<Duration>,
}

/// How often somebody who ran was taken for less than alive.
#[derive(Debug)]
pub(crate) struct Mistakes {
    pub(crate) suspicions: usize,
    pub(crate) deaths: usize,
    pub(crate) node_hours: f64,
}

/// How the mesh grew together after it had been cut.
#[derive(Debug)]
pub(crate) struct Healing {
    pub(crate) halves: (usize, usize),
    /// How often one did not hold another for alive when the cut was mended.
    pub(crate) severed: usize,
    /// How many of those never came right.
    pub(crate) left: usize,
    /// How long it took until half of them had.
    pub(crate) half: Option<Duration>,
    /// How long it took until all had.
    pub(crate) all: Option<Duration>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(plan: &'a Plan, progress: Progress) -> Self {
        let mut mesh = Sim::empty(plan.seed, plan.config.clone());
        let network = mesh.network();
        network.loss = plan.loss_percent / 100.0;
        (network.delay_at_least, network.delay_at_most) = (plan.delay.least, plan.delay.most);
        Self {
            plan,
            mesh,
            rng: Rng::from_seed(!plan.seed),
            running: (0..plan.nodes).map(|n| format!("n{n:04}")).collect(),
            killed: BTreeMap::new(),
            peace: (Instant::START, 0),
            progress,
        }
    }

    /// All start within a second, and join through the first.
    pub(crate) fn join(&mut self) -> Joined {
        let seed = self.running[0].clone();
        self.mesh.start(&seed, &[]);
        let moments = self.moments(self.plan.nodes - 1, STARTS_WITHIN);
        for (place, moment) in (1..).zip(moments) {
            self.pass_until(moment);
            self.mesh.start(&self.running[place], &[&seed]);
        }
        let started = self.mesh.now();
        loop {
            let see_all = self.how_many_see_all();
            let time = self.mesh.now().since(started);
            let is_whole = see_all == self.plan.nodes;
            if is_whole || time > self.plan.patience() {
                self.progress.clear();
                return Joined {
                    nodes: self.plan.nodes,
                    see_all,
                    took: is_whole.then_some(time),
                };
            }
            self.show("joining", see_all, self.plan.nodes);
            self.mesh.run_for(self.blink());
        }
    }

    /// Nothing happens; what is sent meanwhile is counted.
    pub(crate) fn idle(&mut self) -> Idle {
        let settling = ROUNDS_TO_SETTLE * self.plan.config.gossip_interval;
        self.pass("settling", settling);
        self.peace = (self.mesh.now(), self.mesh.events().len());
        let messages = self.mesh.messages();
        self.mesh.weigh();
        let time = self.plan.peace;
        self.pass("in peace", time);
        let node_seconds = self.plan.nodes as f64 * time.as_secs_f64();
        Idle {
            time,
            bytes_a_second: self.mesh.bytes() as f64 / node_seconds,
            messages_a_second: (self.mesh.messages() - messages) as f64 / node_seconds,
        }
    }

    /// Some are killed without a word (never the first, through which all join), and the others left to find out.
    pub(crate) fn kill(&mut self) -> Detection {
        let victims = self.rng.sample(self.running[1..].to_vec(), self.plan.kill);
        let moments = self.moments(victims.len(), self.plan.config.gossip_interval);
        self.running.retain(|name| !victims.contains(name));
        let mut seen = self.mesh.events().len();
        for (name, moment) in victims.iter().zip(moments) {
            self.pass_until(moment);
            self.kill_one(name);
        }
        let mut verdicts = Verdicts::default();
        let wanted = victims.len() * self.running.len();
        let config = &self.plan.config;
        let end = self.mesh.now() + 3 * config.dead_timeout + 30 * config.gossip_interval;
        while verdicts.dead.len() < wanted && self.mesh.now() < end {
            self.mesh.run_for(self.blink());
            let events = &self.mesh.events()[seen..];
            seen += events.len();
            verdicts.hear(events, &self.running, &self.killed);
            self.show("finding out", verdicts.dead.len(), wanted);
        }
        self.progress.clear();
        Detection {
            victims: victims.len(),
            observers: self.running.len(),
            suspect: in_order(verdicts.suspect),
            dead: in_order(verdicts.dead),
        }
    }

    fn kill_one(&mut self, name: &str) {
        let view = self.mesh.node(name).map(|node| node.view());
        let Some(me) = view.as_ref().and_then(|view| view.me()) else {
            return;
        };
        let beat = me.record.version.heartbeat.unix_millis();
        let since_start = beat.saturating_sub(WALL_AT_START.unix_millis());
        let victim = Victim {
            last_beat: Instant::after_start(Duration::from_millis(since_start)),
            killed: self.mesh.now(),
        };
        self.killed.insert(me.id().clone(), victim);
        self.mesh.crash(name);
    }

    /// Whom anybody took for suspect or dead that ran, since the mesh was first in peace.
    pub(crate) fn mistakes(&self) -> Mistakes {
        let (since, events) = self.peace;
        let ran = |at: Instant, id: &NodeId| self.killed.get(id).is_none_or(|v| at < v.killed);
        let (mut suspicions, mut deaths) = (0, 0);
        for reported in &self.mesh.events()[events..] {
            match &reported.event {
                Event::Suspected { id, .. } if ran(reported.at, id) => suspicions += 1,
                Event::Died { id, .. } if ran(reported.at, id) => deaths += 1,
                _ => (),
            }
        }
        let now = self.mesh.now();
        let ran_since = |end: Instant| end.since(since).as_secs_f64() / 3_600.0;
        let killed: f64 = self.killed.values().map(|v| ran_since(v.killed)).sum();
        Mistakes {
            suspicions,
            deaths,
            node_hours: killed + ran_since(now) * self.running.len() as f64,
        }
    }

    /// Two halves do not hear of each other for `time`; then they do again.
    pub(crate) fn part_and_heal(&mut self, time: Duration) -> Healing {
        let side = self
            .rng
            .sample(self.running.clone(), self.running.len() / 2);
        let names: Vec<&str> = side.iter().map(String::as_str).collect();
        self.mesh.split(&names);
        self.pass("cut in halves", time);
        self.mesh.heal();
        let halves = (self.running.len() - side.len(), side.len());
        self.heal(halves)
    }

    /// Waits until everybody held each for alive whom it did not at first.
    fn heal(&mut self, halves: (usize, usize)) -> Healing {
        let mended = self.mesh.now();
        let mut severed = self.severed();
        let at_first = count(&severed);
        let (mut left, mut half) = (at_first, None);
        while left > 0 && self.mesh.now().since(mended) <= self.plan.patience() {
            self.mesh.run_for(self.blink());
            severed.retain_mut(|(name, ids)| {
                ids.retain(|id| !self.holds_for_alive(name, id));
                !ids.is_empty()
            });
            left = count(&severed);
            if 2 * left <= at_first {
                half.get_or_insert(self.mesh.now().since(mended));
            }
            self.show("healing", at_first - left, at_first);
        }
        self.progress.clear();
        Healing {
            halves,
            severed: at_first,
            left,
            half,
            all: (left == 0).then(|| self.mesh.now().since(mended)),
        }
    }

    /// Whom each does not hold for alive, of those who run.
    fn severed(&self) -> Vec<(String, Vec<NodeId>)> {
        let ids = self.running.iter().filter_map(|name| self.mesh.id(name));
        let ids: Vec<&NodeId> = ids.collect();
        let of = |name: &String| {
            let severed = ids.iter().filter(|id| !self.holds_for_alive(name, id));
            (name.clone(), severed.copied().cloned().collect())
        };
        self.running.iter().map(of).collect()
    }

    fn holds_for_alive(&self, name: &str, id: &NodeId) -> bool {
        let node = self.mesh.node(name);
        node.is_some_and(|node| node.status(id) == Some(Status::Alive))
    }

    fn how_many_see_all(&self) -> usize {
        let nodes = self.running.iter().filter_map(|name| self.mesh.node(name));
        nodes
            .filter(|node| node.present() + 1 == self.plan.nodes)
            .count()
    }

    /// Moments at random within the `time` to come, in order.
    fn moments(&mut self, count: usize, time: Duration) -> Vec<Instant> {
        let now = self.mesh.now();
        let draw = |_| now + time.mul_f64(self.rng.fraction());
        let mut moments: Vec<Instant> = (0..count).map(draw).collect();
        moments.sort_unstable();
        moments
    }

    fn pass_until(&mut self, moment: Instant) {
        self.mesh.run_for(moment.since(self.mesh.now()));
    }

    /// Lets `time` pass, and shows how much of it has.
    fn pass(&mut self, what: &str, time: Duration) {
        let (start, blink) = (self.mesh.now(), self.blink());
        loop {
            let passed = self.mesh.now().since(start);
            if passed >= time {
                return self.progress.clear();
            }
            self.progress.show(what, passed.div_duration_f64(time));
            self.mesh.run_for(blink.min(time - passed));
        }
    }

    fn show(&mut self, what: &str, done: usize, of: usize) {
        self.progress.show(what, done as f64 / of as f64);
    }

    /// How long nobody looks.
    fn blink(&self) -> Duration {
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(100));
        (self.plan.config.gossip_interval / 20).clamp(least, most)
    }
}

/// What each observer made of each who was killed, and how long after its last heartbeat: the first time counts.
#[derive(Default)]
struct Verdicts {
    suspect: BTreeMap<(String, NodeId), Duration>,
    dead: BTreeMap<(String, NodeId), Duration>,
}

impl Verdicts {
    fn hear(
        &mut self,
        events: &[Reported],
        observers: &[String],
        killed: &BTreeMap<NodeId, Victim>,
    ) {
        let observers: BTreeSet<&String> = observers.iter().collect();
        for Reported { at, by, event } in events {
            let (verdicts, id) = match event {
                Event::Suspected { id, .. } => (&mut self.suspect, id),
                Event::Died { id, .. } => (&mut self.dead, id),
                _ => continue,
            };
            let victim = killed.get(id).filter(|victim| *at >= victim.killed);
            if let (Some(victim), true) = (victim, observers.contains(by)) {
                let silent = at.since(victim.last_beat);
                verdicts.entry((by.clone(), id.clone())).or_insert(silent);
            }
        }
    }
}

fn in_order(verdicts: BTreeMap<(String, NodeId), Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = verdicts.into_values().collect();
    times.sort_unstable();
    times
}

fn count(severed: &[(String, Vec<NodeId>)]) -> usize {
    severed.iter().map(|(_, ids)| ids.len()).sum()
}
