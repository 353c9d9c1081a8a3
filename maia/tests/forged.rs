//! What strangers may send: it confirms nobody, moves nobody, and costs a bounded amount. (H27)

use maia::config::{Config, Limits};
use maia::event::Event;
use maia::id::{Name, NodeId};
use maia::message::{Reply, Request, Table};
use maia::record::{Ext, Heartbeat, Record, Rounds};
use maia::sim::Sim;
use maia::time::Instant;
use std::sync::Arc;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// S9: one forged POST neither kills a node nor invents an immortal one.
#[test]
fn a_forged_node_is_never_shown() {
    let mut mesh = Sim::new(1, &["ana", "bob"]);
    mesh.run_for(secs(15));
    let forged = Sim::forged("ghost", "http://10.9.9.9:8000");
    mesh.inject("ana", None, Request::Join(forged.clone()));
    mesh.inject("bob", None, Request::Gossip(vec![forged.clone()].into()));
    let heartbeat = Request::Heartbeat {
        entry: forged,
        ask: None,
    };
    mesh.inject("bob", None, heartbeat);
    for _ in 0..90 {
        mesh.run_for(secs(1));
        assert!(mesh.is_whole());
        assert_eq!(
            mesh.belief_in("ana", &NodeId::new("ghost").expect("an id")),
            None
        );
    }
    assert_eq!(
        mesh.node("ana").expect("it runs").rows(),
        1,
        "it did not answer, so it is gone"
    );
}

/// A heartbeat years ahead does not mute its owner.
#[test]
fn a_heartbeat_years_ahead_is_not_taken() {
    let mut mesh = Sim::new(2, &["ana", "bob", "cid"]);
    mesh.run_for(secs(10));
    for ahead in [30 * 60, 3 * 3_600, 10 * 365 * 24 * 3_600] {
        let forged = altered(&mesh, "cid", |record| {
            let millis = record.version.heartbeat.unix_millis() + ahead * 1_000;
            record.version.heartbeat = Heartbeat::from_unix_millis(millis).expect("before 2100");
        });
        mesh.inject("ana", None, Request::Gossip(forged.into()));
        mesh.run_for(secs(60));
        assert!(mesh.is_whole(), "{ahead} s ahead: {:#?}", mesh.events());
    }
}

/// A record about a node, at the end of time, makes it refute that once and no more.
#[test]
fn a_node_refutes_what_it_did_not_say() {
    let mut mesh = Sim::new(3, &["ana", "bob", "cid"]);
    mesh.run_for(secs(10));
    let forged = altered(&mesh, "cid", |record| {
        record.version.incarnation =
            maia::record::Incarnation::from_unix_seconds(4_102_444_799.999)
                .expect("the end of 2099");
    });
    mesh.inject("cid", None, Request::Gossip(forged.into()));
    mesh.run_for(secs(60));
    assert!(mesh.is_whole(), "{:#?}", mesh.events());
    assert_eq!(mesh.node("cid").expect("it runs").counters().refutations, 1);
}

#[test]
fn a_forged_address_of_a_member_is_not_taken() {
    let mut mesh = Sim::new(4, &["ana", "bob", "cid"]);
    mesh.run_for(secs(20));
    let forged = altered(&mesh, "cid", |record| {
        let mut card = (*record.card).clone();
        card.url = "http://10.9.9.9:8000".parse().expect("a URL");
        record.card = Arc::new(card);
        let millis = record.version.heartbeat.unix_millis() + 500;
        record.version.heartbeat = Heartbeat::from_unix_millis(millis).expect("before 2100");
    });
    mesh.inject("ana", None, Request::Gossip(forged.into()));
    for _ in 0..30 {
        mesh.run_for(secs(1));
        let view = mesh.node("ana").expect("it runs").view();
        let cid = view
            .member(mesh.id("cid").expect("it runs"))
            .expect("still there");
        assert_eq!(cid.url, mesh.url("cid"));
        assert!(mesh.is_whole());
    }
}

