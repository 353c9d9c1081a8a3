//! The bounds on what others can make a node keep, each with one more than it allows.

use maia::config::{Config, Limits};
use maia::id::{Label, Name, NodeId};
use maia::message::{Entry, Reply, Request};
use maia::node::{Command, Identity, Node};
use maia::record::{Card, Record};
use maia::rng::Rng;
use maia::sim::Sim;
use maia::time::{Instant, Wall};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A mesh of one node with these limits, for somebody to send rubbish to.
fn alone(limits: Limits) -> Sim {
    let config = Config {
        limits,
        ..Config::default()
    };
    let mut mesh = Sim::empty(1, config);
    mesh.start("ana", &[]);
    mesh.run_for(secs(3));
    mesh
}

fn nodes(nodes: usize) -> Limits {
    Limits {
        nodes,
        ..Limits::default()
    }
}

/// That many ids that nobody has, each at an address of its own.
fn forged(ids: Range<usize>) -> Vec<Entry> {
    let url = |n: usize| format!("http://10.9.{}.{}:80", n / 250, n % 250);
    ids.map(|n| Sim::forged(&format!("f{n}"), &url(n)))
        .collect()
}

/// Lets `ana` hear of them, and returns how many rows it has then and how many ids it turned away.
fn told(mesh: &mut Sim, entries: Vec<Entry>) -> (usize, u64) {
    let turned_away = |mesh: &Sim| {
        let counters = node(mesh, "ana").counters();
        counters.rationed + counters.crowded_out
    };
    let before = turned_away(mesh);
    mesh.inject("ana", None, Request::Gossip(entries.into()));
    mesh.run_for(Duration::from_millis(50));
    (node(mesh, "ana").rows(), turned_away(mesh) - before)
}

fn node<'a>(mesh: &'a Sim, name: &str) -> &'a Node {
    mesh.node(name).expect("it runs")
}

/// An entry whose record takes that many bytes.
fn of_size(bytes: usize) -> Entry {
    let entry = Sim::forged("big", "http://10.9.9.9:80");
    let agents = agents_taking(bytes - entry.record.size_bytes());
    let record = Record {
        card: Arc::new(Card {
            agents,
            ..(*entry.record.card).clone()
        }),
        ..(*entry.record).clone()
    };
    assert_eq!(record.size_bytes(), bytes);
    Entry {
        record: Arc::new(record),
        ..entry
    }
}

/// Agents that make a record that much larger; each takes three bytes besides its name.
fn agents_taking(mut bytes: usize) -> Vec<Label> {
    let mut agents = Vec::new();
    while bytes > 0 {
        // What remains must be enough for one more, and a short one counts for more than it says.
        let length = if bytes > 110 { 60 } else { bytes / 2 - 3 };
        let length = if bytes <= 67 { bytes - 3 } else { length };
        agents.push(Label::new(&"a".repeat(length)).expect("it is short and plain"));
        bytes -= length + 3;
    }
    agents
}

#[test]
fn strangers_bring_as_many_ids_at_once_as_are_allowed_and_not_one_more() {
    let mut mesh = alone(Limits::default());
    assert_eq!(told(&mut mesh, forged(0..1_025)), (1_024, 1));
}

#[test]
fn strangers_bring_as_many_ids_a_second_as_are_allowed() {
    let limits = Limits {
        new_ids_per_second: 10,
        new_ids_burst: 20,
        ..Limits::default()
    };
    let mut mesh = alone(limits);
    assert_eq!(told(&mut mesh, forged(0..20)), (20, 0));
    mesh.run_for(Duration::from_millis(950));
    let (rows, turned_away) = told(&mut mesh, forged(20..60));
    assert_eq!((rows, turned_away), (30, 30), "a second has passed");
}

#[test]
fn hearsay_fills_half_the_table_and_not_one_row_more() {
    let mut mesh = alone(nodes(10));
    assert_eq!(told(&mut mesh, forged(0..6)), (5, 1));
    let mut mesh = alone(Limits::default());
    // Faster than the ration allows, were it not for the time between.
    for wave in 0..4 {
        told(&mut mesh, forged(wave * 1_024..(wave + 1) * 1_024));
        mesh.run_for(Duration::from_millis(200));
        assert!(node(&mesh, "ana").rows() <= 2_048);
    }
}

#[test]
fn hearsay_that_does_not_answer_is_gone_after_a_minute() {
    let mut mesh = alone(Limits::default());
    assert_eq!(told(&mut mesh, forged(0..1_000)), (1_000, 0));
    mesh.run_for(secs(62));
    assert_eq!(node(&mesh, "ana").rows(), 0);
}

