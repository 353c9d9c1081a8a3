//! Providers of models: by variables, by the file, and by both; and keys that no complaint shows.

use astromesh_core::settings::{Environment, Flags, Provider, ProviderKind, Settings};
use secrecy::ExposeSecret;
use std::fs;

const HEAD: &str = "apiVersion: astromesh/v1\nkind: RuntimeConfig\nspec:\n";

fn load(spec: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("runtime.yaml");
    fs::write(&path, format!("{HEAD}{spec}")).expect("it can be written");
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    let environment = variables
        .iter()
        .fold(Environment::empty(), |all, (name, value)| {
            all.with(name, value)
        });
    let place = format!("{}/", folder.path().display());
    Settings::load(&flags, &environment).map_err(|error| error.to_string().replace(&place, ""))
}

fn loaded(spec: &str, variables: &[(&str, &str)]) -> Vec<Provider> {
    load(spec, variables).expect("right").providers
}

fn key(provider: &Provider) -> Option<&str> {
    provider.key.as_ref().map(ExposeSecret::expose_secret)
}

#[test]
fn the_variables_of_their_own_clients_make_providers() {
    assert_eq!(loaded("  {}", &[]).len(), 0);
    let all = loaded(
        "  {}",
        &[
            ("OPENAI_API_KEY", "sk-1"),
            ("ANTHROPIC_API_KEY", "sk-2"),
            ("ANTHROPIC_BASE_URL", "http://claude.internal/"),
            ("OLLAMA_HOST", "gpu-1"),
        ],
    );
    let seen: Vec<_> = all
        .iter()
        .map(|one| (one.name.as_str(), one.base_url.as_str(), key(one)))
        .collect();
    assert_eq!(
        seen,
        [
            ("openai", "https://api.openai.com/v1", Some("sk-1")),
            ("anthropic", "http://claude.internal", Some("sk-2")),
            ("ollama", "http://gpu-1:11434", None),
        ]
    );
    let keyless = loaded("  {}", &[("OPENAI_BASE_URL", "http://vllm:8000/v1")]);
    assert_eq!(
        (keyless[0].base_url.as_str(), key(&keyless[0])),
        ("http://vllm:8000/v1", None)
    );
}

#[test]
fn a_key_may_be_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    fs::write(&path, "sk-in-file\n").expect("it can be written");
    let path = path.display().to_string();
    let all = loaded("  {}", &[("OPENAI_API_KEY_FILE", &path)]);
    assert_eq!(key(&all[0]), Some("sk-in-file"));
    let spec = "  providers: [{name: router, base_url: 'https://router.example/api/v1', api_key_env: ROUTER_KEY}]\n";
    let all = loaded(spec, &[("ROUTER_KEY_FILE", &path)]);
    assert_eq!(key(&all[0]), Some("sk-in-file"));
}

#[test]
fn the_file_lists_as_many_as_one_likes() {
    let spec = "  providers:
    - {name: near, base_url: 'http://gpu-1:8080/v1/', models: [qwen3, 'llama*']}
    - {name: router, type: openai, base_url: 'https://router.example/v1', api_key_env: ROUTER_KEY}
    - {name: claude, type: anthropic}
    - {name: openai}
    - {name: second, type: ollama, base_url: 'http://gpu-2:11434'}
";
    let variables = [
        ("ROUTER_KEY", "sk-r"),
        ("ANTHROPIC_API_KEY", "sk-a"),
        ("OPENAI_API_KEY", "sk-o"),
        ("OPENAI_BASE_URL", "http://elsewhere/v1"),
    ];
    let all = loaded(spec, &variables);
    let seen: Vec<_> = all
        .iter()
        .map(|one| (one.name.as_str(), one.base_url.as_str(), key(one)))
        .collect();
    assert_eq!(
        seen,
        [
            // Nobody is sent a key that was meant for another.
            ("near", "http://gpu-1:8080/v1", None),
            ("router", "https://router.example/v1", Some("sk-r")),
            ("claude", "https://api.anthropic.com", Some("sk-a")),
            ("openai", "http://elsewhere/v1", Some("sk-o")),
            ("second", "http://gpu-2:11434", None),
            ("anthropic", "https://api.anthropic.com", Some("sk-a")),
        ]
    );
    assert_eq!(all[0].models, ["qwen3", "llama*"]);
    assert_eq!(all[4].kind, ProviderKind::Ollama);
}

