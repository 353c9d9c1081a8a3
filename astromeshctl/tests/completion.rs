//! What shells are told of this command line is what it takes.

mod stage;

use stage::typed;
use std::process::{Command, Stdio};

fn script(shell: &str) -> String {
    let ended = typed(&format!("completion {shell}"));
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{shell}");
    ended.stdout
}

/// What bash would offer after these words.
fn offered(words: &[&str]) -> Vec<String> {
    let ask = format!(
        "COMP_WORDS=(astromeshctl {} ''); COMP_CWORD={}; _astromeshctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() + 1
    );
    let text = format!("{}\n{ask}\n", script("bash"));
    let output = Command::new("bash")
        .args(["--norc", "-c", &text])
        .output()
        .expect("bash runs");
    assert!(output.stderr.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_and_their_options() {
    for (words, some) in [
        (
            &[][..],
            &["mesh", "agents", "run", "completion", "--json"][..],
        ),
        (
            &["mesh"],
            &["status", "nodes", "leave", "join", "watch", "forget"],
        ),
        (&["mesh", "status"], &["--check", "--wait"]),
        (&["run"], &["--session"]),
    ] {
        let offered = offered(words);
        for one in some {
            assert!(offered.iter().any(|o| o == one), "{words:?}: {offered:?}");
        }
    }
}

#[test]
fn every_shell_can_read_what_it_is_told() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef"),
        ("fish", "complete -c"),
    ] {
        let script = script(shell);
        assert!(
            script.contains(word) && script.contains("healthcheck"),
            "{script}"
        );
        let reads = Command::new(shell)
            .args(["-n", "/dev/stdin"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        // Not every machine has every shell.
        let Ok(mut reads) = reads else { continue };
        let mut to = reads.stdin.take().expect("piped");
        std::io::Write::write_all(&mut to, script.as_bytes()).expect("it reads");
        drop(to);
        let output = reads.wait_with_output().expect("it ends");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{shell}: {output:?}"
        );
    }
}

#[test]
fn another_shell_is_refused_by_name() {
    let ended = typed("completion nu");
    assert_eq!((ended.code, &*ended.stdout), (2, ""));
    assert!(ended.stderr.contains("nu"), "{}", ended.stderr);
}
