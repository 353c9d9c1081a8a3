//! Leaving the mesh, and coming back.
//!
//! A node that leaves first says that it takes no more, then finishes what it has, then says goodbye; so nobody is sent to
//! a place where nothing is done. What it does say is carried by the node's own task; here is only the order.

use crate::here::{Here, Phase};
use maia::message::{Caller, Refusal, Reply, Request, Subject};
use maia::node::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long what is in flight may take to finish.
pub(crate) const GRACE: Duration = Duration::from_secs(25);

/// How long no other node may have sent anything before this one says goodbye: those that do have not heard yet that it takes
/// no more.
const QUIET: Duration = Duration::from_millis(250);

/// Leaves the mesh; returns once the others have been told. Goes on when the caller loses patience. `None` where there is no
/// mesh to leave.
pub(crate) async fn leave(here: &Arc<Here>, grace: Duration) -> Option<Reply> {
    let here = Arc::clone(here);
    let leaving = tokio::spawn(async move { leave_in_order(&here, grace).await });
    leaving.await.unwrap_or(None)
}

async fn leave_in_order(here: &Here, grace: Duration) -> Option<Reply> {
    let mesh = here.mesh.as_ref()?;
    let _turn = here.turnstile.lock().await;
    if here.phase() != Phase::Left {
        here.enter(Phase::Draining);
        mesh.handle.tell(Command::Drain);
        let is_alone = mesh.view.load().members.len() < 2;
        here.finish(if is_alone { Duration::ZERO } else { QUIET }, grace)
            .await;
    }
    let reply = mesh
        .handle
        .call(from_here(), Request::Leave(Subject::Myself))
        .await?;
    here.enter(match &reply {
        Reply::Refused(refusal) if *refusal != Refusal::Left => Phase::Running,
        _ => Phase::Left,
    });
    Some(reply)
}

/// Joins anew, after leaving.
pub(crate) async fn rejoin(here: &Here, caller: Caller) -> Option<Reply> {
    let mesh = here.mesh.as_ref()?;
    let _turn = here.turnstile.lock().await;
    let reply = mesh.handle.call(caller, Request::Rejoin).await?;
    if !matches!(reply, Reply::Refused(_)) {
        here.enter(Phase::Running);
    }
    Some(reply)
}

fn from_here() -> Caller {
    Caller {
        on_this_host: true,
        ..Caller::default()
    }
}
