//! What settings come to: profiles, the order of the layers, and every variable.

use astromesh_core::agent::Pattern;
use astromesh_core::settings::{
    Environment, Flags, HttpLimits, LogFormat, Origin, Service, Settings, Signed,
};
use log::LevelFilter;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const HEAD: &str = "apiVersion: astromesh/v1\nkind: RuntimeConfig\n";

/// A folder with a `runtime.yaml` that has `spec`.
fn folder(spec: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("runtime.yaml"),
        format!("{HEAD}spec:\n{spec}"),
    )
    .expect("it can be written");
    folder
}

fn at(folder: &TempDir) -> Flags {
    Flags {
        config: Some(folder.path().join("runtime.yaml")),
        ..Flags::default()
    }
}

fn load(flags: &Flags, environment: &Environment) -> Settings {
    Settings::load(flags, environment).expect("these settings are right")
}

/// What comes of a file with `spec`, and nothing else.
fn from_spec(spec: &str) -> Settings {
    load(&at(&folder(spec)), &Environment::empty())
}

/// What comes of the variables alone.
fn from_variables(variables: &[(&str, &str)]) -> Settings {
    let start = Environment::empty();
    let environment = variables
        .iter()
        .fold(start, |all, (name, value)| all.with(name, value));
    load(&Flags::default(), &environment)
}

fn seeds(settings: &Settings) -> Vec<String> {
    let mesh = settings.mesh.as_ref().expect("the mesh is on");
    mesh.seeds.iter().map(ToString::to_string).collect()
}

#[test]
fn each_profile_turns_on_what_the_table_says() {
    use Service::{Agents, Api, Channels, Inference, Memory, Observability, Rag, Tools};
    let gateway = [Api, Channels, Observability].as_slice();
    let worker = &[Api, Agents, Memory, Tools, Rag, Observability];
    let inference = &[Api, Inference, Observability];
    for (role, mesh, services, peer, seed) in [
        ("full", false, Service::ALL.as_slice(), None, None),
        (
            "gateway",
            false,
            gateway,
            Some(("worker", "http://worker:8000")),
            None,
        ),
        (
            "worker",
            false,
            worker,
            Some(("inference", "http://inference:8000")),
            None,
        ),
        ("inference", false, inference, None, None),
        ("gateway", true, gateway, None, None),
        ("worker", true, worker, None, Some("http://gateway:8000")),
        (
            "inference",
            true,
            inference,
            None,
            Some("http://gateway:8000"),
        ),
    ] {
        let name = if mesh {
            format!("mesh-{role}")
        } else {
            role.to_owned()
        };
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../profiles/{name}.yaml"));
        let from_file = load(
            &Flags {
                config: Some(path),
                ..Flags::default()
            },
            &Environment::empty(),
        );
        let built_in = from_variables(&[
            ("ASTROMESH_ROLE", role),
            ("ASTROMESH_MESH_ENABLED", &mesh.to_string()),
        ]);
        assert_eq!(built_in.origin, Origin::BuiltIn(name.clone()));
        for settings in [from_file, built_in] {
            assert_eq!(settings.role.as_str(), role, "{name}");
            assert_eq!(
                settings.services.iter().collect::<Vec<_>>(),
                services,
                "{name}"
            );
            let peers: Vec<_> = settings
                .peers
                .iter()
                .map(|peer| (peer.name.as_str(), peer.url.as_str()))
                .collect();
            assert_eq!(peers, peer.into_iter().collect::<Vec<_>>(), "{name}");
            assert_eq!(settings.mesh.is_some(), mesh, "{name}");
            if mesh {
                assert_eq!(
                    seeds(&settings),
                    seed.into_iter().collect::<Vec<_>>(),
                    "{name}"
                );
            }
            assert_eq!(
                (settings.api.host.to_string().as_str(), settings.api.port),
                ("0.0.0.0", 8000)
            );
            assert_eq!(settings.warnings, [""; 0], "{name}");
        }
    }
}

