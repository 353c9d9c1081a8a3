//! Models, asked for on any node: what OpenAI's clients send and what Anthropic's do, answered by `echo`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::http::Answer;
use astromeshd::Daemon;
use serde_json::{Value, json};
use support::{alone, get, member, met, post};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn hello(model: &str) -> String {
    let messages =
        json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "one two"}]);
    json!({"model": model, "messages": messages}).to_string()
}

fn said(answer: &Answer) -> Value {
    answer.json().unwrap()
}

/// The data of each event, the last of which must be the end.
fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    let text = std::str::from_utf8(&answer.body).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let data = data.filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn echo_is_a_model_of_openais_kind() {
    let node = alone("solo", "").await;
    let answer = post(&node, CHAT, &hello("echo")).await;
    assert_eq!(answer.status, 200);
    for name in [
        "x-astromesh-node",
        "x-astromesh-routed-to",
        "x-astromesh-inference-node",
    ] {
        assert_eq!(answer.headers[name], "solo", "{name}");
    }
    assert_eq!(answer.headers["x-astromesh-provider"], "echo");
    let completion = said(&answer);
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["choices"][0]["message"]["content"], "one two");
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        completion["usage"],
        json!({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6})
    );

    let streamed = hello("echo").replacen(
        '{',
        r#"{"stream":true,"stream_options":{"include_usage":true},"#,
        1,
    );
    let answer = post(&node, CHAT, &streamed).await;
    assert!(answer.body.ends_with(b"data: [DONE]\n\n"));
    let chunks = events(&answer);
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "one two");
    let last = chunks.last().unwrap();
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(6))
    );
}

#[tokio::test]
async fn echo_is_a_model_of_anthropics_kind_as_well() {
    let node = alone("solo", "").await;
    let asked = json!({
        "model": "echo", "max_tokens": 9, "system": "be brief",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one two"}]}],
    });
    let message = said(&post(&node, MESSAGES, &asked.to_string()).await);
    assert_eq!(message["type"], "message");
    assert_eq!(
        message["content"],
        json!([{"type": "text", "text": "one two"}])
    );
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["usage"]["output_tokens"], 2);

    let mut streamed = asked;
    streamed["stream"] = true.into();
    let events = events(&post(&node, MESSAGES, &streamed.to_string()).await);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(events[5]["usage"]["output_tokens"], 2);
}

#[tokio::test]
async fn what_is_wrong_is_told_as_each_dialect_tells_it() {
    let node = alone("solo", "").await;
    for (path, body, status, named) in [
        (CHAT, "", 400, "expected a JSON object"),
        (CHAT, "[1]", 400, "expected a JSON object"),
        (CHAT, "{}", 400, "model: expected"),
        (CHAT, r#"{"model":7}"#, 400, "model: "),
        (CHAT, r#"{"model":"echo"}"#, 400, "messages: "),
        (CHAT, r#"{"model":"echo","messages":[]}"#, 400, "messages: "),
        (
            CHAT,
            r#"{"model":"echo","messages":[7]}"#,
            400,
            "messages: ",
        ),
        (
            CHAT,
            r#"{"model":"gpt-99","messages":[]}"#,
            404,
            r#"no provider has a model "gpt-99""#,
        ),
        (MESSAGES, "{", 400, "expected a JSON object"),
        (
            MESSAGES,
            r#"{"model":"echo","messages":[{"role":"user"}]}"#,
            400,
            "messages[0].content: ",
        ),
        (
            MESSAGES,
            r#"{"model":"gpt-99","messages":[]}"#,
            404,
            r#"no provider has a model "gpt-99""#,
        ),
    ] {
        let answer = post(&node, path, body).await;
        let told = said(&answer);
        assert_eq!(answer.headers["x-astromesh-node"], "solo", "{body}");
        let message = told["error"]["message"].as_str().unwrap();
        assert_eq!(
            (answer.status.as_u16(), message.starts_with(named)),
            (status, true),
            "{body}: {told}"
        );
        let kind = match (path, status) {
            (MESSAGES, 404) => "not_found_error",
            _ => "invalid_request_error",
        };
        assert_eq!(told["error"]["type"], kind, "{body}");
        assert_eq!(told["type"] == "error", path == MESSAGES, "{told}");
    }
    let told = said(&post(&node, CHAT, r#"{"model":"gpt-99","messages":[]}"#).await);
    assert_eq!(told["error"]["code"], "model_not_found");
    assert_eq!(get(&node, CHAT).await.status, 405);
    assert_eq!(post(&node, "/v1/chat", "{}").await.status, 404);
    assert_eq!(post(&node, "/v1/modelsx", "{}").await.status, 404);
}

#[tokio::test]
async fn models_are_listed_for_clients_of_both_kinds() {
    let node = alone("solo", "").await;
    let list = said(&get(&node, "/v1/models").await);
    assert_eq!(
        (&list["object"], &list["has_more"]),
        (&json!("list"), &json!(false))
    );
    let echo = said(&get(&node, "/v1/models/echo").await);
    assert_eq!(list["data"], json!([echo]));
    assert_eq!(
        (&echo["object"], &echo["type"]),
        (&json!("model"), &json!("model"))
    );
    let missing = get(&node, "/v1/models/a/b").await;
    assert_eq!(
        (missing.status.as_u16(), &said(&missing)["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    let without = alone("bare", "defaults: {echo: false}").await;
    assert_eq!(said(&get(&without, "/v1/models").await)["data"], json!([]));
    assert_eq!(post(&without, CHAT, &hello("echo")).await.status, 404);
}

async fn without_inference(name: &str, seeds: &[&Daemon]) -> Daemon {
    member(name, seeds, "inference: false").await
}

#[tokio::test]
async fn a_node_without_the_service_passes_it_to_one_that_has_it() {
    let gateway = without_inference("gateway", &[]).await;
    let none = post(&gateway, CHAT, &hello("echo")).await;
    assert_eq!(
        (none.status.as_u16(), &said(&none)["error"]["type"]),
        (404, &json!("invalid_request_error"))
    );
    let inference = member("inference", &[&gateway], "").await;
    met(&[&gateway, &inference]).await;
    for path in [CHAT, MESSAGES] {
        let answer = post(&gateway, path, &hello("echo")).await;
        if path == CHAT {
            assert_eq!(answer.status, 200, "{}", said(&answer));
        }
    }
    let answer = post(&gateway, CHAT, &hello("echo")).await;
    assert_eq!(answer.headers["x-astromesh-node"], "gateway");
    for name in ["x-astromesh-routed-to", "x-astromesh-inference-node"] {
        assert_eq!(answer.headers[name], "inference", "{name}");
    }
    inference.kill().await;
    let answer = post(&gateway, CHAT, &hello("echo")).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(said(&answer)["error"]["type"], "server_error");
    assert_eq!(gateway.in_flight(), 0);
}
