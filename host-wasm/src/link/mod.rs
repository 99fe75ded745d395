//! The kernel calls as WebAssembly imports, by two paths that mean the same.
//!
//! | path | for | a call costs |
//! |---|---|---|
//! | [`core`] | one application module with exactly the known imports | the canonical ABI by hand, in place |
//! | [`component`] | every other component | the component linker's lifting and lowering |

pub mod component;
pub mod core;
