//! Seeds that are names: where they lead is asked of a DNS server of the tests' own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "the log of a node whose test failed")]

mod stage;
mod support;

use astromesh_core::api::{Readiness, SeedStatus, SystemStatus};
use astromeshd::Daemon;
use stage::free_port;
use std::net::{IpAddr, SocketAddr};
use support::dns::Dns;
use support::{QUICK, alive, eventually, get, met, settings};

const SERVICE: &str = "_maia._tcp.mesh.test";
const SEED: &str = "srv://_maia._tcp.mesh.test";

/// A node with that seed, which asks these servers.
async fn node(name: &str, host: &str, port: u16, seed: &str, servers: &[SocketAddr]) -> Daemon {
    let servers: Vec<String> = servers.iter().map(|server| format!("'{server}'")).collect();
    let spec = format!(
        "mesh: {{enabled: true, {QUICK}, seeds: ['{seed}'], name_servers: [{}]}}",
        servers.join(", ")
    );
    let mut settings = settings(name, &spec);
    (settings.api.host, settings.api.port) = (host.parse().unwrap(), port);
    Daemon::start(settings).await.unwrap()
}

async fn of_service(name: &str, dns: &Dns) -> Daemon {
    node(name, "127.0.0.1", 0, SEED, &[dns.address]).await
}

async fn readiness(daemon: &Daemon) -> (u16, String) {
    let answer = get(daemon, "/readyz").await;
    let ready: Readiness = answer.json().unwrap();
    (answer.status.as_u16(), ready.conditions[0].detail.clone())
}

async fn seed_of(daemon: &Daemon) -> SeedStatus {
    let status: SystemStatus = get(daemon, "/v1/system/status").await.json().unwrap();
    status.mesh.unwrap().seeds.remove(0)
}

async fn joined(daemon: &Daemon) {
    eventually("it has joined", || daemon.view().unwrap().joined).await;
}

#[tokio::test]
async fn a_node_waits_until_the_name_of_a_service_leads_somewhere() {
    let dns = Dns::start().await;
    let ana = of_service("ana", &dns).await;
    let (status, detail) = readiness(&ana).await;
    assert_eq!(status, 503);
    let why = format!("seed {SEED} fails: cannot be resolved: there is no such name");
    assert!(detail.contains(&why), "{detail}");

    dns.set_service(SERVICE, &[ana.address()]);
    joined(&ana).await;
    assert_eq!(readiness(&ana).await.0, 200);
    let seed = seed_of(&ana).await;
    assert_eq!((&*seed.url, &*seed.status), (SEED, "itself"));

    let bob = of_service("bob", &dns).await;
    met(&[&ana, &bob]).await;
    dns.set_service(SERVICE, &[ana.address(), bob.address()]);
    let cid = of_service("cid", &dns).await;
    met(&[&ana, &bob, &cid]).await;
    let seed = seed_of(&cid).await;
    assert_eq!((&*seed.url, &*seed.status), (SEED, "joined"));
    let mut addresses = [ana.url().to_string(), bob.url().to_string()];
    addresses.sort();
    assert_eq!(seed.addresses, addresses);
}

#[tokio::test]
async fn whoever_is_gone_from_the_name_is_not_missed() {
    let dns = Dns::start().await;
    let ana = of_service("ana", &dns).await;
    dns.set_service(SERVICE, &[ana.address()]);
    joined(&ana).await;
    let bob = of_service("bob", &dns).await;
    met(&[&ana, &bob]).await;
    let was_at = ana.address();
    ana.kill().await;

    dns.set_service(SERVICE, &[was_at]);
    let cid = of_service("cid", &dns).await;
    eventually("its one seed fails", || {
        let view = cid.view().unwrap();
        view.seeds
            .iter()
            .any(|seed| matches!(seed.outcome, Some(Err(_))))
    })
    .await;
    let seed = seed_of(&cid).await;
    assert_eq!(seed.status, "failing");
    let why = format!("http://{was_at}: ");
    assert!(seed.reason.unwrap().starts_with(&why));

    dns.set_service(SERVICE, &[was_at, bob.address()]);
    joined(&cid).await;
    eventually("those who live see each other", || {
        alive(&bob) == 2 && alive(&cid) == 2
    })
    .await;
}

