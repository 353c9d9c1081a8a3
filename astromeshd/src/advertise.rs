//! Under which URL the others are told to call this node.
//!
//! What the operator wrote comes first: `advertise`, then a specific `api.host`, then a specific host in an older file's
//! `mesh.bind`. Where all of them leave it open, the system is asked which address it would use towards a seed. A node
//! without seeds cannot ask that: it takes the likeliest address of the host until a peer calls, and then the one that the
//! peer has reached. Loopback is never guessed where there is anything else, for to other hosts it means themselves.
//!
//! What was found out holds as long as the host has that address; `moved` looks after that.

use astromesh_core::settings::{Mesh, Settings};
use maia::address::{Host, Url, may_be_called};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// How long a seed's name may take to resolve before this goes on without.
const RESOLVING: Duration = Duration::from_secs(2);

/// Where others reach this node, and whether that may still change.
#[derive(Debug)]
pub(crate) struct Advertised {
    /// The URL that the node starts with.
    pub(crate) url: Url,
    /// Whether the node is reached on loopback, and so may call others there.
    pub(crate) on_loopback: Arc<AtomicBool>,
    guessed: AtomicBool,
    /// Whether the operator said so: then it is not for us to doubt.
    is_written: bool,
}

impl Advertised {
    /// Finds it out for a node that listens at `address`.
    pub(crate) async fn find(
        settings: &Settings,
        mesh: &Mesh,
        seeds: &[Url],
        address: SocketAddr,
    ) -> Self {
        let written = written(settings, mesh, address.port());
        let is_written = written.is_some();
        let url = match written {
            Some(url) => url,
            None => {
                let found = find_out(seeds, address).await;
                let ip = found.unwrap_or(Ipv4Addr::LOCALHOST.into());
                Url::from_parts(Host::Ip(ip), address.port())
            }
        };
        Self {
            on_loopback: Arc::new(AtomicBool::new(url.is_loopback())),
            url,
            guessed: AtomicBool::new(!is_written && seeds.is_empty()),
            is_written,
        }
    }

    /// The URL to be told from now on, where the host of `told`, which the others were told until now, is no longer this
    /// one; `None` where it is, and where nothing better is to be had.
    pub(crate) async fn moved(
        &self,
        told: &Url,
        seeds: &[Url],
        address: SocketAddr,
    ) -> Option<Url> {
        let &Host::Ip(ip) = told.host() else {
            return None;
        };
        if self.is_written || is_of_this_host(ip).await {
            return None;
        }
        let found = find_out(seeds, address).await?;
        self.on_loopback.store(false, Ordering::Relaxed);
        Some(told.on_host(found))
    }

    /// Takes note that a peer on another host reached this node at `local`; returns the URL to be told from now on, where
    /// the one until now was a guess and this is news.
    pub(crate) fn reached_at(&self, local: IpAddr) -> Option<Url> {
        let local = local.to_canonical();
        if !self.guessed.load(Ordering::Relaxed) || !may_be_called(local, false) {
            return None;
        }
        if !self.guessed.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.on_loopback.store(false, Ordering::Relaxed);
        let url = self.url.on_host(local);
        (url != self.url).then_some(url)
    }
}

/// What the operator wrote, if it names a machine.
fn written(settings: &Settings, mesh: &Mesh, port: u16) -> Option<Url> {
    if let Some(url) = &mesh.advertise {
        return Some(url.clone());
    }
    let host = settings.api.host;
    if !host.is_unspecified() {
        return Some(Url::from_parts(Host::Ip(host), port));
    }
    let bound = Url::from_parts(mesh.bind_host.clone()?, port);
    (!bound.is_unspecified() && !bound.is_loopback()).then_some(bound)
}

/// The address of this host that others may call, as far as it can be found out.
async fn find_out(seeds: &[Url], address: SocketAddr) -> Option<IpAddr> {
    match towards_seeds(seeds, address).await {
        Some(ip) => Some(ip),
        None => most_likely(address).await,
    }
}

/// Whether this host has that address. One may bind to no other; any other trouble says nothing.
async fn is_of_this_host(ip: IpAddr) -> bool {
    let bound = UdpSocket::bind((ip, 0)).await;
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

/// The address of this host that the system would use towards the first seed that it knows a way to.
async fn towards_seeds(seeds: &[Url], address: SocketAddr) -> Option<IpAddr> {
    for seed in seeds {
        let places: Vec<SocketAddr> = match seed.host() {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, seed.port())],
            Host::Name(name) => {
                let found = timeout(RESOLVING, lookup_host((&**name, seed.port()))).await;
                found
                    .ok()
                    .and_then(Result::ok)
                    .map(Iterator::collect)
                    .unwrap_or_default()
            }
        };
        for place in places {
            // A listener on IPv4 alone cannot be reached at an IPv6 address.
            if place.is_ipv6() && address.is_ipv4() {
                continue;
            }
            if let Some(local) = towards(place).await.filter(|ip| may_be_called(*ip, false)) {
                return Some(local);
            }
        }
    }
    None
}

