//! Traces: one for a request on all its way, told to a collector that may be gone without anybody minding.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromesh_core::http::{Answer, Body};
use astromeshd::Daemon;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Response};
use serde_json::json;
use std::net::TcpListener;
use std::time::Instant;
use support::collector::{Span, collector, told};
use support::place::{Place, calls, reply_json, says};
use support::{PATIENCE, QUICK, eventually, folder_with_agent, get, met, post_with, settings_with};
use tempfile::TempDir;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";
const RUN: &str = "POST /v1/agents/{name}/run";
const CHAT: &str = "POST /v1/chat/completions";
/// An attempt at another node.
const ATTEMPT: &str = "POST";

/// What a collector was told, once that is so much.
async fn all(collector: &Place, count: usize) -> Vec<Span> {
    eventually("everything is told", || told(collector).len() >= count).await;
    let spans = told(collector);
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans
}

fn only<'a>(spans: &'a [Span], node: &str, name: &str) -> &'a Span {
    let mut found = spans
        .iter()
        .filter(|span| span.node == node && span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("{spans:#?}"));
    assert!(found.next().is_none(), "{spans:#?}");
    span
}

/// One that tells `collector`, if there is one.
async fn node(folder: &TempDir, name: &str, spec: &str, collector: Option<&str>) -> Daemon {
    let mut variables = vec![("OPENAI_API_KEY", "key")];
    variables.extend(collector.map(|url| ("OTEL_EXPORTER_OTLP_ENDPOINT", url)));
    Daemon::start(settings_with(folder, name, spec, &variables))
        .await
        .unwrap()
}

/// Gateway, worker and inference node, with an agent `coder` on the one, whose model is on the other.
struct Three {
    gateway: Daemon,
    worker: Daemon,
    inference: Daemon,
    _folders: [TempDir; 3],
}

impl Three {
    async fn new(model: &Place, collector: Option<&str>) -> Self {
        let mesh = |seed: Option<&Daemon>| {
            let seeds = seed.map(|seed| seed.url().to_string()).unwrap_or_default();
            format!("mesh: {{enabled: true, {QUICK}, seeds: [{seeds}]}}\nservices: ")
        };
        let folders = [
            TempDir::new().unwrap(),
            folder_with_agent(
                "coder",
                "model: {primary: {provider: openai, model: mock-1}}",
            ),
            TempDir::new().unwrap(),
        ];
        let spec = format!("{}{{agents: false, inference: false}}", mesh(None));
        let gateway = node(&folders[0], "gateway", &spec, collector).await;
        let mesh = mesh(Some(&gateway));
        let spec = format!("{mesh}{{inference: false}}");
        let worker = node(&folders[1], "worker", &spec, collector).await;
        let provider = format!(
            "providers: [{{name: openai, base_url: \"{}\"}}]",
            model.url("/v1")
        );
        let spec = format!("{mesh}{{agents: false}}\n{provider}");
        let inference = node(&folders[2], "inference", &spec, collector).await;
        met(&[&gateway, &worker, &inference]).await;
        Self {
            gateway,
            worker,
            inference,
            _folders: folders,
        }
    }

    async fn kill(self) {
        for node in [self.worker, self.inference, self.gateway] {
            node.kill().await;
        }
    }
}

/// A provider with the model `mock-1`.
async fn model() -> Place {
    Place::new(|heard, _| match heard.path.as_str() {
        "/v1/models" => reply_json(200, &json!({"data": [{"id": "mock-1"}]})),
        _ => says("hello there"),
    })
    .await
}

/// What `model` was asked, without the lists.
fn asked(model: &Place) -> Vec<HeaderMap> {
    let heard = model.heard().into_iter();
    let asked = heard.filter(|heard| heard.path.ends_with("/chat/completions"));
    asked.map(|heard| heard.headers).collect()
}

async fn run(node: &Daemon, agent: &str, traceparent: Option<&str>) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(text) = traceparent {
        headers.insert("traceparent", HeaderValue::from_str(text).unwrap());
        headers.insert("tracestate", HeaderValue::from_static("vendor=1"));
    }
    let path = format!("/v1/agents/{agent}/run");
    post_with(&node.url(), &path, r#"{"query":"hi"}"#, headers).await
}

fn sampled() -> String {
    format!("00-{TRACE}-{CLIENT}-01")
}

