//! A request that is read and written in one go.
//!
//! Plain is a run of an agent by `POST`, in the form that every client writes: HTTP/1.1, one host, one length, a body that
//! has come, and no field that is about the connection or between nodes. Whoever writes anything else is served in the
//! ordinary way, which is where it is judged as well.

use super::fields::{List, bytes_said, is_text, push};
use crate::here::{Here, Visitor};
use crate::hop::is_hop_by_hop;
use crate::listing::agent_name;
use crate::router::{PSEUDONYM, REQUEST_ID_HEADER};
use crate::server::heads;
use astromesh_core::api::HOPS_HEADER;
use astromesh_core::http::{Body, BoxError, full};
use httparse::{EMPTY_HEADER, Header, Request, Status};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http;
use maia::address::Url;
use maia::id::Label;
use maia::wire::NODE_ID_HEADER;
use std::ops::Range;
use uuid::Uuid;

/// As many fields are read; with more it is not plain.
const FIELDS: usize = 64;

/// What is added to a head, roughly.
const ADDED_BYTES: usize = 384;

/// What has come of a request.
pub(super) enum Read {
    Part,
    Plain(Box<Plain>),
    Other,
}

/// A plain request, on its way out.
pub(super) struct Plain {
    pub(super) agent: Label,
    /// Whether it may be for the node that holds its session.
    pub(super) names_session: bool,
    /// What it is called in every log that it passes.
    pub(super) id: Vec<u8>,
    /// The head that goes out, but for the host.
    head: Vec<u8>,
    body: Range<usize>,
}

/// What a field is to a plain request.
enum Field {
    /// It goes on as it is.
    Passed,
    Host,
    Length,
    Id,
    ForwardedFor,
    Via,
    /// Where it says no more than what is so anyway, it goes no further.
    Connection,
    /// With it, the request is not plain.
    Other,
}

impl Field {
    fn of(name: &str) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            3 if is("via") => Self::Via,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Other,
            10 if is("connection") => Self::Connection,
            12 if is("x-request-id") => Self::Id,
            14 if is("content-length") => Self::Length,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            _ if is_hop_by_hop(name) || is_ours(name) => Self::Other,
            _ => Self::Passed,
        }
    }
}

/// Whether it is one that nodes write to each other.
fn is_ours(name: &str) -> bool {
    const OURS: &str = "x-astromesh-";
    name.get(..OURS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

impl Plain {
    /// What the bytes that have come are.
    pub(super) fn read(came: &[u8], here: &Here, visitor: &Visitor) -> Read {
        let limits = &here.settings.limits;
        let mut fields = [EMPTY_HEADER; FIELDS];
        let Some(fields) = fields.get_mut(..limits.headers.min(FIELDS)) else {
            return Read::Other;
        };
        let mut request = Request::new(fields);
        let head = match request.parse(came) {
            Ok(Status::Complete(head)) if head <= limits.header_bytes => head,
            Ok(Status::Partial) if came.len() <= limits.header_bytes => return Read::Part,
            _ => return Read::Other,
        };
        if heads::is_plain(&came[..head]) != Some(true) {
            return Read::Other;
        }
        let Some((agent, path)) = asked_for(&request) else {
            return Read::Other;
        };
        let Some(taken) = Taken::from(request.headers) else {
            return Read::Other;
        };
        let body = head..head + taken.length;
        let Some(bytes) = came.get(body.clone()) else {
            return Read::Part;
        };
        Read::Plain(Box::new(Self {
            agent,
            names_session: here.mesh.is_some() && names_session(bytes),
            head: taken.head(path, request.headers, here, visitor),
            id: taken.id,
            body,
        }))
    }

    /// How many bytes it has in all.
    pub(super) fn bytes(&self) -> usize {
        self.body.end
    }

    /// The request in the form that all others have, of what `came`.
    ///
    /// # Errors
    /// Where it cannot be put in that form.
    pub(super) fn usual(&self, came: &[u8]) -> Result<http::Request<Body>, BoxError> {
        let mut fields = [EMPTY_HEADER; FIELDS];
        let mut head = Request::new(&mut fields);
        head.parse(came)?;
        let body = full(came[self.body.clone()].to_vec());
        let mut request = http::Request::post(head.path.unwrap_or_default()).body(body)?;
        let headers = request.headers_mut();
        for field in &*head.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes())?;
            headers.append(name, HeaderValue::from_bytes(field.value)?);
        }
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(&self.id)?);
        Ok(request)
    }

    /// What goes out to the node at `url`, of what came.
    pub(super) fn to(&self, url: &Url, came: &[u8]) -> Vec<u8> {
        let host = url.as_str().trim_start_matches("http://");
        let mut out = Vec::with_capacity(self.head.len() + host.len() + 10 + self.body.len());
        out.extend_from_slice(&self.head);
        push(&mut out, "host", host.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&came[self.body.clone()]);
        out
    }
}

