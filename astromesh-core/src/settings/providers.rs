//! Providers of models: those that the file lists, and those that the variables of their own clients name.
//!
//! A key never stands in a file of ours: it is in a variable, or in a file that a variable names. It becomes a
//! [`SecretString`] here, and no complaint shows what was found.

use super::raw::ProviderPart;
use super::secrets::{Variable, secret};
use super::source::{Environment, Layers};
use crate::agent::uri;
use crate::error::ConfigError;
use crate::leaf::{Leaf, Scalar, deserialize_checked, one_of};
use crate::wording::excerpt;
use maia::id::Label;
use secrecy::SecretString;

/// Whoever serves models, and how to reach them.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What it is called here. No two have one name.
    pub name: Label,
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// Where it is, as its own clients take it, without a slash at the end.
    pub base_url: String,
    /// What it knows this node by; `None` where it asks for nothing.
    pub key: Option<SecretString>,
    /// The models that it is asked for, each a name or, with `*` at its end, what a name begins with. Empty: those that
    /// it lists itself.
    pub models: Vec<String>,
}

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// As OpenAI: `base_url` ends in `/v1`.
    OpenAi,
    /// As Anthropic: `base_url` does not.
    Anthropic,
    /// As Ollama, which speaks as OpenAI does below `/v1`: `base_url` is its host.
    Ollama,
}

impl ProviderKind {
    const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Ollama];

    /// The name, as in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    /// Where its maker runs it.
    pub const fn usual_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com",
            Self::Ollama => "http://127.0.0.1:11434",
        }
    }

    /// The variable that says where it is.
    const fn url_variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_BASE_URL",
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::Ollama => "OLLAMA_HOST",
        }
    }

    /// The variable that holds the key.
    const fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Ollama => None,
        }
    }
}

impl Leaf for ProviderKind {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        one_of("type of provider", &Self::ALL, Self::as_str, scalar)
    }
}

/// Where a provider is, without a slash at the end.
#[derive(Debug)]
pub(super) struct BaseUrl(pub(super) String);

impl Leaf for BaseUrl {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let uri = uri(scalar, &["http", "https"])
            .map_err(|found| format!("expected an http or https URL, found {found}"))?;
        const LONGEST: usize = 1_024;
        if uri.to_string().len() > LONGEST {
            return Err(format!("expected a URL of at most {LONGEST} bytes"));
        }
        if uri.query().is_some() {
            return Err(format!(
                "expected a URL without a query, found {}",
                Scalar::Text(&uri.to_string())
            ));
        }
        Ok(Self(uri.to_string().trim_end_matches('/').to_owned()))
    }
}

/// A model, or what the names of several begin with.
#[derive(Debug)]
pub(super) struct ModelName(String);

impl Leaf for ModelName {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        const LONGEST: usize = 256;
        match scalar {
            Scalar::Text(text)
                if (1..=LONGEST).contains(&text.len()) && !text.contains(char::is_control) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!(
                "expected the name of a model (in quotes if it is a number), found {scalar}"
            )),
        }
    }
}

deserialize_checked!(ProviderKind, BaseUrl, ModelName);

/// The providers of the file in its order, then those that only variables name. Variables go before the file.
pub(super) fn providers(
    parts: Vec<ProviderPart>,
    layers: &Layers<'_>,
    environment: &Environment,
) -> Result<Vec<Provider>, ConfigError> {
    let mut providers: Vec<Provider> = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let key = format!("spec.providers[{index}]");
        let name = part.name.0.clone();
        let reason = match providers.iter().position(|held| held.name == name) {
            Some(held) => format!(
                "{} is already the name of spec.providers[{held}]",
                excerpt(name.as_str())
            ),
            None if name.as_str() == "echo" => {
                "\"echo\" is the name of the one that is built in".to_owned()
            }
            None => {
                providers.push(listed(part, &key, layers, environment)?);
                continue;
            }
        };
        return Err(layers.complaint(&format!("{key}.name"), &reason));
    }
    for kind in ProviderKind::ALL {
        let is_listed = |held: &Provider| held.name.as_str() == kind.as_str();
        if !providers.iter().any(is_listed) {
            providers.extend(from_variables(kind, environment)?);
        }
    }
    Ok(providers)
}

