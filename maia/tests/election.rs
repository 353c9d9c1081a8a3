//! Who leads: everybody names the same, soon after the old one is gone, and nobody takes the mesh along by crashing.

use maia::config::Config;
use maia::election::{Bully, Contender, Election};
use maia::event::Event;
use maia::id::{Name, NodeId};
use maia::message::{Reply, Request};
use maia::node::{Identity, Node};
use maia::rng::Rng;
use maia::sim::{Sim, WALL_AT_START};
use maia::time::Wall;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FIVE: [&str; 5] = ["ana", "bob", "cid", "dan", "eve"];

/// S2: without any fault all nodes name the same leader.
#[test]
fn without_a_fault_there_is_one_leader() {
    for seed in 0..20 {
        let mut mesh = Sim::new(seed, &FIVE);
        mesh.run_for(secs(20));
        for name in FIVE {
            assert_eq!(mesh.leader(name), Some("eve"), "{name}, seed {seed}");
        }
    }
}

/// S3: a killed leader is replaced everywhere within two seconds after the last survivor calls it dead.
#[test]
fn a_killed_leader_is_replaced() {
    for seed in 0..20 {
        let mut mesh = Sim::new(seed, &FIVE);
        mesh.run_for(secs(20));
        mesh.crash("eve");
        mesh.run_for(secs(40));
        let dead = mesh
            .events()
            .iter()
            .filter(|r| matches!(r.event, Event::Died { .. }));
        let last_dead = dead.map(|r| r.at).max().expect("it died");
        let named = mesh
            .events()
            .iter()
            .filter(|r| matches!(r.event, Event::LeaderChanged { .. }));
        let last_named = named.map(|r| r.at).max().expect("somebody was named");
        assert!(last_named.since(last_dead) <= secs(2), "seed {seed}");
        for name in &FIVE[..4] {
            assert_eq!(mesh.leader(name), Some("dan"), "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_leader_that_leaves_hands_over_at_once() {
    let mut mesh = Sim::new(1, &FIVE);
    mesh.run_for(secs(20));
    mesh.leave("eve");
    let handed_over = |mesh: &Sim| {
        FIVE[..4]
            .iter()
            .all(|name| mesh.leader(name) == Some("dan"))
    };
    assert!(mesh.run_until(secs(1), handed_over).is_some());
}

/// H7: the greatest id, crashing at each boot, changes the leader at most once in thirty times.
#[test]
fn a_node_that_keeps_crashing_does_not_take_the_lead() {
    let mut mesh = Sim::new(2, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    assert_eq!(mesh.leader("ana"), Some("cid"));
    let before = changes(&mesh);
    for _ in 0..30 {
        mesh.start("zoe", &["ana"]);
        mesh.run_for(secs(5));
        mesh.crash("zoe");
        mesh.run_for(secs(2));
    }
    assert!(
        changes(&mesh) <= before + 1,
        "{} changes",
        changes(&mesh) - before
    );
}

#[test]
fn a_greater_id_takes_over_once_it_has_stayed() {
    let mut mesh = Sim::new(3, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    mesh.start("zoe", &["ana"]);
    mesh.run_for(secs(8));
    assert_eq!(mesh.leader("ana"), Some("cid"));
    mesh.run_for(secs(10));
    for name in ["ana", "bob", "cid", "zoe"] {
        assert_eq!(mesh.leader(name), Some("zoe"), "{name}");
    }
}

#[test]
fn a_node_that_has_not_joined_yet_names_nobody_at_first() {
    let mut mesh = Sim::empty(4, Config::default());
    mesh.start("eve", &["ana"]);
    mesh.run_for(secs(9));
    assert_eq!(mesh.leader("eve"), None);
    mesh.run_for(secs(4));
    assert_eq!(mesh.leader("eve"), Some("eve"));
}

/// H8: a leader that was paused, or whose machine was suspended, names nobody until it has heard how things stand.
#[test]
fn a_leader_that_slept_does_not_name_itself() {
    for suspended in [false, true] {
        let mut mesh = Sim::new(5, &FIVE);
        mesh.run_for(secs(20));
        assert_eq!(mesh.leader("eve"), Some("eve"));
        if suspended {
            // Its monotonic clock stands still meanwhile; here it never stopped, but the time of day jumps likewise.
            mesh.set_wall_off("eve", 60_000);
            mesh.run_for(Duration::from_millis(2_010));
        } else {
            mesh.pause("eve");
            mesh.run_for(secs(60));
            mesh.resume("eve");
        }
        let ticket = mesh.inject("eve", None, Request::Election);
        mesh.run_for(Duration::ZERO);
        if !suspended {
            assert_eq!(mesh.reply(ticket), Some(&Reply::Election(None)));
        }
        let stepped_down = mesh.events().iter().any(|reported| {
            reported.by == "eve"
                && matches!(reported.event, Event::LeaderChanged { leader: None, .. })
        });
        assert!(stepped_down, "suspended: {suspended}");
        assert!(mesh.run_until(secs(20), Sim::is_whole).is_some());
    }
}

/// H8, where death comes after three seconds: a stop of a little more is long enough for another to lead.
#[test]
fn a_leader_with_short_timeouts_that_slept_does_not_name_itself() {
    let mut mesh = Sim::empty(
        6,
        Config {
            gossip_interval: Duration::from_millis(200),
            failure_timeout: Duration::from_millis(1_500),
            dead_timeout: secs(3),
            stable_after: secs(1),
            ..Config::default()
        },
    );
    for name in FIVE {
        mesh.start(name, if name == "ana" { &[] } else { &["ana"] });
    }
    mesh.run_for(secs(10));
    assert_eq!(mesh.leader("eve"), Some("eve"));
    mesh.pause("eve");
    mesh.run_for(Duration::from_millis(3_300));
    assert_eq!(mesh.leader("ana"), Some("dan"));
    mesh.resume("eve");
    let ticket = mesh.inject("eve", None, Request::Election);
    mesh.run_for(Duration::ZERO);
    assert_eq!(mesh.reply(ticket), Some(&Reply::Election(None)));
    assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
}

fn changes(mesh: &Sim) -> usize {
    let old_hands = |reported: &&maia::sim::Reported| reported.by != "zoe";
    let changed =
        |reported: &&maia::sim::Reported| matches!(reported.event, Event::LeaderChanged { .. });
    mesh.events()
        .iter()
        .filter(old_hands)
        .filter(changed)
        .count()
}

/// The bully's rule, which counts how often it is asked.
#[derive(Debug)]
struct Counted {
    rule: Bully,
    asked: Arc<AtomicUsize>,
}

impl Election for Counted {
    fn leader<'a>(
        &self,
        contenders: &mut dyn Iterator<Item = Contender<'a>>,
    ) -> Option<&'a NodeId> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.rule.leader(contenders)
    }
}

/// Newcomers do not lead at once, so where somebody leads already they are no reason to look through everybody: a mesh of
/// thousands forms without an election for each pair of them.
#[test]
fn no_election_is_held_for_each_who_comes() {
    let mut mesh = Sim::new(1, &["ana"]);
    mesh.run_for(secs(20));
    let asked = Arc::new(AtomicUsize::new(0));
    let config = Config {
        seeds: vec![mesh.url("ana")],
        ..Config::default()
    };
    mesh.reserve("bob");
    let me = Identity::new(
        NodeId::new("bob").expect("an id"),
        Name::new("bob").expect("a name"),
        mesh.url("bob"),
    );
    let elapsed = u64::try_from(mesh.now().since_start().as_millis()).expect("seconds");
    let wall = Wall::from_unix_millis(WALL_AT_START.unix_millis() + elapsed);
    let node = Node::new(config.clone(), me, mesh.now(), wall, Rng::from_seed(1));
    let node = node.expect("settings go together").with_election(Counted {
        rule: Bully::new(config.stable_after),
        asked: Arc::clone(&asked),
    });
    mesh.place("bob", node);
    mesh.run_for(secs(4));
    let before = asked.load(Ordering::Relaxed);
    for number in 0..60 {
        mesh.start(&format!("n{number:02}"), &["ana"]);
    }
    mesh.run_for(secs(8));
    assert_eq!(mesh.node("bob").expect("it runs").present(), 61);
    let held = asked.load(Ordering::Relaxed) - before;
    assert!(
        held <= 8,
        "{held} elections in four rounds, in which 60 came"
    );
}
