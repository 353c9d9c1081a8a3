//! Which places others may make a node call: an agent's model by its tools, a channel by its answers.
//!
//! A list names hosts. A host that is a name may come to lie anywhere, also by somebody else's doing, so what counts in
//! the end is the address it resolved to: one that is not public is called only where that very address, or a network
//! around it, is on the list as well.

use crate::leaf::{Leaf, Scalar, deserialize_checked};
use maia::address::{Host, Url};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The ports of an entry that names none: those of `http` and `https`.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// Which places may be called. One without entries permits none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Entry>);

/// One entry: `api.example.com`, `*.example.com`, `10.1.2.3`, `10.0.0.0/8`, `[::1]:9000`, or `*` for every public place.
/// Without a port it means 80 and 443.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    place: Place,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Every public one.
    Anywhere,
    Name(String),
    /// Every name that ends so.
    Below(String),
    /// Addresses whose first bits are these.
    Network {
        first: IpAddr,
        bits: u32,
    },
}

impl AllowList {
    /// The places that any of `entries` permits.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// Whether a request may be meant for `url`. Where its host is a name, each address that it resolves to has to be
    /// permitted too.
    pub fn permits(&self, url: &Url) -> bool {
        let named = |entry: &Entry| entry.port_fits(url.port()) && entry.place.covers(url.host());
        self.0.iter().any(named)
    }

    /// Whether a name that was permitted may be called at `address`: at any public one, and at others where the list names
    /// them by address.
    pub fn permits_address(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|entry| entry.place.contains(address))
    }

    /// The same list with the place that `url` names literally.
    #[must_use]
    pub fn with(mut self, url: &Url) -> Self {
        self.0.push(Entry {
            place: match url.host() {
                Host::Ip(ip) => Place::just(*ip),
                Host::Name(name) => Place::Name(name.to_string()),
            },
            port: Some(url.port()),
        });
        self
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, entry) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{entry}")?;
        }
        Ok(())
    }
}

impl Entry {
    fn port_fits(&self, port: u16) -> bool {
        match self.port {
            Some(named) => named == port,
            None => USUAL_PORTS.contains(&port),
        }
    }

    fn read_text(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if let Some(place) = Place::read(&text) {
            return Some(Self { place, port: None });
        }
        let (place, port) = text.rsplit_once(':')?;
        let port = Some(port).filter(|port| port.bytes().all(|digit| digit.is_ascii_digit()));
        Some(Self {
            place: Place::read(place)?,
            port: Some(port?.parse().ok().filter(|port| *port > 0)?),
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Anywhere => f.write_str("*")?,
            Place::Name(name) => f.write_str(name)?,
            Place::Below(domain) => write!(f, "*.{domain}")?,
            Place::Network { first, bits } if *bits == width(*first) => {
                write!(f, "{}", Host::Ip(*first))?;
            }
            Place::Network { first, bits } => write!(f, "{}/{bits}", Host::Ip(*first))?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Leaf for Entry {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let entry = match scalar {
            Scalar::Text(text) => Self::read_text(text.trim()),
            _ => None,
        };
        entry.ok_or_else(|| {
            format!("expected a host, *.domain, an address, a network such as 10.0.0.0/8, or *, each with a :port if not 80 or 443, found {scalar}")
        })
    }
}

deserialize_checked!(Entry);

impl Place {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anywhere);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let first = read_address(address)?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(first))?;
            return Some(Self::Network { first, bits });
        }
        if let Some(address) = read_address(text) {
            return Some(Self::just(address));
        }
        let is_below = text.starts_with("*.");
        let name = text.strip_prefix("*.").unwrap_or(text);
        // What a URL takes for a host's name is one.
        match Url::new(&format!("http://{name}:80")).ok()?.host() {
            Host::Name(name) if is_below => Some(Self::Below(name.to_string())),
            Host::Name(name) => Some(Self::Name(name.to_string())),
            Host::Ip(_) => None,
        }
    }

    fn just(address: IpAddr) -> Self {
        let first = address.to_canonical();
        let bits = width(first);
        Self::Network { first, bits }
    }

    fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Anywhere, Host::Name(_)) => true,
            (Self::Anywhere, Host::Ip(address)) => is_public(*address),
            (Self::Name(held), Host::Name(name)) => held == plain_name(name),
            (Self::Below(domain), Host::Name(name)) => plain_name(name)
                .strip_suffix(domain.as_str())
                .is_some_and(|sub| sub.ends_with('.')),
            (network, Host::Ip(address)) => network.contains(*address),
            (Self::Network { .. }, Host::Name(_)) => false,
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let Self::Network { first, bits } = self else {
            return false;
        };
        let (first, address) = (first.to_canonical(), address.to_canonical());
        let kept = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()).checked_shr(32 - bits.min(&32)),
            IpAddr::V6(v6) => v6.to_bits().checked_shr(128 - bits),
        };
        // All bits shifted out: every address of that kind.
        first.is_ipv4() == address.is_ipv4()
            && kept(first).unwrap_or(0) == kept(address).unwrap_or(0)
    }
}

fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(address.to_canonical())
}

/// A name with its root's dot is the same name.
fn plain_name(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Whether `address` is one of the internet's, which every machine may be asked to call. (IANA's registries of special
/// purpose addresses, RFC 6890.)
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = match a {
        0 | 10 | 127 => true,
        // Of the carriers, between them and their customers.
        100 => b & 0xc0 == 64,
        169 => b == 254,
        172 => b & 0xf0 == 16,
        // The last is the way into 6to4, which is given up.
        192 => b == 168 || (b, c) == (0, 0) || (b, c) == (0, 2) || (b, c) == (88, 99),
        // For measuring and for documents.
        198 => b & 0xfe == 18 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        // To many, and reserved.
        _ => a >= 224,
    };
    !special
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    let is_global = a & 0xe000 == 0x2000;
    // Tunnels, which lead to an IPv4 address inside; protocol assignments; documents.
    let special =
        a == 0x2002 || a == 0x2001 && (b < 0x200 || b == 0xdb8) || a == 0x3fff && b < 0x1000;
    is_global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        let read = |entry: &&str| Entry::read_text(entry).expect(entry);
        AllowList::new(entries.iter().map(read).collect())
    }

    fn permits(entries: &[&str], url: &str) -> bool {
        list(entries).permits(&Url::new(url).expect(url))
    }

    #[test]
    fn hosts_are_named_or_not_called() {
        for (entries, url, permitted) in [
            (&["api.example.com"][..], "http://api.example.com:443", true),
            (&["api.example.com"], "http://API.example.com:80", true),
            (&["api.example.com"], "http://api.example.com.:80", true),
            (&["api.example.com"], "http://api.example.com:8080", false),
            (
                &["api.example.com:8080"],
                "http://api.example.com:8080",
                true,
            ),
            (
                &["api.example.com:8080"],
                "http://api.example.com:80",
                false,
            ),
            (
                &["api.example.com"],
                "http://evil.api.example.com:80",
                false,
            ),
            (&["*.example.com"], "http://a.b.example.com:80", true),
            (&["*.example.com"], "http://example.com:80", false),
            (&["*.example.com"], "http://evilexample.com:80", false),
            (&["*"], "http://anything.example:443", true),
            (&["*"], "http://93.184.216.34:80", true),
            (&["*"], "http://127.0.0.1:80", false),
            (&["*"], "http://169.254.169.254:80", false),
            (&["*"], "http://[::1]:80", false),
            (&["*"], "http://[::ffff:10.0.0.1]:80", false),
            (&["*", "127.0.0.1:9000"], "http://127.0.0.1:9000", true),
            (&["*", "127.0.0.1:9000"], "http://127.0.0.1:9001", false),
            (&["10.0.0.0/8"], "http://10.200.0.1:80", true),
            (&["10.0.0.0/8"], "http://11.0.0.1:80", false),
            (&["0.0.0.0/0"], "http://127.0.0.1:80", true),
            (&["[fd00::]/8"], "http://[fd12::1]:443", true),
            (&["[::1]:9000"], "http://[::1]:9000", true),
            (&["::/0"], "http://10.0.0.1:80", false),
            (&[], "http://example.com:80", false),
        ] {
            assert_eq!(permits(entries, url), permitted, "{entries:?} {url}");
        }
    }

    #[test]
    fn a_name_leads_to_private_addresses_only_where_they_are_named() {
        let at = |text: &str| text.parse().expect(text);
        let named = list(&["*", "files.corp", "10.1.0.0/16"]);
        assert!(named.permits_address(at("10.1.2.3")));
        assert!(named.permits_address(at("::ffff:10.1.2.3")));
        assert!(named.permits_address(at("93.184.216.34")));
        assert!(!named.permits_address(at("10.2.0.1")));
        assert!(!named.permits_address(at("127.0.0.1")));
    }

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.1.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().expect(address)), "{address}");
        }
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450:4001::1",
        ] {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn an_entry_reads_as_it_prints() {
        for text in [
            "*",
            "*:8080",
            "a.b",
            "*.a.b:1",
            "10.0.0.0/8",
            "10.0.0.1",
            "[::1]:9000",
            "[fd00::]/8",
        ] {
            assert_eq!(Entry::read_text(text).expect(text).to_string(), text);
        }
        for wrong in [
            "",
            "http://a",
            "a:0",
            "a:99999",
            "a b",
            "10.0.0.0/33",
            "*.",
            "*.*",
            "127.1",
            "a:+1",
            "a/8",
            "*a.b",
        ] {
            assert!(Entry::read_text(wrong).is_none(), "{wrong}");
        }
    }
}
