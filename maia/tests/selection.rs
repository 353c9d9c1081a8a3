//! Who takes the next request.

use maia::id::{Label, NodeId};
use maia::record::Heartbeat;
use maia::rng::Rng;
use maia::selector::candidates::{Candidate, Candidates, Standing};
use maia::selector::choices::Choices;
use maia::selector::counter::{Counter, InFlight};
use maia::selector::health::{Answered, State};
use maia::selector::{InTurn, LeastConnections, Selector};
use maia::sim::Sim;
use maia::time::Instant;
use maia::view::{View, Want};
use std::sync::Arc;
use std::time::Duration;

fn id(name: &str) -> NodeId {
    name.parse().expect("a plain id")
}

fn candidate(in_flight: &InFlight, name: &str, standing: Standing) -> Candidate {
    Candidate {
        id: id(name),
        name: name.parse().expect("a plain name"),
        url: format!("http://{name}:8000").parse().expect("a URL"),
        standing,
        is_me: name == "me",
        counter: in_flight.counter(&id(name)),
    }
}

fn alive(in_flight: &InFlight, names: &[&str]) -> Candidates {
    let candidate = |name: &&str| candidate(in_flight, name, Standing::Alive);
    Candidates::new(names.iter().map(candidate).collect())
}

fn choose(candidates: &Candidates, tried: &[usize], rng: &mut Rng) -> Option<String> {
    let place = LeastConnections.select(candidates, tried, rng)?;
    Some(candidates.members()[place].id.to_string())
}

fn chosen(candidates: &Candidates) -> String {
    choose(candidates, &[], &mut Rng::from_seed(1)).expect("there are some")
}

fn counter<'a>(candidates: &'a Candidates, name: &str) -> &'a Arc<Counter> {
    let place = candidates.place_of(&id(name)).expect("it is one of them");
    &candidates.members()[place].counter
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}

/// It answers `times` requests, each after that time.
fn answers(candidates: &Candidates, name: &str, took: Duration, times: usize) {
    for _ in 0..times {
        counter(candidates, name).answered(Answered::Well(took), candidates.usual());
    }
}

#[test]
fn the_one_with_the_fewest_in_flight_takes_it() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "bob"]);
    counter(&candidates, "ana").heard(3);
    counter(&candidates, "bob").heard(2);
    assert_eq!(chosen(&candidates), "bob");
    let _two = [(); 2].map(|()| counter(&candidates, "bob").begin());
    assert_eq!(chosen(&candidates), "ana");
}

#[test]
fn the_worse_of_standing_wait_until_nobody_better_is_left() {
    let all = InFlight::default();
    let candidates = Candidates::new(vec![
        candidate(&all, "heard", Standing::Hearsay),
        candidate(&all, "silent", Standing::Suspect),
        candidate(&all, "alive", Standing::Alive),
    ]);
    counter(&candidates, "alive").heard(99);
    let (mut tried, mut rng) = (Vec::new(), Rng::from_seed(1));
    for expected in ["alive", "silent", "heard"] {
        let chosen = choose(&candidates, &tried, &mut rng);
        assert_eq!(chosen.as_deref(), Some(expected));
        tried.push(candidates.place_of(&id(expected)).expect("it is one"));
    }
    assert_eq!(choose(&candidates, &tried, &mut rng), None);
}

#[test]
fn this_node_takes_it_where_it_is_no_busier() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "me"]);
    counter(&candidates, "ana").heard(1);
    let _one = counter(&candidates, "me").begin();
    assert_eq!(chosen(&candidates), "me");
    let _two = counter(&candidates, "me").begin();
    assert_eq!(chosen(&candidates), "ana");
}

#[test]
fn ties_go_to_each_at_random() {
    let all = InFlight::default();
    let names = ["ana", "bob", "eve"];
    let candidates = alive(&all, &names);
    let mut rng = Rng::from_seed(3);
    let mut taken = [0; 3];
    for _ in 0..3_000 {
        taken[LeastConnections
            .select(&candidates, &[], &mut rng)
            .expect("three")] += 1;
    }
    let even = 900..1_100;
    assert!(taken.iter().all(|count| even.contains(count)), "{taken:?}");
}

#[test]
fn word_of_a_count_is_moved_by_what_is_sent_and_comes_back_after() {
    let ana = Arc::new(Counter::default());
    let before = ana.begin();
    ana.heard(5);
    assert_eq!(ana.in_flight(), 5, "the one in flight is among them");
    let after = [ana.begin(), ana.begin()];
    assert_eq!(ana.in_flight(), 7);
    drop(before);
    assert_eq!(ana.in_flight(), 6);
    ana.heard(1);
    assert_eq!(ana.in_flight(), 2, "never fewer than were sent there");
    drop(after);
    assert_eq!((ana.now(), ana.in_flight()), (0, 0));
}

