//! What stands in front of the stand-ins, each as a process of its own: our gateway with static peers, HAProxy, nginx.

use anyhow::Context;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than any of them should take to listen, even on a busy machine.
const START: Duration = Duration::from_secs(10);

/// A program between client and node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing at all: the client asks the stand-ins themselves.
    Direct,
    /// Our daemon, with the stand-ins as static peers.
    Ours,
    /// HAProxy with `balance leastconn`.
    HaProxy {
        /// Whether it sets the header fields that ours does.
        with_our_headers: bool,
    },
    /// nginx with `least_conn`.
    Nginx,
}

/// One of them with so many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Which.
    pub kind: Kind,
    /// How many threads answer requests (workers, for nginx).
    pub threads: usize,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Its files, which go with it.
    _folder: TempDir,
}

/// An entrant that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it is asked; several for [`Kind::Direct`].
    pub addresses: Vec<SocketAddr>,
    /// `None` for [`Kind::Direct`].
    pub process: Option<Process>,
}

impl fmt::Display for Entrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::Direct => return f.write_str("direct"),
            Kind::Ours => "astromeshd",
            Kind::HaProxy {
                with_our_headers: false,
            } => "HAProxy leastconn",
            Kind::HaProxy {
                with_our_headers: true,
            } => "HAProxy, with our headers",
            Kind::Nginx => "nginx least_conn",
        };
        let threads = if self.threads == 1 {
            "thread"
        } else {
            "threads"
        };
        write!(f, "{name}, {} {threads}", self.threads)
    }
}

impl Kind {
    /// The program's file; `None` where it is not installed.
    pub fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Direct => return None,
            Self::Ours => return beside("astromeshd"),
            Self::HaProxy { .. } => "haproxy",
            Self::Nginx => "nginx",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        let mut folders = std::env::split_paths(&path).chain(usual);
        folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
    }
}

/// A program of ours, built beside this one.
fn beside(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.with_file_name(name)).filter(|file| file.is_file())
}

impl Entrant {
    /// Starts it in front of the nodes at these ports of loopback; returns once it listens.
    ///
    /// # Errors
    /// Where it is not installed, or does not listen in time.
    pub fn start(self, nodes: &[u16]) -> anyhow::Result<Running> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        if self.kind == Kind::Direct {
            return Ok(Running {
                addresses: nodes.iter().copied().map(address).collect(),
                process: None,
            });
        }
        let program = self.kind.program();
        let program = program.with_context(|| format!("{self} is not to be found"))?;
        let port = free_port()?;
        let folder = TempDir::new()?;
        let settings = folder.path().join(match self.kind {
            Kind::Ours => "runtime.yaml",
            _ => "settings",
        });
        std::fs::write(&settings, self.settings(port, nodes, folder.path()))?;
        let mut command = Command::new(program);
        match self.kind {
            Kind::Ours => command.arg("--config").arg(folder.path()),
            Kind::HaProxy { .. } => command.arg("-db").arg("-f").arg(settings),
            Kind::Nginx | Kind::Direct => command.arg("-c").arg(settings),
        };
        let log = folder.path().join("log");
        let stderr = std::fs::File::create(&log)?;
        let process = Process {
            child: command.stdout(Stdio::null()).stderr(stderr).spawn()?,
            _folder: folder,
        };
        listens(address(port)).with_context(|| {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            format!("{self} does not listen; it says {said:?}")
        })?;
        Ok(Running {
            addresses: vec![address(port)],
            process: Some(process),
        })
    }

    fn settings(self, port: u16, nodes: &[u16], folder: &Path) -> String {
        match self.kind {
            Kind::HaProxy { with_our_headers } => haproxy(self, port, nodes, with_our_headers),
            Kind::Nginx => nginx(self, port, nodes, folder),
            Kind::Ours | Kind::Direct => ours(self, port, nodes),
        }
    }
}

fn ours(entrant: Entrant, port: u16, nodes: &[u16]) -> String {
    let peers: String = nodes
        .iter()
        .map(|node| format!("    - {{name: node-{node}, url: \"http://127.0.0.1:{node}\"}}\n"))
        .collect();
    let threads = entrant.threads;
    format!(
        "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {{name: gateway}}\nspec:\n  \
         api: {{host: 127.0.0.1, port: {port}, threads: {threads}}}\n  services: {{agents: false}}\n  \
         limits: {{connections: 16384}}\n  mesh: {{node_name: gateway}}\n  peers:\n{peers}"
    )
}

fn haproxy(entrant: Entrant, port: u16, nodes: &[u16], with_our_headers: bool) -> String {
    let servers: String = nodes
        .iter()
        .map(|node| format!("    server node-{node} 127.0.0.1:{node}\n"))
        .collect();
    let rules = if with_our_headers { OUR_HEADERS } else { "" };
    let threads = entrant.threads;
    format!(
        "global\n    nbthread {threads}\n    maxconn 8192\ndefaults\n    mode http\n    timeout connect 2s\n    \
         timeout client 60s\n    timeout server 60s\n    http-reuse always\nfrontend gateway\n    \
         bind 127.0.0.1:{port}\n{rules}    default_backend nodes\nbackend nodes\n    balance leastconn\n{servers}"
    )
}

/// What our gateway adds to each request and each answer, in HAProxy's words.
const OUR_HEADERS: &str = "    unique-id-format %[uuid()]
    http-request set-header x-request-id %[unique-id] unless { req.hdr(x-request-id) -m found }
    http-request set-var(txn.id) req.hdr(x-request-id)
    option forwardfor
    http-request add-header via \"1.1 haproxy\"
    http-request set-header x-astromesh-hops 1
    http-request set-header x-astromesh-node-id 6f1c2b8e-53a9-4a9e-9c0e-0d6f2f7a41b3
    http-response add-header via \"1.1 haproxy\"
    http-response set-header x-astromesh-node gateway
    http-response set-header x-request-id %[var(txn.id)]
    http-response set-header x-astromesh-attempts 1
    http-response set-header x-astromesh-overhead-ms %Tr
    http-response set-header x-astromesh-routed-to %s
";

fn nginx(entrant: Entrant, port: u16, nodes: &[u16], folder: &Path) -> String {
    let servers: String = nodes
        .iter()
        .map(|node| format!("server 127.0.0.1:{node}; "))
        .collect();
    let (folder, workers) = (folder.display(), entrant.threads);
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind}; "))
        .concat();
    format!(
        "worker_processes {workers};\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/log crit;\n\
         events {{ worker_connections 16384; }}\nhttp {{\n  access_log off; {places}\n  keepalive_requests 100000000;\n  \
         upstream nodes {{ zone nodes 128k; least_conn; {servers} keepalive 128; keepalive_requests 100000000; }}\n  \
         server {{\n    listen 127.0.0.1:{port};\n    location / {{ proxy_pass http://nodes; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }}\n  }}\n}}\n"
    )
}

impl Process {
    /// A process that runs `command`, and has `folder` for its files.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let _folder = TempDir::new()?;
        let child = command.spawn()?;
        Ok(Self { child, _folder })
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The number of one that has ended may be another's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // nginx takes its workers along only when it is asked to stop.
        let mut ask = Command::new("kill");
        drop(ask.arg("-TERM").arg(self.pid().to_string()).status());
        let deadline = Instant::now() + Duration::from_millis(300);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}

/// A port of loopback that nobody has at this moment.
///
/// # Errors
/// Where there is none.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until somebody listens there.
///
/// # Errors
/// Where nobody does in time.
pub fn listens(address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(Instant::now() < deadline, "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
