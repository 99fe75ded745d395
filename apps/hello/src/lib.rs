//! The smallest app: greets whom it is told to.
#![no_std]
#![forbid(unsafe_code)]

use libprocess::{Process, println};

/// Greets every argument, or the world.
pub async fn main(process: Process) {
    if process.arguments().is_empty() {
        println!("Hello, world!");
    }
    for name in process.arguments() {
        println!("Hello, {name}!");
    }
}
