//! A machine in QEMU, as a whole: what it gives back, what it says when something is missing, full or broken, what it
//! leaves on its disks.
//!
//! `ORBITAL=FILE` names an `orbital` command that is built already.

mod disks;
mod ends;
mod every;
mod executables;
mod faults;
mod firmware;
mod garbage;
mod power;
mod terminal;
mod two_hosts;
mod upgrade;

use qemu::console::{Gathered, gather};
use qemu::machine::{End, Machine};
use qemu::{Product, State, build};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// How long any one run may take, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What boots; built once.
fn product() -> &'static Product {
    static PRODUCT: OnceLock<Product> = OnceLock::new();
    PRODUCT.get_or_init(|| build::build(false, images::Progress::Shown).unwrap_or_else(|problem| panic!("{problem}")))
}

/// A system of its own, new.
struct System {
    _folder: tempfile::TempDir,
    state: State,
}

fn system() -> System {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    state.prepare().unwrap();
    System { _folder: folder, state }
}

impl System {
    fn machine(&self) -> Machine {
        Machine::new(product(), &self.state).unwrap()
    }

    /// Runs a script, which must end with this status. Gives its output.
    fn script(&self, script: &str, status: u8) -> String {
        let came = run(&self.machine().script(script));
        assert_eq!(came.end, Some(End::Off(status)), "{}\n{}", came.output, came.messages);
        came.output
    }

    /// That the log is whole, as `orbital log verify --image` says it.
    fn verify_log(&self) -> String {
        let mut out = Vec::new();
        let format = log_store::commands::Format::Text;
        log_store::commands::verify(&self.state.log(), None, format, &mut out)
            .unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8(out).unwrap()
    }
}

fn run(machine: &Machine) -> Gathered {
    gather(machine, "", PATIENCE).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The `orbital` command: the one that is named, or built as `make run` builds it.
fn orbital() -> PathBuf {
    static ORBITAL: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        if let Some(named) = std::env::var_os("ORBITAL") {
            return named.into();
        }
        let target = build::target().unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "host-wasm", "--bin", "orbital", "--target-dir"]).arg(&target);
        images::build::without_outer_build(&mut cargo);
        assert!(cargo.status().unwrap().success(), "the orbital command cannot be built");
        target.join("debug/orbital")
    };
    ORBITAL.get_or_init(find).clone()
}
