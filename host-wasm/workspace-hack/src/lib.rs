//! Nothing: what matters stands in Cargo.toml.
#![no_std]
