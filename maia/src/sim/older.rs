//! A model of a node of release 0.40, as far as others can tell.
//!
//! It judges by its wall clock, believes every status, relays the dead for ever and knows nothing of `ext`; it joins once
//! and elects when it boots. It is here to show that ours live with it.

use super::process::Process;
use super::world::WALL_AT_START;
use crate::address::Url;
use crate::error::Invalid;
use crate::id::{Name, NodeId};
use crate::message::{Answer, Entry, Refusal, Reply, Request, State, Status, Subject};
use crate::node::{CallId, ExchangeId, Input, Output};
use crate::record::{Card, Heartbeat, Incarnation, Load, Record, Version};
use crate::rng::Rng;
use crate::time::{Instant, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const ROUND: Duration = Duration::from_secs(2);
const HEARTBEATS: Duration = Duration::from_secs(5);
const SUSPECT_MILLIS: u64 = 15_000;
const DEAD_MILLIS: u64 = 30_000;

/// A node of release 0.40.
#[derive(Debug)]
pub struct OlderNode {
    id: NodeId,
    /// Everyone it ever heard of, with the status it holds them for; nobody is ever forgotten.
    rows: BTreeMap<NodeId, Entry>,
    seed: Option<Url>,
    leader: Option<NodeId>,
    wall: Wall,
    rng: Rng,
    exchange: ExchangeId,
    next_round: Instant,
    next_heartbeats: Instant,
}

impl OlderNode {
    /// A node with this name, also its id, that advertises `url`, be that an address or not, and joins through `seed`.
    pub fn new(name: &str, url: &Url, seed: Option<Url>, rng_seed: u64) -> Self {
        let own = entry(name, name, url.clone(), WALL_AT_START);
        let id = own.record.id.clone();
        Self {
            rows: BTreeMap::from([(id.clone(), own)]),
            id,
            seed,
            leader: None,
            wall: WALL_AT_START,
            rng: Rng::from_seed(rng_seed),
            exchange: ExchangeId::default(),
            next_round: Instant::START,
            next_heartbeats: Instant::START,
        }
    }

    /// Whom it takes for the leader.
    pub fn leader(&self) -> Option<&NodeId> {
        self.leader.as_ref()
    }

    fn own(&self) -> Entry {
        self.rows[&self.id].clone()
    }

    fn tick(&mut self, now: Instant, wall: Wall) -> Vec<Output> {
        self.wall = wall;
        let mut outputs = Vec::new();
        if let Some(seed) = self.seed.take() {
            self.refresh();
            let request = Request::Join(self.own());
            outputs.push(self.send(seed, request));
        }
        if now >= self.next_round {
            self.next_round = now + ROUND;
            self.refresh();
            self.age();
            let table: Vec<Entry> = self.rows.values().cloned().collect();
            outputs.extend(self.spread(|| Request::Gossip(table.clone().into())));
        }
        if now >= self.next_heartbeats {
            self.next_heartbeats = now + HEARTBEATS;
            let entry = self.own();
            let request = || Request::Heartbeat {
                entry: entry.clone(),
                ask: None,
            };
            outputs.extend(self.spread(request));
        }
        outputs
    }

    fn send(&mut self, to: Url, request: Request) -> Output {
        let exchange = self.exchange;
        self.exchange = exchange.next();
        Output::Send {
            exchange,
            from: self.id.clone(),
            to,
            request,
        }
    }

    fn spread(&mut self, request: impl Fn() -> Request) -> Vec<Output> {
        let own = self.own().record.card.url.clone();
        let others = self
            .rows
            .values()
            .filter(|row| row.record.id != self.id && row.status != Status::Dead);
        let urls = others.map(|row| row.record.card.url.clone());
        // To an address that is nowhere it would talk to itself.
        let urls = urls
            .filter(|url| *url != own && !url.is_unspecified())
            .collect();
        let chosen = self.rng.sample(urls, 3);
        chosen
            .into_iter()
            .map(|url| self.send(url, request()))
            .collect()
    }

    fn refresh(&mut self) {
        let wall = self.wall;
        let leads = self.leader.as_ref() == Some(&self.id);
        if let Some(own) = self.rows.get_mut(&self.id) {
            let mut record = Record::clone(&own.record);
            record.version.heartbeat =
                Heartbeat::from_unix_millis(wall.unix_millis()).unwrap_or_default();
            own.record = Arc::new(record);
            own.status = Status::Alive;
            own.leader = leads;
        }
    }

    /// Judges everyone by what its own clock says of the heartbeat they wrote with theirs.
    fn age(&mut self) {
        for (id, row) in &mut self.rows {
            let heartbeat = row.record.version.heartbeat.unix_millis();
            let age = self.wall.unix_millis().saturating_sub(heartbeat);
            if *id != self.id && age > SUSPECT_MILLIS {
                row.status = if age > DEAD_MILLIS {
                    Status::Dead
                } else {
                    Status::Suspect
                };
            }
        }
    }

    fn merge(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let held = self.rows.get(&entry.record.id);
            let newer = held
                .is_none_or(|held| entry.record.version.heartbeat > held.record.version.heartbeat);
            if newer {
                self.take(entry);
            }
        }
    }

    /// Takes a row whole, status and all, but for what it does not know.
    fn take(&mut self, mut entry: Entry) {
        let mut record = Record::clone(&entry.record);
        record.ext = None;
        entry.record = Arc::new(record);
        if entry.status == Status::Left {
            entry.status = Status::Dead;
        }
        self.rows.insert(entry.record.id.clone(), entry);
    }

    fn elect(&mut self) {
        let alive = self.rows.values().filter(|row| row.status == Status::Alive);
        self.leader = alive.map(|row| row.record.id.clone()).max();
    }

    fn state(&self) -> Reply {
        Reply::State(State {
            table: self.rows.values().cloned().collect::<Vec<_>>().into(),
            leader: self.leader.clone(),
            version: 1,
        })
    }

    fn receive(&mut self, call: CallId, request: Request) -> Output {
        let reply = match request {
            Request::State => self.state(),
            Request::Join(entry) => {
                self.take(entry);
                self.elect();
                self.state()
            }
            Request::Gossip(table) => {
                self.merge(table.entries);
                Reply::Gossip(self.rows.values().cloned().collect::<Vec<_>>().into())
            }
            Request::Heartbeat { entry, .. } => {
                self.take(entry);
                Reply::Heartbeat {
                    node: None,
                    asked: None,
                }
            }
            Request::Leave(Subject::Id(id)) => {
                self.rows.remove(&id);
                if self.leader.as_ref() == Some(&id) {
                    self.elect();
                }
                Reply::Leave
            }
            Request::Leave(Subject::Myself) | Request::Rejoin => Reply::Leave,
            Request::Exchange(_) | Request::Reconcile { .. } => {
                let unknown = Invalid::new("path", "not found");
                Reply::Refused(Refusal::Invalid(unknown))
            }
            Request::Election => {
                self.elect();
                Reply::Election(self.leader.clone())
            }
        };
        Output::Reply { call, reply }
    }
}

