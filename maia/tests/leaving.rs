//! Saying goodbye, and not being brought back by old gossip.

use maia::address::Url;
use maia::event::Event;
use maia::message::Status::Alive;
use maia::message::{Request, Subject};
use maia::sim::{OlderNode, Sim};
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FIVE: [&str; 5] = ["ana", "bob", "cid", "dan", "eve"];

/// S7: one that leaves is out of every table within a round, and never back.
#[test]
fn one_that_leaves_is_gone_within_a_round() {
    let mut mesh = Sim::new(1, &FIVE);
    mesh.run_for(secs(20));
    mesh.leave("bob");
    mesh.run_for(secs(2));
    let gone = |mesh: &Sim| {
        let others = FIVE.iter().filter(|name| **name != "bob");
        others.into_iter().all(|name| !shows(mesh, name, "bob"))
    };
    assert!(gone(&mesh));
    for _ in 0..600 {
        mesh.run_for(secs(1));
        assert!(gone(&mesh), "back at {:?}", mesh.now());
    }
    let suspected = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::Suspected { .. } | Event::Died { .. }));
    assert_eq!(suspected.count(), 0);
}

#[test]
fn one_that_left_comes_back_when_it_is_asked_to() {
    let mut mesh = Sim::new(2, &FIVE);
    mesh.run_for(secs(20));
    mesh.leave("bob");
    mesh.run_for(secs(5));
    mesh.rejoin("bob");
    assert!(
        mesh.run_until(secs(6), Sim::is_whole).is_some(),
        "{:#?}",
        mesh.events()
    );

    mesh.leave("bob");
    mesh.run_for(secs(600));
    mesh.rejoin("bob");
    assert!(
        mesh.run_until(secs(20), Sim::is_whole).is_some(),
        "{:#?}",
        mesh.events()
    );
}

#[test]
fn in_a_mesh_of_a_hundred_the_rest_hears_it_by_gossip() {
    let mut mesh = Sim::empty(3, maia::config::Config::default());
    mesh.start("n0", &[]);
    for n in 1..100 {
        mesh.start(&format!("n{n}"), &["n0"]);
    }
    mesh.run_for(secs(20));
    mesh.leave("n50");
    let gone = |mesh: &Sim| {
        (0..100)
            .filter(|n| *n != 50)
            .all(|n| !shows(mesh, &format!("n{n}"), "n50"))
    };
    assert!(mesh.run_until(secs(6), gone).is_some());
}

/// S7, S9: anybody can claim that somebody left; it is believed if that node says so itself, or is not there.
#[test]
fn that_somebody_left_is_not_believed_of_one_who_answers() {
    let mut mesh = Sim::new(4, &FIVE);
    mesh.watch();
    mesh.run_for(secs(20));
    let bob = mesh.id("bob").expect("it runs").clone();
    mesh.inject("ana", None, Request::Leave(Subject::Id(bob)));
    mesh.run_for(secs(10));
    assert!(mesh.is_whole());

    mesh.crash("bob");
    let bob = mesh.id("bob").expect("it ran").clone();
    mesh.inject("ana", None, Request::Leave(Subject::Id(bob)));
    mesh.run_for(secs(1));
    assert!(
        !shows(&mesh, "ana", "bob"),
        "nobody listens there, so it is believed"
    );
    assert!(mesh.violations().is_empty(), "{:#?}", mesh.violations());
}

#[test]
fn only_its_own_machine_may_make_a_node_leave() {
    let mut mesh = Sim::new(5, &["ana", "bob"]);
    mesh.run_for(secs(20));
    let ticket = mesh.inject("bob", None, Request::Leave(Subject::Myself));
    mesh.run_for(secs(1));
    assert!(matches!(
        mesh.reply(ticket),
        Some(maia::message::Reply::Refused(_))
    ));
    assert!(mesh.is_whole());
}

/// H4: the dead and the departed do not return by old gossip, though an older node relays them for ever.
#[test]
fn old_gossip_brings_nobody_back() {
    let hours = if cfg!(debug_assertions) { 1 } else { 10 };
    let mut mesh = Sim::new(6, &FIVE);
    let url: Url = "http://10.0.0.6:8000".parse().expect("a URL");
    let seed = mesh.url("ana");
    mesh.place("old", OlderNode::new("old", &url, Some(seed), 6));
    mesh.run_for(secs(30));
    mesh.leave("bob");
    mesh.run_for(secs(17));
    mesh.crash("cid");
    mesh.run_for(secs(60));
    for _ in 0..hours * 60 {
        mesh.run_for(secs(60));
        for name in ["ana", "dan", "eve"] {
            assert!(
                !shows(&mesh, name, "bob"),
                "{name} has bob back at {:?}",
                mesh.now()
            );
            assert!(
                mesh.belief(name, "cid") != Some(Alive),
                "{name} has cid back at {:?}",
                mesh.now()
            );
            assert_eq!(
                mesh.belief(name, "old"),
                Some(Alive),
                "{name} at {:?}",
                mesh.now()
            );
        }
    }
}

fn shows(mesh: &Sim, by: &str, of: &str) -> bool {
    let id = mesh.id(of).expect("it ran");
    let view = mesh.node(by).expect("it runs").view();
    view.member(id).is_some_and(|seen| seen.confirmed)
}

/// One whose goodbyes were all lost is known to have left by its refusals alone; what others still count of that life does
/// not bring it back.
#[test]
fn one_that_refused_because_it_left_does_not_come_back_by_a_count() {
    for seed in 0..40 {
        let names: Vec<String> = (0..21).map(|n| format!("n{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (bob, mut mesh) = ("n20", Sim::new(seed, &names));
        mesh.run_for(Duration::from_millis(20_000 + 53 * seed));
        mesh.isolate(bob);
        mesh.leave(bob);
        mesh.run_for(Duration::from_millis(5));
        mesh.heal();
        mesh.run_for(secs(20));
        let id = mesh.id(bob).expect("it ran").clone();
        let back = |reported: &&maia::sim::Reported| matches!(&reported.event, Event::Recovered { id: who, .. } if *who == id);
        assert_eq!(mesh.events().iter().filter(back).count(), 0, "seed {seed}");
    }
}
