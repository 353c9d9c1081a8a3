//! The commands of `mesh`: `status`, `nodes`, `leave` and `join` here, `watch` and `forget` in files of their own.

use crate::command::{MeshCommand, MeshStatus as Wanted};
use crate::daemon::{Daemon, Seen};
use crate::outcome::{Exit, Failure, Outcome};
use crate::text::{count, tame_json};
use crate::{forget, nodes, overview, watch};
use astromesh_core::api::MeshStatus;
use maia::message::{Reply, Request, Subject};
use maia::wire::{Endpoint, decode_reply, encode_request};
use serde::Deserialize;
use std::time::Duration;

/// How often a mesh that is waited for is looked at.
const GLANCE: Duration = Duration::from_millis(250);
/// How long one look may take while another can follow.
const LOOK: Duration = Duration::from_secs(5);
/// What to know of a leave that took too long: the daemon goes on with it.
const LEAVING: &str = "it may be leaving still, which astromeshctl mesh status shows";

/// Carries out one command of `mesh`.
///
/// # Errors
/// Whatever keeps the daemon from answering as it should.
pub(crate) async fn run(
    command: &MeshCommand,
    daemon: Daemon,
    json: bool,
) -> Result<Outcome, Failure> {
    match command {
        MeshCommand::Status(wanted) => status(*wanted, &daemon, json).await,
        MeshCommand::Nodes(_) => nodes(&daemon, json).await,
        MeshCommand::Leave(_) => leave(&daemon.hinting(LEAVING), json).await,
        MeshCommand::Join(_) => join(&daemon, json).await,
        MeshCommand::Watch(_) => watch::run(&daemon, json).await,
        MeshCommand::Forget(wanted) => forget::run(&wanted.who, &daemon, json).await,
    }
}

async fn status(wanted: Wanted, daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let seen = match wanted.wait {
        Some(nodes) => wait_for(nodes, wanted.check, daemon).await?,
        None => daemon.status().await?,
    };
    let mesh = mesh_of(&seen, daemon)?;
    let outcome = Outcome::done(match json {
        true => tame_json(&seen.json),
        false => overview::render(&seen.status.node, mesh),
    });
    let shortfall = wanted
        .wait
        .and_then(|nodes| too_few(mesh, nodes, daemon.patience()));
    let trouble = || trouble(mesh).filter(|_| wanted.check);
    Ok(match shortfall.or_else(trouble) {
        Some(why) => outcome.but(Exit::NotAlive, &why),
        None => outcome,
    })
}

async fn nodes(daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let seen = daemon.status().await?;
    let mesh = mesh_of(&seen, daemon)?;
    Ok(Outcome::done(match json {
        true => tame_json(&seen.json),
        false => nodes::render(&seen.status.node, mesh),
    }))
}

async fn leave(daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let acknowledged: Acknowledged =
        daemon.read(&say(&Request::Leave(Subject::Myself), daemon).await?)?;
    if acknowledged.status != "ok" {
        return Err(daemon.strange(&format!("status {:?}", acknowledged.status)));
    }
    let url = daemon.url();
    Ok(Outcome::done(match json {
        true => serde_json::json!({ "url": url.as_str(), "left": true }).to_string(),
        false => format!("{url} has left the mesh; astromeshctl mesh join brings it back"),
    }))
}

/// What a leave is answered with.
#[derive(Deserialize)]
struct Acknowledged {
    status: String,
}

async fn join(daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let body = say(&Request::Rejoin, daemon).await?;
    let nodes = match decode_reply(Endpoint::Join, 200, &body) {
        Ok(Reply::State(state)) => state.table.entries.len(),
        Ok(_) => return Err(daemon.strange("its answer is not one to a join")),
        Err(failure) => return Err(daemon.strange(&failure.to_string())),
    };
    let url = daemon.url();
    Ok(Outcome::done(match json {
        true => {
            serde_json::json!({ "url": url.as_str(), "joined": true, "nodes": nodes }).to_string()
        }
        false => format!(
            "{url} is in the mesh and sees {}",
            count(nodes as u64, "node")
        ),
    }))
}

/// Makes one of the mesh's own calls, and returns the body of its answer.
async fn say(request: &Request, daemon: &Daemon) -> Result<Vec<u8>, Failure> {
    let call = encode_request(request);
    daemon.success(daemon.post(call.path, call.body).await?)
}

/// Looks again and again until the mesh is as wanted or the time is up, and returns the last sight of it. A daemon that
/// is not up yet is waited for like its mesh.
async fn wait_for(nodes: usize, check: bool, daemon: &Daemon) -> Result<Seen, Failure> {
    // Where there is no mesh, none will come.
    let as_wanted = |mesh: &MeshStatus| alive(mesh) >= nodes && !(check && trouble(mesh).is_some());
    let mut last = None;
    loop {
        let look = daemon.status_within(daemon.time_left().min(LOOK)).await;
        let over = daemon.time_left() <= GLANCE;
        match look {
            Ok(seen) if over || seen.status.mesh.as_ref().is_none_or(as_wanted) => return Ok(seen),
            Ok(seen) => last = Some(seen),
            // A last look that is cut short by the end of the wait says nothing about the daemon.
            Err(failure @ Failure::TimedOut { .. }) if over => return last.ok_or(failure),
            Err(failure) if over || !failure.may_pass() => return Err(failure),
            Err(_) => (),
        }
        tokio::time::sleep(GLANCE).await;
    }
}

fn mesh_of<'a>(seen: &'a Seen, daemon: &Daemon) -> Result<&'a MeshStatus, Failure> {
    seen.status.mesh.as_ref().ok_or_else(|| Failure::MeshOff {
        url: daemon.url().clone(),
    })
}

fn alive(mesh: &MeshStatus) -> usize {
    mesh.members
        .iter()
        .filter(|member| member.status == "alive")
        .count()
}

/// What `--wait` has to say where its time ran out.
fn too_few(mesh: &MeshStatus, nodes: usize, patience: Duration) -> Option<String> {
    let (alive, waited) = (alive(mesh), patience.as_secs_f64());
    (alive < nodes)
        .then(|| format!("{alive} of {nodes} nodes alive after {waited}s; --timeout waits longer"))
}

/// What `--check` has to say, if anything.
fn trouble(mesh: &MeshStatus) -> Option<String> {
    let (members, alive) = (mesh.members.len(), alive(mesh));
    if mesh.left {
        Some("this node has left the mesh; astromeshctl mesh join brings it back".to_owned())
    } else if alive < members {
        Some(format!(
            "{} of {} not alive",
            members - alive,
            count(members as u64, "member")
        ))
    } else if overview::is_alone(mesh) {
        Some("this node has not met the mesh yet".to_owned())
    } else {
        None
    }
}
