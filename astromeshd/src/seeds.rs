//! Where the seeds are. What the operator wrote may be a name, and where that leads can change while the node runs: it is
//! resolved before the node starts, before every try to join, and now and then later on.
//!
//! A name that leads to several addresses is as many seeds, for behind each may be a node that knows of no other. One that
//! leads to a single address stays a name, which is resolved once more by whoever connects. Where a name cannot be resolved,
//! what it led to before still holds.

mod names;

use arc_swap::ArcSwap;
use astromesh_core::api::SeedStatus;
use astromesh_core::http::HttpTransport;
use astromesh_core::settings::{Mesh, Seed};
use maia::address::{Host, Url, may_be_called};
use maia::driver::Handle;
use maia::id::NodeId;
use maia::node::Command;
use maia::view::SeedView;
use names::Names;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many places one name gives at most. Each node takes others of them, so that all together still know of all.
const MOST: usize = 16;
/// A node that has joined looks once in so many rounds of gossip.
const ROUNDS: u32 = 10;

/// The seeds of a node, and where they were found to be.
#[derive(Debug)]
pub(crate) struct Seeds {
    me: NodeId,
    names: Names,
    found: ArcSwap<Vec<Found>>,
}

/// One seed, as it was written, and where it leads.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    seed: Seed,
    places: Vec<Url>,
    /// Why it could not be resolved when it was last tried.
    trouble: Option<String>,
}

impl Seeds {
    /// Resolves them for the first time.
    pub(crate) async fn find(settings: &Mesh, me: NodeId) -> Self {
        let names = Names::of(&settings.name_servers);
        let unknown = |seed: &Seed| Found {
            places: match (seed, &names) {
                (Seed::Place(url), Names::System) => vec![url.clone()],
                (Seed::Place(url), _) if is_address(url) => vec![url.clone()],
                _ => Vec::new(),
            },
            seed: seed.clone(),
            trouble: None,
        };
        let found = ArcSwap::from_pointee(settings.seeds.iter().map(unknown).collect());
        let seeds = Self { me, names, found };
        seeds.find_again().await;
        seeds
    }

    /// Every address to join through, and every name that has one.
    pub(crate) fn places(&self) -> Vec<Url> {
        let found = self.found.load();
        found.iter().flat_map(|one| one.places.clone()).collect()
    }

    /// Whether any of them is a name.
    pub(crate) fn may_change(&self) -> bool {
        self.found.load().iter().any(Found::is_name)
    }

    /// How each stands, by what the node has `seen` of its addresses.
    pub(crate) fn status(&self, seen: &[SeedView]) -> Vec<SeedStatus> {
        let found = self.found.load();
        found.iter().map(|one| one.status(seen)).collect()
    }

    /// Resolves every name. Whether any leads elsewhere now.
    async fn find_again(&self) -> bool {
        let before = self.found.load_full();
        let mut asked = JoinSet::new();
        for (at, one) in before.iter().enumerate().filter(|(_, one)| one.is_name()) {
            let (names, seed) = (self.names.clone(), one.seed.clone());
            asked.spawn(async move { (at, resolve(&names, &seed).await) });
        }
        let mut now = Vec::clone(&before);
        while let Some(answered) = asked.join_next().await {
            let Ok((at, answer)) = answered else { continue };
            now[at].take(answer.map(|places| self.some_of(places)));
        }
        let differ = |(was, is): (&Found, &Found)| was.places != is.places;
        let moved = before.iter().zip(&now).any(differ);
        self.found.store(Arc::new(now));
        moved
    }

    /// In one order, whatever that of the answer was; and where there are many, those that fall to this node.
    fn some_of(&self, mut places: Vec<Url>) -> Vec<Url> {
        let lot = |url: &Url| {
            let mut hasher = DefaultHasher::new();
            (self.me.as_str(), url).hash(&mut hasher);
            hasher.finish()
        };
        if places.len() > MOST {
            places.sort_by_cached_key(lot);
            places.truncate(MOST);
        }
        places.sort();
        places.dedup();
        places
    }
}

