//! The program itself: flags, exit codes and signals.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

fn astromeshd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_astromeshd"));
    command
        .args(arguments)
        .env_clear()
        .current_dir(std::env::temp_dir());
    command
}

fn ended(arguments: &[&str]) -> (Output, i32) {
    let output = astromeshd(arguments).output().unwrap();
    let code = output.status.code().unwrap();
    (output, code)
}

fn config(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("runtime.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

const VALID: &str = "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {name: test}\nspec: {api: {host: 127.0.0.1}}\n";

/// One that runs, with the line of its log that says where it listens.
fn running(port: &str) -> (Child, String, TempDir) {
    let (folder, path) = config(VALID);
    let mut child = astromeshd(&["--config", &path, "--port", port])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = log
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains(" listens on "))
        .unwrap();
    // Someone has to go on reading.
    std::thread::spawn(move || log.for_each(drop));
    (child, line, folder)
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn help_and_version_go_to_stdout() {
    for (argument, said) in [
        ("--help", "Usage: astromeshd"),
        ("-h", "--log-level"),
        ("--version", "astromeshd 0."),
        ("-V", "astromeshd 0."),
    ] {
        let (output, code) = ended(&[argument]);
        assert_eq!(code, 0, "{argument}");
        assert!(
            String::from_utf8(output.stdout).unwrap().contains(said),
            "{argument}"
        );
        assert!(output.stderr.is_empty(), "{argument}");
    }
}

#[test]
fn what_cannot_be_used_is_exit_2_and_named() {
    let (_folder, wrong) = config(&VALID.replace("host: 127.0.0.1", "prot: 8000"));
    let wrong = format!("--config={wrong}");
    for (arguments, named) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--port", "eight"], "--port"),
        (
            &["--config", "/nonexistent/runtime.yaml"],
            "/nonexistent/runtime.yaml",
        ),
        (&["--check", &wrong], "prot"),
        (&[&wrong], "prot"),
        (&["--log-level", "loud"], "loud"),
    ] {
        let (output, code) = ended(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(
            said.starts_with("astromeshd: ") && said.contains(named),
            "{arguments:?}: {said}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn check_says_what_is_valid() {
    let (folder, path) = config(VALID);
    let (output, code) = ended(&["--check", "--config", &path]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(&path) && said.contains("is valid") && said.contains("echo"),
        "{said}"
    );

    std::fs::create_dir(folder.path().join("agents")).unwrap();
    std::fs::write(
        folder.path().join("agents/bad.agent.yaml"),
        "kind: Nonsense\n",
    )
    .unwrap();
    let (output, code) = ended(&["--check", "--config", folder.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("bad.agent.yaml")
    );
}

/// What is printed can be given back as a file.
#[test]
fn print_writes_down_what_counts() {
    let (_folder, path) = config(VALID);
    let (output, code) = ended(&["--print", "--config", &path, "--port", "9001"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("port: 9001"), "{said}");
    let (_folder, path) = config(&said);
    assert_eq!(ended(&["--check", "--config", &path]).1, 0);

    let (output, code) = ended(&["--print", "--config", &path, "--port", "none"]);
    assert_eq!(code, 2);
    assert!(output.stdout.is_empty());
}

/// What passes the check must start.
#[test]
fn check_finds_what_would_stop_the_start() {
    let mesh = "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {name: test}\nspec:\n  mesh: {enabled: true, node_name: a";
    for (more, said) in [
        ("}\n  limits: {record_bytes: 1}", "record"),
        (
            ", advertise: \"http://169.254.169.254:80\"}",
            "spec.mesh.advertise",
        ),
        (
            ", advertise: \"http://224.0.0.1:80\"}",
            "spec.mesh.advertise",
        ),
    ] {
        let (_folder, path) = config(&format!("{mesh}{more}\n"));
        let (output, code) = ended(&["--config", &path, "--check"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(code, 2, "{more}: {stderr}");
        assert!(stderr.contains(said), "{more}: {stderr}");
    }
}

#[test]
fn check_warns_of_agents_that_cannot_be_run() {
    let (folder, path) = config(&VALID.replace("spec: {", "spec: {services: {tools: false}, "));
    std::fs::create_dir(folder.path().join("agents")).unwrap();
    let agent = "apiVersion: astromesh/v1\nkind: Agent\nmetadata: {name: coder}\nspec: {model: {primary: {provider: echo}}, tools: [{name: datetime_now}]}\n";
    std::fs::write(folder.path().join("agents/coder.agent.yaml"), agent).unwrap();
    let (output, code) = ended(&["--config", &path, "--check"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("agent coder is not offered"), "{stderr}");
}

#[test]
fn a_signal_stops_it_and_the_exit_is_clean() {
    for name in ["-TERM", "-INT"] {
        let (mut child, line, _folder) = running(&free_port());
        assert!(line.contains("http://127.0.0.1:"), "{line}");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn a_port_that_is_taken_is_exit_1() {
    let port = free_port();
    let (mut child, _, _folder) = running(&port);
    let (_other, path) = config(VALID);
    let (output, code) = ended(&["--config", &path, "--port", &port]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&port) && said.to_lowercase().contains("in use"),
        "{said}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_second_signal_does_not_wait() {
    use std::io::{Read, Write};
    let port = free_port();
    let (mut child, _, _folder) = running(&port);
    // A request that will not end keeps it from stopping.
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    signal(&child, "-TERM");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it waits for the request"
    );
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// A line of the log as JSON says which node it is of, and one about a request, to which trace that belongs.
#[test]
fn the_log_as_json_names_node_and_trace() {
    use std::io::{Read, Write};
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (_folder, path) = config(VALID);
    let port = free_port();
    let mut child = astromeshd(&["--config", &path, "--port", &port])
        .env("ASTROMESH_LOG_FORMAT", "json")
        .env("ASTROMESH_LOG", "info,astromeshd::requests=debug")
        .env("ASTROMESH_NODE_NAME", "ana")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert_eq!(line["node"], "ana", "{line}");
            line
        });
    let listens = |line: &serde_json::Value| line["message"].as_str().unwrap().contains("listens");
    let line = lines.find(listens).unwrap();
    assert_eq!(line.get("trace_id"), None, "{line}");

    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let head = format!(
        "POST /v1/agents/echo/run HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 14\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(br#"{"query":"hi"}"#).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let line = lines
        .find(|line| line["target"] == "astromeshd::requests")
        .unwrap();
    let said = line["message"].as_str().unwrap();
    assert!(
        said.starts_with("POST /v1/agents/{name}/run: 200 OK after "),
        "{line}"
    );
    assert!(said.ends_with(", run by ana"), "{line}");
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["span_id"], "b7ad6b7169203331");
    signal(&child, "-TERM");
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let (_folder, path) = config(VALID);
    let port = free_port();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = astromeshd(&["--config", &path, "--port", &port])
        .stderr(full)
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(std::time::Instant::now() < deadline, "nobody listens");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_service_manager_hears_when_the_node_serves_lives_and_stops() {
    let (folder, path) = config(VALID);
    let place = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&place).unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let port = free_port();
    let mut child = astromeshd(&["--config", &path, "--port", &port])
        .env("NOTIFY_SOCKET", &place)
        .env("WATCHDOG_USEC", "100000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = format!("READY=1\nSTATUS=listens on 127.0.0.1:{port}");
    assert_eq!(heard(), ready);
    std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    assert_eq!(heard(), "WATCHDOG=1");
    assert_eq!(heard(), "WATCHDOG=1");
    signal(&child, "-TERM");
    while !heard().starts_with("STOPPING=1\n") {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
