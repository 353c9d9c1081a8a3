//! What came of each scene, in words.

use super::options::Plan;
use super::plot;
use super::scene::{Detection, Healing, Idle, Joined, Mistakes, STARTS_WITHIN};
use std::time::Duration;

/// What is simulated.
pub(crate) fn heading(plan: &Plan) -> String {
    let (nodes, loss, seed) = (plan.nodes, plan.loss_percent, plan.seed);
    let (least, most) = (plan.delay.least, plan.delay.most);
    let config = &plan.config;
    let (interval, fanout) = (config.gossip_interval, config.gossip_fanout);
    let (failure, dead) = (config.failure_timeout, config.dead_timeout);
    format!(
        "{nodes} nodes, {loss} % of all messages lost, {least:?} to {most:?} one way, seed {seed}\n\
         gossip every {interval:?} to {fanout} peers, suspect after {failure:?} of silence, dead after {dead:?}\n"
    )
}

pub(crate) fn joined(plan: &Plan, joined: &Joined) -> String {
    let (nodes, see_all) = (joined.nodes, joined.see_all);
    match joined.took {
        Some(took) => format!(
            "join      all see all {} after the last start (all start within {STARTS_WITHIN:?})",
            tenths(took)
        ),
        None => format!(
            "join      {see_all} of {nodes} see all after {:?}",
            plan.patience()
        ),
    }
}

pub(crate) fn idle(idle: &Idle) -> String {
    let (bytes, messages, time) = (idle.bytes_a_second, idle.messages_a_second, idle.time);
    format!(
        "idle      {bytes:.0} bytes and {messages:.1} messages a second from each node, over {time:?}"
    )
}

pub(crate) fn mistakes(mistakes: &Mistakes) -> String {
    let (suspicions, deaths, hours) = (mistakes.suspicions, mistakes.deaths, mistakes.node_hours);
    let rate = suspicions as f64 / hours;
    format!(
        "mistakes  {suspicions} false suspicions and {deaths} false deaths in {hours:.2} node-hours: \
         {rate:.2} suspicions a node-hour"
    )
}

pub(crate) fn detection(detection: &Detection) -> String {
    let (victims, observers) = (detection.victims, detection.observers);
    let wanted = victims * observers;
    let suspect = verdicts("suspect", &detection.suspect, wanted);
    let dead = verdicts("dead", &detection.dead, wanted);
    format!(
        "kill      {victims} killed, {observers} left to find out; seconds after the last heartbeat:\n\n{suspect}\n{dead}"
    )
}

/// First, median and last, and how they spread.
fn verdicts(status: &str, times: &[Duration], wanted: usize) -> String {
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return format!("  {status:<8}found out by nobody\n");
    };
    let [first, median, last] = [*first, times[times.len() / 2], *last].map(finely);
    let found = match times.len() {
        found if found < wanted => format!("   (found out {found} times of {wanted})"),
        _ => String::new(),
    };
    let plot = plot::text(times);
    format!("  {status:<8}first {first}   median {median}   last {last}{found}\n{plot}")
}

pub(crate) fn healing(plan: &Plan, time: Duration, healing: &Healing) -> String {
    let ((one, other), severed, left) = (healing.halves, healing.severed, healing.left);
    let outcome = match (healing.half, healing.all) {
        (_, Some(_)) if severed == 0 => "nobody had noticed when it was mended".to_owned(),
        (Some(half), Some(all)) => format!(
            "half of the {severed} severed ties alive {} after, all {} after",
            tenths(half),
            tenths(all)
        ),
        _ => format!(
            "{left} of {severed} severed ties not alive again after {:?}",
            plan.patience()
        ),
    };
    format!("heal      {one} and {other} cut apart for {time:?}: {outcome}")
}

fn tenths(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// In hundredths of a second, or thousandths where a second is much.
fn finely(time: Duration) -> String {
    let decimals = if time < Duration::from_secs(1) { 3 } else { 2 };
    format!("{:.decimals$} s", time.as_secs_f64())
}
