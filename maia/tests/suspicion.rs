//! Silence, suspicion and death: what a node makes of others, by its own monotonic clock alone.

use maia::config::Config;
use maia::event::Event;
use maia::message::Request;
use maia::message::Status::{Alive, Dead, Suspect};
use maia::sim::Sim;
use maia::time::Instant;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FIVE: [&str; 5] = ["ana", "bob", "cid", "dan", "eve"];

#[test]
fn a_member_that_returns_in_time_is_alive_again() {
    let mut mesh = Sim::new(7, &["ana", "bob", "eve"]);
    mesh.run_for(secs(10));

    mesh.isolate("eve");
    mesh.run_for(secs(22));
    assert_eq!(mesh.belief("ana", "eve"), Some(Suspect));

    mesh.heal();
    mesh.run_for(secs(5));
    assert_eq!(mesh.belief("ana", "eve"), Some(Alive));
}

#[test]
fn a_dead_member_is_suspect_at_15_to_18_s_and_dead_at_30_to_33_s_after_its_last_heartbeat() {
    for seed in 0..20 {
        let mut mesh = Sim::new(seed, &FIVE);
        mesh.run_for(secs(20));
        let beat = last_heartbeat(&mesh, "eve");
        mesh.crash("eve");
        mesh.run_for(secs(40));
        for observer in &FIVE[..4] {
            let suspected =
                moment(&mesh, observer, |e| matches!(e, Event::Suspected { .. })).since(beat);
            let died = moment(&mesh, observer, |e| matches!(e, Event::Died { .. })).since(beat);
            assert!(
                (secs(15)..=secs(18)).contains(&suspected),
                "{observer}: suspect after {suspected:?}"
            );
            assert!(
                (Duration::from_millis(29_990)..=secs(33)).contains(&died),
                "{observer}: dead after {died:?}"
            );
        }
    }
}

/// H1: wall clocks that are wrong by up to ten years change nothing but the digits that their owners write.
#[test]
fn wrong_wall_clocks_change_nothing() {
    let year = 365 * 24 * 3_600_000_i64;
    let run = |off: [i64; 5]| {
        let mut mesh = Sim::empty(11, Config::default());
        for (name, off) in FIVE.into_iter().zip(off) {
            mesh.set_wall_off(name, off);
            mesh.start(name, if name == "ana" { &[] } else { &["ana"] });
        }
        mesh.run_for(secs(60));
        mesh.crash("cid");
        mesh.run_for(secs(120));
        mesh.trace_hash()
    };
    let right = run([0; 5]);
    assert_eq!(right, run([60_000, -60_000, 0, 3_600_000, -3_600_000]));
    assert_eq!(
        right,
        run([10 * year, -10 * year, 10 * year, 0, -10 * year])
    );
}

/// H1: a clock that is set while the node runs makes it begin a new incarnation, and nobody suspects it.
#[test]
fn a_clock_that_jumps_makes_nobody_suspect() {
    for jump in [-3_600_000, 3_600_000, 10 * 365 * 24 * 3_600_000] {
        let mut mesh = Sim::new(12, &FIVE);
        mesh.run_for(secs(20));
        mesh.set_wall_off("bob", jump);
        mesh.run_for(secs(60));
        assert!(mesh.is_whole(), "after a jump of {jump} ms");
        assert_eq!(
            count(&mesh, |e| matches!(
                e,
                Event::Suspected { .. } | Event::Died { .. }
            )),
            0
        );
    }
}

/// Its silence counts from when it was last heard of, like anybody's: not from its join, and by no pace that was learnt while
/// it joined. Passing its heartbeats on is left to chance, so the last that somebody heard may be some seconds old.
#[test]
fn one_that_has_just_come_is_suspect_no_sooner_than_others() {
    // It is asked after 15 s, and to hear nothing takes time.
    const ASKED: Duration = secs(16);
    const HEARD_BEFORE: Duration = secs(4);
    for seed in 0..10 {
        for age in [1, 2, 5, 10, 20, 100] {
            let mut mesh = Sim::new(seed, &FIVE);
            mesh.run_for(secs(60));
            mesh.start("fay", &["ana"]);
            mesh.run_for(secs(age));
            mesh.isolate("fay");
            let cut = mesh.now();
            mesh.run_for(secs(40));
            for observer in FIVE {
                let about_fay = |event: &Event| match event {
                    Event::Suspected { name, silent, .. } if name.as_str() == "fay" => {
                        assert!(*silent >= ASKED, "{observer}: suspect after {silent:?}");
                        true
                    }
                    _ => false,
                };
                let suspected = moment(&mesh, observer, about_fay).since(cut);
                let died = moment(
                    &mesh,
                    observer,
                    |event| matches!(event, Event::Died { name, .. } if name.as_str() == "fay"),
                );
                assert!(
                    suspected >= secs(15) - HEARD_BEFORE,
                    "{observer}: suspect {suspected:?} after the cut"
                );
                assert!(died.since(cut) >= secs(30) - HEARD_BEFORE);
            }
        }
    }
}

