//! `GET /v1/mesh/events`: a reader's own way through the events, as server-sent events.
//!
//! A stream begins where the reader's `Last-Event-ID` left off. Where that is not possible, and for whoever brings none, it
//! begins with a `reset`: the mesh as it is now. So whoever applies what comes, in order, never misses a change. (WHATWG,
//! “HTML”, section 9.2, has the format.)

use crate::answer::{Answer, mesh_off, unavailable, wrong_method};
use crate::events::{After, Events, Newest, READERS, unix_seconds};
use crate::health;
use crate::here::{Here, Mesh};
use astromesh_core::api::{MeshEvent, MeshStatus};
use astromesh_core::http::{Body, BoxError};
use hyper::body::{Bytes, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, watch};
use tokio::time::timeout;

/// How long a stream is silent at the most: then a comment says that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// After how long a reader whose connection broke should come back, in milliseconds.
const RETRY_MILLIS: u32 = 1_000;

/// Answers a call of `/v1/mesh/events`.
pub(crate) fn answer<B>(here: &Arc<Here>, request: &Request<B>) -> Answer {
    if let Some(refusal) = wrong_method(request.method(), "GET") {
        return refusal;
    }
    let Some(mesh) = &here.mesh else {
        return mesh_off();
    };
    let seat = match mesh.events.seat() {
        Ok(seat) => seat,
        Err(TryAcquireError::Closed) => {
            return unavailable("this node is stopping", Duration::from_secs(1));
        }
        Err(TryAcquireError::NoPermits) => {
            let detail = format!("{READERS} readers follow the events already");
            return unavailable(detail, Duration::from_secs(5));
        }
    };
    let reader = Reader::new(Arc::clone(here), mesh, seat, request.headers());
    let mut answer = Response::new(Body::new(Stream::new(reader)));
    let headers = answer.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// One who reads, and how far.
struct Reader {
    here: Arc<Here>,
    /// The last event that it knows of.
    last: u64,
    /// Why it has to begin anew, where it has to.
    reset: Option<&'static str>,
    newest: watch::Receiver<Newest>,
    /// What is to be said before anything else.
    preface: Option<String>,
    _seat: OwnedSemaphorePermit,
}

impl Reader {
    fn new(here: Arc<Here>, mesh: &Mesh, seat: OwnedSemaphorePermit, headers: &HeaderMap) -> Self {
        let ticket = headers.get("last-event-id");
        let left_off = ticket.map(|ticket| mesh.events.redeemed(ticket.to_str().ok()?));
        let (last, reset) = match left_off {
            Some(Some(id)) => (id, None),
            Some(None) => (0, Some("the daemon was started anew")),
            None => (0, Some("the events begin here")),
        };
        Self {
            here,
            last,
            reset,
            newest: mesh.events.newest(),
            preface: Some(format!("retry: {RETRY_MILLIS}\n\n")),
            _seat: seat,
        }
    }

    /// What is written next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        // A node without a mesh has no readers.
        let here = Arc::clone(&self.here);
        let mesh = here.mesh.as_ref()?;
        if let Some(preface) = self.preface.take() {
            return Some(preface);
        }
        loop {
            let newest = *self.newest.borrow_and_update();
            if let Some(why) = self.reset.take() {
                self.last = newest.id;
                return Some(self.written(&mesh.events, &reset(&here, mesh, newest.id, why)));
            }
            match mesh.events.after(self.last) {
                After::Event(event) => {
                    self.last = event.id;
                    return Some(self.written(&mesh.events, &event));
                }
                After::Lost => {
                    self.reset = Some("events were lost: more happened than is kept");
                    continue;
                }
                After::Nothing if newest.is_closing => return None,
                After::Nothing => {}
            }
            match timeout(KEEP_ALIVE, self.newest.changed()).await {
                Ok(Ok(())) => {}
                // The daemon is gone altogether.
                Ok(Err(_)) => return None,
                Err(_) => return Some(": still here\n\n".to_owned()),
            }
        }
    }

    fn written(&self, events: &Events, event: &MeshEvent) -> String {
        let json =
            serde_json::to_string(event).expect("text keys and finite numbers always make JSON");
        let (ticket, kind) = (events.ticket(event.id), &event.kind);
        format!("id: {ticket}\nevent: {kind}\ndata: {json}\n\n")
    }
}

