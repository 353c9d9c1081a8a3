//! Meshes of hundreds and thousands: all join at once through one seed, and a death is known everywhere in time. (H2, H12)

use maia::config::Config;
use maia::event::Event;
use maia::message::{Reply, Request};
use maia::sim::{Sim, WALL_AT_START};
use maia::time::Instant;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(n: usize) -> String {
    format!("n{n}")
}

/// So many that start within `spread`, all with the first for their seed.
fn storm(seed: u64, nodes: usize, spread: Duration) -> Sim {
    let mut mesh = Sim::empty(seed, Config::default());
    mesh.start("n0", &[]);
    for n in 1..nodes {
        mesh.start(&name(n), &["n0"]);
        mesh.run_for(spread / nodes as u32);
    }
    mesh
}

/// Whether everybody has a row of everybody, and counts all of them.
fn all_see_all(mesh: &Sim, nodes: usize) -> bool {
    (0..nodes).all(|n| {
        let node = mesh.node(&name(n)).expect("it runs");
        node.present() == nodes - 1
    })
}

/// H12: all see all within so many rounds after the last has started, at a cost that the seed does not bear alone.
fn everybody_joins_at_one_seed(nodes: usize, rounds: u32) {
    for spread in [Duration::ZERO, secs(1)] {
        let mut mesh = storm(1, nodes, spread);
        let took = mesh.run_until(rounds * secs(2), |mesh| all_see_all(mesh, nodes));
        assert!(
            took.is_some(),
            "{nodes} within {spread:?}: not in {rounds} rounds"
        );
        mesh.run_for(secs(20));
        assert!(all_see_all(&mesh, nodes) && mesh.is_whole());
        let crowded_out = mesh.node("n0").expect("it runs").counters().crowded_out;
        assert_eq!(crowded_out, 0, "{nodes} within {spread:?}");

        let ticket = mesh.inject("n0", None, Request::State);
        mesh.run_for(Duration::ZERO);
        let Some(Reply::State(state)) = mesh.reply(ticket) else {
            panic!("it is answered");
        };
        assert_eq!(state.table.entries.len(), nodes);
    }
}

#[test]
fn a_hundred_and_fifty_join_at_one_seed() {
    everybody_joins_at_one_seed(150, 3);
}

#[test]
#[ignore = "takes minutes in debug; in release: cargo test --release -p astromesh-maia --test large a_thousand -- --ignored"]
fn all_of_a_thousand_join_at_one_seed() {
    everybody_joins_at_one_seed(1_000, 6);
}

/// H2: with one message in twenty lost, a death is known everywhere 33 s after the last heartbeat, and nobody else is even
/// suspected.
fn a_death_is_known_everywhere(nodes: usize) {
    let mut mesh = storm(2, nodes, secs(1));
    mesh.network().loss = 0.05;
    mesh.run_for(secs(40));
    assert!(mesh.is_whole());
    let view = mesh.node("n7").expect("it runs").view();
    let beat = view.members[0].record.version.heartbeat.unix_millis();
    let beat = Instant::after_start(Duration::from_millis(beat - WALL_AT_START.unix_millis()));
    let victim = mesh.id("n7").expect("it runs").clone();
    mesh.crash("n7");
    mesh.run_for(secs(36));
    let mut deaths = Vec::new();
    for reported in mesh.events() {
        match &reported.event {
            Event::Died { id, .. } if *id == victim => deaths.push(reported.at.since(beat)),
            Event::Died { id, .. } | Event::Suspected { id, .. } => {
                assert_eq!(*id, victim, "{} by {}", reported.event, reported.by);
            }
            _ => {}
        }
    }
    assert_eq!(deaths.len(), nodes - 1, "everybody knows");
    let (first, last) = (deaths.iter().min(), deaths.iter().max());
    assert!(first >= Some(&Duration::from_millis(29_900)), "{first:?}");
    assert!(last <= Some(&secs(33)), "{last:?}");
}

#[test]
fn a_death_among_two_hundred_is_known_everywhere_in_time() {
    a_death_is_known_everywhere(200);
}

#[test]
#[ignore = "takes minutes in debug; in release: cargo test --release -p astromesh-maia --test large a_thousand -- --ignored"]
fn a_death_among_a_thousand_is_known_everywhere_in_time() {
    a_death_is_known_everywhere(1_000);
}

#[test]
#[ignore = "takes gigabytes and, in release, an hour or more: cargo test --release -p astromesh-maia --test large a_death_among_ten_thousand -- --ignored"]
fn a_death_among_ten_thousand_is_known_everywhere_in_time() {
    a_death_is_known_everywhere(10_000);
}
