//! Whatever stands in files, variables and flags: settings or one short complaint, and never a panic.

use astromesh_core::agent::Agent;
use astromesh_core::settings::{Environment, Flags, Settings};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const WHOLE: &str = "apiVersion: astromesh/v1
kind: RuntimeConfig
metadata: {name: mesh-worker}
spec:
  api: {host: 0.0.0.0, port: 8000}
  services: {api: true, rag: false}
  peers:
    - {name: a, url: 'http://a:1', services: [agents]}
  providers: [{name: p, type: openai, base_url: 'http://p/v1', api_key_env: PATH, models: ['m*']}]
  defaults: {echo: true, orchestration: {timeout_seconds: 2}}
  channels: {chat: {agent: echo, secret_env: SECRET, callback: {url: 'http://a', allow: ['*']}}}
  limits: {headers: 64, remember_for: 1h}
  mesh:
    enabled: true
    bind: 0.0.0.0:8000
    seeds: [http://gateway:8000, &a b:1, *a]
    failure_timeout: 15s
    dead_timeout: 30
";

const AGENT: &str = "apiVersion: astromesh/v1
kind: Agent
metadata: {name: coder}
spec:
  model: {primary: {provider: ollama, model: qwen, parameters: {t: 0.1}}}
  tools: [{name: http_request, allow: ['*', 10.0.0.0/8]}]
";

/// A piece of YAML, or of what looks like it.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("~".to_owned()),
        Just("!tag ".to_owned()),
        Just("<<: ".to_owned()),
        Just("*a".to_owned()),
        Just("---\n".to_owned()),
        Just(".nan".to_owned()),
        Just("1e999".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("mesh: ".to_owned()),
        Just("port: ".to_owned()),
        r#"[\[\]{}:,&*!|>'"%@`#?\t -]{1,3}"#.prop_map(String::from),
        "[a-z0-9.]{1,6}".prop_map(String::from),
        any::<char>().prop_map(String::from),
    ]
}

/// `text` with a few cuts made and pieces put in.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let change = (0..text.len(), 0..12_usize, piece());
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut damaged: Vec<char> = text.chars().collect();
        for (start, length, piece) in changes {
            let start = start.min(damaged.len());
            let end = (start + length).min(damaged.len());
            damaged.splice(start..end, piece.chars());
        }
        damaged.into_iter().collect()
    })
}

fn document(text: &'static str) -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(piece(), 0..30).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => damaged(text), 1 => pieces]
}

/// A value for a variable: near a right one, or anything.
fn value() -> impl Strategy<Value = Option<String>> {
    let near = vec![
        "true",
        "false",
        "8000",
        "worker",
        "http://a:1",
        "a:1, b:2/",
        "debug,a=warn",
        "json",
        "",
    ];
    prop::option::of(prop_oneof![
        prop::sample::select(near).prop_map(String::from),
        piece(),
        any::<String>(),
    ])
}

const VARIABLES: [&str; 10] = [
    "ASTROMESH_ROLE",
    "ASTROMESH_MESH_ENABLED",
    "ASTROMESH_NODE_NAME",
    "ASTROMESH_SEEDS",
    "ASTROMESH_PORT",
    "ASTROMESH_AUTO_CONFIG",
    "ASTROMESH_ADVERTISE",
    "ASTROMESH_LOG",
    "ASTROMESH_LOG_FORMAT",
    "ASTROMESH_PROT",
];

#[test]
fn what_grows_without_end_is_refused() {
    let deep = "[".repeat(2_000);
    let laughs: String = (1..40)
        .map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1))
        .collect();
    let laughs = format!("a0: &a0 ha\n{laughs}");
    for text in [
        deep.clone(),
        format!("spec: {{channels: {{a: {deep}"),
        laughs.clone(),
    ] {
        assert!(Agent::parse(Path::new("a.agent.yaml"), &text).is_err());
    }
    let within = |text: &str| text.replace('\n', "\n    ");
    for channels in [within(&laughs), format!("a: {deep}{}", "]".repeat(2_000))] {
        let folder = tempfile::tempdir().expect("a folder");
        let head = "apiVersion: astromesh/v1\nkind: RuntimeConfig\nspec:\n  channels:\n    ";
        fs::write(
            folder.path().join("runtime.yaml"),
            format!("{head}{channels}\n"),
        )
        .expect("it can be written");
        let flags = Flags {
            config: Some(folder.path().to_owned()),
            ..Flags::default()
        };
        Settings::load(&flags, &Environment::empty()).expect_err("it should be refused");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_read_or_refused(text in document(WHOLE)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runtime.yaml");
        fs::write(&path, &text).expect("it can be written");
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        if let Err(error) = Settings::load(&flags, &Environment::empty()) {
            let message = error.to_string();
            prop_assert!(message.starts_with(&path.display().to_string()), "{}", message);
            prop_assert!(message.lines().count() <= 4, "{}", message);
        }
    }

    #[test]
    fn any_variables_and_flags_are_taken_or_refused(
        values in prop::array::uniform10(value()),
        host in value(),
        port in value(),
        log_level in value(),
        hostname in any::<String>(),
    ) {
        let mut environment = Environment::empty().on_host(&hostname);
        for (name, value) in VARIABLES.iter().zip(&values) {
            if let Some(value) = value {
                environment = environment.with(name, value);
            }
        }
        let flags = Flags { config: None, host, port, log_level };
        match Settings::load(&flags, &environment) {
            Ok(settings) => prop_assert!(settings.api.port > 0),
            Err(error) => prop_assert!(error.to_string().lines().count() <= 4, "{}", error),
        }
    }

    #[test]
    fn any_agent_file_is_read_or_refused(text in document(AGENT)) {
        if let Err(error) = Agent::parse(Path::new("a.agent.yaml"), &text) {
            let message = error.to_string();
            prop_assert!(message.starts_with("a.agent.yaml"), "{}", message);
            prop_assert!(message.lines().count() <= 4, "{}", message);
        }
    }
}
