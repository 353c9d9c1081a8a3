//! What happened in the mesh lately: the last thousand events, kept for whoever reads them.
//!
//! The driver's task puts events in and never waits for a reader. Readers take them out at their own pace; one that is too
//! slow finds that what it wanted is gone, and is told so.

mod wording;

use astromesh_core::api::MeshEvent;
use maia::event::Event;
use maia::id::NodeId;
use maia::view::View;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

/// How many events are kept.
pub(crate) const KEPT: usize = 1_024;

/// How many readers there may be at once.
pub(crate) const READERS: usize = 64;

/// The events of one start of the daemon.
#[derive(Debug)]
pub(crate) struct Events {
    /// What tells this start from any other, in ids that readers come back with.
    start: String,
    kept: Mutex<VecDeque<MeshEvent>>,
    newest: watch::Sender<Newest>,
    seats: Arc<Semaphore>,
}

/// What readers wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Newest {
    /// The id of the newest event; 0 where there is none.
    pub(crate) id: u64,
    /// Whether no more will come.
    pub(crate) is_closing: bool,
}

/// What comes after an event.
#[derive(Debug, PartialEq)]
pub(crate) enum After {
    /// This one.
    Event(Box<MeshEvent>),
    /// Nothing yet.
    Nothing,
    /// Something that is not kept any more.
    Lost,
}

impl Events {
    /// None yet, for the daemon that starts as `id`.
    pub(crate) fn new(id: &NodeId) -> Self {
        Self {
            start: id.as_str().chars().take(8).collect(),
            kept: Mutex::default(),
            newest: watch::Sender::default(),
            seats: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Takes note of `event`, which happened now in the mesh that looked like `view` until then. Says of which kind it is.
    pub(crate) fn note(&self, event: &Event, view: &View) -> String {
        let mut kept = self.kept();
        let mut noted = wording::told(event, |id| name(id, view, &kept));
        if let (true, Some(me)) = (noted.node_id.is_empty(), view.me()) {
            noted.node_id = me.id().to_string();
            noted.name = me.name().to_string();
        }
        noted.id = self.newest.borrow().id + 1;
        noted.at = unix_seconds();
        let (id, kind) = (noted.id, noted.kind.clone());
        kept.push_back(noted);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        drop(kept);
        self.newest.send_modify(|newest| newest.id = id);
        kind
    }

    /// Ends every reader's stream, and lets nobody begin another.
    pub(crate) fn close(&self) {
        self.seats.close();
        self.newest.send_modify(|newest| newest.is_closing = true);
    }

    /// A seat for one more reader, held until it is dropped.
    ///
    /// # Errors
    /// Where all are taken, or none is given any more.
    pub(crate) fn seat(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.seats).try_acquire_owned()
    }

    /// Wakes a reader whenever there is something new.
    pub(crate) fn newest(&self) -> watch::Receiver<Newest> {
        self.newest.subscribe()
    }

    /// An event's id as readers come back with it: which start, and which event.
    pub(crate) fn ticket(&self, id: u64) -> String {
        format!("{}-{id}", self.start)
    }

    /// The event's id in a ticket, if that is of this start and not of the future.
    pub(crate) fn redeemed(&self, ticket: &str) -> Option<u64> {
        let (start, id) = ticket.rsplit_once('-')?;
        let id = id.parse().ok().filter(|_| start == self.start)?;
        (id <= self.newest.borrow().id).then_some(id)
    }

    /// What comes after the event with that id.
    pub(crate) fn after(&self, id: u64) -> After {
        let kept = self.kept();
        match kept.front().map(|oldest| oldest.id) {
            Some(oldest) if id + 1 < oldest => After::Lost,
            Some(oldest) => {
                let place = usize::try_from(id + 1 - oldest).unwrap_or(usize::MAX);
                kept.get(place)
                    .map_or(After::Nothing, |event| After::Event(event.clone().into()))
            }
            None => After::Nothing,
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<MeshEvent>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What people call `id`: as the mesh looks, or as the events of late say; else its id.
fn name(id: &NodeId, view: &View, kept: &VecDeque<MeshEvent>) -> String {
    if let Some(seen) = view.member(id) {
        return seen.name().to_string();
    }
    let mention = kept.iter().rev().find(|event| event.node_id == id.as_str());
    mention.map_or_else(|| id.to_string(), |event| event.name.clone())
}

/// The time of day, as bodies have it.
pub(crate) fn unix_seconds() -> f64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fell_out_is_lost_and_what_is_to_come_is_not() {
        let id: NodeId = "0123456789".parse().expect("an id");
        let events = Events::new(&id);
        assert_eq!(events.start, "01234567");
        assert_eq!(events.after(0), After::Nothing);
        for _ in 0..KEPT + 2 {
            events.note(&Event::Refuted, &View::default());
        }
        let last = KEPT as u64 + 2;
        let id_after = |id| match events.after(id) {
            After::Event(event) => Some(event.id),
            _ => None,
        };
        assert_eq!(events.kept().len(), KEPT);
        assert_eq!(events.after(0), After::Lost);
        assert_eq!(events.after(1), After::Lost);
        assert_eq!(id_after(2), Some(3));
        assert_eq!(id_after(last - 1), Some(last));
        assert_eq!(events.after(last), After::Nothing);
    }
}
