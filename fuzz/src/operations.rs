//! A sequence of things that happen to a small simulated mesh: the invariants hold after every event, and once all is
//! mended the mesh becomes whole.
//!
//! The first byte is the seed and says how many nodes there are; then a few bytes an operation. Faults are those of
//! `maia::sim::chaos`, but chosen by the fuzzer; and what strangers may send, which changes nothing.

use crate::bytes::Bytes;
use maia::beats::Beats;
use maia::config::Config;
use maia::id::{Label, NodeId};
use maia::message::{Entry, Request, Subject};
use maia::node::Command;
use maia::record::Load;
use maia::sim::{Network, Sim};
use std::collections::BTreeSet;
use std::time::Duration;

/// Operations in a sequence, at the most: what takes longer is for the random runs.
const MOST: usize = 24;

/// How long the mesh may take to become whole once everything works again.
const RECOVERY: Duration = Duration::from_secs(180);

const NAMES: [&str; 5] = ["n00", "n01", "n02", "n03", "n04"];

/// One input: see the head of this file.
pub fn run(data: &[u8]) {
    let mut choices = Bytes::new(data);
    let first = choices.byte();
    let mut mesh = Mesh::new(u64::from(first), 3 + usize::from(first) % 3);
    for _ in 0..MOST {
        if choices.is_empty() {
            break;
        }
        mesh.operate(&mut choices);
        mesh.wait(choices.byte());
    }
    mesh.make_peace();
}

struct Mesh {
    sim: Sim,
    names: &'static [&'static str],
    crashed: BTreeSet<&'static str>,
    paused: BTreeSet<&'static str>,
    left: BTreeSet<&'static str>,
    /// Those that will never lead again in this life; one is spared, for where nobody may lead nobody does.
    drained: BTreeSet<&'static str>,
    /// What was once said, to be said again.
    overheard: Vec<Entry>,
}

impl Mesh {
    fn new(seed: u64, nodes: usize) -> Self {
        let mut sim = Sim::empty(seed, Config::default());
        sim.watch();
        let names = &NAMES[..nodes];
        for name in names {
            let seed = if *name == names[0] {
                names[1]
            } else {
                names[0]
            };
            sim.start(name, &[seed]);
        }
        Self {
            sim,
            names,
            crashed: BTreeSet::new(),
            paused: BTreeSet::new(),
            left: BTreeSet::new(),
            drained: BTreeSet::new(),
            overheard: Vec::new(),
        }
    }

    fn operate(&mut self, choices: &mut Bytes<'_>) {
        let kind = choices.below(16);
        let name = choices.choose(self.names);
        match kind {
            0 => self.crash(name),
            1 => self.restart_one(),
            2 => self.pause(name),
            3 => self.resume_one(),
            4 => self.sim.isolate(name),
            5 => self.split(choices.byte()),
            6 => self.sim.cut_one_way(name, choices.choose(self.names)),
            7 => self.sim.heal(),
            8 => self.make_weather(choices),
            9 => self.leave(name),
            10 => self.rejoin_one(),
            11 => self.set_clock(name, choices),
            12 => self.command(name, choices),
            13 => self.overhear(name),
            14 => self.say_again(name, choices),
            _ => self.intrude(name, choices),
        }
    }

    /// From nothing to 38 s, which is beyond every timeout there is by default but the one for forgetting.
    fn wait(&mut self, units: u8) {
        let units = u64::from(units);
        self.sim
            .run_for(Duration::from_millis(units * units * 600 / 1_000));
        self.nothing_is_violated();
    }

