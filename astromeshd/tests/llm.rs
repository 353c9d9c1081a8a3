//! Agents that a model runs: what the model is shown, tools in a loop that ends, sessions, and streams.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::api::{RunAnswer, SystemStatus};
use astromesh_core::http::Answer;
use astromeshd::Daemon;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::place::{Heard, Place, calls, reply, reply_json, says, streams};
use support::{
    PATIENCE, eventually, folder_with_agent, get, post, ran, settings_with, write_agent,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MODEL: &str =
    "model: {primary: {provider: openai, model: mock-1, parameters: {temperature: 0.5, model: x}}}";

/// The provider that `ana`'s model has, at `address`.
fn provider(address: &str) -> String {
    format!("providers: [{{name: openai, base_url: \"http://{address}/v1\", models: ['*']}}]")
}

const KEY: &[(&str, &str)] = &[("OPENAI_API_KEY", "key")];

/// A node with one agent, `ana`, whose model is `model`.
async fn node(model: &Place, agent: &str, spec: &str) -> (Daemon, TempDir) {
    let folder = folder_with_agent("ana", &format!("{MODEL}\n  {agent}"));
    let spec = format!("{}\n{spec}", provider(&model.address.to_string()));
    let settings = settings_with(&folder, "solo", &spec, KEY);
    (Daemon::start(settings).await.unwrap(), folder)
}

async fn ask(node: &Daemon, body: &Value) -> Answer {
    post(node, "/v1/agents/ana/run", &body.to_string()).await
}

fn answered(answer: &Answer) -> RunAnswer {
    assert_eq!(answer.status, 200, "{}", answer.detail());
    answer.json().unwrap()
}

/// Who said what, as the model was shown it.
fn shown(heard: &Heard) -> Vec<(String, String)> {
    let request = heard.json();
    let messages = request["messages"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    messages
        .map(|message| (text(&message["role"]), text(&message["content"])))
        .collect()
}

#[tokio::test]
async fn the_model_is_shown_the_prompt_and_the_question_and_its_answer_comes_back() {
    let model = Place::new(|_, _| says("hello there")).await;
    let (node, _folder) = node(&model, "prompts: {system: Be kind.}", "").await;
    let answer = ask(&node, &json!({"query": "hi", "context": {"name": "Eve"}})).await;
    assert_eq!(ran(&answer), "solo");
    let said = answered(&answer);
    assert_eq!(
        (said.answer.as_str(), said.model.as_str()),
        ("hello there", "mock-1")
    );
    assert_eq!(said.usage.total_tokens, 12);
    assert_eq!(said.steps.len(), 1);
    assert_eq!(said.steps[0]["type"], "model");
    let heard = &model.heard()[0];
    assert_eq!(heard.path, "/v1/chat/completions");
    assert_eq!(heard.headers["authorization"], "Bearer key");
    let request = heard.json();
    assert_eq!(
        (&request["model"], &request["temperature"]),
        (&json!("mock-1"), &json!(0.5))
    );
    assert!(request.get("tools").is_none());
    let said = shown(heard);
    assert_eq!(said[0], ("system".into(), "Be kind.".into()));
    assert_eq!(said[1].0, "user");
    assert!(
        said[1].1.starts_with("hi\n") && said[1].1.ends_with(r#"{"name":"Eve"}"#),
        "{said:?}"
    );
}

#[tokio::test]
async fn tools_are_called_until_the_model_answers() {
    let weather = Place::new(|_, _| reply_json(200, &json!({"sky": "blue"}))).await;
    let model = Place::new(|_, before| match before {
        0 => calls(&[
            ("datetime_now", json!({})),
            ("weather", json!({"city": "Rome"})),
        ]),
        1 => calls(&[("nonsense", json!({})), ("weather", json!("Rome"))]),
        _ => says("blue"),
    })
    .await;
    let tools = format!(
        "tools: [{{name: datetime_now}}, {{name: weather, description: tells, url: \"{}\"}}]",
        weather.url("/weather")
    );
    let (node, _folder) = node(&model, &tools, "").await;
    let said = answered(&ask(&node, &json!({"query": "the sky in Rome?"})).await);
    assert_eq!(
        (said.answer.as_str(), said.usage.total_tokens),
        ("blue", 36)
    );
    let kinds: Vec<_> = said
        .steps
        .iter()
        .map(|step| step["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["model", "tool", "tool", "model", "tool", "tool", "model"]
    );
    let asked = &weather.heard()[0];
    assert_eq!(
        (asked.method.as_str(), asked.json()),
        ("POST", json!({"city": "Rome"}))
    );
    assert_eq!(
        weather.heard().len(),
        1,
        "arguments that are no object are not passed on"
    );

    let heard = model.heard();
    let names: Vec<_> = heard[0].json()["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["function"]["name"].clone())
        .collect();
    assert_eq!(names, ["datetime_now", "weather"]);
    let second = shown(&heard[1]);
    assert_eq!(second[2].0, "tool");
    assert!(second[2].1.contains("\"timezone\":\"UTC\""), "{second:?}");
    assert_eq!(second[3], ("tool".into(), r#"{"sky":"blue"}"#.into()));
    let third = shown(&heard[2]);
    assert!(
        third[5]
            .1
            .starts_with("error: there is no tool \"nonsense\""),
        "{third:?}"
    );
    assert!(
        third[6]
            .1
            .starts_with("error: the arguments are not a JSON object"),
        "{third:?}"
    );
}

#[tokio::test]
async fn a_loop_that_never_ends_is_ended() {
    let model = Place::new(|_, _| calls(&[("datetime_now", json!({}))])).await;
    let agent = "orchestration: {max_iterations: 3}\n  tools: [{name: datetime_now}]";
    let (node, _folder) = node(&model, agent, "").await;
    let answer = ask(&node, &json!({"query": "hi", "session_id": "s"})).await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.detail().contains("max_iterations"),
        "{}",
        answer.detail()
    );
    let heard = model.heard();
    assert_eq!(heard.len(), 3);
    let choices: Vec<_> = heard
        .iter()
        .map(|heard| heard.json()["tool_choice"].clone())
        .collect();
    assert_eq!(
        choices,
        [Value::Null, Value::Null, json!("none")],
        "the last time it is to answer"
    );
    let status: SystemStatus = get(&node, "/v1/system/status").await.json().unwrap();
    assert_eq!(
        status.node.sessions.kept, 0,
        "what came to nothing is not kept"
    );
    assert_eq!(node.in_flight(), 0);
}

#[tokio::test]
async fn a_tool_that_hangs_costs_its_time_and_no_more() {
    let silent = Place::new(|_, _| None).await;
    let model = Place::new(|_, before| match before {
        0 => calls(&[("slow", json!({}))]),
        _ => says("never mind"),
    })
    .await;
    let agent = format!(
        "tools: [{{name: slow, url: \"{}\", timeout_seconds: 0.2}}]",
        silent.url("/")
    );
    let (node, _folder) = node(&model, &agent, "").await;
    let said = answered(&ask(&node, &json!({"query": "hi"})).await);
    assert_eq!(said.answer, "never mind");
    let tool = &said.steps[1];
    assert_eq!(
        (&tool["ok"], &tool["result"]),
        (&json!(false), &json!("error: no answer within 200ms"))
    );
}

#[tokio::test]
async fn a_run_ends_when_its_time_is_up() {
    let model = Place::new(|_, _| None).await;
    let (node, _folder) = node(&model, "orchestration: {timeout_seconds: 0.3}", "").await;
    let began = Instant::now();
    let answer = ask(&node, &json!({"query": "hi"})).await;
    assert_eq!(answer.status, 504);
    assert!(
        answer.detail().contains("timeout_seconds"),
        "{}",
        answer.detail()
    );
    assert!(began.elapsed() >= Duration::from_millis(300));
    eventually("nothing is in flight", || node.in_flight() == 0).await;
}

#[tokio::test]
async fn what_the_model_is_refused_with_is_told() {
    for (said, status, named) in [
        (404, 502, "mock-1"),
        (400, 502, "no such model"),
        (429, 429, "no such model"),
        (500, 502, "no such model"),
    ] {
        let body = json!({"error": {"message": "no such model", "type": "x"}});
        let model = Place::new(move |_, _| reply_json(said, &body)).await;
        let (node, _folder) = node(&model, "", "").await;
        let answer = ask(&node, &json!({"query": "hi"})).await;
        assert!(
            answer.detail().contains("agent \"ana\""),
            "{}",
            answer.detail()
        );
        if said != 500 {
            assert!(answer.detail().contains(named), "{}", answer.detail());
            assert_eq!(answer.status, status, "{said}: {}", answer.detail());
        } else {
            assert!(answer.status.is_server_error());
        }
    }
    for nonsense in [
        "",
        "{}",
        "[]",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"message":7}]}"#,
    ] {
        let model = Place::new(move |_, _| reply(200, "application/json", nonsense)).await;
        let (node, _folder) = node(&model, "", "").await;
        let answer = ask(&node, &json!({"query": "hi"})).await;
        assert!(
            answer.status.is_server_error(),
            "{nonsense}: {}",
            answer.status
        );
        assert!(
            answer.detail().contains("ana"),
            "{nonsense}: {}",
            answer.detail()
        );
    }
}

#[tokio::test]
async fn a_session_goes_on_where_it_was_and_no_other_sees_it() {
    let model = Place::new(|_, before| says(&format!("answer {before}"))).await;
    let (node, _folder) = node(&model, "prompts: {system: Be kind.}", "").await;
    let first = answered(&ask(&node, &json!({"query": "one"})).await);
    let session = first.session_id.as_str();
    let second = answered(&ask(&node, &json!({"query": "two", "session_id": session})).await);
    assert_eq!(second.session_id, session);
    ask(&node, &json!({"query": "three", "session_id": "another"})).await;
    let heard = model.heard();
    let texts = |heard: &Heard| {
        shown(heard)
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&heard[1]), ["Be kind.", "one", "answer 0", "two"]);
    assert_eq!(texts(&heard[2]), ["Be kind.", "three"]);
    let long = "x".repeat(300);
    let refused = ask(&node, &json!({"query": "four", "session_id": long})).await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.detail().contains("session_id")
        ),
        (400, true)
    );
}

