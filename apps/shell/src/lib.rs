//! Orbital's shell.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod arguments;
pub mod editor;
pub mod history;
pub mod keys;
pub mod parse;
pub mod text;
