//! Channels: ways in for programs that know nothing of agents, each with a secret that proves who sends.

use super::raw::{CallbackPart, ChannelPart};
use super::secrets::{Variable, secret, secret_in};
use super::source::{Environment, Layers};
use crate::allow::AllowList;
use crate::error::ConfigError;
use crate::leaf::{Leaf, Scalar, deserialize_checked, one_of};
use http::Uri;
use maia::id::Label;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How old a message may be where its channel does not say.
const TOLERANCE: Duration = Duration::from_secs(300);

/// The channels of a node, by name.
#[derive(Clone, Debug, Default)]
pub struct Channels(BTreeMap<Label, Channel>);

/// One channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Who answers what comes in.
    pub agent: Label,
    /// What messages are signed with.
    pub secret: SecretString,
    /// What exactly is signed.
    pub signed: Signed,
    /// How far a message's timestamp may be from the time of day, where it is signed too. 5 minutes.
    pub tolerance: Duration,
    /// Where in a message the query is, as a JSON pointer. `/query`.
    pub query: String,
    /// Where in a message the session is, as a JSON pointer. `/session_id`.
    pub session: String,
    /// Where in a message that is which the agent should know besides, as a JSON pointer. `/context`; the whole message
    /// where it is empty.
    pub context: String,
    /// Where the answer goes; `None`: back to whoever sent the message.
    pub callback: Option<Callback>,
}

/// What a signature is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signed {
    /// The time of sending, a dot and the body, so that a message is of no use to those who overheard it.
    #[default]
    Timestamp,
    /// The body alone, as some senders do.
    Body,
}

/// Where answers go.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The place; `http` or `https`.
    pub url: Uri,
    /// Where it may lie: at a public address, or one that is named there or in `url` itself.
    pub allow: AllowList,
}

impl Channels {
    /// The channel of that name.
    pub fn get(&self, name: &Label) -> Option<&Channel> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, &Channel)> {
        self.0.iter()
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(Label::as_str)
    }
}

impl Signed {
    const ALL: [Self; 2] = [Self::Timestamp, Self::Body];

    /// The name, as in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Body => "body",
        }
    }
}

impl Leaf for Signed {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        one_of("way to sign", &Self::ALL, Self::as_str, scalar)
    }
}

/// A place in a JSON document. (RFC 6901.)
#[derive(Debug)]
pub(super) struct Pointer(String);

impl Leaf for Pointer {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        match scalar {
            Scalar::Text(text) if text.is_empty() || text.starts_with('/') => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!(
                "expected a JSON pointer, such as /message/text, found {scalar}"
            )),
        }
    }
}

deserialize_checked!(Signed, Pointer);

/// The channels that the file lists, with their secrets.
pub(super) fn channels(
    parts: BTreeMap<String, ChannelPart>,
    layers: &Layers<'_>,
    environment: &Environment,
) -> Result<Channels, ConfigError> {
    let mut channels = BTreeMap::new();
    for (name, part) in parts {
        let key = format!("spec.channels.{name}");
        let label = Label::new(&name).map_err(|error| layers.complaint(&key, error.reason()))?;
        let secret = secret_of(&part, &key, layers, environment)?;
        channels.insert(label, channel(part, secret));
    }
    Ok(Channels(channels))
}

fn channel(part: ChannelPart, secret: SecretString) -> Channel {
    let pointer = |pointer: Option<Pointer>, usual: &str| {
        pointer.map_or_else(|| usual.to_owned(), |pointer| pointer.0)
    };
    Channel {
        agent: part.agent.0,
        secret,
        signed: part.signed.unwrap_or_default(),
        tolerance: part.tolerance.map_or(TOLERANCE, |span| span.0),
        query: pointer(part.query, "/query"),
        session: pointer(part.session, "/session_id"),
        context: pointer(part.context, "/context"),
        callback: part.callback.map(callback),
    }
}

fn callback(part: CallbackPart) -> Callback {
    Callback {
        url: part.url.0,
        allow: AllowList::new(part.allow),
    }
}

/// The secret of the channel at `key`.
fn secret_of(
    part: &ChannelPart,
    key: &str,
    layers: &Layers<'_>,
    environment: &Environment,
) -> Result<SecretString, ConfigError> {
    match (&part.secret_env, &part.secret_file) {
        (Some(_), Some(_)) => {
            let reason = "expected this or secret_env, found both";
            Err(layers.complaint(&format!("{key}.secret_file"), reason))
        }
        (None, None) => {
            let reason =
                r#"missing key "secret_env" or "secret_file": what its messages are signed with"#;
            Err(layers.complaint(key, reason))
        }
        (None, Some(path)) => secret_in(Path::new(&path.0), &format!("{key}.secret_file")),
        (Some(Variable(name)), None) => secret(environment, name)?.ok_or_else(|| {
            let reason = format!("neither {name} nor {name}_FILE is set");
            layers.complaint(&format!("{key}.secret_env"), &reason)
        }),
    }
}
