//! What somebody asks of a model, as it came.

use super::dialect::Dialect;
use super::json::{Object, Wrong};
use astromesh_core::api::PROVIDER_HEADER;
use hyper::body::Bytes;
use hyper::header::HeaderMap;

/// One request for a model. Its body is kept as it came; only what decides where it goes is read.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// How the client speaks.
    pub(crate) dialect: Dialect,
    /// The model.
    pub(crate) model: String,
    /// The provider, where no other may be asked.
    pub(crate) provider: Option<String>,
    /// As it came.
    pub(crate) body: Bytes,
}

impl Ask {
    /// Reads it, or says what is wrong with it.
    pub(crate) fn read(dialect: Dialect, headers: &HeaderMap, body: Bytes) -> Result<Self, Wrong> {
        let asked = Object::read(&body)?;
        let model: Option<String> = asked.look_at("model")?;
        let provider = headers.get(PROVIDER_HEADER).map(|name| {
            name.to_str()
                .map(str::to_owned)
                .map_err(|_| Wrong::new(PROVIDER_HEADER, "expected the name of a provider"))
        });
        Ok(Self {
            dialect,
            model: model.filter(|model| !model.is_empty()).ok_or_else(|| {
                Wrong::new("model", "expected the name of a model, found nothing")
            })?,
            provider: provider.transpose()?,
            body,
        })
    }
}
