//! Starts: in any order, with the `bind` of older profiles, and a mesh that nothing happens to.

use super::kills::leader_changes;
use crate::daemon::{Daemon, Setup};
use crate::findings::{Failure, Findings, Limit, Outcome};
use crate::mesh::{HEAL, Mesh, Stage, is_whole, within};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// How long each boot takes until the next begins.
const APART: Duration = Duration::from_secs(3);

/// Four nodes on 127.0.0.x boot one after the other; all know the first, which may be the last to boot.
pub(crate) async fn any_order(stage: Stage) -> Outcome {
    let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    let port = free_port(&hosts)?;
    let seed = format!("http://{}:{port}", hosts[0]);
    let mut daemons: Vec<Daemon> = Vec::new();
    for node in order(stage.run) {
        if !daemons.is_empty() {
            sleep(APART).await;
        }
        let setup = Setup {
            name: format!("node-{}", node + 1),
            host: hosts[node].to_owned(),
            port,
            api: format!("host: {}, port: {port}", hosts[node]),
            seeds: if node == 0 {
                Vec::new()
            } else {
                vec![seed.clone()]
            },
            ..Setup::default()
        };
        daemons.push(Daemon::start(&stage.program, &setup).await?);
    }
    let limit = Duration::from_secs_f64(2.0 * HEAL);
    let took = within(limit, "one mesh with one leader", async || {
        is_whole(&daemons).await
    })
    .await?;
    let mut found = Findings::default();
    found.must(
        "one mesh after the last",
        " s",
        took.as_secs_f64(),
        Limit::AtMost(HEAL),
    );
    Ok(found)
}

/// The order of four with that number: 24 numbers, 24 orders.
fn order(number: usize) -> Vec<usize> {
    let mut left = vec![0, 1, 2, 3];
    let mut rest = number % 24;
    let mut order = Vec::new();
    for count in (1..=4).rev() {
        order.push(left.remove(rest % count));
        rest /= count;
    }
    order
}

/// A port that is free on all these hosts, below those that systems give to outgoing connections. No two calls return the
/// same.
pub(crate) fn free_port(hosts: &[&str]) -> Result<u16, Failure> {
    const FIRST: u32 = 18_000;
    const COUNT: u32 = 14_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(61);
    for _ in 0..COUNT {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(call) % COUNT;
        let port = u16::try_from(port).expect("the ports end below 32,000");
        if hosts
            .iter()
            .all(|host| TcpListener::bind((*host, port)).is_ok())
        {
            return Ok(port);
        }
    }
    let why = format!(
        "no port is free on {}, or this machine lacks such addresses",
        hosts[0]
    );
    Err(Failure::NotRun(why))
}

/// Three hosts with the `bind` that older profiles have, which names no machine.
pub(crate) async fn open_bind(stage: Stage) -> Outcome {
    let mesh = Mesh::with(&stage, 3, |_, mut setup| {
        setup.mesh = "bind: \"0.0.0.0:8000\"".to_owned();
        setup
    })
    .await?;
    sleep(stage.seconds(60, 45)).await;
    let mut found = Findings::default();
    mesh.nobody_died(&mut found);
    let whole = is_whole(&mesh.daemons).await;
    found.must(
        "alive of 3",
        "",
        if whole { 3.0 } else { 0.0 },
        Limit::AtLeast(3.0),
    );
    Ok(found)
}

/// Eight to which nothing happens.
pub(crate) async fn calm(stage: Stage) -> Outcome {
    let mesh = Mesh::of(&stage, 8).await?;
    sleep(stage.seconds(120, 40)).await;
    let mut found = Findings::default();
    found.never("changes of leader", leader_changes(&mesh.daemons));
    found.never("suspicions of anybody", mesh.count("suspect"));
    let whole = is_whole(&mesh.daemons).await;
    found.must(
        "name one leader",
        "",
        if whole { 8.0 } else { 0.0 },
        Limit::AtLeast(8.0),
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn twenty_four_numbers_are_all_the_orders_of_four() {
        let orders: BTreeSet<_> = (0..24).map(order).collect();
        assert_eq!(orders.len(), 24);
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
    }
}
