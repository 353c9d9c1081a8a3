//! `GET /v1/models`, and one of them.

use crate::answer::{Answer, json, wrong_method};
use crate::here::Here;
use crate::providers::Dialect;
use crate::router::Origin;
use astromesh_core::api::ModelList;
use hyper::{Request, StatusCode};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// Answers a call for what there is. Another node wants to know what is here, and no more.
pub(super) async fn answer<B>(here: &Arc<Here>, origin: Origin, request: &Request<B>) -> Answer {
    if let Some(refusal) = wrong_method(request.method(), "GET, HEAD") {
        return refusal;
    }
    let list = list(here, origin).await;
    let rest = request.uri().path().strip_prefix(super::MODELS);
    let Some(id) = rest.and_then(|rest| rest.strip_prefix('/')) else {
        return json(StatusCode::OK, &list);
    };
    let id = percent_decode_str(id).decode_utf8_lossy();
    match list.data.iter().find(|model| model.id == id) {
        Some(model) => json(StatusCode::OK, model),
        None => {
            let message = format!("no provider has a model {id:?}");
            let dialect = Dialect::of(request.headers());
            dialect.trouble(StatusCode::NOT_FOUND, Some("model_not_found"), &message)
        }
    }
}

async fn list(here: &Here, _: Origin) -> ModelList {
    here.providers.models().await
}
