//! One provider elsewhere: how it is asked, and what its answers mean.
//!
//! An answer passes on as it came where client and provider speak alike, and in the client's words where not. What the
//! provider holds against the request (400, 429 and so on) is for the client, with its body. What it holds against this
//! node is not: a refused key, a redirect, a fault of its own. Its key goes to it and nowhere else, not even back.

use super::ask::Ask;
use super::client::Client;
use super::dialect::Dialect;
use super::heads::{self, contains};
use super::json::{Object, Wrong};
use super::listing::{self, Having, Listing, NoList};
use super::translate::{self, Limit, request_to_anthropic, request_to_openai};
use crate::answer::{Answer, mark_events};
use crate::tally::Tally;
use astromesh_core::api::{Model, ProviderStatus};
use astromesh_core::http::{Body, empty, full, read_bounded};
use astromesh_core::settings::{self, ProviderKind};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use secrecy::ExposeSecret;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a provider may take to say which models it has, and how much it may say.
const LIST_PATIENCE: Duration = Duration::from_secs(3);
const LIST_BYTES: usize = 4 * 1_024 * 1_024;

/// The longest refusal that is passed on, and how much of one is shown in ours.
const REFUSAL_BYTES: usize = 256 * 1_024;
const SHOWN: usize = 200;

/// How long a provider that failed is asked after the others.
const REST: Duration = Duration::from_secs(5);

/// One provider, and what is known of it.
#[derive(Debug)]
pub(super) struct Remote {
    settings: settings::Provider,
    listing: Listing,
    /// Held by the one who asks it what it has.
    turn: tokio::sync::Mutex<()>,
    failed: Mutex<Option<(Instant, String)>>,
    counts: Arc<Tally>,
}

/// What came of asking.
pub(super) enum Said {
    /// An answer, or a refusal that is about the request.
    Answer(Answer),
    /// It has no such model.
    Lacks,
    /// It cannot answer, and why.
    Failed(String),
}

