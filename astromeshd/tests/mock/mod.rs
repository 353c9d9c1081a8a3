//! A provider of models whose every word is scripted: it can answer, delay, stream, cut and say nonsense.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use astromesh_core::settings::{Environment, Flags, Settings};
use astromeshd::Daemon;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What it does for a request, in order; then it reads the next one.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends this.
    Say(Vec<u8>),
    /// Does nothing for so long.
    Wait(Duration),
    /// Goes on when the test says so.
    Await,
    /// Closes the connection.
    Cut,
    /// Does nothing until the other side closes, which is counted.
    Hang,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Came {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Shared {
    list: Mutex<Vec<Step>>,
    script: Mutex<Vec<Step>>,
    came: Mutex<Vec<Came>>,
    closed: AtomicUsize,
    listed: AtomicUsize,
}

/// The provider. It ends with the test.
#[derive(Clone)]
pub(crate) struct Mock {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    signal: Arc<Semaphore>,
}

impl Mock {
    /// One that lists these models.
    pub(crate) async fn with(models: &[&str]) -> Self {
        let (mock, listener) = Self::bound(models).await;
        let serving = mock.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        mock
    }

    /// The same over TLS.
    pub(crate) async fn with_tls(models: &[&str], tls: TlsAcceptor) -> Self {
        let (mock, listener) = Self::bound(models).await;
        let serving = mock.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serving, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        serving.serve(stream).await;
                    }
                });
            }
        });
        mock
    }

    async fn bound(models: &[&str]) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mock = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::default(),
            signal: Arc::new(Semaphore::new(0)),
        };
        mock.lists(models);
        (mock, listener)
    }

    /// From now on it lists these.
    pub(crate) fn lists(&self, models: &[&str]) {
        let data: Vec<_> = models
            .iter()
            .map(|id| json!({"id": id, "object": "model"}))
            .collect();
        self.lists_as(vec![answer(
            200,
            &json!({"object": "list", "data": data}).to_string(),
        )]);
    }

    /// From now on it does this when it is asked for its list.
    pub(crate) fn lists_as(&self, steps: Vec<Step>) {
        *self.shared.list.lock().unwrap() = steps;
    }

    /// From now on it does this for each request.
    pub(crate) fn does(&self, steps: Vec<Step>) {
        *self.shared.script.lock().unwrap() = steps;
    }

    /// Lets it go on past one [`Step::Await`].
    pub(crate) fn go_on(&self) {
        self.signal.add_permits(1);
    }

    /// The requests that came, those for its list left out.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.shared.came.lock().unwrap().clone()
    }

    /// The only one.
    pub(crate) fn only(&self) -> Came {
        let came = self.came();
        assert_eq!(came.len(), 1, "{came:?}");
        came[0].clone()
    }

    /// How many connections were closed by the other side while it hung.
    pub(crate) fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// How often it was asked for its list.
    pub(crate) fn listed(&self) -> usize {
        self.shared.listed.load(Ordering::SeqCst)
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut buffer = Vec::new();
        while let Some(came) = read(&mut stream, &mut buffer).await {
            let is_list = came.path.split('?').next().unwrap().ends_with("/models");
            let steps = if is_list {
                self.shared.listed.fetch_add(1, Ordering::SeqCst);
                self.shared.list.lock().unwrap().clone()
            } else {
                self.shared.came.lock().unwrap().push(came);
                self.shared.script.lock().unwrap().clone()
            };
            for step in steps {
                match step {
                    Step::Say(bytes) => drop(stream.write_all(&bytes).await),
                    Step::Wait(time) => tokio::time::sleep(time).await,
                    Step::Await => self.signal.acquire().await.unwrap().forget(),
                    Step::Cut => return,
                    Step::Hang => {
                        drop(stream.read(&mut [0; 64]).await);
                        self.shared.closed.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
            }
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Came> {
    loop {
        if let Some((came, end)) = parsed(buffer) {
            buffer.drain(..end);
            return Some(came);
        }
        let mut part = [0; 16 * 1_024];
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => buffer.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
}

fn parsed(bytes: &[u8]) -> Option<(Came, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(end..end + length)?.to_vec();
    Some((
        Came {
            path,
            headers,
            body,
        },
        end + length,
    ))
}

/// A whole answer of JSON.
pub(crate) fn answer(status: u16, body: &str) -> Step {
    answer_with(status, "", body)
}

/// The same with more in its head, each line with its end.
pub(crate) fn answer_with(status: u16, head: &str, body: &str) -> Step {
    let length = body.len();
    Step::Say(
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{head}\r\n{body}")
            .into_bytes(),
    )
}

/// The head of a stream of events.
pub(crate) fn stream() -> Step {
    Step::Say(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec(),
    )
}

/// A part of a stream.
pub(crate) fn part(text: &str) -> Step {
    Step::Say(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The end of a stream.
pub(crate) fn end() -> Step {
    Step::Say(b"0\r\n\r\n".to_vec())
}

/// Events as OpenAI sends them, to the end.
pub(crate) fn chunks(chunks: &[Value]) -> Vec<Step> {
    let parts = chunks
        .iter()
        .map(|chunk| part(&format!("data: {chunk}\n\n")));
    let done = part("data: [DONE]\n\n");
    [stream()]
        .into_iter()
        .chain(parts)
        .chain([done, end()])
        .collect()
}

/// Events as Anthropic sends them, to the end.
pub(crate) fn named_events(events: &[Value]) -> Vec<Step> {
    let parts = events.iter().map(|event| {
        part(&format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        ))
    });
    [stream()].into_iter().chain(parts).chain([end()]).collect()
}

/// Settings from a file with that spec and these variables, on a free port of this machine.
pub(crate) fn settings(name: &str, spec: &str, variables: &[(&str, &str)]) -> Settings {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("runtime.yaml");
    let spec = spec.trim().replace('\n', "\n  ");
    let text = format!(
        "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {{name: test}}\nspec:\n  {spec}\n"
    );
    std::fs::write(&path, text).unwrap();
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    let named = Environment::empty().with("ASTROMESH_NODE_NAME", name);
    let environment = variables
        .iter()
        .fold(named, |all, (name, value)| all.with(name, value));
    let mut settings = Settings::load(&flags, &environment).unwrap();
    settings.api.host = Ipv4Addr::LOCALHOST.into();
    settings.api.port = 0;
    settings
}

/// A node with these providers, each in YAML, and these variables.
pub(crate) async fn node(providers: &[String], variables: &[(&str, &str)]) -> Daemon {
    node_with("defaults: {echo: false}", providers, variables).await
}

/// The same with more in its spec.
pub(crate) async fn node_with(
    spec: &str,
    providers: &[String],
    variables: &[(&str, &str)],
) -> Daemon {
    let spec = format!("{spec}\nproviders: [{}]", providers.join(", "));
    Daemon::start(settings("solo", &spec, variables))
        .await
        .unwrap()
}

/// One that speaks as OpenAI does, in YAML, with the key that is in `KEY`.
pub(crate) fn openai(name: &str, mock: &Mock) -> String {
    format!(
        "{{name: {name}, base_url: 'http://{}/v1', api_key_env: KEY}}",
        mock.address
    )
}

/// One that speaks as Anthropic does, likewise.
pub(crate) fn anthropic(name: &str, mock: &Mock) -> String {
    format!(
        "{{name: {name}, type: anthropic, base_url: 'http://{}', api_key_env: KEY}}",
        mock.address
    )
}

pub(crate) const KEY: (&str, &str) = ("KEY", "sk-canary-7f3a");
