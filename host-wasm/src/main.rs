//! The orbital command.
fn main() {}