impl Remote {
    pub(super) fn new(settings: settings::Provider) -> Self {
        Self {
            settings,
            listing: Listing::default(),
            turn: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
            counts: Arc::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.settings.name.as_str()
    }

    /// Whether it is reached over TLS.
    pub(super) fn uses_tls(&self) -> bool {
        self.settings.base_url.starts_with("https:")
    }

    fn key(&self) -> Option<&str> {
        self.settings.key.as_ref().map(ExposeSecret::expose_secret)
    }

    fn dialect(&self) -> Dialect {
        match self.settings.kind {
            ProviderKind::Anthropic => Dialect::Anthropic,
            ProviderKind::OpenAi | ProviderKind::Ollama => Dialect::OpenAi,
        }
    }

    /// Whether it has `model`, as far as is known now.
    pub(super) fn having(&self, model: &str) -> Having {
        let listed = &self.settings.models;
        if !listed.is_empty() {
            return match listed.iter().any(|pattern| fits(pattern, model)) {
                true => Having::Has,
                false => Having::Lacks,
            };
        }
        // Anthropic's list has none of the shorter names by which its models are known as well.
        if self.settings.kind == ProviderKind::Anthropic && model.starts_with("claude-") {
            return Having::Has;
        }
        self.listing.having(model)
    }

    /// What the names begin with of models that it has and does not list.
    pub(super) fn prefixes(&self) -> Vec<String> {
        let listed = self.settings.models.iter();
        let mut prefixes: Vec<String> = listed
            .filter_map(|pattern| pattern.strip_suffix('*'))
            .map(str::to_owned)
            .collect();
        if self.settings.models.is_empty() && self.settings.kind == ProviderKind::Anthropic {
            prefixes.push("claude-".to_owned());
        }
        prefixes
    }

    /// The models that are known, and whether it may have others.
    pub(super) fn models(&self) -> (Vec<Model>, bool) {
        if !self.settings.models.is_empty() {
            let listed = self.settings.models.iter();
            let whole = listed.filter(|pattern| !pattern.ends_with('*'));
            let models = whole.map(|id| listing::named(id, None, self.name(), None));
            return (models.collect(), false);
        }
        let (models, trouble) = self.listing.models();
        (models.to_vec(), trouble.is_some())
    }

    /// Whether it has to be asked what it has, and may be now: `in_need` where what is known does not help.
    pub(super) fn should_be_asked(&self, in_need: bool) -> bool {
        let now = Instant::now();
        self.settings.models.is_empty()
            && (self.listing.is_stale(now) || in_need && self.listing.may_be_asked(now))
    }

    /// Asks it what it has, where [that is due](Self::should_be_asked). One asks at a time: whoever is in need waits, and
    /// nobody else does.
    pub(super) async fn refresh(&self, client: &Client, in_need: bool) {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) if in_need => self.turn.lock().await,
            Err(_) => return,
        };
        if !self.should_be_asked(in_need) {
            return;
        }
        let said = timeout(LIST_PATIENCE, self.list(client)).await;
        let said = said.unwrap_or_else(|_| {
            let why = format!("did not say within {LIST_PATIENCE:?} what it has");
            Err(NoList::Down(why))
        });
        if let Err(NoList::Down(why)) = &said {
            log::debug!("provider {} {why}", self.name());
        }
        self.listing.note(said, Instant::now());
    }

    async fn list(&self, client: &Client) -> Result<Vec<Model>, NoList> {
        let path = match self.settings.kind {
            ProviderKind::OpenAi => "/models",
            ProviderKind::Ollama => "/v1/models",
            ProviderKind::Anthropic => "/v1/models?limit=1000",
        };
        let mut request = Request::new(empty());
        *request.uri_mut() = self.uri(path);
        self.sign(request.headers_mut());
        let answer = client.send(request).await.map_err(NoList::Down)?;
        let status = answer.status();
        match status.as_u16() {
            200 => {}
            404 | 405 | 501 => return Err(NoList::Unheard),
            _ => return Err(NoList::Down(self.held_against_us(status, ""))),
        }
        let body = read_bounded(answer.into_body(), LIST_BYTES).await;
        let body =
            body.map_err(|error| NoList::Down(format!("did not say what it has: {error}")))?;
        listing::models(self.name(), &body)
            .map_err(|wrong| NoList::Down(format!("lists its models as nobody does: {wrong}")))
    }

    /// Whether it failed a moment ago.
    pub(super) fn is_resting(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().is_some_and(|(at, _)| at.elapsed() < REST)
    }

    /// Asks it, with the head that the request has by now.
    pub(super) async fn ask(
        &self,
        client: &Client,
        ask: &Ask,
        headers: &HeaderMap,
        most_bytes: usize,
    ) -> Said {
        let request = match self.request(ask, headers) {
            Ok(request) => request,
            Err(wrong) => {
                self.counts.count("untranslatable");
                return Said::Answer(ask.dialect.bad_request(&wrong.field, &wrong.to_string()));
            }
        };
        let said = match client.send(request).await {
            Ok(answer) => self.understand(ask, answer, most_bytes).await,
            Err(why) => Said::Failed(why),
        };
        let outcome = match &said {
            Said::Answer(answer) if answer.status().is_success() => "answered",
            Said::Answer(_) => "refused",
            Said::Lacks => "lacks_model",
            Said::Failed(_) => "failed",
        };
        self.counts.count(outcome);
        self.note(&said);
        said
    }

    /// Takes note of whether it failed. The log hears when that changes.
    fn note(&self, said: &Said) {
        let now = match said {
            Said::Failed(why) => Some((Instant::now(), why.clone())),
            _ => None,
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*failed, &now) {
            (None, Some((_, why))) => log::warn!("provider {} {why}", self.name()),
            (Some(_), None) => log::info!("provider {} answers again", self.name()),
            _ => {}
        }
        *failed = now;
    }

    fn request(&self, ask: &Ask, headers: &HeaderMap) -> Result<Request<Body>, Wrong> {
        let body = match (ask.dialect, self.dialect()) {
            (Dialect::OpenAi, Dialect::Anthropic) => {
                request_to_anthropic(Object::read(&ask.body)?)?.to_bytes()
            }
            (Dialect::Anthropic, Dialect::OpenAi) => {
                request_to_openai(Object::read(&ask.body)?, self.limit())?.to_bytes()
            }
            _ => ask.body.clone(),
        };
        let path = match self.settings.kind {
            ProviderKind::OpenAi => "/chat/completions",
            ProviderKind::Ollama => "/v1/chat/completions",
            ProviderKind::Anthropic => "/v1/messages",
        };
        let mut request = Request::new(full(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(path);
        let out = request.headers_mut();
        heads::forth(headers, out);
        let json = HeaderValue::from_static("application/json");
        out.insert(CONTENT_TYPE, json);
        self.sign(out);
        Ok(request)
    }

    /// OpenAI itself refuses the older name for its newer models; other servers may not know the newer one.
    fn limit(&self) -> Limit {
        let is_openai = self.settings.base_url == ProviderKind::OpenAi.usual_url();
        match is_openai {
            true => Limit::MaxCompletionTokens,
            false => Limit::MaxTokens,
        }
    }

    fn uri(&self, path: &str) -> Uri {
        let uri = format!("{}{path}", self.settings.base_url);
        uri.parse().expect("a checked URL with a plain path")
    }

    /// Says who asks.
    fn sign(&self, headers: &mut HeaderMap) {
        let agent = HeaderValue::from_static(concat!("astromesh/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        if self.settings.kind == ProviderKind::Anthropic {
            let version = HeaderName::from_static("anthropic-version");
            headers
                .entry(version)
                .or_insert(HeaderValue::from_static("2023-06-01"));
        }
        let Some(key) = self.key() else {
            return;
        };
        let (name, text) = match self.settings.kind {
            ProviderKind::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
            ProviderKind::OpenAi | ProviderKind::Ollama => (AUTHORIZATION, format!("Bearer {key}")),
        };
        let mut value = HeaderValue::from_str(&text).expect("a checked key is visible ASCII");
        value.set_sensitive(true);
        headers.insert(name, value);
    }

    /// What an answer means.
    async fn understand(&self, ask: &Ask, answer: Response<Body>, most_bytes: usize) -> Said {
        let status = answer.status();
        match status.as_u16() {
            200..=299 => self.success(ask, answer, most_bytes).await,
            404 => Said::Lacks,
            401 | 403 | 408 => {
                let why = self.held_against_us(status, "");
                Said::Failed(why)
            }
            400..=499 => self.refusal(answer).await,
            _ => {
                let body = self.short(answer.into_body()).await;
                let words = body.map(|body| excerpt(&body)).unwrap_or_default();
                let why = self.held_against_us(status, &words);
                Said::Failed(why)
            }
        }
    }

    fn held_against_us(&self, status: StatusCode, words: &str) -> String {
        match status.as_u16() {
            401 | 403 if self.settings.key.is_none() => {
                format!("wants a key, and this node has none for it ({status})")
            }
            401 | 403 => format!("refuses this node's key ({status})"),
            300..=399 => format!("answered {status}; redirects are not followed"),
            _ if words.is_empty() => format!("answered {status}"),
            _ => format!("answered {status}: {words}"),
        }
    }

    /// A refusal that is about the request, with the provider's own words.
    async fn refusal(&self, answer: Response<Body>) -> Said {
        let (head, body) = answer.into_parts();
        match self.short(body).await {
            Some(body) => {
                let mut answer = Response::new(full(body));
                *answer.status_mut() = head.status;
                *answer.headers_mut() = heads::back(&head.headers, self.key());
                Said::Answer(answer)
            }
            None => Said::Failed(format!("answered {} and did not say why", head.status)),
        }
    }

    /// A short body, whole, without this node's key in it.
    async fn short(&self, body: Body) -> Option<Bytes> {
        let body = read_bounded(body, REFUSAL_BYTES).await.ok()?;
        Some(match self.key() {
            Some(key) if contains(&body, key) => {
                let text = String::from_utf8_lossy(&body).replace(key, "[key]");
                text.into_bytes().into()
            }
            _ => body,
        })
    }

    /// A success, in the client's words.
    async fn success(&self, ask: &Ask, given: Response<Body>, most_bytes: usize) -> Said {
        let headers = heads::back(given.headers(), self.key());
        let mut answer = if ask.dialect == self.dialect() {
            let (head, body) = given.into_parts();
            let mut answer = Response::new(body);
            *answer.status_mut() = head.status;
            answer
        } else {
            match translate::answer(ask, self.name(), given, most_bytes).await {
                Ok(answer) => answer,
                Err(why) => return Said::Failed(why),
            }
        };
        answer.headers_mut().extend(headers);
        if translate::is_stream(answer.headers()) {
            mark_events(answer.headers_mut());
        }
        Said::Answer(answer)
    }

    /// How it is, for people.
    pub(super) fn status(&self) -> ProviderStatus {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let unlisted = match self.listing.models().1 {
            Some(NoList::Down(why)) => Some(why),
            _ => None,
        };
        ProviderStatus {
            name: self.name().to_owned(),
            kind: self.settings.kind.as_str().to_owned(),
            url: self.settings.base_url.clone(),
            models: self.models().0.len(),
            trouble: failed.as_ref().map(|(_, why)| why.clone()).or(unlisted),
            requests: self.counts.so_far(),
        }
    }
}

/// Whether a model is one of those that a pattern stands for.
fn fits(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => model == pattern,
    }
}

/// What a provider's failure says, on one line and not too long.
fn excerpt(body: &[u8]) -> String {
    let message = Object::read(body)
        .and_then(|mut said| said.need::<Object>("error"))
        .and_then(|mut error| error.need::<String>("message"));
    let text = message.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
