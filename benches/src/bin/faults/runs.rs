//! Which run is next, several at a time, each on a thread of its own: what takes a run long holds up no other.

use super::cases::{Case, Run};
use super::findings::{Failure, Outcome};
use super::mesh::Stage;
use super::table::{Row, Verdict};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// No run takes as long.
const DEADLINE: Duration = Duration::from_secs(360);

/// Somebody wanted it to stop.
#[derive(Debug)]
pub(crate) struct Cancelled;

/// How runs are done.
pub(crate) struct Runs {
    pub(crate) program: PathBuf,
    pub(crate) is_slice: bool,
    /// How many at a time.
    pub(crate) jobs: usize,
}

/// A run that is to be done.
struct Job {
    /// Of which case.
    place: usize,
    run: fn(Stage) -> Run,
    stage: Stage,
}

/// What the threads share.
#[derive(Clone)]
struct Shared {
    jobs: Arc<Mutex<VecDeque<Job>>>,
    done: mpsc::UnboundedSender<(usize, Outcome)>,
    cancelled: watch::Receiver<bool>,
}

impl Runs {
    /// Runs them all and prints a row for each.
    pub(crate) fn all(&self, cases: Vec<Case>) -> Result<Vec<Verdict>, Cancelled> {
        let (alone, together): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.is_alone);
        let mut verdicts = self.some(&together, self.jobs)?;
        verdicts.extend(self.some(&alone, 1)?);
        Ok(verdicts)
    }

    /// Runs these, so many at a time.
    fn some(&self, cases: &[Case], threads: usize) -> Result<Vec<Verdict>, Cancelled> {
        let (done, outcomes) = mpsc::unbounded_channel();
        let (cancel, cancelled) = watch::channel(false);
        let jobs = Arc::new(Mutex::new(self.jobs_of(cases)));
        let shared = Shared {
            jobs,
            done,
            cancelled,
        };
        let begin = |_| {
            let shared = shared.clone();
            thread::spawn(move || work(&shared))
        };
        let threads: Vec<_> = (0..threads).map(begin).collect();
        drop(shared);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime takes two file descriptors");
        let verdicts = runtime.block_on(rows(cases, outcomes));
        if verdicts.is_err() {
            cancel.send_replace(true);
        }
        threads
            .into_iter()
            .for_each(|thread: JoinHandle<()>| drop(thread.join()));
        verdicts
    }

    fn jobs_of(&self, cases: &[Case]) -> VecDeque<Job> {
        let mut jobs = VecDeque::new();
        for (place, case) in cases.iter().enumerate() {
            for run in 0..case.runs {
                let (program, is_slice) = (self.program.clone(), self.is_slice);
                let stage = Stage {
                    program,
                    is_slice,
                    run,
                };
                jobs.push_back(Job {
                    place,
                    run: case.run,
                    stage,
                });
            }
        }
        jobs
    }
}

/// Prints a row whenever a case has ended; returns early where somebody wants it to stop.
async fn rows(
    cases: &[Case],
    mut outcomes: mpsc::UnboundedReceiver<(usize, Outcome)>,
) -> Result<Vec<Verdict>, Cancelled> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|_| Cancelled)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|_| Cancelled)?;
    let mut rows: Vec<_> = cases.iter().map(|_| Row::default()).collect();
    loop {
        let ended = tokio::select! {
            ended = outcomes.recv() => ended,
            _ = terminate.recv() => return Err(Cancelled),
            _ = interrupt.recv() => return Err(Cancelled),
        };
        let Some((place, outcome)) = ended else {
            return Ok(rows.iter().map(Row::verdict).collect());
        };
        if rows[place].add(outcome) == cases[place].runs {
            println!("{}", rows[place].written(&cases[place]));
        }
    }
}

/// Does one run after the other, until there are none or nobody wants them.
fn work(shared: &Shared) {
    while !*shared.cancelled.borrow() {
        let next = shared.jobs.lock().map_or(None, |mut jobs| jobs.pop_front());
        let Some(job) = next else { return };
        let place = job.place;
        let outcome = catch_unwind(AssertUnwindSafe(|| run(job, shared.cancelled.clone())));
        let outcome = outcome.unwrap_or_else(|_| Err("a panic: see above".to_owned().into()));
        drop(shared.done.send((place, outcome)));
    }
}

/// One run. However it ends, what it started goes with its future.
fn run(job: Job, mut cancelled: watch::Receiver<bool>) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let run = timeout(DEADLINE, (job.run)(job.stage));
        tokio::select! {
            outcome = run => outcome.unwrap_or_else(|_| {
                Err(format!("not over after {} s", DEADLINE.as_secs()).into())
            }),
            _ = cancelled.wait_for(|cancelled| *cancelled) => {
                Err(Failure::NotRun("stopped".to_owned()))
            }
        }
    })
}
