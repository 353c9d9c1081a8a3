//! Each kind of fault that the simulator knows, in a scene of its own: what nodes make of it.

use maia::event::Event;
use maia::message::Status::{Alive, Dead, Suspect};
use maia::node::Command;
use maia::sim::{Lie, Sim};
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FIVE: [&str; 5] = ["ana", "bob", "cid", "dan", "eve"];

/// Five nodes that know each other, under watch.
fn five(seed: u64) -> Sim {
    let mut mesh = Sim::new(seed, &FIVE);
    mesh.watch();
    mesh.run_for(secs(20));
    assert!(mesh.is_whole());
    mesh
}

fn assert_nothing_broke(mesh: &Sim) {
    assert_eq!(mesh.violations(), Vec::<String>::new());
}

fn count(mesh: &Sim, wanted: fn(&Event) -> bool) -> usize {
    let events = mesh.events().iter();
    events.filter(|reported| wanted(&reported.event)).count()
}

/// Old messages that come again, also to a node that has restarted since, bring nobody back and convict nobody.
#[test]
fn replayed_messages_change_nothing() {
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.network().replay = 0.3;
        mesh.run_for(secs(60));
        mesh.crash("dan");
        mesh.leave("eve");
        mesh.run_for(secs(40));
        mesh.restart("bob");
        mesh.run_for(secs(300));
        assert_eq!(mesh.belief("ana", "dan"), None, "dan is forgotten");
        assert_eq!(mesh.belief("bob", "eve"), None, "eve stays away");
        assert_eq!(mesh.belief("ana", "bob"), Some(Alive));
        assert_nothing_broke(&mesh);
    }
}

/// A tenth of all messages cannot be read: they are refused, and nobody is suspected for that.
#[test]
fn damaged_messages_are_refused() {
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.network().damage = 0.1;
        mesh.network().forging = false;
        mesh.run_for(secs(300));
        assert_eq!(count(&mesh, |e| matches!(e, Event::Suspected { .. })), 0);
        assert!(mesh.is_whole());
        let refused = mesh.node("ana").expect("it runs").counters();
        assert!(refused.failed_exchanges > 10, "{refused:?}");
        assert_nothing_broke(&mesh);
    }
}

/// What can still be read says what nobody said. It is refuted by those it is about, and the mesh stays one.
#[test]
fn damaged_messages_that_can_be_read_are_refuted() {
    let mut refutations = 0;
    for seed in 0..10 {
        let mut mesh = five(seed);
        mesh.network().damage = 0.1;
        mesh.run_for(secs(120));
        mesh.network().damage = 0.0;
        let whole = mesh.run_until(secs(180), Sim::is_whole);
        assert!(whole.is_some(), "seed {seed}: {:#?}", mesh.events());
        assert_nothing_broke(&mesh);
        refutations += count(&mesh, |e| matches!(e, Event::Refuted));
    }
    assert!(refutations > 0);
}

/// H24: an observer that is seconds behind with its work convicts nobody.
#[test]
fn a_starved_node_convicts_nobody() {
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.starve("eve", Some(Duration::from_millis(400)));
        mesh.run_for(secs(300));
        let wrongly = |by: &str| {
            let died =
                |r: &&maia::sim::Reported| matches!(r.event, Event::Died { .. }) && r.by == by;
            mesh.events().iter().filter(died).count()
        };
        assert_eq!(wrongly("eve"), 0, "seed {seed}");
        assert_nothing_broke(&mesh);
        mesh.starve("eve", None);
        assert!(mesh.run_until(secs(60), Sim::is_whole).is_some());
    }
}

/// H3: one that calls others suspect and dead, whoever they are, changes nothing elsewhere.
#[test]
fn a_liar_about_how_others_stand_changes_nothing() {
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.restart_as_liar("eve", Lie::Statuses);
        mesh.run_for(secs(300));
        for (by, of) in FIVE[..4].iter().flat_map(|by| FIVE.map(|of| (by, of))) {
            assert_eq!(mesh.belief(by, of), Some(Alive), "{by} of {of}");
        }
        assert_eq!(count(&mesh, |e| matches!(e, Event::Refuted)), 0);
        assert_nothing_broke(&mesh);
    }
}

