//! Two bodies heard in both orders: the same words are kept, and nobody is confirmed, moved or put out by them.
//!
//! An even first byte: two bodies of `POST /v1/mesh/gossip`, each on a line. An odd one: words that members may well have
//! said, drawn from the rest; of these each node must hold exactly what merging makes of them.

use crate::bytes::Bytes;
use crate::decode::first_line;
use maia::config::Config;
use maia::id::{Label, Name, NodeId};
use maia::message::{Answer, Caller, Entry, Reply, Request, State, Status, Table};
use maia::node::{CallId, Identity, Input, Node, Output};
use maia::record::{Card, Ext, Heartbeat, Incarnation, Load, Record, Rounds, Version};
use maia::rng::Rng;
use maia::time::{Instant, Wall};
use maia::wire::{Endpoint, decode_request};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The members that the nodes know, and where they are.
const MEMBERS: [(&str, &str); 3] = [
    ("ana", "http://10.0.0.1:8000"),
    ("bob", "http://10.0.0.2:8000"),
    ("cid", "http://10.0.0.3:8000"),
];

/// When all this happens: the beginning of 2026.
const START_MILLIS: u64 = 1_767_225_600_000;
const INTERVAL_MILLIS: u64 = 2_000;

/// One input: see the head of this file.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((first, rest)) if first % 2 == 0 => any_bodies(rest),
        Some((_, rest)) => words(Bytes::new(rest)),
        None => {}
    }
}

fn any_bodies(data: &[u8]) {
    let (one, other) = first_line(data);
    let read = |body| match decode_request(Endpoint::Gossip, None, body) {
        Ok(Request::Gossip(table)) => table,
        _ => Table::default(),
    };
    let (one, other) = (read(one), read(other));
    merge_in_any_order(&one, &other);
    for bodies in [[&one, &other], [&other, &one]] {
        let (mut node, mut now) = node_among_members();
        for body in bodies {
            hear(&mut node, now, body.clone());
            nobody_came_moved_or_went(&node);
        }
        for _ in 0..4 {
            now = node.deadline().max(now);
            let _ = node.handle(now, Input::Tick { wall: wall() });
        }
        nobody_came_moved_or_went(&node);
    }
}

/// The laws of merging, for what was said of each.
fn merge_in_any_order(one: &Table, other: &Table) {
    let mut said = BTreeMap::<&NodeId, Vec<&Record>>::new();
    for entry in one.entries.iter().chain(&other.entries) {
        let words = said.entry(&entry.record.id).or_default();
        words.push(&entry.record);
    }
    for words in said.into_values() {
        let forth = merged(words.iter().copied());
        assert_eq!(forth, merged(words.iter().rev().copied()));
        let middle = words.len() / 2;
        let halves = words[middle..].iter().chain(&words[..middle]);
        assert_eq!(forth, merged(halves.copied()));
        for pair in words.windows(2) {
            let changes = pair[0].merged(pair[1]) != *pair[0];
            assert_eq!(pair[1].supersedes(pair[0]), changes);
        }
    }
}

fn merged<'a>(words: impl Iterator<Item = &'a Record>) -> Option<Record> {
    words.fold(None, |held: Option<Record>, word| {
        Some(held.map_or_else(|| word.clone(), |held| held.merged(word)))
    })
}

/// Words pushed at a node confirm nobody, put nobody out, and give nobody another address.
fn nobody_came_moved_or_went(node: &Node) {
    let view = node.view();
    for (id, url) in MEMBERS {
        let id = NodeId::new(id).expect("an id");
        let seen = view.member(&id).expect("a member stays");
        assert!(seen.confirmed && seen.status == Status::Alive, "{seen:?}");
        assert_eq!(seen.url.as_str(), url);
    }
    let confirmed = view.members.iter().filter(|seen| seen.confirmed);
    assert_eq!(confirmed.count(), MEMBERS.len() + 1);
}

fn words(mut choices: Bytes<'_>) {
    let mut bodies = [Vec::new(), Vec::new()];
    for _ in 0..8 {
        bodies[choices.below(2)].push(word(&mut choices));
    }
    let [one, other] = bodies.map(Table::from);
    merge_in_any_order(&one, &other);
    let held = |bodies: [&Table; 2]| {
        let (mut node, now) = node_among_members();
        for body in bodies {
            hear(&mut node, now, body.clone());
        }
        nobody_came_moved_or_went(&node);
        records(&node)
    };
    let (first, second) = (held([&one, &other]), held([&other, &one]));
    assert_eq!(first, second);
    let all: Vec<Record> = MEMBERS
        .iter()
        .map(|(id, url)| {
            let said = one.entries.iter().chain(&other.entries);
            let said = said.map(|entry| &*entry.record);
            let begin = first_word(id, url);
            let words = said.filter(|record| record.id == begin.id);
            words.fold(begin.clone(), |held, word| held.merged(word))
        })
        .collect();
    assert_eq!(first, all, "each holds what merging makes of it");
}

