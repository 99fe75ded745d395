//! The scenarios of apps/scenarios on bare x86_64: the same files, the same player, the same output as on the other
//! hosts. Each is a test of its own, and talks to the program that `make qemu` runs.

use libtest_mimic::{Arguments, Failed, Trial};
use scenario::{Ended, Host, Program, Scenario, play};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one answer may take, on a loaded machine: the first is that of a boot.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments = Arguments::from_args();
    if !arguments.list {
        // Once, and before the clock of any scenario runs.
        qemu::build::build(false, images::Progress::Shown).unwrap_or_else(|problem| panic!("{problem}"));
    }
    let folder = Path::new(scenario::FOLDER);
    let files = scenario::find(folder).expect("the scenarios can be listed");
    let trials = files.into_iter().map(|file| {
        let name = file.strip_prefix(folder).unwrap_or(&file).with_extension("");
        Trial::test(name.display().to_string(), move || run(&file))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// A system in QEMU. What a scenario asks of the host, it asks of the log, by what stands behind `orbital log
/// --image`.
struct Bare {
    session: Program,
    state: PathBuf,
}

impl Host for Bare {
    fn boot(&mut self, arguments: &[String]) -> Result<(), String> {
        self.session.boot(arguments)
    }
    fn write(&mut self, text: &str) -> Result<(), String> {
        self.session.write(text)
    }
    fn read_until(&mut self, end: &str) -> Result<String, String> {
        self.session.read_until(end)
    }
    fn leave(&mut self) -> Result<Ended, String> {
        self.session.leave()
    }
    fn kill(&mut self) -> Result<(), String> {
        self.session.kill()
    }
    fn command(&mut self, arguments: &[String]) -> Result<Ended, String> {
        use log_store::commands::{Format, Show, show, verify};
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (log, mut out) = (self.state.join("log.img"), Vec::new());
        let result = match words[..] {
            ["log", "verify"] => verify(&log, None, Format::Text, &mut out),
            ["log", "show", "--process", name] => {
                let wanted = Show { process: Some(name.into()), ..Show::default() };
                show(&log, &wanted, Format::Text, &mut out).map(drop)
            }
            _ => return Err(format!("no scenario asked `{}` of a log image yet; add it here", words.join(" "))),
        };
        match result {
            Ok(()) => Ok(Ended { output: String::from_utf8_lossy(&out).into_owned(), status: 0 }),
            Err(error) => Ok(Ended { output: format!("{error}\n"), status: 65 }),
        }
    }
}

fn run(file: &PathBuf) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file)?;
    let scenario = Scenario::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let state = tempfile::tempdir()?;
    let path = state.path().as_os_str();
    let mut host = Bare {
        session: Program::new(
            env!("CARGO_BIN_EXE_qemu"),
            ["--state".as_ref(), path, "run".as_ref()],
            ["--state".as_ref(), path],
            PATIENCE,
        ),
        state: state.path().to_path_buf(),
    };
    play(&scenario, &mut host).map_err(|mismatch| format!("{}: {mismatch}", file.display()).into())
}
