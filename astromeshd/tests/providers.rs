//! Providers elsewhere, each a scripted server: what they are asked, and what becomes of what they say.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mock;
mod support;

use astromesh_core::http::{Body, Pool, PoolSettings, Reach, full};
use astromeshd::Daemon;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, Request, Response};
use mock::{
    KEY, Mock, Step, answer, answer_with, anthropic, chunks, end, named_events, node, node_with,
    openai, part, stream,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{eventually, get, post, post_with};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

const COMPLETION: &str = r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}"#;

fn hello(model: &str) -> String {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]})
        .to_string()
}

fn streamed(model: &str) -> String {
    hello(model).replacen('{', r#"{"stream":true,"#, 1)
}

/// Sends, and returns once the head of the answer is there.
async fn open(node: &Daemon, path: &str, body: &str) -> Response<Body> {
    let mut request = Request::new(full(body.to_owned()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    let pool = Pool::new(PoolSettings::new(Reach::Anywhere));
    let sent = pool.send(&node.url(), request).await;
    sent.unwrap().map(|body| {
        // The pool's connections end with it.
        Body::new(body.map_frame(move |frame| {
            let _ = &pool;
            frame
        }))
    })
}

async fn frame(response: &mut Response<Body>) -> String {
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

fn data(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let data = data.filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn what_needs_no_translation_passes_byte_for_byte() {
    let mock = Mock::with(&["m"]).await;
    let said = COMPLETION.replacen('{', "{ \"new\": [1.50, {\"z\":1,\"a\":2}],\n", 1);
    mock.does(vec![answer_with(
        200,
        "x-ratelimit-limit-requests: 9\r\nset-cookie: a=b\r\n",
        &said,
    )]);
    let node = node(&[openai("near", &mock)], &[KEY]).await;
    let asked = "{\"unknown\": {\"z\" :1e2, \"a\":[ ]},\n \"messages\":[{\"role\":\"user\",\"content\":\"ä\"}],\"model\":\"m\" }";
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer theirs"),
        ("cookie", "c=d"),
        ("traceparent", "00-a-b-01"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let answer = post_with(&node.url(), CHAT, asked, headers).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body),
        (200, said.into_bytes())
    );
    assert_eq!(answer.headers["x-ratelimit-limit-requests"], "9");
    assert_eq!(answer.headers["x-astromesh-provider"], "near");
    assert!(!answer.headers.contains_key("set-cookie"));
    let came = mock.only();
    assert_eq!(
        (came.path.as_str(), came.body.as_slice()),
        ("/v1/chat/completions", asked.as_bytes())
    );
    assert_eq!(came.headers["authorization"], "Bearer sk-canary-7f3a");
    assert_eq!(came.headers["traceparent"], "00-a-b-01");
    assert_eq!(came.headers["content-type"], "application/json");
    assert!(!came.headers.contains_key("cookie") && !came.headers.contains_key("x-astromesh-hops"));
}

#[tokio::test]
async fn a_stream_passes_one_event_a_read_and_byte_for_byte() {
    for (path, model) in [(CHAT, "m"), (MESSAGES, "claude-x")] {
        let mock = Mock::with(&[model]).await;
        let events = [
            "data: {\"a\": 1}\n\n",
            ": ping\n\n",
            "event: odd\ndata: {\"b\":2.50}\n\n",
            "data: [DONE]\n\n",
        ];
        let mut steps = vec![stream()];
        for event in events {
            steps.extend([part(event), Step::Await]);
        }
        steps.push(end());
        mock.does(steps);
        let provider = if path == CHAT {
            openai("near", &mock)
        } else {
            anthropic("near", &mock)
        };
        let node = node(&[provider], &[KEY]).await;
        let mut response = open(&node, path, &streamed(model)).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        for event in events {
            assert_eq!(frame(&mut response).await, event);
            mock.go_on();
        }
        assert!(response.body_mut().frame().await.is_none());
    }
}

#[tokio::test]
async fn a_client_of_openais_is_answered_by_anthropic() {
    let mock = Mock::with(&["claude-x"]).await;
    mock.does(vec![answer(200, MESSAGE)]);
    let node = node(&[anthropic("claude", &mock)], &[KEY]).await;
    let said: Value = post(&node, CHAT, &hello("claude-x")).await.json().unwrap();
    assert_eq!(said["choices"][0]["message"]["content"], "hi");
    assert_eq!(said["usage"]["total_tokens"], 4);
    let came = mock.only();
    assert_eq!(came.path, "/v1/messages");
    assert_eq!(came.headers["x-api-key"], "sk-canary-7f3a");
    assert_eq!(came.headers["anthropic-version"], "2023-06-01");
    assert_eq!(came.json()["max_tokens"], 9);

    // By a name that no list has, as Anthropic's models are known by several.
    let answer = post(&node, CHAT, &hello("claude-latest")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn tools_are_called_through_a_translated_stream() {
    let mock = Mock::with(&["claude-x"]).await;
    mock.does(named_events(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I will"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":"}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]));
    let node = node(&[anthropic("claude", &mock)], &[KEY]).await;
    let asked = streamed("claude-x").replacen('{', r#"{"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"#, 1);
    let answer = post(&node, CHAT, &asked).await;
    assert!(answer.body.ends_with(b"data: [DONE]\n\n"));
    let chunks = data(std::str::from_utf8(&answer.body).unwrap());
    let deltas: Vec<_> = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone())
        .collect();
    assert_eq!(
        deltas[..5],
        [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "I will"}),
            json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\":"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
        ]
    );
    assert_eq!(chunks[5]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chunks[6]["usage"]["total_tokens"], 12);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["id"] == "msg_1" && chunk["model"] == "claude-x")
    );
    assert_eq!(
        mock.only().json()["tools"][0]["input_schema"],
        json!({"type": "object"})
    );
}

#[tokio::test]
async fn a_client_of_anthropics_is_answered_by_openai() {
    let mock = Mock::with(&["m"]).await;
    mock.does(vec![answer(200, COMPLETION)]);
    let node = node(&[openai("near", &mock)], &[KEY]).await;
    let said: Value = post(&node, MESSAGES, &hello("m")).await.json().unwrap();
    assert_eq!(said["content"], json!([{"type": "text", "text": "hi"}]));
    assert_eq!(said["usage"]["input_tokens"], 3);
    let came = mock.only();
    assert_eq!(came.path, "/v1/chat/completions");
    assert_eq!(came.json()["max_tokens"], 9);

    let delta = |delta: Value, reason: Option<&str>| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    mock.does(chunks(&[
        delta(json!({"role": "assistant", "content": ""}), None),
        delta(json!({"content": "I will"}), None),
        delta(json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]}), None),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\":1}"}}]}), None),
        delta(json!({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "g", "arguments": "{}"}}]}), None),
        delta(json!({}), Some("stop")),
        json!({"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}),
    ]));
    let answer = post(&node, MESSAGES, &streamed("m")).await;
    let events = data(std::str::from_utf8(&answer.body).unwrap());
    let kinds: Vec<_> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["index"].as_u64()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("message_start", None),
            ("content_block_start", Some(0)),
            ("content_block_delta", Some(0)),
            ("content_block_stop", Some(0)),
            ("content_block_start", Some(1)),
            ("content_block_delta", Some(1)),
            ("content_block_stop", Some(1)),
            ("content_block_start", Some(2)),
            ("content_block_delta", Some(2)),
            ("content_block_stop", Some(2)),
            ("message_delta", None),
            ("message_stop", None),
        ]
    );
    assert_eq!(
        events[4]["content_block"],
        json!({"type": "tool_use", "id": "c1", "name": "f", "input": {}})
    );
    assert_eq!(events[10]["delta"]["stop_reason"], "tool_use");
    assert_eq!(
        (
            &events[10]["usage"]["input_tokens"],
            &events[10]["usage"]["output_tokens"]
        ),
        (&json!(5), &json!(7))
    );
    assert_eq!(
        mock.came()[1].json()["stream_options"],
        json!({"include_usage": true})
    );
}

