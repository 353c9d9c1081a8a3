//! From what is written to what holds: defaults for what is left out, and a refusal where two settings cannot go together.

use super::raw::{ChannelPart, DefaultsPart, LimitsPart, LogPart, PeerPart, ServicesPart, Spec};
use super::source::{Layers, Origin};
use super::{Api, Defaults, HttpLimits, Log, Mesh, Peer, Service, Services};
use crate::error::ConfigError;
use crate::leaf::{Checked, Count, Span, Switch};
use crate::wording::excerpt;
use log::LevelFilter;
use maia::config::{Config, Limits};
use maia::error::Invalid;
use maia::id::Name;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// There is one listener. Older files say a second time where it is, and must not mean another place; a port from a
/// variable or a flag is newer than both.
pub(super) fn api(spec: &Spec, layers: &Layers<'_>) -> Result<Api, ConfigError> {
    let api = Api {
        host: spec
            .api
            .host
            .map_or(Ipv4Addr::UNSPECIFIED.into(), |host| host.0),
        port: spec.api.port.map_or(8000, |port| port.0),
        threads: count(spec.api.threads, 1),
    };
    let bound = spec.mesh.bind.as_ref().and_then(|bind| bind.port);
    match bound {
        Some(bound) if bound != api.port && !layers.is_overridden("spec.api.port") => {
            let reason = format!(
                "expected port {} as in spec.api.port, for there is one listener, found port {bound}",
                api.port
            );
            Err(layers.complaint("spec.mesh.bind", &reason))
        }
        _ => Ok(api),
    }
}

/// The host's name is the lowest layer, so there is one unless the file hides it.
pub(super) fn node_name(name: Option<Checked<Name>>) -> Result<Name, ConfigError> {
    name.map(|name| name.0)
        .ok_or_else(|| ConfigError::plain("this node has no name; set ASTROMESH_NODE_NAME"))
}

pub(super) fn defaults(part: DefaultsPart) -> Defaults {
    Defaults {
        orchestration: part.orchestration.into(),
        echo: part.echo.is_none_or(|echo| echo.0),
    }
}

pub(super) fn mesh(spec: &Spec, layers: &Layers<'_>) -> Result<Option<Mesh>, ConfigError> {
    let part = &spec.mesh;
    if !part.enabled.is_some_and(|enabled| enabled.0) {
        return Ok(None);
    }
    let defaults = Config::default();
    let config = Config {
        gossip_interval: span(part.gossip_interval, defaults.gossip_interval),
        gossip_fanout: count(part.gossip_fanout, defaults.gossip_fanout),
        heartbeat_interval: span(part.heartbeat_interval, defaults.heartbeat_interval),
        failure_timeout: span(part.failure_timeout, defaults.failure_timeout),
        dead_timeout: span(part.dead_timeout, defaults.dead_timeout),
        stable_after: span(part.stable_after, defaults.stable_after),
        expected_nodes: part.expected_nodes.map(|nodes| count(Some(nodes), 0)),
        exchange_timeout: span(spec.limits.exchange_timeout, defaults.exchange_timeout),
        limits: mesh_limits(&spec.limits),
        ..defaults
    };
    config
        .check()
        .map_err(|error| mesh_complaint(&error, layers))?;
    let advertise = part.advertise.as_ref().map(|place| place.0.clone());
    if let Some(url) = advertise
        .as_ref()
        .filter(|url| !url.may_be_called_from(url))
    {
        let reason = format!(
            "expected an address that others may be sent to, found {url}, which they all refuse"
        );
        return Err(layers.complaint("spec.mesh.advertise", &reason));
    }
    Ok(Some(Mesh {
        config,
        seeds: part.seeds.clone(),
        name_servers: part.name_servers.iter().map(|server| server.0).collect(),
        advertise,
        bind_host: part.bind.as_ref().map(|bind| bind.host.clone()),
    }))
}

/// What the protocol says about its settings, under the key that the file has for them.
fn mesh_complaint(error: &Invalid, layers: &Layers<'_>) -> ConfigError {
    let key = match error.field() {
        "exchange_timeout" => "spec.limits.exchange_timeout".to_owned(),
        field if field.starts_with("limits.") => format!("spec.{field}"),
        field => format!("spec.mesh.{field}"),
    };
    layers.complaint(&key, error.reason())
}

fn mesh_limits(part: &LimitsPart) -> Limits {
    let defaults = Limits::default();
    Limits {
        nodes: count(part.nodes, defaults.nodes),
        record_bytes: count(part.record_bytes, defaults.record_bytes),
        new_ids_per_second: part
            .new_ids_per_second
            .map_or(defaults.new_ids_per_second, |ids| ids.0),
        new_ids_burst: part
            .new_ids_burst
            .map_or(defaults.new_ids_burst, |ids| ids.0),
        remembered: count(part.remembered, defaults.remembered),
        remember_for: span(part.remember_for, defaults.remember_for),
    }
}

