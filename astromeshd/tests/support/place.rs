//! A server that answers as a test says, and remembers what it was asked; and what a model would answer.

use astromesh_core::http::{Body, full};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// It stops when it is dropped.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    _tasks: JoinSet<()>,
}

/// What to answer to a request, and how many came before it; `None`: nothing, ever.
type Script = dyn Fn(&Heard, usize) -> Option<Response<Body>> + Send + Sync;

impl Place {
    pub(crate) async fn new(
        script: impl Fn(&Heard, usize) -> Option<Response<Body>> + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub(crate) async fn at(
        address: SocketAddr,
        script: impl Fn(&Heard, usize) -> Option<Response<Body>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&heard));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                let service = service_fn(move |request| {
                    let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                    async move { Ok::<_, Infallible>(answer(request, &*script, &log).await) }
                });
                connections.spawn(async move {
                    let io = TokioIo::new(stream);
                    drop(http1::Builder::new().serve_connection(io, service).await);
                });
            }
        });
        Self {
            address,
            heard,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    script: &Script,
    log: &Mutex<Vec<Heard>>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let heard = Heard {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(heard.clone());
        log.len() - 1
    };
    match script(&heard, before) {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

pub(crate) fn reply(status: u16, kind: &str, body: impl Into<String>) -> Option<Response<Body>> {
    let answer = Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(full(body.into()));
    Some(answer.unwrap())
}

pub(crate) fn reply_json(status: u16, body: &Value) -> Option<Response<Body>> {
    reply(status, "application/json", body.to_string())
}

/// A model that answers with `text`.
pub(crate) fn says(text: &str) -> Option<Response<Body>> {
    completion(&json!({"role": "assistant", "content": text}))
}

/// A model that wants these tools called, each with its arguments.
pub(crate) fn calls(tools: &[(&str, Value)]) -> Option<Response<Body>> {
    completion(&json!({"role": "assistant", "content": null, "tool_calls": calls_of(tools)}))
}

fn calls_of(tools: &[(&str, Value)]) -> Vec<Value> {
    let calls = tools.iter().enumerate().map(|(place, (name, arguments))| {
        json!({
            "index": place, "id": format!("call-{place}"), "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()},
        })
    });
    calls.collect()
}

fn completion(message: &Value) -> Option<Response<Body>> {
    reply_json(
        200,
        &json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "mock-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
        }),
    )
}

/// The same in pieces, the text word by word.
pub(crate) fn streams(text: &str, tools: &[(&str, Value)]) -> Option<Response<Body>> {
    let chunk = |delta: Value| {
        json!({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "mock-1",
            "choices": [{"index": 0, "delta": delta, "finish_reason": null}],
        })
    };
    let mut chunks = vec![chunk(json!({"role": "assistant", "content": ""}))];
    chunks.extend(
        text.split_inclusive(' ')
            .map(|word| chunk(json!({ "content": word }))),
    );
    for mut call in calls_of(tools) {
        let arguments = call["function"]["arguments"].take();
        let arguments = arguments.as_str().unwrap();
        let (one, other) = arguments.split_at(arguments.len() / 2);
        call["function"]["arguments"] = json!(one);
        let index = call["index"].clone();
        chunks.push(chunk(json!({"tool_calls": [call]})));
        chunks.push(chunk(
            json!({"tool_calls": [{"index": index, "function": {"arguments": other}}]}),
        ));
    }
    let mut last = chunk(json!({}));
    last["choices"] = json!([]);
    last["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12});
    chunks.push(last);
    let events: String = chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect();
    reply(
        200,
        "text/event-stream",
        format!("{events}data: [DONE]\n\n"),
    )
}
