//! Nodes that get little time, or none for a while: their own lateness is no one else's silence, and they do not lead on
//! old news. (H8, H24)

use maia::event::Event;
use maia::id::NodeId;
use maia::message::{Entry, Reply, Request, Table};
use maia::sim::Sim;
use std::time::Duration;

const EIGHT: [&str; 8] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets `name` work for a twentieth of each `period` only.
fn starve(mesh: &mut Sim, name: &str, period: Duration, time: Duration) {
    let end = mesh.now() + time;
    while mesh.now() < end {
        mesh.pause(name);
        mesh.run_for(period.mul_f64(0.95));
        mesh.resume(name);
        mesh.run_for(period.mul_f64(0.05));
    }
}

fn convictions(mesh: &Sim) -> Vec<String> {
    let convicted = mesh
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::Suspected { .. } | Event::Died { .. }));
    convicted
        .map(|r| format!("{:?} {}: {}", r.at, r.by, r.event))
        .collect()
}

/// H24: ten minutes on five percent of a processor, in slices as a quota deals them out and in longer ones.
#[test]
fn a_starved_observer_convicts_nobody() {
    for period in [Duration::from_millis(100), secs(1), secs(10)] {
        for seed in 0..3 {
            let mut mesh = Sim::new(seed, &EIGHT);
            mesh.run_for(secs(20));
            starve(&mut mesh, "n7", period, secs(600));
            let convicted = convictions(&mesh);
            let by_starved: Vec<_> = convicted.iter().filter(|c| c.contains(" n7: ")).collect();
            assert!(
                by_starved.is_empty(),
                "{period:?}, seed {seed}: {by_starved:#?}"
            );
            assert!(mesh.run_until(secs(20), Sim::is_whole).is_some());
        }
    }
}

/// Nor do others convict it, while it works in time for its rounds.
#[test]
fn nobody_convicts_a_node_that_is_starved_a_second_at_a_time() {
    for seed in 0..3 {
        let mut mesh = Sim::new(seed, &EIGHT);
        mesh.run_for(secs(20));
        starve(&mut mesh, "n3", secs(1), secs(600));
        assert_eq!(convictions(&mesh), Vec::<String>::new(), "seed {seed}");
    }
}

/// H8: whatever a leader is asked that slept for a minute, none of its first answers names it.
#[test]
fn no_answer_of_a_leader_that_slept_names_itself() {
    for seed in 0..10 {
        let mut mesh = Sim::new(seed, &EIGHT);
        mesh.run_for(secs(20));
        assert_eq!(mesh.leader("n0"), Some("n7"));
        let sleeper = mesh.id("n7").expect("it runs").clone();
        let known = mesh.id("n1").expect("it runs").clone();
        let record = mesh.node("n1").expect("it runs").view().members[0]
            .record
            .clone();
        let entry = Entry {
            record,
            ..Sim::forged("n1", "http://10.0.0.2:8000")
        };
        mesh.pause("n7");
        mesh.run_for(secs(60));
        assert_eq!(mesh.leader("n0"), Some("n6"));
        let asked = [
            Request::Election,
            Request::State,
            Request::Join(entry.clone()),
            Request::Gossip(vec![entry.clone()].into()),
            Request::Heartbeat { entry, ask: None },
            Request::Reconcile {
                table: Table::default(),
                wanted: vec![maia::record::id_hash(&sleeper)],
            },
        ];
        let tickets = asked.map(|request| mesh.inject("n7", Some(&known), request));
        mesh.run_for(Duration::ZERO);
        assert!(tickets.iter().all(|ticket| mesh.reply(*ticket).is_none()));
        mesh.resume("n7");
        mesh.run_for(Duration::ZERO);
        for ticket in tickets {
            let reply = mesh.reply(ticket).expect("all are answered at once");
            assert!(!names(reply, &sleeper), "seed {seed}: {reply:?}");
        }
        assert!(mesh.run_until(secs(20), Sim::is_whole).is_some());
    }
}

/// Whether this answer says that `id` leads.
fn names(reply: &Reply, id: &NodeId) -> bool {
    let in_table = |table: &Table| {
        let mut own = table.entries.iter().filter(|entry| entry.record.id == *id);
        own.any(|entry| entry.leader || entry.record.says_it_leads())
    };
    match reply {
        Reply::State(state) => state.leader.as_ref() == Some(id) || in_table(&state.table),
        Reply::Gossip(table) => in_table(table),
        Reply::Heartbeat { node, .. } => in_table(&node.iter().cloned().collect::<Vec<_>>().into()),
        Reply::Election(leader) => leader.as_ref() == Some(id),
        Reply::Held(_) | Reply::Leave | Reply::Refused(_) => false,
    }
}

/// A call that arrives before the tick that is long overdue.
#[test]
fn a_call_before_the_late_tick_is_not_answered_on_old_news() {
    let mut mesh = Sim::new(5, &["ana", "bob", "eve"]);
    mesh.run_for(Duration::from_secs(20));
    assert_eq!(mesh.leader("ana"), Some("eve"));
    mesh.pause("eve");
    mesh.run_for(Duration::from_secs(60));
    let ticket = mesh.inject("eve", None, Request::Election);
    mesh.resume("eve");
    mesh.run_for(Duration::ZERO);
    assert_eq!(mesh.reply(ticket), Some(&Reply::Election(None)));
}
