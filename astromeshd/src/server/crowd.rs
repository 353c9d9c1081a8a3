//! The open connections, and which of them have to go: those that waited too long, and where there are too many, those that
//! can be spared.

use super::pulse::Pulse;
use crate::here::Here;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use tokio::task::AbortHandle;

/// The connections that are being served.
#[derive(Default)]
pub(super) struct Crowd(Vec<Attendant>);

/// One of them.
struct Attendant {
    pulse: Weak<Pulse>,
    peer: IpAddr,
    task: AbortHandle,
}

impl Crowd {
    /// One more, which `task` serves.
    pub(super) fn add(&mut self, pulse: &Arc<Pulse>, peer: SocketAddr, task: AbortHandle) {
        self.0.push(Attendant {
            pulse: Arc::downgrade(pulse),
            peer: peer.ip().to_canonical(),
            task,
        });
    }

    /// Closes those that have waited longer than they may, and forgets those that are closed.
    pub(super) fn close_overdue(&mut self, here: &Here) {
        self.0.retain(|connection| {
            let Some(pulse) = connection.pulse.upgrade() else {
                return false;
            };
            let Some(limit) = pulse.overdue(&here.settings.limits) else {
                return true;
            };
            connection.task.abort();
            if limit == "idle_timeout" {
                // Even the best of callers has nothing more to say at some time.
                here.turned_away.count(limit);
            } else {
                here.turn_away(connection.peer, limit);
            }
            false
        });
    }

    /// Closes up to `count` connections that are not answered anything: first those that never asked for anything, then
    /// those whose last request was the longest ago. Returns how many it closed.
    pub(super) fn make_room(&mut self, here: &Here, count: usize) -> usize {
        let waiting = self.0.iter().enumerate().filter_map(|(place, one)| {
            let standing = one.pulse.upgrade()?.sparable()?;
            Some((standing, place))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable();
        waiting.truncate(count);
        let mut places: Vec<usize> = waiting.into_iter().map(|(_, place)| place).collect();
        places.sort_unstable();
        for place in places.iter().rev() {
            let spared = self.0.swap_remove(*place);
            spared.task.abort();
            here.turn_away(spared.peer, "connections");
        }
        places.len()
    }
}