/// `view`, with one second more in the heartbeats of all.
fn a_second_later(view: &View) -> View {
    let mut later = view.clone();
    for seen in &mut later.members {
        let version = &mut Arc::make_mut(&mut seen.record).version;
        let millis = version.heartbeat.unix_millis() + 1_000;
        version.heartbeat = Heartbeat::from_unix_millis(millis).expect("before 2100");
    }
    later
}

#[test]
fn one_that_refused_is_full_until_it_runs_fewer() {
    let ana = Arc::new(Counter::default());
    ana.heard(5);
    assert!(!ana.is_full(), "nobody knows what it can");
    ana.refused(5);
    assert!(ana.is_full());
    ana.heard(4);
    assert!(!ana.is_full());
    let _one = ana.begin();
    assert!(ana.is_full());
}

#[test]
fn a_heartbeat_that_brings_no_load_is_no_report() {
    let view = view_of(2);
    let all = InFlight::default();
    all.note_reports(&view);
    let counter = all.counter(view.members[1].id());
    counter.heard(5);
    let later = a_second_later(&view);
    all.note_reports(&later);
    assert_eq!(
        counter.in_flight(),
        5,
        "the old figure came with a new heartbeat"
    );
    let mut told = later;
    told.members[1].load_beat += 1;
    all.note_reports(&told);
    assert_eq!(counter.in_flight(), 0);
}

#[test]
fn a_counter_outlives_the_membership_while_somebody_holds_it() {
    let all = InFlight::default();
    let running = all.counter(&id("ana")).begin();
    all.note_reports(&View::default());
    assert_eq!(all.counter(&id("ana")).now(), 1);
    drop(running);
    assert_eq!(all.total(), 0);
}

#[test]
fn the_count_is_exact_from_many_threads() {
    let all = Arc::new(InFlight::default());
    let count = |all: Arc<InFlight>| {
        for _ in 0..10_000 {
            drop(all.counter(&id("ana")).begin());
        }
        all.counter(&id("ana")).begin()
    };
    #[allow(clippy::disallowed_methods, reason = "threads are what is tested")]
    let threads = [(); 4].map(|()| {
        let all = Arc::clone(&all);
        std::thread::spawn(move || count(all))
    });
    let running = threads.map(|thread| thread.join().expect("no panic"));
    assert_eq!(all.total(), 4);
    drop(running);
    assert_eq!(all.total(), 0);
}

#[test]
fn one_that_refuses_leaves_at_once_and_returns_by_one_request() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "bob", "eve"]);
    let bob = counter(&candidates, "bob");
    let _busy = ["ana", "eve"].map(|name| counter(&candidates, name).begin());
    assert_eq!(chosen(&candidates), "bob");
    bob.failed();
    assert_ne!(chosen(&candidates), "bob");
    assert_eq!(all.review(at(1)), [id("bob")]);

    bob.returned();
    assert_eq!(bob.state(), State::OnTrial);
    assert_eq!(chosen(&candidates), "bob");
    let trial = bob.begin();
    assert_ne!(chosen(&candidates), "bob", "one is enough to see");
    bob.answered(Answered::Well(millis(5)), candidates.usual());
    drop(trial);
    assert_eq!(chosen(&candidates), "bob");
}

#[test]
fn a_trial_that_says_nothing_is_repeated() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "bob", "eve"]);
    let bob = counter(&candidates, "bob");
    bob.failed();
    bob.returned();
    drop(bob.begin());
    assert_eq!(bob.state(), State::OnTrial);
    let trial = bob.begin();
    bob.failed();
    drop(trial);
    assert_eq!(bob.state(), State::Away);
}

#[test]
fn a_slow_one_is_shut_out_and_asked_again_now_and_then() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "bob", "eve"]);
    for name in ["ana", "eve"] {
        answers(&candidates, name, millis(20), 20);
    }
    answers(&candidates, "bob", millis(200), 20);
    all.review(at(1));
    let bob = counter(&candidates, "bob");
    assert_eq!(bob.state(), State::Slow);

    answers(&candidates, "ana", millis(20), 300);
    for second in 2..4 {
        all.review(at(second));
    }
    assert_eq!(bob.state(), State::Slow, "it was seen slow only now");
    answers(&candidates, "eve", millis(20), 300);
    all.review(at(4));
    assert_eq!(bob.state(), State::OnTrial);
    assert_eq!(chosen(&candidates), "bob");

    let trial = bob.begin();
    answers(&candidates, "bob", millis(200), 1);
    drop(trial);
    assert_eq!(bob.state(), State::Slow, "it is as slow as before");
    all.review(at(5));
    answers(&candidates, "eve", millis(20), 300);
    all.review(at(6));
    let trial = bob.begin();
    answers(&candidates, "bob", millis(20), 1);
    drop(trial);
    assert_eq!(bob.state(), State::Serving);
}