    fn nothing_is_violated(&self) {
        let violations = self.sim.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    fn crash(&mut self, name: &'static str) {
        if self.crashed.len() + 2 < self.names.len() {
            self.sim.crash(name);
            self.paused.remove(name);
            self.left.remove(name);
            self.crashed.insert(name);
        }
    }

    fn restart_one(&mut self) {
        if let Some(name) = self.crashed.pop_first() {
            self.sim.restart(name);
        }
    }

    fn pause(&mut self, name: &'static str) {
        if !self.crashed.contains(name) {
            self.sim.pause(name);
            self.paused.insert(name);
        }
    }

    fn resume_one(&mut self) {
        if let Some(name) = self.paused.pop_first() {
            self.sim.resume(name);
        }
    }

    fn leave(&mut self, name: &'static str) {
        if !self.crashed.contains(name) && self.left.len() + 2 < self.names.len() {
            self.sim.leave(name);
            self.left.insert(name);
        }
    }

    fn rejoin_one(&mut self) {
        if let Some(name) = self.left.pop_first() {
            self.sim.rejoin(name);
        }
    }

    fn split(&mut self, side: u8) {
        let is_in = |place: &usize| side >> place & 1 == 1;
        let side: Vec<&str> = (0..self.names.len())
            .filter(is_in)
            .map(|place| self.names[place])
            .collect();
        self.sim.split(&side);
    }

    fn make_weather(&mut self, choices: &mut Bytes<'_>) {
        let network = self.sim.network();
        network.loss = choices.choose(&[0.0, 0.05, 0.3]);
        network.duplication = choices.choose(&[0.0, 0.2]);
        network.delay_at_most = Duration::from_millis(choices.choose(&[2, 50, 700]));
    }

    fn set_clock(&mut self, name: &str, choices: &mut Bytes<'_>) {
        let off = choices.choose(&[-86_400_000, -7_000, 0, 7_000, 86_400_000]);
        self.sim.set_wall_off(name, off);
    }

    fn command(&mut self, name: &'static str, choices: &mut Bytes<'_>) {
        // Where nothing runs, or all that runs is stopped, nobody takes a command.
        if self.crashed.contains(name) || self.paused.contains(name) {
            return;
        }
        let load = || Load::new(1.0, 2.0, 3).expect("in range");
        let command = match choices.below(4) {
            0 => Command::Load(load()),
            1 => Command::Agents(vec![Label::new("coder").expect("a label")]),
            2 if self.drained.len() + 1 < self.names.len() => {
                self.drained.insert(name);
                Command::Drain
            }
            2 => return,
            _ => match self.sim.id(choices.choose(self.names)) {
                Some(id) => Command::Forget(id.clone()),
                None => return,
            },
        };
        self.sim.command(name, command);
    }

    /// Writes down what a node would say of everybody.
    fn overhear(&mut self, name: &str) {
        let Some(node) = self.sim.node(name) else {
            return;
        };
        let view = node.view();
        let entries = view.members.iter().map(|seen| Entry {
            record: seen.record.clone(),
            status: seen.status,
            leader: false,
        });
        self.overheard = entries.collect();
    }

    /// Sends it again, to somebody, in somebody's name.
    fn say_again(&mut self, name: &str, choices: &mut Bytes<'_>) {
        let claim = self.sim.id(choices.choose(self.names)).cloned();
        let table = self.overheard.clone();
        self.send(name, claim.as_ref(), Request::Gossip(table.into()));
    }

    /// Sends what anybody could make up.
    fn intrude(&mut self, name: &str, choices: &mut Bytes<'_>) {
        let victim = choices.choose(self.names);
        let claim = self.sim.id(victim).cloned();
        let url = match choices.below(2) {
            0 => "http://10.9.9.9:8000".to_owned(),
            _ => self.sim.url(victim).to_string(),
        };
        let ghost = Sim::forged(choices.choose(&["ghost", "n99", "AAA"]), &url);
        let request = match (choices.below(7), claim.clone()) {
            (0, _) => Request::Join(ghost),
            (1, _) => Request::Gossip(vec![ghost].into()),
            (2, ask) => Request::Heartbeat { entry: ghost, ask },
            (3, Some(id)) => Request::Leave(Subject::Id(id)),
            (4, _) => Request::Exchange(beats(choices)),
            (5, _) => Request::Reconcile {
                table: vec![ghost].into(),
                wanted: vec![choices.byte().into()],
            },
            _ => Request::Leave(Subject::Myself),
        };
        self.send(name, claim.as_ref(), request);
    }

    fn send(&mut self, name: &str, claim: Option<&NodeId>, request: Request) {
        self.sim.inject(name, claim, request);
    }

    fn make_peace(&mut self) {
        *self.sim.network() = Network::default();
        self.sim.heal();
        while !self.paused.is_empty() {
            self.resume_one();
        }
        while !self.left.is_empty() {
            self.rejoin_one();
        }
        while !self.crashed.is_empty() {
            self.restart_one();
        }
        let whole = self.sim.run_until(RECOVERY, Sim::is_whole);
        self.nothing_is_violated();
        assert!(whole.is_some(), "not whole: {:#?}", self.beliefs());
    }

    /// Who holds whom for what.
    fn beliefs(&self) -> Vec<String> {
        let by = |by: &&'static str| {
            let row = self.names.iter().map(|of| self.sim.belief(by, of));
            let row: Vec<_> = row.collect();
            format!("{by}: {row:?}, leader {:?}", self.sim.leader(by))
        };
        self.names.iter().map(by).collect()
    }
}

fn beats(choices: &mut Bytes<'_>) -> Beats {
    let count = choices.below(6);
    Beats {
        fingerprint: choices.byte().into(),
        beats: (0..count).map(|_| choices.number().into()).collect(),
        ..Beats::default()
    }
}
