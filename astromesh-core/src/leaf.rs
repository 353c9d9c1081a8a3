//! Single values, checked where they are read.
//!
//! Each type is one kind of setting, and knows how people write it. The check happens inside serde's visitor, for only
//! there does a parser still know the line; text from a variable or a flag goes through the same check.

use crate::wording::{excerpt, suggestion};
use maia::address::{Host, Url};
use maia::error::Invalid;
use maia::id::{Label, Name};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What stands in a file, a variable or a flag, before anyone made sense of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Nothing,
    Switch(bool),
    Whole(i128),
    Fraction(f64),
    Text(&'a str),
    List,
    Map,
}

/// A value that can be wrong in one way only: by not being what its kind of setting asks for.
pub(crate) trait Leaf: Sized {
    /// Makes sense of `scalar`, or says what was expected and what was found.
    fn read(scalar: Scalar<'_>) -> Result<Self, String>;
}

impl Scalar<'_> {
    /// The complaint that this is not `expected`.
    fn is_not<T>(self, expected: impl fmt::Display) -> Result<T, String> {
        Err(format!("expected {expected}, found {self}"))
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Switch(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Fraction(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(&excerpt(value)),
            Self::List => f.write_str("a list"),
            Self::Map => f.write_str("a map"),
        }
    }
}

/// A port that one can listen on and be called at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port(pub(crate) u16);

impl Leaf for Port {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let port = match scalar {
            Scalar::Whole(number) => u16::try_from(number).ok(),
            Scalar::Text(text) => whole(text).and_then(|number| u16::try_from(number).ok()),
            _ => None,
        };
        match port {
            Some(port) if port > 0 => Ok(Self(port)),
            _ => scalar.is_not("a port (1-65535)"),
        }
    }
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch(pub(crate) bool);

impl Leaf for Switch {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        match scalar {
            Scalar::Switch(value) => Ok(Self(value)),
            Scalar::Text(text) if text.eq_ignore_ascii_case("true") => Ok(Self(true)),
            Scalar::Text(text) if text.eq_ignore_ascii_case("false") => Ok(Self(false)),
            _ => scalar.is_not("true or false"),
        }
    }
}

/// A whole number of things, within `LEAST` and `MOST`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<const LEAST: u32 = 1, const MOST: u32 = { u32::MAX }>(pub(crate) u32);

impl<const LEAST: u32, const MOST: u32> Leaf for Count<LEAST, MOST> {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let number = match scalar {
            Scalar::Whole(number) => u32::try_from(number).ok(),
            _ => None,
        };
        match number {
            Some(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ if MOST == u32::MAX => {
                scalar.is_not(format_args!("a whole number, at least {LEAST}"))
            }
            _ => scalar.is_not(format_args!("a whole number from {LEAST} to {MOST}")),
        }
    }
}

/// A span of time: seconds as a number, or a number with `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl Leaf for Span {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        // Far above what is sensible anywhere, and far below what a clock can add.
        const LONGEST: f64 = 366.0 * 24.0 * 60.0 * 60.0;
        let seconds = match scalar {
            Scalar::Whole(number) => Some(number as f64),
            Scalar::Fraction(number) => Some(number),
            Scalar::Text(text) => seconds(text),
            _ => None,
        };
        let span = seconds
            .filter(|seconds| *seconds <= LONGEST)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|span| !span.is_zero());
        match span {
            Some(span) => Ok(Self(span)),
            None => {
                scalar.is_not(r#"a time above zero and up to a year, such as 2, 0.5 or "200ms""#)
            }
        }
    }
}

/// A place that other machines can be told to call.
#[derive(Clone, Debug)]
pub(crate) struct Place(pub(crate) Url);

impl Leaf for Place {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let Scalar::Text(text) = scalar else {
            return scalar.is_not("http://host:port");
        };
        match Url::lenient(text) {
            Ok(url) if url.is_unspecified() => scalar.is_not("an address that names one machine"),
            Ok(url) => Ok(Self(url)),
            // The checked text may have been completed with a scheme; what stands in the file is what was found.
            Err(error) => scalar.is_not(expectation(&error, "http://host:port")),
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen(pub(crate) IpAddr);

impl Leaf for Listen {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let expected = "an address to listen on, such as 0.0.0.0 or 127.0.0.1";
        let Scalar::Text(text) = scalar else {
            return scalar.is_not(expected);
        };
        if text == "localhost" {
            return Ok(Self(Ipv4Addr::LOCALHOST.into()));
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        match bare.unwrap_or(text).parse() {
            Ok(address) => Ok(Self(address)),
            Err(_) => scalar.is_not(expected),
        }
    }
}

/// Where older files say that the mesh listens: a host, and a port or none.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

impl Leaf for Bind {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        let expected = "host:port, such as 0.0.0.0:8000";
        let text = match scalar {
            Scalar::Text(text) if !text.contains('/') => text,
            _ => return scalar.is_not(expected),
        };
        let with_port = Url::lenient(text).map(|url| (url.host().clone(), Some(url.port())));
        let without = || Url::lenient(&format!("{text}:1")).map(|url| (url.host().clone(), None));
        match with_port.or_else(|_| without()) {
            Ok((host, port)) => Ok(Self { host, port }),
            Err(_) => scalar.is_not(expected),
        }
    }
}

impl Leaf for Name {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        match scalar {
            Scalar::Text(text) => Self::new(text).map_err(|error| error.reason().to_owned()),
            _ => scalar.is_not("a name (in quotes if it is a number)"),
        }
    }
}

impl Leaf for Label {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        match scalar {
            Scalar::Text(text) => Self::new(text).map_err(|error| error.reason().to_owned()),
            _ => scalar.is_not("a name (in quotes if it is a number)"),
        }
    }
}