/// A member whose answers forge versions, departures, addresses and counts is believed, which the protocol does not rule
/// out. While all are in touch, what it said does not outlast it.
#[test]
fn what_a_liar_said_is_refuted() {
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.restart_as_liar("eve", Lie::Everything);
        mesh.run_for(secs(60));
        assert!(count(&mesh, |e| matches!(e, Event::Refuted)) > 0);
        mesh.restart("eve");
        let whole = mesh.run_until(secs(180), Sim::is_whole);
        assert!(whole.is_some(), "seed {seed}: {:#?}", mesh.events());
    }
}

/// A paused process finds what came in the meantime; a suspended machine has missed it, and its clock stood still.
#[test]
fn a_pause_of_either_kind_heals() {
    for seed in 0..5 {
        for suspends in [false, true] {
            let mut mesh = five(seed);
            if suspends {
                mesh.suspend("eve");
            } else {
                mesh.pause("eve");
            }
            mesh.run_for(secs(22));
            assert_eq!(mesh.belief("ana", "eve"), Some(Suspect));
            mesh.run_for(secs(38));
            assert_eq!(mesh.belief("ana", "eve"), Some(Dead));
            mesh.resume("eve");
            let whole = mesh.run_until(secs(30), Sim::is_whole);
            assert!(
                whole.is_some(),
                "seed {seed}, {suspends}: {:#?}",
                mesh.events()
            );
            assert_nothing_broke(&mesh);
        }
    }
}

/// Links that are cut one by one, and mended in another order, until all are.
#[test]
fn links_that_are_cut_and_mended_in_another_order_leave_one_mesh() {
    for seed in 0..5_usize {
        let mut mesh = five(seed as u64);
        let mut links: Vec<(&str, &str)> = FIVE
            .iter()
            .flat_map(|from| FIVE.map(|to| (*from, to)))
            .filter(|(from, to)| from != to)
            .collect();
        for (from, to) in &links {
            mesh.cut_one_way(from, to);
            mesh.run_for(secs(5));
        }
        assert_ne!(mesh.belief("ana", "eve"), Some(Alive));
        let by = seed * 7 + 3;
        while !links.is_empty() {
            let (from, to) = links.swap_remove(by % links.len());
            mesh.mend_one_way(from, to);
            mesh.run_for(secs(5));
        }
        mesh.must_become_whole(secs(60));
        assert_nothing_broke(&mesh);
    }
}

/// Three parts, each with a leader of its own, become one mesh with one.
#[test]
fn a_mesh_in_three_parts_becomes_one() {
    let mut mesh = five(3);
    mesh.shatter(&|name| usize::from(name > "bob") + usize::from(name > "dan"));
    mesh.run_for(secs(60));
    assert_eq!(mesh.leader("ana"), Some("bob"));
    assert_eq!(mesh.leader("cid"), Some("dan"));
    assert_eq!(mesh.leader("eve"), Some("eve"));
    mesh.heal();
    // H6: one leader within two rounds of healing.
    let one = |mesh: &Sim| FIVE.iter().all(|by| mesh.leader(by) == Some("eve"));
    let took = mesh.run_until(secs(4), one);
    assert!(took.is_some());
    mesh.must_become_whole(secs(20));
    assert_nothing_broke(&mesh);
}

/// A tick that waited for its turn when the node was stopped comes when it goes on, also where nobody calls it.
#[test]
fn a_starved_node_that_was_stopped_goes_on() {
    let rounds = |mesh: &Sim| {
        let view = mesh.node("eve").expect("it runs").view();
        view.members[0].record.version
    };
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.isolate("eve");
        mesh.starve("eve", Some(secs(2)));
        for _ in 0..20 {
            mesh.run_for(secs(3));
            mesh.pause("eve");
            mesh.run_for(secs(2));
            mesh.resume("eve");
        }
        let before = rounds(&mesh);
        mesh.run_for(secs(20));
        assert!(rounds(&mesh) > before, "seed {seed}");
    }
}

/// What the owner tells a node that is stopped, it hears when it goes on.
#[test]
fn a_command_waits_for_a_node_that_is_paused() {
    let mut mesh = five(1);
    let drains = |mesh: &Sim| {
        let view = mesh.node("eve").expect("it runs").view();
        view.members[0].record.is_draining()
    };
    mesh.pause("eve");
    mesh.command("eve", Command::Drain);
    mesh.run_for(secs(5));
    assert!(!drains(&mesh));
    mesh.resume("eve");
    mesh.run_for(secs(1));
    assert!(drains(&mesh));
}
