//! Storage is upgraded under load; the tests on wasmtime play the same (apps/scenarios, `upgrades`).

use super::{PATIENCE, product, system};
use scenario::{Program, upgrades};

#[test]
fn storage_is_upgraded_while_shells_write_and_nothing_that_was_acknowledged_is_lost() {
    // Built before the clock runs.
    product();
    let mut system = system();
    let folder = system.state.folder().to_path_buf();
    drop(system.state);
    let words = ["--state".as_ref(), folder.as_os_str(), "run".as_ref()];
    let mut qemu = Program::new(env!("CARGO_BIN_EXE_qemu"), words, [], PATIENCE);
    println!("{:?}", upgrades::play(&mut qemu).unwrap_or_else(|why| panic!("{why}")));
    system.state = qemu::State::open(&folder).unwrap();
    system.verify_log();
}
