//! The command line: what is understood, what is refused, and which node it goes to.

mod stage;

use stage::{Ended, Scripted, five_nodes, program, seen_by_gateway, typed};

#[test]
fn global_options_stand_anywhere_and_in_both_spellings() {
    let daemon = Scripted::showing(&five_nodes());
    let url = daemon.url();
    for line in [
        format!("--url {url} --json --timeout 9 mesh status"),
        format!("--url={url} mesh --json status --timeout=9"),
        format!("mesh --timeout 9 --url {url} status --json"),
        format!("mesh status --json --check --url={url}"),
        format!("mesh nodes --json --url {url}/"),
        format!("mesh nodes --json --url 127.0.0.1:{}", daemon.port()),
    ] {
        let ended = typed(&line);
        assert!(ended.stdout.starts_with('{'), "{line}: {ended:?}");
    }
}

#[test]
fn a_wrong_command_line_is_2_and_says_which_word() {
    for (line, words) in [
        (
            "",
            "expected a command: mesh, agents, run, healthcheck, completion;",
        ),
        ("mesh", "status"),
        ("agents", "list"),
        ("mesg status", "unexpected \"mesg\" (did you mean mesh?)"),
        ("mesh statsu", "(did you mean status?)"),
        ("mesh nods", "(did you mean nodes?)"),
        ("mesh leve", "(did you mean leave?)"),
        ("agents lsit", "(did you mean list?)"),
        ("healthchek", "(did you mean healthcheck?)"),
        ("zebra", "unexpected \"zebra\""),
        ("mesh status now", "unexpected \"now\""),
        ("mesh status --chekc", "(did you mean --check?)"),
        ("mesh status --jsn", "(did you mean --json?)"),
        ("mesh status --check=yes", "--check takes no value"),
        ("mesh status --json=no", "--json takes no value"),
        ("mesh nodes --check", "--check"),
        ("mesh status --wait", "--wait"),
        (
            "mesh status --wait 0",
            "--wait \"0\": expected a number of nodes, from 1;",
        ),
        (
            "mesh status --wait some",
            "--wait \"some\": expected a number of nodes, from 1",
        ),
        (
            "mesh status --wait=-1",
            "--wait \"-1\": expected a number of nodes, from 1",
        ),
        ("mesh status --timeout", "--timeout"),
        (
            "mesh status --timeout soon",
            "--timeout \"soon\": expected seconds from 0.001 to 86400",
        ),
        ("mesh status --timeout 0", "expected seconds"),
        ("mesh status --timeout=-3", "expected seconds"),
        ("mesh status --timeout inf", "expected seconds"),
        ("mesh status --timeout NaN", "expected seconds"),
        ("mesh status --timeout 1e9", "expected seconds"),
        ("mesh status --url", "--url"),
        (
            "mesh status --url https://a:1",
            "--url: expected http://host:port",
        ),
        ("mesh status --url http://a", "--url: expected a port"),
        (
            "mesh status --url http://a:99999",
            "--url: expected a port from 1 to 65535",
        ),
        (
            "mesh status --url http://a:1/path",
            "--url: expected http://host:port",
        ),
        ("mesh status --url :1", "--url: expected a host name"),
        ("run", "missing agent and query;"),
        ("run echo", "missing query;"),
        ("run echo two words", "unexpected \"words\""),
        ("run echo hi --session", "--session"),
    ] {
        let ended = typed(line);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (2, ""),
            "{line}: {ended:?}"
        );
        assert!(
            ended.stderr.starts_with("astromeshctl: "),
            "{line}: {ended:?}"
        );
        assert!(ended.stderr.contains(words), "{line}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{line}: {ended:?}");
    }
}

#[test]
fn wrong_words_reach_no_daemon() {
    let daemon = Scripted::showing(&five_nodes());
    for line in [
        "mesh leave now",
        "mesh leave --check",
        "mesh leaves",
        "run echo",
    ] {
        assert_eq!(daemon.asked(line).code, 2, "{line}");
    }
    assert!(daemon.heard().is_empty());
}

#[test]
fn help_and_release_are_answers() {
    for (line, words) in [
        ("-h", "healthcheck"),
        ("--help", "ASTROMESH_URL"),
        ("mesh -h", "leave"),
        ("mesh status --help", "--wait"),
        ("-h mesh nodes", "nodes"),
        ("run -h", "--session"),
        ("mesh leave --url nonsense -h", "leave"),
    ] {
        let ended = typed(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{line}");
        assert!(
            ended.stdout.contains("Usage: astromeshctl") && ended.stdout.contains(words),
            "{line}: {ended:?}"
        );
    }
    for line in ["-V", "--version", "mesh status -V"] {
        let expected = format!("astromeshctl {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(typed(line).stdout, expected, "{line}");
    }
}

#[test]
fn the_node_is_named_by_option_then_url_then_port() {
    let (first, second) = (
        Scripted::showing(&five_nodes()),
        Scripted::showing(&seen_by_gateway(Vec::new())),
    );
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut status = program();
        status
            .args(["mesh", "status"])
            .args(arguments)
            .envs(variables.iter().copied());
        Ended::from(status.output().expect("runs"))
    };
    let (url, other) = (first.url(), second.url());
    let port = first.port().to_string();
    for (arguments, variables) in [
        (
            vec!["--url", &url],
            vec![("ASTROMESH_URL", other.as_str()), ("ASTROMESH_PORT", "1")],
        ),
        (
            vec![],
            vec![("ASTROMESH_URL", url.as_str()), ("ASTROMESH_PORT", "1")],
        ),
        (vec![], vec![("ASTROMESH_PORT", port.as_str())]),
        (
            vec![],
            vec![("ASTROMESH_URL", ""), ("ASTROMESH_PORT", port.as_str())],
        ),
    ] {
        let ended = run(&arguments, &variables);
        assert!(
            ended.stdout.starts_with("Mesh      5 nodes"),
            "{variables:?}: {ended:?}"
        );
    }
    assert!(second.heard().is_empty());

    for (name, value, words) in [
        (
            "ASTROMESH_URL",
            "https://a:1",
            "ASTROMESH_URL: expected http://host:port",
        ),
        (
            "ASTROMESH_PORT",
            "http",
            "ASTROMESH_PORT: expected a port (1-65535), found \"http\"",
        ),
        ("ASTROMESH_PORT", "0", "ASTROMESH_PORT: expected a port"),
        ("ASTROMESH_PORT", "65536", "ASTROMESH_PORT: expected a port"),
    ] {
        let ended = run(&[], &[(name, value)]);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (2, ""),
            "{name}={value}"
        );
        assert!(ended.stderr.contains(words), "{name}={value}: {ended:?}");
    }
}

#[test]
fn a_query_may_look_like_an_option_after_two_dashes() {
    let daemon = Scripted::saying(404, "{}");
    daemon.asked("run echo -- --help");
    assert_eq!(
        daemon.heard(),
        [r#"POST /v1/agents/echo/run {"query":"--help","stream":false}"#]
    );
}