/// The agent that is to run, and the path that says so.
fn asked_for<'a>(request: &Request<'_, 'a>) -> Option<(Label, &'a str)> {
    let path = request
        .path
        .filter(|_| request.method == Some("POST") && request.version == Some(1))?;
    let name = path.strip_prefix("/v1/agents/")?.strip_suffix("/run")?;
    // A query is part of no name.
    let is_one = !name.contains(['/', '?', '#']);
    Some((agent_name(name).filter(|_| is_one)?, path))
}

/// Whether a body may name a session, whose node then goes before others.
fn names_session(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.contains("session_id"))
}

/// What is taken out of a head.
struct Taken {
    length: usize,
    id: Vec<u8>,
    forwarded_for: List,
    via: List,
}

impl Taken {
    /// `None` where one of the fields makes the request another than a plain one.
    fn from(fields: &[Header<'_>]) -> Option<Self> {
        let (mut hosts, mut length, mut id) = (0, None, None);
        let (mut forwarded_for, mut via) = (List::default(), List::default());
        for field in fields {
            match Field::of(field.name) {
                Field::Passed => {}
                Field::Host => hosts += 1,
                Field::Length => length = Some(bytes_said(field.value)?),
                Field::Id if id.is_none() => id = named(field.value),
                Field::Id => {}
                Field::ForwardedFor => forwarded_for.add(field.value),
                Field::Via => via.add(field.value),
                Field::Connection if field.value.eq_ignore_ascii_case(b"keep-alive") => {}
                Field::Connection | Field::Other => return None,
            }
        }
        (hosts == 1).then_some(())?;
        Some(Self {
            length: length?,
            id: id.unwrap_or_else(|| Uuid::new_v4().to_string().into_bytes()),
            forwarded_for,
            via,
        })
    }

    /// The head that goes out, but for the host and its end.
    fn head(&self, path: &str, fields: &[Header<'_>], here: &Here, visitor: &Visitor) -> Vec<u8> {
        let bytes = fields
            .iter()
            .map(|field| field.name.len() + field.value.len() + 4);
        let mut head = Vec::with_capacity(path.len() + bytes.sum::<usize>() + ADDED_BYTES);
        for part in ["POST ", path, " HTTP/1.1\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        for field in fields {
            if matches!(Field::of(field.name), Field::Passed | Field::Length) {
                push(&mut head, field.name, field.value);
            }
        }
        self.forwarded_for.push_with(
            &mut head,
            "x-forwarded-for",
            visitor.forwarded_for.as_bytes(),
        );
        self.via.push_with(&mut head, "via", PSEUDONYM.as_bytes());
        push(&mut head, REQUEST_ID_HEADER, &self.id);
        push(&mut head, HOPS_HEADER, b"1");
        push(&mut head, NODE_ID_HEADER, here.id_text.as_bytes());
        head
    }
}

/// A request's name, if it can be one.
fn named(value: &[u8]) -> Option<Vec<u8>> {
    const LONGEST: usize = 128;
    ((1..=LONGEST).contains(&value.len()) && is_text(value)).then(|| value.to_vec())
}
