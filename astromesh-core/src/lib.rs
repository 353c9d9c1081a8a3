//! What the Astromesh programs share: settings, agent files, API types and HTTP.
//!
//! Text from outside becomes checked types here, once. `settings` says how a node runs and `agent` what one agent is; both
//! read YAML through `yaml`, take single values apart in `leaf`, and complain with one `ConfigError`.

pub mod agent;
pub mod allow;
pub mod error;
pub mod settings;

pub mod api;
pub mod arguments;
pub mod http;
mod leaf;
pub mod sse;
mod wording;
mod yaml;
