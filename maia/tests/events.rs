//! What a node reports: each event once, with why and for how long.

use maia::event::{Event, Reason};
use maia::message::Status::{Alive, Dead};
use maia::node::Command;
use maia::sim::Sim;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What `by` reported of the mesh so far.
fn reports<'a>(mesh: &'a Sim, by: &str) -> Vec<&'a Event> {
    let theirs = mesh.events().iter().filter(|r| r.by == by);
    theirs.map(|r| &r.event).collect()
}

/// The only report of `by` that `pick` takes.
fn only<T>(mesh: &Sim, by: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
    let mut picked: Vec<T> = reports(mesh, by).into_iter().filter_map(pick).collect();
    assert_eq!(picked.len(), 1, "{:#?}", mesh.events());
    picked.remove(0)
}

fn within(span: Duration, least: u64, most: u64) -> bool {
    (secs(least)..=secs(most)).contains(&span)
}

#[test]
fn whoever_joins_answered_or_was_vouched_for() {
    let mut mesh = Sim::new(1, &["ana", "bob", "eve"]);
    mesh.run_for(secs(20));
    for by in ["ana", "bob", "eve"] {
        let joined = reports(&mesh, by)
            .into_iter()
            .filter_map(|event| match event {
                Event::Joined { known, reason, .. } => Some((*known, *reason)),
                _ => None,
            });
        let joined: Vec<_> = joined.collect();
        assert_eq!(joined.len(), 2, "{joined:?}");
        for (known, reason) in joined {
            assert!(
                matches!(reason, Reason::Answered | Reason::Vouched),
                "{reason:?}"
            );
            assert!(known <= secs(3), "{known:?}");
        }
    }
}

#[test]
fn silence_is_told_with_its_length_and_its_end() {
    let mut mesh = Sim::new(2, &["ana", "bob", "eve"]);
    mesh.run_for(secs(10));
    mesh.isolate("eve");
    mesh.run_for(secs(20));
    let (silent, reason) = only(&mesh, "ana", |event| match event {
        Event::Suspected { silent, reason, .. } => Some((*silent, *reason)),
        _ => None,
    });
    assert!(within(silent, 15, 18), "{silent:?}");
    assert_eq!(reason, Reason::Silence);

    mesh.heal();
    mesh.run_for(secs(5));
    let (after, reason) = only(&mesh, "ana", |event| match event {
        Event::Recovered { after, reason, .. } => Some((*after, *reason)),
        _ => None,
    });
    assert!(within(after, 1, 9), "{after:?}");
    assert_eq!(reason, Reason::Silence);
}

#[test]
fn death_leaving_and_forgetting_are_told_apart() {
    let mut mesh = Sim::new(3, &["ana", "bob", "cid", "eve"]);
    mesh.run_for(secs(20));
    mesh.crash("bob");
    mesh.leave("cid");
    mesh.run_for(secs(120));
    let (silent, reason) = only(&mesh, "ana", |event| match event {
        Event::Died { silent, reason, .. } => Some((*silent, *reason)),
        _ => None,
    });
    assert!(within(silent, 28, 33), "{silent:?}");
    assert_eq!(reason, Reason::Silence);
    let (known, reason) = only(&mesh, "ana", |event| match event {
        Event::Left { known, reason, .. } => Some((*known, *reason)),
        _ => None,
    });
    assert!(within(known, 15, 21), "{known:?}");
    assert_eq!(reason, Reason::Goodbye);
    let forgotten = reports(&mesh, "ana")
        .into_iter()
        .filter_map(|event| match event {
            Event::Forgotten { gone, reason, .. } => Some((*gone, *reason)),
            _ => None,
        });
    let forgotten: Vec<_> = forgotten.collect();
    assert_eq!(forgotten.len(), 2, "{forgotten:?}");
    for (gone, reason) in forgotten {
        assert!(within(gone, 60, 63), "{gone:?}");
        assert_eq!(reason, Reason::Age);
    }
}

#[test]
fn a_change_of_leaders_names_both() {
    let mut mesh = Sim::new(4, &["ana", "bob", "eve"]);
    mesh.run_for(secs(60));
    assert_eq!(mesh.leader("ana"), Some("eve"));
    let (eve, bob) = (mesh.id("eve").cloned(), mesh.id("bob").cloned());
    mesh.crash("eve");
    mesh.run_for(secs(40));
    let last = reports(&mesh, "ana")
        .into_iter()
        .rev()
        .find_map(|event| match event {
            Event::LeaderChanged {
                leader,
                before,
                lasted,
            } => Some((leader.clone(), before.clone(), *lasted)),
            _ => None,
        });
    let (leader, before, lasted) = last.expect("a change");
    assert_eq!((leader, before), (bob, eve));
    assert!(within(lasted, 60, 100), "{lasted:?}");
}

/// Told to forget a dead one, a node does, and gossip of those who still hold it does not bring it back; told to forget
/// a live one, or one that nobody knows, it does nothing.
#[test]
fn only_the_dead_are_forgotten_on_request() {
    let mut mesh = Sim::new(5, &["ana", "bob", "eve"]);
    mesh.run_for(secs(20));
    let eve = mesh.id("eve").cloned().expect("it started");
    mesh.command("ana", Command::Forget(eve.clone()));
    mesh.command("ana", Command::Forget("nobody".parse().expect("an id")));
    mesh.run_for(secs(1));
    assert_eq!(mesh.belief("ana", "eve"), Some(Alive));

    mesh.crash("eve");
    assert!(
        mesh.run_until(secs(40), |mesh| {
            ["ana", "bob"].map(|by| mesh.belief(by, "eve")) == [Some(Dead); 2]
        })
        .is_some()
    );
    mesh.command("ana", Command::Forget(eve));
    mesh.run_for(Duration::from_millis(100));
    assert_eq!(mesh.belief("ana", "eve"), None);
    let reason = only(&mesh, "ana", |event| match event {
        Event::Forgotten { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, Reason::Dismissal);
    for _ in 0..30 {
        mesh.run_for(secs(1));
        assert_eq!(mesh.belief("ana", "eve"), None, "at {:?}", mesh.now());
        assert_eq!(mesh.belief("bob", "eve"), Some(Dead));
    }

    mesh.restart("eve");
    assert!(mesh.run_until(secs(20), Sim::is_whole).is_some());
}