#[test]
fn a_node_without_the_service_has_none_and_reads_no_keys() {
    let spec = "  services: {inference: false}\n  providers: [{name: a, api_key_env: NOT_SET}]\n";
    let settings = load(spec, &[("OPENAI_API_KEY_FILE", "/nowhere")]).expect("right");
    assert_eq!(settings.providers.len(), 0);
}

#[test]
fn a_mistake_is_named_and_no_key_shown() {
    let listed = |fields: &str| format!("  providers:\n    - {{name: a, {fields}}}\n");
    for (spec, variables, message) in [
        (
            listed("type: opena"),
            vec![],
            "runtime.yaml:5:23: spec.providers[0].type: unknown type of provider \"opena\"; did you mean \"openai\"?",
        ),
        (
            listed("base_url: gpu-1"),
            vec![],
            "runtime.yaml:5:27: spec.providers[0].base_url: expected an http or https URL, found \"gpu-1\"",
        ),
        (
            listed("base_url: 'http://a/v1?key=b'"),
            vec![],
            "runtime.yaml:5:27: spec.providers[0].base_url: expected a URL without a query",
        ),
        (
            listed("api_key: sk-canary"),
            vec![],
            "runtime.yaml:5:17: spec.providers[0]: unknown key \"api_key\"; did you mean \"api_key_env\"?",
        ),
        (
            listed("api_key_env: sk-canary"),
            vec![],
            "runtime.yaml:5:30: spec.providers[0].api_key_env: expected the name of a variable",
        ),
        (
            listed("api_key_env: MY_KEY"),
            vec![],
            "runtime.yaml:5:30: spec.providers[0].api_key_env: neither MY_KEY nor MY_KEY_FILE is set",
        ),
        (
            "  providers: [{name: a}, {name: a}]\n".to_owned(),
            vec![],
            "runtime.yaml:4:33: spec.providers[1].name: \"a\" is already the name of spec.providers[0]",
        ),
        (
            "  providers: [{name: echo}]\n".to_owned(),
            vec![],
            "runtime.yaml:4:22: spec.providers[0].name: \"echo\" is the name of the one that is built in",
        ),
        (
            "  {}".to_owned(),
            vec![
                ("OPENAI_API_KEY", "sk-canary"),
                ("OPENAI_API_KEY_FILE", "/a"),
            ],
            "OPENAI_API_KEY: is set, and so is OPENAI_API_KEY_FILE; unset one of them",
        ),
        (
            "  {}".to_owned(),
            vec![("OPENAI_API_KEY", "sk canary")],
            "OPENAI_API_KEY: expected a key: one word of visible ASCII, which it is not",
        ),
        (
            "  {}".to_owned(),
            vec![("ANTHROPIC_API_KEY_FILE", "/nowhere/key")],
            "ANTHROPIC_API_KEY_FILE: cannot read /nowhere/key",
        ),
        (
            "  {}".to_owned(),
            vec![("OPENAI_BASE_URL", "ftp://a")],
            "OPENAI_BASE_URL: expected an http or https URL, found \"ftp://a\"",
        ),
    ] {
        let told = load(&spec, &variables).expect_err(message);
        assert!(told.starts_with(message), "{told}\n{message}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn a_url_that_looks_wrong_is_a_warning() {
    let settings = load(
        "  {}",
        &[
            ("OPENAI_BASE_URL", "http://a:1"),
            ("ANTHROPIC_BASE_URL", "http://b:1/v1"),
        ],
    );
    let warnings = settings.expect("right").warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("provider openai: base URL http://a:1"));
    assert!(warnings[1].contains("provider anthropic") && warnings[1].contains("twice"));
}

#[test]
fn neither_settings_nor_variables_print_a_key() {
    let variables = [("OPENAI_API_KEY", "sk-canary")];
    let settings = load("  {}", &variables).expect("right");
    let environment = Environment::empty().with("OPENAI_API_KEY", "sk-canary");
    let printed = format!("{settings:?} {environment:?}");
    assert!(!printed.contains("canary"), "{printed}");
    assert!(printed.contains("OPENAI_API_KEY"));
}
