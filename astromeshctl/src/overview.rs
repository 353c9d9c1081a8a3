//! The block that `mesh status` prints: the mesh in four lines, then a line for each thing that is wrong.

use crate::text::{age, count, one_line, styled};
use anstyle::{AnsiColor, Style};
use astromesh_core::api::{LeaderStatus, MemberStatus, MeshStatus, NodeStatus, SeedStatus};

/// The mesh as `node` sees it.
pub(crate) fn render(node: &NodeStatus, mesh: &MeshStatus) -> String {
    let leader = mesh.leader.as_ref().map_or("none".to_owned(), leader);
    let mut lines = vec![
        format!("Mesh      {}", tally(mesh)),
        format!("Leader    {leader}"),
        format!("Here      {}", here(node, mesh)),
        format!("Load      {} running", count(running(mesh), "request")),
    ];
    let warnings = warnings(mesh);
    if !warnings.is_empty() {
        lines.push(String::new());
        lines.extend(warnings);
    }
    lines.join("\n")
}

/// A line for each thing that is wrong: what, why, and what happens next.
pub(crate) fn warnings(mesh: &MeshStatus) -> Vec<String> {
    let seeds = mesh
        .seeds
        .iter()
        .filter(|seed| is_alone(mesh) && !matches!(&*seed.status, "joined" | "itself"));
    let mut members: Vec<&MemberStatus> = mesh
        .members
        .iter()
        .filter(|member| member.status != "alive")
        .collect();
    members.sort_by_cached_key(|member| order(member));
    let seeds = seeds.map(|seed| styled(style("suspect"), &seed_warning(seed)));
    let members = members
        .into_iter()
        .map(|member| styled(style(&member.status), &member_warning(member)));
    seeds.chain(members).collect()
}

/// Whether a node that should meet others has not met any yet.
pub(crate) fn is_alone(mesh: &MeshStatus) -> bool {
    !mesh.joined && !mesh.left && !mesh.seeds.is_empty()
}

/// The worst first, then by name; the id tells two of one name apart.
pub(crate) fn order(member: &MemberStatus) -> (u8, String, String) {
    let goodness = match member.status.as_str() {
        "dead" => 0,
        "suspect" => 1,
        "alive" => 3,
        _ => 2,
    };
    (goodness, member.name.clone(), member.node_id.clone())
}

/// The style of a line about a member of that status.
pub(crate) fn style(status: &str) -> Style {
    match status {
        "alive" => Style::new(),
        "dead" => AnsiColor::Red.on_default(),
        _ => AnsiColor::Yellow.on_default(),
    }
}

fn tally(mesh: &MeshStatus) -> String {
    if mesh.left {
        return "left; astromeshctl mesh join brings this node back".to_owned();
    }
    let those = |status| {
        mesh.members
            .iter()
            .filter(|member| member.status == status)
            .count()
    };
    format!(
        "{}: {} alive, {} suspect, {} dead",
        count(mesh.members.len() as u64, "node"),
        those("alive"),
        those("suspect"),
        those("dead")
    )
}

fn leader(leader: &LeaderStatus) -> String {
    format!(
        "{}, for {}",
        one_line(&leader.name),
        age(leader.since_seconds)
    )
}

fn here(node: &NodeStatus, mesh: &MeshStatus) -> String {
    format!(
        "{} (role {}, {}, up {}{})",
        one_line(&node.name),
        one_line(&node.role),
        one_line(&node.url),
        age(node.uptime_seconds),
        if mesh.draining { ", draining" } else { "" }
    )
}

/// Whether a member's load is what it carries. What those who are gone last said they were running, they no longer run.
pub(crate) fn carries_load(member: &MemberStatus) -> bool {
    !matches!(member.status.as_str(), "dead" | "left")
}

fn running(mesh: &MeshStatus) -> u64 {
    let carriers = mesh.members.iter().filter(|member| carries_load(member));
    carriers
        .map(|member| u64::from(member.active_requests))
        .sum()
}

fn member_warning(member: &MemberStatus) -> String {
    let name = one_line(&member.name);
    if member.status == "left" {
        // Only the one who left shows itself so; nothing happens to it by itself.
        return format!("! {name} left: it said goodbye; astromeshctl mesh join brings it back");
    }
    let reason = match &member.reason {
        Some(reason) => one_line(reason),
        None => format!("last heartbeat {} ago", age(member.silent_seconds)),
    };
    let next = match (&member.next, member.status.as_str()) {
        (Some(next), _) => one_line(next),
        (None, "suspect") => "becomes dead if it stays silent".to_owned(),
        (None, _) => "forgotten if it stays silent".to_owned(),
    };
    format!(
        "! {name} {} for {}: {reason}; {next}",
        one_line(&member.status),
        age(member.since_seconds)
    )
}

fn seed_warning(seed: &SeedStatus) -> String {
    let reason = match (&seed.reason, seed.addresses.as_slice()) {
        (Some(reason), _) => reason.clone(),
        (None, []) => "no answer yet".to_owned(),
        (None, some) => format!("no answer yet from {}", some.join(", ")),
    };
    format!(
        "! seed {} {}: {}; asked again until it answers",
        one_line(&seed.url),
        one_line(&seed.status),
        one_line(&reason)
    )
}
