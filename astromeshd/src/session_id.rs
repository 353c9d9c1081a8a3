//! Names of sessions, and which node a session belongs to.
//!
//! A session that this software named carries its node's mark, so that any gateway finds the node. One that a client named
//! belongs to whichever carrier scores highest with it, which is the same at every gateway that sees the same carriers, now
//! and after a restart; where one goes, its sessions are spread over the others, and nobody else's move. (Thaler and
//! Ravishankar, “Using Name-Based Mappings to Increase Hit Rates”, 1998.)

use maia::id::NodeId;
use uuid::Uuid;

/// How many hexadecimal digits of a mark stand in a name: enough for the nodes of one mesh.
const DIGITS: usize = 12;

/// A new name, for a session on the node `id`.
pub(crate) fn mint(id: &NodeId) -> String {
    format!("{}-{}", Uuid::new_v4(), digits(id))
}

/// Which of `carriers` the session belongs to, by its place among them.
pub(crate) fn holder<'a>(
    session: &str,
    carriers: impl Iterator<Item = &'a NodeId> + Clone,
) -> Option<usize> {
    minted_at(session, carriers.clone()).or_else(|| {
        let scored = carriers
            .enumerate()
            .map(|(place, id)| (score(session, id), place));
        scored.max().map(|(_, place)| place)
    })
}

/// The carrier whose mark the name has.
fn minted_at<'a>(session: &str, mut carriers: impl Iterator<Item = &'a NodeId>) -> Option<usize> {
    let (uuid, mark) = session.rsplit_once('-')?;
    Uuid::try_parse(uuid).ok()?;
    carriers.position(|id| digits(id) == mark)
}

fn digits(id: &NodeId) -> String {
    let mark = hash(id.as_str(), 0) >> (64 - 4 * DIGITS);
    format!("{mark:0DIGITS$x}")
}

fn score(session: &str, id: &NodeId) -> u64 {
    hash(id.as_str(), hash(session, 0))
}

/// The same on every node and in every release: FNV-1a, and a finish that spreads it over all bits (as in SplitMix64).
fn hash(text: &str, seed: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<NodeId> {
        let id = |place: usize| NodeId::new(&format!("node-{place}")).expect("a plain id");
        (0..count).map(id).collect()
    }

    #[test]
    fn a_name_leads_back_to_where_it_was_made() {
        let ids = ids(100);
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(holder(&mint(id), ids.iter()), Some(place));
        }
        assert_eq!(holder(&mint(&ids[0]), [].iter()), None);
    }

    #[test]
    fn names_of_clients_are_spread_evenly() {
        let ids = ids(10);
        let mut held = [0_u32; 10];
        for session in 0..10_000 {
            held[holder(&format!("session {session}"), ids.iter()).expect("there are ten")] += 1;
        }
        assert!(
            held.iter().all(|count| (850..1_150).contains(count)),
            "{held:?}"
        );
    }

    #[test]
    fn only_sessions_of_the_one_that_went_move() {
        let all = ids(10);
        for session in 0..1_000 {
            let session = session.to_string();
            let before = holder(&session, all.iter()).expect("there are ten");
            let left = all.iter().filter(|id| *id != &all[3]);
            let after = holder(&session, left.clone()).and_then(|place| left.clone().nth(place));
            if before != 3 {
                assert_eq!(after, Some(&all[before]), "{session}");
            }
        }
    }
}