pub(super) fn http_limits(part: &LimitsPart) -> HttpLimits {
    let defaults = HttpLimits::default();
    let at_once = count(part.concurrent_requests, defaults.concurrent_requests);
    HttpLimits {
        gossip_body_bytes: count(part.gossip_body_bytes, defaults.gossip_body_bytes),
        body_bytes: count(part.body_bytes, defaults.body_bytes),
        all_bodies_bytes: count(part.all_bodies_bytes, defaults.all_bodies_bytes),
        header_bytes: count(part.header_bytes, defaults.header_bytes),
        headers: count(part.headers, defaults.headers),
        concurrent_gossip: count(part.concurrent_gossip, defaults.concurrent_gossip),
        concurrent_requests: at_once,
        queued_requests: count(part.queued_requests, at_once / 2),
        inference_body_bytes: count(part.inference_body_bytes, defaults.inference_body_bytes),
        inference_answer_bytes: count(part.inference_answer_bytes, defaults.inference_answer_bytes),
        inference_first_byte_timeout: span(
            part.inference_first_byte_timeout,
            defaults.inference_first_byte_timeout,
        ),
        inference_idle_timeout: span(part.inference_idle_timeout, defaults.inference_idle_timeout),
        node_first_byte_timeout: span(
            part.node_first_byte_timeout,
            defaults.node_first_byte_timeout,
        ),
        node_idle_timeout: span(part.node_idle_timeout, defaults.node_idle_timeout),
        node_answer_timeout: span(part.node_answer_timeout, defaults.node_answer_timeout),
        connections: count(part.connections, defaults.connections),
        first_byte_timeout: span(part.first_byte_timeout, defaults.first_byte_timeout),
        headers_timeout: span(part.headers_timeout, defaults.headers_timeout),
        body_timeout: span(part.body_timeout, defaults.body_timeout),
        idle_timeout: span(part.idle_timeout, defaults.idle_timeout),
        sessions: count(part.sessions, defaults.sessions),
        session_messages: count(part.session_messages, defaults.session_messages),
        session_bytes: count(part.session_bytes, defaults.session_bytes),
        all_sessions_bytes: count(part.all_sessions_bytes, defaults.all_sessions_bytes),
        session_timeout: span(part.session_timeout, defaults.session_timeout),
        channel_body_bytes: count(part.channel_body_bytes, defaults.channel_body_bytes),
        callbacks: count(part.callbacks, defaults.callbacks),
    }
}

fn count<const LEAST: u32, const MOST: u32>(
    count: Option<Count<LEAST, MOST>>,
    default: usize,
) -> usize {
    // A number too great for a small machine's `usize` bounds nothing there, and neither does the greatest it has.
    count.map_or(default, |count| {
        usize::try_from(count.0).unwrap_or(usize::MAX)
    })
}

fn span(span: Option<Span>, default: Duration) -> Duration {
    span.map_or(default, |span| span.0)
}

/// A service that the file does not mention is on.
pub(super) fn services(part: &ServicesPart) -> Services {
    let is_on = |service| match service {
        Service::Api => part.api,
        Service::Agents => part.agents,
        Service::Inference => part.inference,
        Service::Memory => part.memory,
        Service::Tools => part.tools,
        Service::Channels => part.channels,
        Service::Rag => part.rag,
        Service::Observability => part.observability,
    };
    let mentioned_off = |service| matches!(is_on(service), Some(Switch(false)));
    Service::ALL
        .into_iter()
        .filter(|service| !mentioned_off(*service))
        .collect()
}

pub(super) fn peers(parts: Vec<PeerPart>, layers: &Layers<'_>) -> Result<Vec<Peer>, ConfigError> {
    let mut peers: Vec<Peer> = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let name = part.name.0;
        if let Some(held) = peers.iter().position(|peer| peer.name == name) {
            let reason = format!(
                "{} is already the name of spec.peers[{held}]",
                excerpt(name.as_str())
            );
            return Err(layers.complaint(&format!("spec.peers[{index}].name"), &reason));
        }
        let listed = part
            .services
            .map(|listed| listed.into_iter().map(|service| service.0).collect());
        peers.push(Peer {
            name,
            url: part.url.0,
            services: listed.unwrap_or_else(Services::all),
        });
    }
    Ok(peers)
}

pub(super) fn peers_warning(peers: &[Peer], mesh: Option<&Mesh>) -> Option<String> {
    (mesh.is_some() && !peers.is_empty())
        .then(|| "spec.peers is ignored: the mesh is on, and finds its members itself".to_owned())
}

pub(super) fn channels_warning(
    parts: &BTreeMap<String, ChannelPart>,
    services: &Services,
) -> Option<String> {
    (!parts.is_empty() && !services.has(Service::Channels))
        .then(|| "spec.channels is ignored: this node has not the service channels".to_owned())
}

/// A role is the same with a mesh and without.
pub(super) fn plain_role(name: &Name) -> Name {
    let plain = name
        .as_str()
        .strip_prefix("mesh-")
        .and_then(|rest| Name::new(rest).ok());
    plain.unwrap_or_else(|| name.clone())
}

pub(super) fn custom_role() -> Name {
    Name::new("custom").expect("it is short and prints")
}

/// Someone who sets a role that the file is not may expect more of it than a name.
pub(super) fn role_warning(
    role: Option<&Name>,
    file_role: Option<&Name>,
    origin: &Origin,
) -> Option<String> {
    let (role, file_role) = (role?, file_role?);
    (role != file_role).then(|| {
        format!("ASTROMESH_ROLE={role} is only what this node calls itself: services and mesh are those of {file_role} in {origin}")
    })
}

pub(super) fn log_settings(part: LogPart) -> Log {
    let filter = part.filter.map(|filter| (filter.level, filter.targets));
    let (level, targets) = filter.unwrap_or_default();
    Log {
        level: level.unwrap_or(LevelFilter::Info),
        targets,
        format: part.format.unwrap_or_default(),
    }
}
