//! The targets without a fuzzer: a bounded number of mutated seeds, the same ones every time.
//!
//! It finds less than libFuzzer, which follows what code an input reaches, but needs nothing that is not there anyway.

use maia::rng::Rng;
use std::panic;

/// Pieces that mean something to one reader or another.
const PIECES: [&str; 16] = [
    "\n",
    "\"",
    "{",
    "}",
    "[]",
    "null",
    "-1",
    "1e999",
    "0x7f",
    "::",
    "127.",
    "localhost",
    "true",
    "\u{fffd}",
    ": ",
    "\\u0000",
];

#[test]
fn what_is_read_is_written_the_same() {
    drive("decode", 400_000);
}

#[test]
fn two_bodies_come_to_the_same_in_any_order() {
    drive("merge", 30_000);
}

#[test]
fn a_mesh_keeps_its_invariants_whatever_happens() {
    drive("operations", 400);
}

#[test]
fn settings_go_together_or_are_refused() {
    drive("settings", 10_000);
}

#[test]
fn an_address_leads_nowhere_forbidden() {
    drive("address", 300_000);
}

/// Runs the seeds of the target `name`, and `count` mutations of them.
fn drive(name: &str, count: usize) {
    let (_, target) = fuzz::TARGETS
        .into_iter()
        .find(|(other, _)| *other == name)
        .expect("it is listed");
    let seeds = fuzz::seeds::of(name).expect("the files are there");
    assert!(!seeds.is_empty());
    let mut rng = Rng::from_seed(6);
    for seed in &seeds {
        try_one(target, seed);
    }
    for _ in 0..count {
        let mut input = seeds[rng.below(seeds.len())].clone();
        for _ in 0..=rng.below(4) {
            mutate(&mut input, &seeds, &mut rng);
        }
        try_one(target, &input);
    }
}

/// Says what the input was, if it is one that breaks something.
fn try_one(target: fuzz::Target, input: &[u8]) {
    let outcome = panic::catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "the input: b\"{}\"", input.escape_ascii());
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let place = rng.below(input.len() + 1);
    match rng.below(6) {
        0 => input.insert(place, rng.draw() as u8),
        1 if place < input.len() => input[place] = rng.draw() as u8,
        2 if place < input.len() => input[place] ^= 1 << rng.below(8),
        3 => drop(input.drain(place..(place + rng.below(8)).min(input.len()))),
        4 => drop(input.splice(place..place, PIECES[rng.below(PIECES.len())].bytes())),
        _ => {
            let other = &seeds[rng.below(seeds.len())];
            input.truncate(place);
            input.extend_from_slice(&other[rng.below(other.len() + 1)..]);
        }
    }
}
