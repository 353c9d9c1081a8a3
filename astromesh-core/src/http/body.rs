//! Bodies: of one type whatever they are made of, and read up to a bound where one must be read whole.

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;

/// What a body may fail with on its way.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that goes out, or one that came in and is passed on.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than was allowed.
    #[error("the body is longer than {limit_bytes} bytes")]
    TooLarge {
        /// What was allowed.
        limit_bytes: usize,
    },
    /// It broke off.
    #[error("the body broke off")]
    Broken(#[source] BoxError),
}

/// A body without content.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Reads a body whole, as long as it stays within `limit_bytes`. A body that says its length is refused unread where that is
/// too much. Bound the time around it.
///
/// # Errors
/// Where it is longer, or broke off.
pub async fn read_bounded<B>(mut body: B, limit_bytes: usize) -> Result<Bytes, ReadError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(ReadError::TooLarge { limit_bytes });
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ReadError::Broken(error.into()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit_bytes {
            return Err(ReadError::TooLarge { limit_bytes });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// An error and what caused it, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes =
        std::iter::successors(Some(error), |error: &&(dyn std::error::Error + 'static)| {
            error.source()
        });
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
