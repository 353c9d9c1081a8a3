//! Where fuzzing begins: a few right inputs for each target, made by the encoders and read from files that are there anyway.

use crate::decode::{Kind, first_byte};
use maia::beats::{Beats, Held, Listed, LoadAt};
use maia::id::NodeId;
use maia::message::{Entry, Reply, Request, State, Status, Subject};
use maia::record::{Ext, Heartbeat, Load, Rounds, id_hash};
use maia::sim::Sim;
use maia::wire::{Endpoint, encode_reply, encode_request};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first inputs of the target `name`.
///
/// # Errors
/// Where the files of this repository that some are read from cannot be read.
pub fn of(name: &str) -> io::Result<Vec<Vec<u8>>> {
    match name {
        "decode" => Ok(calls()
            .chain(answers())
            .chain(strange())
            .chain(recorded()?)
            .collect()),
        "merge" => merge(),
        "operations" => Ok(operations()),
        "settings" => settings(),
        "address" => Ok(addresses()),
        other => Err(io::Error::other(format!("there is no target {other}"))),
    }
}

fn with_first(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first], body].concat()
}

fn calls() -> impl Iterator<Item = Vec<u8>> {
    let heartbeat = Request::Heartbeat {
        entry: ours(),
        ask: Some(id("bob")),
    };
    let with_header = first_byte(Endpoint::Heartbeat, Kind::CallWithHeader);
    let header = [b"bob\n".as_slice(), &encode_request(&heartbeat).body].concat();
    let requests = [
        Request::State,
        Request::Join(ours()),
        Request::Rejoin,
        Request::Gossip(vec![ours(), older()].into()),
        Request::Exchange(beats()),
        Request::Reconcile {
            table: vec![ours()].into(),
            wanted: vec![id_hash(&id("bob")), 1],
        },
        heartbeat,
        Request::Leave(Subject::Id(id("bob"))),
        Request::Leave(Subject::Myself),
    ];
    let written = requests.map(|request| {
        let first = first_byte(Endpoint::of(&request), Kind::Call);
        with_first(first, &encode_request(&request).body)
    });
    let ballot = br#"{"candidate_id":"ana","node_id":"bob"}"#;
    let ballot = with_first(first_byte(Endpoint::Election, Kind::Call), ballot);
    written
        .into_iter()
        .chain([ballot, with_first(with_header, &header)])
}