/// H2: relayed old news does not look fresh: death is known everywhere in time, whatever the diameter.
#[test]
fn death_is_known_everywhere_in_time() {
    let nodes = if cfg!(debug_assertions) { 100 } else { 300 };
    let mut mesh = Sim::empty(13, Config::default());
    mesh.network().loss = 0.05;
    mesh.start("n0", &[]);
    for n in 1..nodes {
        mesh.start(&format!("n{n}"), &["n0"]);
    }
    mesh.run_for(secs(40));
    assert_eq!(
        count(&mesh, |e| matches!(e, Event::Suspected { .. })),
        0,
        "nobody is suspected wrongly"
    );
    let beat = last_heartbeat(&mesh, "n7");
    mesh.crash("n7");
    mesh.run_for(secs(36));
    let deaths: Vec<Duration> = mesh
        .events()
        .iter()
        .filter(|reported| matches!(reported.event, Event::Died { .. }))
        .map(|reported| reported.at.since(beat))
        .collect();
    assert_eq!(
        deaths.len(),
        nodes - 1,
        "everybody knows, and nobody else died"
    );
    let last = deaths.iter().max().expect("somebody died");
    assert!(*last <= secs(33), "the last observer knew after {last:?}");
    let first = deaths.iter().min().expect("somebody died");
    assert!(
        *first >= Duration::from_millis(29_900),
        "the first observer knew after {first:?}"
    );
}

/// H3: what one node says of others changes nothing elsewhere.
#[test]
fn the_verdicts_of_a_liar_change_nothing() {
    let mut mesh = Sim::new(14, &FIVE);
    mesh.run_for(secs(20));
    for _ in 0..30 {
        let liar = mesh.id("eve").expect("it runs").clone();
        let view = mesh.node("eve").expect("it runs").view();
        let lies = view.members.iter().map(|seen| maia::message::Entry {
            record: seen.record.clone(),
            status: Dead,
            leader: seen.is_me,
        });
        let lies: Vec<_> = lies.collect();
        mesh.inject("ana", Some(&liar), Request::Gossip(lies.into()));
        mesh.run_for(secs(1));
        assert!(mesh.is_whole());
    }
    assert_eq!(
        count(&mesh, |e| matches!(
            e,
            Event::Suspected { .. } | Event::Died { .. }
        )),
        0
    );
}

/// H23: peers that swallow everything do not hold up a round.
#[test]
fn silent_peers_do_not_slow_the_others_down() {
    let names = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"];
    let mut mesh = Sim::new(15, &names);
    mesh.run_for(secs(20));
    for silent in &names[5..] {
        mesh.isolate(silent);
    }
    mesh.run_for(secs(120));
    for observer in &names[..5] {
        for subject in &names[..5] {
            assert_eq!(
                mesh.belief(observer, subject),
                Some(Alive),
                "{observer} of {subject}"
            );
        }
    }
    let wrongly = mesh
        .events()
        .iter()
        .filter(|reported| match &reported.event {
            Event::Suspected { name, .. } => {
                names[..5].contains(&name.as_str()) && names[..5].contains(&&*reported.by)
            }
            _ => false,
        });
    assert_eq!(wrongly.count(), 0);
}

#[test]
fn a_member_that_only_some_can_reach_is_not_suspected() {
    let mut mesh = Sim::new(16, &FIVE);
    mesh.run_for(secs(10));
    mesh.cut_one_way("ana", "eve");
    mesh.run_for(secs(120));
    assert_eq!(count(&mesh, |e| matches!(e, Event::Suspected { .. })), 0);
}

/// H14: one that is heard but cannot be reached, neither from here nor by others, is alive and is sent nothing.
#[test]
fn a_member_that_nobody_can_reach_is_sent_no_requests() {
    let mut mesh = Sim::new(20, &["ana", "bob", "eve"]);
    mesh.run_for(secs(20));
    mesh.cut_one_way("ana", "eve");
    mesh.cut_one_way("bob", "eve");
    let routable = |mesh: &Sim| {
        let view = mesh.node("ana").expect("it runs").view();
        let eve = view
            .member(mesh.id("eve").expect("it runs"))
            .expect("it has a row");
        eve.takes_requests()
    };
    assert!(mesh.run_until(secs(15), |mesh| !routable(mesh)).is_some());
    mesh.run_for(secs(60));
    assert_eq!(
        mesh.belief("ana", "eve"),
        Some(Alive),
        "what it sends still arrives"
    );
    assert!(!routable(&mesh));
    mesh.heal();
    assert!(mesh.run_until(secs(10), routable).is_some());
}

#[test]
fn a_node_that_slept_does_not_call_others_dead() {
    let mut mesh = Sim::new(17, &FIVE);
    mesh.run_for(secs(20));
    mesh.pause("eve");
    mesh.run_for(secs(20));
    mesh.resume("eve");
    assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
    let by_sleeper = mesh
        .events()
        .iter()
        .filter(|r| r.by == "eve" && matches!(r.event, Event::Suspected { .. }));
    assert_eq!(by_sleeper.count(), 0);
}

