//! The shell at a real terminal of this machine.

use scenario::terminal::{self, Terminal};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A new system, up to its first prompt.
fn open() -> (Terminal, TempDir) {
    let state = tempfile::tempdir().unwrap();
    // What is compiled is shared by all tests.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    std::fs::create_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink(cache, state.path().join("cache")).unwrap();
    let mut orbital = Command::new(env!("CARGO_BIN_EXE_orbital"));
    orbital.arg("--state").arg(state.path()).env_remove("ORBITAL_STATE");
    (Terminal::open(orbital), state)
}

#[test]
fn a_line_is_edited_found_again_given_up_and_the_session_ends() {
    let (terminal, _state) = open();
    terminal::edit_and_leave(terminal);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_service_and_not_the_session() {
    let (terminal, _state) = open();
    terminal::interrupt_a_wait(terminal);
}