#[tokio::test]
async fn a_request_is_one_trace_from_the_client_to_the_provider() {
    let (model, collector) = (model().await, collector().await);
    let three = Three::new(&model, Some(&collector.url(""))).await;
    let answer = run(&three.gateway, "coder", Some(&sampled())).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());

    let spans = all(&collector, 7).await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    assert!(spans.iter().all(|span| !span.is_error), "{spans:#?}");
    let way = [
        only(&spans, "gateway", RUN),
        only(&spans, "gateway", ATTEMPT),
        only(&spans, "worker", RUN),
        only(&spans, "worker", "invoke_agent coder"),
        only(&spans, "worker", ATTEMPT),
        only(&spans, "inference", CHAT),
        only(&spans, "inference", "chat mock-1"),
    ];
    let mut parent = CLIENT;
    for span in way {
        assert_eq!(span.parent.as_deref(), Some(parent), "{span:#?}");
        assert!(span.began < span.ended, "{span:#?}");
        parent = &span.id;
    }
    assert_eq!(way.map(|span| span.kind), [2, 3, 2, 1, 3, 2, 3]);
    // What is done for another is done within its time: all are on one machine.
    for pair in way.windows(2) {
        assert!(pair[0].began <= pair[1].began, "{pair:#?}");
    }
    let [gateway, _, _, agent, _, _, chat] = way;
    for (span, name, value) in [
        (gateway, "http.route", json!("/v1/agents/{name}/run")),
        (gateway, "http.request.method", json!("POST")),
        (gateway, "http.response.status_code", json!(200)),
        (gateway, "astromesh.routed_to", json!("worker")),
        (gateway, "astromesh.attempts", json!(1)),
        (agent, "gen_ai.operation.name", json!("invoke_agent")),
        (agent, "gen_ai.agent.name", json!("coder")),
        (chat, "gen_ai.operation.name", json!("chat")),
        (chat, "gen_ai.request.model", json!("mock-1")),
        (chat, "gen_ai.provider.name", json!("openai")),
        (chat, "gen_ai.usage.input_tokens", json!(10)),
        (chat, "gen_ai.usage.output_tokens", json!(2)),
    ] {
        assert_eq!(span.says(name), Some(&value), "{span:#?}");
    }

    let headers = &asked(&model)[0];
    let last = format!("00-{TRACE}-{}-01", chat.id);
    assert_eq!(headers["traceparent"], last.as_str());
    assert_eq!(headers["tracestate"], "vendor=1");
    three.kill().await;
}

#[tokio::test]
async fn a_trace_begins_here_where_none_comes_or_what_comes_is_none() {
    let collector = collector().await;
    let node = node(
        &TempDir::new().unwrap(),
        "solo",
        "",
        Some(&collector.url("/")),
    )
    .await;
    for traceparent in [None, Some("00-1-2-01")] {
        assert_eq!(run(&node, "echo", traceparent).await.status, 200);
    }
    assert_eq!(run(&node, "nobody", None).await.status, 404);
    // Nobody is told of what lets nobody work.
    get(&node, "/v1/agents").await;
    let spans = all(&collector, 5).await;
    let beginnings: Vec<_> = spans.iter().filter(|span| span.parent.is_none()).collect();
    assert_eq!(beginnings.len(), 3, "{spans:#?}");
    let refused = [json!(404)];
    let refused = spans
        .iter()
        .find(|span| span.says("http.response.status_code") == Some(&refused[0]));
    assert!(!refused.unwrap().is_error, "it is the caller's fault");
    node.kill().await;
}

#[tokio::test]
async fn what_is_not_to_be_recorded_is_passed_on_and_not_told() {
    let (model, collector) = (model().await, collector().await);
    let three = Three::new(&model, Some(&collector.url(""))).await;
    let given = format!("00-{TRACE}-{CLIENT}-00");
    assert_eq!(run(&three.gateway, "coder", Some(&given)).await.status, 200);
    assert_eq!(asked(&model)[0]["traceparent"], given.as_str());
    // What comes later is told, so what came before would have been.
    assert_eq!(run(&three.gateway, "coder", None).await.status, 200);
    let spans = all(&collector, 7).await;
    assert!(spans.iter().all(|span| span.trace != TRACE));
    three.kill().await;
}

#[tokio::test]
async fn without_a_collector_the_trace_of_the_client_goes_through() {
    let model = model().await;
    let three = Three::new(&model, None).await;
    let answer = run(&three.gateway, "coder", Some(&sampled())).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());
    let headers = &asked(&model)[0];
    assert_eq!(headers["traceparent"], sampled().as_str());
    assert_eq!(headers["tracestate"], "vendor=1");
    three.kill().await;
}