#[test]
fn what_a_file_leaves_out_has_its_default() {
    let settings = from_spec("  mesh: {enabled: true}\n");
    let mesh = settings.mesh.expect("the mesh is on");
    assert_eq!(mesh.config, maia::config::Config::default());
    assert_eq!((mesh.advertise, mesh.bind_host), (None, None));
    assert_eq!(settings.limits, HttpLimits::default());
    assert_eq!(settings.node_name.as_str(), "localhost");
    assert_eq!(settings.role.as_str(), "custom");
    assert_eq!(settings.services.iter().count(), 8);
    assert!(settings.defaults.echo);
    assert_eq!(
        (settings.log.level, settings.log.format),
        (LevelFilter::Info, LogFormat::Text)
    );
    assert!(
        settings
            .agents_dir
            .is_some_and(|dir| dir.ends_with("agents"))
    );
}

#[test]
fn what_is_written_as_nothing_is_left_out() {
    let settings = from_spec(
        "  api:\n    port:\n  peers:\n  services:\n  mesh:\n    node_name: ~\n    seeds:\n",
    );
    assert_eq!(settings.api.port, 8000);
    assert_eq!(settings.node_name.as_str(), "localhost");
    assert_eq!(load(&at(&folder("")), &Environment::empty()).api.port, 8000);
}

#[test]
fn every_key_of_the_file_arrives() {
    let folder = folder(
        "  api: {host: '::1', port: 9000}
  services: {rag: false, memory: false}
  defaults: {echo: false, orchestration: {pattern: react, max_iterations: 5, timeout_seconds: 30}}
  channels:
    chat: {agent: echo, secret_env: CHAT_SECRET, signed: body, tolerance: 1m, query: /text, session: /from/id,
      callback: {url: 'https://a.b/c', allow: [10.0.0.0/8]}}
  limits: {nodes: 10000, record_bytes: 1, new_ids_per_second: 2, new_ids_burst: 3, remembered: 4, remember_for: 1h,
    exchange_timeout: 750ms, gossip_body_bytes: 5, body_bytes: 6, header_bytes: 8192, headers: 7, concurrent_gossip: 8, concurrent_requests: 80, queued_requests: 0,
    all_bodies_bytes: 9, connections: 10, inference_body_bytes: 11, inference_answer_bytes: 12,
    inference_first_byte_timeout: 5, inference_idle_timeout: 6,
    node_first_byte_timeout: 7, node_idle_timeout: 8, node_answer_timeout: 9,
    first_byte_timeout: 1, headers_timeout: 2, body_timeout: 3, idle_timeout: 4,
    sessions: 11, session_messages: 12, session_bytes: 13, all_sessions_bytes: 14, session_timeout: 15,
    channel_body_bytes: 16, callbacks: 17}
  mesh: {enabled: true, node_name: ana, bind: '0.0.0.0:9000', advertise: 'http://ana:9000', seeds: [bob:8000, 'srv://_maia._tcp.mesh'], name_servers: [10.0.0.10],
    heartbeat_interval: 1m, gossip_interval: 0.2, gossip_fanout: 4, failure_timeout: 600ms, dead_timeout: 2s,
    stable_after: 1.5, expected_nodes: 3}
",
    );
    let environment = Environment::empty().with("CHAT_SECRET", "hush");
    let settings = load(&at(&folder), &environment);
    assert_eq!(
        (settings.api.host.to_string().as_str(), settings.api.port),
        ("::1", 9000)
    );
    assert!(!settings.services.has(Service::Rag) && settings.services.has(Service::Agents));
    assert!(!settings.defaults.echo);
    let orchestration = &settings.defaults.orchestration;
    assert_eq!(orchestration.pattern, Some(Pattern::React));
    assert_eq!(orchestration.max_iterations, Some(5));
    assert_eq!(orchestration.timeout, Some(Duration::from_secs(30)));
    assert_eq!(settings.channels.names().collect::<Vec<_>>(), ["chat"]);
    let name = "chat".parse().expect("a plain name");
    let chat = settings.channels.get(&name).expect("it was set");
    assert_eq!((chat.agent.as_str(), chat.signed), ("echo", Signed::Body));
    assert_eq!(
        (chat.query.as_str(), chat.session.as_str()),
        ("/text", "/from/id")
    );
    assert_eq!(chat.tolerance, Duration::from_secs(60));
    let callback = chat.callback.as_ref().expect("it was set");
    assert_eq!(callback.url.to_string(), "https://a.b/c");
    assert_eq!(callback.allow.to_string(), "10.0.0.0/8");
    assert!(
        !format!("{settings:?}").contains("hush"),
        "a secret is not shown"
    );
    assert_eq!(
        settings.limits,
        HttpLimits {
            gossip_body_bytes: 5,
            body_bytes: 6,
            all_bodies_bytes: 9,
            header_bytes: 8192,
            headers: 7,
            concurrent_gossip: 8,
            concurrent_requests: 80,
            queued_requests: 0,
            connections: 10,
            inference_body_bytes: 11,
            inference_answer_bytes: 12,
            inference_first_byte_timeout: Duration::from_secs(5),
            inference_idle_timeout: Duration::from_secs(6),
            node_first_byte_timeout: Duration::from_secs(7),
            node_idle_timeout: Duration::from_secs(8),
            node_answer_timeout: Duration::from_secs(9),
            first_byte_timeout: Duration::from_secs(1),
            headers_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(4),
            sessions: 11,
            session_messages: 12,
            session_bytes: 13,
            all_sessions_bytes: 14,
            session_timeout: Duration::from_secs(15),
            channel_body_bytes: 16,
            callbacks: 17,
        }
    );
    assert_eq!(settings.node_name.as_str(), "ana");
    let mesh = settings.mesh.expect("the mesh is on");
    assert_eq!(
        mesh.advertise.expect("it was set").as_str(),
        "http://ana:9000"
    );
    assert_eq!(mesh.bind_host.expect("it was set").to_string(), "0.0.0.0");
    let seeds: Vec<String> = mesh.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(seeds, ["http://bob:8000", "srv://_maia._tcp.mesh"]);
    let servers: Vec<String> = mesh.name_servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.10:53"]);
    let defaults = maia::config::Config::default();
    assert_eq!(
        mesh.config,
        maia::config::Config {
            gossip_interval: Duration::from_millis(200),
            gossip_fanout: 4,
            heartbeat_interval: Duration::from_secs(60),
            failure_timeout: Duration::from_millis(600),
            dead_timeout: Duration::from_secs(2),
            stable_after: Duration::from_millis(1_500),
            expected_nodes: Some(3),
            exchange_timeout: Duration::from_millis(750),
            limits: maia::config::Limits {
                nodes: 10_000,
                record_bytes: 1,
                new_ids_per_second: 2,
                new_ids_burst: 3,
                remembered: 4,
                remember_for: Duration::from_secs(3_600),
            },
            ..defaults
        }
    );
}

