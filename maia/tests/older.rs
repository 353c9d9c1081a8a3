//! Living with nodes of release 0.40: one mesh with them, and none of their faults.

use maia::address::Url;
use maia::config::Config;
use maia::event::Event;
use maia::message::Status::{Alive, Dead, Left};
use maia::sim::{OlderNode, Process, Sim};
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn older(mesh: &Sim, name: &str, seed: Option<&str>) -> OlderNode {
    OlderNode::new(name, &mesh.url(name), seed.map(|seed| mesh.url(seed)), 40)
}

/// All of `names` hold all of `names` for alive.
fn one_mesh(mesh: &Sim, names: &[&str]) -> bool {
    names
        .iter()
        .all(|by| names.iter().all(|of| mesh.belief(by, of) == Some(Alive)))
}

#[test]
fn our_nodes_join_through_an_older_seed() {
    let mut mesh = Sim::empty(1, Config::default());
    mesh.reserve("old");
    mesh.place("old", older(&mesh, "old", None));
    mesh.start("ana", &["old"]);
    mesh.start("bob", &["old"]);
    let names = ["old", "ana", "bob"];
    assert!(
        mesh.run_until(secs(20), |mesh| one_mesh(mesh, &names))
            .is_some(),
        "{:#?}",
        mesh.events()
    );
    for _ in 0..120 {
        mesh.run_for(secs(1));
        assert!(
            one_mesh(&mesh, &names),
            "at {:?}: {:#?}",
            mesh.now(),
            mesh.events()
        );
    }
}

#[test]
fn older_nodes_join_through_ours() {
    let mut mesh = Sim::new(2, &["ana", "bob"]);
    mesh.run_for(secs(10));
    for name in ["old1", "old2"] {
        mesh.reserve(name);
        mesh.place(name, older(&mesh, name, Some("ana")));
    }
    let names = ["ana", "bob", "old1", "old2"];
    assert!(
        mesh.run_until(secs(20), |mesh| one_mesh(mesh, &names))
            .is_some(),
        "{:#?}",
        mesh.events()
    );
    for _ in 0..300 {
        mesh.run_for(secs(1));
        assert!(one_mesh(&mesh, &names), "at {:?}", mesh.now());
    }
}

#[test]
fn an_older_node_that_dies_is_dead_to_ours_and_comes_back() {
    let mut mesh = Sim::new(3, &["ana", "bob"]);
    mesh.reserve("old");
    mesh.place("old", older(&mesh, "old", Some("ana")));
    mesh.run_for(secs(20));
    mesh.crash("old");
    mesh.run_for(secs(45));
    assert_eq!(mesh.belief("ana", "old"), Some(Dead));
    assert_eq!(mesh.belief("bob", "old"), Some(Dead));
    let again = OlderNode::new("old-again", &mesh.url("old"), Some(mesh.url("ana")), 41);
    mesh.place("old", again);
    let names = ["ana", "bob", "old"];
    assert!(
        mesh.run_until(secs(20), |mesh| one_mesh(mesh, &names))
            .is_some(),
        "{:#?}",
        mesh.events()
    );
}

/// Its clock a minute off, it calls everybody dead or lives for ever, elsewhere; not with us.
#[test]
fn their_clocks_and_opinions_do_us_no_harm() {
    for off in [-3_600_000, -60_000, 60_000, 3_600_000] {
        let mut mesh = Sim::new(4, &["ana", "bob", "cid"]);
        mesh.reserve("old");
        mesh.set_wall_off("old", off);
        mesh.place("old", older(&mesh, "old", Some("ana")));
        mesh.run_for(secs(20));
        for _ in 0..120 {
            mesh.run_for(secs(1));
            assert!(
                one_mesh(&mesh, &["ana", "bob", "cid"]),
                "{off} ms off, at {:?}",
                mesh.now()
            );
            for name in ["ana", "bob", "cid"] {
                assert_eq!(
                    mesh.belief(name, "old"),
                    Some(Alive),
                    "{off} ms off, {name} at {:?}",
                    mesh.now()
                );
            }
        }
        let wrongly = mesh
            .events()
            .iter()
            .filter(|r| matches!(r.event, Event::Suspected { .. }));
        assert_eq!(wrongly.count(), 0);
    }
}

