//! An event of the library as a body of the API, with words for people.

use astromesh_core::api::MeshEvent;
use maia::address::Url;
use maia::event::{Event, Reason};
use maia::id::{Name, NodeId};
use std::time::Duration;

/// `event` in words, without its number and its time; `name` says what people call a node. An event about no other node
/// names none.
pub(super) fn told(event: &Event, name: impl Fn(&NodeId) -> String) -> MeshEvent {
    match event {
        Event::Joined {
            id,
            name,
            url,
            known,
            reason,
        } => MeshEvent {
            url: Some(url.to_string()),
            reason: Some(reason.to_string()),
            after_seconds: Some(known.as_secs_f64()),
            ..about(id, name, "joined", format!("joined, at {url}: {reason}"))
        },
        Event::Suspected {
            id,
            name,
            silent,
            reason,
        } => MeshEvent {
            reason: Some(reason.to_string()),
            silent_seconds: Some(silent.as_secs_f64()),
            ..about(id, name, "suspect", after("suspect", *silent, *reason))
        },
        Event::Recovered {
            id,
            name,
            after,
            reason,
        } => MeshEvent {
            reason: Some(reason.to_string()),
            after_seconds: Some(after.as_secs_f64()),
            ..about(
                id,
                name,
                "alive",
                format!("alive again after {}", span(*after)),
            )
        },
        Event::Died {
            id,
            name,
            silent,
            reason,
        } => MeshEvent {
            reason: Some(reason.to_string()),
            silent_seconds: Some(silent.as_secs_f64()),
            ..about(id, name, "dead", after("dead", *silent, *reason))
        },
        Event::Left {
            id,
            name,
            known,
            reason,
        } => MeshEvent {
            reason: Some(reason.to_string()),
            after_seconds: Some(known.as_secs_f64()),
            ..about(id, name, "left", format!("left: {reason}"))
        },
        Event::Forgotten {
            id,
            name,
            gone,
            reason,
        } => MeshEvent {
            reason: Some(reason.to_string()),
            after_seconds: Some(gone.as_secs_f64()),
            ..about(id, name, "forgotten", after("forgotten", *gone, *reason))
        },
        Event::Replaced {
            id,
            name: its_name,
            known,
            by,
            url,
        } => MeshEvent {
            url: Some(url.to_string()),
            after_seconds: Some(known.as_secs_f64()),
            other_id: Some(by.to_string()),
            ..about(
                id,
                its_name,
                "replaced",
                format!("made way for {}, which answers at {url} now", name(by)),
            )
        },
        Event::LeaderChanged {
            leader,
            before,
            lasted,
        } => leader_changed(leader.as_ref(), before.as_ref(), *lasted, name),
        Event::Conflict { url, one, other } => MeshEvent {
            node_id: one.to_string(),
            name: name(one),
            url: Some(url.to_string()),
            other_id: Some(other.to_string()),
            ..of_kind(
                "conflict",
                format!(
                    "and {} answer in turn at {url}: two nodes advertise one address",
                    name(other)
                ),
            )
        },
        event => about_this_node(event),
    }
}

fn leader_changed(
    leader: Option<&NodeId>,
    before: Option<&NodeId>,
    lasted: Duration,
    name: impl Fn(&NodeId) -> String,
) -> MeshEvent {
    let lasted_so = match before {
        Some(before) => format!("{} had been for {}", name(before), span(lasted)),
        None => format!("nobody had been for {}", span(lasted)),
    };
    let told = MeshEvent {
        after_seconds: Some(lasted.as_secs_f64()),
        leader: leader.map(ToString::to_string),
        other_id: before.map(ToString::to_string),
        ..of_kind("leader", String::new())
    };
    match leader {
        Some(id) => MeshEvent {
            node_id: id.to_string(),
            name: name(id),
            message: format!("the leader; {lasted_so}"),
            ..told
        },
        None => MeshEvent {
            message: format!("names no leader; {lasted_so}"),
            ..told
        },
    }
}

/// What happened to this node and no other.
fn about_this_node(event: &Event) -> MeshEvent {
    let (kind, message, url, reason): (_, String, Option<&Url>, Option<&String>) = match event {
        Event::Refuted => (
            "refuted",
            "begins a new incarnation, to refute what others said of it".to_owned(),
            None,
            None,
        ),
        Event::JoinedThrough { seed } => (
            "joined_through",
            format!("joined the mesh through {seed}"),
            Some(seed),
            None,
        ),
        Event::SeedFailed { seed, failure } => (
            "seed_failed",
            format!("cannot join through {seed}: {failure}; trying again"),
            Some(seed),
            Some(failure),
        ),
        Event::FoundMyself { url } => (
            "myself",
            format!("found {url} to be its own address"),
            Some(url),
            None,
        ),
        other => ("other", other.to_string(), None, None),
    };
    MeshEvent {
        url: url.map(ToString::to_string),
        reason: reason.cloned(),
        ..of_kind(kind, message)
    }
}

fn about(id: &NodeId, name: &Name, kind: &str, message: String) -> MeshEvent {
    MeshEvent {
        node_id: id.to_string(),
        name: name.to_string(),
        ..of_kind(kind, message)
    }
}

fn of_kind(kind: &str, message: String) -> MeshEvent {
    MeshEvent {
        kind: kind.to_owned(),
        message,
        ..MeshEvent::default()
    }
}

fn after(what: &str, time: Duration, reason: Reason) -> String {
    format!("{what} after {}: {reason}", span(time))
}

fn span(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
