//! Requests at an even pace, whatever becomes of them: the next does not wait for the one before.

use super::stage::AGENTS;
use astromesh_core::http::{Client, full};
use hyper::{Method, Request};
use maia::address::Url;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often it looks which requests are due.
const TICK: Duration = Duration::from_millis(1);

/// What came of one request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) may_run_twice: bool,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    /// `None` where there was no answer at all.
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) ran_by: String,
    pub(crate) said: String,
}

impl Outcome {
    pub(crate) fn is_good(&self) -> bool {
        self.status == Some(200)
    }

    pub(crate) fn took(&self) -> Duration {
        self.answered - self.sent
    }
}

/// Requests that are being sent.
pub(crate) struct Load {
    ended: Arc<AtomicBool>,
    under_way: Arc<AtomicUsize>,
    sending: JoinHandle<()>,
    outcomes: UnboundedReceiver<Outcome>,
}

impl Load {
    /// Sends so many a second to `url`, for each agent in turn.
    pub(crate) fn on(url: &Url, a_second: f64) -> Self {
        let (told, outcomes) = unbounded_channel();
        let ended = Arc::new(AtomicBool::new(false));
        let under_way = Arc::new(AtomicUsize::new(0));
        let sending = send(
            url.clone(),
            a_second,
            Arc::clone(&ended),
            Arc::clone(&under_way),
            told,
        );
        Self {
            ended,
            under_way,
            sending: tokio::spawn(sending),
            outcomes,
        }
    }

    /// How many are sent and not answered.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Stops sending, waits for all answers, and returns what came of them.
    pub(crate) async fn end(mut self) -> Vec<Outcome> {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.sending.await);
        let mut all = Vec::new();
        while let Some(outcome) = self.outcomes.recv().await {
            all.push(outcome);
        }
        all
    }
}

async fn send(
    url: Url,
    a_second: f64,
    ended: Arc<AtomicBool>,
    under_way: Arc<AtomicUsize>,
    told: UnboundedSender<Outcome>,
) {
    let client = Client::new(Duration::from_secs(30));
    let (began, mut sent) = (Instant::now(), 0);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !ended.load(Ordering::Relaxed) {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * a_second) as usize;
        while sent < due {
            let (client, url, told) = (client.clone(), url.clone(), told.clone());
            let under_way = Arc::clone(&under_way);
            let (agent, may_run_twice) = AGENTS[sent % AGENTS.len()];
            under_way.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let outcome = ask(&client, &url, agent, may_run_twice).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                // Nobody listens any more where the whole run has failed.
                drop(told.send(outcome));
            });
            sent += 1;
        }
    }
}

/// Sends one request.
pub(crate) async fn ask(client: &Client, url: &Url, agent: &str, may_run_twice: bool) -> Outcome {
    let mut request = Request::new(full(r#"{"query":"how are you"}"#));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("/v1/agents/{agent}/run")
        .parse()
        .expect("a plain path");
    let sent = Instant::now();
    let answer = client.send_request(url, request).await;
    let answered = Instant::now();
    let (status, ran_by, retry_after, said) = match answer {
        Ok(answer) => {
            let header = |name| {
                let value = answer
                    .headers
                    .get(name)
                    .and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            let after = header("retry-after").parse().ok();
            let said = if answer.status == 200 {
                String::new()
            } else {
                format!("{}: {}", header("x-astromesh-node"), answer.detail())
            };
            (
                Some(answer.status.as_u16()),
                header("x-astromesh-routed-to"),
                after,
                said,
            )
        }
        Err(error) => (None, String::new(), None, error.to_string()),
    };
    Outcome {
        may_run_twice,
        sent,
        answered,
        status,
        retry_after,
        ran_by,
        said,
    }
}
