//! `/metrics`: what it says is what happened, and nobody can make it say more than it should.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use astromeshd::Daemon;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{PATIENCE, alone, get, killed, member, met, post, post_with, ran, run};

/// What a node says at one moment.
struct Scraped(String);

impl Scraped {
    async fn of(daemon: &Daemon) -> Self {
        let answer = get(daemon, "/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.detail());
        assert!(
            answer.headers[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with("text/plain; version=0.0.4")
        );
        Self(String::from_utf8(answer.body).unwrap())
    }

    /// The sum of all series of that name which have all of these labels, written as `name="value"`.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let lines = self.0.lines().filter(|line| {
            let rest = line
                .strip_prefix("astromesh_")
                .and_then(|line| line.strip_prefix(name));
            let is_named = rest.is_some_and(|rest| rest.starts_with([' ', '{']));
            is_named && labels.iter().all(|label| line.contains(label))
        });
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum()
    }
}

/// Scrapes until `holds`.
async fn until(daemon: &Daemon, what: &str, holds: impl Fn(&Scraped) -> bool) -> Scraped {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let scraped = Scraped::of(daemon).await;
        if holds(&scraped) {
            return scraped;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{}", scraped.0);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

const GATEWAY: &str = "agents: false, inference: false";
const RUN: &str = r#"route="/v1/agents/{name}/run""#;

/// What the linter of Prometheus says, where it is there.
#[expect(
    clippy::print_stderr,
    reason = "nobody is to take for checked what was not"
)]
fn lint(scraped: &Scraped) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("NOT CHECKED: there is no promtool, which comes with Prometheus");
        return;
    };
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(scraped.0.as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{}",
        scraped.0
    );
}

#[tokio::test]
async fn the_time_of_a_first_attempt_in_vain_counts() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let spec = format!(
        "services: {{agents: false}}\npeers: [{{name: a, url: \"{url}\"}}]\n\
         limits: {{node_first_byte_timeout: 200ms}}"
    );
    let gateway = alone("gateway", &spec).await;
    assert_eq!(run(&gateway, "x", "hello").await.status, 504);
    let scraped = Scraped::of(&gateway).await;
    let took = scraped.sum("request_duration_seconds_sum", &[RUN]);
    assert!(took >= 0.2, "{took}");
}

