//! Bodies that are being read: each bounded in bytes and time, and all of them together in memory.
//!
//! Whoever sends slowly holds memory for long. So where no more is to be had, the body that was begun first makes way for
//! what comes in now: an honest body is there within moments, and the oldest is the slowest. What is read of a body is held
//! here, so that whoever makes way gives it back at once.

use crate::answer::{Answer, retry_after, trouble};
use crate::tally::Tally;
use astromesh_core::http::BoxError;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// When whoever found no room may come back.
const COME_BACK: Duration = Duration::from_secs(1);

/// All bodies that are in memory because they are being read or answered.
pub(crate) struct Bodies {
    most_bytes: usize,
    turned_away: Arc<Tally>,
    held: Mutex<Held>,
}

/// How long one body may be, and the name of the limit that says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Longest {
    pub(crate) bytes: usize,
    pub(crate) limit: &'static str,
}

#[derive(Default)]
struct Held {
    /// Memory taken by all of them, the whole ones included.
    bytes: usize,
    next: u64,
    /// What has come of those that are not whole, in the order in which they were begun.
    begun: BTreeMap<u64, Vec<u8>>,
}

/// A body that is there. It counts until it is dropped.
pub(crate) struct Whole<'a> {
    bodies: &'a Bodies,
    bytes: Vec<u8>,
}

/// Why a body is not read.
enum Refused {
    TooLong,
    Broken,
    NoRoom,
}

/// What to say to whoever sent a body that is not read.
pub(crate) struct Refusal {
    status: StatusCode,
    detail: String,
    come_back: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            come_back: None,
        }
    }

    /// The refusal in the form that the client knows.
    pub(crate) fn told_by(&self, tell: impl FnOnce(StatusCode, &str) -> Answer) -> Answer {
        let mut answer = tell(self.status, &self.detail);
        if let Some(after) = self.come_back {
            retry_after(&mut answer, after);
        }
        answer
    }
}

impl Bodies {
    /// Room for so many bytes. What is refused is counted.
    pub(crate) fn new(most_bytes: usize, turned_away: Arc<Tally>) -> Self {
        Self {
            most_bytes,
            turned_away,
            held: Mutex::default(),
        }
    }

    /// Reads a body whole within all bounds, or says why not. One that says how long it is, is refused unread where that is
    /// too much.
    pub(crate) async fn read<B>(
        &self,
        body: B,
        longest: Longest,
        patience: Duration,
    ) -> Result<Whole<'_>, Answer>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let read = self.try_read(body, longest, patience).await;
        read.map_err(|refusal| refusal.told_by(|status, detail| trouble(status, detail)))
    }

    /// The same, with a refusal that is not told yet.
    pub(crate) async fn try_read<B>(
        &self,
        body: B,
        longest: Longest,
        patience: Duration,
    ) -> Result<Whole<'_>, Refusal>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let refused = match timeout(patience, self.collect(body, longest.bytes)).await {
            Ok(Ok(whole)) => return Ok(whole),
            Ok(Err(refused)) => refused,
            Err(_) => {
                self.turned_away.count("body_timeout");
                let detail = format!("the body was not there within {patience:?}");
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, detail));
            }
        };
        Err(match refused {
            Refused::TooLong => {
                self.turned_away.count(longest.limit);
                let detail = format!("the body is longer than {} bytes", longest.bytes);
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            Refused::NoRoom => {
                self.turned_away.count("all_bodies_bytes");
                let detail =
                    "this node reads as many bodies as it has room for; send it again, and faster";
                Refusal {
                    come_back: Some(COME_BACK),
                    ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                }
            }
            Refused::Broken => Refusal::new(StatusCode::BAD_REQUEST, "the body broke off"),
        })
    }

    async fn collect<B>(&self, mut body: B, longest: usize) -> Result<Whole<'_>, Refused>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let said = body.size_hint();
        if said.lower() > longest as u64 {
            return Err(Refused::TooLong);
        }
        let expected = said.exact().map_or(longest, |length| length as usize);
        let reading = self.begin();
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                log::debug!("a body broke off: {}", error.into());
                Refused::Broken
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            read += data.len();
            if read > longest {
                return Err(Refused::TooLong);
            }
            self.held()
                .push(reading.place, &data, expected, self.most_bytes)?;
        }
        reading.finish()
    }

    fn begin(&self) -> Reading<'_> {
        let mut held = self.held();
        let place = held.next;
        held.next += 1;
        held.begun.insert(place, Vec::new());
        Reading {
            bodies: self,
            place,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Adds to what has come of a body. Room is made for it first, by the oldest: which may be the very same.
    fn push(
        &mut self,
        place: u64,
        data: &[u8],
        expected: usize,
        most_bytes: usize,
    ) -> Result<(), Refused> {
        let body = self.begun.get(&place).ok_or(Refused::NoRoom)?;
        let (length, room) = (body.len() + data.len(), body.capacity());
        let wanted = if length <= room {
            room
        } else {
            (2 * room).min(expected).max(length)
        };
        while self.bytes + (wanted - room) > most_bytes {
            let (&oldest, _) = self.begun.first_key_value().ok_or(Refused::NoRoom)?;
            self.give_up(oldest);
        }
        let body = self.begun.get_mut(&place).ok_or(Refused::NoRoom)?;
        body.reserve_exact(wanted - body.len());
        body.extend_from_slice(data);
        self.bytes += body.capacity() - room;
        Ok(())
    }

    fn give_up(&mut self, place: u64) {
        let bytes = self.begun.remove(&place);
        self.bytes -= bytes.map_or(0, |bytes| bytes.capacity());
    }
}

