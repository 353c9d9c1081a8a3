//! One connection: its requests are read, judged, answered and written back, until it closes.

use super::express::{Express, Rest};
use super::heads;
use super::pulse::{self, Attended, Pulse};
use super::rewound::Rewound;
use super::workers::Place;
use crate::answer::{Answer, trouble};
use crate::begun;
use crate::here::{Here, Visitor};
use astromesh_core::http::Body;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a connection that has just been opened is still read when this node stops: its request is on its way.
const GRACE: Duration = Duration::from_secs(1);

/// One that was taken, on its way to who serves it.
pub(super) struct Connection {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    open: Open,
    _place: Place,
}

/// Counts an open connection, until it is dropped.
pub(super) struct Open(Arc<Here>);

impl Open {
    pub(super) fn new(here: &Arc<Here>) -> Self {
        here.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(here))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) fn new(
        stream: std::net::TcpStream,
        peer: SocketAddr,
        open: Open,
        place: Place,
    ) -> Self {
        Self {
            stream,
            peer,
            open,
            _place: place,
        }
    }

    /// Serves it until it closes, and reads no more requests once it is `closing`.
    pub(super) async fn serve(self, pulse: Arc<Pulse>, mut closing: watch::Receiver<bool>) {
        let here = &self.open.0;
        let Ok(stream) = TcpStream::from_std(self.stream) else {
            return;
        };
        // Only a hint: without it small answers wait for an acknowledgement.
        drop(stream.set_nodelay(true));
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let visitor = &Visitor::new(self.peer, local);
        let mut closed = pin!(closed(&mut closing, &pulse));
        let express = Express::new(stream, here, visitor, &pulse);
        let Some(rest) = express.serve(closed.as_mut()).await else {
            return;
        };
        // A connection that never comes here, as most, takes no room for this.
        Box::pin(serve_rest(rest, here, visitor, &pulse, closed)).await;
    }
}

/// Serves what the express leaves, whatever it is.
async fn serve_rest(
    rest: Rest,
    here: &Arc<Here>,
    visitor: &Visitor,
    pulse: &Arc<Pulse>,
    mut closed: Pin<&mut impl Future<Output = ()>>,
) {
    let limits = &here.settings.limits;
    let mut http = http1::Builder::new();
    http.header_read_timeout(None)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(64 * 1_024));
    let service = service_fn(|request| {
        let pulse = Arc::clone(pulse);
        // hyper keeps room for as long as the connection is open: without the box, 10 KiB, also where a stream only lasts.
        Box::pin(async move {
            pulse.begin();
            let answer = match heads::refusal(&request, pulse.seen()) {
                None => super::answer(here, visitor, in_origin_form(request)).await,
                Some(reason) => ambiguous(here, visitor, reason),
            };
            Ok::<_, Infallible>(answer.map(|body| pulse::until_sent(body, pulse)))
        })
    });
    let io = Rewound::new(rest.came, TokioIo::new(rest.stream));
    let io = Attended::new(io, Arc::clone(pulse), here, visitor);
    let mut connection = pin!(http.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closed.as_mut() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log::debug!("connection from {}: {error}", visitor.address());
    }
}

/// Returns once no more requests are to be read.
async fn closed(closing: &mut watch::Receiver<bool>, pulse: &Pulse) {
    // An error says that the daemon is gone altogether.
    drop(closing.wait_for(|closing| *closing).await);
    if pulse.is_new() {
        sleep(GRACE).await;
    }
}

/// A request whose head can be read in two ways. Nothing of the connection is read any more, for nobody knows where in it
/// the next one begins.
fn ambiguous(here: &Here, visitor: &Visitor, reason: &str) -> Answer {
    here.turned_away.count("ambiguous");
    here.complain_of(
        visitor.address(),
        &format!("sent a request that is refused: {reason}"),
    );
    let detail = format!("this request is refused: {reason}");
    let mut answer = trouble(StatusCode::BAD_REQUEST, detail);
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The request as it is written to a node, and not to a proxy: without the host in its first line.
fn in_origin_form(mut request: Request<Incoming>) -> Request<Incoming> {
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    request
}

/// The request, once its body has begun where that is chunked: what is no chunk at all goes no further.
pub(super) async fn begun(
    here: &Here,
    request: Request<Incoming>,
) -> Result<Request<Body>, Answer> {
    let (head, mut body) = request.into_parts();
    if body.size_hint().exact().is_some() {
        let body = body.map_err(Into::into).boxed_unsync();
        return Ok(Request::from_parts(head, body));
    }
    let patience = here.settings.limits.body_timeout;
    match timeout(patience, body.frame()).await {
        Ok(None) => Ok(Request::from_parts(head, astromesh_core::http::empty())),
        Ok(Some(Ok(first))) => {
            let body = body.map_err(Into::into).boxed_unsync();
            Ok(Request::from_parts(head, begun::with(first, body)))
        }
        Ok(Some(Err(error))) => {
            log::debug!("a body is not chunked as it says: {error}");
            Err(trouble(StatusCode::BAD_REQUEST, "the body broke off"))
        }
        Err(_) => {
            here.turned_away.count("body_timeout");
            let detail = format!("the body had not begun within {patience:?}");
            Err(trouble(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}
