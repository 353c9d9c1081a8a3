//! How this node is: for those who restart it, those who send it traffic, and those who look.

use crate::answer::{Answer, json, wrong_method};
use crate::here::{Here, Mesh, Phase};
use astromesh_core::api::{
    Condition, Health, LeaderStatus, MemberStatus, MeshStatus, NodeStatus, PeerStatus, Readiness,
    RequestStatus, SeedStatus, SessionStatus, SystemStatus,
};
use astromesh_core::settings::{Service, Services};
use hyper::{Method, StatusCode};
use maia::driver::Timer;
use maia::event::Reason;
use maia::message::Status;
use maia::time::Instant;
use maia::view::{Counters, Seen, View};
use std::collections::BTreeMap;
use std::time::Duration;

/// The release of this daemon.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Answers a health call, if `path` is one.
pub(crate) fn answer(here: &Here, method: &Method, path: &str) -> Option<Answer> {
    let call: fn(&Here) -> Answer = match path {
        "/healthz" | "/v1/health" => health,
        "/readyz" => ready,
        "/v1/system/status" => status,
        _ => return None,
    };
    Some(wrong_method(method, "GET, HEAD").unwrap_or_else(|| call(here)))
}

fn health(here: &Here) -> Answer {
    let health = Health {
        status: "healthy".to_owned(),
        version: VERSION.to_owned(),
        uptime_seconds: here.started.elapsed().as_secs_f64(),
    };
    json(StatusCode::OK, &health)
}

/// Whether this node takes traffic.
pub(crate) fn is_ready(here: &Here) -> bool {
    readiness(here).ready
}

fn ready(here: &Here) -> Answer {
    let readiness = readiness(here);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(status, &readiness)
}

fn readiness(here: &Here) -> Readiness {
    let phase = here.phase();
    let view = here.view();
    let has_left = phase == Phase::Left || view.as_ref().is_some_and(|view| view.left);
    let seeds = |view: &View| {
        here.mesh
            .as_ref()
            .map(|mesh| mesh.seeds.status(&view.seeds))
    };
    let seeds = view.as_deref().and_then(seeds).unwrap_or_default();
    let mesh = mesh_condition(view.as_deref(), &seeds, has_left);
    let traffic = Condition {
        name: "traffic".to_owned(),
        ok: phase == Phase::Running && !has_left,
        detail: match phase {
            _ if has_left => "left the mesh: takes no requests",
            Phase::Running => "takes requests",
            _ => "finishes what is in flight and takes nothing new",
        }
        .to_owned(),
    };
    let status = match phase {
        _ if has_left => "left",
        Phase::Draining => "draining",
        _ if !mesh.ok => "joining",
        _ => "ready",
    };
    Readiness {
        ready: mesh.ok && traffic.ok,
        status: status.to_owned(),
        conditions: vec![mesh, traffic],
    }
}

fn mesh_condition(view: Option<&View>, seeds: &[SeedStatus], has_left: bool) -> Condition {
    let (ok, detail) = match view {
        None => (
            true,
            "off: this node is on its own, or knows its peers by name".to_owned(),
        ),
        Some(_) if has_left => {
            let back = "left; POST /v1/mesh/join with {\"node_id\":\"self\"} from this host brings it back";
            (false, back.to_owned())
        }
        Some(view) if view.joined => (true, format!("joined: {} members", living(view))),
        Some(_) => (false, joining(seeds)),
    };
    Condition {
        name: "mesh".to_owned(),
        ok,
        detail,
    }
}

fn living(view: &View) -> usize {
    let lives = |seen: &&Seen| {
        (seen.confirmed || seen.is_me) && matches!(seen.status, Status::Alive | Status::Suspect)
    };
    view.members.iter().filter(lives).count()
}

/// Which seed fails, and why.
fn joining(seeds: &[SeedStatus]) -> String {
    let each = seeds
        .iter()
        .map(|seed| match (&seed.reason, seed.status.as_str()) {
            (Some(why), _) => format!("seed {} fails: {why}", seed.url),
            (None, "joined") => format!("seed {} answered", seed.url),
            (None, "itself") => format!("seed {} is this node", seed.url),
            (None, _) => format!("seed {} is being asked", seed.url),
        });
    match each.collect::<Vec<_>>() {
        none if none.is_empty() => "about to begin".to_owned(),
        each => format!("trying to join: {}", each.join("; ")),
    }
}

fn status(here: &Here) -> Answer {
    let running = here.running.now();
    let status = SystemStatus {
        node: node(here),
        requests: RequestStatus {
            active: running,
            forwarded: here.in_flight.total().saturating_sub(running),
            total: here.tally.so_far(),
            turned_away: here.turned_away.so_far(),
        },
        mesh: here.mesh.as_ref().map(|mesh| mesh_status(here, mesh)),
        peers: here
            .settings
            .peers
            .iter()
            .map(|peer| PeerStatus {
                name: peer.name.to_string(),
                url: peer.url.to_string(),
                services: peer_services(&peer.services),
            })
            .collect(),
        providers: here.providers.status(),
    };
    json(StatusCode::OK, &status)
}

