//! How each command ends: every exit code, and that nothing stands on stdout after an error.

mod stage;

use stage::{
    Ended, Scripted, ailing, alone, five_nodes, http, json, member, mesh_off, seen_by_gateway,
    typed,
};
use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A place where nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

const ALL: [&str; 6] = [
    "mesh status",
    "mesh nodes",
    "mesh leave",
    "mesh join",
    "agents list",
    "run echo hi",
];

/// Asserts that a command failed with this code and a complaint with these words in it.
fn failed(ended: &Ended, code: i32, words: &[&str], about: &str) {
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (code, ""),
        "{about}: {ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{about}: {ended:?}");
    assert!(
        ended.stderr.starts_with("astromeshctl: "),
        "{about}: {ended:?}"
    );
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{about}: {word:?} in {ended:?}"
        );
    }
}

/// As in a container with a mounted configuration, where no variable says which port that has.
#[test]
fn the_file_of_the_daemon_beside_it_says_where_to_ask() {
    let folder = tempfile::tempdir().expect("a folder");
    let file =
        "apiVersion: astromesh/v1\nkind: RuntimeConfig\nspec: {api: {host: 127.0.0.1, port: 1}}\n";
    std::fs::write(folder.path().join("runtime.yaml"), file).expect("it can be written");
    let asked = |variables: &[(&str, &str)]| {
        let mut program = stage::program();
        program
            .args(["mesh", "status"])
            .envs(variables.iter().copied())
            .current_dir(folder.path());
        Ended::from(program.output().expect("runs"))
    };
    failed(&asked(&[]), 3, &[NOBODY], "the file's port");
    let other = ("ASTROMESH_PORT", "2");
    failed(&asked(&[other]), 3, &["http://127.0.0.1:2"], "the variable");
    let ignored = [other, ("ASTROMESH_AUTO_CONFIG", "false")];
    failed(&asked(&ignored), 3, &[NOBODY], "out of force");
}

#[test]
fn a_stopped_daemon_is_3_and_says_where_it_should_be() {
    for line in ALL {
        let ended = typed(&format!("{line} --url {NOBODY}"));
        let words = [
            NOBODY,
            "connection refused",
            "is astromeshd running there?",
            "--url",
        ];
        failed(&ended, 3, &words, line);
    }
    let ended = typed(&format!("healthcheck --url {NOBODY}"));
    failed(&ended, 1, &[NOBODY, "connection refused"], "healthcheck");
    let ended = typed("mesh status --url http://no-such-host.invalid:80");
    failed(
        &ended,
        3,
        &["http://no-such-host.invalid:80"],
        "an unknown name",
    );
}

#[test]
fn a_daemon_that_says_nothing_is_3_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    for line in ALL {
        let start = Instant::now();
        let ended = typed(&format!("{line} --timeout 0.2 --url {url}"));
        failed(&ended, 3, &[&url, "within 0.2s"], line);
        assert!(start.elapsed() < Duration::from_secs(3), "{line}");
    }
    let ended = typed(&format!("healthcheck --timeout=0.2 --url={url}"));
    failed(&ended, 1, &["within 0.2s"], "healthcheck");
    let ended = typed(&format!("mesh leave --timeout=0.2 --url={url}"));
    failed(&ended, 3, &["may be leaving still"], "leave");
}

#[test]
fn a_daemon_that_hangs_up_is_3() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.expect("accepted").read(&mut [0; 16_384]);
        }
    });
    failed(
        &typed(&format!("mesh status --url {url}")),
        3,
        &[&url],
        "hung up",
    );
}

