//! Messages to channels: signed or refused, answered by an agent wherever it is, or by callback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::{ChannelAnswer, RunAnswer, SystemStatus};
use astromesh_core::http::Answer;
use astromeshd::Daemon;
use hyper::{HeaderMap, Method};
use ring::hmac;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::place::{Place, reply};
use support::{QUICK, client, eventually, get, member, met, post_with, settings_with};
use tempfile::TempDir;

const SECRET: &str = "a-secret-of-forty-two-characters,-or-so-it-is";

async fn node(channels: &str, spec: &str) -> Daemon {
    let folder = TempDir::new().unwrap();
    let spec = format!("channels: {{{channels}}}\n{spec}");
    let settings = settings_with(&folder, "solo", &spec, &[("CHAT_SECRET", SECRET)]);
    Daemon::start(settings).await.unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn signature(secret: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    let digits: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={digits}")
}

fn headers(fields: &[(&'static str, String)]) -> HeaderMap {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
    fields.collect()
}

/// A message signed as it should be.
async fn send(node: &Daemon, channel: &str, body: &str) -> Answer {
    let at = now();
    let headers = headers(&[
        ("x-astromesh-timestamp", at.to_string()),
        (
            "x-astromesh-signature",
            signature(SECRET, &format!("{at}.{body}")),
        ),
    ]);
    post_with(
        &node.url(),
        &format!("/v1/channels/{channel}"),
        body,
        headers,
    )
    .await
}

async fn refused(node: &Daemon) -> u64 {
    let status: SystemStatus = get(node, "/v1/system/status").await.json().unwrap();
    status
        .requests
        .turned_away
        .get("signatures")
        .copied()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_signed_message_is_answered() {
    let node = node("chat: {agent: echo, secret_env: CHAT_SECRET}", "").await;
    let answer = send(&node, "chat", r#"{"query":"hi","session_id":"s"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());
    let said: RunAnswer = answer.json().unwrap();
    assert_eq!(
        (said.answer.as_str(), said.session_id.as_str()),
        ("hi", "s")
    );
    assert_eq!(answer.headers["x-astromesh-routed-to"], "solo");
    assert_eq!(refused(&node).await, 0);
}

#[tokio::test]
async fn what_is_not_signed_as_it_should_be_is_401_and_counted() {
    let node = node(
        "chat: {agent: echo, secret_env: CHAT_SECRET, tolerance: 60}",
        "",
    )
    .await;
    let body = r#"{"query":"hi"}"#;
    let (at, old, early) = (
        now().to_string(),
        (now() - 90).to_string(),
        (now() + 90).to_string(),
    );
    let signed = |at: &str| signature(SECRET, &format!("{at}.{body}"));
    let attempts = [
        vec![],
        vec![("x-astromesh-timestamp", at.clone())],
        vec![("x-astromesh-signature", signed(&at))],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            (
                "x-astromesh-signature",
                signature("other", &format!("{at}.{body}")),
            ),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            ("x-astromesh-signature", signature(SECRET, body)),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            ("x-hub-signature-256", signed(&at)),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            ("x-astromesh-signature", signed(&old)),
        ],
        vec![
            ("x-astromesh-timestamp", old.clone()),
            ("x-astromesh-signature", signed(&old)),
        ],
        vec![
            ("x-astromesh-timestamp", early.clone()),
            ("x-astromesh-signature", signed(&early)),
        ],
        vec![
            ("x-astromesh-timestamp", "soon".to_owned()),
            ("x-astromesh-signature", signed("soon")),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            ("x-astromesh-signature", "sha256=".to_owned()),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            (
                "x-astromesh-signature",
                format!("sha256={}", "é".repeat(32)),
            ),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            (
                "x-astromesh-signature",
                signed(&at).replace("sha256=", "sha1="),
            ),
        ],
        vec![
            ("x-astromesh-timestamp", at.clone()),
            ("x-astromesh-signature", signed(&at)[..70].to_owned()),
        ],
    ];
    for (number, fields) in attempts.iter().enumerate() {
        let answer = post_with(&node.url(), "/v1/channels/chat", body, headers(fields)).await;
        assert_eq!(answer.status, 401, "{fields:?}: {}", answer.detail());
        assert!(!answer.detail().contains(SECRET));
        assert_eq!(refused(&node).await, number as u64 + 1);
    }
    let right = headers(&[
        ("x-astromesh-timestamp", at.clone()),
        ("x-astromesh-signature", signed(&at)),
    ]);
    let other = post_with(
        &node.url(),
        "/v1/channels/chat",
        r#"{"query":"ho"}"#,
        right.clone(),
    )
    .await;
    assert_eq!(other.status, 401, "another body");
    let answer = post_with(&node.url(), "/v1/channels/chat", body, right).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_sender_that_signs_the_body_alone_is_taken_where_the_channel_says_so() {
    let node = node("hub: {agent: echo, secret_env: CHAT_SECRET, signed: body, query: /comment/body, session: /issue, context: ''}", "").await;
    let body = r#"{"comment":{"body":"hi"},"issue":42}"#;
    for name in ["x-hub-signature-256", "x-astromesh-signature"] {
        let headers = headers(&[(name, signature(SECRET, body))]);
        let answer = post_with(&node.url(), "/v1/channels/hub", body, headers).await;
        assert_eq!(answer.status, 200, "{}", answer.detail());
        let said: RunAnswer = answer.json().unwrap();
        assert_eq!(
            (said.answer.as_str(), said.session_id.as_str()),
            ("hi", "42")
        );
    }
    let wrong = headers(&[("x-hub-signature-256", signature("other", body))]);
    assert_eq!(
        post_with(&node.url(), "/v1/channels/hub", body, wrong)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_said() {
    let node = node(
        "chat: {agent: echo, secret_env: CHAT_SECRET}, lost: {agent: nobody, secret_env: CHAT_SECRET}",
        "limits: {channel_body_bytes: 100}",
    )
    .await;
    for (channel, body, status, named) in [
        ("chat", "", 400, "body: expected JSON"),
        ("chat", "[]", 400, "/query: expected a string"),
        ("chat", r#"{"query":7}"#, 400, "/query: expected a string"),
        (
            "chat",
            r#"{"query":"a","session_id":{}}"#,
            400,
            "/session_id",
        ),
        (
            "chat",
            &format!(r#"{{"query":"{}"}}"#, "x".repeat(100)),
            413,
            "100 bytes",
        ),
        ("nothing", r#"{"query":"a"}"#, 404, "/v1/channels/nothing"),
        ("", r#"{"query":"a"}"#, 404, "/v1/channels/"),
        ("%ff", r#"{"query":"a"}"#, 404, "/v1/channels/%ff"),
        ("lost", r#"{"query":"a"}"#, 404, "nobody"),
    ] {
        let answer = send(&node, channel, body).await;
        assert_eq!(
            answer.status,
            status,
            "{channel} {body}: {}",
            answer.detail()
        );
        assert!(
            answer.detail().contains(named),
            "{channel} {body}: {}",
            answer.detail()
        );
    }
    let answer = client()
        .send(&node.url(), Method::GET, "/v1/channels/chat", None)
        .await
        .unwrap();
    assert_eq!(answer.status, 405);
    for services in ["channels: false", "api: false"] {
        let node = self::node(
            "chat: {agent: echo, secret_env: CHAT_SECRET}",
            &format!("services: {{{services}}}"),
        )
        .await;
        let answer = send(&node, "chat", r#"{"query":"a"}"#).await;
        assert_eq!(answer.status, 404, "{services}");
    }
}

#[tokio::test]
async fn an_agent_elsewhere_in_the_mesh_answers() {
    let folder = TempDir::new().unwrap();
    let spec = format!(
        "mesh: {{enabled: true, {QUICK}}}\nservices: {{agents: false}}\nchannels: {{chat: {{agent: echo, secret_env: CHAT_SECRET}}}}"
    );
    let settings = settings_with(&folder, "gateway", &spec, &[("CHAT_SECRET", SECRET)]);
    let gateway = Daemon::start(settings).await.unwrap();
    let worker = member("worker", &[&gateway], "").await;
    met(&[&gateway, &worker]).await;
    let answer = send(&gateway, "chat", r#"{"query":"hi"}"#).await;
    assert_eq!(support::ran(&answer), "worker");
    for daemon in [gateway, worker] {
        daemon.kill().await;
    }
}

fn callback_to(place: &Place) -> String {
    format!(
        "chat: {{agent: echo, secret_env: CHAT_SECRET, callback: {{url: \"{}\"}}}}",
        place.url("/hook?a=1")
    )
}

#[tokio::test]
async fn an_answer_goes_to_the_callback_signed_and_again_where_nobody_took_it() {
    let place =
        Place::new(|_, before| reply(if before < 2 { 500 } else { 204 }, "text/plain", "")).await;
    let node = node(&callback_to(&place), "").await;
    let answer = send(&node, "chat", r#"{"query":"hi"}"#).await;
    assert_eq!(answer.status, 202, "{}", answer.detail());
    let id = answer.json::<Value>().unwrap()["message_id"].clone();
    eventually("it is delivered", || place.heard().len() == 3).await;
    for heard in place.heard() {
        assert_eq!(
            (heard.method.as_str(), heard.path.as_str()),
            ("POST", "/hook?a=1")
        );
        let at = heard.headers["x-astromesh-timestamp"].to_str().unwrap();
        let signed = signature(SECRET, &format!("{at}.{}", heard.body));
        assert_eq!(heard.headers["x-astromesh-signature"], signed);
        let said: ChannelAnswer = serde_json::from_str(&heard.body).unwrap();
        assert_eq!((said.channel.as_str(), said.status), ("chat", 200));
        assert_eq!(json!(said.message_id), id);
        assert_eq!(said.body["answer"], "hi");
    }
    counted(&node, "callback_delivered").await;
}

/// Waits until as much is counted once.
async fn counted(node: &Daemon, name: &str) {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        let status: SystemStatus = get(node, "/v1/system/status").await.json().unwrap();
        if status.requests.total.get(name) == Some(&1) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{name} is never counted"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_callback_is_given_up_where_it_may_not_be_called_or_will_not_have_it() {
    let place = Place::new(|_, _| reply(400, "text/plain", "no")).await;
    let node = node(&callback_to(&place), "").await;
    send(&node, "chat", r#"{"query":"hi"}"#).await;
    counted(&node, "callback_failed").await;
    assert_eq!(
        place.heard().len(),
        1,
        "what it will not have is not sent again"
    );

    let by_name = format!(
        "chat: {{agent: echo, secret_env: CHAT_SECRET, callback: {{url: \"http://localhost:{}/\"}}}}",
        place.address.port()
    );
    let node = self::node(&by_name, "").await;
    send(&node, "chat", r#"{"query":"hi"}"#).await;
    counted(&node, "callback_failed").await;
    assert_eq!(
        place.heard().len(),
        1,
        "a name does not lead to a private address"
    );

    let by_name = by_name.replace("}}", ", allow: [127.0.0.0/8, '[::1]']}}");
    let node = self::node(&by_name, "").await;
    send(&node, "chat", r#"{"query":"hi"}"#).await;
    eventually("it is delivered", || place.heard().len() == 2).await;
}

#[tokio::test]
async fn what_became_of_a_run_that_failed_is_told_to_the_callback() {
    let place = Place::new(|_, _| reply(200, "text/plain", "")).await;
    let channel = callback_to(&place).replace("agent: echo", "agent: nobody");
    let node = node(&channel, "").await;
    assert_eq!(send(&node, "chat", r#"{"query":"hi"}"#).await.status, 202);
    eventually("it is delivered", || place.heard().len() == 1).await;
    let said: ChannelAnswer = serde_json::from_str(&place.heard()[0].body).unwrap();
    assert_eq!(said.status, 404);
    assert!(said.body["detail"].as_str().unwrap().contains("nobody"));
}

#[tokio::test]
async fn as_many_are_answered_by_callback_as_may_be_and_finished_before_the_end() {
    let place = Place::new(|_, before| {
        if before == 0 {
            reply(503, "text/plain", "")
        } else {
            reply(200, "text/plain", "")
        }
    })
    .await;
    let node = node(&callback_to(&place), "limits: {callbacks: 1}").await;
    assert_eq!(send(&node, "chat", r#"{"query":"hi"}"#).await.status, 202);
    eventually("the first attempt is made", || place.heard().len() == 1).await;
    let refused = send(&node, "chat", r#"{"query":"hi"}"#).await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));
    node.stop().await;
    assert_eq!(place.heard().len(), 2, "it was delivered before the end");
}
