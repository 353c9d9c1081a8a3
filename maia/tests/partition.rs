//! Networks that break apart, and become whole again without anybody's help.

use maia::config::Config;
use maia::message::Status::{Dead, Left};
use maia::node::Command;
use maia::sim::Sim;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Three gossip intervals: the time in which a healed mesh must be whole.
const THREE_ROUNDS: Duration = secs(6);

fn mesh_of_eight(seed: u64) -> Sim {
    let mut mesh = Sim::new(seed, &["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"]);
    mesh.run_for(secs(20));
    assert!(mesh.is_whole());
    mesh
}

/// S4, H9: a partition longer than anybody is remembered in a row heals.
#[test]
fn two_halves_become_one_mesh_after_two_minutes() {
    for seed in 0..20 {
        let mut mesh = mesh_of_eight(seed);
        mesh.split(&["n4", "n5", "n6", "n7"]);
        mesh.run_for(secs(120));
        assert_eq!(mesh.belief("n0", "n7"), None, "forgotten by now");
        mesh.heal();
        let took = mesh.run_until(THREE_ROUNDS, sees_everyone);
        assert!(took.is_some(), "seed {seed}");
        assert!(
            mesh.run_until(secs(20), Sim::is_whole).is_some(),
            "and has one leader"
        );
    }
}

/// H9: ten minutes, and the seed gone for good.
#[test]
fn halves_heal_after_ten_minutes_without_a_seed() {
    for seed in 0..10 {
        let mut mesh = mesh_of_eight(seed);
        mesh.crash("n0");
        mesh.run_for(secs(120));
        mesh.split(&["n4", "n5", "n6", "n7"]);
        mesh.run_for(secs(600));
        mesh.heal();
        assert!(
            mesh.run_until(THREE_ROUNDS, sees_everyone).is_some(),
            "seed {seed}"
        );
    }
}

#[test]
fn one_that_was_cut_off_is_back_within_three_rounds() {
    for seed in 0..20 {
        let mut mesh = mesh_of_eight(seed);
        mesh.isolate("n5");
        mesh.run_for(secs(120));
        mesh.heal();
        assert!(
            mesh.run_until(THREE_ROUNDS, sees_everyone).is_some(),
            "seed {seed}"
        );
    }
}

#[test]
fn each_side_of_a_partition_names_a_leader_and_one_remains() {
    let mut mesh = mesh_of_eight(3);
    mesh.split(&["n4", "n5", "n6", "n7"]);
    mesh.run_for(secs(60));
    assert_eq!(mesh.leader("n0"), Some("n3"));
    assert_eq!(mesh.leader("n4"), Some("n7"));
    mesh.heal();
    let agree = |mesh: &Sim| (0..8).all(|n| mesh.leader(&format!("n{n}")) == Some("n7"));
    assert!(mesh.run_until(secs(4), agree).is_some());
}

#[test]
fn with_expected_nodes_a_minority_names_no_leader() {
    let config = Config {
        expected_nodes: Some(5),
        ..Config::default()
    };
    let mut mesh = Sim::empty(4, config);
    for name in ["n0", "n1", "n2", "n3", "n4"] {
        mesh.start(name, if name == "n0" { &[] } else { &["n0"] });
    }
    mesh.run_for(secs(20));
    assert_eq!(mesh.leader("n0"), Some("n4"));
    mesh.split(&["n3", "n4"]);
    mesh.run_for(secs(40));
    assert_eq!(mesh.belief("n0", "n4"), Some(Dead));
    assert_eq!(mesh.leader("n0"), Some("n2"));
    assert_eq!(mesh.leader("n4"), None);
    mesh.heal();
    assert!(mesh.run_until(secs(20), Sim::is_whole).is_some());
}

/// The moment they are too few, not the next round.
#[test]
fn with_expected_nodes_who_becomes_too_few_stops_naming_at_once() {
    let config = Config {
        expected_nodes: Some(4),
        ..Config::default()
    };
    let mut mesh = Sim::empty(6, config);
    for name in ["n0", "n1", "n2"] {
        mesh.start(name, if name == "n0" { &[] } else { &["n0"] });
    }
    mesh.run_for(secs(20));
    assert_eq!(mesh.leader("n0"), Some("n2"));
    // Who drains may not lead, so that it counts for nothing but the number.
    mesh.command("n1", Command::Drain);
    mesh.run_for(secs(6));
    mesh.leave("n1");
    for name in ["n0", "n2"] {
        let has_heard = |mesh: &Sim| mesh.belief(name, "n1") == Some(Left);
        assert!(mesh.run_until(secs(1), has_heard).is_some());
        assert_eq!(mesh.leader(name), None, "{name}");
    }
}

fn sees_everyone(mesh: &Sim) -> bool {
    let running = mesh.running();
    running.iter().all(|by| {
        running
            .iter()
            .all(|of| mesh.belief(by, of) == Some(maia::message::Status::Alive))
    })
}