#[tokio::test]
async fn what_happens_is_counted() {
    let gateway = member("gateway", &[], GATEWAY).await;
    let worker = member("worker", &[&gateway], "").await;
    met(&[&gateway, &worker]).await;
    for _ in 0..3 {
        assert_eq!(ran(&run(&gateway, "echo", "hello").await), "worker");
    }
    assert_eq!(run(&gateway, "nobody", "hello").await.status, 404);

    let scraped = Scraped::of(&gateway).await;
    lint(&scraped);
    let ok = [RUN, r#"node="worker""#, r#"code="200""#];
    assert_eq!(scraped.sum("requests_total", &ok), 3.0, "{}", scraped.0);
    let lost = [RUN, r#"node="""#, r#"code="404""#];
    assert_eq!(scraped.sum("requests_total", &lost), 1.0, "{}", scraped.0);
    assert_eq!(scraped.sum("request_duration_seconds_count", &ok[..2]), 3.0);
    assert!(scraped.sum("request_duration_seconds_sum", &ok[..2]) > 0.0);
    assert_eq!(scraped.sum("members", &[r#"status="alive""#]), 2.0);
    assert_eq!(scraped.sum("members", &[r#"status="dead""#]), 0.0);
    assert_eq!(scraped.sum("leader", &[]), 1.0);
    assert_eq!(scraped.sum("joined", &[]), 1.0);
    assert_eq!(scraped.sum("ready", &[]), 1.0);
    assert_eq!(
        scraped.sum("mesh_events_total", &[r#"event="joined""#]),
        1.0
    );
    assert!(
        scraped.sum(
            "gossip_messages_total",
            &[r#"direction="in""#, r#"call="join""#]
        ) >= 1.0
    );
    assert!(scraped.sum("gossip_bytes_total", &[r#"direction="in""#]) > 100.0);
    assert_eq!(
        scraped.sum("configuration_loads_total", &[r#"result="taken""#]),
        1.0
    );
    assert!(
        scraped
            .0
            .contains(r#"configuration_loads_total{result="refused"} 0"#)
    );
    assert_eq!(scraped.sum("node_info", &[r#"name="gateway""#]), 1.0);
    assert_eq!(scraped.sum("build_info", &[env!("CARGO_PKG_VERSION")]), 1.0);
    assert!(scraped.sum("view_age_seconds", &[]) < 10.0);

    let later = until(&gateway, "it gossips itself", |scraped| {
        let call = [r#"call="exchange""#];
        scraped.sum("gossip_exchange_duration_seconds_count", &call) > 0.0
    })
    .await;
    assert!(
        later.sum("heartbeat_age_max_seconds", &[]) < 3.0,
        "{}",
        later.0
    );

    killed(worker).await;
    assert_eq!(run(&gateway, "echo", "hello").await.status, 503);
    let gone = until(&gateway, "it is dead", |scraped| {
        scraped.sum("members", &[r#"status="dead""#]) == 1.0
    })
    .await;
    assert_eq!(gone.sum("members", &[r#"status="alive""#]), 1.0);
    assert_eq!(gone.sum("mesh_events_total", &[r#"event="dead""#]), 1.0);
    assert!(gone.sum("ejections_total", &[]) >= 1.0, "{}", gone.0);
    assert!(gone.sum("gossip_messages_total", &[r#"result="failed""#]) >= 1.0);
    lint(&gone);
    gateway.kill().await;
}

#[tokio::test]
async fn tokens_and_beginnings_are_counted_where_the_model_is() {
    let gateway = member("gateway", &[], GATEWAY).await;
    let inference = member("inference", &[&gateway], "agents: false").await;
    met(&[&gateway, &inference]).await;
    for stream in ["false", r#"true,"stream_options":{"include_usage":true}"#] {
        let body = format!(
            r#"{{"model":"echo","messages":[{{"role":"user","content":"one two three"}}],"stream":{stream}}}"#
        );
        let answer = post(&gateway, "/v1/chat/completions", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.detail());
    }
    let scraped = until(&inference, "both are over", |scraped| {
        scraped.sum("model_tokens_total", &[r#"kind="completion""#]) >= 6.0
    })
    .await;
    let tokens = |kind| scraped.sum("model_tokens_total", &[r#"model="echo""#, kind]);
    assert_eq!(tokens(r#"kind="prompt""#), tokens(r#"kind="completion""#));
    assert_eq!(
        scraped.sum("model_first_token_seconds_count", &[r#"model="echo""#]),
        1.0
    );
    lint(&scraped);
    inference.kill().await;
    gateway.kill().await;
}

/// Whoever calls decides neither how much is told apart nor what it is called.
#[tokio::test]
async fn callers_make_no_labels() {
    let node = alone("node", "").await;
    for n in 0..200 {
        get(&node, &format!("/v1/agents/made-up-{n}")).await;
        get(&node, &format!("/made-up-{n}")).await;
        let body = format!(r#"{{"model":"made-up-{n}","messages":[]}}"#);
        post(&node, "/v1/chat/completions", &body).await;
        let mut headers = HeaderMap::new();
        for name in ["x-astromesh-routed-to", "x-astromesh-node-id"] {
            headers.insert(name, format!("made-up-{n}").parse().unwrap());
        }
        let query = r#"{"query":"hello"}"#;
        let answer = post_with(&node.url(), "/v1/agents/echo/run", query, headers).await;
        assert_eq!(answer.status, 200);
    }
    let scraped = Scraped::of(&node).await;
    assert!(!scraped.0.contains("made-up"), "{}", scraped.0);
    let ran = [RUN, r#"node="node""#];
    assert_eq!(scraped.sum("requests_total", &ran), 200.0);
    assert_eq!(scraped.sum("requests_total", &[r#"route="other""#]), 200.0);
    assert!(scraped.0.lines().count() < 250, "{}", scraped.0);
    lint(&scraped);
    node.kill().await;
}

#[tokio::test]
async fn without_observability_there_is_nothing_to_scrape() {
    let node = alone("node", "services: {observability: false}").await;
    assert_eq!(get(&node, "/metrics").await.status, 404);
    node.kill().await;
    let node = alone("node", "").await;
    assert_eq!(post(&node, "/metrics", "").await.status, 405);
    node.kill().await;
}
