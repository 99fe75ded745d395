//! Storage is upgraded under load; the tests on QEMU play the same (apps/scenarios, `upgrades`).

use super::*;
use scenario::{Program, upgrades};

#[test]
fn storage_is_upgraded_while_shells_write_and_nothing_that_was_acknowledged_is_lost() {
    let system = System::new();
    let path = system.folder.path().as_os_str();
    let words = ["--state".as_ref(), path, "run".as_ref()];
    let mut orbital = Program::new(env!("CARGO_BIN_EXE_orbital"), words, [], Duration::from_secs(120));
    println!("{:?}", upgrades::play(&mut orbital).unwrap_or_else(|why| panic!("{why}")));
    assert!(good(&system.run(["log", "verify"])).contains("whole"));
}
