//! `agents list` and `run`.

use crate::command::Run;
use crate::daemon::Daemon;
use crate::outcome::{Failure, Outcome};
use crate::overview::style;
use crate::table::{self, Column, Row};
use crate::text::{count, list, one_line, prose, styled, tame_json};
use anstyle::Style;
use astromesh_core::api::{AgentList, AgentStatus, Carrier, RunAnswer, RunRequest, Withheld};
use maia::address::Url;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Shows all agents, with the nodes that carry them.
///
/// # Errors
/// Whatever keeps the daemon from answering as it should.
pub(crate) async fn show_all(daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let body = daemon.success(daemon.get("/v1/agents").await?)?;
    let agents: AgentList = daemon.read(&body)?;
    Ok(Outcome::done(match json {
        true => tame_json(&daemon.text(&body)?),
        false => render(agents, daemon.url()),
    }))
}

/// Asks an agent.
///
/// # Errors
/// Whatever keeps the daemon from answering as it should: nobody has the agent, or nobody who has it is there.
pub(crate) async fn ask(run: &Run, daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let path = format!("/v1/agents/{}/run", utf8_percent_encode(&run.agent, PATH));
    let request = RunRequest {
        query: run.query.clone(),
        session_id: run.session.clone(),
        context: None,
        stream: false,
    };
    let request =
        serde_json::to_vec(&request).map_err(|error| daemon.strange(&error.to_string()))?;
    let body = daemon.success(daemon.post(&path, request).await?)?;
    let answer: RunAnswer = daemon.read(&body)?;
    let outcome = Outcome::done(match json {
        true => tame_json(&daemon.text(&body)?),
        false => prose(&answer.answer),
    });
    let mut remarks: Vec<String> = answer.steps.iter().filter_map(tool_step).collect();
    remarks.push(who_ran_it(&answer));
    Ok(outcome.remarking(remarks.join("\n")))
}

/// What a step says of a tool, if it is about one: `it called http_request {"url":…} (52 ms)`.
fn tool_step(step: &Value) -> Option<String> {
    const LONGEST: usize = 120;
    let tool = step.get("tool")?.as_str()?;
    let shown = |name: &str| {
        let text = step
            .get(name)
            .map_or_else(String::new, |value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
        let short: String = text.chars().take(LONGEST).collect();
        let ellipsis = if short.len() < text.len() { "…" } else { "" };
        format!("{}{ellipsis}", one_line(&short))
    };
    let outcome = match step.get("ok").and_then(Value::as_bool) {
        Some(false) => format!("; {}", shown("result")),
        _ => String::new(),
    };
    let (arguments, millis) = (shown("arguments"), shown("ms"));
    Some(format!(
        "it called {} {arguments} ({millis} ms){outcome}",
        one_line(tool)
    ))
}

fn who_ran_it(answer: &RunAnswer) -> String {
    format!(
        "{} ran it (model {}, session {}, {})",
        one_line(&answer.node),
        one_line(&answer.model),
        one_line(&answer.session_id),
        count(answer.usage.total_tokens, "token")
    )
}

fn render(list: AgentList, url: &Url) -> String {
    let mut agents = list.agents;
    let mut warnings: Vec<String> = list.withheld.iter().map(withheld).collect();
    if agents.is_empty() && warnings.is_empty() {
        return format!("No agents, as {url} sees it");
    }
    agents.sort_by_cached_key(|agent| (reach(agent), agent.name.clone()));
    let rows: Vec<Row> = agents.iter().map(row).collect();
    let mut parts = Vec::new();
    if !rows.is_empty() {
        let columns = [Column::left("AGENT"), Column::left("NODES")];
        parts.push(table::render(&columns, &rows));
    }
    warnings.extend(agents.iter().filter_map(warning));
    if !warnings.is_empty() {
        parts.push(warnings.join("\n"));
    }
    parts.push(styled(Style::new().dimmed(), &format!("As {url} sees it")));
    parts.join("\n\n")
}

/// How well an agent can be reached, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Nowhere,
    Partly,
    Everywhere,
}

fn reach(agent: &AgentStatus) -> Reach {
    let alive = agent
        .nodes
        .iter()
        .filter(|node| node.status == "alive")
        .count();
    match alive {
        0 => Reach::Nowhere,
        some if some < agent.nodes.len() => Reach::Partly,
        _ => Reach::Everywhere,
    }
}

fn row(agent: &AgentStatus) -> Row {
    let mut nodes: Vec<String> = agent.nodes.iter().map(carrier).collect();
    nodes.sort();
    Row {
        cells: vec![one_line(&agent.name), list(&nodes, ", ")],
        style: style(match reach(agent) {
            Reach::Nowhere => "dead",
            Reach::Partly => "suspect",
            Reach::Everywhere => "alive",
        }),
    }
}

fn carrier(node: &Carrier) -> String {
    match node.status.as_str() {
        "alive" => node.name.clone(),
        status => format!("{} ({status})", node.name),
    }
}

/// What the node that was asked has and does not offer.
fn withheld(agent: &Withheld) -> String {
    let (name, reason) = (one_line(&agent.name), one_line(&agent.reason));
    let line = format!("! {name}: this node has it and does not offer it: {reason}");
    styled(style("dead"), &line)
}

fn warning(agent: &AgentStatus) -> Option<String> {
    let name = one_line(&agent.name);
    let (status, why) = match reach(agent) {
        Reach::Everywhere => return None,
        Reach::Partly => (
            "suspect",
            "not all its nodes are alive; the others take its requests",
        ),
        Reach::Nowhere => (
            "dead",
            "none of its nodes is alive; requests may fail until one is",
        ),
    };
    Some(styled(
        style(status),
        &format!("! {name}: {why} (astromeshctl mesh nodes)"),
    ))
}
