//! Texts as URLs: each place has one spelling, and none that a peer may send us to is one that it may not.
//!
//! What is forbidden is written down here once more, by other means than the code that is tried, and so is how the C
//! library reads an address that is not spelled as one.

use maia::address::{Host, Url, may_be_called};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One input: a text.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(url) = Url::lenient(text) {
        has_one_spelling(&url);
        leads_nowhere_forbidden(&url);
    }
    if let Ok(url) = Url::new(text) {
        assert_eq!(Url::lenient(text).as_ref(), Ok(&url));
    }
    if let Ok(address) = text.parse() {
        assert!(
            !may_be_called(address, false) || !is_forbidden(address, false),
            "{address}"
        );
        assert!(
            !may_be_called(address, true) || !is_forbidden(address, true),
            "{address}"
        );
    }
}

fn has_one_spelling(url: &Url) {
    let shown = url.to_string();
    assert_eq!(shown, url.as_str());
    assert_eq!(Url::new(&shown).as_ref(), Ok(url), "shown and read again");
    assert_eq!(Url::from_parts(url.host().clone(), url.port()), *url);
    assert!(url.port() > 0 && shown.len() <= 300);
}

fn leads_nowhere_forbidden(url: &Url) {
    let far = Url::new("http://10.0.0.1:8000").expect("a URL");
    let near = Url::new("http://127.0.0.1:8000").expect("a URL");
    for (here, on_loopback) in [(&far, false), (&near, true)] {
        if !url.may_be_called_from(here) {
            continue;
        }
        match url.host() {
            Host::Ip(address) => assert!(!is_forbidden(*address, on_loopback), "{url}"),
            Host::Name(name) => {
                assert_eq!(as_the_c_library_reads(name), None, "{url} is an address");
                assert!(on_loopback || !names_loopback(name), "{url}");
            }
        }
    }
}

/// RFC 6761, section 6.3: `localhost` and all below it, absolute or not.
fn names_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// Addresses that no peer may send a node to; loopback only where the node is not on it itself.
fn is_forbidden(address: IpAddr, on_loopback: bool) -> bool {
    match address {
        IpAddr::V4(v4) => is_forbidden_v4(v4, on_loopback),
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => {
                let v4 = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
                is_forbidden_v4(v4, on_loopback)
            }
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xff00..=0xffff, ..] => true,
            [0xfe80..=0xfebf, ..] => true,
            _ => v6 == Ipv6Addr::UNSPECIFIED || v6 == Ipv6Addr::LOCALHOST && !on_loopback,
        },
    }
}

fn is_forbidden_v4(address: Ipv4Addr, on_loopback: bool) -> bool {
    match address.octets() {
        [0, ..] | [169, 254, ..] | [224..=239, ..] | [255, 255, 255, 255] => true,
        [127, ..] => !on_loopback,
        _ => false,
    }
}

/// As `inet_aton` reads a text, to which resolvers turn first: one to four numbers, decimal, octal or hexadecimal, of
/// which the last fills what is left.
fn as_the_c_library_reads(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|&part| part > 255) {
        return None;
    }
    let room = 8 * (4 - first.len() as u32);
    if u64::from(*last) >> room != 0 {
        return None;
    }
    let place = |(place, part): (usize, &u32)| part << (24 - 8 * place);
    let high: u32 = first.iter().enumerate().map(place).sum();
    Some(Ipv4Addr::from(high | last))
}

fn number(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(hexadecimal), _) => (hexadecimal, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        _ => (lower.as_str(), 10),
    };
    let is_plain = !digits.starts_with('+');
    u32::from_str_radix(digits, radix).ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::as_the_c_library_reads;

    #[test]
    fn an_address_is_read_however_it_is_spelled() {
        for text in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.1",
            "127.0X1",
        ] {
            assert_eq!(
                as_the_c_library_reads(text),
                Some([127, 0, 0, 1].into()),
                "{text}"
            );
        }
        for text in [
            "",
            "gateway",
            "1.2.3.4.5",
            "256.1",
            "1.2.3.256",
            "0x",
            "09",
            "1..2",
            "+1",
        ] {
            assert_eq!(as_the_c_library_reads(text), None, "{text}");
        }
    }
}
