//! The program that `make qemu` runs, with a person at the terminal.

use super::{System, product, system};
use scenario::terminal::{self, Terminal};
use std::path::Path;
use std::process::Command;

const CTRL_BACKSLASH: &str = "\x1c";
const CTRL_BRACKET: &str = "\x1d";

fn open(state: &Path) -> Terminal {
    product();
    let mut qemu = Command::new(env!("CARGO_BIN_EXE_qemu"));
    qemu.arg("--state").arg(state).arg("run").env_remove("ORBITAL_QEMU_STATE");
    Terminal::open(qemu)
}

#[test]
fn a_line_is_edited_found_again_given_up_and_the_session_ends() {
    let folder = tempfile::tempdir().unwrap();
    terminal::edit_and_leave(open(folder.path()));
}

#[test]
fn ctrl_c_ends_the_wait_for_a_service_and_not_the_session() {
    let folder = tempfile::tempdir().unwrap();
    terminal::interrupt_a_wait(open(folder.path()));
}

#[test]
fn a_person_ends_the_machine_in_order_or_switches_it_off() {
    for (key, crashed) in [(CTRL_BACKSLASH, false), (CTRL_BRACKET, true)] {
        let system = system();
        let folder = system.state.folder().to_path_buf();
        drop(system.state);
        let mut terminal = open(&folder);
        terminal.answers("put /f kept\r", "orbital> put /f kept");
        terminal.types(key);
        assert_eq!(terminal.end(), Some(130), "{key:?}");
        let system = System { _folder: system._folder, state: qemu::State::open(&folder).unwrap() };
        assert_eq!(system.script("cat /f", 0), "kept\n");
        assert_eq!(system.verify_log().contains("crash"), crashed, "{key:?}");
    }
}
