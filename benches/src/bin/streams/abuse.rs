//! Requests that end in every way there is, while the node is killed again and again: nothing may be left in flight.

use super::Stage;
use super::client::{Asked, in_flight};
use benches::random::Times;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many go on at a time.
const AT_A_TIME: usize = 64;

/// How often the node is killed.
const KILL_AFTER: Duration = Duration::from_millis(700);

/// No request takes as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the gateway may take in the end to notice that all have gone.
const QUIET: Duration = Duration::from_secs(10);

/// What came of it.
pub(crate) struct Figures {
    requests: usize,
    kills: usize,
    overlong: usize,
    left: u32,
    answered: BTreeMap<String, u64>,
    took: Duration,
}

/// Ends so many requests in every way.
pub(crate) async fn measured(mut stage: Stage, requests: usize) -> anyhow::Result<Figures> {
    let began = Instant::now();
    let gateway = stage.gateway_at();
    let mut tasks = JoinSet::new();
    for place in 0..AT_A_TIME {
        let share = requests / AT_A_TIME + usize::from(place < requests % AT_A_TIME);
        tasks.spawn(abuse(gateway, place as u64, share));
    }
    let (mut kills, mut overlong) = (0, 0);
    loop {
        match timeout(KILL_AFTER, tasks.join_next()).await {
            Ok(Some(ended)) => overlong += ended?,
            Ok(None) => break,
            Err(_) => {
                stage.restart_node().await?;
                kills += 1;
            }
        }
    }
    let deadline = Instant::now() + QUIET;
    let status = loop {
        let status = in_flight(gateway).await?;
        if status.requests.forwarded == 0 || Instant::now() > deadline {
            break status;
        }
        sleep(Duration::from_millis(20)).await;
    };
    Ok(Figures {
        requests,
        kills,
        overlong,
        left: status.requests.forwarded + status.requests.active,
        answered: status.requests.total,
        took: began.elapsed(),
    })
}

/// One after the other, in ways that chance chooses. Returns how many took longer than any should.
async fn abuse(gateway: SocketAddr, seed: u64, requests: usize) -> usize {
    let mut chance = Times::from_seed(seed);
    let mut overlong = 0;
    for _ in 0..requests {
        let (way, pause) = (
            chance.below(WAYS),
            Duration::from_micros(chance.below(3_000)),
        );
        // Trouble is what this is for, but for waiting in vain.
        let ended = timeout(PATIENCE, end(gateway, way, pause)).await;
        overlong += usize::from(ended.is_err());
    }
    overlong
}

/// How many ways there are.
const WAYS: u64 = 10;

/// One request, ended in that way.
async fn end(gateway: SocketAddr, way: u64, pause: Duration) -> std::io::Result<()> {
    let mut buffer = [0; 2_048];
    match way {
        // Read to the end, as a whole and as a stream.
        0 | 1 => {
            let mut asked = Asked::at(gateway, way == 1).await?;
            let mut end = Vec::new();
            loop {
                let read = asked.read(&mut buffer).await?;
                end.extend_from_slice(&buffer[..read]);
                if read == 0 || end.ends_with(b"0\r\n\r\n") || end.ends_with(b"\"}") {
                    return Ok(());
                }
            }
        }
        // Left at once, a little later, at the first byte.
        2 => drop(Asked::at(gateway, true).await?),
        3 => {
            let asked = Asked::at(gateway, false).await?;
            sleep(pause).await;
            drop(asked);
        }
        4 => {
            let mut asked = Asked::at(gateway, true).await?;
            asked.read(&mut buffer).await?;
        }
        _ => {
            let mut stream = TcpStream::connect(gateway).await?;
            stream.write_all(broken(way).as_bytes()).await?;
            sleep(pause).await;
        }
    }
    Ok(())
}

/// A request that is never sent whole, or that is wrong.
fn broken(way: u64) -> String {
    match way {
        5 => "POST /v1/agents/demo/run HTTP/1.1\r\nHost: x\r\nContent-Le".to_owned(),
        6 => head("Content-Length: 100", "{\"query\":"),
        7 => head("Transfer-Encoding: chunked", "5\r\n{\"que"),
        8 => head("Transfer-Encoding: chunked", "5\r\n{\"que\r\nzz\r\n"),
        _ => "\x16\x03\x01 rubbish\r\n\r\n".to_owned(),
    }
}

fn head(length: &str, body: &str) -> String {
    format!("POST /v1/agents/demo/run HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n{body}")
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered: Vec<String> = self
            .answered
            .iter()
            .map(|(outcome, count)| format!("{count} {outcome}"))
            .collect();
        write!(
            f,
            "{} requests ended in {WAYS} ways, and the node was killed {} times, in {:.0} s: {} in flight in the end; {} took longer \
             than {PATIENCE:?}; of those that were whole, {}",
            self.requests,
            self.kills,
            self.took.as_secs_f64(),
            self.left,
            self.overlong,
            answered.join(", ")
        )
    }
}