#[test]
fn a_flag_wins_over_a_variable_and_that_over_the_file_and_that_over_the_default() {
    let folder = folder("  api: {port: 8001}\n");
    let file = at(&folder);
    let environment = Environment::empty().with("ASTROMESH_PORT", "8002");
    let flags = Flags {
        port: Some("8003".into()),
        ..file.clone()
    };
    assert_eq!(from_spec("").api.port, 8000);
    assert_eq!(load(&file, &Environment::empty()).api.port, 8001);
    assert_eq!(load(&file, &environment).api.port, 8002);
    assert_eq!(load(&flags, &environment).api.port, 8003);
}

#[test]
fn flags_set_host_and_log_too() {
    let flags = Flags {
        host: Some("127.0.0.1".into()),
        log_level: Some("warn,router=trace".into()),
        ..Flags::default()
    };
    let settings = load(&flags, &Environment::empty().with("ASTROMESH_LOG", "debug"));
    assert_eq!(settings.api.host.to_string(), "127.0.0.1");
    assert_eq!(settings.log.level, LevelFilter::Warn);
    assert_eq!(
        settings.log.targets,
        [("router".to_owned(), LevelFilter::Trace)]
    );
}

#[test]
fn every_variable_of_the_guide_does_what_it_says() {
    let settings = from_variables(&[
        ("ASTROMESH_ROLE", "worker"),
        ("ASTROMESH_MESH_ENABLED", "true"),
        ("ASTROMESH_NODE_NAME", "worker-7"),
        ("ASTROMESH_SEEDS", "http://one:8000,http://two:8000"),
        ("ASTROMESH_PORT", "9000"),
        ("ASTROMESH_AUTO_CONFIG", "true"),
        ("ASTROMESH_ADVERTISE", "worker-7:9000"),
        ("ASTROMESH_LOG", "debug"),
        ("ASTROMESH_LOG_FORMAT", "json"),
        ("ASTROMESH_URL", "http://localhost:9000"),
        ("ASTROMESH_IMAGE", "astromesh:latest"),
        ("OPENAI_API_KEY", "key"),
        ("OPENAI_API_KEY_FILE", "/run/secrets/openai"),
        ("OPENAI_BASE_URL", "http://openai:80/v1"),
        ("ANTHROPIC_API_KEY", "key"),
        ("ANTHROPIC_BASE_URL", "http://anthropic:80"),
        ("OLLAMA_HOST", "ollama"),
    ]);
    assert_eq!(settings.origin, Origin::BuiltIn("mesh-worker".into()));
    assert_eq!(settings.role.as_str(), "worker");
    assert_eq!(settings.node_name.as_str(), "worker-7");
    assert_eq!(seeds(&settings), ["http://one:8000", "http://two:8000"]);
    assert_eq!(settings.api.port, 9000);
    let advertise = settings
        .mesh
        .expect("the mesh is on")
        .advertise
        .expect("it was set");
    assert_eq!(advertise.as_str(), "http://worker-7:9000");
    assert_eq!(
        (settings.log.level, settings.log.format),
        (LevelFilter::Debug, LogFormat::Json)
    );
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn what_variables_and_flags_say_can_be_written_down() {
    let environment = Environment::empty()
        .on_host("4f1c")
        .with("ASTROMESH_ROLE", "worker")
        .with("ASTROMESH_MESH_ENABLED", "true")
        .with("ASTROMESH_SEEDS", " gateway:8000/, http://two:9000/ ")
        .with("ASTROMESH_PORT", "9000");
    let text = Settings::as_file(&Flags::default(), &environment).expect("it is right");
    for line in [
        "  name: mesh-worker",
        "    port: 9000",
        "    enabled: true",
        "    node_name: 4f1c",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }

    // What was written says the same by itself.
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("runtime.yaml"), text).expect("it can be written");
    let (written, meant) = (
        load(&at(&folder), &Environment::empty()),
        load(&Flags::default(), &environment),
    );
    assert_eq!(written.api, meant.api);
    assert_eq!(written.services, meant.services);
    assert_eq!(written.node_name, meant.node_name);
    assert_eq!(written.mesh, meant.mesh);
    assert_eq!(seeds(&written), ["http://gateway:8000", "http://two:9000"]);

    let wrong = environment.with("ASTROMESH_PORT", "eight thousand");
    let error = Settings::as_file(&Flags::default(), &wrong).expect_err("that is no port");
    assert!(error.to_string().contains("ASTROMESH_PORT"), "{error}");
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let settings = from_variables(&[
        ("ASTROMESH_ROLE", ""),
        ("ASTROMESH_MESH_ENABLED", ""),
        ("ASTROMESH_NODE_NAME", " "),
        ("ASTROMESH_SEEDS", ""),
        ("ASTROMESH_PORT", ""),
        ("ASTROMESH_AUTO_CONFIG", ""),
    ]);
    assert_eq!(settings.origin, Origin::BuiltIn("full".into()));
    assert_eq!(settings.node_name.as_str(), "localhost");
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn seeds_are_taken_as_people_write_them() {
    let settings = from_variables(&[
        ("ASTROMESH_ROLE", "gateway"),
        ("ASTROMESH_MESH_ENABLED", "TRUE"),
        (
            "ASTROMESH_SEEDS",
            " http://one:8000/ , two:8000,, http://[::1]:80 ",
        ),
    ]);
    assert_eq!(
        seeds(&settings),
        ["http://one:8000", "http://two:8000", "http://[::1]:80"]
    );
}

#[test]
fn variables_override_a_file_but_role_only_names() {
    let folder =
        folder("  services: {agents: false}\n  mesh: {seeds: [one:8000], node_name: ana}\n");
    let environment = Environment::empty()
        .with("ASTROMESH_ROLE", "edge")
        .with("ASTROMESH_MESH_ENABLED", "true")
        .with("ASTROMESH_NODE_NAME", "bob")
        .with("ASTROMESH_SEEDS", "two:8000");
    let settings = load(&at(&folder), &environment);
    assert_eq!(settings.role.as_str(), "edge");
    assert_eq!(settings.node_name.as_str(), "bob");
    assert_eq!(seeds(&settings), ["http://two:8000"]);
    assert!(!settings.services.has(Service::Agents));

    let off = Environment::empty().with("ASTROMESH_MESH_ENABLED", "false");
    let settings = load(&at(&self::folder("  mesh: {enabled: true}\n")), &off);
    assert!(settings.mesh.is_none());
}

#[test]
fn a_role_that_the_file_is_not_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("runtime.yaml");
    fs::write(&path, format!("{HEAD}metadata: {{name: mesh-gateway}}\n"))
        .expect("it can be written");
    let role = |role| {
        load(
            &at(&folder),
            &Environment::empty().with("ASTROMESH_ROLE", role),
        )
        .warnings
    };
    assert_eq!(role("gateway"), [""; 0]);
    assert_eq!(
        role("worker"),
        [format!(
            "ASTROMESH_ROLE=worker is only what this node calls itself: services and mesh are those of gateway in {}",
            path.display()
        )]
    );
}

