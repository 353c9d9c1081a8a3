//! Calls to places that others may have chosen: only where the operator allows it, whatever a name resolves to.
//!
//! A name is resolved once, each address is looked at, and the connection goes to one that passed: nothing is resolved a
//! second time in between. Redirects are not followed, for they would lead past all this.

use astromesh_core::allow::AllowList;
use astromesh_core::http::{Body, BoxError};
use http_body_util::BodyExt;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use maia::address::Url;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;
use tokio::net::lookup_host;
use tower_service::Service;

/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A way out to some places.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    /// `None`: anywhere, for the operator wrote down where.
    allow: Option<Arc<AllowList>>,
    client: legacy::Client<HttpsConnector<HttpConnector<Gate>>, Body>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    /// It is no place to go to: nothing was sent.
    #[error("{place}: {reason}")]
    Refused {
        /// What was asked for.
        place: String,
        /// Why not.
        reason: String,
    },
    /// There is no connection: nothing was sent.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// What was asked for.
        place: String,
        /// Why not.
        reason: String,
    },
    /// It broke off before there was an answer.
    #[error("{place} broke off: {reason}")]
    Broken {
        /// What was asked for.
        place: String,
        /// What happened.
        reason: String,
    },
}

impl Outside {
    /// To what is on the list.
    pub(crate) fn within(allow: AllowList) -> Self {
        Self::through(Some(Arc::new(allow)), true)
    }

    /// To a place that the operator wrote down, wherever it is.
    pub(crate) fn to(uri: &Uri) -> Self {
        Self::through(None, uri.scheme_str() == Some("https"))
    }

    fn through(allow: Option<Arc<AllowList>>, by_https: bool) -> Self {
        let mut http = HttpConnector::new_with_resolver(Gate(allow.clone()));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(crate::tls::settings(by_https))
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // Calls are few and far between, and each is looked at anew.
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(https);
        Self { allow, client }
    }

    /// Sends a request with a whole URI; returns once the head of the answer is there. Set a deadline around it.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, OutsideError> {
        let uri = request.uri();
        let place = place_of(uri).map_err(|reason| OutsideError::Refused {
            place: uri.to_string(),
            reason,
        })?;
        let shown = uri
            .authority()
            .map_or_else(|| uri.to_string(), |host| host.as_str().to_owned());
        if let Some(allow) = &self.allow
            && !allow.permits(&place)
        {
            let reason = format!("may not be called; what may is: {allow}");
            return Err(OutsideError::Refused {
                place: shown,
                reason,
            });
        }
        match self.client.request(request).await {
            Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
            Err(error) => Err(trouble(shown, &error)),
        }
    }
}

/// The place that a URI names: host and port, whichever scheme.
fn place_of(uri: &Uri) -> Result<Url, String> {
    let usual = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err("expected an http or https URL".to_owned()),
    };
    let authority = uri.authority().ok_or("expected a URL with a host")?;
    if authority.as_str().contains('@') {
        return Err("expected a URL without a user".to_owned());
    }
    let port = authority.port_u16().unwrap_or(usual);
    Url::new(&format!("http://{}:{port}", authority.host())).map_err(|error| error.to_string())
}

fn trouble(place: String, error: &legacy::Error) -> OutsideError {
    let causes =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
            error.source()
        });
    // What is around the innermost says no more than that it is about connecting.
    let Some(innermost) = causes.last() else {
        let reason = error.to_string();
        return OutsideError::Broken { place, reason };
    };
    let reason = innermost.to_string();
    match innermost.is::<Forbidden>() {
        true => OutsideError::Refused { place, reason },
        false if error.is_connect() => OutsideError::Unreachable { place, reason },
        false => OutsideError::Broken { place, reason },
    }
}

/// Resolves names, and lets no address through that is not allowed.
#[derive(Clone, Debug)]
struct Gate(Option<Arc<AllowList>>);

/// A name leads nowhere but to addresses that may not be called.
#[derive(Debug, thiserror::Error)]
#[error(
    "may not be called: it lies at {0}, which is not public and not on the list by its address"
)]
struct Forbidden(std::net::IpAddr);

impl Gate {
    async fn resolve(self, name: Name) -> Result<vec::IntoIter<SocketAddr>, BoxError> {
        let found: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
        let Some(allow) = self.0 else {
            return Ok(found.into_iter());
        };
        let (passed, stopped): (Vec<SocketAddr>, Vec<SocketAddr>) = found
            .into_iter()
            .partition(|address| allow.permits_address(address.ip()));
        match (passed.is_empty(), stopped.first()) {
            (true, Some(address)) => Err(Forbidden(address.ip()).into()),
            _ => Ok(passed.into_iter()),
        }
    }
}

impl Service<Name> for Gate {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().resolve(name))
    }
}
