//! What the channels of a node need while it runs: who signs what ([`signature`]), and where answers go ([`callback`]).
//!
//! How a message is taken is in `channel_api`.

pub(crate) mod callback;
pub(crate) mod signature;

use astromesh_core::settings::Settings;
use callback::Callback;
use maia::id::Label;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the channels of one node need while it runs.
#[derive(Debug)]
pub(crate) struct Channels {
    callbacks: BTreeMap<Label, Callback>,
    /// Permits for messages that are being answered by callback.
    permits: Arc<Semaphore>,
    most: usize,
}

impl Channels {
    /// Those of the settings.
    pub(crate) fn new(settings: &Settings) -> Self {
        let with_callback = settings.channels.iter().filter_map(|(name, channel)| {
            Some((
                name.clone(),
                Callback::of(channel.callback.as_ref()?, &channel.secret),
            ))
        });
        let most = settings.limits.callbacks.min(Semaphore::MAX_PERMITS);
        Self {
            callbacks: with_callback.collect(),
            permits: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// Whether a message is being answered by callback.
    pub(crate) fn are_busy(&self) -> bool {
        self.permits.available_permits() < self.most
    }

    /// Where the answers of a channel go, if not back to whoever asks.
    pub(crate) fn callback(&self, name: &Label) -> Option<&Callback> {
        self.callbacks.get(name)
    }

    /// Leave to answer one more message by callback, unless there are as many as may be.
    pub(crate) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}
