//! Agent files: the two ways to run one, and what is told of a file that is wrong.

use astromesh_core::agent::{Agent, AgentKind, load_dir};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn file(spec: &str) -> String {
    format!("apiVersion: astromesh/v1\nkind: Agent\nmetadata:\n  name: coder\nspec:\n{spec}")
}

fn agent(spec: &str) -> Agent {
    Agent::parse(Path::new("coder.agent.yaml"), &file(spec)).expect("this agent is right")
}

#[test]
fn a_model_runs_an_agent() {
    let agent = agent(
        "  identity: {display_name: Coder, description: writes code}
  model:
    primary: {provider: ollama, model: qwen, endpoint: 'http://ollama:11434', parameters: {temperature: 0.1}}
  prompts: {system: You write code.}
  orchestration: {pattern: react, max_iterations: 5, timeout_seconds: 30}
  tools: [{name: search}]
  idempotent: true
",
    );
    assert_eq!(agent.name.as_str(), "coder");
    assert_eq!(agent.description.as_deref(), Some("writes code"));
    assert!(agent.idempotent);
    let AgentKind::Llm(llm) = agent.kind else {
        panic!("it is run by a model");
    };
    assert_eq!(
        (llm.provider.as_str(), llm.model.as_str()),
        ("ollama", "qwen")
    );
    assert_eq!(
        llm.endpoint.expect("it was set").to_string(),
        "http://ollama:11434/"
    );
    assert_eq!(llm.parameters["temperature"], 0.1);
    assert_eq!(llm.system_prompt.as_deref(), Some("You write code."));
    assert_eq!(llm.orchestration.max_iterations, Some(5));
    assert_eq!(llm.orchestration.timeout, Some(Duration::from_secs(30)));
    assert_eq!(llm.tools[0]["name"], "search");
}

#[test]
fn the_provider_echo_needs_no_model() {
    let agent = agent("  model: {primary: {provider: echo}}\n");
    assert_eq!(agent.kind, AgentKind::Echo);
    assert!(!agent.idempotent);
}

#[test]
fn a_server_runs_an_agent() {
    let agent = agent("  http: {url: 'http://127.0.0.1:9000/run?fast=1'}\n");
    let AgentKind::Http { url } = agent.kind else {
        panic!("it is run by a server");
    };
    assert_eq!(url.to_string(), "http://127.0.0.1:9000/run?fast=1");
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let expected = "expected a plain http URL, such as http://127.0.0.1:9000/run, found";
    for (text, message) in [
        (
            file("  http:\n    url: https://a:1/run\n"),
            format!(r#"coder.agent.yaml:7:10: spec.http.url: {expected} "https://a:1/run""#),
        ),
        (
            file("  http: {url: /run}\n"),
            format!(r#"coder.agent.yaml:6:15: spec.http.url: {expected} "/run""#),
        ),
        (
            file("  http: {url: 'http://me@a:1'}\n"),
            format!(r#"coder.agent.yaml:6:15: spec.http.url: {expected} "http://me@a:1""#),
        ),
        (
            file("  http: {url: 'http://a:70000'}\n"),
            format!(r#"coder.agent.yaml:6:15: spec.http.url: {expected} "http://a:70000""#),
        ),
        (
            file("  model: {primary: {provider: ollama}}\n"),
            r#"coder.agent.yaml:6:20: spec.model.primary: missing key "model""#.into(),
        ),
        (
            file("  idempotent: true\n"),
            "coder.agent.yaml:6:3: spec: expected model.primary or http.url, found neither".into(),
        ),
        (
            file("  http: {url: 'http://a'}\n  model: {primary: {provider: echo}}\n"),
            "coder.agent.yaml:6:9: spec.http: expected this or spec.model, found both".into(),
        ),
        (
            file("  orchestraton: {}\n"),
            r#"coder.agent.yaml:6:3: spec: unknown key "orchestraton"; did you mean "orchestration"?"#.into(),
        ),
        (
            file("").replace("coder", "two words"),
            r#"coder.agent.yaml:4:9: metadata.name: expected 1 to 64 characters of A-Z a-z 0-9 . _ : -, found "two words""#.into(),
        ),
        (
            file("").replace("Agent", "RuntimeConfig"),
            r#"coder.agent.yaml:2:7: kind: expected "Agent", found "RuntimeConfig""#.into(),
        ),
        (
            "apiVersion: astromesh/v1\nkind: Agent\nmetadata: {}\nspec: {}\n".into(),
            r#"coder.agent.yaml:3:11: metadata: missing key "name""#.into(),
        ),
    ] {
        let error = Agent::parse(Path::new("coder.agent.yaml"), &text).expect_err("it should be refused");
        assert_eq!(error.to_string(), message, "for:\n{text}");
    }
}

#[test]
fn a_folder_is_read_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |file_name: &str, name: &str| {
        let text = file("  model: {primary: {provider: echo}}\n").replace("coder", name);
        fs::write(folder.path().join(file_name), text).expect("it can be written");
    };
    write("a.agent.yaml", "zoe");
    write("b.agent.yaml", "ana");
    fs::write(folder.path().join("README.md"), "not an agent").expect("it can be written");
    let agents = load_dir(folder.path()).expect("both are right");
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["ana", "zoe"]);

    write("c.agent.yaml", "zoe");
    let error = load_dir(folder.path()).expect_err("two are called zoe");
    let path = |name| folder.path().join(name).display().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            r#"{}:4:9: metadata.name: "zoe" is already the name of the agent in {}"#,
            path("c.agent.yaml"),
            path("a.agent.yaml")
        )
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = load_dir(Path::new("/nowhere/agents")).expect_err("it is not there");
    assert_eq!(error.to_string(), "cannot read /nowhere/agents");
}
