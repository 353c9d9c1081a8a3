//! One real daemon: how it is started, asked, followed, hurt and ended.

use super::findings::Failure;
use astromesh_core::api::{MeshEvent, MeshStatus, SystemStatus};
use astromesh_core::http::{Answer, Client, Stream};
use hyper::{HeaderMap, Method};
use maia::address::Url;
use serde_json::Value;
use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::time::sleep;

/// Longer than a start should take, even on a busy machine or with hardly any processor time.
const START: Duration = Duration::from_secs(30);

/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// How to start one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) name: String,
    /// Its address, for others and for us.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands between the braces of `api:`.
    pub(crate) api: String,
    /// What stands between the braces of `mesh:`, besides name and seeds.
    pub(crate) mesh: String,
    pub(crate) seeds: Vec<String>,
    /// Words before the command that put it where it belongs: a namespace.
    pub(crate) place: Vec<String>,
    /// `NAME=value` for its environment, which is empty otherwise.
    pub(crate) variables: Vec<String>,
    /// A line for `sh` that is run before, in the daemon's folder, and has `"$@"` for the daemon's own command.
    pub(crate) script: Option<String>,
    /// Whether nobody reads its events: for those whose cost is counted.
    pub(crate) in_peace: bool,
}

impl Setup {
    fn command(&self, program: &std::path::Path) -> Command {
        let mut words = self.place.clone();
        words.extend(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"].map(str::to_owned));
        words.extend(self.variables.iter().cloned());
        if let Some(script) = &self.script {
            words.extend(["sh", "-c", script, "sh"].map(str::to_owned));
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    fn configuration(&self) -> String {
        let Self {
            name, api, mesh, ..
        } = self;
        let seeds = self.seeds.join(", ");
        format!(
            "apiVersion: astromesh/v1\nkind: RuntimeConfig\nmetadata: {{name: full}}\nspec:\n  api: {{{api}}}\n  mesh: {{enabled: true, node_name: {name}, seeds: [{seeds}], {mesh}}}\n"
        )
    }
}

/// A daemon in a process of its own, which is killed when this is dropped.
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) url: Url,
    client: Client,
    child: Child,
    folder: TempDir,
    events: Arc<Mutex<Vec<MeshEvent>>>,
    /// How far its wall clock is ahead of this machine's, in seconds.
    pub(crate) clock_ahead: f64,
}

/// A clock that seems to be wrong by less, in seconds, is this machine's: the first event was read so late.
const READ_LATE: f64 = 1.0;

impl Daemon {
    /// Starts it; returns once it answers.
    pub(crate) async fn start(program: &std::path::Path, setup: &Setup) -> Result<Self, Failure> {
        let mut daemon = Self::spawn(program, setup)?;
        daemon.greet().await?;
        if !setup.in_peace {
            daemon.follow().await?;
        }
        Ok(daemon)
    }

