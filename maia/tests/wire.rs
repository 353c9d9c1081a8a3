//! The bodies that nodes of release 0.40 really sent and answered, and bodies that nobody should send.
#![cfg(feature = "wire")]

use maia::message::{Failure, Reply, Request, Status};
use maia::wire::{Endpoint, decode_reply, decode_request, encode_reply, encode_request};
use serde_json::{Value, json};

fn sample(name: &str, part: &str) -> Value {
    let text = match name {
        "join" => include_str!("wire/join.json"),
        "gossip" => include_str!("wire/gossip.json"),
        "heartbeat" => include_str!("wire/heartbeat.json"),
        _ => include_str!("wire/state.json"),
    };
    let whole: Value = serde_json::from_str(text).expect("the sample is JSON");
    whole[part].clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}

/// Ours must say the same as came in, field by field and in the same order.
#[test]
fn requests_of_older_nodes_are_read_and_written_alike() {
    for (endpoint, name) in [
        (Endpoint::Join, "join"),
        (Endpoint::Gossip, "gossip"),
        (Endpoint::Heartbeat, "heartbeat"),
    ] {
        let body = sample(name, "request");
        let request = decode_request(endpoint, None, &bytes(&body)).expect(name);
        let again: Value = serde_json::from_slice(&encode_request(&request).body).expect("JSON");
        assert_eq!(again, body, "{name}");
    }
}

#[test]
fn answers_of_older_nodes_are_read_and_written_alike() {
    for (endpoint, name) in [
        (Endpoint::Join, "join"),
        (Endpoint::Gossip, "gossip"),
        (Endpoint::Heartbeat, "heartbeat"),
        (Endpoint::State, "state"),
    ] {
        let body = sample(name, "response");
        let reply = decode_reply(endpoint, 200, &bytes(&body)).expect(name);
        let again: Value = serde_json::from_slice(&encode_reply(&reply).body).expect("JSON");
        assert_eq!(again, body, "{name}");
    }
}