/// The address of this host that the system would use towards `place`. Connecting a datagram socket sends nothing.
async fn towards(place: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match place {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect(place).await.ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

/// The address of this host that others may call most likely: the one it would use towards the world; else the first there
/// is, IPv4 before IPv6, by the interfaces' names.
async fn most_likely(address: SocketAddr) -> Option<IpAddr> {
    // An address that is set aside for documents (RFC 5737): nobody is there, and nothing is sent.
    const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
    if let Some(local) = towards(ELSEWHERE)
        .await
        .filter(|ip| may_be_called(*ip, false))
    {
        return Some(local);
    }
    let networks = sysinfo::Networks::new_with_refreshed_list().ok()?;
    let mut addresses: Vec<_> = networks
        .iter()
        .flat_map(|(name, network)| {
            network
                .ip_networks()
                .iter()
                .map(move |at| (at.addr.is_ipv6(), name, at.addr))
        })
        .filter(|(is_ipv6, _, ip)| may_be_called(*ip, false) && (address.is_ipv6() || !is_ipv6))
        .collect();
    addresses.sort();
    addresses.first().map(|(_, _, ip)| *ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use astromesh_core::settings::{Environment, Flags};

    async fn found(host: &str, change: impl FnOnce(&mut Mesh)) -> Advertised {
        let environment = Environment::empty()
            .with("ASTROMESH_ROLE", "gateway")
            .with("ASTROMESH_MESH_ENABLED", "true");
        let mut settings =
            Settings::load(&Flags::default(), &environment).expect("a profile of ours");
        settings.api.host = host.parse().expect("an address");
        let mut mesh = settings.mesh.clone().expect("a mesh profile");
        mesh.bind_host = None;
        change(&mut mesh);
        let address = SocketAddr::new(settings.api.host, 9_000);
        Advertised::find(&settings, &mesh, &[], address).await
    }

    fn url(text: &str) -> Url {
        Url::new(text).expect(text)
    }

    #[tokio::test]
    async fn what_is_written_wins_in_order() {
        let advertised = found("10.1.1.1", |mesh| mesh.advertise = Some(url("http://me:1"))).await;
        assert_eq!(advertised.url, url("http://me:1"));
        let bind = |text: &str| Some(url(text).host().clone());
        let advertised = found("10.1.1.1", |mesh| {
            mesh.bind_host = bind("http://10.2.2.2:1");
        })
        .await;
        assert_eq!(advertised.url, url("http://10.1.1.1:9000"));
        let advertised = found("0.0.0.0", |mesh| mesh.bind_host = bind("http://10.2.2.2:1")).await;
        assert_eq!(advertised.url, url("http://10.2.2.2:9000"));
        let advertised = found("127.0.0.2", |_| ()).await;
        assert_eq!(advertised.url, url("http://127.0.0.2:9000"));
        assert!(advertised.on_loopback.load(Ordering::Relaxed));
        assert_eq!(
            advertised.reached_at("10.9.9.9".parse().expect("an address")),
            None
        );
    }

    #[tokio::test]
    async fn no_machine_is_never_advertised() {
        for host in ["0.0.0.0", "::"] {
            let advertised = found(host, |mesh| {
                mesh.bind_host = Some(url("http://0.0.0.0:1").host().clone());
            })
            .await;
            assert!(!advertised.url.is_unspecified());
        }
    }

    #[tokio::test]
    async fn an_address_that_the_host_no_longer_has_is_found_again() {
        let advertised = found("0.0.0.0", |_| ()).await;
        let address = "0.0.0.0:9000".parse().expect("an address");
        assert_eq!(advertised.moved(&advertised.url, &[], address).await, None);
        // One set aside for documents (RFC 5737), which no host has.
        let gone = url("http://192.0.2.7:9000");
        match advertised.moved(&gone, &[], address).await {
            Some(found) => assert_eq!(found, advertised.url),
            None => assert!(advertised.url.is_loopback(), "there was one before"),
        }
        let written = found("0.0.0.0", |mesh| mesh.advertise = Some(gone.clone())).await;
        assert_eq!(written.moved(&gone, &[], address).await, None);
    }

    #[tokio::test]
    async fn a_guess_yields_to_what_the_first_peer_reached() {
        let advertised = found("0.0.0.0", |_| ()).await;
        for useless in ["127.0.0.1", "0.0.0.0", "169.254.1.1"] {
            assert_eq!(advertised.reached_at(useless.parse().expect(useless)), None);
        }
        let reached = "::ffff:10.9.9.9".parse().expect("an address");
        assert_eq!(
            advertised.reached_at(reached),
            Some(url("http://10.9.9.9:9000"))
        );
        assert_eq!(
            advertised.reached_at("10.8.8.8".parse().expect("an address")),
            None
        );
    }
}
