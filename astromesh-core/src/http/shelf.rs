//! Unused connections, kept by place until somebody wants one of them again, for so long and so many.

use super::line::Line;
use super::pool::PoolSettings;
use super::wire::Wire;
use maia::address::Url;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What a thread keeps.
#[derive(Default)]
pub(super) struct Shelf {
    places: BTreeMap<Url, Place>,
    count: usize,
    /// Whether a task looks at them from time to time.
    pub(super) is_swept: bool,
}

/// The connections to one place, of each kind those that were used last on top.
#[derive(Default)]
pub(super) struct Place {
    lines: Vec<Idle<Box<Line>>>,
    wires: Vec<Idle<Wire>>,
}

/// One connection.
pub(super) struct Idle<L> {
    link: L,
    since: Instant,
}

/// A connection that can be kept.
pub(super) trait Link: Sized {
    /// Where it leads.
    fn url(&self) -> &Url;

    /// Whether it can take a request. From now on it wakes nobody, until it is used.
    fn is_free(&mut self) -> bool;

    /// Those of its kind.
    fn of(place: &mut Place) -> &mut Vec<Idle<Self>>;
}

impl Link for Box<Line> {
    fn url(&self) -> &Url {
        Line::url(self)
    }

    fn is_free(&mut self) -> bool {
        Line::is_free(self)
    }

    fn of(place: &mut Place) -> &mut Vec<Idle<Self>> {
        &mut place.lines
    }
}

impl Link for Wire {
    fn url(&self) -> &Url {
        Wire::url(self)
    }

    fn is_free(&mut self) -> bool {
        Wire::is_free(self)
    }

    fn of(place: &mut Place) -> &mut Vec<Idle<Self>> {
        &mut place.wires
    }
}

impl Shelf {
    /// The connection to `url` that was used last, if it is still good.
    pub(super) fn take<L: Link>(&mut self, url: &Url, settings: &PoolSettings) -> Option<L> {
        let kept = L::of(self.places.get_mut(url)?);
        while let Some(Idle { mut link, since }) = kept.pop() {
            self.count -= 1;
            if since.elapsed() > settings.idle_timeout {
                // Those below were used even earlier.
                self.count -= kept.len();
                kept.clear();
            } else if link.is_free() {
                return Some(link);
            }
        }
        None
    }

    /// Keeps one, if there is room.
    pub(super) fn put_back<L: Link>(&mut self, link: L, settings: &PoolSettings) {
        if self.count >= settings.idle_in_all {
            return;
        }
        if !self.places.contains_key(link.url()) {
            self.places.insert(link.url().clone(), Place::default());
        }
        let kept = self.places.get_mut(link.url()).map(L::of);
        if let Some(kept) = kept.filter(|kept| kept.len() < settings.idle_connections) {
            let since = Instant::now();
            kept.push(Idle { link, since });
            self.count += 1;
        }
    }

    /// Drops what was not used for too long or was closed by the other side, and says whether anything is left.
    pub(super) fn sweep(&mut self, idle_timeout: Duration) -> bool {
        self.places.retain(|_, place| {
            still_good(&mut place.lines, idle_timeout) + still_good(&mut place.wires, idle_timeout)
                > 0
        });
        let counts = self
            .places
            .values()
            .map(|place| place.lines.len() + place.wires.len());
        self.count = counts.sum();
        self.count > 0
    }
}

/// How many are, and are left.
fn still_good<L: Link>(kept: &mut Vec<Idle<L>>, idle_timeout: Duration) -> usize {
    let now = Instant::now();
    kept.retain_mut(|one| now.duration_since(one.since) <= idle_timeout && one.link.is_free());
    kept.len()
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf")
            .field("places", &self.places.keys())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
