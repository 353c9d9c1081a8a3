//! `GET /v1/mesh/events` and `POST /v1/mesh/forget`: what happened, told as it happens; and a dead row dropped by hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::{Forgotten, MeshEvent};
use astromesh_core::http::{Body, Pool, PoolSettings, Reach, empty};
use astromeshd::Daemon;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response};
use maia::message::Status;
use std::time::Duration;
use support::{PATIENCE, alone, client, eventually, get, member, met, post};
use tokio::time::timeout;

/// One who follows a daemon's events.
struct Follower {
    body: Body,
    text: String,
    /// The `id:` of the last event.
    last: String,
    // Its connections end with it.
    _pool: Pool,
}

async fn open(daemon: &Daemon, last_event_id: Option<&str>) -> (Response<Body>, Pool) {
    let pool = Pool::new(PoolSettings::new(Reach::Anywhere));
    let mut request = Request::new(empty());
    *request.uri_mut() = "/v1/mesh/events".parse().unwrap();
    if let Some(id) = last_event_id {
        let headers = request.headers_mut();
        headers.insert("last-event-id", id.parse().unwrap());
    }
    let response = timeout(PATIENCE, pool.send(&daemon.url(), request)).await;
    (response.unwrap().unwrap(), pool)
}

impl Follower {
    async fn of(daemon: &Daemon, last_event_id: Option<&str>) -> Self {
        let (response, pool) = open(daemon, last_event_id).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self {
            body: response.into_body(),
            text: String::new(),
            last: String::new(),
            _pool: pool,
        }
    }

