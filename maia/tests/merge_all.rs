//! The laws of merging on a space that stands for every other.
//!
//! Merging only compares: incarnations, heartbeats, cards and exts. Three records hold at most three different values of
//! each (of the ext four, for there may be none), so what holds for all triples of these holds for all there are.

use maia::id::{Name, NodeId};
use maia::record::{Card, Ext, Heartbeat, Incarnation, Load, Record, Version};
use std::sync::Arc;

/// Three incarnations, three heartbeats, three cards; no ext, or one of three that differ by number or by content alone.
fn all_records() -> Vec<Record> {
    let exts = [None, Some((1, false)), Some((1, true)), Some((2, false))];
    let mut all = Vec::new();
    for incarnation in 1..=3 {
        for heartbeat in 1..=3 {
            for requests in 1..=3 {
                all.extend(exts.map(|ext| record(incarnation, heartbeat, requests, ext)));
            }
        }
    }
    all
}

fn record(incarnation: u32, heartbeat: u64, requests: u32, ext: Option<(u64, bool)>) -> Record {
    let version = Version {
        incarnation: Incarnation::from_unix_seconds(f64::from(incarnation)).expect("in range"),
        heartbeat: Heartbeat::from_unix_millis(heartbeat).expect("in range"),
    };
    let card = Card {
        name: Name::new("ana").expect("a name"),
        url: "http://ana:8000".parse().expect("a URL"),
        services: Vec::new(),
        agents: Vec::new(),
    };
    let content = |(n, left)| {
        Arc::new(Ext {
            n,
            left,
            ..Ext::default()
        })
    };
    Record {
        id: NodeId::new("ana").expect("an id"),
        version,
        card: Arc::new(card),
        load: Load::new(0.0, 0.0, requests).expect("in range"),
        ext: ext.map(content),
    }
}

/// Which of `all` each two become; merging makes nothing that is not among them.
fn merged_places(all: &[Record]) -> Vec<Vec<usize>> {
    let place = |record: &Record| {
        let found = all.iter().position(|other| other == record);
        found.expect("merging makes up nothing")
    };
    let row = |one: &Record| all.iter().map(|other| place(&one.merged(other))).collect();
    all.iter().map(row).collect()
}

#[test]
fn merging_is_commutative_associative_and_idempotent_whatever_is_merged() {
    let all = all_records();
    let merged = merged_places(&all);
    let mut triples = 0_u32;
    for one in 0..all.len() {
        assert_eq!(merged[one][one], one);
        for other in 0..all.len() {
            assert_eq!(merged[one][other], merged[other][one]);
            for third in 0..all.len() {
                triples += 1;
                assert_eq!(
                    merged[merged[one][other]][third], merged[one][merged[other][third]],
                    "{:?} {:?} {:?}",
                    all[one], all[other], all[third]
                );
            }
        }
    }
    assert_eq!(triples, 108 * 108 * 108);
}

#[test]
fn a_word_supersedes_another_exactly_where_merging_changes_it() {
    let all = all_records();
    for held in &all {
        for word in &all {
            assert_eq!(word.supersedes(held), held.merged(word) != *held);
        }
    }
}

/// Neither part of what is kept is less than either had, within one life; of an earlier life nothing is kept.
#[test]
fn each_part_that_is_kept_is_the_greater_one() {
    let all = all_records();
    for one in &all {
        for other in &all {
            let kept = one.merged(other);
            let life = one.version.incarnation.max(other.version.incarnation);
            assert_eq!(kept.version.incarnation, life);
            let of_that_life = [one, other]
                .into_iter()
                .filter(|r| r.version.incarnation == life);
            let cards = of_that_life.clone().map(|r| (r.version, r.card.clone()));
            assert_eq!(Some((kept.version, kept.card.clone())), cards.max());
            let exts = of_that_life.map(|r| r.ext.clone());
            assert_eq!(Some(kept.ext.clone()), exts.max());
        }
    }
}
