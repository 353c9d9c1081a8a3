//! What the tests stand on: the built program, a daemon that says what it is told to, and bodies for it to say.

#![allow(dead_code, unreachable_pub)] // each test file uses a part, as a module of its own

use astromesh_core::api::{
    LeaderStatus, MemberStatus, MeshStatus, NodeStatus, RequestStatus, SeedStatus, SessionStatus,
    SystemStatus,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// What the program printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// The program, with no variable of ours set.
pub fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_astromeshctl"));
    for name in [
        "ASTROMESH_URL",
        "ASTROMESH_PORT",
        "ASTROMESH_AUTO_CONFIG",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
    ] {
        program.env_remove(name);
    }
    program
}

/// Runs the program with these arguments, split at spaces.
pub fn typed(line: &str) -> Ended {
    program()
        .args(line.split_whitespace())
        .output()
        .expect("runs")
        .into()
}

/// A daemon that answers from a script: the bytes for a request are what `script` returns for its first line.
pub struct Scripted {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Answers every request with what `script` makes of `GET /path`.
    pub fn new(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::at(0, script)
    }

    /// The same at a port of one's choice.
    pub fn at(port: u16, script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                std::thread::spawn(move || serve(&stream.expect("accepted"), &*script, &log));
            }
        });
        Self { port, heard }
    }

    /// Answers every request with this.
    pub fn saying(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let answer = http(status, &body.into());
        Self::new(move |_| answer.clone())
    }

    /// Answers every request with this body and 200.
    pub fn showing(status: &SystemStatus) -> Self {
        Self::saying(200, json(status))
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests so far: `METHOD /path body`.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("unpoisoned").clone()
    }

    /// Runs the program against this daemon.
    pub fn asked(&self, line: &str) -> Ended {
        let mut program = program();
        program
            .env("ASTROMESH_URL", self.url())
            .args(line.split_whitespace());
        program.output().expect("runs").into()
    }
}

fn serve(
    stream: &TcpStream,
    script: &dyn Fn(&str) -> Vec<u8>,
    log: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let call = line.rsplit_once(' ')?.0.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader
                .read_line(&mut header)
                .ok()
                .filter(|&read| read > 0)?;
            match header.trim().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().ok()?,
                Some(_) => (),
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let said = format!("{call} {}", String::from_utf8_lossy(&body));
        log.lock().ok()?.push(said.trim_end().to_owned());
        { stream }.write_all(&script(&call)).ok()?;
    }
}

/// A whole answer.
pub fn http(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}

/// A member that is alive and idle.
pub fn member(name: &str) -> MemberStatus {
    MemberStatus {
        node_id: format!("id-of-{name}"),
        name: name.to_owned(),
        url: format!("http://{name}:8000"),
        status: "alive".to_owned(),
        since_seconds: 840.0,
        silent_seconds: 0.4,
        draining: false,
        leader: false,
        here: false,
        services: vec!["api".to_owned()],
        agents: Vec::new(),
        cpu_percent: 2.0,
        memory_percent: 10.0,
        active_requests: 0,
        reason: None,
        next: None,
    }
}

/// A member that is not alive, with what the daemon says of it.
pub fn ailing(name: &str, status: &str, since: f64, reason: &str, next: &str) -> MemberStatus {
    MemberStatus {
        status: status.to_owned(),
        since_seconds: since,
        reason: Some(reason.to_owned()),
        next: Some(next.to_owned()),
        ..member(name)
    }
}

/// What the node `gateway`, which leads, says of these members.
pub fn seen_by_gateway(members: Vec<MemberStatus>) -> SystemStatus {
    SystemStatus {
        node: NodeStatus {
            name: "gateway".to_owned(),
            role: "gateway".to_owned(),
            url: "http://gateway:8000".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_seconds: 859.0,
            services: vec!["api".to_owned(), "channels".to_owned()],
            agents: Vec::new(),
            withheld: Vec::new(),
            sessions: SessionStatus::default(),
        },
        requests: RequestStatus {
            active: 4,
            forwarded: 0,
            total: BTreeMap::new(),
            turned_away: BTreeMap::new(),
        },
        mesh: Some(MeshStatus {
            node_id: "id-of-gateway".to_owned(),
            joined: true,
            left: false,
            draining: false,
            leader: Some(LeaderStatus {
                node_id: "id-of-gateway".to_owned(),
                name: "gateway".to_owned(),
                since_seconds: 725.0,
            }),
            seeds: Vec::new(),
            members,
            counters: BTreeMap::new(),
        }),
        peers: Vec::new(),
        providers: Vec::new(),
    }
}

/// The mesh of the handbook: five nodes, one of them suspect.
pub fn five_nodes() -> SystemStatus {
    let words = |text: &str| text.split(',').map(str::to_owned).collect();
    let gateway = MemberStatus {
        leader: true,
        here: true,
        services: words("api,channels"),
        cpu_percent: 12.4,
        active_requests: 4,
        ..member("gateway")
    };
    let suspect = MemberStatus {
        url: "http://172.18.0.6:8000".to_owned(),
        services: words("agents,tools"),
        agents: words("coder,research"),
        cpu_percent: 41.0,
        active_requests: 3,
        ..ailing(
            "worker-7f3a2c",
            "suspect",
            6.2,
            "last heartbeat 21s ago",
            "becomes dead in 9s",
        )
    };
    let busy = MemberStatus {
        active_requests: 2,
        ..member("worker-2")
    };
    seen_by_gateway(vec![
        gateway,
        member("worker-1"),
        suspect,
        busy,
        member("inference"),
    ])
}

/// The same as seen by a node that has met nobody.
pub fn alone() -> SystemStatus {
    let here = MemberStatus {
        here: true,
        ..member("gateway")
    };
    let mut seen = seen_by_gateway(vec![here]);
    let mesh = seen.mesh.as_mut().expect("a mesh");
    mesh.joined = false;
    mesh.leader = None;
    mesh.seeds = vec![SeedStatus {
        url: "http://seed:8000".to_owned(),
        status: "failing".to_owned(),
        reason: Some("connection refused".to_owned()),
        addresses: Vec::new(),
    }];
    seen
}

/// The same with the mesh off.
pub fn mesh_off() -> SystemStatus {
    SystemStatus {
        mesh: None,
        ..seen_by_gateway(Vec::new())
    }
}