#[test]
fn a_long_run_of_another_agent_is_not_held_against_a_node() {
    let all = InFlight::default();
    let quick = alive(&all, &["ana", "bob", "eve"]);
    let long = alive(&all, &["bob", "eve"]);
    for name in ["ana", "bob", "eve"] {
        answers(&quick, name, millis(5), 20);
    }
    for name in ["bob", "eve"] {
        answers(&long, name, millis(5_000), 20);
    }
    all.review(at(1));
    let states = ["ana", "bob", "eve"].map(|name| counter(&quick, name).state());
    assert_eq!(states, [State::Serving; 3]);
}

#[test]
fn a_failure_counts_as_slow_however_quick() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "bob", "eve"]);
    for name in ["ana", "bob", "eve"] {
        answers(&candidates, name, millis(20), 20);
    }
    all.review(at(1));
    let bob = counter(&candidates, "bob");
    bob.answered(Answered::Badly, candidates.usual());
    assert_eq!(bob.state(), State::Serving, "everybody fails once");
    for _ in 0..5 {
        bob.answered(Answered::Badly, candidates.usual());
    }
    assert_eq!(bob.state(), State::Slow);
}

#[test]
fn where_most_do_badly_it_is_not_held_against_them() {
    let all = InFlight::default();
    let names = ["ana", "bob", "eve", "joe", "kim"];
    let candidates = alive(&all, &names);
    for name in &names[2..] {
        counter(&candidates, name).failed();
    }
    let _busy = ["ana", "bob"].map(|name| counter(&candidates, name).begin());
    let mut rng = Rng::from_seed(1);
    let first = choose(&candidates, &[], &mut rng).expect("five");
    assert!(
        ["ana", "bob"].contains(&first.as_str()),
        "those away still come last"
    );
    let serving: Vec<usize> = ["ana", "bob"]
        .iter()
        .filter_map(|name| candidates.place_of(&id(name)))
        .collect();
    assert!(
        choose(&candidates, &serving, &mut rng).is_some(),
        "before nobody at all"
    );
}

#[test]
fn a_list_is_used_in_turn() {
    let all = InFlight::default();
    let candidates = alive(&all, &["ana", "bob", "eve"]);
    let (in_turn, mut rng) = (InTurn::default(), Rng::from_seed(0));
    let mut next = |tried: &[usize]| in_turn.select(&candidates, tried, &mut rng);
    let taken: Vec<_> = (0..6).filter_map(|_| next(&[])).collect();
    assert_eq!(taken, [0, 1, 2, 0, 1, 2]);
    let _busy = candidates.members()[0].counter.begin();
    assert_eq!([next(&[]), next(&[])], [Some(1), Some(1)]);
    assert_eq!(next(&[0, 1, 2]), None);
}

/// A mesh of so many, as its first member sees it.
fn view_of(members: usize) -> Arc<View> {
    let names: Vec<String> = (0..members)
        .map(|number| format!("node-{number:03}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut mesh = Sim::new(1, &names);
    mesh.run_for(Duration::from_secs(20));
    mesh.node(names[0]).expect("it runs").view()
}

#[test]
fn in_a_large_mesh_the_fewest_are_found_while_counts_move() {
    let view = view_of(40);
    let in_flight = InFlight::default();
    let choices = Choices::of(&view, &in_flight, &Choices::default());
    let agent: Label = "echo".parse().expect("plain");
    let candidates = choices.get(Want::Agent(&agent)).expect("all have it");
    let members = candidates.members();
    assert_eq!(members.len(), 40);
    let mut rng = Rng::from_seed(2);
    let mut running = Vec::new();
    for step in 0..2_000 {
        let place = LeastConnections
            .select(candidates, &[], &mut rng)
            .expect("all serve");
        let counts = members.iter().map(|member| member.counter.in_flight());
        assert_eq!(Some(members[place].counter.in_flight()), counts.min());
        running.push(members[place].counter.begin());
        if running.len() > 400 {
            let over = rng.below(running.len());
            drop(running.swap_remove(over));
        }
        if step % 3 == 0 {
            members[rng.below(40)].counter.heard(rng.below(20) as u32);
        }
    }
    let out = &members[7].counter;
    out.failed();
    running.clear();
    (0..1_000).for_each(|_| {
        let place = LeastConnections.select(candidates, &[], &mut rng);
        assert_ne!(place, Some(7));
    });
    out.returned();
    assert_eq!(LeastConnections.select(candidates, &[], &mut rng), Some(7));
    let another = LeastConnections.select(candidates, &[7], &mut rng);
    assert!(another.is_some_and(|place| place != 7));
}

#[test]
fn what_did_not_change_with_the_view_is_kept() {
    let view = view_of(20);
    let in_flight = InFlight::default();
    let first = Choices::of(&view, &in_flight, &Choices::default());
    let again = Choices::of(&view, &in_flight, &first);
    let agent: Label = "echo".parse().expect("plain");
    let members = |choices: &Choices| {
        let candidates = choices.get(Want::Agent(&agent)).expect("all have it");
        candidates.members().as_ptr()
    };
    assert_eq!(members(&first), members(&again));
    let nobody: Label = "nobody".parse().expect("plain");
    assert!(again.get(Want::Agent(&nobody)).is_none());
}