#[test]
fn without_automatic_configuration_the_file_alone_counts() {
    let folder = folder("  mesh: {enabled: true, node_name: ana, seeds: [one:8000]}\n");
    let environment = Environment::empty()
        .with("ASTROMESH_AUTO_CONFIG", "false")
        .with("ASTROMESH_ROLE", "worker")
        .with("ASTROMESH_MESH_ENABLED", "nonsense")
        .with("ASTROMESH_NODE_NAME", "bob")
        .with("ASTROMESH_SEEDS", "two:8000")
        .with("ASTROMESH_PORT", "nonsense")
        .with("ASTROMESH_ADVERTISE", "ana:8000");
    let settings = load(&at(&folder), &environment);
    assert_eq!(settings.role.as_str(), "custom");
    assert_eq!(settings.node_name.as_str(), "ana");
    assert_eq!(seeds(&settings), ["http://one:8000"]);
    assert_eq!(settings.api.port, 8000);
    assert!(settings.mesh.expect("the mesh is on").advertise.is_some());
    assert_eq!(
        settings.warnings,
        [
            "ASTROMESH_AUTO_CONFIG=false puts ASTROMESH_ROLE, ASTROMESH_MESH_ENABLED, ASTROMESH_NODE_NAME, ASTROMESH_SEEDS, \
             ASTROMESH_PORT out of force: role, mesh, name, seeds and port come from the file alone"
        ]
    );
}