/// One that the file lists. Whoever is called as its kind is the one that the usual variables speak of.
fn listed(
    part: ProviderPart,
    key: &str,
    layers: &Layers<'_>,
    environment: &Environment,
) -> Result<Provider, ConfigError> {
    let kind = part.kind.unwrap_or(ProviderKind::OpenAi);
    let is_usual = part.name.0.as_str() == kind.as_str();
    let from_environment = match is_usual {
        true => url_of(kind, environment)?,
        false => None,
    };
    let written = from_environment.or(part.base_url.map(|url| url.0));
    let secret = match (&part.api_key_env, kind.key_variable()) {
        (Some(Variable(variable)), _) => {
            let found = secret(environment, variable)?;
            let found = found.ok_or_else(|| {
                let reason = format!("neither {variable} nor {variable}_FILE is set");
                layers.complaint(&format!("{key}.api_key_env"), &reason)
            })?;
            Some(found)
        }
        // A key is for its own provider: nobody else is sent it without being named.
        (None, Some(variable)) if is_usual || written.is_none() => secret(environment, variable)?,
        (None, _) => None,
    };
    Ok(Provider {
        name: part.name.0,
        kind,
        base_url: written.unwrap_or_else(|| kind.usual_url().to_owned()),
        key: secret,
        models: part.models.into_iter().map(|model| model.0).collect(),
    })
}

/// The one that the variables of its own client name.
fn from_variables(
    kind: ProviderKind,
    environment: &Environment,
) -> Result<Option<Provider>, ConfigError> {
    let url = url_of(kind, environment)?;
    let key = match kind.key_variable() {
        Some(variable) => secret(environment, variable)?,
        None => None,
    };
    if url.is_none() && key.is_none() {
        return Ok(None);
    }
    Ok(Some(Provider {
        name: Label::new(kind.as_str()).expect("the names of kinds are labels"),
        kind,
        base_url: url.unwrap_or_else(|| kind.usual_url().to_owned()),
        key,
        models: Vec::new(),
    }))
}

fn url_of(kind: ProviderKind, environment: &Environment) -> Result<Option<String>, ConfigError> {
    let variable = kind.url_variable();
    let Some(value) = environment.get(variable) else {
        return Ok(None);
    };
    let written = match kind {
        ProviderKind::Ollama => ollama_host(value),
        _ => value.to_owned(),
    };
    match BaseUrl::read(Scalar::Text(&written)) {
        Ok(url) => Ok(Some(url.0)),
        Err(reason) => Err(ConfigError::at(variable, reason)),
    }
}

/// `OLLAMA_HOST` as its own programs take it: the scheme and the port may be missing, and the address that its server
/// listens on is one to call it at.
fn ollama_host(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (rest, String::new()),
    };
    let (machine, port) = match host.rsplit_once(':') {
        Some((machine, port)) if !port.ends_with(']') => (machine, Some(port)),
        _ => (host, None),
    };
    let machine = match machine {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        other => other,
    };
    let usual = if value.contains("://") {
        None
    } else {
        Some("11434")
    };
    match port.or(usual) {
        Some(port) => format!("{scheme}://{machine}:{port}{path}"),
        None => format!("{scheme}://{machine}{path}"),
    }
}

/// What looks like a slip: with such a URL every call would go to a path that is not there.
pub(super) fn warnings(providers: &[Provider]) -> impl Iterator<Item = String> + '_ {
    providers.iter().filter_map(|provider| {
        let ends_in_v1 = provider.base_url.ends_with("/v1");
        let advice = match provider.kind {
            ProviderKind::OpenAi if !ends_in_v1 => "most such servers have theirs end in /v1",
            ProviderKind::Anthropic if ends_in_v1 => {
                "calls add /v1 themselves, so it is there twice"
            }
            ProviderKind::Ollama if ends_in_v1 => "calls add /v1 themselves, so it is there twice",
            _ => return None,
        };
        Some(format!(
            "provider {}: base URL {}: {advice}",
            provider.name, provider.base_url
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_ollama_is_read_as_its_own_programs_read_it() {
        for (value, url) in [
            ("gpu-1", "http://gpu-1:11434"),
            ("gpu-1:8080", "http://gpu-1:8080"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:7000", "http://127.0.0.1:7000"),
            (":7000", "http://127.0.0.1:7000"),
            ("http://gpu-1", "http://gpu-1"),
            (
                "https://models.example/ollama",
                "https://models.example/ollama",
            ),
            ("[::1]:7000", "http://[::1]:7000"),
            ("[::1]", "http://[::1]:11434"),
        ] {
            assert_eq!(ollama_host(value), url, "{value}");
        }
    }

    #[test]
    fn what_is_not_a_variable_is_not_shown() {
        for value in ["sk-secret", "sk_lower", "", "1KEY"] {
            let reason = Variable::read(Scalar::Text(value)).expect_err(value);
            assert!(
                !reason.contains("sk") && reason.contains("variable"),
                "{reason}"
            );
        }
        assert!(Variable::read(Scalar::Text("MY_KEY_2")).is_ok());
    }
}
