//! Data that survives: objects and files on a block device
#![no_std]
#![forbid(unsafe_code)]