impl Process for OlderNode {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        match input {
            Input::Tick { wall } => self.tick(now, wall),
            Input::Receive { call, request, .. } => vec![self.receive(call, request)],
            Input::Answer {
                answer: Ok(Answer { reply, .. }),
                ..
            } => {
                match reply {
                    Reply::State(state) => {
                        self.merge(state.table.entries);
                        self.elect();
                    }
                    Reply::Gossip(table) => self.merge(table.entries),
                    _ => {}
                }
                Vec::new()
            }
            Input::Answer { .. } | Input::Command(_) => Vec::new(),
        }
    }

    fn deadline(&self) -> Instant {
        self.next_round.min(self.next_heartbeats)
    }

    fn speaks_as(&self) -> Option<NodeId> {
        None
    }

    fn id(&self) -> NodeId {
        self.id.clone()
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.rows.get(id).map(|row| row.status)
    }
}

/// A plain record as an older node writes it.
pub(super) fn entry(id: &str, name: &str, url: Url, wall: Wall) -> Entry {
    let record = Record {
        id: NodeId::new(id).expect("a test's id is one"),
        version: Version {
            incarnation: Incarnation::default().next(wall).unwrap_or_default(),
            heartbeat: Heartbeat::from_unix_millis(wall.unix_millis()).unwrap_or_default(),
        },
        card: Arc::new(Card {
            name: Name::new(name).expect("a test's name is one"),
            url,
            services: Vec::new(),
            agents: Vec::new(),
        }),
        load: Load::default(),
        ext: None,
    };
    Entry {
        record: Arc::new(record),
        status: Status::Alive,
        leader: false,
    }
}
