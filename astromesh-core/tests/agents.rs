//! Agent files: the two ways to run one, and what is told of a file that is wrong.

use astromesh_core::agent::folder::Folder;
use astromesh_core::agent::tool::ToolKind;
use astromesh_core::agent::{Agent, AgentKind, Pattern};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn file(spec: &str) -> String {
    format!("apiVersion: astromesh/v1\nkind: Agent\nmetadata:\n  name: coder\nspec:\n{spec}")
}

fn model(spec: &str) -> String {
    file(&format!(
        "  model: {{primary: {{provider: ollama, model: qwen}}}}\n{spec}"
    ))
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
  tools:
    - {name: datetime_now}
    - {name: http_request, allow: [api.example.com, 10.0.0.0/8], timeout_seconds: 5}
    - {name: search, url: 'http://127.0.0.1:9000/search', description: finds things, parameters: {type: object}}
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
    assert_eq!(llm.orchestration.pattern, Some(Pattern::React));
    let names: Vec<_> = llm.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["datetime_now", "http_request", "search"]);
    assert_eq!(llm.tools[0].timeout, Duration::from_secs(30));
    assert_eq!(llm.tools[1].timeout, Duration::from_secs(5));
    let ToolKind::HttpRequest { allow } = &llm.tools[1].kind else {
        panic!("it sends requests");
    };
    assert_eq!(allow.to_string(), "api.example.com, 10.0.0.0/8");
    let ToolKind::Remote {
        url, parameters, ..
    } = &llm.tools[2].kind
    else {
        panic!("it is a place of the operator's own");
    };
    assert_eq!(url.path(), "/search");
    assert_eq!(parameters["type"], "object");
}

#[test]
fn the_provider_echo_needs_no_model() {
    let agent = agent("  model: {primary: {provider: echo}}\n");
    assert!(!agent.idempotent);
    let AgentKind::Llm(llm) = agent.kind else {
        panic!("it is run by a model");
    };
    assert_eq!(
        (llm.provider.as_str(), llm.model.as_str()),
        ("echo", "echo")
    );
}

#[test]
fn a_server_runs_an_agent() {
    let agent = agent("  http: {url: 'http://127.0.0.1:9000/run?fast=1', health: /healthz}\n");
    let AgentKind::Http { url, health } = agent.kind else {
        panic!("it is run by a server");
    };
    assert_eq!(url.to_string(), "http://127.0.0.1:9000/run?fast=1");
    assert_eq!(health.expect("it was set").path(), "/healthz");
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
            file("  http: {url: 'http://a', health: healthz}\n"),
            r#"coder.agent.yaml:6:35: spec.http.health: expected a path, such as /healthz, found "healthz""#.into(),
        ),
        (
            file("  http: {url: 'http://a'}\n  tools: [{name: datetime_now}]\n"),
            "coder.agent.yaml:7:10: spec.tools: expected none, for a server of the agent's own brings its own tools".into(),
        ),
        (
            model("  orchestration: {pattern: swarm}\n"),
            r#"coder.agent.yaml:7:28: spec.orchestration.pattern: unknown pattern "swarm"; expected one of react, plan_and_execute"#.into(),
        ),
        (
            model("  tools: [{name: datetime}]\n"),
            r#"coder.agent.yaml:7:18: spec.tools[0].name: unknown tool "datetime" without a url; did you mean "datetime_now"?"#.into(),
        ),
        (
            model("  tools: [{name: http_request}]\n"),
            r#"coder.agent.yaml:7:11: spec.tools[0]: missing key "allow": the hosts it may call, or "*" for every public one"#.into(),
        ),
        (
            model("  tools:\n    - name: http_request\n      allow: [http://a]\n"),
            r#"coder.agent.yaml:9:15: spec.tools[0].allow[0]: expected a host, *.domain, an address, a network such as 10.0.0.0/8, or *, each with a :port if not 80 or 443, found "http://a""#.into(),
        ),
        (
            model("  tools: [{name: datetime_now, url: 'http://a'}]\n"),
            r#"coder.agent.yaml:7:37: spec.tools[0].url: "datetime_now" takes no such key"#.into(),
        ),
        (
            model("  tools: [{name: a, url: 'http://a'}, {name: a, url: 'http://a'}]\n"),
            r#"coder.agent.yaml:7:46: spec.tools[1].name: "a" is already the name of spec.tools[0]"#.into(),
        ),
        (
            model("  tools: [{name: a b, url: 'http://a'}]\n"),
            r#"coder.agent.yaml:7:18: spec.tools[0].name: expected 1 to 64 characters of A-Z a-z 0-9 _ -, found "a b""#.into(),
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

/// A folder of agent files, and what a node makes of it.
struct Scene {
    dir: tempfile::TempDir,
    folder: Folder,
}

impl Scene {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for (file_name, name) in files {
            write(dir.path(), file_name, name);
        }
        let folder = Folder::open(dir.path()).expect("all are right");
        Self { dir, folder }
    }

    fn path(&self, file_name: &str) -> PathBuf {
        self.dir.path().join(file_name)
    }

    fn names(&self) -> Vec<&str> {
        let agents = self.folder.agents().into_iter();
        agents.map(|agent| agent.name.as_str()).collect()
    }

    /// Looks twice, as it takes for a file to come to rest; what was complained of, and whether anything changed.
    fn look(&mut self) -> (Vec<String>, bool) {
        let looks = [self.folder.look(), self.folder.look()];
        let changed = looks.iter().any(|look| look.changed);
        let complaints = looks.into_iter().flat_map(|look| look.complaints);
        (complaints.map(|error| error.to_string()).collect(), changed)
    }
}

