//! Where traces go: by the variables that all who speak OTLP know.

use super::providers::BaseUrl;
use super::source::Environment;
use crate::error::ConfigError;
use crate::leaf::{Leaf, Scalar};
use hyper::Uri;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

/// Where the collector takes traces, if there is one.
pub(super) fn endpoint(environment: &Environment) -> Result<Option<Uri>, ConfigError> {
    let Some(value) = environment.get(ENDPOINT) else {
        return Ok(None);
    };
    let wrong = |reason| ConfigError::at(ENDPOINT, reason);
    let BaseUrl(base) = BaseUrl::read(Scalar::Text(value)).map_err(wrong)?;
    let uri = format!("{base}/v1/traces").parse();
    uri.map(Some)
        .map_err(|error| wrong(format!("expected an http or https URL: {error}")))
}

/// A way of speaking that is asked for and is not ours.
pub(super) fn warning(environment: &Environment, endpoint: Option<&Uri>) -> Option<String> {
    const OURS: &str = "http/json";
    let asked = environment.get(PROTOCOL)?;
    let is_other = endpoint.is_some() && asked != OURS;
    is_other.then(|| {
        format!(
            "{PROTOCOL}={} is ignored: traces are sent by {OURS}, which collectors take on the port of http/protobuf, most often 4318",
            asked.escape_debug()
        )
    })
}