#[tokio::test]
async fn a_session_is_bounded_and_forgotten_in_time() {
    let model = Place::new(|_, before| says(&format!("answer {before}"))).await;
    let limits = "limits: {session_messages: 4, session_timeout: 1}";
    let (node, _folder) = node(&model, "", limits).await;
    for query in ["one", "two", "three", "four"] {
        ask(&node, &json!({"query": query, "session_id": "s"})).await;
    }
    let texts: Vec<_> = shown(&model.heard()[3])
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(texts, ["two", "answer 1", "three", "answer 2", "four"]);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status: SystemStatus = get(&node, "/v1/system/status").await.json().unwrap();
        if status.node.sessions.kept == 0 {
            assert_eq!(status.node.sessions.bytes, 0);
            break;
        }
        assert!(Instant::now() < deadline, "it is never forgotten");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ask(&node, &json!({"query": "five", "session_id": "s"})).await;
    assert_eq!(shown(&model.heard()[4]).len(), 1);
}

#[tokio::test]
async fn a_plan_is_made_first_where_that_is_the_pattern() {
    let model = Place::new(|_, before| match before {
        0 => says("1. look"),
        1 => calls(&[("datetime_now", json!({}))]),
        _ => says("done"),
    })
    .await;
    let agent = "orchestration: {pattern: plan_and_execute}\n  tools: [{name: datetime_now}]";
    let (node, _folder) = node(&model, agent, "").await;
    let said = answered(&ask(&node, &json!({"query": "go", "session_id": "s"})).await);
    assert_eq!(said.answer, "done");
    assert_eq!(
        (&said.steps[1]["type"], &said.steps[1]["plan"]),
        (&json!("plan"), &json!("1. look"))
    );
    let heard = model.heard();
    assert_eq!(heard[0].json()["tool_choice"], "none");
    assert!(
        shown(&heard[1])
            .iter()
            .any(|(role, text)| role == "assistant" && text == "1. look")
    );
    ask(&node, &json!({"query": "again", "session_id": "s"})).await;
    let later = shown(&model.heard()[3]);
    assert!(
        !later.iter().any(|(_, text)| text.contains("1. look")),
        "a plan is for one run: {later:?}"
    );
}

