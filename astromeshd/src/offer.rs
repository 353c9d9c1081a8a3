//! Which agents this node offers: kept up with the files they are described in and with how their servers are, and told to
//! the mesh.
//!
//! What would not fit into the node's record is not taken up: all stays as it was, the log says so, and a counter moves.

use crate::agents::Catalogue;
use crate::here::Here;
use crate::identity;
use astromesh_core::agent::folder::Folder;
use maia::id::Label;
use maia::node::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How often files and servers are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// Takes up what changes among the agent files, until it is dropped.
pub(crate) async fn keep_up(here: Arc<Here>, mut folder: Folder) {
    loop {
        sleep(ROUND).await;
        // The folder may be on a disk that is slow, or gone.
        let looking = spawn_blocking(move || {
            let look = folder.look();
            (folder, look)
        });
        let look;
        (folder, look) = match looking.await {
            Ok(looked) => looked,
            Err(error) => {
                log::error!("agent files are not looked at any more: {error}");
                return;
            }
        };
        for complaint in look.complaints {
            here.turned_away.count("agent_files");
            here.metrics.loaded(false);
            log::warn!("{complaint}; what there was before stays as it is");
        }
        if look.changed {
            take_up(
                &here,
                here.agents.put_together(&here.settings, folder.agents()),
            )
            .await;
        }
    }
}

/// Asks the servers of agents how they are, until it is dropped.
pub(crate) async fn look_after(here: Arc<Here>) {
    loop {
        // Somebody may notice sooner.
        let noticed = timeout(ROUND, here.offer_changed.notified()).await.is_ok();
        if here.agents.all().look_after(&here.listed).await || noticed {
            tell(&here, here.agents.names());
        }
        // Forgets what nobody used for long.
        here.agents.sessions();
    }
}

/// Offers these agents from now on, if they fit into the node's record.
async fn take_up(here: &Here, catalogue: Catalogue) {
    catalogue.look_after(&here.listed).await;
    if let Err(error) = identity::try_out(&here.settings, catalogue.names()) {
        here.turned_away.count("record_bytes");
        here.metrics.loaded(false);
        log::warn!("the agents stay as they were, for with those there are now: {error}");
        return;
    }
    let (before, now) = (here.agents.names(), catalogue.names());
    let withheld = catalogue.withheld();
    here.agents.replace(catalogue);
    here.metrics.loaded(true);
    let but_not = |these: &[Label], those: &[Label]| {
        let found = these.iter().filter(|name| !those.contains(name));
        found
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (come, gone) = (but_not(&now, &before), but_not(&before, &now));
    log::info!(
        "agent files changed; new: {}; gone: {}",
        or_none(&come),
        or_none(&gone)
    );
    for agent in withheld {
        log::warn!("agent {} is not offered: {}", agent.name, agent.reason);
    }
    tell(here, now);
}

fn or_none(names: &str) -> &str {
    if names.is_empty() { "none" } else { names }
}

fn tell(here: &Here, agents: Vec<Label>) {
    if let Some(mesh) = &here.mesh {
        mesh.handle.tell(Command::Agents(agents));
    }
}
