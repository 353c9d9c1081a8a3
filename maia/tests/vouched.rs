//! Whoever tells of others is asked for them, and one answer vouches for all: many who come at once cost each a few
//! questions, and nobody who was told of has to answer everybody.

use maia::config::Config;
use maia::event::{Event, Reason};
use maia::id::NodeId;
use maia::message::{Entry, Request};
use maia::sim::Sim;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(n: usize) -> String {
    format!("n{n}")
}

/// So many that start within a second, all with the first for their seed.
fn mass_join(nodes: usize) -> Sim {
    let mut mesh = Sim::empty(1, Config::default());
    mesh.start("n0", &[]);
    for n in 1..nodes {
        mesh.start(&name(n), &["n0"]);
        mesh.run_for(secs(1) / nodes as u32);
    }
    mesh
}

fn all_see_all(mesh: &Sim, nodes: usize) -> bool {
    (0..nodes).all(|n| mesh.node(&name(n)).expect("it runs").present() == nodes - 1)
}

/// Each introduces itself to 64 and is asked back by them; all else is a few exchanges a round.
#[test]
fn a_mass_join_costs_each_node_its_introductions_and_little_more() {
    const NODES: usize = 256;
    let mut mesh = mass_join(NODES);
    let took = mesh.run_until(secs(4), |mesh| all_see_all(mesh, NODES));
    assert!(took.is_some(), "not whole in two rounds");
    // Each exchange is two messages.
    let each = mesh.messages() / 2 / NODES as u64;
    assert!(each <= 2 * 64 + 8, "{each} exchanges a node");
}

/// How many others each of those who hold `of` for a member confirmed by its own answer.
fn asked(mesh: &Sim, of: &NodeId) -> usize {
    let answered = |event: &Event| matches!(event, Event::Joined { id, reason: Reason::Answered, .. } if id == of);
    let events = mesh.events().iter();
    events.filter(|reported| answered(&reported.event)).count()
}

#[test]
fn one_newcomer_is_asked_by_those_it_introduced_itself_to_and_by_hardly_anybody_else() {
    const NODES: usize = 256;
    let mut mesh = mass_join(NODES);
    mesh.run_for(secs(20));
    mesh.start("late", &["n7"]);
    mesh.run_for(secs(6));
    let late = mesh.id("late").expect("it runs").clone();
    assert!((0..NODES).all(|n| mesh.belief_in(&name(n), &late).is_some()));
    let asked = asked(&mesh, &late);
    assert!(asked <= 64 + 16, "{asked} asked it");
}

/// Who forges a table in a member's name learns nothing and enters nobody: the member is asked, and knows of no such id.
#[test]
fn what_is_forged_in_a_members_name_enters_no_row_and_costs_that_member_one_question() {
    let mut mesh = Sim::new(3, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    let quiet = messages_in(&mut mesh, secs(10));
    let forged: Vec<Entry> = (0..1_024)
        .map(|n| Sim::forged(&format!("f{n}"), &format!("http://10.9.9.{}:80", n % 250)))
        .collect();
    let bob = mesh.id("bob").expect("it runs").clone();
    let pushes = [
        Request::Gossip(forged.clone().into()),
        Request::Reconcile {
            table: forged.into(),
            wanted: Vec::new(),
        },
    ];
    for push in pushes {
        mesh.inject("ana", Some(&bob), push);
        let loud = messages_in(&mut mesh, secs(10));
        assert!(loud <= quiet + 2, "{loud} messages instead of {quiet}");
        assert_eq!(mesh.node("ana").expect("it runs").rows(), 2);
        assert!(mesh.is_whole());
    }
}

/// A stranger's word about itself is a reason to ask it, and its word about others to ask nobody else.
#[test]
fn what_a_stranger_that_does_not_answer_tells_of_others_enters_no_row() {
    let mut mesh = Sim::new(4, &["ana", "bob"]);
    mesh.run_for(secs(20));
    let forged: Vec<Entry> = (0..100)
        .map(|n| Sim::forged(&format!("f{n}"), &format!("http://10.9.9.{n}:80")))
        .collect();
    let stranger = NodeId::new("f0").expect("an id");
    mesh.inject("ana", Some(&stranger), Request::Gossip(forged.into()));
    mesh.run_for(secs(1));
    assert!(
        mesh.node("ana").expect("it runs").rows() <= 2,
        "bob, and the stranger as hearsay"
    );
    mesh.run_for(secs(60));
    assert_eq!(mesh.node("ana").expect("it runs").rows(), 1);
}

fn messages_in(mesh: &mut Sim, time: Duration) -> u64 {
    let before = mesh.messages();
    mesh.run_for(time);
    mesh.messages() - before
}
