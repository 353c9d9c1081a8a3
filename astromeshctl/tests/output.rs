//! What each command prints, to the letter.

mod stage;

use serde_json::{Value, json};
use stage::{Scripted, ailing, alone, five_nodes, member, program, seen_by_gateway};

#[test]
fn mesh_status_is_four_lines_and_one_for_each_trouble() {
    let ended = Scripted::showing(&five_nodes()).asked("mesh status");
    let expected = "\
Mesh      5 nodes: 4 alive, 1 suspect, 0 dead
Leader    gateway, for 12m
Here      gateway (role gateway, http://gateway:8000, up 14m)
Load      9 requests running

! worker-7f3a2c suspect for 6s: last heartbeat 21s ago; becomes dead in 9s
";
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (0, expected, "")
    );
}

#[test]
fn mesh_status_counts_one_as_one_and_says_what_a_silent_daemon_leaves_out() {
    let mut dead = ailing("old", "dead", 3700.0, "", "");
    (
        dead.reason,
        dead.next,
        dead.silent_seconds,
        dead.active_requests,
    ) = (None, None, 3730.0, 7);
    let mut seen = seen_by_gateway(vec![dead]);
    let mesh = seen.mesh.as_mut().expect("a mesh");
    (mesh.leader, mesh.draining) = (None, true);
    let expected = "\
Mesh      1 node: 0 alive, 0 suspect, 1 dead
Leader    none
Here      gateway (role gateway, http://gateway:8000, up 14m, draining)
Load      0 requests running

! old dead for 1h: last heartbeat 1h ago; forgotten if it stays silent
";
    assert_eq!(
        Scripted::showing(&seen).asked("mesh status").stdout,
        expected
    );
}

#[test]
fn mesh_status_says_which_seed_fails_while_nobody_was_met() {
    let expected = "\
Mesh      1 node: 1 alive, 0 suspect, 0 dead
Leader    none
Here      gateway (role gateway, http://gateway:8000, up 14m)
Load      0 requests running

! seed http://seed:8000 failing: connection refused; asked again until it answers
";
    assert_eq!(
        Scripted::showing(&alone()).asked("mesh status").stdout,
        expected
    );
}

#[test]
fn a_node_that_left_says_so_and_how_to_return() {
    let mut here = ailing(
        "gateway",
        "left",
        20.0,
        "last heartbeat 0s ago",
        "forgotten in 40s",
    );
    (here.here, here.draining, here.active_requests) = (true, true, 3);
    let mut seen = seen_by_gateway(vec![member("worker-1"), here]);
    let mesh = seen.mesh.as_mut().expect("a mesh");
    (mesh.left, mesh.leader) = (true, None);
    let daemon = Scripted::showing(&seen);
    let ended = daemon.asked("mesh status");
    let expected = "\
Mesh      left; astromeshctl mesh join brings this node back
Leader    none
Here      gateway (role gateway, http://gateway:8000, up 14m)
Load      0 requests running

! gateway left: it said goodbye; astromeshctl mesh join brings it back
";
    assert_eq!((ended.code, ended.stdout.as_str()), (0, expected));
    let expected = "  NAME      STATUS  SINCE  URL                   SERVICES  AGENTS  LOAD
> gateway   left      20s  http://gateway:8000   api       -       -
  worker-1  alive     14m  http://worker-1:8000  api       -       0 run, 2% cpu

! gateway left: it said goodbye; astromeshctl mesh join brings it back

As gateway sees it, which has left the mesh (no leader, > this node)
";
    assert_eq!(daemon.asked("mesh nodes").stdout, expected);
}

#[test]
fn mesh_nodes_shows_the_worst_first_then_by_name() {
    let ended = Scripted::showing(&five_nodes()).asked("mesh nodes");
    let expected = "  NAME           STATUS   SINCE  URL                     SERVICES      AGENTS          LOAD
  worker-7f3a2c  suspect     6s  http://172.18.0.6:8000  agents,tools  coder,research  3 run, 41% cpu
* gateway        alive      14m  http://gateway:8000     api,channels  -               4 run, 12% cpu
  inference      alive      14m  http://inference:8000   api           -               0 run, 2% cpu
  worker-1       alive      14m  http://worker-1:8000    api           -               0 run, 2% cpu
  worker-2       alive      14m  http://worker-2:8000    api           -               2 run, 2% cpu

! worker-7f3a2c suspect for 6s: last heartbeat 21s ago; becomes dead in 9s

As gateway sees it (* leader)
";
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (0, expected, "")
    );
}

#[test]
fn mesh_nodes_marks_this_node_where_another_leads_and_keeps_columns_straight_in_any_script() {
    let mut here = member("gateway");
    (here.here, here.draining) = (true, true);
    let mut leader = member("工作者");
    (leader.leader, leader.since_seconds) = (true, 180_000.0);
    let lost = ailing(
        "zoë",
        "suspect",
        1.0,
        "connection refused",
        "becomes dead in 14s",
    );
    let dead = ailing(
        "ännchen",
        "dead",
        59.0,
        "last heartbeat 89s ago",
        "forgotten in 1s",
    );
    let expected = "  NAME     STATUS   SINCE  URL                  SERVICES  AGENTS  LOAD
  ännchen  dead       59s  http://ännchen:8000  api       -       -
  zoë      suspect     1s  http://zoë:8000      api       -       0 run, 2% cpu
> gateway  alive      14m  http://gateway:8000  api       -       0 run, 2% cpu, draining
* 工作者   alive       2d  http://工作者:8000   api       -       0 run, 2% cpu

! ännchen dead for 59s: last heartbeat 89s ago; forgotten in 1s
! zoë suspect for 1s: connection refused; becomes dead in 14s

As gateway sees it (* leader, > this node)
";
    let seen = seen_by_gateway(vec![leader, lost, here, dead]);
    assert_eq!(
        Scripted::showing(&seen).asked("mesh nodes").stdout,
        expected
    );
}

#[test]
fn agents_list_names_the_carriers() {
    let carrier = |name: &str, status: &str| json!({"node_id": name, "name": name, "url": "http://x:1", "status": status});
    let body = json!({"agents": [
        {"name": "coder", "nodes": [carrier("worker-2", "suspect"), carrier("worker-1", "alive")]},
        {"name": "echo", "nodes": [carrier("worker-1", "alive")]},
        {"name": "lost", "nodes": [carrier("worker-2", "suspect")]},
    ]});
    let daemon = Scripted::saying(200, body.to_string());
    let expected = format!(
        "\
AGENT  NODES
lost   worker-2 (suspect)
coder  worker-1, worker-2 (suspect)
echo   worker-1

! lost: none of its nodes is alive; requests may fail until one is (astromeshctl mesh nodes)
! coder: not all its nodes are alive; the others take its requests (astromeshctl mesh nodes)

As {} sees it
",
        daemon.url()
    );
    assert_eq!(daemon.asked("agents list").stdout, expected);
    let empty = Scripted::saying(200, r#"{"agents":[]}"#);
    assert_eq!(
        empty.asked("agents list").stdout,
        format!("No agents, as {} sees it\n", empty.url())
    );
}

#[test]
fn agents_list_says_what_the_node_does_not_offer_and_why() {
    let body = json!({"agents": [], "withheld": [{"name": "coder", "reason": "its server does not answer"}]});
    let daemon = Scripted::saying(200, body.to_string());
    let expected = format!(
        "! coder: this node has it and does not offer it: its server does not answer\n\nAs {} sees it\n",
        daemon.url()
    );
    assert_eq!(daemon.asked("agents list").stdout, expected);
}

#[test]
fn run_says_which_tools_were_called() {
    let mut answer = answer("blue");
    answer["steps"] = json!([
        {"type": "model", "model": "m", "ms": 7},
        {"type": "tool", "tool": "weather", "arguments": {"city": "Rome"}, "ok": true, "result": "blue", "ms": 12},
        {"type": "tool", "tool": "slow", "arguments": {}, "ok": false, "result": "error: no answer within 5s", "ms": 5000},
    ]);
    let ended = Scripted::saying(200, answer.to_string()).asked("run echo hi");
    assert_eq!(ended.stdout, "blue\n");
    assert_eq!(
        ended.stderr,
        "it called weather {\"city\":\"Rome\"} (12 ms)\n\
         it called slow {} (5000 ms); error: no answer within 5s\n\
         worker-1 ran it (model echo, session s-1, 2 tokens)\n"
    );
}

fn answer(text: &str) -> Value {
    json!({"answer": text, "session_id": "s-1", "model": "echo", "steps": [], "node": "worker-1",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
}

#[test]
fn run_prints_the_answer_and_who_gave_it_apart() {
    let daemon = Scripted::saying(200, answer("hello,\n\tmesh").to_string());
    let mut run = program();
    run.args([
        "run",
        "a/b ü",
        "how are you?",
        "--session=s-1",
        "--url",
        &daemon.url(),
    ]);
    let ended = stage::Ended::from(run.output().expect("runs"));
    assert_eq!(ended.stdout, "hello,\n\tmesh\n");
    assert_eq!(
        ended.stderr,
        "worker-1 ran it (model echo, session s-1, 2 tokens)\n"
    );
    assert_eq!(
        daemon.heard(),
        [
            r#"POST /v1/agents/a%2Fb%20%C3%BC/run {"query":"how are you?","session_id":"s-1","stream":false}"#
        ]
    );
}

#[test]
fn leave_and_join_say_what_happened_and_how_to_undo_it() {
    let daemon = Scripted::saying(200, r#"{"status":"ok"}"#);
    let url = daemon.url();
    let left = format!("{url} has left the mesh; astromeshctl mesh join brings it back\n");
    assert_eq!(daemon.asked("mesh leave").stdout, left);
    let ended = daemon.asked("mesh leave --json");
    assert_eq!(
        ended.stdout,
        format!("{{\"left\":true,\"url\":\"{url}\"}}\n")
    );
    assert_eq!(
        daemon.heard(),
        [r#"POST /v1/mesh/leave {"node_id":"self"}"#; 2]
    );

    let daemon = Scripted::saying(200, r#"{"nodes":[],"leader_id":null,"version":7}"#);
    let url = daemon.url();
    assert_eq!(
        daemon.asked("mesh join").stdout,
        format!("{url} is in the mesh and sees 0 nodes\n")
    );
    let ended = daemon.asked("mesh join --json");
    assert_eq!(
        ended.stdout,
        format!("{{\"joined\":true,\"nodes\":0,\"url\":\"{url}\"}}\n")
    );
    assert_eq!(
        daemon.heard(),
        [r#"POST /v1/mesh/join {"node_id":"self"}"#; 2]
    );
}

#[test]
fn healthcheck_tells_readiness_but_is_not_decided_by_it() {
    let ready = |ready: bool, status: &str, detail: &str| {
        let body = json!({"ready": ready, "status": status, "conditions": [
            {"name": "traffic", "ok": true, "detail": "takes traffic"},
            {"name": "mesh", "ok": ready, "detail": detail}]});
        let readyz = stage::http(if ready { 200 } else { 503 }, body.to_string().as_bytes());
        Scripted::new(move |call| match call {
            "GET /healthz" => stage::http(200, b"{}"),
            "GET /readyz" => readyz.clone(),
            _ => stage::http(404, b"{}"),
        })
    };
    let ended = ready(true, "ready", "joined").asked("healthcheck");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "healthy and ready\n")
    );
    let joining = ready(
        false,
        "joining",
        "seed http://seed:8000: connection refused",
    );
    let ended = joining.asked("healthcheck");
    let expected = "healthy, not ready (joining): seed http://seed:8000: connection refused\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (0, expected));
    let report: Value =
        serde_json::from_str(&joining.asked("healthcheck --json").stdout).expect("JSON");
    assert_eq!(report["healthy"], true);
    assert_eq!(report["readiness"]["status"], "joining");
    assert_eq!(
        Scripted::saying(200, "").asked("healthcheck").stdout,
        "healthy\n"
    );
}

#[test]
fn json_is_the_daemons_own() {
    let body = String::from_utf8(stage::json(&five_nodes())).expect("UTF-8");
    let body = body.replacen('{', r#"{"later":{"z":1,"a":2.50},"#, 1);
    let daemon = Scripted::saying(200, body.clone());
    for line in ["mesh status --json", "--json mesh nodes"] {
        assert_eq!(daemon.asked(line).stdout, format!("{body}\n"), "{line}");
    }
    let body = answer("hi").to_string();
    let ended = Scripted::saying(200, body.clone()).asked("run echo hi --json");
    assert_eq!(ended.stdout, format!("{body}\n"));
    let body = r#"{"agents":[{"name":"echo","nodes":[]}]}"#;
    assert_eq!(
        Scripted::saying(200, body)
            .asked("agents list --json")
            .stdout,
        format!("{body}\n")
    );
}

#[test]
fn nothing_foreign_commands_the_terminal() {
    let wild = "\u{1b}[2J\u{9b}31m\u{7}\u{202e}";
    let mut seen = five_nodes();
    seen.node.name = wild.to_owned();
    let mesh = seen.mesh.as_mut().expect("a mesh");
    mesh.members[2].name = wild.to_owned();
    mesh.members[2].reason = Some(wild.to_owned());
    mesh.members[2].agents = vec![wild.to_owned()];
    let status = Scripted::showing(&seen);
    let answers = Scripted::saying(200, answer(wild).to_string());
    let refuses = Scripted::saying(409, json!({"detail": wild}).to_string());
    for (daemon, line) in [
        (&status, "mesh status"),
        (&status, "mesh nodes"),
        (&status, "mesh nodes --json"),
        (&answers, "run echo hi"),
        (&answers, "run echo hi --json"),
        (&refuses, "mesh leave"),
        (&answers, "agents list"),
    ] {
        let ended = daemon.asked(line);
        let printed = format!("{}{}", ended.stdout, ended.stderr);
        // An answer may be in any script, so it alone keeps its writing directions.
        let steers = |c| c == '\u{202e}' && line != "run echo hi";
        let obeyed = printed
            .chars()
            .find(|&c| c != '\n' && (c.is_control() || steers(c)));
        assert_eq!(obeyed, None, "{line}: {printed:?}");
        assert!(printed.contains("9b"), "{line}: {printed}");
    }
}

#[test]
fn colour_is_for_terminals_and_for_those_who_want_it() {
    let daemon = Scripted::showing(&five_nodes());
    let printed = |variables: &[(&str, &str)]| {
        let mut nodes = program();
        nodes
            .args(["mesh", "nodes", "--url", &daemon.url()])
            .envs(variables.iter().copied());
        stage::Ended::from(nodes.output().expect("runs")).stdout
    };
    assert!(!printed(&[]).contains('\u{1b}'));
    let coloured = printed(&[("CLICOLOR_FORCE", "1")]);
    assert!(
        coloured.contains("\u{1b}[33m  worker-7f3a2c"),
        "{coloured:?}"
    );
    assert_eq!(
        anstream::adapter::strip_str(&coloured).to_string(),
        printed(&[])
    );
}

#[test]
fn a_reader_that_stops_reading_is_no_trouble() {
    let daemon = Scripted::showing(&five_nodes());
    let mut nodes = program();
    nodes.args(["mesh", "nodes", "--url", &daemon.url()]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = nodes.stdout(writer).output().expect("runs");
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}
