//! What one decision costs: who takes the next request, among ten and among ten thousand, and the count of it.

#![allow(clippy::expect_used, reason = "a bench that cannot go on fails")]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use maia::id::{Label, NodeId};
use maia::rng::Rng;
use maia::selector::choices::Choices;
use maia::selector::counter::InFlight;
use maia::selector::{LeastConnections, Selector};
use maia::sim::Sim;
use maia::view::{View, Want};
use std::hint::black_box;
use std::sync::Arc;

const AGENT: &str = "echo";

/// A mesh of `members`, made by hand from one member of a small one.
fn view_of(members: usize) -> View {
    let mut mesh = Sim::new(1, &["ana", "bob"]);
    mesh.run_for(std::time::Duration::from_secs(10));
    let view = mesh.node("ana").expect("it runs").view();
    let bob = view.members.last().expect("there are two");
    let others = (1..members).map(|number| {
        let mut seen = bob.clone();
        let id: NodeId = format!("node-{number:05}").parse().expect("a plain id");
        Arc::make_mut(&mut seen.record).id = id;
        seen
    });
    let mut large = View::clone(&view);
    large.members.truncate(1);
    large.members.extend(others);
    large.indexed()
}

fn selection(criterion: &mut Criterion) {
    let agent: Label = AGENT.parse().expect("plain");
    let mut group = criterion.benchmark_group("selection");
    for members in [10, 16, 17, 100, 1_000, 10_000] {
        let in_flight = InFlight::default();
        let choices = Choices::of(&view_of(members), &in_flight, &Choices::default());
        let candidates = choices.get(Want::Agent(&agent)).expect("all have it");
        let mut rng = Rng::from_seed(1);
        // As busy as a mesh is: eight in flight at each, one more or less.
        let mut running: Vec<_> = (0..8 * members)
            .filter_map(|_| LeastConnections.select(candidates, &[], &mut rng))
            .map(|place| candidates.members()[place].counter.begin())
            .collect();
        group.bench_function(BenchmarkId::new("decide", members), |bencher| {
            bencher.iter(|| LeastConnections.select(black_box(candidates), &[], &mut rng));
        });
        group.bench_function(
            BenchmarkId::new("decide, begin and end", members),
            |bencher| {
                bencher.iter(|| {
                    let place = LeastConnections.select(candidates, &[], &mut rng);
                    let place = place.expect("all serve");
                    let over = rng.below(running.len());
                    running[over] = candidates.members()[place].counter.begin();
                });
            },
        );
    }
    group.finish();
}

fn publication(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publication");
    for members in [50, 1_000] {
        let (view, in_flight) = (view_of(members), InFlight::default());
        let before = Choices::of(&view, &in_flight, &Choices::default());
        group.bench_function(
            BenchmarkId::new("a view like the last", members),
            |bencher| {
                let make = || Choices::of(&view, &in_flight, &before);
                bencher.iter_batched(|| (), |()| make(), BatchSize::PerIteration);
            },
        );
    }
    group.finish();
}

criterion_group!(benches, selection, publication);
criterion_main!(benches);
