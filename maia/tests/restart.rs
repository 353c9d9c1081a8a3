//! Nodes that come back under the same address, the same name, or the same id.

use maia::event::Event;
use maia::message::Request;
use maia::message::Status::{Alive, Suspect};
use maia::sim::Sim;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// H5: a thousand restarts leave no ghost: after a round nobody holds the old id for alive at that address.
#[test]
fn a_thousand_restarts_leave_no_ghost() {
    let restarts = if cfg!(debug_assertions) { 200 } else { 1_000 };
    let names = ["ana", "bob", "cid", "dan"];
    let mut mesh = Sim::new(1, &names);
    mesh.run_for(secs(20));
    for restart in 0..restarts {
        let name = names[1 + restart % 3];
        let old = mesh.id(name).expect("it runs").clone();
        mesh.crash(name);
        mesh.run_for(Duration::from_millis(100 * (restart as u64 % 30)));
        mesh.restart(name);
        mesh.run_for(secs(2));
        for observer in names.iter().filter(|observer| **observer != name) {
            let ghost = mesh.belief_in(observer, &old);
            assert_ne!(ghost, Some(Alive), "{observer} after restart {restart}");
            let view = mesh.node(observer).expect("it runs").view();
            let routable = view
                .members
                .iter()
                .filter(|seen| seen.takes_requests() && seen.url == mesh.url(name));
            for seen in routable {
                assert_eq!(
                    Some(seen.id()),
                    mesh.id(name),
                    "{observer} would misroute after restart {restart}"
                );
            }
        }
    }
    assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
    let conflicts = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::Conflict { .. }));
    assert_eq!(conflicts.count(), 0);
}

/// H5: a node with a fixed id whose clock was set back is not hidden by what it said before.
#[test]
fn a_clock_set_back_does_not_hide_the_newcomer() {
    for left in [false, true] {
        let mut mesh = Sim::new(2, &["ana", "bob"]);
        mesh.start_as("cid", "fixed", &["ana"]);
        mesh.run_for(secs(20));
        if left {
            mesh.leave("cid");
            mesh.run_for(secs(3));
        }
        mesh.crash("cid");
        mesh.set_wall_off("cid", -30 * 24 * 3_600_000);
        mesh.run_for(secs(3));
        mesh.start_as("cid", "fixed", &["ana"]);
        assert!(
            mesh.run_until(secs(10), Sim::is_whole).is_some(),
            "left: {left}, {:#?}",
            mesh.events()
        );
    }
}

/// H5: a forged record does not evict a node by its address.
#[test]
fn a_forged_record_does_not_take_an_address() {
    let mut mesh = Sim::new(3, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    for round in 0..60 {
        let forged = Sim::forged(&format!("thief{round}"), mesh.url("bob").as_str());
        mesh.inject("ana", None, Request::Gossip(vec![forged].into()));
        mesh.run_for(secs(1));
        assert!(mesh.is_whole(), "in round {round}");
    }
    let moved = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::Replaced { .. } | Event::Conflict { .. }));
    assert_eq!(moved.count(), 0);
}

#[test]
fn the_newcomer_takes_the_place_of_a_suspect_at_once() {
    let mut mesh = Sim::new(4, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    let old = mesh.id("cid").expect("it runs").clone();
    mesh.crash("cid");
    mesh.run_for(secs(20));
    assert_eq!(mesh.belief_in("ana", &old), Some(Suspect));
    mesh.restart("cid");
    assert!(mesh.run_until(secs(5), Sim::is_whole).is_some());
    assert_eq!(mesh.belief_in("ana", &old), None);
}

/// A container that comes back at another address: the old one refuses connections, so it is suspected at once.
#[test]
fn the_same_name_at_another_address_makes_the_old_one_suspect() {
    let mut mesh = Sim::new(5, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    let old = mesh.id("cid").expect("it runs").clone();
    mesh.crash("cid");
    mesh.start_named("elsewhere", "cid", &["ana"]);
    mesh.run_for(secs(5));
    for observer in ["ana", "bob"] {
        assert_eq!(mesh.belief_in(observer, &old), Some(Suspect), "{observer}");
    }
}

#[test]
fn two_nodes_that_share_an_address_are_reported() {
    let mut mesh = Sim::new(6, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    for _ in 0..4 {
        mesh.start_as("cid", "one", &["ana"]);
        mesh.run_for(secs(5));
        mesh.start_as("cid", "other", &["ana"]);
        mesh.run_for(secs(5));
    }
    let conflicts = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::Conflict { .. }));
    assert!(conflicts.count() > 0, "{:#?}", mesh.events());
}