#[test]
fn a_full_table_makes_room_for_a_member_by_its_hearsay() {
    let config = Config {
        limits: nodes(5),
        ..Config::default()
    };
    let mut mesh = Sim::empty(2, config);
    for name in ["ana", "bob", "cid"] {
        mesh.start(name, if name == "ana" { &[] } else { &["ana"] });
    }
    mesh.run_for(secs(10));
    assert_eq!(told(&mut mesh, forged(0..3)), (4, 1), "the table is full");
    mesh.start("dan", &["bob"]);
    mesh.start("eve", &["cid"]);
    mesh.run_for(secs(8));
    assert_eq!(
        (node(&mesh, "ana").rows(), node(&mesh, "ana").present()),
        (4, 4)
    );
    assert!(mesh.is_whole(), "{:#?}", mesh.events());
}

#[test]
fn a_member_too_many_is_not_taken_and_puts_nobody_out() {
    let config = Config {
        limits: nodes(3),
        ..Config::default()
    };
    let mut mesh = Sim::empty(3, config);
    for name in ["ana", "bob", "cid"] {
        mesh.start(name, if name == "ana" { &[] } else { &["ana"] });
    }
    mesh.run_for(secs(10));
    assert!(mesh.is_whole());
    let before = node(&mesh, "ana").counters().crowded_out;
    mesh.start("dan", &["ana"]);
    for _ in 0..60 {
        mesh.run_for(secs(1));
        for name in ["ana", "bob", "cid"] {
            assert_eq!(node(&mesh, name).rows(), 2);
            assert_eq!(mesh.belief(name, "dan"), None);
        }
    }
    assert!(node(&mesh, "ana").counters().crowded_out > before);
}

fn small(seed: u64) -> Sim {
    let config = Config {
        limits: nodes(6),
        ..Config::default()
    };
    let mut mesh = Sim::empty(seed, config);
    mesh.start("ana", &[]);
    mesh.run_for(secs(3));
    mesh
}

/// Its half of the table is full of hearsay when somebody joins: it is asked, and hearsay makes way.
#[test]
fn a_joiner_that_finds_the_table_full_of_hearsay_is_known_within_a_round() {
    let mut mesh = small(1);
    assert_eq!(told(&mut mesh, forged(0..3)), (3, 0));
    mesh.start("bob", &["ana"]);
    mesh.run_for(secs(2));
    assert_eq!(node(&mesh, "ana").present(), 1);
}

#[test]
fn a_flood_that_goes_on_keeps_no_joiner_out() {
    let mut mesh = small(2);
    mesh.start("bob", &["ana"]);
    for wave in 0..200 {
        let forged = forged(wave * 10..wave * 10 + 10);
        mesh.inject("ana", None, Request::Gossip(forged.into()));
        mesh.run_for(Duration::from_millis(100));
    }
    assert!(mesh.is_whole(), "{:#?}", mesh.events());
}

#[test]
fn a_joiner_that_was_crowded_out_is_taken_up_later() {
    let limits = Limits {
        new_ids_burst: 3,
        new_ids_per_second: 1,
        ..Limits::default()
    };
    let mut mesh = alone(limits);
    told(&mut mesh, forged(0..30));
    mesh.start("bob", &["ana"]);
    mesh.run_for(secs(20));
    assert!(mesh.is_whole(), "{:#?}", mesh.events());
}

#[test]
fn agents_that_would_make_the_own_record_too_long_are_refused_and_counted() {
    let mut mesh = Sim::new(4, &["ana", "bob"]);
    mesh.run_for(secs(20));
    let agents = |mesh: &Sim| {
        let view = node(mesh, "ana").view();
        view.members[0].record.card.agents.clone()
    };
    let before = agents(&mesh);
    let many = (0..400).map(|n| Label::new(&format!("agent-number-{n:08}")).expect("a label"));
    mesh.command("ana", Command::Agents(many.collect()));
    mesh.run_for(secs(5));
    assert_eq!(agents(&mesh), before);
    assert_eq!(node(&mesh, "ana").counters().refused_requests, 1);
    assert!(mesh.is_whole());
}

#[test]
fn a_record_of_one_byte_too_many_is_refused_or_passed_over_and_counted() {
    let most = Limits::default().record_bytes;
    let mut mesh = alone(Limits::default());
    let fits = mesh.inject("ana", None, Request::Join(of_size(most)));
    mesh.run_for(Duration::from_millis(50));
    assert!(matches!(mesh.reply(fits), Some(Reply::State(_))));
    let too_long = mesh.inject("ana", None, Request::Join(of_size(most + 1)));
    mesh.run_for(Duration::from_millis(50));
    let Some(Reply::Refused(refusal)) = mesh.reply(too_long) else {
        panic!("it was not refused");
    };
    assert!(refusal.to_string().contains("8193 bytes"), "{refusal}");
    assert_eq!(node(&mesh, "ana").counters().refused_requests, 1);

    let among_others = vec![of_size(most + 1), Sim::forged("x", "http://10.9.9.8:80")];
    mesh.inject("ana", None, Request::Gossip(among_others.into()));
    mesh.run_for(Duration::from_millis(50));
    assert_eq!(node(&mesh, "ana").counters().skipped_records, 1);
}

