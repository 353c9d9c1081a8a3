//! Workers, and a gateway behind another one, are asked to stop and started again, one after the other, under load.

use super::Findings;
use super::crash::Mesh;
use super::load::{Load, Outcome};
use super::stage::Daemon;
use anyhow::Result;
use std::time::Duration;
use tokio::time::sleep;

/// How long the load goes on before and after each restart.
const BETWEEN: Duration = Duration::from_millis(1_500);

pub(crate) async fn measure(rate: f64) -> Result<Findings> {
    let mut table = format!(
        "Asked to stop (SIGTERM) and started again under {rate} requests a second.\n\n\
         | what | requests | failed |\n| --- | --- | --- |\n"
    );
    let mut missed = Vec::new();
    for (what, outcomes) in [
        ("three workers, one after the other", workers(rate).await?),
        ("both gateways behind a third node", gateways(rate).await?),
    ] {
        let failed: Vec<&Outcome> = outcomes.iter().filter(|one| !one.is_good()).collect();
        table += &format!("| {what} | {} | {} |\n", outcomes.len(), failed.len());
        if let (Some(first), Some(last)) = (failed.first(), failed.last()) {
            let after = |one: &Outcome| one.sent - outcomes[0].sent;
            let (from, to) = (after(first), after(last));
            missed.push(format!(
                "{what}, {from:.1?} to {to:.1?} after the first: {:?} {}",
                first.status, first.said
            ));
        }
    }
    Ok(Findings { table, missed })
}

async fn workers(rate: f64) -> Result<Vec<Outcome>> {
    let mut mesh = Mesh::start().await?;
    let load = Load::on(&mesh.gateway.url, rate);
    for place in 0..mesh.workers.len() {
        sleep(BETWEEN).await;
        mesh.workers[place].terminate().await?;
        mesh.workers[place].restart()?;
        mesh.gateway.knows(mesh.agents.len()).await?;
    }
    sleep(BETWEEN).await;
    Ok(load.end().await)
}

async fn gateways(rate: f64) -> Result<Vec<Outcome>> {
    let mesh = Mesh::start().await?;
    let second = Daemon::gateway("gateway-2", Some(&mesh.gateway.url))?;
    second.knows(mesh.workers.len()).await?;
    let mut gateways = [mesh.gateway, second];
    let front = Daemon::front("front", &[&gateways[0], &gateways[1]])?;
    front.accepts().await?;
    let load = Load::on(&front.url, rate);
    for gateway in &mut gateways {
        sleep(BETWEEN).await;
        gateway.terminate().await?;
        gateway.restart()?;
        gateway.knows(mesh.workers.len()).await?;
    }
    sleep(BETWEEN).await;
    Ok(load.end().await)
}