fn node(here: &Here) -> NodeStatus {
    let (kept, bytes) = here.agents.sessions();
    NodeStatus {
        name: here.name().to_owned(),
        role: here.settings.role.to_string(),
        url: here.url().to_string(),
        version: VERSION.to_owned(),
        uptime_seconds: here.started.elapsed().as_secs_f64(),
        services: here
            .settings
            .services
            .iter()
            .map(|service| service.to_string())
            .collect(),
        agents: here
            .agents
            .names()
            .iter()
            .map(ToString::to_string)
            .collect(),
        withheld: here.agents.withheld(),
        sessions: SessionStatus { kept, bytes },
    }
}

fn peer_services(services: &Services) -> Vec<String> {
    if *services == Services::all() {
        return Vec::new();
    }
    services
        .iter()
        .map(Service::as_str)
        .map(str::to_owned)
        .collect()
}

/// The mesh as this node sees it.
pub(crate) fn mesh_status(here: &Here, mesh: &Mesh) -> MeshStatus {
    let view = mesh.view.load();
    let now = mesh.timer.now();
    let leader = view.leader.as_ref().map(|id| LeaderStatus {
        node_id: id.to_string(),
        name: view
            .member(id)
            .map_or_else(|| id.to_string(), |seen| seen.name().to_string()),
        since_seconds: now.since(view.leader_since).as_secs_f64(),
    });
    let shown = view
        .members
        .iter()
        .filter(|seen| seen.confirmed || seen.is_me);
    MeshStatus {
        node_id: here.id.to_string(),
        joined: view.joined,
        left: view.left,
        draining: here.phase() == Phase::Draining,
        leader,
        seeds: mesh.seeds.status(&view.seeds),
        members: shown.map(|seen| member(here, &view, seen, now)).collect(),
        counters: counters(&view.counters),
    }
}

fn member(here: &Here, view: &View, seen: &Seen, now: Instant) -> MemberStatus {
    let card = &seen.record.card;
    let texts = |labels: &[maia::id::Label]| labels.iter().map(ToString::to_string).collect();
    let silent = if seen.is_me {
        Duration::ZERO
    } else {
        now.since(seen.heard)
    };
    let (reason, next) = outlook(here, seen, now, silent);
    MemberStatus {
        node_id: seen.id().to_string(),
        name: card.name.to_string(),
        url: seen.url.to_string(),
        status: seen.status.to_string(),
        since_seconds: now.since(seen.since).as_secs_f64(),
        silent_seconds: silent.as_secs_f64(),
        draining: seen.record.is_draining(),
        leader: view.leader.as_ref() == Some(seen.id()),
        here: seen.is_me,
        services: texts(&card.services),
        agents: texts(&card.agents),
        cpu_percent: seen.record.load.cpu_percent(),
        memory_percent: seen.record.load.memory_percent(),
        active_requests: if seen.is_me {
            here.running.now()
        } else {
            seen.record.load.active_requests()
        },
        reason,
        next,
    }
}

/// Why a member is not alive, and what comes next.
fn outlook(
    here: &Here,
    seen: &Seen,
    now: Instant,
    silent: Duration,
) -> (Option<String>, Option<String>) {
    let Some(settings) = &here.settings.mesh else {
        return (None, None);
    };
    let silence = format!("last heartbeat {}s ago", silent.as_secs());
    let left = |whole: Duration, gone: Duration| whole.saturating_sub(gone).as_secs();
    match seen.status {
        Status::Alive => (None, None),
        Status::Suspect => {
            let reason = match seen.reason {
                Some(why @ Reason::Refusal) => format!("{why}; {silence}"),
                _ => silence,
            };
            let next = match left(settings.config.dead_timeout, silent) {
                0 => "becomes dead any moment".to_owned(),
                seconds => format!("becomes dead in {seconds}s"),
            };
            (Some(reason), Some(next))
        }
        Status::Dead | Status::Left => {
            let seconds = left(settings.config.forget_after, now.since(seen.since));
            (Some(silence), Some(format!("forgotten in {seconds}s")))
        }
    }
}

/// What was refused or failed, by name.
pub(crate) fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    let Counters {
        refused_requests,
        skipped_records,
        forbidden_addresses,
        rationed,
        crowded_out,
        failed_exchanges,
        refutations,
        ..
    } = *counters;
    let named = [
        ("refused_requests", refused_requests),
        ("skipped_records", skipped_records),
        ("forbidden_addresses", forbidden_addresses),
        ("rationed", rationed),
        ("crowded_out", crowded_out),
        ("failed_exchanges", failed_exchanges),
        ("refutations", refutations),
    ];
    named
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}