/// A body on its way in; dropped, it gives its room back.
struct Reading<'a> {
    bodies: &'a Bodies,
    place: u64,
}

impl<'a> Reading<'a> {
    fn finish(self) -> Result<Whole<'a>, Refused> {
        let bodies = self.bodies;
        let bytes = bodies.held().begun.remove(&self.place);
        let bytes = bytes.ok_or(Refused::NoRoom)?;
        Ok(Whole { bodies, bytes })
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.bodies.held().give_up(self.place);
    }
}

impl Whole<'_> {
    /// The bytes, which from now on do not count any more.
    pub(crate) fn into_bytes(mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.bytes);
        self.bodies.held().bytes -= bytes.capacity();
        bytes.into()
    }
}

impl Deref for Whole<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.bodies.held().bytes -= self.bytes.capacity();
    }
}

impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bodies")
            .field("most_bytes", &self.most_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astromesh_core::http::{empty, full};

    const LONGEST: Longest = Longest {
        bytes: 8,
        limit: "body_bytes",
    };

    fn bodies(most_bytes: usize) -> Bodies {
        Bodies::new(most_bytes, Arc::default())
    }

    fn push(bodies: &Bodies, reading: &Reading<'_>, data: &[u8]) -> bool {
        let pushed = bodies
            .held()
            .push(reading.place, data, 100, bodies.most_bytes);
        pushed.is_ok()
    }

    async fn read(bodies: &Bodies, body: &'static str) -> Result<Bytes, StatusCode> {
        let whole = bodies.read(full(body), LONGEST, Duration::from_secs(1));
        let whole = whole.await.map(Whole::into_bytes);
        whole.map_err(|answer| answer.status())
    }

    #[test]
    fn the_oldest_makes_way() {
        let bodies = bodies(10);
        let (old, new) = (bodies.begin(), bodies.begin());
        assert!(push(&bodies, &old, b"12345") && push(&bodies, &new, b"12345"));
        assert!(push(&bodies, &new, b"6"));
        assert!(!push(&bodies, &old, b"6"), "it has made way");
        assert!(old.finish().is_err());
        assert_eq!(&*new.finish().ok().expect("it is whole"), b"123456");
        assert_eq!(bodies.held().bytes, 0);
    }

    #[test]
    fn what_is_whole_makes_way_for_nobody() {
        let bodies = bodies(10);
        let old = bodies.begin();
        assert!(push(&bodies, &old, b"12345678"));
        let whole = old.finish().ok().expect("it is whole");
        let new = bodies.begin();
        assert!(!push(&bodies, &new, b"123"));
        drop(whole);
        let another = bodies.begin();
        assert!(push(&bodies, &another, b"123"));
    }

    #[test]
    fn room_that_is_taken_is_given_back() {
        let bodies = bodies(1_000);
        let reading = bodies.begin();
        for _ in 0..90 {
            assert!(push(&bodies, &reading, b"1"));
        }
        assert!((90..=100).contains(&bodies.held().bytes));
        drop(reading);
        assert_eq!(bodies.held().bytes, 0);
    }

    #[tokio::test]
    async fn one_byte_more_than_may_be_is_too_long_and_counted() {
        let bodies = bodies(100);
        assert_eq!(read(&bodies, "12345678").await, Ok("12345678".into()));
        let refused = read(&bodies, "123456789").await;
        assert_eq!(refused, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(bodies.turned_away.so_far()["body_bytes"], 1);
        assert_eq!(bodies.held().bytes, 0);
    }

    #[tokio::test]
    async fn where_there_is_no_room_the_sender_is_told_to_come_back() {
        let bodies = bodies(7);
        let answer = bodies.read(full("12345678"), LONGEST, Duration::from_secs(1));
        let refused = answer.await.err().expect("there is no room");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(bodies.turned_away.so_far()["all_bodies_bytes"], 1);
        let nothing = bodies.read(empty(), LONGEST, Duration::from_secs(1));
        assert!(nothing.await.is_ok());
    }
}