impl Found {
    fn is_name(&self) -> bool {
        !matches!(&self.seed, Seed::Place(url) if is_address(url))
    }

    fn take(&mut self, answer: Result<Vec<Url>, String>) {
        let seed = &self.seed;
        match answer {
            Ok(places) => {
                if places != self.places {
                    log::info!("seed {seed} leads to {}", listed(&places));
                }
                (self.places, self.trouble) = (places, None);
            }
            Err(why) => {
                if self.trouble.as_ref() != Some(&why) {
                    log::warn!("cannot resolve seed {seed}: {why}; trying again");
                }
                self.trouble = Some(why);
            }
        }
    }

    fn status(&self, seen: &[SeedView]) -> SeedStatus {
        // An address that turned out to be this node's own is not seen.
        let others: Vec<&SeedView> = seen
            .iter()
            .filter(|view| self.places.contains(&view.url))
            .collect();
        let is_itself = |url: &Url| matches!(&self.seed, Seed::Place(seed) if seed == url);
        let failures = others.iter().filter_map(|view| match &view.outcome {
            Some(Err(why)) if is_itself(&view.url) => Some(why.clone()),
            Some(Err(why)) => Some(format!("{}: {why}", view.url)),
            _ => None,
        });
        let unresolved = self.trouble.iter().filter(|_| others.is_empty());
        let unresolved = unresolved.map(|why| format!("cannot be resolved: {why}"));
        let failures: Vec<String> = failures.chain(unresolved).collect();
        let has_joined = others.iter().any(|view| view.outcome == Some(Ok(())));
        let status = match () {
            () if has_joined => "joined",
            () if !self.places.is_empty() && others.is_empty() => "itself",
            () if !failures.is_empty() && failures.len() >= others.len() => "failing",
            () => "trying",
        };
        let elsewhere = self.places.iter().filter(|url| !is_itself(url));
        SeedStatus {
            url: self.seed.to_string(),
            status: status.to_owned(),
            reason: (status == "failing").then(|| failures.join("; ")),
            addresses: elsewhere.map(ToString::to_string).collect(),
        }
    }
}

/// Resolves again for as long as it is polled, and tells the node and its transport what changed.
pub(crate) async fn keep_up(
    seeds: Arc<Seeds>,
    round: Duration,
    transport: HttpTransport,
    node: Handle,
) {
    while seeds.may_change() {
        // The pauses between two tries to join are no shorter than half a round.
        let has_joined = node.view().joined;
        sleep(if has_joined {
            round * ROUNDS
        } else {
            round / 2
        })
        .await;
        if seeds.find_again().await {
            let places = seeds.places();
            transport.set_seeds(places.iter().cloned());
            node.tell(Command::Seeds(places));
        }
    }
}

async fn resolve(names: &Names, seed: &Seed) -> Result<Vec<Url>, String> {
    let found: Vec<SocketAddr> = match seed {
        Seed::Service(service) => names.places(service).await?,
        Seed::Place(url) => {
            let ips = match url.host() {
                Host::Name(name) => names.addresses(name).await?,
                Host::Ip(ip) => vec![*ip],
            };
            let at_port = |ip: IpAddr| SocketAddr::new(ip.to_canonical(), url.port());
            ips.into_iter().map(at_port).collect()
        }
    };
    // The operator chose the name, and not what a server makes of it.
    let permitted = found.into_iter().filter(|at| may_be_called(at.ip(), true));
    let places: Vec<Url> = permitted
        .map(|at| Url::from_parts(Host::Ip(at.ip().to_canonical()), at.port()))
        .collect();
    match (seed, names) {
        (Seed::Place(url), Names::System) if places.len() == 1 => Ok(vec![url.clone()]),
        _ if places.is_empty() => Err("it leads to no address that may be called".to_owned()),
        _ => Ok(places),
    }
}

fn is_address(url: &Url) -> bool {
    matches!(url.host(), Host::Ip(_))
}

fn listed(places: &[Url]) -> String {
    let each: Vec<&str> = places.iter().map(Url::as_str).collect();
    each.join(", ")
}
