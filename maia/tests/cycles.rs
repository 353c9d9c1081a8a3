//! Nodes that come and go for ever: what they leave behind is bounded, and so are the messages. (H4)

use maia::config::{Config, Limits};
use maia::message::Status::Alive;
use maia::sim::Sim;
use std::time::Duration;

/// Those that stay.
const STAY: [&str; 3] = ["ana", "bob", "cid"];
/// Addresses at which the others come and go, one after the other.
const PLACES: usize = 16;
/// Cycles over which messages are weighed.
const WEIGHED: u64 = 200;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a mesh costs at some cycle.
#[derive(Debug)]
struct Cost {
    /// Bytes that all sent in [`WEIGHED`] cycles.
    bytes: u64,
    /// Characters that it takes to write down all that the nodes that stay hold: no map is left out.
    state: usize,
    rows: usize,
    remembered: usize,
}

struct Mesh {
    sim: Sim,
    cycles: u64,
}

impl Mesh {
    fn new(config: Config) -> Self {
        let mut sim = Sim::empty(1, config);
        for name in STAY {
            sim.start(name, if name == "ana" { &[] } else { &["ana"] });
        }
        sim.run_for(Duration::from_secs(10));
        sim.weigh();
        Self { sim, cycles: 0 }
    }

    /// Somebody joins under an id of its own, is seen, leaves, and is gone.
    fn cycle(&mut self) {
        let place = format!("guest{}", self.cycles % PLACES as u64);
        self.cycles += 1;
        self.sim.start(&place, &["ana"]);
        self.sim.run_for(millis(250));
        assert_eq!(self.sim.belief("ana", &place), Some(Alive), "{place}");
        self.sim.leave(&place);
        self.sim.run_for(millis(100));
        for name in STAY {
            assert_ne!(self.sim.belief(name, &place), Some(Alive), "{place}");
        }
        self.sim.crash(&place);
    }

    fn run_to(&mut self, cycle: u64) {
        while self.cycles < cycle {
            self.cycle();
        }
    }

    fn cost(&mut self) -> Cost {
        let before = self.sim.bytes();
        self.run_to(self.cycles + WEIGHED);
        let nodes = STAY.map(|name| self.sim.node(name).expect("it stays"));
        Cost {
            bytes: self.sim.bytes() - before,
            state: nodes.iter().map(|node| format!("{node:?}").len()).sum(),
            rows: nodes.iter().map(|node| node.rows()).max().unwrap_or(0),
            remembered: nodes
                .iter()
                .map(|node| node.remembered())
                .max()
                .unwrap_or(0),
        }
    }
}

fn is_within_percent(one: f64, other: f64, percent: f64) -> bool {
    (one - other).abs() <= one.max(other) * percent / 100.0
}

fn assert_the_same(early: &Cost, late: &Cost) {
    let bytes = (early.bytes as f64, late.bytes as f64);
    assert!(
        is_within_percent(bytes.0, bytes.1, 5.0),
        "{early:?} {late:?}"
    );
    let state = (early.state as f64, late.state as f64);
    assert!(
        is_within_percent(state.0, state.1, 5.0),
        "{early:?} {late:?}"
    );
}

#[test]
fn those_who_come_and_go_cost_the_same_for_ever() {
    let mut mesh = Mesh::new(Config {
        limits: Limits {
            remembered: 200,
            ..Limits::default()
        },
        ..Config::default()
    });
    mesh.run_to(1_000);
    let early = mesh.cost();
    mesh.run_to(2_800);
    let late = mesh.cost();
    assert_the_same(&early, &late);
    assert_eq!(late.remembered, 200, "as many as may be");
    assert!(late.rows <= PLACES + STAY.len(), "{late:?}");
    assert!(mesh.sim.is_whole());
}

#[test]
#[ignore = "a hundred thousand cycles, a minute in release: cargo test --release -p astromesh-maia --features wire --test cycles -- --ignored --nocapture"]
#[expect(
    clippy::print_stderr,
    reason = "what was measured, for those who ask to see it"
)]
fn a_hundred_thousand_who_come_and_go_cost_no_more_than_a_thousand() {
    let mut mesh = Mesh::new(Config::default());
    mesh.run_to(1_000);
    let early = mesh.cost();
    mesh.run_to(10_000);
    let full = mesh.cost();
    mesh.run_to(100_000 - WEIGHED);
    let late = mesh.cost();
    eprintln!("at 1,000 {early:?}\nat 10,000 {full:?}\nat 100,000 {late:?}");
    assert!(is_within_percent(
        early.bytes as f64,
        late.bytes as f64,
        5.0
    ));
    assert_the_same(&full, &late);
    assert_eq!(late.remembered, Limits::default().remembered);
    assert!(late.rows <= PLACES + STAY.len());
    assert!(mesh.sim.is_whole());
}
