//! What the programs that measure over real sockets have in common.

pub mod backend;
pub mod gateway;
pub mod machine;
pub mod random;