#[tokio::test]
async fn nodes_that_began_alone_meet_once_the_name_leads_to_all() {
    let (one, other) = (Dns::start().await, Dns::start().await);
    let (ana, bob) = (
        of_service("ana", &one).await,
        of_service("bob", &other).await,
    );
    one.set_service(SERVICE, &[ana.address()]);
    other.set_service(SERVICE, &[bob.address()]);
    joined(&ana).await;
    joined(&bob).await;
    assert_eq!((alive(&ana), alive(&bob)), (1, 1));

    one.set_service(SERVICE, &[ana.address(), bob.address()]);
    met(&[&ana, &bob]).await;
}

#[tokio::test]
async fn each_address_of_a_name_is_a_seed() {
    let dns = Dns::start().await;
    let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    let port = free_port(&hosts);
    let mut addresses: Vec<IpAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    // Nobody is there.
    addresses.push("127.0.0.4".parse().unwrap());
    dns.set_addresses("mesh.test", &addresses);
    let seed = format!("http://mesh.test:{port}");
    let mut nodes = Vec::new();
    for host in hosts {
        nodes.push(node(host, host, port, &seed, &[dns.address]).await);
    }
    let all: Vec<&Daemon> = nodes.iter().collect();
    met(&all).await;
    let shown = seed_of(&nodes[2]).await;
    assert_eq!((&*shown.url, &*shown.status), (&*seed, "joined"));
    assert_eq!(shown.addresses.len(), 4, "{:?}", shown.addresses);
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_is_passed_over() {
    let dns = Dns::start().await;
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = [silent.local_addr().unwrap(), dns.address];
    let ana = node("ana", "127.0.0.1", 0, SEED, &servers).await;
    dns.set_service(SERVICE, &[ana.address()]);
    joined(&ana).await;
}

#[tokio::test]
async fn a_name_does_not_lead_where_nobody_is_to_be_called() {
    let dns = Dns::start().await;
    let metadata = "169.254.169.254:80".parse().unwrap();
    dns.set_service(SERVICE, &[metadata]);
    let ana = of_service("ana", &dns).await;
    let seed = seed_of(&ana).await;
    assert_eq!(seed.status, "failing");
    let why = "cannot be resolved: it leads to no address that may be called";
    assert_eq!(seed.reason.as_deref(), Some(why));
    assert_eq!(ana.view().unwrap().seeds, []);
}

#[tokio::test]
async fn of_many_addresses_some_are_taken() {
    let dns = Dns::start().await;
    let many: Vec<IpAddr> = (1..=40).map(|n| IpAddr::from([127, 9, 9, n])).collect();
    dns.set_addresses("mesh.test", &many);
    let seed = "http://mesh.test:9";
    let ana = node("ana", "127.0.0.1", 0, seed, &[dns.address]).await;
    let bob = node("bob", "127.0.0.1", 0, seed, &[dns.address]).await;
    let (anas, bobs) = (seed_of(&ana).await.addresses, seed_of(&bob).await.addresses);
    assert_eq!((anas.len(), bobs.len()), (16, 16));
    assert_ne!(anas, bobs, "together they know of more");
}

#[tokio::test]
async fn a_name_is_resolved_as_the_system_does_where_no_server_is_named() {
    let first = support::member("first", &[], "").await;
    let seed = format!("http://localhost:{}", first.address().port());
    let second = node("second", "127.0.0.1", 0, &seed, &[]).await;
    met(&[&first, &second]).await;
    assert_eq!(seed_of(&second).await.status, "joined");
}
