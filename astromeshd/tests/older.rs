//! Real daemons in one mesh with nodes of release 0.40, over real HTTP.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod older_node;
mod support;

use astromeshd::Daemon;
use maia::address::Url;
use maia::id::NodeId;
use maia::message::Status;
use older_node::{Habits, Older};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use support::{alone, eventually, get};

/// Quick, and yet patient enough that a busy machine suspects nobody.
const TIMES: &str = "gossip_interval: 0.2, heartbeat_interval: 0.5, failure_timeout: 2, dead_timeout: 4, stable_after: 1";

/// Longer than anybody who was silent all the while would be alive, or anything but dead, to one of ours.
const LONG: Duration = Duration::from_millis(4_500);

async fn ours(name: &str, seeds: &[Url]) -> Daemon {
    let seeds: Vec<_> = seeds.iter().map(ToString::to_string).collect();
    let seeds = seeds.join(", ");
    alone(
        name,
        &format!("mesh: {{enabled: true, {TIMES}, seeds: [{seeds}]}}"),
    )
    .await
}

/// How a member stands at one of ours; `None` where it is no member.
fn standing(at: &Daemon, id: &NodeId) -> Option<Status> {
    let view = at.view().unwrap();
    let seen = view.member(id).filter(|seen| seen.confirmed || seen.is_me);
    seen.map(|seen| seen.status)
}

/// All of ours hold all of both for alive.
fn ours_see_all(ours: &[&Daemon], older: &[&Older]) -> bool {
    let everybody = || {
        let theirs = older.iter().map(|node| node.id());
        ours.iter().map(|daemon| daemon.id()).chain(theirs)
    };
    ours.iter()
        .all(|at| everybody().all(|id| standing(at, id) == Some(Status::Alive)))
}

/// All of both hold all of both for alive.
fn one_mesh(ours: &[&Daemon], older: &[&Older]) -> bool {
    let theirs_see = |at: &&Older| {
        let daemons = ours.iter().map(|daemon| daemon.id());
        let mut everybody = daemons.chain(older.iter().map(|node| node.id()));
        everybody.all(|id| at.belief(id) == Some(Status::Alive))
    };
    ours_see_all(ours, older) && older.iter().all(theirs_see)
}

/// All of ours take `id` for the leader.
fn leads(ours: &[&Daemon], id: &NodeId) -> bool {
    ours.iter()
        .all(|daemon| daemon.view().unwrap().leader.as_ref() == Some(id))
}

/// Looks all the while, and fails with `what` as soon as it no longer holds.
async fn holds_on(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < LONG {
        assert!(holds(), "no longer after {:?}: {what}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_daemon_joins_through_an_older_seed() {
    let old = Older::start("old", None, Habits::default()).await;
    let ana = ours("ana", &[old.url()]).await;
    eventually("both see each other", || one_mesh(&[&ana], &[&old])).await;
    assert!(ana.view().unwrap().joined);
    assert_eq!(get(&ana, "/readyz").await.status, 200);
    holds_on("both see each other", || one_mesh(&[&ana], &[&old])).await;
}

#[tokio::test]
async fn an_older_node_joins_through_a_daemon() {
    let ana = ours("ana", &[]).await;
    let old = Older::start("old", Some(ana.url()), Habits::default()).await;
    eventually("both see each other", || one_mesh(&[&ana], &[&old])).await;
    holds_on("both see each other", || one_mesh(&[&ana], &[&old])).await;
}

#[tokio::test]
async fn three_older_nodes_and_ours_are_one_mesh() {
    let ana = ours("ana", &[]).await;
    let one = Older::start("old-1", Some(ana.url()), Habits::default()).await;
    let two = Older::start("old-2", Some(one.url()), Habits::default()).await;
    // This one knows nobody but an older node, which has to be told of the rest itself.
    let bob = ours("bob", &[two.url()]).await;
    let three = Older::start("old-3", Some(bob.url()), Habits::default()).await;
    let (ours, older) = ([&ana, &bob], [&one, &two, &three]);
    eventually("one mesh of five", || one_mesh(&ours, &older)).await;
    eventually("ours name the greatest id", || leads(&ours, three.id())).await;
    holds_on("one mesh of five", || one_mesh(&ours, &older)).await;
}

#[tokio::test]
async fn one_that_advertises_nowhere_is_reached_where_it_calls_from() {
    let ana = ours("ana", &[]).await;
    let bob = ours("bob", &[ana.url()]).await;
    let habits = Habits {
        host: Ipv4Addr::new(127, 0, 0, 5),
        advertises_nowhere: true,
        ..Habits::default()
    };
    let old = Older::start("old", Some(ana.url()), habits).await;
    let is_reached = |at: &Daemon| {
        let view = at.view().unwrap();
        let seen = view.member(old.id()).filter(|seen| seen.confirmed);
        seen.is_some_and(|seen| seen.url == old.url() && seen.status == Status::Alive)
    };
    eventually("both reach it", || is_reached(&ana) && is_reached(&bob)).await;
    holds_on("both reach it", || is_reached(&ana) && is_reached(&bob)).await;
    let view = ana.view().unwrap();
    let said = &view.member(old.id()).unwrap().record.card.url;
    assert!(said.is_unspecified(), "its own word is not ours to change");
}

#[tokio::test]
async fn lies_and_wrong_clocks_do_no_harm() {
    const HOUR: i64 = 3_600_000;
    let ana = ours("ana", &[]).await;
    let bob = ours("bob", &[ana.url()]).await;
    let cid = ours("cid", &[bob.url()]).await;
    let start = |name, habits| Older::start(name, Some(ana.url()), habits);
    let off = |clock_off_millis| Habits {
        clock_off_millis,
        ..Habits::default()
    };
    let liar = Habits {
        lies: true,
        ..Habits::default()
    };
    let liar = start("0-liar", liar).await;
    let late = start("old-late", off(-HOUR)).await;
    let early = start("old-early", off(HOUR)).await;
    let far = start("old-far", off(10 * 365 * 24 * HOUR)).await;
    let (ours, older) = ([&ana, &bob, &cid], [&liar, &late, &early, &far]);
    eventually("ours see all seven", || ours_see_all(&ours, &older)).await;
    // To one whose clock is ahead everybody is dead, and it says so; to ours that is nothing.
    eventually("the early one judges by its clock", || {
        ours.iter()
            .all(|daemon| early.belief(daemon.id()) == Some(Status::Dead))
    })
    .await;
    holds_on("ours see all seven", || ours_see_all(&ours, &older)).await;
    assert!(leads(&ours, late.id()), "not by the rule, but by the liar");
}

#[tokio::test]
async fn a_daemon_that_leaves_stays_away_from_all() {
    let ana = ours("ana", &[]).await;
    let bob = ours("bob", &[ana.url()]).await;
    let one = Older::start("old-1", Some(ana.url()), Habits::default()).await;
    let two = Older::start("old-2", Some(one.url()), Habits::default()).await;
    eventually("one mesh of four", || {
        one_mesh(&[&ana, &bob], &[&one, &two])
    })
    .await;
    let gone = ana.id().clone();
    ana.stop().await;
    let is_gone = || {
        let believed = [&one, &two].map(|node| node.belief(&gone));
        let is_out = |belief: &Option<Status>| matches!(belief, None | Some(Status::Dead));
        standing(&bob, &gone).is_none() && believed.iter().all(is_out)
    };
    eventually("ana is gone", is_gone).await;
    holds_on("ana is gone", is_gone).await;
    assert!(one_mesh(&[&bob], &[&one, &two]));
}