    /// Starts it, and does not wait for it.
    pub(crate) fn spawn(program: &std::path::Path, setup: &Setup) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("runtime.yaml"), setup.configuration())?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = setup.command(program);
        command.arg("--config").arg(folder.path());
        let command = command.current_dir(folder.path()).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(log).spawn()?;
        let url = Url::new(&format!("http://{}:{}", setup.host, setup.port));
        Ok(Self {
            name: setup.name.clone(),
            id: String::new(),
            url: url.map_err(|error| error.to_string())?,
            client: Client::new(ANSWER),
            child,
            folder,
            events: Arc::default(),
            clock_ahead: 0.0,
        })
    }

    /// Waits for its first answer, and learns its id.
    pub(crate) async fn greet(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(mesh) = self.mesh().await {
                self.id = mesh.node_id;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.ended(status));
            }
            if Instant::now() > deadline {
                return Err(format!("{} never answers: {}", self.name, self.last_words()).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Why it ended by itself; a script that has not what it takes ends with 97.
    fn ended(&self, status: ExitStatus) -> Failure {
        let said = format!("{} ended with {status}: {}", self.name, self.last_words());
        match status.code() {
            Some(97) => Failure::NotRun(said),
            _ => Failure::Missed(said),
        }
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// Reads its events from now on, for as long as it lives.
    async fn follow(&mut self) -> Result<(), Failure> {
        let stream = self
            .client
            .open(&self.url, "/v1/mesh/events", HeaderMap::new());
        let mut stream = stream.await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        let first = loop {
            read(&mut stream, &mut text).await?;
            if let Some(event) = next_event(&mut text) {
                break event;
            }
        };
        let ahead = first.at - wall();
        self.clock_ahead = if ahead.abs() < READ_LATE { 0.0 } else { ahead };
        let events = Arc::clone(&self.events);
        tokio::spawn(async move {
            while read(&mut stream, &mut text).await.is_ok() {
                while let Some(event) = next_event(&mut text) {
                    events
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(event);
                }
            }
        });
        Ok(())
    }

    /// What happened since its start, its clock's error taken out.
    pub(crate) fn events(&self) -> Vec<MeshEvent> {
        let mut events = self.held_events().clone();
        for event in &mut events {
            event.at -= self.clock_ahead;
        }
        events
    }

    /// Forgets what happened so far.
    pub(crate) fn begin_anew(&self) {
        self.held_events().clear();
    }

    fn held_events(&self) -> MutexGuard<'_, Vec<MeshEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mesh as it sees it; `None` where it does not answer.
    pub(crate) async fn mesh(&self) -> Option<MeshStatus> {
        self.status().await?.mesh
    }

    /// How it is; `None` where it does not answer.
    pub(crate) async fn status(&self) -> Option<SystemStatus> {
        self.get("/v1/system/status").await?.json().ok()
    }

    /// The records that it gives to others, and whom it names to them as leader.
    pub(crate) async fn table(&self) -> Option<Value> {
        self.get("/v1/mesh/state").await?.json().ok()
    }

    /// Its record of that member.
    pub(crate) async fn record(&self, id: &str) -> Option<Value> {
        let mut table = self.table().await?;
        let records = table["nodes"].as_array_mut()?;
        let place = records.iter().position(|record| record["node_id"] == id)?;
        Some(records.swap_remove(place))
    }

    async fn get(&self, path: &str) -> Option<Answer> {
        let answer = self.client.send(&self.url, Method::GET, path, None);
        answer.await.ok()
    }

    /// Sends a body; returns the status of the answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<u16, Failure> {
        let body = Some(body.to_string().into_bytes());
        let answer = self.client.send(&self.url, Method::POST, path, body).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(answer.status.as_u16())
    }

    /// Runs an agent that it has itself.
    pub(crate) async fn serves(&self) -> Result<(), Failure> {
        let body = serde_json::json!({ "query": "hello" });
        match self.post("/v1/agents/echo/run", &body).await? {
            200 => Ok(()),
            status => Err(format!("{} answers a run with {status}", self.name).into()),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `kill` calls a signal, sent to this process alone.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Failure> {
        let mut kill = Command::new("kill");
        if kill
            .arg(name)
            .arg(self.pid().to_string())
            .status()?
            .success()
        {
            return Ok(());
        }
        Err(format!("kill {name} {} failed", self.name).into())
    }

    /// Kills it hard; returns when it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, where it has.
    pub(crate) fn end(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Adds what comes next; fails where nothing more comes.
async fn read(stream: &mut Stream, text: &mut String) -> Result<(), Failure> {
    let part = stream.next().await.map_err(|error| error.to_string())?;
    let part = part.ok_or("the events ended".to_owned())?;
    text.push_str(&String::from_utf8_lossy(&part));
    Ok(())
}

/// Takes the first whole event out of what was read.
fn next_event(text: &mut String) -> Option<MeshEvent> {
    while let Some(end) = text.find("\n\n") {
        let message: String = text.drain(..end + 2).collect();
        let data = message.lines().find_map(|line| line.strip_prefix("data: "));
        if let Some(event) = data.and_then(|data| serde_json::from_str(data).ok()) {
            return Some(event);
        }
    }
    None
}

/// Unix time in seconds, by this machine's clock.
pub(crate) fn wall() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}
