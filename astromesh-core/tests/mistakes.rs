//! Every mistake gets a message that names the place, the key, what was found and the way out: as a table.

use astromesh_core::settings::{Environment, Flags, Settings};
use std::fs;
use std::path::Path;

/// A file with the `spec` given, whose first line is line 4.
fn file(spec: &str) -> String {
    format!("apiVersion: astromesh/v1\nkind: RuntimeConfig\nspec:\n{spec}")
}

/// What one is told about the file `text`, with its folder left out.
fn told_of_file(text: &str) -> String {
    told(text, &Environment::empty(), &Flags::default())
}

fn told(text: &str, environment: &Environment, flags: &Flags) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("runtime.yaml");
    fs::write(&path, text).expect("it can be written");
    let flags = Flags {
        config: Some(path),
        ..flags.clone()
    };
    refusal(&flags, environment, folder.path())
}

fn refusal(flags: &Flags, environment: &Environment, folder: &Path) -> String {
    let error = Settings::load(flags, environment).expect_err("it should be refused");
    error
        .to_string()
        .replace(&format!("{}/", folder.display()), "")
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line() {
    let mesh = |keys: &str| file(&format!("  mesh:\n    enabled: true\n{keys}"));
    for (text, message) in [
        (
            file("  api:\n    port: eight thousand\n"),
            r#"runtime.yaml:5:11: spec.api.port: expected a port (1-65535), found "eight thousand""#,
        ),
        (
            file("  api:\n    port: 65536\n"),
            "runtime.yaml:5:11: spec.api.port: expected a port (1-65535), found 65536",
        ),
        (
            file("  api: {port: [80]}\n"),
            "runtime.yaml:4:15: spec.api.port: expected a port (1-65535), found a list",
        ),
        (
            file("  api:\n    host: gateway\n"),
            r#"runtime.yaml:5:11: spec.api.host: expected an address to listen on, such as 0.0.0.0 or 127.0.0.1, found "gateway""#,
        ),
        (
            mesh("    gosip_interval: 2\n"),
            r#"runtime.yaml:6:5: spec.mesh: unknown key "gosip_interval"; did you mean "gossip_interval"?"#,
        ),
        (
            file("  api: {zebra: 1}\n"),
            r#"runtime.yaml:4:9: spec.api: unknown key "zebra"; expected one of host, port, threads"#,
        ),
        (
            format!("specs: {{}}\n{}", file("  api:\n")),
            r#"runtime.yaml:1:1: unknown key "specs"; did you mean "spec"?"#,
        ),
        (
            file("  services:\n    agent: true\n"),
            r#"runtime.yaml:5:5: spec.services: unknown key "agent"; did you mean "agents"?"#,
        ),
        (
            file("  services:\n    agents: yes\n"),
            r#"runtime.yaml:5:13: spec.services.agents: expected true or false, found "yes""#,
        ),
        (
            file(
                "  peers:\n    - name: a\n      url: http://a:1\n    - name: b\n      url: http://b\n",
            ),
            r#"runtime.yaml:8:12: spec.peers[1].url: expected a port, as in http://host:8000, found "http://b""#,
        ),
        (
            file("  peers:\n    - name: a\n"),
            r#"runtime.yaml:5:7: spec.peers[0]: missing key "url""#,
        ),
        (
            file("  peers:\n    - {name: a, url: a:1, services: [agent]}\n"),
            r#"runtime.yaml:5:38: spec.peers[0].services[0]: unknown service "agent"; did you mean "agents"?"#,
        ),
        (
            file("  peers:\n    - {name: a, url: a:1}\n    - {name: a, url: a:2}\n"),
            r#"runtime.yaml:6:14: spec.peers[1].name: "a" is already the name of spec.peers[0]"#,
        ),
        (
            mesh("    seeds:\n      - http://a:8000\n      - https://b:8000\n"),
            r#"runtime.yaml:8:9: spec.mesh.seeds[1]: expected http://host:port, found "https://b:8000""#,
        ),
        (
            mesh("    seeds: [\"srv://_maia._tcp.a:8000\"]\n"),
            r#"runtime.yaml:6:13: spec.mesh.seeds[0]: expected srv:// and the name of a service, as in srv://_maia._tcp.mesh.example: its records have the ports, found "srv://_maia._tcp.a:8000""#,
        ),
        (
            mesh("    name_servers: [dns]\n"),
            r#"runtime.yaml:6:20: spec.mesh.name_servers[0]: expected the address of a name server, such as 10.0.0.10 or 127.0.0.1:8600, found "dns""#,
        ),
        (
            mesh("    seeds: http://a:8000\n"),
            r#"runtime.yaml:6:12: spec.mesh.seeds: expected a list, found "http://a:8000""#,
        ),
        (
            mesh("    advertise: 0.0.0.0:8000\n"),
            r#"runtime.yaml:6:16: spec.mesh.advertise: expected an address that names one machine, found "0.0.0.0:8000""#,
        ),
        (
            mesh("    gossip_interval: soon\n"),
            r#"runtime.yaml:6:22: spec.mesh.gossip_interval: expected a time above zero and up to a year, such as 2, 0.5 or "200ms", found "soon""#,
        ),
        (
            mesh("    failure_timeout: 15\n    dead_timeout: 15\n"),
            "runtime.yaml:7:19: spec.mesh.dead_timeout: expected more than failure_timeout (15s), found 15s",
        ),
        (
            mesh("    failure_timeout: 40\n"),
            "runtime.yaml:5:5: spec.mesh.dead_timeout: expected more than failure_timeout (40s), found 30s",
        ),
        (
            mesh("    failure_timeout: 5\n"),
            "runtime.yaml:6:22: spec.mesh.failure_timeout: expected at least three times gossip_interval (2s), found 5s: \
             a member is heard of once a round",
        ),
        (
            mesh("    gossip_fanout: 0\n"),
            "runtime.yaml:6:20: spec.mesh.gossip_fanout: expected a whole number, at least 1, found 0",
        ),
        (
            mesh("    bind: 0.0.0.0:9000\n"),
            "runtime.yaml:6:11: spec.mesh.bind: expected port 8000 as in spec.api.port, for there is one listener, found \
             port 9000",
        ),
        (
            file("  limits:\n    headers: 100000\n"),
            "runtime.yaml:5:14: spec.limits.headers: expected a whole number from 1 to 1024, found 100000",
        ),
        (
            file("  mesh: true\n"),
            "runtime.yaml:4:9: spec.mesh: expected a map with enabled, seeds and so on, found true",
        ),
        (
            file("  api:\n    port: 80\n    port: 81\n"),
            r#"runtime.yaml:5:5: spec.api: key "port" is given twice"#,
        ),
        (
            file(
                "  channels:\n    a: {agent: x, secret_env: A}\n    a: {agent: x, secret_env: A}\n",
            ),
            r#"runtime.yaml:5:5: spec.channels: key "a" is given twice"#,
        ),
        (
            file("  channels:\n    chat: {secret_env: A}\n"),
            r#"runtime.yaml:5:11: spec.channels.chat: missing key "agent""#,
        ),
        (
            file("  channels:\n    chat: {agent: echo}\n"),
            r#"runtime.yaml:5:11: spec.channels.chat: missing key "secret_env" or "secret_file": what its messages are signed with"#,
        ),
        (
            file("  channels:\n    chat: {agent: echo, secret: hush}\n"),
            r#"runtime.yaml:5:25: spec.channels.chat: unknown key "secret"; did you mean "secret_env"?"#,
        ),
        (
            file("  channels:\n    chat: {agent: echo, secret_env: 'hush hush'}\n"),
            "runtime.yaml:5:37: spec.channels.chat.secret_env: expected the name of a variable, such as OPENAI_API_KEY \
             (capitals, digits and _); the key itself does not belong here",
        ),
        (
            file("  channels:\n    chat: {agent: echo, secret_env: CHAT}\n"),
            "runtime.yaml:5:37: spec.channels.chat.secret_env: neither CHAT nor CHAT_FILE is set",
        ),
        (
            file("  channels:\n    chat: {agent: echo, secret_file: /nowhere/secret}\n"),
            "spec.channels.chat.secret_file: cannot read /nowhere/secret",
        ),
        (
            file("  channels:\n    a b: {agent: echo, secret_env: HOME}\n"),
            r#"runtime.yaml:5:10: spec.channels.a b: expected 1 to 64 characters of A-Z a-z 0-9 . _ : -, found "a b""#,
        ),
        (
            file("  channels:\n    chat: {agent: echo, secret_env: A, query: text}\n"),
            r#"runtime.yaml:5:47: spec.channels.chat.query: expected a JSON pointer, such as /message/text, found "text""#,
        ),
        (
            "kind: RuntimeConfig\nspec: {}\n".into(),
            r#"runtime.yaml:1:1: missing key "apiVersion""#,
        ),
        (
            "apiVersion: astromesh/v2\nkind: RuntimeConfig\n".into(),
            r#"runtime.yaml:1:13: apiVersion: expected "astromesh/v1", found "astromesh/v2""#,
        ),
        (
            "apiVersion: astromesh/v1\nkind: Agent\n".into(),
            r#"runtime.yaml:2:7: kind: expected "RuntimeConfig", found "Agent""#,
        ),
        (
            file("  api:\n    port: \"80\n"),
            "runtime.yaml:6:1: not valid YAML: found unexpected end of stream, while scanning a quoted scalar at line 5 \
             column 11",
        ),
        (
            file("  api:\n\tport: 80\n"),
            "runtime.yaml:5:1: not valid YAML: found character that cannot start any token, while scanning for the next token",
        ),
        (
            String::new(),
            r#"runtime.yaml:1:1: missing key "apiVersion""#,
        ),
        (
            "just words\n".into(),
            r#"runtime.yaml:1:1: expected a map with apiVersion, kind and spec, found "just words""#,
        ),
    ] {
        assert_eq!(told_of_file(&text), message, "for:\n{text}");
    }
}

#[test]
fn a_mistake_in_a_variable_or_a_flag_is_told_with_its_name() {
    for (variable, value, message) in [
        (
            "ASTROMESH_PORT",
            "abc",
            r#"expected a port (1-65535), found "abc""#,
        ),
        (
            "ASTROMESH_PORT",
            "+80",
            r#"expected a port (1-65535), found "+80""#,
        ),
        (
            "ASTROMESH_MESH_ENABLED",
            "maybe",
            r#"expected true or false, found "maybe""#,
        ),
        (
            "ASTROMESH_AUTO_CONFIG",
            "no",
            r#"expected true or false, found "no""#,
        ),
        (
            "ASTROMESH_SEEDS",
            "a:1, b",
            r#"expected a port, as in http://host:8000, found "b""#,
        ),
        (
            "ASTROMESH_ADVERTISE",
            "[::]:80",
            r#"expected an address that names one machine, found "[::]:80""#,
        ),
        (
            "ASTROMESH_LOG_FORMAT",
            "jsno",
            r#"unknown log format "jsno"; did you mean "json"?"#,
        ),
        (
            "ASTROMESH_LOG",
            "info,router=loud",
            r#"expected error, warn, info, debug, trace or off, or target=level, found "router=loud""#,
        ),
        (
            "ASTROMESH_NODE_NAME",
            "two\nlines",
            r#"expected 1 to 128 bytes without control characters, found "two\nlines""#,
        ),
    ] {
        let environment = Environment::empty().with(variable, value);
        assert_eq!(
            told(&file(""), &environment, &Flags::default()),
            format!("{variable}: {message}")
        );
    }
    for (flags, message) in [
        (
            Flags {
                port: Some("0".into()),
                ..Flags::default()
            },
            r#"--port: expected a port (1-65535), found "0""#,
        ),
        (
            Flags {
                host: Some("a b".into()),
                ..Flags::default()
            },
            r#"--host: expected an address to listen on, such as 0.0.0.0 or 127.0.0.1, found "a b""#,
        ),
        (
            Flags {
                log_level: Some("loud".into()),
                ..Flags::default()
            },
            r#"--log-level: expected error, warn, info, debug, trace or off, or target=level, found "loud""#,
        ),
    ] {
        assert_eq!(told(&file(""), &Environment::empty(), &flags), message);
    }
}

#[test]
fn a_profile_that_does_not_exist_is_told_with_the_roles_that_have_one() {
    let environment = Environment::empty().with("ASTROMESH_MESH_ENABLED", "true");
    assert_eq!(
        refusal(&Flags::default(), &environment, Path::new("-")),
        "ASTROMESH_ROLE not set, so full, with ASTROMESH_MESH_ENABLED=true: there is no profile \"mesh-full\"\n\
         with that, set ASTROMESH_ROLE to one of: gateway, worker, inference"
    );
    let environment = Environment::empty().with("ASTROMESH_ROLE", "mesh-worker");
    assert_eq!(
        refusal(&Flags::default(), &environment, Path::new("-")),
        "ASTROMESH_ROLE=mesh-worker with ASTROMESH_MESH_ENABLED=false: there is no profile \"mesh-worker\"\n\
         with that, set ASTROMESH_ROLE to one of: full, gateway, worker, inference"
    );
}

#[test]
fn a_file_that_is_missing_is_named_with_the_cause() {
    let flags = Flags {
        config: Some("/nowhere/runtime.yaml".into()),
        ..Flags::default()
    };
    let error = Settings::load(&flags, &Environment::empty()).expect_err("there is no such file");
    assert_eq!(error.to_string(), "cannot read /nowhere/runtime.yaml");
    let cause = std::error::Error::source(&error).expect("the system's word");
    assert_eq!(cause.to_string(), "No such file or directory (os error 2)");
}

#[test]
fn without_automatic_configuration_there_must_be_a_file() {
    let environment = Environment::empty()
        .with("ASTROMESH_AUTO_CONFIG", "false")
        .searching(["/nowhere/a.yaml", "/nowhere/b.yaml"]);
    assert_eq!(
        refusal(&Flags::default(), &environment, Path::new("-")),
        "ASTROMESH_AUTO_CONFIG=false: no configuration file (/nowhere/a.yaml, /nowhere/b.yaml), and no profile is to be used\n\
         give a file with --config, or unset ASTROMESH_AUTO_CONFIG"
    );
}

#[test]
fn a_host_without_a_usable_name_is_told_what_to_set() {
    let environment = Environment::empty().on_host("");
    assert_eq!(
        refusal(&Flags::default(), &environment, Path::new("-")),
        "name of this host: expected 1 to 128 bytes without control characters, found \"\"\nset ASTROMESH_NODE_NAME"
    );
}