#[tokio::test]
async fn ollama_is_spoken_to_below_v1_and_without_a_key() {
    let mock = Mock::with(&["qwen3:8b"]).await;
    mock.does(vec![answer(200, COMPLETION)]);
    let host = mock.address.to_string();
    let node = node(&[], &[("OLLAMA_HOST", &host)]).await;
    assert_eq!(post(&node, CHAT, &hello("qwen3:8b")).await.status, 200);
    let came = mock.only();
    assert_eq!(came.path, "/v1/chat/completions");
    assert!(!came.headers.contains_key("authorization"));
}

#[tokio::test]
async fn what_a_provider_holds_against_the_request_passes_with_its_body() {
    let mock = Mock::with(&["m"]).await;
    let (one, two) = (openai("near", &mock), Mock::with(&["m"]).await);
    let node = node(&[one, openai("far", &two)], &[KEY]).await;
    for status in [400, 402, 413, 422, 429] {
        let body = format!("{{\"error\": {{\"message\":\"no: {status}\", \"odd\" :1}}}}");
        mock.does(vec![answer_with(status, "retry-after: 7\r\n", &body)]);
        for path in [CHAT, MESSAGES] {
            let answer = post(&node, path, &hello("m")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.body),
                (status, body.clone().into_bytes())
            );
            assert_eq!(answer.headers["retry-after"], "7");
        }
    }
    assert_eq!(two.came().len(), 0);
    let status: Value = get(&node, "/v1/system/status").await.json().unwrap();
    assert_eq!(status["providers"][0]["requests"]["refused"], 10);
}