#[test]
fn traces_go_where_the_variable_of_all_who_speak_otlp_says() {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let there = |variables: &[(&str, &str)]| {
        let settings = from_variables(variables);
        let uri = settings.traces.map(|uri| uri.to_string());
        (uri, settings.warnings)
    };
    assert_eq!(there(&[]), (None, Vec::new()));
    for (value, uri) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        (
            "https://a.example/otlp/",
            "https://a.example/otlp/v1/traces",
        ),
    ] {
        let found = there(&[(ENDPOINT, value)]);
        assert_eq!(found, (Some(uri.to_owned()), Vec::new()));
    }
    let other = [
        (ENDPOINT, "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let (_, warnings) = there(&other);
    assert!(
        warnings[0].starts_with("OTEL_EXPORTER_OTLP_PROTOCOL=grpc is ignored"),
        "{warnings:?}"
    );
    assert_eq!(there(&other[1..]), (None, Vec::new()));

    let environment = Environment::empty().with(ENDPOINT, "collector:4318");
    let error = Settings::load(&Flags::default(), &environment).expect_err("no URL");
    assert!(
        error
            .to_string()
            .starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: expected an http or https URL"),
        "{error}"
    );
}

#[test]
fn an_unknown_variable_is_warned_of_with_the_nearest_name() {
    let settings = from_variables(&[
        ("ASTROMESH_SEED", "one:8000"),
        ("ASTROMESHED", "other"),
        ("HOME", "/root"),
    ]);
    assert_eq!(
        settings.warnings,
        [r#"unknown variable ASTROMESH_SEED; did you mean "ASTROMESH_SEEDS"?"#]
    );
}

#[test]
fn seeds_without_a_mesh_are_warned_of() {
    let settings = from_variables(&[("ASTROMESH_SEEDS", "one:8000")]);
    assert_eq!(
        settings.warnings,
        [
            "ASTROMESH_SEEDS is set but not used: the mesh is off, and ASTROMESH_MESH_ENABLED=true turns it on"
        ]
    );
}

#[test]
fn with_a_mesh_the_peers_are_ignored_and_that_is_said() {
    let settings = from_spec("  peers: [{name: a, url: 'a:1'}]\n  mesh: {enabled: true}\n");
    assert_eq!(settings.peers, []);
    assert_eq!(
        settings.warnings,
        ["spec.peers is ignored: the mesh is on, and finds its members itself"]
    );
}

#[test]
fn peers_serve_everything_unless_they_say() {
    let settings = from_spec(
        "  peers: [{name: a, url: 'a:1/'}, {name: b, url: 'http://b:2', services: [agents]}]\n",
    );
    assert_eq!(settings.peers[0].url.as_str(), "http://a:1");
    assert_eq!(settings.peers[0].services.iter().count(), 8);
    assert_eq!(
        settings.peers[1].services.iter().collect::<Vec<_>>(),
        [Service::Agents]
    );
}

#[test]
fn an_old_bind_never_stands_in_the_way_of_a_new_port() {
    let environment = Environment::empty().with("ASTROMESH_PORT", "9000");
    let flags = |folder: &TempDir| Flags {
        port: Some("9001".into()),
        ..at(folder)
    };
    let bound = folder("  mesh: {enabled: true, bind: '10.0.0.7:8000'}\n");
    assert_eq!(load(&at(&bound), &environment).api.port, 9000);
    assert_eq!(load(&flags(&bound), &Environment::empty()).api.port, 9001);
    let mesh = load(&at(&bound), &environment)
        .mesh
        .expect("the mesh is on");
    assert_eq!(mesh.bind_host.expect("it was set").to_string(), "10.0.0.7");

    assert_eq!(
        from_spec("  api: {port: 9000}\n  mesh: {enabled: true}\n")
            .api
            .port,
        9000
    );
    assert_eq!(
        from_spec("  api: {port: 9000}\n  mesh: {enabled: true, bind: 0.0.0.0}\n")
            .api
            .port,
        9000
    );
}

#[test]
fn a_folder_has_its_settings_and_its_agents() {
    let folder = folder("  api: {port: 9000}\n");
    fs::create_dir(folder.path().join("agents")).expect("it can be made");
    let flags = Flags {
        config: Some(folder.path().to_owned()),
        ..Flags::default()
    };
    let settings = load(&flags, &Environment::empty());
    assert_eq!(settings.api.port, 9000);
    assert_eq!(
        settings.origin,
        Origin::File(folder.path().join("runtime.yaml"))
    );
    assert_eq!(settings.agents_dir, Some(folder.path().join("agents")));
}

#[test]
fn the_first_file_that_is_there_is_taken() {
    let (first, second) = (
        folder("  api: {port: 9001}\n"),
        folder("  api: {port: 9002}\n"),
    );
    let files = [
        first.path().join("runtime.yaml"),
        second.path().join("runtime.yaml"),
    ];
    let environment = Environment::empty().searching(files.clone());
    let port = || load(&Flags::default(), &environment).api.port;
    assert_eq!(port(), 9001);
    fs::remove_file(&files[0]).expect("it is there");
    assert_eq!(port(), 9002);
    fs::remove_file(&files[1]).expect("it is there");
    assert_eq!(
        load(&Flags::default(), &environment).origin.to_string(),
        "built-in profile full"
    );
}