#[test]
fn a_node_whose_own_record_is_one_byte_too_long_does_not_start() {
    let start = |record_bytes: usize, agents: usize| {
        let config = Config {
            limits: Limits {
                record_bytes,
                ..Limits::default()
            },
            ..Config::default()
        };
        let url = "http://10.0.0.1:80".parse().expect("a URL");
        let id = NodeId::new("ana").expect("an id");
        let me = Identity {
            agents: agents_taking(agents),
            ..Identity::new(id, Name::new("ana").expect("a name"), url)
        };
        let wall = Wall::from_unix_millis(1_800_000_000_000);
        Node::new(config, me, Instant::START, wall, Rng::from_seed(1))
    };
    let bare = start(10_000, 0).expect("it is short").view().members[0]
        .record
        .size_bytes();
    assert!(start(8_192, 8_192 - bare).is_ok());
    let refused = start(8_192, 8_193 - bare).expect_err("it is one too long");
    assert_eq!(refused.field(), "agents");
    assert!(refused.reason().contains("8193 bytes"), "{refused}");
}

#[test]
fn of_those_that_are_gone_as_many_are_remembered_as_are_allowed() {
    let config = Config {
        limits: Limits {
            remembered: 3,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut mesh = Sim::empty(4, config);
    mesh.start("ana", &[]);
    for n in 0..5 {
        mesh.start(&format!("n{n}"), &["ana"]);
    }
    mesh.run_for(secs(10));
    for n in 0..5 {
        mesh.leave(&format!("n{n}"));
        mesh.run_for(secs(5));
        assert!(node(&mesh, "ana").remembered() <= 3);
    }
    mesh.run_for(secs(120));
    assert_eq!(
        (node(&mesh, "ana").rows(), node(&mesh, "ana").remembered()),
        (0, 3)
    );
}

#[cfg(feature = "wire")]
mod on_the_wire {
    use maia::error::Invalid;
    use maia::message::{Request, Table};
    use maia::wire::{Endpoint, decode_request};

    fn table(body: &str) -> Result<Table, Invalid> {
        match decode_request(Endpoint::Gossip, None, body.as_bytes())? {
            Request::Gossip(table) => Ok(table),
            other => panic!("not a table: {other:?}"),
        }
    }

    fn list(item: &str, count: usize) -> String {
        vec![item; count].join(",")
    }

    fn record(agents: &str) -> String {
        format!(
            r#"{{"node_id":"a","name":"a","url":"http://a:1","joined_at":1,"last_heartbeat":1,"agents":[{agents}]}}"#
        )
    }

    /// What is read takes far more memory than the bytes that it was read from.
    #[test]
    fn a_table_of_one_record_too_many_is_refused_whole() {
        let of = |count| format!("{{\"nodes\":[{}]}}", list("1", count));
        let read = table(&of(32_768)).expect("it is just short enough");
        assert_eq!((read.entries.len(), read.spoiled.len()), (0, 32_768));
        let refused = table(&of(32_769)).expect_err("it is one too long");
        assert!(refused.field().contains("nodes"), "{refused}");
        assert!(refused.reason().contains("at most 32768"), "{refused}");
    }

    #[test]
    fn a_record_too_long_to_be_looked_at_is_put_aside() {
        let spoilt = record(&list("\"a\"", 16_500));
        assert!(spoilt.len() > 65_536);
        let read =
            table(&format!("{{\"nodes\":[{spoilt},{}]}}", record("\"a\""))).expect("a table");
        assert_eq!((read.entries.len(), read.spoiled.len()), (1, 1));
        assert!(read.spoiled[0].reason().contains("at most 65536"));
    }

    #[test]
    fn a_table_that_names_too_many_agents_is_refused_whole() {
        let one = record(&list("\"a\"", 16_384));
        assert!(one.len() <= 65_536 + 100);
        let one = record(&list("\"a\"", 16_000));
        let of = |count| format!("{{\"nodes\":[{}]}}", list(&one, count));
        assert!(table(&of(16)).is_ok());
        let refused = table(&of(17)).expect_err("it names too many");
        assert!(refused.reason().contains("at most 262144"), "{refused}");
    }

    #[test]
    fn a_reconcile_that_wants_too_many_is_refused() {
        let wants = |count| {
            let body = format!("{{\"nodes\":[],\"wanted\":[{}]}}", list("7", count));
            decode_request(Endpoint::Reconcile, None, body.as_bytes())
        };
        assert!(wants(65_536).is_ok());
        let refused = wants(65_537).expect_err("it is one too many");
        assert!(refused.field().contains("wanted"), "{refused}");
    }
}
