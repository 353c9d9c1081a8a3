//! Who this node is to the others, and whether that fits into a record.

use crate::health::VERSION;
use astromesh_core::settings::{Service, Settings};
use maia::address::{Host, Url};
use maia::error::Invalid;
use maia::id::{Label, Name, NodeId};
use maia::node::{Identity, Node};
use maia::rng::Rng;
use maia::time::{Instant, Wall};
use std::net::Ipv6Addr;
use uuid::Uuid;

/// Whether a node with these settings and agents could take part in a mesh.
pub(crate) fn try_out(settings: &Settings, agents: Vec<Label>) -> Result<(), Invalid> {
    let Some(mesh) = &settings.mesh else {
        return Ok(());
    };
    let id = NodeId::new(&Uuid::new_v4().to_string())?;
    // The longest that an address can be, for the real one is known only once there is a listener.
    let url = Url::from_parts(Host::Ip(Ipv6Addr::from([u8::MAX; 16]).into()), u16::MAX);
    let identity = identity(settings, agents, &id, &url)?;
    let (now, wall, rng) = (Instant::START, Wall::default(), Rng::from_seed(0));
    Node::new(mesh.config.clone(), identity, now, wall, rng).map(drop)
}

/// Who this node is to the others.
pub(crate) fn identity(
    settings: &Settings,
    agents: Vec<Label>,
    id: &NodeId,
    url: &Url,
) -> Result<Identity, Invalid> {
    Ok(Identity {
        id: id.clone(),
        name: settings.node_name.clone(),
        url: url.clone(),
        services: settings.services.iter().map(Service::label).collect(),
        agents,
        version: Some(Name::new(VERSION)?),
    })
}
