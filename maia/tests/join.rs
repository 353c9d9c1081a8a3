//! How nodes find each other, in any order and by any address.

use maia::config::Config;
use maia::event::Event;
use maia::message::Status::Alive;
use maia::node::Command;
use maia::sim::Sim;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn nodes_that_start_together_see_each_other_within_three_rounds() {
    let mut mesh = Sim::new(1, &["ana", "bob", "cid", "dan", "eve"]);
    let took = mesh.run_until(secs(6), Sim::is_whole);
    assert!(took.is_some(), "{:#?}", mesh.events());
}

#[test]
fn fifty_nodes_that_start_together_are_one_mesh_within_three_rounds() {
    let mut mesh = Sim::empty(2, Config::default());
    mesh.start("n0", &[]);
    for n in 1..50 {
        mesh.start(&format!("n{n}"), &["n0"]);
    }
    let sees_all = |mesh: &Sim| {
        (0..50).all(|n| {
            mesh.node(&format!("n{n}")).is_some_and(|node| {
                node.view().members.iter().filter(|m| m.confirmed).count() == 50
            })
        })
    };
    assert!(mesh.run_until(secs(6), sees_all).is_some());
}

/// S8: a node that starts before its seed stays alone for good.
#[test]
fn a_node_that_starts_before_its_seed_finds_it() {
    let mut mesh = Sim::empty(3, Config::default());
    mesh.start("eve", &["ana"]);
    mesh.run_for(secs(60));
    assert!(!mesh.node("eve").expect("it runs").view().joined);
    let seed = mesh.node("eve").expect("it runs").view().seeds[0].clone();
    assert!(
        matches!(seed.outcome, Some(Err(_))),
        "readiness says why: {seed:?}"
    );

    mesh.start("ana", &[]);
    assert!(mesh.run_until(secs(15), Sim::is_whole).is_some());
}

/// H13: every boot order of four nodes ends in one mesh.
#[test]
fn any_boot_order_ends_in_one_mesh() {
    let names = ["ana", "bob", "cid", "dan"];
    for order in permutations(&names) {
        let mut mesh = Sim::empty(4, Config::default());
        for name in &order {
            let seeds: &[&str] = if *name == "ana" { &[] } else { &["ana"] };
            mesh.start(name, seeds);
            mesh.run_for(secs(3));
        }
        assert!(
            mesh.run_until(secs(30), Sim::is_whole).is_some(),
            "{order:?}"
        );
    }
}

#[test]
fn nodes_that_are_each_others_seeds_find_each_other() {
    let mut mesh = Sim::empty(5, Config::default());
    mesh.start("ana", &["bob"]);
    mesh.start("bob", &["ana"]);
    assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
}

/// H18: a node whose own address is among its seeds does not gossip with itself.
#[test]
fn a_node_that_is_its_own_seed_drops_that_address() {
    let mut mesh = Sim::empty(6, Config::default());
    // The simulator panics where a node calls its own URL, so this one knows itself by another name.
    mesh.alias("me", "ana");
    mesh.start("ana", &["me"]);
    mesh.start("bob", &["ana"]);
    assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
    let found = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::FoundMyself { .. }));
    assert_eq!(found.count(), 1);
    assert!(mesh.node("ana").expect("it runs").view().joined);
}

/// A mesh whose nodes are told their seeds while they run.
fn without_seeds(seed: u64, names: &[&str]) -> Sim {
    let config = Config {
        seeds_follow: true,
        ..Config::default()
    };
    let mut mesh = Sim::empty(seed, config);
    for name in names {
        mesh.alias(&format!("{name}-too"), name);
        mesh.start(name, &[]);
    }
    mesh
}

fn tell_seeds(mesh: &mut Sim, name: &str, seeds: &[&str]) {
    let urls = seeds.iter().map(|seed| mesh.url(seed)).collect();
    mesh.command(name, Command::Seeds(urls));
}

fn has_joined(mesh: &Sim, name: &str) -> bool {
    mesh.node(name).expect("it runs").view().joined
}

