//! Where names lead, by the system's own ways or by name servers that the operator named. Nothing is kept: whoever asks
//! again wants to know what holds now.

use astromesh_core::settings::ServiceName;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long one question may take, all servers and retries included.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one server may take before the next is asked.
const ONE_SERVER: Duration = Duration::from_millis(900);

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// For addresses the system, which knows more than DNS; for services the servers of its `resolv.conf`.
    System,
    /// These, for everything.
    Servers(Vec<SocketAddr>),
}

impl Names {
    pub(super) fn of(servers: &[SocketAddr]) -> Self {
        match servers {
            [] => Self::System,
            some => Self::Servers(some.to_vec()),
        }
    }

    /// The addresses of a host; at least one.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let asking = async {
            match self {
                Self::System => {
                    let found = lookup_host((host, 0)).await;
                    let found = found.map_err(|error| error.to_string())?;
                    Ok(found.map(|address| address.ip()).collect())
                }
                Self::Servers(_) => by_dns(&self.resolver()?, host).await,
            }
        };
        in_time(asking).await
    }

    /// The places that a service has, by address; at least one. All alike: neither priority nor weight means anything to
    /// a mesh, which wants to know of every node.
    pub(super) async fn places(&self, service: &ServiceName) -> Result<Vec<SocketAddr>, String> {
        let asking = async {
            let resolver = self.resolver()?;
            let found = resolver.lookup(service.as_str(), RecordType::SRV).await;
            let found = found.map_err(|error| reason(&error))?;
            let targets = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) if srv.port > 0 && !srv.target.is_root() => {
                        Some((srv.target.to_ascii(), srv.port))
                    }
                    _ => None,
                });
            let mut places = Vec::new();
            let mut trouble = "its records name no place".to_owned();
            for (host, port) in targets.take(super::MOST) {
                match by_dns(&resolver, &host).await {
                    Ok(ips) => places.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port))),
                    Err(why) => trouble = format!("{host}: {why}"),
                }
            }
            if places.is_empty() {
                Err(trouble)
            } else {
                Ok(places)
            }
        };
        in_time(asking).await
    }

    fn resolver(&self) -> Result<TokioResolver, String> {
        let builder = match self {
            Self::System => Resolver::builder_tokio(),
            Self::Servers(servers) => {
                let servers = servers.iter().map(|address| server(*address)).collect();
                let config = ResolverConfig::from_name_servers(servers);
                let provider = TokioRuntimeProvider::default();
                Ok(Resolver::builder_with_config(config, provider))
            }
        };
        let mut builder = builder.map_err(|error| format!("no name server is known: {error}"))?;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = options.timeout.min(ONE_SERVER);
        builder.build().map_err(|error| error.to_string())
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let at_its_port = |mut way: ConnectionConfig| {
        way.port = address.port();
        way
    };
    let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    NameServerConfig::new(address.ip(), true, ways.map(at_its_port).into())
}

async fn by_dns(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    let found = resolver.lookup_ip(host).await;
    Ok(found.map_err(|error| reason(&error))?.iter().collect())
}

async fn in_time<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no answer within {PATIENCE:?}"));
    timeout(PATIENCE, asking).await.unwrap_or_else(late)
}

fn reason(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        "the name has no such records".to_owned()
    } else {
        error.to_string()
    }
}
