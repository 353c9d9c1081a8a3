//! Who comes back at once, and who never does, however often and however long. (H4, H5, H7)

use maia::config::{Config, Limits};
use maia::event::Event;
use maia::message::Status::Alive;
use maia::node::Command;
use maia::sim::{OlderNode, Sim};
use std::time::Duration;

const FIVE: [&str; 5] = ["ana", "bob", "cid", "dan", "eve"];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// H7: a greatest id that is up for a while and down for a while, thirty times, under a new id each time or its own.
#[test]
fn thirty_flaps_of_the_greatest_id_change_the_leader_once_at_most() {
    for same_id in [false, true] {
        for (up, down) in [(1, 1), (4, 0), (7, 1), (7, 20), (7, 45)] {
            let mut mesh = Sim::new(2, &FIVE);
            mesh.run_for(secs(20));
            let before = FIVE.map(|by| leaders_named(&mesh, by));
            for _ in 0..30 {
                match same_id {
                    true => mesh.start_as("zoe", "zoe", &["ana"]),
                    false => mesh.start("zoe", &["ana"]),
                }
                mesh.run_for(secs(up));
                mesh.crash("zoe");
                mesh.run_for(secs(down));
            }
            for (by, before) in FIVE.iter().zip(before) {
                let changes = leaders_named(&mesh, by) - before;
                let what = format!("same id {same_id}, {up} s up, {down} s down");
                assert!(changes <= 1, "{changes} changes at {by}: {what}");
            }
        }
    }
}

/// How often `by` named another leader.
fn leaders_named(mesh: &Sim, by: &str) -> usize {
    let named = mesh
        .events()
        .iter()
        .filter(|r| r.by == by && matches!(r.event, Event::LeaderChanged { .. }));
    named.count()
}

/// H5: a thousand restarts, each seen for what it is a round later: nobody holds the old life for alive, and every request
/// would go to the one that runs.
#[test]
fn after_a_thousand_restarts_no_ghost_takes_a_request() {
    for same_id in [false, true] {
        let mut mesh = Sim::new(1, &FIVE);
        mesh.run_for(secs(20));
        for restart in 0..1_000 {
            let name = FIVE[1 + restart % 4];
            let old = mesh.id(name).expect("it runs").clone();
            mesh.crash(name);
            mesh.run_for(Duration::from_millis(100 * (restart as u64 % 30)));
            match same_id {
                true => mesh.start_as(name, name, &["ana"]),
                false => mesh.start(name, &["ana"]),
            }
            mesh.run_for(secs(2));
            let new = mesh.id(name).expect("it runs").clone();
            for by in FIVE.iter().filter(|by| **by != name) {
                if old != new {
                    assert_ne!(mesh.belief_in(by, &old), Some(Alive), "{by}, {restart}");
                }
                let view = mesh.node(by).expect("it runs").view();
                let takers = view.members.iter().filter(|seen| seen.takes_requests());
                let there: Vec<_> = takers
                    .filter(|seen| seen.url == mesh.url(name))
                    .map(|seen| seen.id())
                    .collect();
                assert_eq!(there, [&new], "{by} after restart {restart}");
            }
        }
        assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
    }
}

/// H4: five nodes that forget at different times, an older one that never does, and ten hours. Those who left or died stay
/// away, though the older one is also gone for so long that most have forgotten why.
#[test]
fn in_ten_hours_old_gossip_brings_nobody_back() {
    let mut mesh = Sim::empty(6, Config::default());
    for (place, name) in FIVE.iter().enumerate() {
        let minutes = [1, 2, 10, 30, 60][place];
        mesh.config().forget_after = secs(60 * minutes);
        mesh.config().limits = Limits {
            remember_for: secs(5 * 60 * minutes),
            ..Limits::default()
        };
        mesh.start(name, if place == 0 { &[] } else { &["ana"] });
    }
    mesh.reserve("old");
    let old = OlderNode::new("old", &mesh.url("old"), Some(mesh.url("ana")), 6);
    mesh.place("old", old);
    mesh.run_for(secs(30));
    let bob = mesh.id("bob").expect("it runs").clone();
    let cid = mesh.id("cid").expect("it runs").clone();
    mesh.leave("bob");
    mesh.run_for(secs(17));
    mesh.crash("cid");
    mesh.run_for(secs(45));
    mesh.command("dan", Command::Forget(cid.clone()));
    mesh.run_for(secs(600));
    mesh.crash("bob");
    for minute in 0..600 {
        match minute {
            100 => mesh.isolate("old"),
            250 => mesh.heal(),
            400 => mesh.restart("eve"),
            _ => {}
        }
        mesh.run_for(secs(60));
        for by in ["ana", "dan", "eve"] {
            for gone in [&bob, &cid] {
                let belief = mesh.belief_in(by, gone);
                assert_ne!(belief, Some(Alive), "{by} of {gone} after {minute} minutes");
            }
            let view = mesh.node(by).expect("it runs").view();
            let shows_bob = view.member(&bob).is_some_and(|seen| seen.confirmed);
            assert!(
                !shows_bob,
                "{by} shows one who left, after {minute} minutes"
            );
        }
    }
    let back = mesh.events().iter().filter(|r| match &r.event {
        Event::Recovered { id, .. } => *id == bob || *id == cid,
        _ => false,
    });
    assert_eq!(back.count(), 0);
}
