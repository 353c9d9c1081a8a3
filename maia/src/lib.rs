//! stub
pub mod address;
mod book;
pub mod config;
mod detector;
pub mod driver;
pub mod election;
pub mod error;
pub mod event;
mod gossip;
pub mod id;
mod mailbox;
mod member;
pub mod message;
pub mod node;
pub mod record;
pub mod rng;
pub mod selector;
pub mod sim;
mod table;
pub mod time;
pub mod view;
#[cfg(feature = "wire")]
pub mod wire;
