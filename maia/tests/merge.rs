//! The laws of merging, tried on everything in a small space.

use maia::id::{Name, NodeId};
use maia::record::{Card, Ext, Heartbeat, Incarnation, Load, Record, Version};
use std::sync::Arc;

/// Every record of two incarnations, two heartbeats, two cards, and no ext or one of two numbers and two contents.
fn all_records() -> Vec<Record> {
    let mut all = Vec::new();
    for incarnation in 1..=2 {
        for heartbeat in 1..=2 {
            for cpu_percent in [1.0, 2.0] {
                for ext in [
                    None,
                    Some((1, false)),
                    Some((1, true)),
                    Some((2, false)),
                    Some((2, true)),
                ] {
                    all.push(record(incarnation, heartbeat, cpu_percent, ext));
                }
            }
        }
    }
    all
}

fn record(incarnation: u32, heartbeat: u64, cpu_percent: f64, ext: Option<(u64, bool)>) -> Record {
    Record {
        id: NodeId::new("ana").expect("an id"),
        version: Version {
            incarnation: Incarnation::from_unix_seconds(f64::from(incarnation)).expect("in range"),
            heartbeat: Heartbeat::from_unix_millis(heartbeat).expect("in range"),
        },
        card: Arc::new(Card {
            name: Name::new("ana").expect("a name"),
            url: "http://ana:8000".parse().expect("a URL"),
            services: Vec::new(),
            agents: Vec::new(),
        }),
        load: Load::new(cpu_percent, 0.0, 0).expect("in range"),
        ext: ext.map(|(n, leads)| {
            Arc::new(Ext {
                n,
                leads,
                ..Ext::default()
            })
        }),
    }
}

#[test]
fn the_order_of_two_words_does_not_matter() {
    for a in all_records() {
        for b in all_records() {
            assert_eq!(a.merged(&b), b.merged(&a));
        }
    }
}

#[test]
fn the_grouping_of_three_words_does_not_matter() {
    let all = all_records();
    for a in &all {
        for b in &all {
            let ab = a.merged(b);
            for c in &all {
                assert_eq!(ab.merged(c), a.merged(&b.merged(c)));
            }
        }
    }
}

#[test]
fn a_word_that_comes_twice_changes_nothing() {
    for a in all_records() {
        assert_eq!(a.merged(&a), a);
        for b in all_records() {
            let ab = a.merged(&b);
            assert_eq!(ab.merged(&b), ab);
            assert!(!b.supersedes(&ab));
            assert_eq!(b.supersedes(&a), ab != a);
        }
    }
}

#[test]
fn a_version_never_falls_and_an_ext_is_never_erased() {
    for a in all_records() {
        for b in all_records() {
            let ab = a.merged(&b);
            assert!(ab.version >= a.version && ab.version >= b.version);
            if a.version.incarnation == ab.version.incarnation {
                assert!(ab.ext >= a.ext);
            }
        }
    }
}