/// The data of each event.
fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_stream_tells_text_and_steps_as_they_come() {
    let model = Place::new(|heard, before| {
        assert_eq!(heard.json()["stream"], true);
        match before {
            0 => streams(
                "let me see ",
                &[("datetime_now", json!({"timezone": "UTC"}))],
            ),
            _ => streams("it is late", &[]),
        }
    })
    .await;
    let (node, _folder) = node(&model, "tools: [{name: datetime_now}]", "").await;
    let answer = ask(
        &node,
        &json!({"query": "how late?", "stream": true, "session_id": "s"}),
    )
    .await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let events = events(&text);
    let deltas: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, "let me see it is late");
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| event["step"]["type"].as_str())
        .collect();
    assert_eq!(steps, ["model", "tool", "model"]);
    let whole: RunAnswer = serde_json::from_value(events.last().unwrap().clone()).unwrap();
    assert_eq!(
        (whole.answer.as_str(), whole.usage.total_tokens),
        ("it is late", 24)
    );
    assert_eq!(whole.steps[1]["arguments"], json!({"timezone": "UTC"}));
    // What was said in pieces is remembered whole.
    ask(
        &node,
        &json!({"query": "and now?", "stream": true, "session_id": "s"}),
    )
    .await;
    let later = model.heard()[2].json();
    assert_eq!(
        later["messages"][1]["tool_calls"][0]["function"]["name"],
        "datetime_now"
    );
    assert_eq!(later["messages"][3]["content"], "it is late");
}