fn write(dir: &Path, file_name: &str, name: &str) {
    let text = file("  model: {primary: {provider: echo}}\n").replace("coder", name);
    fs::write(dir.join(file_name), text).expect("it can be written");
}

fn read_error(dir: &Path) -> String {
    let opened = Folder::open(dir);
    opened.expect_err("it should be refused").to_string()
}

#[test]
fn a_folder_is_read_by_name() {
    let scene = Scene::with(&[("a.agent.yaml", "zoe"), ("b.agent.yaml", "ana")]);
    fs::write(scene.path("README.md"), "not an agent").expect("it can be written");
    assert_eq!(scene.names(), ["ana", "zoe"]);

    write(scene.dir.path(), "c.agent.yaml", "zoe");
    assert_eq!(
        read_error(scene.dir.path()),
        format!(
            r#"{}:4:9: metadata.name: "zoe" is already the name of the agent in {}"#,
            scene.path("c.agent.yaml").display(),
            scene.path("a.agent.yaml").display()
        )
    );
}

#[test]
fn a_folder_that_is_not_there_holds_none_until_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let later = dir.path().join("agents");
    let mut folder = Folder::open(&later).expect("there need not be one");
    assert!(folder.agents().is_empty());
    fs::create_dir(&later).expect("it can be made");
    write(&later, "a.agent.yaml", "ana");
    assert!(!folder.look().changed, "it may be being written");
    assert!(folder.look().changed);
    assert_eq!(folder.agents().len(), 1);
    fs::write(dir.path().join("file"), "").expect("it can be written");
    assert!(read_error(&dir.path().join("file")).starts_with("cannot read"));
}

#[test]
fn what_is_added_changed_and_removed_is_taken_up() {
    let mut scene = Scene::with(&[("a.agent.yaml", "ana")]);
    assert_eq!(scene.look(), (vec![], false));
    write(scene.dir.path(), "b.agent.yaml", "bob");
    assert_eq!(scene.look(), (vec![], true));
    assert_eq!(scene.names(), ["ana", "bob"]);
    write(scene.dir.path(), "a.agent.yaml", "anastasia");
    assert_eq!(scene.look(), (vec![], true));
    assert_eq!(scene.names(), ["anastasia", "bob"]);
    fs::rename(scene.path("b.agent.yaml"), scene.path("c.agent.yaml")).expect("it can be moved");
    scene.look();
    assert_eq!(scene.names(), ["anastasia", "bob"]);
    fs::remove_file(scene.path("c.agent.yaml")).expect("it can be removed");
    assert_eq!(scene.look(), (vec![], true));
    assert_eq!(scene.names(), ["anastasia"]);
}

#[test]
fn a_file_that_goes_wrong_is_complained_of_once_and_stands_for_what_it_was() {
    let mut scene = Scene::with(&[("a.agent.yaml", "ana")]);
    let path = scene.path("a.agent.yaml");
    fs::write(&path, file("  http: {}\n")).expect("it can be written");
    let (complaints, changed) = scene.look();
    let named = format!(r#"{}:6:9: spec.http: missing key "url""#, path.display());
    assert_eq!((complaints, changed), (vec![named], false));
    assert_eq!(scene.look(), (vec![], false));
    assert_eq!(scene.names(), ["ana"]);
    write(scene.dir.path(), "a.agent.yaml", "ana");
    assert_eq!(scene.look(), (vec![], false), "it is what it was");
}

#[test]
fn a_name_that_becomes_free_is_taken() {
    let mut scene = Scene::with(&[("a.agent.yaml", "ana")]);
    write(scene.dir.path(), "b.agent.yaml", "ana");
    let (complaints, changed) = scene.look();
    assert!(!changed && complaints.len() == 1, "{complaints:?}");
    assert!(complaints[0].contains("already the name"), "{complaints:?}");
    fs::remove_file(scene.path("a.agent.yaml")).expect("it can be removed");
    scene.look();
    assert_eq!(scene.names(), ["ana"]);
}
