//! Whose nodes there are, and at which sizes.

use serde::{Deserialize, Serialize};

/// Which versions are built in.
const LOCK: &str = include_str!("../../../../Cargo.lock");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Peer {
    Ours,
    Foca,
    Chitchat,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Foca, Self::Chitchat];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "maia",
            Self::Foca => "foca",
            Self::Chitchat => "chitchat",
        }
    }

    /// Its name with the version that is built in.
    pub(crate) fn title(self) -> String {
        let package = match self {
            Self::Ours => "astromesh-maia",
            other => other.name(),
        };
        let version = LOCK.split_once(&format!("name = \"{package}\"\nversion = \""));
        let version = version.and_then(|(_, rest)| rest.split('"').next());
        format!("{} {}", self.name(), version.unwrap_or("unknown"))
    }

    /// The sizes at which it is measured where nobody says otherwise.
    pub(crate) fn sizes(self, all: bool) -> Vec<usize> {
        let sizes: &[usize] = match (self, all) {
            (Self::Ours, false) | (Self::Foca, _) => &[16, 64, 256, 1_024, 4_096],
            (Self::Ours, true) => &[16, 64, 256, 1_024, 4_096, 10_000],
            (Self::Chitchat, true) => &[16, 64, 256, 1_024],
            (Self::Chitchat, false) => &[],
        };
        sizes.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert!(Peer::Ours.title().starts_with("maia 0."));
        assert!(Peer::Foca.title().starts_with("foca 2."));
        assert!(Peer::Chitchat.title().starts_with("chitchat 0."));
    }
}
