//! `mesh forget`: a dead row goes before its time.

use crate::daemon::{Daemon, Seen};
use crate::outcome::{Failure, Outcome};
use crate::text::one_line;
use astromesh_core::api::{ForgetRequest, Forgotten, MemberStatus};
use std::fmt::Write;

/// Has the daemon forget the member with that name or id. Whether it may be forgotten is the daemon's to judge.
///
/// # Errors
/// Where nobody or more than one is meant, and where the daemon refuses.
pub(crate) async fn run(who: &str, daemon: &Daemon, json: bool) -> Result<Outcome, Failure> {
    let seen = daemon.status().await?;
    let request = ForgetRequest {
        node_id: meant(who, &seen, daemon)?,
    };
    let body = serde_json::to_vec(&request).expect("text always makes JSON");
    let answer = daemon.post("/v1/mesh/forget", body).await?;
    let forgotten: Forgotten = daemon.read(&daemon.success(answer)?)?;
    let (node_id, name, url) = (&forgotten.node_id, &forgotten.name, daemon.url());
    Ok(Outcome::done(match json {
        true => serde_json::json!({
            "forgotten": true, "node_id": node_id, "name": name, "url": url.as_str()
        })
        .to_string(),
        false => format!(
            "{url} has forgotten {} ({}); the other nodes forget for themselves",
            one_line(name),
            one_line(node_id)
        ),
    }))
}

/// The id of the only member that `who` can mean.
fn meant(who: &str, seen: &Seen, daemon: &Daemon) -> Result<String, Failure> {
    let mesh = seen.status.mesh.as_ref().ok_or_else(|| Failure::MeshOff {
        url: daemon.url().clone(),
    })?;
    if let Some(member) = mesh.members.iter().find(|member| member.node_id == who) {
        return Ok(member.node_id.clone());
    }
    let namesakes: Vec<_> = mesh.members.iter().filter(|m| m.name == who).collect();
    match namesakes.as_slice() {
        [member] => Ok(member.node_id.clone()),
        [] => Err(Failure::Unclear {
            why: format!(
                "there is no member {:?} on {}; astromeshctl mesh nodes lists them",
                who,
                daemon.url()
            ),
        }),
        several => Err(Failure::Unclear {
            why: ambiguous(who, several),
        }),
    }
}

fn ambiguous(who: &str, several: &[&MemberStatus]) -> String {
    let mut why = format!(
        "{} members are called {who:?}; name one by its id:",
        several.len()
    );
    for member in several {
        let (id, status) = (one_line(&member.node_id), one_line(&member.status));
        let _ = write!(why, "\n  {id}  {status}");
    }
    why
}