    /// The next event; `None` where the stream ended.
    async fn next(&mut self) -> Option<MeshEvent> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.text = rest;
                let Some(data) = message.lines().find_map(|line| line.strip_prefix("data: "))
                else {
                    continue;
                };
                let event: MeshEvent = serde_json::from_str(data).unwrap();
                let named = |name: &str| message.lines().find_map(|l| l.strip_prefix(name));
                assert_eq!(named("event: "), Some(event.kind.as_str()));
                self.last = named("id: ").unwrap().to_owned();
                assert!(self.last.ends_with(&format!("-{}", event.id)));
                return Some(event);
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.unwrap()?;
            let data = frame.ok()?.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next event of that type about that node, whatever comes before it.
    async fn until(&mut self, kind: &str, name: &str) -> MeshEvent {
        loop {
            let event = self.next().await.expect("more events");
            if event.kind == kind && event.name == name {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn a_life_is_told_from_joining_to_forgetting() {
    let ana = member("ana", &[], "").await;
    let mut follower = Follower::of(&ana, None).await;
    let first = follower.next().await.unwrap();
    assert_eq!((first.kind.as_str(), first.name.as_str()), ("reset", "ana"));
    assert_eq!(first.mesh.unwrap().members.len(), 1);

    let bob = member("bob", &[&ana], "").await;
    let id = bob.id().to_string();
    let joined = follower.until("joined", "bob").await;
    assert_eq!(joined.node_id, id);
    assert_eq!(joined.url, Some(bob.url().to_string()));
    assert!(joined.reason.is_some() && joined.after_seconds.is_some());
    assert!(joined.at > 1.7e9 && joined.id > first.id);

    bob.kill().await;
    let suspect = follower.until("suspect", "bob").await;
    assert!(suspect.silent_seconds.unwrap() >= 1.5, "{suspect:?}");
    assert!(
        suspect.message.starts_with("suspect after "),
        "{}",
        suspect.message
    );
    let dead = follower.until("dead", "bob").await;
    assert!(dead.silent_seconds.unwrap() >= suspect.silent_seconds.unwrap());
    assert!(dead.reason.is_some());

    let body = serde_json::json!({ "node_id": id }).to_string();
    let answer = post(&ana, "/v1/mesh/forget", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());
    let forgotten: Forgotten = answer.json().unwrap();
    assert_eq!(
        (forgotten.node_id, forgotten.name.as_str()),
        (id.clone(), "bob")
    );
    assert!(ana.view().unwrap().members.len() == 1);
    let told = follower.until("forgotten", "bob").await;
    assert!(told.after_seconds.is_some());
    assert_eq!(told.reason.as_deref(), Some("this node was told to"));
    let again = post(&ana, "/v1/mesh/forget", &body).await;
    assert_eq!(again.status, 404, "{}", again.detail());
}

#[tokio::test]
async fn a_new_leader_is_told_with_the_old_one() {
    let ana = member("ana", &[], "").await;
    let mut follower = Follower::of(&ana, None).await;
    let bob = member("bob", &[&ana], "").await;
    met(&[&ana, &bob]).await;
    let agree = || {
        let leaders = [&ana, &bob].map(|daemon| daemon.view().unwrap().leader.clone());
        leaders[0].is_some() && leaders[0] == leaders[1]
    };
    eventually("they agree on a leader", agree).await;
    bob.stop().await;
    let left = follower.until("left", "bob").await;
    assert_eq!(left.reason.as_deref(), Some("it said goodbye"));
    loop {
        let event = match ana.view().unwrap().leader.as_ref() == Some(ana.id()) {
            true => break,
            false => follower.until("leader", "ana").await,
        };
        assert_eq!(event.leader, Some(ana.id().to_string()));
        assert!(event.after_seconds.is_some());
    }
}

#[tokio::test]
async fn whoever_comes_back_goes_on_where_it_left_off() {
    let ana = member("ana", &[], "").await;
    let mut follower = Follower::of(&ana, None).await;
    follower.next().await.unwrap();
    let left_off = follower.last.clone();
    drop(follower);
    let bob = member("bob", &[&ana], "").await;
    met(&[&ana, &bob]).await;

    let mut back = Follower::of(&ana, Some(&left_off)).await;
    let first = back.next().await.unwrap();
    assert_ne!(first.kind, "reset");
    let mut id = first.id;
    if first.kind != "joined" {
        id = back.until("joined", "bob").await.id;
    }
    let mut again = Follower::of(&ana, Some(&back.last)).await;
    drop(bob);
    assert_eq!(again.until("suspect", "bob").await.id, {
        let next = back.until("suspect", "bob").await.id;
        assert!(next > id);
        next
    });
}

#[tokio::test]
async fn an_id_that_means_nothing_here_begins_anew() {
    let ana = member("ana", &[], "").await;
    let mut follower = Follower::of(&ana, None).await;
    follower.next().await.unwrap();
    let start = follower.last.split_once('-').unwrap().0.to_owned();
    let to_come = format!("{start}-99999");
    for id in [
        "00000000-1",
        "rubbish",
        "-",
        "",
        &to_come,
        &format!("{start}-x"),
    ] {
        let first = Follower::of(&ana, Some(id)).await.next().await.unwrap();
        assert_eq!(first.kind, "reset", "{id}");
        assert!(
            first.message.contains("started anew"),
            "{id}: {}",
            first.message
        );
        assert!(first.mesh.is_some());
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_daemon_and_holds_up_nobody() {
    let ana = member("ana", &[], "").await;
    let bob = member("bob", &[&ana], "").await;
    met(&[&ana, &bob]).await;
    let mut follower = Follower::of(&bob, None).await;
    follower.next().await.unwrap();
    let began = std::time::Instant::now();
    bob.stop().await;
    while follower.next().await.is_some() {}
    assert!(began.elapsed() < Duration::from_secs(8), "{began:?}");
}

#[tokio::test]
async fn seats_are_counted_and_given_back() {
    let ana = member("ana", &[], "").await;
    let mut followers = Vec::new();
    for _ in 0..64 {
        followers.push(Follower::of(&ana, None).await);
    }
    let (refused, _pool) = open(&ana, None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    // None of them reads, and nobody waits for them.
    let bob = member("bob", &[&ana], "").await;
    met(&[&ana, &bob]).await;
    followers.truncate(10);
    let deadline = std::time::Instant::now() + PATIENCE;
    while open(&ana, None).await.0.status() != 200 {
        assert!(
            std::time::Instant::now() < deadline,
            "no seat is given back"
        );
    }
    for follower in &mut followers {
        follower.until("joined", "bob").await;
    }
}

#[tokio::test]
async fn only_the_dead_are_forgotten_and_only_from_here() {
    let ana = member("ana", &[], "").await;
    let bob = member("bob", &[&ana], "").await;
    met(&[&ana, &bob]).await;
    let of = |id: &str| serde_json::json!({ "node_id": id }).to_string();
    for (body, status, word) in [
        (of(bob.id().as_str()), 409, "bob is alive"),
        (of(ana.id().as_str()), 409, "ana is alive"),
        (of("nobody"), 404, "nobody"),
        (of("a b"), 400, "node_id"),
        ("{}".to_owned(), 400, "node_id"),
        (r#"{"node_id":7}"#.to_owned(), 400, "expected"),
        (
            r#"{"node_id":"a","force":true}"#.to_owned(),
            400,
            "unknown field",
        ),
        (String::new(), 400, "expected"),
        (" ".repeat(65 * 1_024), 413, "longer"),
    ] {
        let answer = post(&ana, "/v1/mesh/forget", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.detail());
        assert!(
            answer.detail().contains(word),
            "{body}: {}",
            answer.detail()
        );
    }
    let id = bob.id().clone();
    drop(bob);
    let standing = |ana: &Daemon| ana.view().unwrap().member(&id).map(|seen| seen.status);
    eventually("bob is suspect", || standing(&ana) == Some(Status::Suspect)).await;
    let answer = post(&ana, "/v1/mesh/forget", &of(id.as_str())).await;
    assert_eq!(answer.status, 409, "{}", answer.detail());
    assert!(
        answer.detail().contains("is suspect"),
        "{}",
        answer.detail()
    );
}

#[tokio::test]
async fn without_a_mesh_or_with_another_method_they_say_so() {
    let solo = alone("solo", "").await;
    let ana = member("ana", &[], "").await;
    for (right, wrong, path) in [
        (Method::GET, Method::POST, "/v1/mesh/events"),
        (Method::POST, Method::GET, "/v1/mesh/forget"),
    ] {
        let ask = |url, method| async move {
            let answer = client().send(&url, method, path, None).await;
            answer.unwrap()
        };
        let off = ask(solo.url(), right).await;
        assert_eq!(
            (off.status.as_u16(), off.detail().as_str()),
            (503, "Mesh not enabled on this node")
        );
        for daemon in [&solo, &ana] {
            let answer = ask(daemon.url(), wrong.clone()).await;
            assert_eq!(answer.status, 405, "{path}");
            assert!(answer.headers.contains_key("allow"));
        }
    }
    assert_eq!(get(&ana, "/v1/mesh/nothing").await.status, 404);
}
