//! Whoever knows models, as an agent sees it.

use crate::answer::Answer;
use astromesh_core::http::Body;
use hyper::Request;
use std::pin::Pin;
use std::sync::Arc;

/// An answer that is being waited for.
pub(crate) type Awaited = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Takes what OpenAI's clients post to `/v1/chat/completions`, and answers as that would.
pub(crate) trait Models: Send + Sync + 'static {
    /// Asks a model, for the sake of a run that had been passed on `hops` times.
    fn chat(self: Arc<Self>, hops: u32, request: Request<Body>) -> Awaited;
}
