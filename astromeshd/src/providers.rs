//! The models that this node serves: by providers elsewhere, in their order, and by `echo`.
//!
//! Who has a model is asked first, so that nobody is sent what is meant for another. Of those that have it the first takes
//! the request; where it fails, the next. One that failed a moment ago comes last.

mod ask;
mod client;
mod dialect;
mod echo;
mod events;
mod heads;
mod json;
mod listing;
mod remote;
mod shapes;
mod translate;

pub(crate) use ask::Ask;
pub(crate) use dialect::Dialect;

use crate::answer::{Answer, header_text};
use astromesh_core::api::{ModelList, PROVIDER_HEADER, ProviderStatus};
use astromesh_core::settings::{Service, Settings};
use client::Client;
use echo::ECHO;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName};
use json::{Object, Wrong};
use listing::Having;
use remote::{Remote, Said};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use translate::Limit;

/// When to come back where every provider of a model fails.
const COME_BACK: Duration = Duration::from_secs(5);

/// All providers of this node.
#[derive(Debug)]
pub(crate) struct Providers {
    remotes: Vec<Arc<Remote>>,
    has_echo: bool,
    client: Client,
    answer_bytes: usize,
}

impl Providers {
    /// Those that the settings name; none without the service `inference`.
    pub(crate) fn new(settings: &Settings) -> Self {
        let remotes = settings.providers.iter().cloned().map(Remote::new);
        let remotes: Vec<_> = remotes.map(Arc::new).collect();
        let limits = &settings.limits;
        let with_tls = remotes.iter().any(|remote| remote.uses_tls());
        Self {
            has_echo: settings.services.has(Service::Inference) && settings.defaults.echo,
            client: Client::new(
                limits.inference_first_byte_timeout,
                limits.inference_idle_timeout,
                with_tls,
            ),
            answer_bytes: limits.inference_answer_bytes,
            remotes,
        }
    }

    /// Lets a provider answer. An error says that none did: another node may be asked.
    pub(crate) async fn complete(&self, ask: &Ask, headers: &HeaderMap) -> Result<Answer, Answer> {
        let (able, mut troubles) = self.able(ask).await;
        for remote in able {
            match remote
                .ask(&self.client, ask, headers, self.answer_bytes)
                .await
            {
                Said::Answer(answer) => return Ok(by(remote.name(), answer)),
                Said::Lacks => {}
                Said::Failed(why) => troubles.push(format!("{} {why}", remote.name())),
            }
        }
        if self.is_echo(ask) {
            return Ok(by(ECHO, self.echo(ask).await));
        }
        let model = &ask.model;
        if troubles.is_empty() {
            return Err(not_found(ask));
        }
        let message = format!(
            "No available provider has model {model:?} ({})",
            troubles.join("; ")
        );
        Err(ask.dialect.unavailable(&message, COME_BACK))
    }

    /// Those that have the model, the best first, and what is wrong with those of which one cannot tell.
    async fn able(&self, ask: &Ask) -> (Vec<Arc<Remote>>, Vec<String>) {
        let asked: Vec<_> = self.asked(ask).cloned().collect();
        let has = |remote: &Arc<Remote>| remote.having(&ask.model) == Having::Has;
        if asked.iter().any(has) {
            if asked.iter().any(|remote| remote.should_be_asked(false)) {
                // What may have changed can be found out meanwhile.
                let (all, client) = (asked.clone(), self.client.clone());
                drop(tokio::spawn(async move {
                    refresh(all, &client, false).await;
                }));
            }
        } else if !self.is_echo(ask) {
            refresh(asked.clone(), &self.client, true).await;
        }
        let (mut able, mut troubles) = (Vec::new(), Vec::new());
        for remote in asked {
            match remote.having(&ask.model) {
                Having::Has => able.push((remote.is_resting(), remote)),
                Having::Perhaps => able.push((true, remote)),
                Having::Lacks => {}
                Having::Unknown(why) => troubles.push(format!("{} {why}", remote.name())),
            }
        }
        able.sort_by_key(|(comes_last, _)| *comes_last);
        (
            able.into_iter().map(|(_, remote)| remote).collect(),
            troubles,
        )
    }

    /// Those that may be asked, by the request's own word.
    fn asked(&self, ask: &Ask) -> impl Iterator<Item = &Arc<Remote>> {
        let only = ask.provider.clone();
        self.remotes
            .iter()
            .filter(move |remote| only.as_deref().is_none_or(|only| only == remote.name()))
    }

    fn is_echo(&self, ask: &Ask) -> bool {
        let is_asked = ask.provider.as_deref().is_none_or(|only| only == ECHO);
        self.has_echo && ask.model == ECHO && is_asked
    }

    async fn echo(&self, ask: &Ask) -> Answer {
        let answer = match ask.dialect {
            Dialect::OpenAi => echo::complete(&ask.body),
            Dialect::Anthropic => self.echo_in_translation(ask).await,
        };
        answer.unwrap_or_else(|wrong| ask.dialect.bad_request(&wrong.field, &wrong.to_string()))
    }

    async fn echo_in_translation(&self, ask: &Ask) -> Result<Answer, Wrong> {
        let asked = translate::request_to_openai(Object::read(&ask.body)?, Limit::MaxTokens)?;
        let answer = echo::complete(&asked.to_bytes())?;
        let translated = translate::answer(ask, ECHO, answer, self.answer_bytes).await;
        translated.map_err(|why| Wrong::new("", why))
    }

    /// The models of this node: whoever asks wants to see those that came a moment ago.
    pub(crate) async fn models(&self) -> ModelList {
        refresh(self.remotes.clone(), &self.client, true).await;
        let (mut data, mut incomplete, mut prefixes) = (Vec::new(), false, BTreeSet::new());
        for remote in &self.remotes {
            let (models, has_more) = remote.models();
            data.extend(models);
            incomplete |= has_more;
            prefixes.extend(remote.prefixes());
        }
        if self.has_echo {
            data.push(listing::named(ECHO, None, "astromesh", None));
        }
        let mut list = ModelList::of(data);
        (list.incomplete, list.prefixes) = (incomplete, prefixes.into_iter().collect());
        list
    }

    /// How the providers are, for people.
    pub(crate) fn status(&self) -> Vec<ProviderStatus> {
        self.remotes.iter().map(|remote| remote.status()).collect()
    }
}

/// Nobody has the model that is asked for.
pub(crate) fn not_found(ask: &Ask) -> Answer {
    let message = match &ask.provider {
        Some(provider) => format!("no provider {provider:?} has a model {:?}", ask.model),
        None => format!("no provider has a model {:?}", ask.model),
    };
    ask.dialect
        .trouble(StatusCode::NOT_FOUND, Some("model_not_found"), &message)
}

/// `answer`, which says whose it is.
fn by(provider: &str, mut answer: Answer) -> Answer {
    let name = HeaderName::from_static(PROVIDER_HEADER);
    answer.headers_mut().insert(name, header_text(provider));
    answer
}

/// Asks at once all those of them what they have of whom that is not known well enough.
async fn refresh(remotes: Vec<Arc<Remote>>, client: &Client, in_need: bool) {
    let mut asked = JoinSet::new();
    for remote in remotes {
        let client = client.clone();
        asked.spawn(async move { remote.refresh(&client, in_need).await });
    }
    asked.join_all().await;
}