#[tokio::test]
async fn a_stream_that_fails_says_so() {
    let refusal = json!({"error": {"message": "no such model"}});
    let model = Place::new(move |_, before| match before {
        0 => reply_json(400, &refusal),
        1 => streams("let me see ", &[("datetime_now", json!({}))]),
        _ => reply_json(400, &refusal),
    })
    .await;
    let (node, _folder) = node(&model, "tools: [{name: datetime_now}]", "").await;
    let body = json!({"query": "how late?", "stream": true});
    let answer = ask(&node, &body).await;
    assert_eq!(
        answer.status,
        502,
        "nothing was told yet: {}",
        answer.detail()
    );
    let answer = ask(&node, &body).await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    let events = events(&text);
    assert!(
        events.last().unwrap()["detail"]
            .as_str()
            .unwrap()
            .contains("no such model"),
        "{text}"
    );
    assert!(!text.contains("[DONE]"));
}

#[tokio::test]
async fn whoever_goes_away_ends_the_run_everywhere() {
    for stream in [false, true] {
        let model = Place::new(|_, _| None).await;
        let (node, _folder) = node(&model, "", "").await;
        let body = json!({"query": "hi", "stream": stream}).to_string();
        let mut client = TcpStream::connect(node.address()).await.unwrap();
        let head = format!(
            "POST /v1/agents/ana/run HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        eventually("the model is asked", || !model.heard().is_empty()).await;
        assert!(node.in_flight() > 0);
        drop(client);
        eventually("nothing is in flight", || node.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn the_model_is_found_through_the_mesh() {
    let model = Place::new(|_, _| says("from afar")).await;
    let folder = folder_with_agent("ana", MODEL);
    let mesh = |seeds: &str| {
        format!(
            "mesh: {{enabled: true, {}, seeds: [{seeds}]}}",
            support::QUICK
        )
    };
    let inference = format!(
        "{}\nservices: {{agents: false}}\n{}",
        mesh(""),
        provider(&model.address.to_string())
    );
    let inference = settings_with(&TempDir::new().unwrap(), "inference", &inference, KEY);
    let inference = Daemon::start(inference).await.unwrap();
    let worker = format!(
        "{}\nservices: {{inference: false}}",
        mesh(inference.url().as_str())
    );
    let worker = Daemon::start(settings_with(&folder, "worker", &worker, &[]))
        .await
        .unwrap();
    let gateway = format!(
        "{}\nservices: {{inference: false, agents: false}}",
        mesh(inference.url().as_str())
    );
    let gateway = settings_with(&TempDir::new().unwrap(), "gateway", &gateway, &[]);
    let gateway = Daemon::start(gateway).await.unwrap();
    support::met(&[&inference, &worker, &gateway]).await;
    let answer = ask(&gateway, &json!({"query": "hi"})).await;
    assert_eq!(ran(&answer), "worker");
    assert_eq!(answered(&answer).answer, "from afar");
    inference.kill().await;
    let answer = ask(&gateway, &json!({"query": "hi"})).await;
    assert_eq!(answer.status, 503, "{}", answer.detail());
    assert!(answer.headers.contains_key("retry-after"));
    for daemon in [worker, gateway] {
        daemon.kill().await;
    }
}

/// What the one tool of `ana`, `http_request`, says of a request to `url`.
async fn requested(allow: &str, arguments: Value) -> Value {
    let model = Place::new(move |_, before| match before {
        0 => calls(&[("http_request", arguments.clone())]),
        _ => says("done"),
    })
    .await;
    let agent = format!("tools: [{{name: http_request, allow: [{allow}]}}]");
    let (node, _folder) = node(&model, &agent, "").await;
    answered(&ask(&node, &json!({"query": "go"})).await).steps[1].clone()
}

#[tokio::test]
async fn a_model_reaches_what_is_allowed_and_nothing_else() {
    let inside = Place::new(|heard, _| match heard.path.as_str() {
        "/moved" => {
            let mut answer = reply(302, "text/plain", "").unwrap();
            answer
                .headers_mut()
                .insert("location", "http://127.0.0.1:1/secret".parse().unwrap());
            Some(answer)
        }
        _ => reply(
            200,
            "text/plain",
            format!("{} {}", heard.method, heard.body),
        ),
    })
    .await;
    let port = inside.address.port();
    let named = format!("\"127.0.0.1:{port}\"");
    let step = requested(
        &named,
        json!({"url": inside.url("/x"), "method": "POST", "body": "hi"}),
    )
    .await;
    assert_eq!(step["ok"], true, "{step}");
    let result: Value = serde_json::from_str(step["result"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&result["status"], &result["body"]),
        (&json!(200), &json!("POST hi"))
    );

    let step = requested(&named, json!({"url": inside.url("/moved")})).await;
    let result: Value = serde_json::from_str(step["result"].as_str().unwrap()).unwrap();
    assert_eq!(result["status"], 302, "redirects are told and not followed");

    let heard = inside.heard().len();
    let to_name = format!("http://localhost:{port}/x");
    for (allow, url) in [
        ("'*'".to_owned(), inside.url("/x")),
        (format!("'*:{port}'"), inside.url("/x")),
        (format!("'*:{port}'"), to_name.clone()),
        (format!("'localhost:{port}'"), to_name.clone()),
        (
            format!("'*:{port}'"),
            format!("http://[::ffff:127.0.0.1]:{port}/x"),
        ),
        (format!("'*:{port}'"), format!("http://127.1:{port}/x")),
        (format!("'*:{port}'"), format!("http://2130706433:{port}/x")),
        (
            "'*'".to_owned(),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ),
        ("'*'".to_owned(), "http://[fd00:ec2::254]/".to_owned()),
        (
            "api.example.com".to_owned(),
            "https://example.com/".to_owned(),
        ),
        ("'*'".to_owned(), "file:///etc/passwd".to_owned()),
        ("'*'".to_owned(), "http://user:pass@example.com/".to_owned()),
    ] {
        let step = requested(&allow, json!({ "url": url })).await;
        assert_eq!(step["ok"], false, "{allow} {url}: {step}");
    }
    assert_eq!(inside.heard().len(), heard, "nothing came there");
    let step = requested(
        &format!("'localhost:{port}', 127.0.0.0/8"),
        json!({ "url": to_name }),
    )
    .await;
    assert_eq!(step["ok"], true, "the address is named: {step}");
}

#[tokio::test]
async fn a_long_answer_of_a_tool_is_cut() {
    let long = Place::new(|_, _| reply(200, "text/plain", "x".repeat(1_000_000))).await;
    let allow = format!("\"127.0.0.1:{}\"", long.address.port());
    let step = requested(&allow, json!({"url": long.url("/")})).await;
    assert!(
        step["result"].as_str().unwrap().len() < 10_000,
        "an excerpt is among the steps"
    );
}

#[tokio::test]
async fn agents_with_tools_need_the_service_and_echo_needs_no_model() {
    let folder = folder_with_agent(
        "ana",
        "model: {primary: {provider: echo}}\n  tools: [{name: datetime_now}]",
    );
    write_agent(
        folder.path(),
        "parrot",
        "model: {primary: {provider: echo}}",
    );
    let settings = settings_with(&folder, "solo", "services: {tools: false}", &[]);
    let node = Daemon::start(settings).await.unwrap();
    let status: SystemStatus = get(&node, "/v1/system/status").await.json().unwrap();
    assert_eq!(status.node.agents, ["echo", "parrot"]);
    assert_eq!(status.node.withheld[0].name, "ana");
    assert!(status.node.withheld[0].reason.contains("tools"));
    let answer = post(&node, "/v1/agents/parrot/run", r#"{"query":"one two"}"#).await;
    assert_eq!(answered(&answer).answer, "one two");
}

#[tokio::test]
async fn a_stream_begins_before_it_ends() {
    // A model that says one word and then nothing more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4_096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let chunk = r#"data: {"choices":[{"index":0,"delta":{"content":"word"}}]}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}\n\n\r\n",
                chunk.len() + 2
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            kept.push(stream);
        }
    });
    let folder = folder_with_agent("ana", MODEL);
    let spec = provider(&address.to_string());
    let node = Daemon::start(settings_with(&folder, "solo", &spec, KEY))
        .await
        .unwrap();
    let body = r#"{"query":"hi","stream":true}"#;
    let mut client = TcpStream::connect(node.address()).await.unwrap();
    let head = format!(
        "POST /v1/agents/ana/run HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(r#"{"delta":"word"}"#) {
        let mut bytes = [0; 1_024];
        let count = tokio::time::timeout(PATIENCE, client.read(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&bytes[..count]);
    }
    drop(client);
    eventually("nothing is in flight", || node.in_flight() == 0).await;
    task.abort();
}
