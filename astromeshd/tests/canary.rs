//! A provider's key goes to that provider, and can be seen nowhere else: not in a log, not in the mesh, not in an answer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "the log of a node whose test failed")]

mod mock;
mod stage;

use mock::{Mock, Step, answer, answer_with, chunks};
use serde_json::json;
use stage::{Process, free_port, program, spec};

const CANARY: &str = "sk-canary-0b1c5c84";

#[tokio::test]
async fn no_output_of_a_node_has_a_key_in_it() {
    let (openai, claude) = (Mock::with(&["m"]).await, Mock::with(&["claude-x"]).await);
    let port = free_port(&["127.0.0.1"]);
    let mut command = program();
    let in_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(in_file.path(), format!("{CANARY}\n")).unwrap();
    command
        .env("ASTROMESH_LOG", "trace")
        .env("OPENAI_API_KEY", CANARY)
        .env("OPENAI_BASE_URL", format!("http://{}/v1", openai.address))
        .env("ANTHROPIC_API_KEY_FILE", in_file.path())
        .env("ANTHROPIC_BASE_URL", format!("http://{}", claude.address));
    let url = format!("http://127.0.0.1:{port}");
    let spec = spec(
        "solo",
        &format!("host: 127.0.0.1, port: {port}"),
        "",
        "",
        &[],
    );
    let node = Process::start(command, "solo", &url, &spec).await;

    let mut told = Vec::new();
    let mut tell = |answer: astromesh_core::http::Answer| {
        let headers = format!("{:?}", answer.headers);
        told.push(headers + &String::from_utf8_lossy(&answer.body));
    };
    let echoing = format!("{{\"error\":{{\"message\":\"Bearer {CANARY} is no good\"}}}}");
    let in_head = format!("request-id: {CANARY}\r\nx-ratelimit-key: {CANARY}\r\n");
    for steps in [
        vec![answer_with(400, &in_head, &echoing)],
        vec![answer_with(429, &in_head, &echoing)],
        vec![answer(401, &echoing)],
        vec![answer(500, &echoing)],
        vec![answer(503, CANARY)],
        vec![answer_with(
            302,
            &format!("location: http://{CANARY}/\r\n"),
            "",
        )],
        vec![answer_with(200, &in_head, "{}")],
        vec![answer(404, &echoing)],
        vec![Step::Cut],
        chunks(&[json!({"id": "c"})]),
    ] {
        openai.does(steps.clone());
        claude.does(steps);
        for model in ["m", "claude-x"] {
            let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
            tell(node.post("/v1/chat/completions", &body.to_string()).await);
            tell(node.post("/v1/messages", &body.to_string()).await);
        }
    }
    openai.lists_as(vec![answer(401, &echoing)]);
    for path in [
        "/v1/models",
        "/v1/models/m",
        "/v1/agents",
        "/v1/mesh/state",
        "/v1/system/status",
        "/v1/health",
        "/readyz",
        "/metrics",
        "/nowhere",
    ] {
        tell(node.get(path).await);
    }
    assert!(openai.came().len() >= 20 && claude.came().len() >= 20);
    assert!(
        openai
            .came()
            .iter()
            .all(|came| came.headers["authorization"].contains(CANARY))
    );
    assert!(
        claude
            .came()
            .iter()
            .all(|came| came.headers["x-api-key"] == CANARY)
    );
    let told = told.join("\n");
    assert!(told.contains("[key] is no good"), "{told}");
    let logged = node.logged("").join("\n");
    assert!(
        logged.contains("provider openai refuses this node's key"),
        "{logged}"
    );
    for (what, text) in [("answers", &told), ("log", &logged)] {
        let around = text
            .find(CANARY)
            .map(|at| &text[at.saturating_sub(200)..at]);
        assert_eq!(around, None, "the {what} have the key");
    }
}
