//! The example `simulate`: the same seed says the same, and what cannot be simulated is refused by name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../simulate.rs"]
#[allow(dead_code, reason = "its own main is not run here")]
mod simulate;

use simulate::progress::Progress;
use std::ffi::OsString;

/// What the program prints on stdout and stderr, and its exit code.
fn run(line: &str) -> (String, String, u8) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = line.split_whitespace().map(OsString::from);
    let code = simulate::simulate(arguments, &mut out, &mut err, Progress::hidden());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), code)
}

const SMALL: &str = "--nodes 6 --gossip-interval 500ms --failure-timeout 2s --seconds 5 --loss 5";

/// The number that stands before `unit` in the first line that begins with `start`.
fn number(text: &str, start: &str, unit: &str) -> f64 {
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with(start));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    let place = words.iter().position(|word| *word == unit).unwrap();
    words[place - 1].parse().unwrap()
}

#[test]
fn the_same_seed_says_the_same_and_another_does_not() {
    let line = format!("{SMALL} --kill 2 --partition 10s");
    let (said, complaints, code) = run(&line);
    assert_eq!((complaints.as_str(), code), ("", 0));
    assert_eq!(run(&line).0, said);
    let another = run(&format!("{line} --seed 2")).0;
    assert_ne!(another.replace("seed 2", "seed 1"), said);
}

#[test]
fn every_scene_is_told() {
    let (said, _, code) = run(&format!("{SMALL} --kill 2 --partition 10s --seed 7"));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("6 nodes, 5 % of all messages lost"), "{said}");
    assert!(said.contains("seed 7"), "{said}");
    assert!(said.contains("2 killed, 4 left"), "{said}");
    assert!(said.contains("2 and 2 cut apart for 10s"), "{said}");
    assert!(number(&said, "idle", "bytes") > 0.0, "{said}");
    assert!(number(&said, "join", "s") < 10.0, "{said}");
    // Nobody can know before the timeouts are over: 2 s, and twice that where it is not given.
    for (status, timeout) in [("suspect", 2.0), ("dead", 4.0)] {
        let first = number(&said, &format!("{status} "), "s");
        assert!((timeout..2.0 * timeout).contains(&first), "{said}");
    }
}

#[test]
fn a_mesh_that_cannot_come_together_is_said_to_be_one() {
    let (said, complaints, code) = run("--nodes 3 --loss 100");
    assert!(said.contains("0 of 3 see all"), "{said}");
    assert_eq!(code, 1);
    assert_eq!(complaints, "simulate: the mesh does not come together\n");
}

#[test]
fn the_picture_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spread.svg");
    let (_, complaints, code) = run(&format!("{SMALL} --svg {}", file.display()));
    assert_eq!((complaints.as_str(), code), ("", 0));
    let picture = std::fs::read_to_string(file).unwrap();
    assert!(picture.starts_with("<svg "), "{picture}");
    assert!(picture.ends_with("</svg>\n"), "{picture}");
    assert!(picture.contains("suspect (2s)"), "{picture}");
}

#[test]
fn what_cannot_be_simulated_is_refused_by_the_name_of_its_option() {
    for (line, named, why) in [
        ("--nodes many", "--nodes", "2 to 4096"),
        ("--nodes 0", "--nodes", "2 to 4096"),
        ("--nodes 1", "--nodes", "2 to 4096"),
        ("--nodes 4097", "--nodes", "2 to 4096"),
        ("--loss 101", "--loss", "0 to 100"),
        ("--loss -1", "--loss", "0 to 100"),
        ("--loss NaN", "--loss", "0 to 100"),
        ("--delay 5", "--delay", "such as"),
        ("--delay 5ms..1ms", "--delay", "shorter"),
        ("--gossip-interval 0s", "--gossip-interval", "at least 1 ms"),
        ("--gossip-interval -1s", "--gossip-interval", "such as"),
        ("--gossip-interval 6s", "--failure-timeout", "three times"),
        ("--fanout 0", "--fanout", "at least 1"),
        ("--fanout 2.5", "--fanout", "whole number"),
        ("--dead-timeout 15s", "--dead-timeout", "failure_timeout"),
        (
            "--failure-timeout 9s --dead-timeout 8s",
            "--dead-timeout",
            "more than",
        ),
        ("--nodes 3 --kill 3", "--kill", "less than"),
        ("--nodes 3 --kill 2 --partition 5s", "--partition", "--kill"),
        ("--partition 25h", "--partition", "at most"),
        ("--seconds 0", "--seconds", "1 to"),
        ("--seed -1", "--seed", "negative"),
        ("--svg x.svg --kill 0", "--svg", "--kill"),
        ("--node 5", "--node", "--nodes"),
    ] {
        let (said, complaint, code) = run(line);
        assert_eq!((said.as_str(), code), ("", 2), "{line}: {complaint}");
        assert!(complaint.contains(named), "{line}: {complaint}");
        assert!(complaint.contains(why), "{line}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{line}: {complaint}");
    }
}
