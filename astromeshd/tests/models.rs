//! Which node of a mesh serves which model: found out, remembered, and put right where it is no longer true.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mock;
mod support;

use astromesh_core::http::Answer;
use astromeshd::Daemon;
use mock::{KEY, Mock, Step, answer, openai, settings};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{PATIENCE, QUICK, eventually, get, killed, met, post};

const CHAT: &str = "/v1/chat/completions";

/// A node of a quick mesh, with these providers.
async fn member(name: &str, seeds: &[&Daemon], providers: &[String]) -> Daemon {
    let seeds: Vec<_> = seeds.iter().map(|seed| seed.url().to_string()).collect();
    let serves = !providers.is_empty();
    let spec = format!(
        "mesh: {{enabled: true, {QUICK}, seeds: [{}]}}\nservices: {{inference: {serves}}}\ndefaults: {{echo: false}}\nproviders: [{}]",
        seeds.join(", "),
        providers.join(", ")
    );
    Daemon::start(settings(name, &spec, &[KEY])).await.unwrap()
}

async fn serving(models: &[&str]) -> Mock {
    let mock = Mock::with(models).await;
    mock.does(vec![answer(200, r#"{"id":"c","choices":[]}"#)]);
    mock
}

async fn ask(node: &Daemon, model: &str) -> Answer {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    post(node, CHAT, &body.to_string()).await
}

async fn ids(node: &Daemon) -> Vec<String> {
    let list: Value = get(node, "/v1/models").await.json().unwrap();
    let models = list["data"].as_array().unwrap().iter();
    models
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_request_goes_straight_to_a_node_that_has_the_model() {
    let (red, blue) = (
        serving(&["red", "both"]).await,
        serving(&["blue", "both"]).await,
    );
    let gateway = member("gateway", &[], &[]).await;
    let one = member("one", &[&gateway], &[openai("p", &red)]).await;
    let two = member("two", &[&gateway], &[openai("p", &blue)]).await;
    met(&[&gateway, &one, &two]).await;
    for node in [&gateway, &one, &two] {
        assert_eq!(ids(node).await, ["blue", "both", "red"], "{node:?}");
    }
    for _ in 0..5 {
        for (model, name) in [("red", "one"), ("blue", "two")] {
            for node in [&gateway, &one, &two] {
                let answer = ask(node, model).await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.headers["x-astromesh-inference-node"], name);
            }
            let answer = ask(&gateway, model).await;
            assert_eq!(answer.headers["x-astromesh-attempts"], "1");
        }
        assert_eq!(ask(&gateway, "both").await.status, 200);
    }
    let answer = ask(&gateway, "green").await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.headers["x-astromesh-attempts"]
        ),
        (404, &"0".parse().unwrap())
    );
    assert_eq!(
        answer.json::<Value>().unwrap()["error"]["code"],
        "model_not_found"
    );
}

#[tokio::test]
async fn a_node_that_has_lost_a_model_passes_its_requests_on() {
    let (first, second) = (serving(&["m"]).await, serving(&["m"]).await);
    let gateway = member("gateway", &[], &[]).await;
    let one = member("one", &[&gateway], &[openai("p", &first)]).await;
    let two = member("two", &[&gateway], &[openai("p", &second)]).await;
    met(&[&gateway, &one, &two]).await;
    assert_eq!(ids(&gateway).await, ["m"]);
    first.does(vec![answer(404, "")]);
    let mut attempts = 0;
    for _ in 0..10 {
        let answer = ask(&gateway, "m").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["x-astromesh-inference-node"], "two");
        attempts += answer.headers["x-astromesh-attempts"]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap();
    }
    assert!(attempts >= 10);

    // A provider that is down is passed over too, on whichever node it is.
    first.does(vec![answer(200, r#"{"id":"c","choices":[]}"#)]);
    second.does(vec![Step::Cut]);
    for _ in 0..10 {
        let answer = ask(&gateway, "m").await;
        assert_eq!(
            (
                answer.status.as_u16(),
                &answer.headers["x-astromesh-inference-node"]
            ),
            (200, &"one".parse().unwrap())
        );
    }
    first.does(vec![Step::Cut]);
    let answer = ask(&gateway, "m").await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(gateway.in_flight(), 0);
}

#[tokio::test]
async fn a_model_that_came_later_is_found() {
    let mock = serving(&["old"]).await;
    let gateway = member("gateway", &[], &[]).await;
    let one = member("one", &[&gateway], &[openai("p", &mock)]).await;
    met(&[&gateway, &one]).await;
    assert_eq!(ask(&gateway, "old").await.status, 200);
    assert_eq!(ask(&gateway, "new").await.status, 404);
    mock.lists(&["old", "new"]);
    let deadline = Instant::now() + PATIENCE;
    while ask(&gateway, "new").await.status != 200 {
        assert!(Instant::now() < deadline, "never found");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn when_the_last_node_with_a_model_dies_that_is_no_missing_model() {
    let (red, blue) = (serving(&["red"]).await, serving(&["blue"]).await);
    let gateway = member("gateway", &[], &[]).await;
    let one = member("one", &[&gateway], &[openai("p", &red)]).await;
    let two = member("two", &[&gateway], &[openai("p", &blue)]).await;
    met(&[&gateway, &one, &two]).await;
    assert_eq!(ids(&gateway).await, ["blue", "red"]);
    killed(one).await;
    assert_eq!(ask(&gateway, "red").await.status, 503);
    assert_eq!(ask(&gateway, "blue").await.status, 200);
    eventually("it is dead", || support::alive(&gateway) == 2).await;
}

#[tokio::test]
async fn static_peers_are_asked_one_after_the_other_and_may_ask_theirs() {
    let mock = serving(&["m"]).await;
    let spec = |peers: &str| format!("services: {{inference: false}}\npeers: [{peers}]");
    let serves = format!(
        "defaults: {{echo: false}}\nproviders: [{}]",
        openai("p", &mock)
    );
    let inference = Daemon::start(settings("inference", &serves, &[KEY]))
        .await
        .unwrap();
    let bare = Daemon::start(settings("bare", "defaults: {echo: false}", &[]))
        .await
        .unwrap();
    let listed = |daemon: &Daemon| format!("{{name: {}, url: '{}'}}", daemon.name(), daemon.url());
    let worker = spec(&format!("{}, {}", listed(&bare), listed(&inference)));
    let worker = Daemon::start(settings("worker", &worker, &[]))
        .await
        .unwrap();
    let gateway = Daemon::start(settings("gateway", &spec(&listed(&worker)), &[]))
        .await
        .unwrap();
    let front = Daemon::start(settings("front", &spec(&listed(&gateway)), &[]))
        .await
        .unwrap();
    for node in [&worker, &gateway] {
        assert_eq!(ids(node).await, ["m"]);
        for _ in 0..4 {
            let answer = ask(node, "m").await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["x-astromesh-inference-node"], "inference");
        }
        assert_eq!(ask(node, "n").await.status, 404);
    }
    // One hop too many.
    assert_eq!(ask(&front, "m").await.status, 404);
    assert_eq!(ids(&front).await, [""; 0]);
}