/// What a node holds of each member.
fn records(node: &Node) -> Vec<Record> {
    let view = node.view();
    let others = view.members.iter().filter(|seen| !seen.is_me);
    others.map(|seen| (*seen.record).clone()).collect()
}

/// A word that the member may have said within an hour, at its address and in its present life.
fn word(choices: &mut Bytes<'_>) -> Entry {
    let (id, url) = choices.choose(&MEMBERS);
    let mut record = first_word(id, url);
    let rounds = u64::from(choices.number()) % 1_800;
    record.version.heartbeat = heartbeat(rounds);
    let mut card = (*record.card).clone();
    card.name = Name::new(choices.choose(&["ana", "bob", "cid"])).expect("a name");
    if choices.flip() {
        card.agents = vec![Label::new(choices.choose(&["coder", "echo"])).expect("a label")];
    }
    record.card = Arc::new(card);
    record.load = Load::new(choices.byte().into(), 0.5, choices.byte().into()).expect("in range");
    let first = record.ext.as_deref().cloned().unwrap_or_default();
    let ext = Ext {
        n: choices.byte().into(),
        draining: choices.flip(),
        leads: choices.flip(),
        ..first
    };
    record.ext = choices.flip().then(|| Arc::new(ext));
    Entry {
        record: Arc::new(record),
        status: choices.choose(&[Status::Alive, Status::Suspect, Status::Dead]),
        leader: choices.flip(),
    }
}

fn heartbeat(rounds: u64) -> Heartbeat {
    let millis = START_MILLIS + rounds * INTERVAL_MILLIS;
    Heartbeat::from_unix_millis(millis).expect("before the year 2100")
}

/// What a member said when the node met it.
fn first_word(id: &str, url: &str) -> Record {
    let card = Card {
        name: Name::new(id).expect("a name"),
        url: url.parse().expect("a URL"),
        services: Vec::new(),
        agents: Vec::new(),
    };
    let rounds = Rounds {
        origin_millis: START_MILLIS - 1_000 * INTERVAL_MILLIS,
        interval_millis: INTERVAL_MILLIS as u32,
    };
    let ext = Ext {
        rounds: Some(rounds),
        ..Ext::default()
    };
    let born = START_MILLIS as f64 / 1_000.0;
    Record {
        id: NodeId::new(id).expect("an id"),
        version: Version {
            incarnation: Incarnation::from_unix_seconds(born).expect("in range"),
            heartbeat: heartbeat(0),
        },
        card: Arc::new(card),
        load: Load::default(),
        ext: Some(Arc::new(ext)),
    }
}

fn wall() -> Wall {
    Wall::from_unix_millis(START_MILLIS)
}

/// A node that has joined through the first member and was told of the others.
fn node_among_members() -> (Node, Instant) {
    let seed = MEMBERS[0].1.parse().expect("a URL");
    let config = Config {
        seeds: vec![seed],
        ..Config::default()
    };
    let me = Identity::new(
        NodeId::new("me").expect("an id"),
        Name::new("me").expect("a name"),
        "http://10.0.0.9:8000".parse().expect("a URL"),
    );
    let rng = Rng::from_seed(7);
    let mut node = Node::new(config, me, Instant::START, wall(), rng).expect("it can be");
    let now = node.deadline();
    let outputs = node.handle(now, Input::Tick { wall: wall() });
    let sent = outputs.iter().find_map(|output| match output {
        Output::Send { exchange, .. } => Some(*exchange),
        _ => None,
    });
    let _ = node.handle(
        now,
        Input::Answer {
            exchange: sent.expect("it wants to join"),
            answer: Ok(welcome()),
        },
    );
    (node, now + Duration::from_millis(10))
}

fn welcome() -> Answer {
    let entry = |(id, url)| Entry {
        record: Arc::new(first_word(id, url)),
        status: Status::Alive,
        leader: false,
    };
    let state = State {
        table: MEMBERS.map(entry).to_vec().into(),
        ..State::default()
    };
    Answer {
        from: Some(NodeId::new(MEMBERS[0].0).expect("an id")),
        reply: Reply::State(state),
    }
}

fn hear(node: &mut Node, now: Instant, body: Table) {
    let caller = Caller {
        id: Some(NodeId::new(MEMBERS[0].0).expect("an id")),
        address: Some([10, 0, 0, 1].into()),
        on_this_host: false,
    };
    let _ = node.handle(
        now,
        Input::Receive {
            call: CallId::default(),
            caller,
            request: Request::Gossip(body),
        },
    );
}
