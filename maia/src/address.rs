//! Where a node is reached, and which places nobody may send us to.

use crate::error::{Invalid, excerpt};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// `http://host:port` and nothing more: no path, no user, no trailing slash; IPv6 in brackets. At most 256 bytes.
///
/// Kept in one canonical spelling (host names in lower case, addresses as the standard library prints them), so that two
/// URLs are the same place exactly if they are equal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    text: Arc<str>,
    host: Host,
    port: u16,
}

/// The part of a [`Url`] that says which machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name to be resolved by whoever connects.
    Name(Arc<str>),
}

impl Url {
    /// Reads a URL as it stands on the wire.
    ///
    /// # Errors
    /// Says what is wrong with it, as field `url`.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let wrong = |why: &str| Invalid::new("url", format!("{why}, found {}", excerpt(text)));
        if text.len() > 256 {
            return Err(wrong("expected at most 256 bytes"));
        }
        let authority = text
            .strip_prefix("http://")
            .ok_or_else(|| wrong("expected http://host:port"))?;
        if authority.contains(['/', '?', '#', '@']) {
            return Err(wrong(
                "expected http://host:port without user, path or trailing slash",
            ));
        }
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or_else(|| wrong("expected a port, as in http://host:8000"))?;
        let port = Some(port)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|&port: &u16| port > 0)
            .ok_or_else(|| wrong("expected a port from 1 to 65535"))?;
        let host = Host::new(host).ok_or_else(|| wrong("expected a host name or an address"))?;
        Ok(Self::from_parts(host, port))
    }

    /// Reads a URL as people write it: the scheme may be missing, and one slash may follow.
    ///
    /// # Errors
    /// As [`Url::new`].
    pub fn lenient(text: &str) -> Result<Self, Invalid> {
        let trimmed = text.trim();
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        if trimmed.contains("://") {
            Self::new(trimmed)
        } else {
            Self::new(&format!("http://{trimmed}"))
        }
    }

    /// The URL of `port` on the machine `host`.
    pub fn from_parts(host: Host, port: u16) -> Self {
        let text = format!("http://{host}:{port}").into();
        Self { text, host, port }
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which machine.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Which port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same port on another machine.
    #[must_use]
    pub fn on_host(&self, address: IpAddr) -> Self {
        Self::from_parts(Host::Ip(address), self.port)
    }

    /// Whether this is `0.0.0.0` or `[::]`, which names no machine.
    pub fn is_unspecified(&self) -> bool {
        matches!(self.host, Host::Ip(ip) if plain(ip).is_unspecified())
    }

    /// Whether this is the machine that says so, by address or as `localhost`.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Ip(ip) => plain(*ip).is_loopback(),
            Host::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }

    /// Whether a peer may make a node at `here` call this place. Link-local addresses (where clouds keep their metadata
    /// services), multicast and unspecified ones it may not; loopback only if `here` is on it too.
    pub fn may_be_called_from(&self, here: &Url) -> bool {
        match &self.host {
            Host::Ip(ip) => may_be_called(*ip, here.is_loopback()),
            Host::Name(_) => here.is_loopback() || !self.is_loopback(),
        }
    }
}

/// Whether a peer may make us call `address`: the rule of [`Url::may_be_called_from`] for an address that a name resolved
/// to. `on_loopback` says whether this node is reached on loopback itself.
pub fn may_be_called(address: IpAddr, on_loopback: bool) -> bool {
    let address = plain(address);
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80 || is_metadata(v6),
    };
    let nowhere = address.is_unspecified() || address.is_multicast() || link_local;
    !nowhere && (on_loopback || !address.is_loopback())
}

/// The metadata service of the one cloud that does not keep it on a link-local address.
fn is_metadata(address: Ipv6Addr) -> bool {
    address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
}

/// An IPv4 address that came dressed as an IPv6 one, undressed.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl Host {
    fn new(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return inside.parse().ok().map(|v6| Self::Ip(IpAddr::V6(v6)));
        }
        if let Ok(v4) = text.parse() {
            return Some(Self::Ip(IpAddr::V4(v4)));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        // What ends in a number would be read as an address by some resolvers (`127.1`, `2130706433`, `127.0X1`).
        let last = text.rsplit('.').next().unwrap_or(text);
        let is_number = last.starts_with(|c: char| c.is_ascii_digit())
            && (last.bytes().all(|b| b.is_ascii_digit()) || last[1..].starts_with(['x', 'X']));
        let is_name = (1..=253).contains(&text.len())
            && text.chars().all(allowed)
            && text.chars().any(|c| c.is_ascii_alphabetic())
            && !is_number;
        is_name.then(|| Self::Name(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Ip(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl std::str::FromStr for Url {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::new(text).expect(text)
    }

    #[test]
    fn a_url_is_a_host_and_a_port() {
        for right in [
            "http://gateway:8000",
            "http://10.0.0.7:1",
            "http://[::1]:65535",
        ] {
            assert_eq!(url(right).as_str(), right);
        }
        for wrong in [
            "",
            "gateway:8000",
            "https://gateway:8000",
            "http://gateway",
            "http://gateway:0",
            "http://gateway:65536",
            "http://gateway:+80",
            "http://gateway:8000/",
            "http://user@gateway:8000",
            "http://:8000",
            "http://127.1:8000",
            "http://2130706433:8000",
            "http://0x7f000001:8000",
            "http://[::1:8000",
            "http://::1:8000",
            "http://a b:8000",
        ] {
            assert!(Url::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_place_has_one_spelling() {
        assert_eq!(url("http://Gateway:8000"), url("http://gateway:8000"));
        assert_eq!(url("http://[0:0::1]:80"), url("http://[::1]:80"));
        assert_eq!(url("http://[0:0::1]:80").as_str(), "http://[::1]:80");
    }

    #[test]
    fn people_may_leave_out_the_scheme_and_add_a_slash() {
        for text in [
            "gateway:8000",
            " http://gateway:8000/ ",
            "http://gateway:8000",
        ] {
            assert_eq!(Url::lenient(text).expect(text), url("http://gateway:8000"));
        }
    }

    #[test]
    fn nobody_sends_us_to_metadata_services_or_to_ourselves() {
        let here = url("http://10.0.0.1:8000");
        for place in [
            "http://10.0.0.2:8000",
            "http://worker:8000",
            "http://[2001:db8::1]:80",
        ] {
            assert!(url(place).may_be_called_from(&here), "{place}");
        }
        for place in [
            "http://169.254.169.254:80",
            "http://[::ffff:169.254.169.254]:80",
            "http://[fe80::1]:80",
            "http://[fd00:ec2::254]:80",
            "http://0.0.0.0:8000",
            "http://0.1.2.3:8000",
            "http://[::]:8000",
            "http://224.0.0.1:80",
            "http://255.255.255.255:80",
            "http://127.0.0.1:8000",
            "http://[::ffff:127.0.0.1]:8000",
            "http://localhost:8000",
        ] {
            assert!(!url(place).may_be_called_from(&here), "{place}");
        }
        assert!(url("http://127.0.0.2:8000").may_be_called_from(&url("http://127.0.0.1:8000")));
    }
}
