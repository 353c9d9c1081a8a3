//! What may stand for a seed: a place, or the name of a service, behind which DNS has places. And whom to ask for that.

use crate::leaf::{Leaf, Place, Scalar, deserialize_checked};
use maia::address::{Host, Url};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What precedes the name of a service.
const SERVICE: &str = "srv://";

/// Through whom a node joins, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// One place. Where its host is a name, that may have many addresses.
    Place(Url),
    /// As many places as the name of a service has SRV records.
    Service(ServiceName),
}

/// The name of a service as DNS has it: `_maia._tcp.mesh.example` (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name, as DNS is asked for it. Without a dot at its end it may be short for a longer one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        let plain = name.strip_suffix('.').unwrap_or(&name);
        let mut labels = plain.splitn(3, '.');
        let is_marked =
            |label: Option<&str>| label.is_some_and(|l| l.len() > 1 && l.starts_with('_'));
        let (service, protocol) = (is_marked(labels.next()), is_marked(labels.next()));
        // What a URL takes for a host's name may follow the two; by itself too, or it were an address.
        let url = Url::new(&format!("http://{}:1", labels.next()?)).ok()?;
        let is_name = matches!(url.host(), Host::Name(_));
        let fits = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_plain);
        let right =
            service && protocol && is_name && plain.len() <= 253 && plain.split('.').all(fits);
        right.then_some(Self(name))
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(url) => url.fmt(f),
            Self::Service(name) => write!(f, "{SERVICE}{}", name.0),
        }
    }
}

impl Leaf for Seed {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let service = match scalar {
            Scalar::Text(text) => text.trim().strip_prefix(SERVICE),
            _ => None,
        };
        let Some(name) = service else {
            return Place::read(scalar).map(|place| Self::Place(place.0));
        };
        let name = name.strip_suffix('/').unwrap_or(name);
        let read = ServiceName::read(name).map(Self::Service);
        read.ok_or_else(|| {
            let why = match name {
                _ if name.contains(':') => ": its records have the ports",
                _ if name.contains('/') => " without a path",
                _ => "",
            };
            format!("expected srv:// and the name of a service, as in srv://_maia._tcp.mesh.example{why}, found {scalar}")
        })
    }
}

/// A server that answers for names: an address, with a port where that is not 53.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameServer(pub(super) SocketAddr);

impl Leaf for NameServer {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let address = match scalar {
            Scalar::Text(text) => {
                let alone = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
                alone.or_else(|_| text.parse()).ok()
            }
            _ => None,
        };
        let address = address.filter(|at| at.port() > 0 && !at.ip().is_unspecified());
        address.map(Self).ok_or_else(|| {
            format!("expected the address of a name server, such as 10.0.0.10 or 127.0.0.1:8600, found {scalar}")
        })
    }
}

deserialize_checked!(Seed, NameServer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reads_as_it_prints() {
        for text in [
            "http://gateway:8000",
            "srv://_maia._tcp.mesh",
            "srv://_maia._tcp.maia.default.svc.cluster.local.",
            "srv://_a-b._tcp._x.y1",
        ] {
            let seed = Seed::read(Scalar::Text(text)).expect(text);
            assert_eq!(seed.to_string(), text);
        }
        for (text, plain) in [
            ("gateway:8000", "http://gateway:8000"),
            (" srv://_Maia._TCP.Mesh/ ", "srv://_maia._tcp.mesh"),
        ] {
            let seed = Seed::read(Scalar::Text(text)).expect(text);
            assert_eq!(seed.to_string(), plain);
        }
    }

    #[test]
    fn a_name_server_is_an_address() {
        for (text, at) in [
            ("10.0.0.10", "10.0.0.10:53"),
            ("127.0.0.1:8600", "127.0.0.1:8600"),
            ("::1", "[::1]:53"),
            ("[::1]:8600", "[::1]:8600"),
        ] {
            let server = NameServer::read(Scalar::Text(text)).expect(text);
            assert_eq!(server.0.to_string(), at);
        }
        for wrong in ["", "dns.example", "10.0.0.10:0", "0.0.0.0", "10.0.0.10:"] {
            assert!(NameServer::read(Scalar::Text(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_service_says_what_one_is() {
        let long = format!("srv://_maia._tcp.{}", "a".repeat(64));
        for (wrong, why) in [
            ("srv://", ""),
            ("srv://mesh", ""),
            ("srv://_maia._tcp", ""),
            ("srv://_maia._tcp.", ""),
            ("srv://_maia.mesh.example", ""),
            ("srv://_._tcp.mesh", ""),
            ("srv://_maia._tcp.10.0.0.1", ""),
            ("srv://_maia._tcp.a..b", ""),
            ("srv://_maia._tcp.a b", ""),
            (&long, ""),
            ("srv://_maia._tcp.mesh:8000", ": its records have the ports"),
            ("srv://_maia._tcp.mesh/v1", " without a path"),
        ] {
            let complaint = Seed::read(Scalar::Text(wrong)).expect_err(wrong);
            let expected = format!("srv://_maia._tcp.mesh.example{why}, found \"");
            assert!(complaint.contains(&expected), "{complaint}");
        }
    }
}