/// What `apiVersion` must say.
#[derive(Debug)]
pub(crate) struct ApiVersion;

impl Leaf for ApiVersion {
    fn read(scalar: Scalar<'_>) -> Result<Self, String> {
        exactly("astromesh/v1", scalar).map(|()| Self)
    }
}

/// Refuses all but `wanted`.
pub(crate) fn exactly(wanted: &str, scalar: Scalar<'_>) -> Result<(), String> {
    match scalar {
        Scalar::Text(text) if text == wanted => Ok(()),
        _ => scalar.is_not(format_args!("{wanted:?}")),
    }
}

/// Finds a word among those known by `name`, or says which of them it is nearest to.
pub(crate) fn one_of<T: Copy>(
    what: &str,
    known: &[T],
    name: impl Fn(T) -> &'static str,
    scalar: Scalar<'_>,
) -> Result<T, String> {
    let names: Vec<&str> = known.iter().map(|one| name(*one)).collect();
    let Scalar::Text(text) = scalar else {
        return scalar.is_not(format_args!("a {what}: one of {}", names.join(", ")));
    };
    let found = known.iter().find(|one| name(**one) == text);
    found.copied().ok_or_else(|| {
        format!(
            "unknown {what} {}; {}",
            excerpt(text),
            suggestion(text, &names)
        )
    })
}

/// What `error` expected, without what it found.
fn expectation(error: &Invalid, otherwise: &str) -> String {
    let reason = error.reason().strip_prefix("expected ");
    let expected = reason.and_then(|reason| reason.split(", found ").next());
    expected.unwrap_or(otherwise).to_owned()
}

fn whole(text: &str) -> Option<i128> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let scale = match unit.trim_start() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let number: f64 = text[..text.len() - unit.len()].parse().ok()?;
    Some(number * scale)
}

/// Gives leaves the `Deserialize` that checks while it reads.
macro_rules! deserialize_checked {
    ($($leaf:ty),+ $(,)?) => {$(
        impl<'de> ::serde::de::Deserialize<'de> for $leaf {
            fn deserialize<D: ::serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::leaf::read(deserializer)
            }
        }
    )+};
}
pub(crate) use deserialize_checked;

deserialize_checked!(Port, Switch, Span, Place, Listen, Bind, ApiVersion);

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

/// A leaf whose type is not of this package, for use in lists and options.
#[derive(Clone, Debug)]
pub(crate) struct Checked<T>(pub(crate) T);

impl<'de, T: Leaf> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer).map(Self)
    }
}

/// Reads whatever is there as a leaf.
pub(crate) fn read<'de, T: Leaf, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(LeafVisitor(PhantomData))
}

/// Reads a part of which every key has a default: nothing at all is the part with nothing set.
pub(crate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

struct LeafVisitor<T>(PhantomData<T>);

impl<'de, T: Leaf> Visitor<'de> for LeafVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        T::read(Scalar::Nothing).map_err(E::custom)
    }

    fn visit_none<E: Error>(self) -> Result<T, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        T::read(Scalar::Switch(value)).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.visit_i128(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_i128(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<T, E> {
        T::read(Scalar::Whole(value)).map_err(E::custom)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<T, E> {
        self.visit_i128(i128::try_from(value).unwrap_or(i128::MAX))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        T::read(Scalar::Fraction(value)).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        T::read(Scalar::Text(value)).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        T::read(Scalar::List).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        T::read(Scalar::Map).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(scalar: Scalar<'_>) -> Option<Duration> {
        Span::read(scalar).ok().map(|span| span.0)
    }

    #[test]
    fn a_time_is_a_number_of_seconds_or_has_a_unit() {
        for (text, milliseconds) in [
            ("200ms", 200),
            ("0.2", 200),
            ("0.2s", 200),
            ("2s", 2_000),
            ("2 s", 2_000),
            ("1m", 60_000),
            ("1.5h", 5_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(
                span(Scalar::Text(text)),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert_eq!(span(Scalar::Whole(15)), Some(Duration::from_secs(15)));
        assert_eq!(
            span(Scalar::Fraction(0.2)),
            Some(Duration::from_millis(200))
        );
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for text in [
            "", "s", "ms", "-1", "1 year", "1e3", "0", "0ms", "400d", "1.2.3s", "²s", "NaN", "inf",
        ] {
            assert_eq!(span(Scalar::Text(text)), None, "{text}");
        }
        for number in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            assert_eq!(span(Scalar::Fraction(number)), None, "{number}");
        }
        for number in [i128::MIN, -1, 0, i128::MAX] {
            assert_eq!(span(Scalar::Whole(number)), None, "{number}");
        }
    }

    #[test]
    fn an_old_bind_has_a_host_and_perhaps_a_port() {
        let bind =
            |text| Bind::read(Scalar::Text(text)).map(|bind| (bind.host.to_string(), bind.port));
        assert_eq!(bind("0.0.0.0:8000"), Ok(("0.0.0.0".into(), Some(8000))));
        assert_eq!(bind("gateway"), Ok(("gateway".into(), None)));
        assert_eq!(bind("[::1]:80"), Ok(("[::1]".into(), Some(80))));
        assert!(bind("http://gateway:8000").is_err());
        assert!(bind("gateway:eighty").is_err());
    }

    #[test]
    fn one_listens_on_addresses() {
        let listen = |text| Listen::read(Scalar::Text(text)).map(|listen| listen.0.to_string());
        assert_eq!(listen("127.0.0.1"), Ok("127.0.0.1".into()));
        assert_eq!(listen("[::]"), Ok("::".into()));
        assert_eq!(listen("localhost"), Ok("127.0.0.1".into()));
        assert!(listen("gateway").is_err());
    }
}