#[tokio::test]
async fn a_provider_that_fails_is_followed_by_the_next() {
    for steps in [
        vec![answer(500, r#"{"error":{"message":"out of memory"}}"#)],
        vec![answer(503, "")],
        vec![answer(529, "busy")],
        vec![answer(
            401,
            r#"{"error":{"message":"bad key sk-canary-7f3a"}}"#,
        )],
        vec![answer(403, "")],
        vec![answer(404, r#"{"error":{"message":"no such model"}}"#)],
        vec![answer_with(302, "location: http://127.0.0.1:1/\r\n", "")],
        vec![Step::Cut],
        vec![Step::Say(b"nonsense\r\n\r\n".to_vec()), Step::Cut],
        vec![Step::Hang],
    ] {
        let (bad, good) = (Mock::with(&["m"]).await, Mock::with(&["m"]).await);
        bad.does(steps.clone());
        good.does(vec![answer(200, COMPLETION)]);
        let quick = "defaults: {echo: false}\nlimits: {inference_first_byte_timeout: 300ms}";
        let both = node_with(quick, &[openai("bad", &bad), openai("good", &good)], &[KEY]).await;
        let answer = post(&both, CHAT, &hello("m")).await;
        assert_eq!(answer.status, 200, "{steps:?}");
        assert_eq!(answer.headers["x-astromesh-provider"], "good");
        assert_eq!((bad.came().len(), good.came().len()), (1, 1), "{steps:?}");

        let is_lacking = steps
            .iter()
            .any(|step| matches!(step, Step::Say(said) if said.starts_with(b"HTTP/1.1 404")));
        let alone = node_with(quick, &[openai("bad", &bad)], &[KEY]).await;
        let answer = post(&alone, CHAT, &hello("m")).await;
        let told: Value = answer.json().unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert_eq!(
            answer.status,
            if is_lacking { 404 } else { 503 },
            "{steps:?}"
        );
        assert_eq!(answer.headers.contains_key("retry-after"), !is_lacking);
        assert!(
            message.contains("\"m\"") && !message.contains("canary"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn one_that_failed_comes_last_for_a_while() {
    let (bad, good) = (Mock::with(&["m"]).await, Mock::with(&["m"]).await);
    bad.does(vec![answer(500, "")]);
    good.does(vec![answer(200, COMPLETION)]);
    let node = node(&[openai("bad", &bad), openai("good", &good)], &[KEY]).await;
    for _ in 0..5 {
        assert_eq!(post(&node, CHAT, &hello("m")).await.status, 200);
    }
    assert_eq!((bad.came().len(), good.came().len()), (1, 5));
}

#[tokio::test]
async fn a_model_is_asked_of_nobody_who_has_not_got_it() {
    let (near, far) = (Mock::with(&["m"]).await, Mock::with(&["n"]).await);
    near.does(vec![answer(200, COMPLETION)]);
    far.does(vec![answer(200, COMPLETION)]);
    let node = node(&[openai("near", &near), openai("far", &far)], &[KEY]).await;
    assert_eq!(
        post(&node, CHAT, &hello("n")).await.headers["x-astromesh-provider"],
        "far"
    );
    let answer = post(&node, CHAT, &hello("nobodys")).await;
    assert_eq!(answer.status, 404);
    assert_eq!((near.came().len(), far.came().len()), (0, 1));
    let list: Value = get(&node, "/v1/models").await.json().unwrap();
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(ids, ["m", "n"]);

    // What was pulled a moment ago is found, as soon as it makes sense to ask again.
    near.lists(&["m", "new"]);
    let deadline = Instant::now() + support::PATIENCE;
    while post(&node, CHAT, &hello("new")).await.status != 200 {
        assert!(Instant::now() < deadline, "never found");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-astromesh-provider", "far".parse().unwrap());
    let answer = post_with(&node.url(), CHAT, &hello("m"), headers).await;
    assert_eq!(
        answer.status, 404,
        "a provider that is named is the only one that is asked"
    );
}

#[tokio::test]
async fn many_first_requests_at_once_ask_for_the_list_once_and_none_goes_without() {
    let mock = Mock::with(&["m"]).await;
    let list = answer(200, r#"{"data":[{"id":"m"}]}"#);
    mock.lists_as(vec![Step::Wait(Duration::from_millis(300)), list]);
    mock.does(vec![answer(200, COMPLETION)]);
    let node = std::sync::Arc::new(node(&[openai("near", &mock)], &[KEY]).await);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let node = std::sync::Arc::clone(&node);
        asking.spawn(async move { post(&node, CHAT, &hello("m")).await.status.as_u16() });
    }
    assert_eq!(asking.join_all().await, [200; 20]);
    assert_eq!(mock.listed(), 1);
}

#[tokio::test]
async fn a_provider_that_lists_nothing_is_tried_and_one_that_is_down_is_not_a_missing_model() {
    let unheard = Mock::with(&[]).await;
    unheard.lists_as(vec![answer(404, "")]);
    unheard.does(vec![answer(200, COMPLETION)]);
    let one = node(&[openai("unheard", &unheard)], &[KEY]).await;
    assert_eq!(post(&one, CHAT, &hello("whatever")).await.status, 200);

    for list in [
        vec![Step::Cut],
        vec![answer(500, "")],
        vec![answer(200, "[]")],
        vec![answer(401, "")],
    ] {
        let down = Mock::with(&[]).await;
        down.lists_as(list);
        let two = node(&[openai("down", &down)], &[KEY]).await;
        assert_eq!(post(&two, CHAT, &hello("m")).await.status, 503);
        assert_eq!(down.came().len(), 0);
        let list: Value = get(&two, "/v1/models").await.json().unwrap();
        assert_eq!(
            (&list["data"], &list["incomplete"]),
            (&json!([]), &json!(true))
        );
    }

    // What the file says is believed, and nobody is asked.
    let listed = format!(
        "{{name: a, base_url: 'http://{}/v1', models: [m, 'x-*']}}",
        unheard.address
    );
    let three = node(&[listed], &[]).await;
    for (model, status) in [("m", 200), ("x-1", 200), ("y", 404)] {
        assert_eq!(
            post(&three, CHAT, &hello(model)).await.status,
            status,
            "{model}"
        );
    }
}

#[tokio::test]
async fn nonsense_is_a_failure_of_the_provider_and_never_ours() {
    let event = |text: &str| vec![stream(), part(text), end()];
    for (path, steps) in [
        (CHAT, vec![answer(200, "")]),
        (CHAT, vec![answer(200, "[]")]),
        (
            CHAT,
            vec![answer(
                200,
                r#"{"content":[{"type":"text","text":7}],"id":"a","model":"m"}"#,
            )],
        ),
        (
            CHAT,
            vec![answer(
                200,
                r#"{"content":[],"id":"a","model":"m","usage":{"input_tokens":-1}}"#,
            )],
        ),
        (MESSAGES, vec![answer(200, r#"{"choices":[]}"#)]),
        (
            MESSAGES,
            vec![answer(200, &COMPLETION.replace("\"hi\"", "{}"))],
        ),
        (MESSAGES, vec![answer(200, &"[".repeat(100_000))]),
    ] {
        let mock = Mock::with(&["m"]).await;
        mock.does(steps.clone());
        let provider = if path == CHAT {
            anthropic("odd", &mock)
        } else {
            openai("odd", &mock)
        };
        let node = node(&[provider], &[KEY]).await;
        assert_eq!(
            post(&node, path, &hello("m")).await.status,
            503,
            "{steps:?}"
        );
    }
    for (path, steps) in [
        (CHAT, event("data: {}\n\n")),
        (CHAT, event("data: nonsense\n\n")),
        (CHAT, event("data: \u{fffd}\n\n")),
        (
            CHAT,
            event("data: {\"type\":\"content_block_delta\",\"index\":-1}\n\n"),
        ),
        (
            CHAT,
            event(
                "data: {\"type\":\"content_block_start\",\"index\":9,\"content_block\":{\"type\":\"tool_use\"}}\n\n",
            ),
        ),
        (CHAT, event("")),
        (CHAT, vec![stream(), part("data: {\"type\":"), Step::Cut]),
        (
            CHAT,
            vec![
                stream(),
                part(&"x".repeat(4_096)),
                part(&"x".repeat(4_096)),
                Step::Hang,
            ],
        ),
        (CHAT, vec![stream(), Step::Hang]),
        (MESSAGES, event("data: [DONE]\n\n")),
        (MESSAGES, event("data: []\n\n")),
        (
            MESSAGES,
            event("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n"),
        ),
        (
            MESSAGES,
            event("data: {\"choices\":[{\"delta\":{\"content\":[]}}]}\n\n"),
        ),
        (
            MESSAGES,
            event("data: {\"error\":{\"message\":\"overloaded\"}}\n\n"),
        ),
        (
            MESSAGES,
            vec![stream(), part("data: {\"choices\":[]}\n\n"), Step::Cut],
        ),
    ] {
        let mock = Mock::with(&["m"]).await;
        mock.does(steps.clone());
        let provider = if path == CHAT {
            anthropic("odd", &mock)
        } else {
            openai("odd", &mock)
        };
        let bounds = "defaults: {echo: false}\nlimits: {inference_answer_bytes: 8000, inference_idle_timeout: 300ms}";
        let node = node_with(bounds, &[provider], &[KEY]).await;
        let answer = post(&node, path, &streamed("m")).await;
        let text = String::from_utf8(answer.body).unwrap();
        let last = data(&text).pop().unwrap_or_default();
        assert!(last["error"]["message"].is_string(), "{steps:?}: {text}");
        assert!(
            !text.contains("[DONE]") && !text.contains("message_stop"),
            "{text}"
        );
        assert_eq!(node.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_taken_for_a_whole_one() {
    let mock = Mock::with(&["m"]).await;
    mock.does(vec![stream(), part("data: {}\n\n"), Step::Cut]);
    let node = node(&[openai("near", &mock)], &[KEY]).await;
    let mut response = open(&node, CHAT, &streamed("m")).await;
    assert_eq!(frame(&mut response).await, "data: {}\n\n");
    let next = response.body_mut().frame().await;
    assert!(next.is_some_and(|frame| frame.is_err()));
}

#[tokio::test]
async fn whoever_stops_listening_stops_the_provider() {
    for (path, steps) in [
        (CHAT, vec![Step::Hang]),
        (CHAT, vec![stream(), part("data: {}\n\n"), Step::Hang]),
        (MESSAGES, vec![Step::Hang]),
        (
            MESSAGES,
            vec![stream(), part("data: {\"choices\":[]}\n\n"), Step::Hang],
        ),
    ] {
        let mock = Mock::with(&["m"]).await;
        let has_begun = steps.len() > 1;
        mock.does(steps);
        let node = node(&[openai("near", &mock)], &[KEY]).await;
        let body = streamed("m");
        let mut asking = Box::pin(open(&node, path, &body));
        if has_begun {
            let mut response = asking.await;
            frame(&mut response).await;
            drop(response);
        } else {
            tokio::select! {
                _ = &mut asking => panic!("nobody answers"),
                () = eventually("it is asked", || mock.came().len() == 1) => drop(asking),
            }
        }
        eventually("the provider is told", || mock.closed() == 1).await;
        eventually("nothing is in flight", || node.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_counted() {
    let mock = Mock::with(&["m"]).await;
    let node = node_with(
        "limits: {inference_body_bytes: 1000}",
        &[openai("near", &mock)],
        &[KEY],
    )
    .await;
    let answer = post(&node, CHAT, &"x".repeat(1_001)).await;
    let told: Value = answer.json().unwrap();
    assert_eq!(
        (answer.status.as_u16(), &told["error"]["type"]),
        (413, &json!("invalid_request_error"))
    );
    let answer = post(&node, MESSAGES, &"x".repeat(1_001)).await;
    let told: Value = answer.json().unwrap();
    assert_eq!(told["error"]["type"], "request_too_large");
    let status: Value = get(&node, "/v1/system/status").await.json().unwrap();
    assert_eq!(status["requests"]["turned_away"]["inference_body_bytes"], 2);
}
