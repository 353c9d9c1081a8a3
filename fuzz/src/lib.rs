//! What must hold whatever the bytes are: each target is a plain function that panics where it does not.
//!
//! libFuzzer drives them by way of `fuzz_targets/`; `tests/mutations.rs` drives the same functions without it, by a bounded
//! number of inputs. [`seeds`] is where both begin.

#![forbid(unsafe_code)]

pub mod address;
pub mod bytes;
pub mod decode;
pub mod merge;
pub mod operations;
pub mod seeds;
pub mod settings;

/// What is done with an input.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: [(&str, Target); 5] = [
    ("decode", decode::run),
    ("merge", merge::run),
    ("operations", operations::run),
    ("settings", settings::run),
    ("address", address::run),
];
