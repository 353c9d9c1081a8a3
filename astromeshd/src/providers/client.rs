//! The way to providers: HTTP and HTTPS, connections kept, and a deadline on everything.

use crate::tls;
use astromesh_core::http::{Body, BoxError, chain, patient};
use http_body_util::BodyExt;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tower_service::Service;

/// How long resolving, connecting and agreeing on keys may take together.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept, and how many to one provider.
const KEPT_FOR: Duration = Duration::from_secs(30);
const KEPT: usize = 64;

/// Connections to providers.
#[derive(Clone, Debug)]
pub(super) struct Client {
    inner: legacy::Client<Within<HttpsConnector<HttpConnector>>, Body>,
    first_byte: Duration,
    idle: Duration,
}

impl Client {
    /// One that waits so long for an answer to begin, and so long for it to go on. Only `with_tls` does it look at what
    /// this machine trusts.
    pub(super) fn new(first_byte: Duration, idle: Duration, with_tls: bool) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::settings(with_tls))
            .https_or_http()
            .enable_http1()
            .build();
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT)
            .build(Within(https));
        Self {
            inner,
            first_byte,
            idle,
        }
    }

    /// Sends a request with a whole URI, and returns once the head of the answer is there. An error says what went wrong.
    /// Dropping the future or the answer's body closes the connection, which tells the provider.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, String> {
        match timeout(self.first_byte, self.inner.request(request)).await {
            Ok(Ok(answer)) => {
                Ok(answer.map(|body| patient(body.map_err(Into::into).boxed_unsync(), self.idle)))
            }
            Ok(Err(error)) if error.is_connect() => {
                Err(format!("cannot be reached: {}", innermost(&error)))
            }
            Ok(Err(error)) => Err(format!("broke off: {}", chain(&error))),
            Err(_) => Err(format!(
                "did not begin to answer within {:?}",
                self.first_byte
            )),
        }
    }
}

/// The cause of all causes: what is around it says no more than that it is about connecting.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map_or_else(String::new, ToString::to_string)
}

/// A connector that gives up after [`CONNECT`].
#[derive(Clone, Debug)]
struct Within<C>(C);

impl<C> Service<Uri> for Within<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async {
            match timeout(CONNECT, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(format!("no connection within {CONNECT:?}").into()),
            }
        })
    }
}
