//! Forged calls to real daemons: of a victim's death, of a member that never was.

use crate::daemon::{Daemon, wall};
use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::mesh::{Mesh, Stage, count, is_whole};
use serde_json::{Value, json};
use tokio::time::sleep;

/// A name that no node has.
const NOBODY: &str = "nobody-at-all";

/// Somebody who is not a member says by every call there is that node 2 is dead, gone or elsewhere, and that another is
/// alive for ever.
pub(crate) async fn calls(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    let victim = &mesh.daemons[1];
    let true_record = mesh.daemons[0].record(&victim.id).await;
    let true_record = true_record.ok_or("no record of the victim".to_owned())?;
    let mut found = Findings::default();
    for daemon in &mesh.daemons {
        for record in forgeries(&true_record, &mesh.lab.address(99)) {
            tell(daemon, &record, &mut found).await?;
        }
        daemon
            .post("/v1/mesh/leave", &json!({ "node_id": victim.id }))
            .await?;
        let vote = json!({ "candidate_id": NOBODY, "node_id": victim.id });
        daemon.post("/v1/mesh/election", &vote).await?;
    }
    sleep(stage.seconds(60, 20)).await;
    for kind in ["suspect", "dead", "left", "replaced"] {
        let of_victim = |daemon| count(daemon, kind, std::slice::from_ref(victim));
        let what = format!("times the victim was {kind}");
        found.never(&what, mesh.daemons.iter().map(of_victim).sum());
    }
    found.never("tables with the invented one", shown(&mesh.daemons).await);
    let whole = is_whole(&mesh.daemons).await;
    found.must(
        "see 8 alive and one leader",
        "",
        if whole { 8.0 } else { 0.0 },
        Limit::AtLeast(8.0),
    );
    Ok(found)
}

/// Records that are not true: of the victim, and of one who is not there.
fn forgeries(victim: &Value, elsewhere: &str) -> Vec<Value> {
    let change = |changes: &[(&str, Value)]| {
        let mut record = victim.clone();
        for (field, value) in changes {
            record[*field] = value.clone();
        }
        record
    };
    let place = json!(format!("http://{elsewhere}:8000"));
    let soon = json!(wall() + 60.0);
    let years_ahead = json!(wall() + 1e9);
    vec![
        change(&[("status", json!("dead")), ("last_heartbeat", soon.clone())]),
        change(&[
            ("status", json!("dead")),
            ("last_heartbeat", years_ahead.clone()),
        ]),
        change(&[("url", place.clone()), ("last_heartbeat", soon.clone())]),
        change(&[
            ("ext", json!({ "n": 1_000_000, "left": true })),
            ("last_heartbeat", soon),
        ]),
        change(&[
            ("node_id", json!(NOBODY)),
            ("joined_at", years_ahead.clone()),
        ]),
        change(&[
            ("node_id", json!(NOBODY)),
            ("url", place),
            ("last_heartbeat", years_ahead),
        ]),
        change(&[("last_heartbeat", json!("soon"))]),
    ]
}

/// Says it by each call that takes a record; a fault of the daemon's own is never the answer.
async fn tell(daemon: &Daemon, record: &Value, found: &mut Findings) -> Result<(), Failure> {
    let table = json!({ "nodes": [record] });
    for (path, body) in [
        ("/v1/mesh/gossip", &table),
        ("/v1/mesh/heartbeat", record),
        ("/v1/mesh/join", record),
    ] {
        let status = daemon.post(path, body).await?;
        found.never("answers with 5xx", usize::from(status >= 500));
    }
    Ok(())
}

/// How many of them show the one that never was.
async fn shown(daemons: &[Daemon]) -> usize {
    let mut shown = 0;
    for daemon in daemons {
        let listed = daemon.record(NOBODY).await.is_some();
        let mesh = daemon.mesh().await;
        let seen = mesh.is_some_and(|mesh| mesh.members.iter().any(|one| one.node_id == NOBODY));
        shown += usize::from(listed || seen);
    }
    shown
}
