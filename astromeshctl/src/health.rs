//! `healthcheck`: healthy is a daemon whose process answers. Whether it takes traffic is told, but does not decide, for
//! a container that is still joining, or has left on purpose, must not be restarted for that.

use crate::daemon::Daemon;
use crate::outcome::{Exit, Failure, Outcome};
use crate::text::one_line;
use astromesh_core::api::Readiness;
use serde::Serialize;

/// What `healthcheck --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Always true: there is no report on one that is not.
    pub(crate) healthy: bool,
    /// What `/readyz` said; `null` where it said nothing of use.
    pub(crate) readiness: Option<Readiness>,
}

/// Asks whether the daemon is up. Ends with 0 or 1 whatever happens, for those are what Docker knows.
pub(crate) async fn check(daemon: &Daemon, json: bool) -> Outcome {
    if let Err(failure) = alive(daemon).await {
        let unhealthy = Outcome::from(failure);
        return Outcome {
            exit: Exit::Refused,
            ..unhealthy
        };
    }
    let report = Report {
        healthy: true,
        readiness: readiness(daemon).await,
    };
    Outcome::done(match json {
        true => serde_json::json!(report).to_string(),
        false => render(&report),
    })
}

async fn alive(daemon: &Daemon) -> Result<(), Failure> {
    let answer = daemon.get("/healthz").await?;
    daemon.success(answer).map(drop)
}

async fn readiness(daemon: &Daemon) -> Option<Readiness> {
    let answer = daemon.get("/readyz").await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

fn render(report: &Report) -> String {
    let Some(readiness) = &report.readiness else {
        return "healthy".to_owned();
    };
    if readiness.ready {
        return "healthy and ready".to_owned();
    }
    let unmet = readiness
        .conditions
        .iter()
        .filter(|condition| !condition.ok);
    let unmet: Vec<String> = unmet.map(|condition| one_line(&condition.detail)).collect();
    format!(
        "healthy, not ready ({}): {}",
        one_line(&readiness.status),
        unmet.join("; ")
    )
}
