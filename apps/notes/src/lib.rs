//! An example app: notes that survive
#![no_std]
#![forbid(unsafe_code)]