#[test]
fn a_flood_of_ids_costs_no_honest_node_its_place() {
    let config = Config {
        limits: Limits {
            nodes: 64,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut mesh = Sim::empty(5, config);
    mesh.start("n0", &[]);
    for n in 1..20 {
        mesh.start(&format!("n{n}"), &["n0"]);
    }
    mesh.run_for(secs(20));
    for wave in 0..20 {
        let flood: Vec<_> = (0..2_000)
            .map(|n| {
                Sim::forged(
                    &format!("f{wave}-{n}"),
                    &format!("http://10.9.{}.{}:80", n / 250, n % 250),
                )
            })
            .collect();
        mesh.inject("n0", None, Request::Gossip(flood.into()));
        mesh.run_for(secs(2));
        assert!(mesh.node("n0").expect("it runs").rows() < 64);
    }
    mesh.start("late", &["n0"]);
    mesh.run_for(secs(10));
    assert!(mesh.is_whole(), "the late one found its place");
    assert!(mesh.node("n0").expect("it runs").counters().crowded_out > 0);
}

/// 1,024 forged ids that claim to be where a victim is: it is asked a few times, not a thousand.
#[test]
fn forged_ids_at_a_victims_address_cost_it_a_few_questions() {
    let mut mesh = Sim::new(6, &["ana", "bob"]);
    mesh.run_for(secs(20));
    let quiet = messages_in(&mut mesh, secs(10));
    let url = mesh.url("bob");
    let flood: Vec<_> = (0..1_024)
        .map(|n| Sim::forged(&format!("f{n}"), url.as_str()))
        .collect();
    mesh.inject("ana", None, Request::Gossip(flood.into()));
    let loud = messages_in(&mut mesh, secs(10));
    assert!(loud <= quiet + 10, "{loud} messages instead of {quiet}");
    assert!(mesh.is_whole());

    let nobody = "http://10.9.9.9:80";
    let flood: Vec<_> = (0..1_024)
        .map(|n| Sim::forged(&format!("g{n}"), nobody))
        .collect();
    mesh.inject("ana", None, Request::Gossip(flood.into()));
    let loud = messages_in(&mut mesh, secs(10));
    assert!(loud <= quiet + 10, "{loud} messages instead of {quiet}");
}

#[test]
fn nobody_sends_us_to_a_metadata_service() {
    let mut mesh = Sim::new(7, &["ana", "bob"]);
    mesh.run_for(secs(10));
    for url in [
        "http://169.254.169.254:80",
        "http://127.0.0.1:8000",
        "http://224.0.0.1:80",
    ] {
        let ticket = mesh.inject("ana", None, Request::Join(Sim::forged("x", url)));
        mesh.run_for(secs(1));
        assert!(
            matches!(mesh.reply(ticket), Some(Reply::Refused(_))),
            "{url}"
        );
    }
    let node = mesh.node("ana").expect("it runs");
    assert_eq!((node.rows(), node.counters().forbidden_addresses), (1, 3));
}

/// A table that a confirmed member's record stands in is taken without its bad records; any other is refused whole.
#[test]
fn bad_records_are_passed_over_only_where_somebody_vouches() {
    let mut mesh = Sim::new(8, &["ana", "bob"]);
    mesh.run_for(secs(10));
    let spoiled = vec![maia::error::Invalid::new(
        "nodes[1].url",
        "expected http://host:port",
    )];
    let of_strangers = Table {
        entries: vec![Sim::forged("x", "http://10.9.9.9:80")],
        spoiled: spoiled.clone(),
    };
    let ticket = mesh.inject("ana", None, Request::Gossip(of_strangers));
    mesh.run_for(Duration::from_millis(100));
    assert!(matches!(mesh.reply(ticket), Some(Reply::Refused(_))));
    assert_eq!(
        mesh.node("ana").expect("it runs").rows(),
        1,
        "nothing was merged"
    );

    let vouched = Table {
        entries: altered(&mesh, "bob", |_| {}),
        spoiled,
    };
    let ticket = mesh.inject("ana", None, Request::Gossip(vouched));
    mesh.run_for(Duration::from_millis(100));
    assert!(matches!(mesh.reply(ticket), Some(Reply::Gossip(_))));
    assert_eq!(
        mesh.node("ana")
            .expect("it runs")
            .counters()
            .skipped_records,
        1
    );
}

fn altered(mesh: &Sim, name: &str, change: impl Fn(&mut Record)) -> Vec<maia::message::Entry> {
    let view = mesh.node(name).expect("it runs").view();
    let mut record = (*view.members[0].record).clone();
    change(&mut record);
    vec![maia::message::Entry {
        record: Arc::new(record),
        status: maia::message::Status::Alive,
        leader: false,
    }]
}

fn messages_in(mesh: &mut Sim, time: Duration) -> u64 {
    let before = mesh.messages();
    mesh.run_for(time);
    mesh.messages() - before
}

/// A forged heartbeat of one who is out of reach is kept as its last word; back in touch it is told of that, and refutes it.
#[test]
fn a_forged_last_word_keeps_nobody_out() {
    let mut mesh = Sim::new(1, &["ana", "bob", "cid", "dan"]);
    mesh.run_for(secs(30));
    let view = mesh.node("dan").expect("it runs").view();
    let record = &view.members[0].record;
    let ahead = record.version.heartbeat.unix_millis() + 50 * 60 * 1_000;
    let ahead = Heartbeat::from_unix_millis(ahead).expect("before 2100");
    let mut forged = Sim::forged("dan", "http://10.9.9.9:8000");
    forged.record = Arc::new(record.with_heartbeat(ahead));

    mesh.isolate("dan");
    mesh.inject("ana", None, Request::Gossip(vec![forged].into()));
    mesh.run_for(secs(120));
    mesh.heal();
    assert!(mesh.run_until(secs(10), Sim::is_whole).is_some());
}

/// A word of the held version and number, but with another content, is kept where it sorts later. Others hold something
/// else then, so it reaches its owner, who says better.
#[test]
fn a_forged_part_with_the_true_number_is_refuted() {
    let forgeries: [fn(&mut Ext); 4] = [
        |ext| ext.draining = true,
        |ext| ext.leads = true,
        |ext| ext.version = Name::new("9.9").ok(),
        |ext| ext.more = Some("{\"more\":1}".into()),
    ];
    for forgery in forgeries {
        let mut mesh = Sim::new(11, &["ana", "bob", "cid"]);
        mesh.run_for(secs(31));
        let forged = altered(&mesh, "bob", |record| forge_ext(record, forgery));
        mesh.inject("ana", None, Request::Gossip(forged.into()));
        mesh.run_for(secs(20));
        let ext_to = |observer: &str| {
            let view = mesh.node(observer).expect("it runs").view();
            let bob = view.member(mesh.id("bob").expect("it runs"));
            bob.and_then(|bob| bob.record.ext.clone())
        };
        assert_eq!(ext_to("ana"), ext_to("bob"));
        assert_eq!(ext_to("cid"), ext_to("bob"));
    }
}

/// Rounds that seem to take longer make the last one seem longer ago, and those that begin in a fortnight none at all; one
/// that is paused cannot refute that.
#[test]
fn forged_rounds_of_one_that_is_paused_do_not_hasten_its_death() {
    let forgeries: [fn(&mut Rounds); 3] = [
        |rounds| rounds.interval_millis = 34_000,
        |rounds| rounds.origin_millis += 18 * 24 * 3_600_000,
        |rounds| rounds.origin_millis -= 1_001,
    ];
    for forgery in forgeries {
        let mut mesh = Sim::new(10, &["ana", "bob", "eve"]);
        mesh.run_for(secs(31));
        let forged = altered(&mesh, "eve", |record| {
            forge_ext(record, |ext| {
                ext.n += 1;
                forgery(ext.rounds.as_mut().expect("it counts"));
            });
        });
        let paused = mesh.now();
        mesh.pause("eve");
        mesh.inject("ana", None, Request::Gossip(forged.into()));
        mesh.run_for(secs(40));
        assert_died_in_time(&mesh, paused);
    }
}

fn forge_ext(record: &mut Record, forgery: impl Fn(&mut Ext)) {
    let mut ext = (**record.ext.as_ref().expect("it is ours")).clone();
    forgery(&mut ext);
    record.ext = Some(Arc::new(ext));
}

/// Both others give up whoever stopped, and leave it its time.
fn assert_died_in_time(mesh: &Sim, stopped: Instant) {
    let died = mesh.events().iter();
    let died = died.filter(|reported| matches!(reported.event, Event::Died { .. }));
    let died: Vec<Duration> = died.map(|reported| reported.at.since(stopped)).collect();
    assert_eq!(died.len(), 2);
    assert!(died.iter().all(|after| *after > secs(27)), "{died:?}");
}
