//! Random runs over all faults at once. A failure prints the seed that brings it back.

use maia::message::Request;
use maia::record::Heartbeat;
use maia::sim::{Sim, chaos};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn whatever_happens_the_mesh_becomes_whole_again() {
    let (seeds, events) = if cfg!(debug_assertions) {
        (12, 10_000)
    } else {
        (40, 50_000)
    };
    for seed in 0..seeds {
        let nodes = 3 + (seed as usize * 5) % 12;
        let outcome = chaos::run(seed, nodes, events);
        assert!(outcome.violations.is_empty(), "{outcome:#?}");
    }
}

/// Runs in which something once broke: a member was called suspect late after a pause (108); a late refusal of a node that
/// had left and come back kept it out for good (114, 545).
#[test]
fn what_once_broke_stays_mended() {
    for (seed, nodes) in [(108, 17), (114, 27), (545, 8)] {
        let outcome = chaos::run(seed, nodes, 30_000);
        assert!(outcome.violations.is_empty(), "{outcome:#?}");
    }
}

#[test]
fn the_same_seed_brings_the_same_run() {
    let one = chaos::run(77, 6, 5_000);
    assert_eq!(one, chaos::run(77, 6, 5_000));
    assert_ne!(one.trace_hash, chaos::run(78, 6, 5_000).trace_hash);
}

/// The watch itself: a version that somebody else raised is noticed.
#[test]
fn a_raised_version_is_noticed() {
    let mut mesh = Sim::new(1, &["ana", "bob", "cid"]);
    mesh.watch();
    mesh.run_for(Duration::from_secs(10));
    assert!(mesh.violations().is_empty(), "{:?}", mesh.violations());
    let view = mesh.node("cid").expect("it runs").view();
    let mut record = (*view.members[0].record).clone();
    let millis = record.version.heartbeat.unix_millis() + 60_000;
    record.version.heartbeat = Heartbeat::from_unix_millis(millis).expect("before 2100");
    let raised = maia::message::Entry {
        record: Arc::new(record),
        status: maia::message::Status::Alive,
        leader: false,
    };
    mesh.inject("ana", None, Request::Gossip(vec![raised].into()));
    mesh.run_for(Duration::from_secs(1));
    assert!(!mesh.violations().is_empty());
}
