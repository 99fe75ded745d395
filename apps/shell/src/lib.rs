//! Orbital's shell
#![no_std]
#![forbid(unsafe_code)]
