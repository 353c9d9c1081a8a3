//! Where in a trace something happens, as W3C Trace Context writes it: the header `traceparent`.

use super::Traces;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use std::sync::Arc;
use uuid::Uuid;

/// The header that says to which trace a request belongs.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What others keep in a trace beside it. It means nothing without the other.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a head says of its trace, for what is done for its sake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// Who is told.
    pub(super) traces: Option<Arc<Traces>>,
}

impl Trail {
    /// What that head says, whatever it is.
    pub(crate) fn of(headers: &HeaderMap, traces: Option<&Arc<Traces>>) -> Self {
        let fields = [TRACEPARENT, TRACESTATE].into_iter().flat_map(|name| {
            let values = headers.get_all(&name).iter();
            values.map(move |value| (name.clone(), value.clone()))
        });
        Self {
            fields: fields.collect(),
            traces: traces.cloned(),
        }
    }

    /// Says it in another head, which says nothing of it yet.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// Never 0.
    pub(crate) trace: u128,
    /// Never 0.
    pub(crate) span: u64,
    /// Whether whoever began it wants it recorded.
    pub(crate) is_sampled: bool,
}

impl Context {
    /// The beginning of a trace.
    pub(super) fn fresh() -> Self {
        Self {
            trace: Uuid::new_v4().as_u128(),
            span: span_id(),
            is_sampled: true,
        }
    }

    /// The next place in the same trace.
    pub(super) fn below(self) -> Self {
        Self {
            span: span_id(),
            ..self
        }
    }

    /// The one that a head brings, if it is one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(&TRACEPARENT).iter();
        let only = given.next().filter(|_| given.next().is_none())?;
        Self::read(only.as_bytes())
    }

    fn read(text: &[u8]) -> Option<Self> {
        const VERSION_0: usize = 55;
        let (head, more) = text.split_at_checked(VERSION_0)?;
        // Later versions may add something at the end; ff is none.
        let fits = match (&head[..2], more) {
            (b"00", more) => more.is_empty(),
            (b"ff", _) => false,
            (version, more) => is_hex(version) && (more.is_empty() || more[0] == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|place| head[*place] == b'-');
        let (trace, span) = (number(&head[3..35])?, number(&head[36..52])?);
        let flags = number(&head[53..])?;
        let context = Self {
            trace,
            span: u64::try_from(span).ok()?,
            is_sampled: flags & 1 == 1,
        };
        (fits && dashes && trace != 0 && span != 0).then_some(context)
    }

    /// Writes it into a head that goes out. What others kept for a trace that was none is taken out.
    pub(super) fn write(self, headers: &mut HeaderMap, is_new: bool) {
        headers.insert(TRACEPARENT, self.header());
        if is_new {
            headers.remove(&TRACESTATE);
        }
    }

    fn header(self) -> HeaderValue {
        let Self { trace, span, .. } = self;
        let flags = u8::from(self.is_sampled);
        let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
        HeaderValue::from_maybe_shared(Bytes::from(text)).expect("digits are visible ASCII")
    }
}

/// Not 0: some of its bits say that a generator made it.
fn span_id() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

fn is_hex(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    text.iter().all(is_digit)
}

/// At most 32 digits, small ones, as a number.
fn number(text: &[u8]) -> Option<u128> {
    let text = is_hex(text).then_some(text)?;
    u128::from_str_radix(str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_was_read_is_written_again() {
        let context = Context::read(GIVEN.as_bytes()).expect("one");
        assert!(context.is_sampled);
        assert_eq!(context.header(), GIVEN);
        let below = context.below();
        assert_eq!(below.trace, context.trace);
        assert_ne!(below.span, context.span);
        let fresh = Context::fresh();
        assert_eq!(Context::read(fresh.header().as_bytes()), Some(fresh));
    }

    #[test]
    fn what_is_none_is_none() {
        let of = |text: &str| Context::read(text.as_bytes());
        assert!(of(&GIVEN.replace("-01", "-00")).is_some_and(|context| !context.is_sampled));
        assert!(of(&GIVEN.replacen("00", "cc", 1)).is_some());
        assert!(of(&format!("{}-more", GIVEN.replacen("00", "cc", 1))).is_some());
        for text in [
            "",
            "00-1-2-01",
            &GIVEN[..54],
            &format!("{GIVEN}-more"),
            &format!("{}0", GIVEN.replacen("00", "cc", 1)),
            &GIVEN.replacen("00", "ff", 1),
            &GIVEN.to_uppercase(),
            &GIVEN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GIVEN.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GIVEN.replace('-', "_"),
            &GIVEN.replace("0af7", "+af7"),
            &GIVEN.replace('b', "ä"),
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn two_in_one_head_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Context::of(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert!(Context::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        assert_eq!(Context::of(&headers), None);
    }
}