#[test]
fn a_pause_of_a_minute_heals_within_ten_seconds() {
    for seed in 0..10 {
        let mut mesh = Sim::new(seed, &FIVE);
        mesh.run_for(secs(20));
        mesh.pause("eve");
        mesh.run_for(secs(60));
        assert_eq!(mesh.belief("ana", "eve"), Some(Dead));
        mesh.resume("eve");
        assert!(
            mesh.run_until(secs(10), Sim::is_whole).is_some(),
            "seed {seed}: {:#?}",
            mesh.events()
        );
    }
}

#[test]
fn thirty_percent_loss_makes_nobody_suspect_a_healthy_member() {
    let mut mesh = Sim::empty(18, Config::default());
    mesh.start("n0", &[]);
    for n in 1..30 {
        mesh.start(&format!("n{n}"), &["n0"]);
    }
    mesh.run_for(secs(30));
    mesh.network().loss = 0.3;
    mesh.run_for(secs(600));
    assert_eq!(count(&mesh, |e| matches!(e, Event::Suspected { .. })), 0);
}

#[test]
fn the_dead_are_forgotten_after_a_minute_and_come_back_when_they_return() {
    let mut mesh = Sim::new(19, &FIVE);
    mesh.run_for(secs(20));
    mesh.isolate("eve");
    mesh.run_for(secs(100));
    assert_eq!(mesh.belief("ana", "eve"), None);
    mesh.heal();
    assert!(mesh.run_until(secs(6), Sim::is_whole).is_some());
}

fn last_heartbeat(mesh: &Sim, name: &str) -> Instant {
    let beat = mesh.node(name).expect("it runs").view().members[0]
        .record
        .version
        .heartbeat;
    let since_start = beat.unix_millis() - maia::sim::WALL_AT_START.unix_millis();
    Instant::after_start(Duration::from_millis(since_start))
}

fn moment(mesh: &Sim, observer: &str, is_meant: impl Fn(&Event) -> bool) -> Instant {
    let meant = mesh
        .events()
        .iter()
        .find(|reported| reported.by == observer && is_meant(&reported.event));
    meant
        .map(|reported| reported.at)
        .unwrap_or_else(|| panic!("{observer} saw nothing of that kind"))
}

fn count(mesh: &Sim, is_meant: impl Fn(&Event) -> bool) -> usize {
    mesh.events()
        .iter()
        .filter(|reported| is_meant(&reported.event))
        .count()
}

/// Its heartbeats would stay behind the pace that others know it by, and make its silence look longer than it is.
#[test]
fn one_that_was_suspended_for_a_while_is_not_called_dead_too_soon() {
    let mut mesh = Sim::new(3, &["ana", "bob", "eve"]);
    mesh.run_for(secs(60));
    mesh.suspend("eve");
    mesh.run_for(secs(8));
    mesh.resume("eve");
    mesh.run_for(secs(30));
    assert_dies_in_time(&mut mesh, "eve");
}

/// Its clock was set back before, so that after a sleep the time of day is not far from its heartbeats, and yet it slept.
#[test]
fn one_that_slept_long_with_a_clock_set_back_is_not_called_dead_too_soon() {
    let mut mesh = Sim::new(3, &["ana", "bob", "eve"]);
    mesh.run_for(secs(20));
    mesh.set_wall_off("eve", -7_000);
    mesh.run_for(secs(40));
    mesh.suspend("eve");
    mesh.run_for(secs(16));
    mesh.resume("eve");
    mesh.run_for(secs(30));
    assert_dies_in_time(&mut mesh, "eve");
}

/// One that leaves and is back before its next round begins its rounds at another moment, and its heartbeats with them.
#[test]
fn one_that_came_back_has_no_heartbeats_ahead_of_time() {
    for millis in (0..2_000).step_by(250) {
        let mut mesh = Sim::new(3, &["ana", "bob", "eve"]);
        mesh.run_for(secs(20));
        mesh.leave("eve");
        mesh.run_for(Duration::from_millis(millis));
        mesh.rejoin("eve");
        mesh.run_for(Duration::from_millis(50));
        let ahead = last_heartbeat(&mesh, "eve").since(mesh.now());
        assert!(ahead < Duration::from_millis(10), "{ahead:?}");
    }
}

/// Crashes `name`, and sees that everybody leaves it its time.
fn assert_dies_in_time(mesh: &mut Sim, name: &str) {
    mesh.crash(name);
    let crashed = mesh.now();
    mesh.run_for(secs(40));
    let died = mesh
        .events()
        .iter()
        .filter(|reported| reported.at >= crashed && matches!(reported.event, Event::Died { .. }));
    let died: Vec<Instant> = died.map(|reported| reported.at).collect();
    assert_eq!(died.len(), mesh.running().len());
    for at in died {
        assert!(at.since(crashed) > secs(28), "{at:?} after {crashed:?}");
    }
}