/// Their shipped profiles advertise `http://0.0.0.0:8000`: they are reached where their calls come from.
#[test]
fn a_node_that_advertises_no_address_is_reached_where_it_called_from() {
    let mut mesh = Sim::new(5, &["ana", "bob"]);
    let nowhere: Url = "http://0.0.0.0:8000".parse().expect("a URL");
    for name in ["old1", "old2"] {
        mesh.reserve(name);
        mesh.place(
            name,
            OlderNode::new(name, &nowhere, Some(mesh.url("ana")), 50),
        );
    }
    let ours_see_them = |mesh: &Sim| {
        ["old1", "old2"]
            .iter()
            .all(|old| mesh.belief("ana", old) == Some(Alive))
    };
    assert!(
        mesh.run_until(secs(20), ours_see_them).is_some(),
        "{:#?}",
        mesh.events()
    );
    mesh.run_for(secs(60));
    assert!(ours_see_them(&mesh), "{:#?}", mesh.events());
    let view = mesh.node("ana").expect("it runs").view();
    let seen = view
        .member(mesh.id("old1").expect("it runs"))
        .expect("just seen");
    assert_eq!(seen.url, mesh.url("old1"));
}

#[test]
fn one_of_ours_that_leaves_is_not_alive_to_older_nodes() {
    let mut mesh = Sim::new(6, &["ana", "bob"]);
    for name in ["old1", "old2"] {
        mesh.reserve(name);
        mesh.place(name, older(&mesh, name, Some("ana")));
    }
    mesh.run_for(secs(30));
    mesh.leave("bob");
    mesh.run_for(secs(5));
    let bob = mesh.id("bob").expect("it ran").clone();
    for _ in 0..60 {
        mesh.run_for(secs(1));
        for old in ["old1", "old2"] {
            assert_ne!(
                mesh.belief_in(old, &bob),
                Some(Alive),
                "{old} at {:?}",
                mesh.now()
            );
        }
        assert!(matches!(mesh.belief("ana", "bob"), Some(Left) | None));
    }
}

#[test]
fn the_model_itself_believes_what_it_is_told() {
    let mut mesh = Sim::new(7, &["ana"]);
    mesh.reserve("old");
    let old = older(&mesh, "old", Some("ana"));
    assert_eq!(old.speaks_as(), None);
    mesh.place("old", old);
    mesh.run_for(secs(10));
    let mut lie = Sim::forged("ghost", "http://10.9.9.9:80");
    lie.status = Dead;
    mesh.inject("old", None, maia::message::Request::Join(lie.clone()));
    mesh.run_for(secs(1));
    assert_eq!(mesh.belief_in("old", &lie.record.id), Some(Dead));
}

/// Where a clock was set back, an older node says that it began before the node of ours that was at its address, and goes
/// on telling of that one: it is the older node that answers, and no ghost lives by its answers.
#[test]
fn an_older_node_that_began_earlier_is_seen_and_its_predecessor_is_not() {
    let mut mesh = Sim::new(1, &["n0", "n1", "n2", "n3"]);
    mesh.run_for(secs(60));
    mesh.restart("n3");
    mesh.run_for(secs(60));
    let ghost = mesh.id("n3").expect("it runs").clone();
    let old = OlderNode::new("older", &mesh.url("n3"), Some(mesh.url("n0")), 6);
    mesh.place("n3", old);
    mesh.run_for(secs(600));
    for by in ["n0", "n1", "n2"] {
        assert_eq!(mesh.belief_in(by, &ghost), None, "{by}");
        assert_eq!(mesh.belief(by, "n3"), Some(Alive), "{by}");
    }
}
