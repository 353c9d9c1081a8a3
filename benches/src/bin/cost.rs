//! What a mesh of simulated nodes costs and how fast it knows: `cargo run --release -p benches --bin cost -- --nodes 100,1000`.
//!
//! Real nodes and the real encoders on an imagined network: 0.5–1.5 ms one way; all nodes join within a second through
//! node 0. Prints a Markdown table.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use argh::FromArgs;
use maia::config::Config;
use maia::event::Event;
use maia::message::Status;
use maia::node::Command;
use maia::record::Load;
use maia::rng::Rng;
use maia::sim::Sim;
use std::time::{Duration, Instant};

/// What a mesh of simulated nodes costs, and how fast it knows.
#[derive(FromArgs)]
struct Options {
    /// how many nodes, with commas between (100,1000)
    #[argh(option, default = "String::from(\"100,1000\")")]
    nodes: String,
    /// seconds that are counted (60)
    #[argh(option, default = "60")]
    seconds: u64,
    /// seed (1)
    #[argh(option, default = "1")]
    seed: u64,
}

fn main() {
    let options: Options = argh::from_env();
    println!(
        "| N | join: all see all | bytes/s, idle | bytes/s, load moving | crash: dead first / last | false suspicions at 5 % loss | run took |"
    );
    println!("|---|---|---|---|---|---|---|");
    for nodes in options
        .nodes
        .split(',')
        .filter_map(|text| text.trim().parse().ok())
    {
        println!("{}", row(nodes, &options));
    }
}

fn row(nodes: usize, options: &Options) -> String {
    let began = Instant::now();
    let seconds = Duration::from_secs(options.seconds);
    let mut mesh = Sim::empty(options.seed, Config::default());
    let mut rng = Rng::from_seed(options.seed ^ 0xc057);
    let joined = join(&mut mesh, nodes, &mut rng);
    mesh.run_for(Duration::from_secs(120));
    let idle = bytes_per_node(&mut mesh, nodes, seconds, |_, _| {});
    let moving = bytes_per_node(&mut mesh, nodes, seconds, |mesh, second| {
        if second % 5 == 0 {
            move_loads(mesh, nodes, &mut rng);
        }
    });
    let (first, last) = crash(&mut mesh);
    let suspicions = suspicions_at_loss(&mut mesh, seconds);
    let took = began.elapsed().as_secs();
    format!(
        "| {nodes} | {joined} | {idle} | {moving} | {first:.1} / {last:.1} s | {suspicions} | {took} s |"
    )
}

fn name(n: usize) -> String {
    format!("n{n:05}")
}

/// All nodes join within a second; says in how many seconds after the last everybody sees everybody.
fn join(mesh: &mut Sim, nodes: usize, rng: &mut Rng) -> String {
    mesh.start(&name(0), &[]);
    let pause = Duration::from_secs_f64(1.0 / nodes as f64);
    for n in 1..nodes {
        mesh.run_for(pause.mul_f64(2.0 * rng.fraction()));
        mesh.start(&name(n), &[&name(0)]);
    }
    let start = mesh.now();
    let sees_all = |mesh: &Sim, n: usize| {
        mesh.node(&name(n))
            .is_some_and(|node| node.present() + 1 == nodes)
    };
    for _ in 0..400 {
        if (0..nodes).all(|n| sees_all(mesh, n)) {
            return format!("{:.1} s", mesh.now().since(start).as_secs_f64());
        }
        mesh.run_for(Duration::from_millis(100));
    }
    let missing = (0..nodes).filter(|n| !sees_all(mesh, *n)).count();
    format!("not in 40 s ({missing} do not)")
}

fn bytes_per_node(
    mesh: &mut Sim,
    nodes: usize,
    time: Duration,
    mut each_second: impl FnMut(&mut Sim, u64),
) -> String {
    mesh.weigh();
    for second in 0..time.as_secs() {
        each_second(mesh, second);
        mesh.run_for(Duration::from_secs(1));
    }
    let bytes = mesh.bytes() as f64 / nodes as f64 / time.as_secs_f64();
    format!("{bytes:.0}")
}

/// A tenth of the members have another load.
fn move_loads(mesh: &mut Sim, nodes: usize, rng: &mut Rng) {
    for n in rng.sample((0..nodes).collect(), nodes / 10) {
        let load = Load::new(
            rng.below(101) as f64,
            rng.below(101) as f64,
            rng.below(100) as u32,
        );
        mesh.command(&name(n), Command::Load(load.expect("percentages")));
    }
}

/// Seconds from the last heartbeat of a node that crashes until the first and the last other call it dead.
fn crash(mesh: &mut Sim) -> (f64, f64) {
    let victim = name(1);
    let beat = mesh
        .node(&victim)
        .map(|node| node.view().members[0].record.version.heartbeat);
    let beat = beat.map_or(0, |beat| {
        beat.unix_millis() - maia::sim::WALL_AT_START.unix_millis()
    });
    mesh.crash(&victim);
    let before = mesh.events().len();
    mesh.run_for(Duration::from_secs(45));
    let died = mesh.events()[before..]
        .iter()
        .filter(|r| matches!(r.event, Event::Died { .. }));
    let after: Vec<f64> = died
        .map(|r| r.at.since_start().as_secs_f64() - beat as f64 / 1_000.0)
        .collect();
    let least = after.iter().copied().fold(f64::INFINITY, f64::min);
    let most = after.iter().copied().fold(0.0, f64::max);
    (least, most)
}

fn suspicions_at_loss(mesh: &mut Sim, time: Duration) -> usize {
    mesh.network().loss = 0.05;
    let before = mesh.events().len();
    mesh.run_for(time);
    let wrongly = |r: &&maia::sim::Reported| matches!(r.event, Event::Suspected { .. });
    let count = mesh.events()[before..].iter().filter(wrongly).count();
    debug_assert!(mesh.belief(&name(0), &name(2)) == Some(Status::Alive));
    count
}
