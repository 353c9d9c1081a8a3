//! A queue from many to one, and a slot for one answer, for any runtime: nothing here waits on a thread.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What both ends of a queue share.
#[derive(Debug)]
struct Queue<T> {
    mail: VecDeque<T>,
    waker: Option<Waker>,
    senders: usize,
    closed: bool,
}

/// The end that sends. The queue ends when the last clone is dropped.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Mutex<Queue<T>>>);

/// The end that receives.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Mutex<Queue<T>>>);

pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(Queue {
        mail: VecDeque::new(),
        waker: None,
        senders: 1,
        closed: false,
    }));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Adds `item`, or gives it back where nobody receives any more.
    pub(crate) fn send(&self, item: T) -> Result<(), T> {
        let mut queue = lock(&self.0);
        if queue.closed {
            return Err(item);
        }
        queue.mail.push_back(item);
        wake(queue);
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.senders -= 1;
        wake(queue);
    }
}

impl<T> Receiver<T> {
    /// The next item; `None` once the queue is empty and every sender gone.
    pub(crate) fn poll_receive(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut queue = lock(&self.0);
        match queue.mail.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if queue.senders == 0 => Poll::Ready(None),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let undelivered = {
            let mut queue = lock(&self.0);
            queue.closed = true;
            std::mem::take(&mut queue.mail)
        };
        drop(undelivered);
    }
}

/// What both ends of a slot share.
#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    closed: bool,
}

/// Where the one answer is put. Dropped unfilled, it tells the other end that there will be none.
#[derive(Debug)]
pub(crate) struct Promise<T>(Arc<Mutex<Slot<T>>>);

/// Where the one answer is awaited.
#[derive(Debug)]
pub(crate) struct Awaited<T>(Arc<Mutex<Slot<T>>>);

pub(crate) fn slot<T>() -> (Promise<T>, Awaited<T>) {
    let shared = Arc::new(Mutex::new(Slot {
        value: None,
        waker: None,
        closed: false,
    }));
    (Promise(Arc::clone(&shared)), Awaited(shared))
}

impl<T> Promise<T> {
    pub(crate) fn fill(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.closed = true;
        let waker = slot.waker.take();
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Awaited<T> {
    /// The answer, or `None` where the other end is gone without one.
    pub(crate) async fn take(self) -> Option<T> {
        poll_fn(|context| {
            let mut slot = lock(&self.0);
            if slot.value.is_some() || slot.closed {
                return Poll::Ready(slot.value.take());
            }
            slot.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Nothing here can panic while it holds the lock, so a poisoned one still guards a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the receiver after the lock is given back, for waking may run its task at once.
fn wake<T>(mut queue: MutexGuard<'_, Queue<T>>) {
    let waker = queue.waker.take();
    drop(queue);
    waker.into_iter().for_each(Waker::wake);
}
