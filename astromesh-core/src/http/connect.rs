//! A connection to a place, if that is a place to go to.

use maia::address::{Host, Url, may_be_called};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Where a pool may connect to.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Anywhere: the places come from the operator's own settings.
    Anywhere,
    /// Only where peers may send us ([`may_be_called`]), whatever a name resolves to.
    Peers {
        /// Whether this node is reached on loopback itself, and so may call others there. It can change while it runs.
        on_loopback: Arc<AtomicBool>,
    },
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The machine is there, and nobody listens at that port.
    #[error("cannot connect to {url}: connection refused")]
    Refused {
        /// The place.
        url: Url,
    },
    /// No connection in time.
    #[error("cannot connect to {url}: no connection within {after:?}")]
    TimedOut {
        /// The place.
        url: Url,
        /// How long was waited.
        after: Duration,
    },
    /// It is, or resolves only to, an address that no peer may make this node call.
    #[error("will not connect to {url}: its address is not one that peers may be called at")]
    Forbidden {
        /// The place.
        url: Url,
    },
    /// Its name could not be resolved.
    #[error("cannot resolve the host of {url}")]
    Unresolved {
        /// The place.
        url: Url,
        /// What the resolver said.
        source: io::Error,
    },
    /// There is no way to it.
    #[error("cannot connect to {url}")]
    Unreachable {
        /// The place.
        url: Url,
        /// What the system said.
        source: io::Error,
    },
}

impl ConnectError {
    /// Whether it is this machine that has no more to give, of ports, files or memory. It says nothing of the place.
    pub fn is_shortage(&self) -> bool {
        /// Too many open files, in the whole system or in this process, as every Unix numbers them.
        const NO_FILES: [i32; 2] = [23, 24];
        let Self::Unreachable { source, .. } = self else {
            return false;
        };
        let kinds = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::OutOfMemory];
        let number = source.raw_os_error();
        kinds.contains(&source.kind()) || number.is_some_and(|number| NO_FILES.contains(&number))
    }
}

impl Reach {
    fn permits(&self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Peers { on_loopback } => {
                may_be_called(address, on_loopback.load(Ordering::Relaxed))
            }
        }
    }
}

/// Connects to `url`, to the first of its addresses that is permitted and answers, within `patience` for all of it.
pub(super) async fn connect(
    url: &Url,
    reach: &Reach,
    patience: Duration,
) -> Result<TcpStream, ConnectError> {
    let attempt = async {
        let addresses = resolve(url).await?;
        try_each(
            url,
            addresses
                .into_iter()
                .filter(|address| reach.permits(address.ip())),
        )
        .await
    };
    timeout(patience, attempt).await.unwrap_or_else(|_| {
        Err(ConnectError::TimedOut {
            url: url.clone(),
            after: patience,
        })
    })
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, ConnectError> {
    match url.host() {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, url.port())]),
        Host::Name(name) => match lookup_host((&**name, url.port())).await {
            Ok(found) => Ok(found.collect()),
            Err(source) => Err(ConnectError::Unresolved {
                url: url.clone(),
                source,
            }),
        },
    }
}

async fn try_each(
    url: &Url,
    addresses: impl Iterator<Item = SocketAddr>,
) -> Result<TcpStream, ConnectError> {
    let mut trouble = ConnectError::Forbidden { url: url.clone() };
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Only a hint: without it small requests wait for an acknowledgement.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                trouble = ConnectError::Refused { url: url.clone() };
            }
            Err(source) => {
                let url = url.clone();
                trouble = ConnectError::Unreachable { url, source };
            }
        }
    }
    Err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(on_loopback: bool) -> Reach {
        Reach::Peers {
            on_loopback: Arc::new(AtomicBool::new(on_loopback)),
        }
    }

    async fn refused(url: &str, reach: &Reach) -> ConnectError {
        let url = Url::new(url).expect(url);
        let outcome = connect(&url, reach, Duration::from_secs(5)).await;
        outcome.expect_err("nobody should be there")
    }

    #[test]
    fn what_this_machine_is_short_of_says_nothing_of_the_place() {
        let url: Url = "http://10.0.0.1:1".parse().expect("a URL");
        let unreachable = |source| ConnectError::Unreachable {
            url: url.clone(),
            source,
        };
        for (number, is_shortage) in [(12, true), (23, true), (24, true), (99, true), (113, false)]
        {
            let trouble = unreachable(io::Error::from_raw_os_error(number));
            assert_eq!(trouble.is_shortage(), is_shortage, "{number}: {trouble:?}");
        }
        assert!(!ConnectError::Refused { url: url.clone() }.is_shortage());
    }

    #[tokio::test]
    async fn forbidden_places_are_not_called_by_name_either() {
        for url in [
            "http://127.0.0.1:1",
            "http://localhost:1",
            "http://169.254.169.254:80",
            "http://0.0.0.0:80",
            "http://[::ffff:127.0.0.1]:1",
        ] {
            let trouble = refused(url, &peers(false)).await;
            assert!(
                matches!(trouble, ConnectError::Forbidden { .. }),
                "{url}: {trouble}"
            );
        }
    }

    #[tokio::test]
    async fn on_loopback_others_there_may_be_called() {
        for reach in [peers(true), Reach::Anywhere] {
            let trouble = refused("http://127.0.0.1:1", &reach).await;
            assert!(matches!(trouble, ConnectError::Refused { .. }), "{trouble}");
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_named() {
        let trouble = refused("http://nobody.invalid:80", &Reach::Anywhere).await;
        assert!(trouble.to_string().contains("nobody.invalid"), "{trouble}");
    }
}
