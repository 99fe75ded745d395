//! The first process: manifest, grants, supervision, registry
#![no_std]
#![forbid(unsafe_code)]