fn answers() -> impl Iterator<Item = Vec<u8>> {
    let state = State {
        table: vec![ours(), older()].into(),
        leader: Some(id("ana")),
        version: 7,
    };
    let listed = Listed {
        id_hash: id_hash(&id("ana")),
        fingerprint: 5,
        beat: 9,
    };
    let replies = [
        (Endpoint::State, Reply::State(state.clone())),
        (Endpoint::Join, Reply::State(state)),
        (Endpoint::Gossip, Reply::Gossip(vec![ours()].into())),
        (Endpoint::Exchange, Reply::Held(Held::Same(beats()))),
        (Endpoint::Exchange, Reply::Held(Held::Other(vec![listed]))),
        (Endpoint::Reconcile, Reply::Gossip(vec![older()].into())),
        (
            Endpoint::Heartbeat,
            Reply::Heartbeat {
                node: Some(ours()),
                asked: Some(older()),
            },
        ),
        (Endpoint::Leave, Reply::Leave),
        (Endpoint::Election, Reply::Election(Some(id("ana")))),
    ];
    let written = replies.map(|(endpoint, reply)| {
        with_first(
            first_byte(endpoint, Kind::Answer),
            &encode_reply(&reply).body,
        )
    });
    let refused = first_byte(Endpoint::Join, Kind::Refusal);
    let refusal = with_first(refused | 7 << 5, br#"{"detail":"busy"}"#);
    written.into_iter().chain([refusal])
}

/// Bodies that once were taken for more than they are, or repeated in a complaint as they were.
fn strange() -> impl Iterator<Item = Vec<u8>> {
    let exchange = first_byte(Endpoint::Exchange, Kind::Call);
    let above_all_counts = [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 100, 3, 0, 0, 1, 0, 1, 2, 3, 1];
    let join = first_byte(Endpoint::Join, Kind::Call);
    let long = format!("{{\"{}\":x", "k".repeat(2_000));
    [
        with_first(exchange, &above_all_counts),
        with_first(join, br#"{"a\nb":x"#),
        with_first(join, long.as_bytes()),
    ]
    .into_iter()
}

fn id(text: &str) -> NodeId {
    NodeId::new(text).expect("an id")
}

/// A word as older nodes say it.
fn older() -> Entry {
    Sim::forged("bob", "http://10.0.0.2:8000")
}

/// A word with all that ours add.
fn ours() -> Entry {
    let mut entry = Sim::forged("ana", "http://10.0.0.1:8000");
    let mut record = (*entry.record).clone();
    record.ext = Some(Arc::new(Ext {
        n: 3,
        left: true,
        draining: true,
        leads: true,
        rounds: Some(Rounds {
            origin_millis: 1_767_225_600_000,
            interval_millis: 2_000,
        }),
        version: "1.0".parse().ok(),
        more: Some(r#"{"a":[1,2.5,null],"b":{"c":"d"}}"#.into()),
    }));
    entry.record = Arc::new(record);
    entry.status = Status::Suspect;
    entry
}

fn beats() -> Beats {
    let load = Load::new(12.0, 34.0, 56).expect("in range");
    Beats {
        fingerprint: 1,
        beats: vec![100, 99, 98, 90, 80, 0],
        uneven: vec![(
            5,
            Heartbeat::from_unix_millis(1_767_225_600_000).expect("in range"),
        )],
        loads: vec![(0, LoadAt { load, beat: 99 })],
    }
}

/// Bodies that nodes of release 0.40 sent: the files that the tests of `maia` read.
fn recorded() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for (name, endpoint) in [
        ("gossip", Endpoint::Gossip),
        ("heartbeat", Endpoint::Heartbeat),
        ("join", Endpoint::Join),
        ("state", Endpoint::State),
    ] {
        let text = fs::read(in_repository(&format!("maia/tests/wire/{name}.json")))?;
        let pair: serde_json::Value = serde_json::from_slice(&text)?;
        for (part, kind) in [("request", Kind::Call), ("response", Kind::Answer)] {
            if let Some(body) = pair.get(part) {
                let body = body.to_string();
                seeds.push(with_first(first_byte(endpoint, kind), body.as_bytes()));
            }
        }
    }
    Ok(seeds)
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn merge() -> io::Result<Vec<Vec<u8>>> {
    let body = |entry: Entry| encode_request(&Request::Gossip(vec![entry].into())).body;
    let gossip = first_byte(Endpoint::Gossip, Kind::Call);
    let mut recorded = recorded()?;
    recorded.retain(|seed| seed[0] == gossip);
    let two = |one: &[u8], other: &[u8]| [b"\0", one, b"\n", other].concat();
    let mut seeds = vec![
        two(&body(ours()), &body(older())),
        // The version that is held, at an address that sorts after the one that is held.
        two(&body(Sim::forged("bob", "http://10.0.0.2:8020")), b""),
        with_first(1, &[0; 16]),
        with_first(1, &(0..96).collect::<Vec<u8>>()),
    ];
    seeds.extend(recorded.iter().map(|seed| two(&seed[1..], &body(ours()))));
    Ok(seeds)
}

/// Each operation by itself, once for each node, and a few after each other.
fn operations() -> Vec<Vec<u8>> {
    let one = |kind| vec![kind, kind, 1, 200, 7, 0, 200];
    let mut seeds: Vec<_> = (0..16).map(one).collect();
    seeds.push(vec![5, 0, 1, 250, 1, 1, 60, 9, 2, 100, 10, 2, 60]);
    seeds.push(vec![2, 4, 2, 255, 12, 0, 2, 2, 60, 7, 0, 90]);
    seeds.push(vec![
        1, 13, 0, 99, 0, 1, 255, 14, 0, 1, 40, 15, 1, 2, 0, 1, 4, 90,
    ]);
    // All are asked to drain.
    seeds.push(vec![
        0, 200, 224, 255, 255, 249, 12, 60, 128, 2, 2, 60, 1, 58, 249, 12, 60, 58, 1, 255,
    ]);
    // Of one that crashed a stranger says that it left.
    seeds.push(vec![
        2, 91, 0, 2, 201, 0, 154, 2, 207, 18, 59, 200, 0, 255, 255, 255, 22, 22,
    ]);
    seeds
}

fn settings() -> io::Result<Vec<Vec<u8>>> {
    let mut files: Vec<PathBuf> = fs::read_dir(in_repository("profiles"))?
        .map(|file| file.map(|file| file.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut seeds = vec![
        b"ROLE=worker\nMESH=true\nSEEDS=a:1, http://b:2/\nPORT=9000\nLOG=debug,a=warn\n".to_vec(),
        b"AUTO=false\nNAME=ana\nADVERTISE=http://10.0.0.1:8000\nFORMAT=json\n".to_vec(),
        b"host=127.0.0.1\nport=1\nlog=warn\nROLE=gateway\n".to_vec(),
        WHOLE.into(),
        b"{n\n\n\n\n\n.}".to_vec(),
    ];
    for file in files {
        seeds.push(fs::read(&file)?);
        seeds.push([b"MESH=true\nNAME=n\n".to_vec(), fs::read(&file)?].concat());
    }
    Ok(seeds)
}

/// A file with every part, and with what YAML has that few use.
const WHOLE: &str = "apiVersion: astromesh/v1
kind: RuntimeConfig
metadata: {name: mesh-worker}
spec:
  api: {host: 0.0.0.0, port: 8000}
  services: {api: true, rag: false}
  peers: [{name: a, url: 'http://a:1', services: [agents]}]
  defaults: {echo: true, orchestration: {timeout_seconds: 2}}
  channels: {chat: {agent: echo, secret_env: SECRET, callback: {url: 'http://a', allow: ['*']}}}
  limits: {headers: 64, remember_for: 1h, nodes: 16}
  mesh: {enabled: true, bind: '0.0.0.0:8000', seeds: [&a 'b:1', *a], failure_timeout: 15s, dead_timeout: 30}
";

fn addresses() -> Vec<Vec<u8>> {
    let texts = [
        "http://gateway:8000",
        "http://127.0.0.1:1",
        "http://[::1]:65535",
        "http://[::ffff:169.254.169.254]:80",
        "http://[fd00:ec2::254]:80",
        "http://localhost:8000",
        "http://a.localhost:8000",
        "10.0.0.1:8000/",
        "http://0x7f.1:80",
        "http://127.0X1:80",
        "http://0X7f000001:80",
        "http://169.254.0xa9fe:80",
        "http://localhost.:8000",
        "fe80::1",
        "224.0.0.1",
    ];
    texts.map(Vec::from).to_vec()
}
