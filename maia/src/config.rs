//! What can be set, with its defaults and what goes together.

use crate::address::Url;
use crate::error::Invalid;
use std::time::Duration;

/// The settings of one node. Every time must be above zero; [`Config::check`] says what else must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses tried first, to join; none on the node that others join through.
    pub seeds: Vec<Url>,
    /// Whether seeds are still to come, by [`Command::Seeds`](crate::node::Command::Seeds): a node that holds none yet
    /// then waits for them, where it would else be the first of a mesh. `false`.
    pub seeds_follow: bool,
    /// Time between two gossip rounds, and so between two heartbeats. 2 s; 0.2 s to 10 s are sensible.
    pub gossip_interval: Duration,
    /// Peers told in a round. 3; fewer finds false suspicions, more costs traffic in proportion.
    pub gossip_fanout: usize,
    /// How often older nodes, which know no other sign of life, are sent our record by itself. 5 s.
    pub heartbeat_interval: Duration,
    /// Silence from which a member is suspected. 15 s; must be at least three gossip intervals.
    pub failure_timeout: Duration,
    /// Silence from which a member is dead. 30 s; must be greater than `failure_timeout`.
    pub dead_timeout: Duration,
    /// How long a greater id must have shown signs of life before it displaces a leader. 10 s.
    pub stable_after: Duration,
    /// How many nodes the mesh has when it is whole. Where it is set, no leader is named unless more than half of that
    /// many are alive. Unset by default.
    pub expected_nodes: Option<usize>,
    /// How long a dead or departed member's row is kept, for people to see. 60 s.
    pub forget_after: Duration,
    /// How long one exchange with a peer may take. 1.5 s.
    pub exchange_timeout: Duration,
    /// What a peer can make this node spend.
    pub limits: Limits,
}

/// Bounds on what peers can make a node keep and do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members, this node among them. 4,096.
    pub nodes: usize,
    /// Bytes of one record. 8 KiB.
    pub record_bytes: usize,
    /// Unknown ids taken up per second from senders that are not confirmed. 100.
    pub new_ids_per_second: u32,
    /// How many of those may come at once. 1,024.
    pub new_ids_burst: u32,
    /// Departed members remembered, so that old gossip does not bring them back. 4,096.
    pub remembered: usize,
    /// How long they are remembered. 24 h.
    pub remember_for: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            seeds_follow: false,
            gossip_interval: Duration::from_secs(2),
            gossip_fanout: 3,
            heartbeat_interval: Duration::from_secs(5),
            failure_timeout: Duration::from_secs(15),
            dead_timeout: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            expected_nodes: None,
            forget_after: Duration::from_secs(60),
            exchange_timeout: Duration::from_millis(1_500),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 4_096,
            record_bytes: 8 * 1_024,
            new_ids_per_second: 100,
            new_ids_burst: 1_024,
            remembered: 4_096,
            remember_for: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Config {
    /// Whether these settings can work together.
    ///
    /// # Errors
    /// Names the setting that cannot be, and the one that it does not go with.
    pub fn check(&self) -> Result<(), Invalid> {
        let refuse = |field: &str, reason: String| Err(Invalid::new(field, reason));
        for (field, value) in [
            ("gossip_interval", self.gossip_interval),
            ("heartbeat_interval", self.heartbeat_interval),
            ("failure_timeout", self.failure_timeout),
            ("dead_timeout", self.dead_timeout),
            ("exchange_timeout", self.exchange_timeout),
        ] {
            if value < Duration::from_millis(1) {
                return refuse(field, format!("expected at least 1 ms, found {value:?}"));
            }
            if value > Duration::from_secs(24 * 60 * 60) {
                return refuse(field, format!("expected at most a day, found {value:?}"));
            }
        }
        if self.gossip_fanout == 0 {
            return refuse("gossip_fanout", "expected at least 1, found 0".into());
        }
        if self.dead_timeout <= self.failure_timeout {
            let reason = format!(
                "expected more than failure_timeout ({:?}), found {:?}",
                self.failure_timeout, self.dead_timeout
            );
            return refuse("dead_timeout", reason);
        }
        if self.failure_timeout < 3 * self.gossip_interval {
            let reason = format!(
                "expected at least three times gossip_interval ({:?}), found {:?}: a member is heard of once a round",
                self.gossip_interval, self.failure_timeout
            );
            return refuse("failure_timeout", reason);
        }
        if self.expected_nodes == Some(0) {
            return refuse("expected_nodes", "expected at least 1, found 0".into());
        }
        if self.limits.nodes < 2 {
            let found = self.limits.nodes;
            return refuse(
                "limits.nodes",
                format!("expected at least 2, found {found}"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_go_together() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config
                .check()
                .expect_err("it should be refused")
                .field()
                .to_owned()
        };
        assert_eq!(
            refused(|c| c.gossip_interval = Duration::ZERO),
            "gossip_interval"
        );
        assert_eq!(
            refused(|c| c.gossip_interval = Duration::from_secs(6)),
            "failure_timeout"
        );
        assert_eq!(
            refused(|c| c.dead_timeout = Duration::from_secs(15)),
            "dead_timeout"
        );
        assert_eq!(refused(|c| c.gossip_fanout = 0), "gossip_fanout");
        assert_eq!(refused(|c| c.expected_nodes = Some(0)), "expected_nodes");
    }
}
