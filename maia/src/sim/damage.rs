//! Bytes that arrive cut short or flipped: a message as the real encoder writes it, damaged, and read by the real decoder.
//!
//! HTTP runs over TCP, whose checksums let next to none of this through, so it shows what decoding withstands. What still
//! decodes says something that nobody wrote, as a liar's message does.

use crate::beats::{Beats, Held};
use crate::message::{Failure, Reply, Request};
use crate::rng::Rng;

/// More members than any simulation has.
const MOST_COUNTED: usize = 65_536;

/// `request` with some bytes of it damaged; `None` where nobody can read it then.
pub(super) fn request(request: &Request, rng: &mut Rng) -> Option<Request> {
    match request {
        Request::Exchange(beats) => {
            let bytes = damaged(beats.encode(), rng);
            let read = Beats::decode(&bytes, MOST_COUNTED);
            read.ok().map(Request::Exchange)
        }
        other => json_request(other, rng),
    }
}

/// `reply` likewise; where nobody can read it, what its caller makes of it.
pub(super) fn reply(reply: &Reply, rng: &mut Rng) -> Result<Reply, Failure> {
    match reply {
        Reply::Held(held) => {
            let bytes = damaged(held.encode(), rng);
            let read = Held::decode(&bytes, MOST_COUNTED);
            read.map(Reply::Held)
                .map_err(|invalid| Failure::Unusable(invalid.to_string()))
        }
        other => json_reply(other, rng),
    }
}

/// Cut short anywhere, or with one to three bits flipped.
fn damaged(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(0.5) {
        bytes.truncate(rng.below(bytes.len()));
        return bytes;
    }
    for _ in 0..=rng.below(3) {
        let place = rng.below(bytes.len());
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << rng.below(8);
        }
    }
    bytes
}

#[cfg(feature = "wire")]
fn json_request(request: &Request, rng: &mut Rng) -> Option<Request> {
    use crate::wire::{Endpoint, decode_request, encode_request};
    let call = encode_request(request);
    let body = damaged(call.body, rng);
    let ask = call.ask.as_ref().map(|id| id.as_str());
    decode_request(Endpoint::of(request), ask, &body).ok()
}

#[cfg(feature = "wire")]
fn json_reply(reply: &Reply, rng: &mut Rng) -> Result<Reply, Failure> {
    use crate::wire::{Endpoint, decode_reply, encode_reply};
    let endpoint = match reply {
        Reply::State(_) => Endpoint::State,
        Reply::Gossip(_) => Endpoint::Gossip,
        Reply::Held(_) => Endpoint::Exchange,
        Reply::Heartbeat { .. } => Endpoint::Heartbeat,
        Reply::Leave => Endpoint::Leave,
        Reply::Election(_) => Endpoint::Election,
        Reply::Refused(_) => return Ok(reply.clone()),
    };
    let response = encode_reply(reply);
    decode_reply(endpoint, response.status, &damaged(response.body, rng))
}

/// Without the encoder there are no bytes to damage, so nothing of it is read.
#[cfg(not(feature = "wire"))]
fn json_request(_: &Request, _: &mut Rng) -> Option<Request> {
    None
}

#[cfg(not(feature = "wire"))]
fn json_reply(_: &Reply, _: &mut Rng) -> Result<Reply, Failure> {
    Err(Failure::Unusable("it cannot be read".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of many damaged exchanges most are refused, and no byte brings a panic.
    #[test]
    fn most_damaged_counts_are_refused() {
        let mut rng = Rng::from_seed(1);
        let beats = Beats {
            fingerprint: 7,
            beats: vec![100, 99, 98, 60, 100],
            ..Beats::default()
        };
        let whole = Request::Exchange(beats);
        let read = (0..10_000)
            .filter_map(|_| request(&whole, &mut rng))
            .filter(|read| *read != whole)
            .count();
        assert!((1..8_000).contains(&read), "{read} were read");
    }
}