/// The mesh as it is now, to begin with.
fn reset(here: &Here, mesh: &Mesh, id: u64, why: &str) -> MeshEvent {
    let status = health::mesh_status(here, mesh);
    MeshEvent {
        id,
        at: unix_seconds(),
        kind: "reset".to_owned(),
        message: format!("sees {} ({why})", tally(&status)),
        node_id: here.id.to_string(),
        name: here.name().to_owned(),
        reason: Some(why.to_owned()),
        leader: status.leader.as_ref().map(|leader| leader.node_id.clone()),
        mesh: Some(Box::new(status)),
        ..MeshEvent::default()
    }
}

fn tally(mesh: &MeshStatus) -> String {
    let count = |status: &str| {
        let as_said = mesh.members.iter().filter(|member| member.status == status);
        as_said.count()
    };
    let leader = match &mesh.leader {
        Some(leader) => format!("the leader is {}", leader.name),
        None => "there is no leader".to_owned(),
    };
    let (alive, suspect, dead) = (count("alive"), count("suspect"), count("dead"));
    format!("{alive} alive, {suspect} suspect, {dead} dead; {leader}")
}

type Next = Pin<Box<dyn Future<Output = (Reader, Option<String>)> + Send>>;

/// What a reader gets, as a body. It is asked for the next part when the one before is on its way, so a reader that does
/// not read costs nothing but its seat.
struct Stream(Option<Next>);

impl Stream {
    fn new(reader: Reader) -> Self {
        Self(Some(Self::next(reader)))
    }

    fn next(mut reader: Reader) -> Next {
        Box::pin(async move {
            let part = reader.next().await;
            (reader, part)
        })
    }
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(next) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let (reader, part) = ready!(next.as_mut().poll(context));
        self.0 = part.is_some().then(|| Self::next(reader));
        Poll::Ready(part.map(|part| Ok(Frame::data(part.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Daemon;
    use crate::events::KEPT;
    use maia::event::Event;

    fn reader(daemon: &Daemon) -> Reader {
        let mesh = daemon.here.mesh.as_ref().expect("a mesh");
        let seat = mesh.events.seat().expect("a seat");
        Reader::new(Arc::clone(&daemon.here), mesh, seat, &HeaderMap::new())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_a_comment() {
        let daemon = Daemon::alone().await;
        let mut reader = reader(&daemon);
        assert_eq!(reader.next().await.expect("more"), "retry: 1000\n\n");
        let reset = reader.next().await.expect("more");
        assert!(
            reset.contains("\nevent: reset\n") && reset.ends_with("}\n\n"),
            "{reset}"
        );
        // What a node alone has to say is soon said.
        loop {
            let before = tokio::time::Instant::now();
            let part = reader.next().await.expect("more");
            if part == ": still here\n\n" {
                assert!(before.elapsed() >= KEEP_ALIVE, "{:?}", before.elapsed());
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_that_it_missed_something() {
        let daemon = Daemon::alone().await;
        let mut reader = reader(&daemon);
        reader.next().await.expect("the preface");
        reader.next().await.expect("the first reset");
        let events = &daemon.here.mesh.as_ref().expect("a mesh").events;
        for _ in 0..=KEPT {
            let view = daemon.view().expect("a mesh");
            events.note(&Event::Refuted, &view);
        }
        let lost = reader.next().await.expect("more");
        assert!(lost.contains("events were lost"), "{lost}");
        events.note(&Event::Refuted, &daemon.view().expect("a mesh"));
        let next = reader.next().await.expect("more");
        assert!(next.contains("\nevent: refuted\n"), "{next}");
        events.close();
        assert_eq!(reader.next().await, None);
    }
}
