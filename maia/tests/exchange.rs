//! The cheap exchange between our own nodes: what it costs, who is spared it, and what nobody can do with it.

use maia::beats::Beats;
use maia::config::Config;
use maia::error::Invalid;
use maia::event::Event;
use maia::id::NodeId;
use maia::message::Status::Alive;
use maia::message::{Refusal, Reply, Request, Status};
use maia::node::{Command, Input, Node, Output};
use maia::record::Load;
use maia::sim::{OlderNode, Process, Sim};
use maia::time::Instant;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn mesh_of(nodes: usize) -> Sim {
    let mut mesh = Sim::empty(1, Config::default());
    mesh.start("n0", &[]);
    for n in 1..nodes {
        mesh.start(&format!("n{n}"), &["n0"]);
    }
    mesh.run_for(secs(60));
    mesh
}

/// The aim for a hundred nodes is 800 bytes a second; a whole table in JSON would be some 120 kB.
#[test]
fn a_quiet_mesh_of_a_hundred_costs_little() {
    let mut mesh = mesh_of(100);
    mesh.weigh();
    mesh.run_for(secs(20));
    let bytes = mesh.bytes() / 100 / 20;
    assert!(bytes <= 800, "{bytes} bytes a second from each node");
}

/// Everybody looks for one who is gone, round after round: a whole table each time would be some 8 kB a second here.
#[test]
fn one_who_is_gone_is_looked_for_at_little_cost() {
    let mut mesh = mesh_of(50);
    mesh.crash("n7");
    mesh.run_for(secs(45));
    assert_eq!(mesh.belief("n8", "n7"), Some(Status::Dead));
    mesh.weigh();
    mesh.run_for(secs(30));
    let bytes = mesh.bytes() / 49 / 30;
    assert!(bytes <= 1_200, "{bytes} bytes a second from each node");
}

/// Passed on a few times by each who hears it, a figure may miss one in some hundred; those get it when it is told again.
#[test]
fn load_figures_reach_almost_everybody_at_once_and_all_in_time() {
    let mut mesh = mesh_of(30);
    let load = Load::new(42.0, 7.0, 123).expect("in range");
    mesh.command("n7", Command::Load(load));
    let id = mesh.id("n7").expect("it runs").clone();
    let knowing = |mesh: &Sim| {
        let knows = |n: &usize| {
            let view = mesh.node(&format!("n{n}")).expect("it runs").view();
            view.member(&id)
                .is_some_and(|seen| seen.record.load == load)
        };
        (0..30).filter(knows).count()
    };
    assert!(
        mesh.run_until(secs(12), |mesh| knowing(mesh) >= 28)
            .is_some()
    );
    assert!(
        mesh.run_until(secs(300), |mesh| knowing(mesh) == 30)
            .is_some()
    );
    mesh.run_for(secs(60));
    assert_eq!(knowing(&mesh), 30, "and nobody forgets it");
}

#[test]
fn agents_and_addresses_still_travel() {
    let mut mesh = mesh_of(30);
    mesh.command(
        "n7",
        Command::Agents(vec!["coder".parse().expect("a label")]),
    );
    let id = mesh.id("n7").expect("it runs").clone();
    let known = |mesh: &Sim| {
        (0..30).all(|n| {
            let view = mesh.node(&format!("n{n}")).expect("it runs").view();
            view.carriers(&"coder".parse().expect("a label"))
                .any(|seen| *seen.id() == id)
        })
    };
    assert!(mesh.run_until(secs(6), known).is_some());
}

/// Heartbeats of an older node, which counts no rounds, travel between ours all the same.
#[test]
fn an_older_node_lives_through_it() {
    let mut mesh = mesh_of(10);
    mesh.reserve("old");
    let old = OlderNode::new("old", &mesh.url("old"), Some(mesh.url("n0")), 40);
    mesh.place("old", old);
    mesh.run_for(secs(20));
    for _ in 0..120 {
        mesh.run_for(secs(1));
        for n in 0..10 {
            assert_eq!(
                mesh.belief(&format!("n{n}"), "old"),
                Some(Alive),
                "n{n} at {:?}",
                mesh.now()
            );
        }
    }
    assert_eq!(suspicions(&mesh), 0);
}

/// A node of ours that does not understand the cheap exchange, as one of another release might not.
#[derive(Debug)]
struct Plain(Node);

impl Process for Plain {
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        match input {
            Input::Receive {
                call,
                request: Request::Exchange(_) | Request::Reconcile { .. },
                ..
            } => {
                let refusal = Refusal::Invalid(Invalid::new("path", "not known here"));
                vec![Output::Reply {
                    call,
                    reply: Reply::Refused(refusal),
                }]
            }
            input => self.0.handle(now, input),
        }
    }

    fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    fn speaks_as(&self) -> Option<NodeId> {
        Some(self.0.id().clone())
    }

    fn id(&self) -> NodeId {
        self.0.id().clone()
    }

    fn belief(&self, id: &NodeId) -> Option<Status> {
        self.0.status(id)
    }
}

#[test]
fn who_does_not_understand_it_is_spoken_to_plainly() {
    let mut mesh = mesh_of(5);
    let config = Config {
        seeds: vec![mesh.url("n0")],
        ..Config::default()
    };
    mesh.reserve("plain");
    let me = maia::node::Identity {
        id: "plain".parse().expect("an id"),
        name: "plain".parse().expect("a name"),
        url: mesh.url("plain"),
        services: Vec::new(),
        agents: Vec::new(),
        version: None,
    };
    let rng = maia::rng::Rng::from_seed(5);
    let node =
        Node::new(config, me, mesh.now(), maia::sim::WALL_AT_START, rng).expect("good settings");
    mesh.place("plain", Plain(node));
    mesh.run_for(secs(10));
    for _ in 0..200 {
        mesh.run_for(secs(1));
        for n in 0..5 {
            assert_eq!(mesh.belief(&format!("n{n}"), "plain"), Some(Alive));
            assert_eq!(mesh.belief("plain", &format!("n{n}")), Some(Alive));
        }
    }
    assert_eq!(suspicions(&mesh), 0);
}

/// Counts that nobody counted: refused from strangers, refuted by the one they speak of, and without effect on others.
#[test]
fn forged_counts_do_no_harm() {
    let mut mesh = mesh_of(5);
    let (liar, victim) = (mesh.id("n1").expect("it runs").clone(), "n0");
    let ticket = mesh.inject(victim, Some(&liar), Request::Exchange(Beats::default()));
    mesh.run_for(secs(1));
    let Some(Reply::Held(maia::beats::Held::Other(listed))) = mesh.reply(ticket) else {
        panic!(
            "another fingerprint is answered with what is held: {:?}",
            mesh.reply(ticket)
        );
    };
    assert_eq!(listed.len(), 5);

    let fingerprint = mesh.node("n2").expect("it runs").fingerprint();
    for beat in [1_000, 1_000_000_000, u64::MAX] {
        let forged = Beats {
            fingerprint,
            beats: vec![beat; 5],
            ..Beats::default()
        };
        mesh.inject(victim, Some(&liar), Request::Exchange(forged.clone()));
        mesh.inject(victim, None, Request::Exchange(forged));
        mesh.run_for(secs(60));
        assert!(mesh.is_whole(), "{beat}: {:#?}", mesh.events());
    }
}

fn suspicions(mesh: &Sim) -> usize {
    let suspected =
        |reported: &&maia::sim::Reported| matches!(reported.event, Event::Suspected { .. });
    mesh.events().iter().filter(suspected).count()
}
