//! The whole of Orbital in simulation: init, the services, the shell and the example apps
//! as they are, on the simulated machine. For tests that need all of it.
#![forbid(unsafe_code)]

pub use simulated::*;

/// A machine with everything on it; init runs first, and passes `arguments` to the shell:
/// `["-c", script]` runs a script, none reads the console.
pub fn orbital(seed: u64, arguments: &[&str]) -> Simulation {
    Simulation::new(seed)
        .image("init", init::main)
        .image("process", process::main)
        .image("storage", storage::main)
        .image("shell", shell::session::main)
        .image("hello", hello::main)
        .image("notes", notes::main)
        .first("init", arguments)
}

/// A machine that runs this script in the shell.
pub fn script(seed: u64, script: &str) -> Simulation {
    orbital(seed, &["-c", script])
}
