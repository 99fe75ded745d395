//! Shows that the tests can fail: breaks the code in one small way after the other, in a copy of the tree, and runs
//! the tests that must notice. Prints a table; a break that nobody notices, or one that cannot be made any more, is an
//! error.
//!
//! `mutations` makes them all, and writes the table of docs/mutations.md; `mutations WORD...` makes those in whose
//! name or file one of the words occurs.
#![forbid(unsafe_code)]

use serde::Deserialize;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

type Failure = Box<dyn Error>;

/// What tests may take; a break that makes them hang is noticed as well.
const MOST: Duration = Duration::from_secs(400);
/// Address space of one test process in KiB: a break must not take the machine along.
const MEMORY: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutation: Vec<Mutation>,
}

/// One break.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    /// What is wrong then.
    name: String,
    /// Where, from the root of the tree.
    file: String,
    /// What stands there, exactly once.
    find: String,
    /// What stands there instead.
    replace: String,
    /// What `cargo test` is to run.
    test: String,
}

/// How the tests ended.
enum Ending {
    Passed,
    /// The tests that failed.
    Failed(Vec<String>),
    /// They did not end.
    Hung,
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("orbital: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all were caught.
fn run(words: &[String]) -> Result<bool, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("this crate lies in no tree")?;
    let List { mutation: all } = toml::from_str(&fs::read_to_string(root.join("mutations/mutations.toml"))?)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let copy = Copy { tree: target.join("mutations/tree"), target: target.join("mutations/target") };
    let files = copy.fill(root)?;
    let chosen: Vec<&Mutation> = all
        .iter()
        .filter(|one| words.is_empty() || words.iter().any(|word| one.name.contains(word) || one.file.contains(word)))
        .collect();
    // All can be made, before the first is.
    for mutation in &chosen {
        mutation.made_in(&fs::read_to_string(copy.tree.join(&mutation.file))?)?;
    }
    for test in chosen.iter().map(|mutation| mutation.test.as_str()).collect::<BTreeSet<_>>() {
        println!("sound: cargo test {test}");
        match copy.test(test)? {
            Ending::Passed => {}
            Ending::Failed(tests) => return Err(format!("without any break, these fail: {}", tests.join(", ")).into()),
            Ending::Hung => return Err(format!("without any break, `cargo test {test}` does not end").into()),
        }
    }
    let mut table = String::from("| what is broken | where | caught by | seconds |\n|---|---|---|---|\n");
    let mut survivors = Vec::new();
    for mutation in &chosen {
        let began = Instant::now();
        let path = copy.tree.join(&mutation.file);
        let sound = fs::read_to_string(&path)?;
        fs::write(&path, mutation.made_in(&sound)?)?;
        let ending = copy.test(&mutation.test);
        fs::write(&path, sound)?;
        // What proptest noted of this break must not be what it tries first with the next.
        remove_others(&copy.tree, &files)?;
        let caught = match ending.map_err(|error| format!("{}: {error}", mutation.name))? {
            Ending::Passed => {
                survivors.push(&mutation.name);
                "**nothing**".to_owned()
            }
            Ending::Failed(tests) => summary(&tests),
            Ending::Hung => "the tests do not end".to_owned(),
        };
        let row = format!("| {} | `{}` | {caught} | {} |", mutation.name, mutation.file, began.elapsed().as_secs());
        println!("{row}");
        writeln!(table, "{row}")?;
    }
    println!("{} breaks, {} caught", chosen.len(), chosen.len() - survivors.len());
    if words.is_empty() {
        write_table(&root.join("docs/mutations.md"), &table)?;
    }
    for survivor in &survivors {
        eprintln!("orbital: nobody notices that {survivor}: a test is missing");
    }
    Ok(survivors.is_empty())
}

/// Puts the table behind the marker in the page.
fn write_table(page: &Path, table: &str) -> Result<(), Failure> {
    const MARKER: &str = "<!-- The table below is written by `make mutations`. -->\n";
    let text = fs::read_to_string(page)?;
    let (before, _) = text.split_once(MARKER).ok_or_else(|| format!("{}: the marker is gone", page.display()))?;
    Ok(fs::write(page, format!("{before}{MARKER}\n{table}"))?)
}

fn summary(tests: &[String]) -> String {
    const SHOWN: usize = 2;
    let mut text = tests.iter().take(SHOWN).map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", ");
    if tests.len() > SHOWN {
        text += &format!(" and {} more", tests.len() - SHOWN);
    }
    text
}

impl Mutation {
    /// The file's text with the break in it.
    fn made_in(&self, text: &str) -> Result<String, Failure> {
        // A block in the list begins and ends with a line of its own.
        let find = self.find.strip_prefix('\n').unwrap_or(&self.find);
        match text.matches(find).count() {
            1 => Ok(text.replacen(find, &self.replace, 1)),
            count => {
                let what = format!("{}: its text is in {} {count} times, not once", self.name, self.file);
                Err(format!("{what}; change it in mutations/mutations.toml").into())
            }
        }
    }
}

/// The tree that is broken, with what is built of it.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Makes it as `root` is now, and gives its files. Those that are the same stay: they need not be built again.
    fn fill(&self, root: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
        let listed = Command::new("git")
            .current_dir(root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()?;
        if !listed.status.success() {
            return Err("the tree's files cannot be listed: it must be a git clone".into());
        }
        let mut wanted = BTreeSet::new();
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            // What was removed and not yet committed is listed and not there.
            let Ok(content) = fs::read(root.join(name)) else { continue };
            let to = self.tree.join(name);
            if fs::read(&to).ok().as_ref() != Some(&content) {
                fs::create_dir_all(to.parent().ok_or("a file lies in a folder")?)?;
                fs::write(&to, content)?;
            }
            wanted.insert(to);
        }
        remove_others(&self.tree, &wanted)?;
        Ok(wanted)
    }

    /// Runs tests. An error: what is broken does not even build.
    fn test(&self, test: &str) -> Result<Ending, Failure> {
        let arguments: Vec<&str> = test.split_whitespace().collect();
        let built = self.cargo().arg("test").args(&arguments).arg("--no-run").stderr(Stdio::piped()).output()?;
        if !built.status.success() {
            return Err(format!("it does not build:\n{}", String::from_utf8_lossy(&built.stderr)).into());
        }
        let output = self.target.join("output");
        let mut running = self
            .cargo()
            .arg("test")
            .args(&arguments)
            .arg("--no-fail-fast")
            .stdout(fs::File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = running.try_wait()? {
                break status;
            }
            if began.elapsed() > MOST {
                // The whole group: cargo, and the tests that it runs.
                Command::new("kill").args(["-KILL", "--", &format!("-{}", running.id())]).status()?;
                running.wait()?;
                return Ok(Ending::Hung);
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let text = String::from_utf8_lossy(&fs::read(output)?).into_owned();
        if !text.lines().any(|line| line.starts_with("running ") && line != "running 0 tests") {
            return Err(format!("`cargo test {test}` runs no test").into());
        }
        if status.success() {
            return Ok(Ending::Passed);
        }
        let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
        let mut tests: Vec<String> = text.lines().filter_map(failed).collect();
        if tests.is_empty() {
            tests.push("the test's process died".to_owned());
        }
        Ok(Ending::Failed(tests))
    }

    fn cargo(&self) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$@\""), "sh"]);
        command.arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target).stdin(Stdio::null()).process_group(0);
        command.env("RUST_BACKTRACE", "0").env_remove("ORBITAL_CASES");
        command
    }
}

fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
