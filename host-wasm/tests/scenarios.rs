//! The scenarios of apps/scenarios, each a test of its own, on the `orbital` command. What
//! they look like and how to add one: apps/scenarios/README.md.

use libtest_mimic::{Arguments, Failed, Trial};
use scenario::{Program, Scenario, play};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one answer may take, on a loaded machine: the first boot compiles the images.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments = Arguments::from_args();
    let folder = Path::new(scenario::FOLDER);
    let files = scenario::find(folder).expect("the scenarios can be listed");
    let trials = files.into_iter().map(|file| {
        let name = file.strip_prefix(folder).unwrap_or(&file).with_extension("");
        Trial::test(name.display().to_string(), move || run(&file))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn run(file: &PathBuf) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file)?;
    let scenario = Scenario::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let state = tempfile::tempdir()?;
    // What was compiled for one is there for all.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenario-cache");
    std::fs::create_dir_all(&cache)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&cache, state.path().join("cache"))?;
    let path = state.path().as_os_str();
    let mut host = Program::new(
        env!("CARGO_BIN_EXE_orbital"),
        ["--state".as_ref(), path, "run".as_ref()],
        ["--state".as_ref(), path],
        PATIENCE,
    );
    play(&scenario, &mut host).map_err(|mismatch| format!("{}: {mismatch}", file.display()).into())
}
