//! The table that `mesh nodes` prints, with the reasons below it and whose view it is at the end.

use crate::overview::{carries_load, order, style, warnings};
use crate::table::{self, Column, Row};
use crate::text::{age, list, one_line, styled};
use anstyle::Style;
use astromesh_core::api::{MemberStatus, MeshStatus, NodeStatus};

const COLUMNS: [Column; 7] = [
    Column::left("  NAME"),
    Column::left("STATUS"),
    Column::right("SINCE"),
    Column::left("URL"),
    Column::left("SERVICES"),
    Column::left("AGENTS"),
    Column::left("LOAD"),
];

/// All members as `node` sees them.
pub(crate) fn render(node: &NodeStatus, mesh: &MeshStatus) -> String {
    let mut members: Vec<&MemberStatus> = mesh.members.iter().collect();
    members.sort_by_cached_key(|member| order(member));
    let rows: Vec<Row> = members.into_iter().map(row).collect();
    let mut parts = vec![table::render(&COLUMNS, &rows)];
    let warnings = warnings(mesh);
    if !warnings.is_empty() {
        parts.push(warnings.join("\n"));
    }
    parts.push(styled(Style::new().dimmed(), &footer(node, mesh)));
    parts.join("\n\n")
}

fn row(member: &MemberStatus) -> Row {
    Row {
        cells: vec![
            format!("{} {}", mark(member), one_line(&member.name)),
            one_line(&member.status),
            age(member.since_seconds),
            one_line(&member.url),
            list(&member.services, ","),
            list(&member.agents, ","),
            load(member),
        ],
        style: style(&member.status),
    }
}

/// Where the leader is this node, its mark is the leader's: whose view it is stands below the table.
fn mark(member: &MemberStatus) -> char {
    match (member.leader, member.here) {
        (true, _) => '*',
        (false, true) => '>',
        (false, false) => ' ',
    }
}

fn load(member: &MemberStatus) -> String {
    if !carries_load(member) {
        return "-".to_owned();
    }
    let draining = if member.draining { ", draining" } else { "" };
    format!(
        "{} run, {:.0}% cpu{draining}",
        member.active_requests, member.cpu_percent
    )
}

fn footer(node: &NodeStatus, mesh: &MeshStatus) -> String {
    let name = one_line(&node.name);
    let has = |wanted| mesh.members.iter().any(|member| mark(member) == wanted);
    let whose = if mesh.left {
        format!("As {name} sees it, which has left the mesh")
    } else {
        format!("As {name} sees it")
    };
    match (has('*'), has('>')) {
        (true, true) => format!("{whose} (* leader, > this node)"),
        (true, false) => format!("{whose} (* leader)"),
        (false, true) => format!("{whose} (no leader, > this node)"),
        (false, false) => whose,
    }
}