#[test]
fn a_refusal_is_1_with_the_daemons_reason() {
    for (status, body, words) in [
        (
            404,
            r#"{"detail":"no agent \"echo\""}"#,
            ["status 404", "no agent \"echo\""],
        ),
        (
            503,
            r#"{"detail":"No available node provides echo"}"#,
            ["status 503", "No available node"],
        ),
        (500, "oops <html>", ["status 500", "oops <html>"]),
        (403, "", ["status 403", "an empty body"]),
        (429, r#"{"error":1}"#, ["status 429", r#"{"error":1}"#]),
    ] {
        let daemon = Scripted::saying(status, body);
        for line in ALL {
            for line in [line.to_owned(), format!("{line} --json")] {
                failed(
                    &daemon.asked(&line),
                    1,
                    &[&words[..], &[daemon.url().as_str()]].concat(),
                    &line,
                );
            }
        }
        failed(&daemon.asked("healthcheck"), 1, &words, "healthcheck");
    }
}

#[test]
fn what_is_not_a_daemon_is_1_and_is_called_so() {
    let array = format!("[{}]", "1,".repeat(50_000));
    for (what, body) in [
        ("an empty body", ""),
        ("no JSON", "<html>It works!</html>"),
        ("cut JSON", r#"{"node":"#),
        ("other JSON", r#"{"status":"running","agents":1}"#),
        ("a long body", array.as_str()),
        ("null", "null"),
    ] {
        let other = Scripted::saying(200, body);
        for line in ALL {
            let ended = other.asked(line);
            failed(
                &ended,
                1,
                &["not as astromeshd does", &other.url()],
                &format!("{line}: {what}"),
            );
            assert!(ended.stderr.len() < 1_000, "{line}: {what}");
        }
    }
    let moved = Scripted::saying(302, "");
    failed(
        &moved.asked("mesh status"),
        1,
        &["status 302"],
        "redirected",
    );
    let raw = Scripted::saying(200, b"\xff\xfe".as_slice());
    failed(
        &raw.asked("mesh nodes"),
        1,
        &["not as astromeshd does"],
        "not UTF-8",
    );
}

#[test]
fn what_does_not_speak_http_is_3() {
    let garbage = Scripted::new(|_| b"220 mail.example.org ESMTP\r\n\r\n".to_vec());
    failed(
        &garbage.asked("mesh status"),
        3,
        &["broke off", "is it astromeshd?"],
        "SMTP",
    );
}

#[test]
fn a_body_without_end_is_given_up() {
    let endless = Scripted::new(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
        [head.as_slice(), &vec![b' '; 80 << 20]].concat()
    });
    failed(
        &endless.asked("mesh status"),
        3,
        &["longer than"],
        "endless",
    );
}

#[test]
fn a_mesh_that_is_off_is_5() {
    let off = Scripted::new(|call| match call {
        "GET /v1/system/status" => http(200, &json(&mesh_off())),
        _ => http(503, br#"{"detail":"Mesh not enabled on this node"}"#),
    });
    for line in [
        "mesh status",
        "mesh status --check",
        "mesh status --wait 2",
        "mesh nodes",
        "mesh leave",
        "mesh join",
    ] {
        for line in [line.to_owned(), format!("{line} --json")] {
            failed(
                &off.asked(&line),
                5,
                &[&off.url(), "ASTROMESH_MESH_ENABLED=true"],
                &line,
            );
        }
    }
}

#[test]
fn check_is_4_where_a_member_is_not_alive_and_the_answer_stands() {
    let dead = ailing(
        "a",
        "dead",
        1.0,
        "last heartbeat 31s ago",
        "forgotten in 59s",
    );
    let mut left = seen_by_gateway(Vec::new());
    left.mesh.as_mut().expect("a mesh").left = true;
    for (seen, words) in [
        (five_nodes(), "1 of 5 members not alive"),
        (seen_by_gateway(vec![dead]), "1 of 1 member not alive"),
        (alone(), "has not met the mesh yet"),
        (left, "has left the mesh"),
    ] {
        let daemon = Scripted::showing(&seen);
        let plain = daemon.asked("mesh status");
        let ended = daemon.asked("mesh status --check");
        assert_eq!((plain.code, ended.code), (0, 4), "{words}");
        assert_eq!(ended.stdout, plain.stdout);
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert_eq!(daemon.asked("mesh status --check --json").code, 4);
    }
    let well = Scripted::showing(&seen_by_gateway(vec![member("a"), member("b")]));
    let ended = well.asked("mesh status --check");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn wait_returns_when_enough_are_alive() {
    let looks = AtomicUsize::new(0);
    let daemon = Scripted::new(move |_| {
        // Starting, then busy, then growing by a member a look.
        let members = ["a", "b", "c"].map(member);
        match looks.fetch_add(1, Ordering::Relaxed) {
            0 => http(503, br#"{"detail":"starting"}"#),
            look => http(
                200,
                &json(&seen_by_gateway(members[..look.min(3)].to_vec())),
            ),
        }
    });
    let ended = daemon.asked("mesh status --wait 3 --timeout 20");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert!(
        ended.stdout.starts_with("Mesh      3 nodes: 3 alive"),
        "{ended:?}"
    );
    assert_eq!(daemon.heard().len(), 4);
}

#[test]
fn wait_that_runs_out_is_4_and_shows_what_there_is() {
    let daemon = Scripted::showing(&five_nodes());
    let ended = daemon.asked("mesh status --wait=5 --timeout=0.6");
    assert_eq!(ended.code, 4);
    assert!(
        ended.stdout.starts_with("Mesh      5 nodes: 4 alive"),
        "{ended:?}"
    );
    assert_eq!(
        ended.stderr,
        "astromeshctl: 4 of 5 nodes alive after 0.6s; --timeout waits longer\n"
    );
    let ended = daemon.asked("mesh status --wait 4 --check --timeout 0.6");
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (4, "astromeshctl: 1 of 5 members not alive\n")
    );
    assert_eq!(daemon.asked("mesh status --wait 4 --timeout 0.6").code, 0);
}

#[test]
fn wait_for_a_daemon_that_never_comes_is_3() {
    let ended = typed(&format!(
        "mesh status --wait 1 --timeout 0.6 --url {NOBODY}"
    ));
    failed(&ended, 3, &[NOBODY, "connection refused"], "nobody comes");
}

#[test]
fn wait_sees_a_daemon_that_starts_later() {
    let early = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = early.local_addr().expect("bound").port();
    let line = format!("mesh status --wait 1 --timeout 20 --url http://127.0.0.1:{port}");
    let waiting = std::thread::spawn(move || typed(&line));
    // It has tried once, in vain, before the daemon is there.
    drop(early.accept().expect("a first try"));
    drop(early);
    let _daemon = Scripted::at(port, |_| {
        http(200, &json(&seen_by_gateway(vec![member("a")])))
    });
    assert_eq!(waiting.join().expect("ends").code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_1() {
    let daemon = Scripted::showing(&five_nodes());
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("opens");
    let mut status = stage::program();
    status
        .args(["mesh", "status", "--url", &daemon.url()])
        .stdout(full);
    let ended = Ended::from(status.output().expect("runs"));
    failed(&ended, 1, &["cannot write the answer"], "a full disk");
}
