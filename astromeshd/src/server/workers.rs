//! The threads that serve connections, each with a runtime of its own: what one of them began, no other goes on with.
//!
//! A connection goes to the thread that has the fewest. With one thread there are no others: the one that keeps the mesh
//! serves as well.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// All of them. Dropped, they end, with whatever they were doing.
pub(crate) struct Workers(Vec<Worker>);

/// A connection's place with one of them, until it is dropped.
pub(super) struct Place {
    runtime: Handle,
    served: Arc<AtomicUsize>,
}

struct Worker {
    runtime: Handle,
    served: Arc<AtomicUsize>,
    /// `None` for the thread that this was made on.
    thread: Option<Thread>,
}

struct Thread {
    /// Dropped, it ends the thread.
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Workers {
    /// So many threads, or only this one.
    ///
    /// # Errors
    /// Where the system has no more threads.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        if threads < 2 {
            let here = Worker {
                runtime: Handle::current(),
                served: Arc::default(),
                thread: None,
            };
            return Ok(Self(vec![here]));
        }
        let workers = (1..=threads).map(Worker::start);
        Ok(Self(workers.collect::<io::Result<_>>()?))
    }

    /// A place for one more connection.
    pub(super) fn place(&self) -> Place {
        let idlest = self
            .0
            .iter()
            .min_by_key(|one| one.served.load(Ordering::Relaxed));
        let idlest = idlest.expect("there is at least this thread");
        idlest.served.fetch_add(1, Ordering::Relaxed);
        Place {
            runtime: idlest.runtime.clone(),
            served: Arc::clone(&idlest.served),
        }
    }
}

impl Place {
    /// Where its task runs.
    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.served.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = std::thread::Builder::new()
            .name(format!("requests-{number}"))
            .spawn(move || drop(runtime.block_on(stopped)))?;
        Ok(Self {
            runtime: handle,
            served: Arc::default(),
            thread: Some(Thread { stop, ended }),
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in self.0.drain(..) {
            if let Some(Thread { stop, ended }) = worker.thread {
                drop(stop);
                // It waits for nothing; a panic on it has been reported there.
                drop(ended.join());
            }
        }
    }
}