#[test]
fn the_fields_stand_in_the_order_that_older_nodes_write() {
    let body = bytes(&sample("heartbeat", "request"));
    let request = decode_request(Endpoint::Heartbeat, None, &body).expect("a record");
    let text = String::from_utf8(encode_request(&request).body).expect("UTF-8");
    let order = [
        "node_id",
        "name",
        "url",
        "services",
        "agents",
        "load",
        "cpu_percent",
        "memory_percent",
        "active_requests",
        "leader",
        "joined_at",
        "last_heartbeat",
        "status",
    ];
    let places: Vec<_> = order
        .iter()
        .map(|key| text.find(&format!("\"{key}\":")))
        .collect();
    assert!(places.iter().all(Option::is_some), "{text}");
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn versions_keep_their_exact_bits() {
    for millis in (0..20_000_u64).map(|n| 1_795_311_905_000 + n * 7_919) {
        let seconds = millis as f64 / 1_000.0;
        let mut body = sample("heartbeat", "request");
        body["joined_at"] = json!(seconds);
        body["last_heartbeat"] = json!(seconds + 0.000_000_7);
        let request = decode_request(Endpoint::Heartbeat, None, &bytes(&body)).expect("a record");
        let again: Value = serde_json::from_slice(&encode_request(&request).body).expect("JSON");
        assert_eq!(again, body);
    }
}

#[test]
fn what_is_absent_is_empty_zero_false_or_alive() {
    let body = json!({"node_id": "x", "name": "x", "url": "http://x:1", "joined_at": 1, "last_heartbeat": 2});
    let request = decode_request(Endpoint::Join, None, &bytes(&body)).expect("a record");
    let Request::Join(entry) = request else {
        panic!("a join");
    };
    assert_eq!((entry.status, entry.leader), (Status::Alive, false));
    assert!(entry.record.card.services.is_empty() && entry.record.ext.is_none());
}

#[test]
fn what_a_newer_release_adds_is_relayed() {
    let mut body = sample("heartbeat", "request");
    body["ext"] =
        json!({"n": 3, "leads": true, "zone": {"name": "b", "area": 1}, "answers": [1, null]});
    let request = decode_request(Endpoint::Heartbeat, None, &bytes(&body)).expect("a record");
    let again: Value = serde_json::from_slice(&encode_request(&request).body).expect("JSON");
    assert_eq!(again, body);
}

#[test]
fn every_bad_body_is_answered_by_the_name_of_its_field() {
    let record = |change: fn(&mut Value)| {
        let mut body = sample("heartbeat", "request");
        change(&mut body);
        body
    };
    let cases: Vec<(Value, &str)> = vec![
        (record(|b| b["node_id"] = json!(7)), "node_id"),
        (record(|b| b["node_id"] = json!("")), "node_id"),
        (record(|b| b["node_id"] = json!("a b")), "node_id"),
        (record(|b| b["node_id"] = Value::Null), "node_id"),
        (record(|b| b["name"] = json!("")), "name"),
        (record(|b| b["name"] = json!("a\nb")), "name"),
        (record(|b| b["url"] = json!("ftp://x:1")), "url"),
        (record(|b| b["url"] = json!("http://x:1/")), "url"),
        (record(|b| b["url"] = Value::Null), "url"),
        (record(|b| b["services"] = json!("api")), "services"),
        (record(|b| b["services"] = json!(["a b"])), "services[0]"),
        (record(|b| b["agents"] = json!([["x"]])), "agents[0]"),
        (record(|b| b["load"] = json!(3)), "load"),
        (
            record(|b| b["load"]["cpu_percent"] = json!("high")),
            "load.cpu_percent",
        ),
        (
            record(|b| b["load"]["cpu_percent"] = json!(-1)),
            "load.cpu_percent",
        ),
        (
            record(|b| b["load"]["active_requests"] = json!(-1)),
            "load.active_requests",
        ),
        (
            record(|b| b["load"]["active_requests"] = json!(9e18)),
            "load.active_requests",
        ),
        (record(|b| b["leader"] = json!("yes")), "leader"),
        (record(|b| b["joined_at"] = json!("now")), "joined_at"),
        (record(|b| b["joined_at"] = json!(-1)), "joined_at"),
        (
            record(|b| b["last_heartbeat"] = json!(9e18)),
            "last_heartbeat",
        ),
        (record(|b| b["status"] = json!("left")), "status"),
        (record(|b| b["ext"] = Value::Null), "ext"),
        (record(|b| b["ext"] = json!({"n": "x"})), "ext"),
        (
            record(|b| {
                b.as_object_mut()
                    .expect("an object")
                    .remove("last_heartbeat");
            }),
            "body",
        ),
        (record(|b| b["load"] = json!([1, 2, 3])), "load"),
        (
            record(|b| b["ext"] = json!({"n": 1, "rounds": [1, 2]})),
            "ext",
        ),
        (json!([]), "body"),
        (
            json!(["a", "a", "http://a:1", [], [], {}, false, 1, 2, "alive"]),
            "body",
        ),
        (json!("self"), "body"),
    ];
    for (body, field) in cases {
        let error = decode_request(Endpoint::Heartbeat, None, &bytes(&body)).expect_err(field);
        assert!(
            error.field().starts_with(field),
            "{field}: {error} in {body}"
        );
        let in_table = json!({"nodes": [sample("heartbeat", "request"), body]});
        let Ok(Request::Gossip(table)) = decode_request(Endpoint::Gossip, None, &bytes(&in_table))
        else {
            panic!("the table itself is well-formed");
        };
        assert_eq!(
            (table.entries.len(), table.spoiled.len()),
            (1, 1),
            "{field}"
        );
        assert!(
            table.spoiled[0].field().starts_with("nodes[1]."),
            "{}",
            table.spoiled[0]
        );
    }
    for text in [
        "",
        "{",
        "nonsense",
        "{\"node_id\":1e999}",
        "{\"nodes\":{}}",
        "{\"nodes\":[1e999]} trailing",
    ] {
        assert!(
            decode_request(Endpoint::Gossip, None, text.as_bytes()).is_err(),
            "{text}"
        );
        assert!(
            decode_request(Endpoint::Join, None, text.as_bytes()).is_err(),
            "{text}"
        );
        assert!(
            decode_request(Endpoint::Leave, None, text.as_bytes()).is_err(),
            "{text}"
        );
        assert!(
            decode_request(Endpoint::Election, None, text.as_bytes()).is_err(),
            "{text}"
        );
    }
    let asks_nobody = decode_request(
        Endpoint::Heartbeat,
        Some("a b"),
        &bytes(&sample("heartbeat", "request")),
    );
    assert_eq!(asks_nobody.expect_err("no id").field(), "x-astromesh-ask");
}

#[test]
fn a_refusal_says_why_in_its_detail() {
    let refused = Reply::Refused(maia::message::Refusal::Left);
    let response = encode_reply(&refused);
    assert_eq!(response.status, 409);
    assert_eq!(
        decode_reply(Endpoint::Gossip, 409, &response.body),
        Err(Failure::Left)
    );
    let unusable = decode_reply(Endpoint::Gossip, 400, b"{\"detail\":\"nodes: missing\"}");
    assert_eq!(
        unusable,
        Err(Failure::Unusable("status 400 nodes: missing".into()))
    );
    let in_trouble = decode_reply(Endpoint::Gossip, 503, b"{\"detail\":\"busy\"}");
    assert_eq!(
        in_trouble,
        Err(Failure::InTrouble("status 503 busy".into()))
    );
    for (status, body) in [(200, "{}"), (200, "<html>"), (302, ""), (204, "")] {
        let answer = decode_reply(Endpoint::Gossip, status, body.as_bytes());
        assert!(
            matches!(answer, Err(Failure::Unusable(_))),
            "{status} {body}"
        );
    }
}