#[tokio::test]
async fn each_attempt_is_a_span_and_the_worker_is_below_the_one_that_reached_it() {
    let collector = collector().await;
    let url = collector.url("");
    let worker = node(&TempDir::new().unwrap(), "worker", "", Some(&url)).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free.local_addr().unwrap();
    drop(free);
    let spec = format!(
        "services: {{agents: false}}\npeers: [{{name: a, url: \"http://{dead}\"}}, {{name: b, url: \"{}\"}}]",
        worker.url()
    );
    let gateway = node(&TempDir::new().unwrap(), "gateway", &spec, Some(&url)).await;
    let answer = run(&gateway, "echo", None).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());

    let spans = all(&collector, 5).await;
    let server = only(&spans, "gateway", RUN);
    let attempt = |number: u64| {
        let mut attempts = spans.iter().filter(|span| span.name == ATTEMPT);
        attempts.find(|span| span.says("astromesh.attempt") == Some(&json!(number)))
    };
    let (first, second) = (attempt(1).unwrap(), attempt(2).unwrap());
    for (span, port) in [(first, dead.port()), (second, worker.url().port())] {
        assert_eq!((span.node.as_str(), span.kind), ("gateway", 3));
        assert_eq!(span.parent.as_ref(), Some(&server.id));
        assert_eq!(span.says("server.address"), Some(&json!("127.0.0.1")));
        assert_eq!(span.says("server.port"), Some(&json!(port)));
    }
    assert!(first.is_error && !second.is_error, "{spans:#?}");
    assert_eq!(first.says("error.type"), Some(&json!("not_sent")));
    assert_eq!(first.says("http.response.status_code"), None);
    assert_eq!(second.says("error.type"), None);
    let status = second.says("http.response.status_code");
    assert_eq!(status, Some(&json!(200)));
    let worker_span = only(&spans, "worker", RUN);
    assert_eq!(worker_span.parent.as_ref(), Some(&second.id));
    gateway.kill().await;
    worker.kill().await;
}

