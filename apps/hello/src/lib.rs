//! The smallest app
#![no_std]
#![forbid(unsafe_code)]