#[test]
fn a_node_whose_seeds_are_to_follow_waits_for_them_and_joins_at_once() {
    let mut mesh = without_seeds(9, &["ana", "bob"]);
    mesh.run_for(secs(60));
    assert!(!has_joined(&mesh, "ana") && !has_joined(&mesh, "bob"));

    tell_seeds(&mut mesh, "ana", &["ana-too"]);
    mesh.run_for(secs(1));
    assert!(has_joined(&mesh, "ana"), "whoever is alone begins the mesh");
    tell_seeds(&mut mesh, "bob", &["ana", "bob-too"]);
    assert!(mesh.run_until(secs(3), Sim::is_whole).is_some());
    assert!(has_joined(&mesh, "bob"));
}

#[test]
fn a_node_that_is_told_its_own_address_again_does_not_try_it_again() {
    let mut mesh = without_seeds(10, &["ana", "bob"]);
    for _ in 0..5 {
        tell_seeds(&mut mesh, "ana", &["ana-too", "bob", "bob"]);
        mesh.run_for(secs(5));
    }
    let is_found = |event: &Event| matches!(event, Event::FoundMyself { .. });
    let found = mesh.events().iter().filter(|r| is_found(&r.event)).count();
    assert_eq!(found, 1);
    let seeds = mesh.node("ana").expect("it runs").view().seeds.clone();
    assert_eq!(seeds.len(), 1, "bob alone: {seeds:?}");
    assert_eq!(seeds[0].outcome, Some(Ok(())), "what is known is kept");
}

/// The name that all have for a seed leads to whoever is up; at first each may be told of itself alone.
#[test]
fn nodes_that_began_alone_meet_when_they_are_told_of_each_other() {
    let mut mesh = without_seeds(11, &["ana", "bob", "cid"]);
    for name in ["ana", "bob", "cid"] {
        tell_seeds(&mut mesh, name, &[&format!("{name}-too")]);
    }
    mesh.run_for(secs(30));
    assert!(!mesh.is_whole());
    tell_seeds(&mut mesh, "ana", &["ana-too", "bob"]);
    tell_seeds(&mut mesh, "cid", &["bob", "cid-too"]);
    assert!(mesh.run_until(secs(30), Sim::is_whole).is_some());
}

#[test]
fn a_seed_that_took_the_place_of_another_is_joined_through() {
    let mut mesh = without_seeds(12, &["ana", "bob"]);
    tell_seeds(&mut mesh, "ana", &["ana-too"]);
    // Nobody runs at that address any more.
    mesh.start("old", &[]);
    mesh.run_for(secs(1));
    mesh.crash("old");
    tell_seeds(&mut mesh, "bob", &["old"]);
    mesh.run_for(secs(60));
    assert!(!has_joined(&mesh, "bob"));
    tell_seeds(&mut mesh, "bob", &["ana"]);
    let joined = |mesh: &Sim| has_joined(mesh, "bob");
    assert!(mesh.run_until(secs(3), joined).is_some());
}

#[test]
fn a_node_hears_of_members_that_its_seed_learned_of_later() {
    let mut mesh = Sim::new(7, &["ana", "bob"]);
    mesh.run_for(secs(20));
    mesh.start("late", &["ana"]);
    let seen = |mesh: &Sim| mesh.belief("bob", "late") == Some(Alive);
    assert!(mesh.run_until(secs(6), seen).is_some());
}

#[test]
fn thirty_percent_loss_only_delays_joining() {
    let mut mesh = Sim::empty(8, Config::default());
    mesh.network().loss = 0.3;
    mesh.start("ana", &[]);
    for name in ["bob", "cid", "dan", "eve"] {
        mesh.start(name, &["ana"]);
    }
    assert!(mesh.run_until(secs(60), Sim::is_whole).is_some());
}

fn permutations<'a>(names: &[&'a str]) -> Vec<Vec<&'a str>> {
    if names.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (place, first) in names.iter().enumerate() {
        let mut rest = names.to_vec();
        rest.remove(place);
        for mut tail in permutations(&rest) {
            tail.insert(0, first);
            all.push(tail);
        }
    }
    all
}