#[tokio::test]
async fn each_call_of_a_tool_is_a_span_of_its_agent() {
    let long = "n".repeat(1_000);
    let unknown = long.clone();
    let model = Place::new(move |heard, _| match heard.path.as_str() {
        "/v1/models" => reply_json(200, &json!({"data": [{"id": "mock-1"}]})),
        _ if heard.body.contains(r#""role":"tool""#) => says("it is late"),
        _ => calls(&[("datetime_now", json!({})), (&unknown, json!({}))]),
    })
    .await;
    let collector = collector().await;
    let folder = folder_with_agent(
        "coder",
        "model: {primary: {provider: openai, model: mock-1}}\n  tools: [{name: datetime_now}]",
    );
    let provider = format!(
        "providers: [{{name: openai, base_url: \"{}\"}}]",
        model.url("/v1")
    );
    let node = node(&folder, "solo", &provider, Some(&collector.url(""))).await;
    let answer = run(&node, "coder", None).await;
    assert_eq!(answer.status, 200, "{}", answer.detail());

    let spans = all(&collector, 6).await;
    let agent = only(&spans, "solo", "invoke_agent coder");
    let known = only(&spans, "solo", "execute_tool datetime_now");
    // The model chooses the name, and a collector is not told a long one.
    let unknown = only(&spans, "solo", &format!("execute_tool {long}")[..256]);
    for (tool, name, error) in [
        (known, "datetime_now", None),
        (unknown, &long[..256], Some(json!("unknown_tool"))),
    ] {
        assert_eq!(tool.parent.as_ref(), Some(&agent.id));
        assert_eq!(tool.kind, 1);
        let operation = tool.says("gen_ai.operation.name");
        assert_eq!(operation, Some(&json!("execute_tool")));
        assert_eq!(tool.says("gen_ai.tool.name"), Some(&json!(name)));
        assert_eq!(tool.says("error.type"), error.as_ref());
        assert_eq!(tool.is_error, error.is_some());
        assert!(agent.began <= tool.began && tool.ended <= agent.ended);
    }
    node.kill().await;
}

#[tokio::test]
async fn an_agents_own_server_gets_the_trace() {
    let server = Place::new(|_, _| reply_json(200, &json!({"answer": "hi"}))).await;
    let collector = collector().await;
    let folder = folder_with_agent("own", &format!("http: {{url: \"{}\"}}", server.url("/run")));
    let node = node(&folder, "solo", "", Some(&collector.url(""))).await;
    assert_eq!(run(&node, "own", Some(&sampled())).await.status, 200);
    let spans = all(&collector, 2).await;
    let agent = only(&spans, "solo", "invoke_agent own");
    let heard = server.heard();
    let headers = heard
        .iter()
        .find(|heard| !heard.body.is_empty())
        .map(|heard| &heard.headers);
    let traceparent = format!("00-{TRACE}-{}-01", agent.id);
    assert_eq!(headers.unwrap()["traceparent"], traceparent.as_str());
    assert_eq!(headers.unwrap()["tracestate"], "vendor=1");
    node.kill().await;
}

#[tokio::test]
async fn a_stream_ends_its_span_and_a_failure_is_one() {
    let collector = collector().await;
    let folder = folder_with_agent(
        "coder",
        "model: {primary: {provider: nobody, model: mock-1}}",
    );
    let node = node(&folder, "solo", "", Some(&collector.url(""))).await;
    let body = r#"{"model":"echo","stream":true,"stream_options":{"include_usage":true},
        "messages":[{"role":"user","content":"one two three"}]}"#;
    let headers = HeaderMap::new;
    let answer = post_with(&node.url(), "/v1/chat/completions", body, headers()).await;
    assert_eq!(answer.status, 200);
    let spans = all(&collector, 2).await;
    let chat = only(&spans, "solo", "chat echo");
    assert_eq!(chat.says("gen_ai.provider.name"), Some(&json!("echo")));
    assert!(
        chat.says("gen_ai.usage.output_tokens").is_some(),
        "{chat:?}"
    );
    let server = only(&spans, "solo", CHAT);
    assert!(server.ended >= chat.ended, "{spans:#?}");

    assert_eq!(run(&node, "coder", None).await.status, 502);
    let spans = all(&collector, 5).await;
    let server = only(&spans, "solo", RUN);
    assert!(server.is_error, "{server:#?}");
    assert_eq!(server.says("error.type"), Some(&json!("502")));
    assert!(only(&spans, "solo", "invoke_agent coder").is_error);
    node.kill().await;
}

#[tokio::test]
async fn who_stops_tells_what_is_left() {
    let collector = collector().await;
    let node = node(
        &TempDir::new().unwrap(),
        "solo",
        "",
        Some(&collector.url("")),
    )
    .await;
    assert_eq!(run(&node, "echo", None).await.status, 200);
    node.stop().await;
    assert_eq!(told(&collector).len(), 2);
}

/// The sum of what became of spans, by the node's own metrics.
async fn spans(node: &Daemon, result: &str) -> u64 {
    let metrics = String::from_utf8(get(node, "/metrics").await.body).unwrap();
    let series = format!("astromesh_trace_spans_total{{result=\"{result}\"}} ");
    let mut counts = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(series.as_str()));
    counts.next().unwrap().parse().unwrap()
}

async fn until_lost(node: &Daemon, most: u64) {
    let deadline = Instant::now() + PATIENCE;
    while spans(node, "lost").await < most {
        assert!(Instant::now() < deadline, "never: {most} are lost");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(spans(node, "sent").await, 0);
}

/// As many as fit into the queue and one call; two for each request.
const KEPT: u64 = 2_048 + 512;

#[tokio::test]
async fn a_collector_that_never_answers_costs_no_request_and_no_memory() {
    let silent = Place::new(|_, _| None::<Response<Body>>).await;
    let node = node(&TempDir::new().unwrap(), "solo", "", Some(&silent.url(""))).await;
    let requests = KEPT / 2 + 500;
    for _ in 0..requests {
        assert_eq!(run(&node, "echo", None).await.status, 200);
    }
    until_lost(&node, 2 * requests - KEPT - 512).await;
    node.kill().await;
}

#[tokio::test]
async fn a_collector_that_is_gone_or_refuses_costs_no_request() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let refusing = Place::new(|_, _| reply_json(503, &json!({}))).await;
    for url in [gone, refusing.url("")] {
        let node = node(&TempDir::new().unwrap(), "solo", "", Some(&url)).await;
        assert_eq!(run(&node, "echo", None).await.status, 200);
        until_lost(&node, 2).await;
        node.kill().await;
    }
}
