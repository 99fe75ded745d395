//! The scenarios have every command of the shell, with its success and its errors: each command of the shell's own
//! table is typed where it succeeds and where it is wrongly used, and every message of a command is one that must come in
//! a scenario or in another test. What is added to the shell without that fails here.

use scenario::{Action, Scenario};
use shell::help::TOPICS;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the commands are, and what is said of a service's errors.
const SOURCES: [&str; 4] =
    ["../shell/src/commands", "../shell/src/failure.rs", "../shell/src/shell.rs", "../shell/src/session.rs"];
/// Tests beside the scenarios in which messages must come.
const TESTS: [&str; 3] = ["../shell/tests", "../../host-wasm/tests/command", "../../boot/qemu/tests/machine"];

/// Commands that cannot fail once they are understood; and those that take any words. `time` fails with its command.
const NEVER_FAIL: [&str; 3] = ["echo", "exit", "self"];
const TAKE_ANYTHING: [&str; 2] = ["echo", "time"];
/// Not every host captures: host-wasm/tests/command/capture.rs has its success.
const ELSEWHERE: [(&str, u64); 1] = [("capture", 0)];

/// Messages that no test can bring about from outside, with what it would take.
const UNSEEN: [(&str, &str); 14] = [
    (", and a program has at most", "a namespace of a user holds less than that"),
    ("nothing can be told to the shell:", "the shell's quota was used up when it started"),
    ("a stream cannot be begun:", "the shell's quota is used up"),
    ("there is no room for", "the shell's quota is used up"),
    ("cannot be passed on:", "the shell's quota is used up"),
    ("cannot be captured:", "an error of the kernel that a capability with the right for it does not give"),
    ("cannot be looked into:", "a process of init's that ends between two calls"),
    ("; it may have ended, `ps` shows who lives", "a process that ends between two calls"),
    ("a message under way", "a capability that is in a message when it is looked at"),
    ("the clock cannot be read:", "a host without a clock"),
    ("the kernel does not tell:", "a kernel that refuses to say who asks"),
    ("the log cannot be read:", "a log that breaks while the system runs, which ends the system"),
    ("some keys are damaged on the disk", "both copies of a node of the tree damaged; storage's own tests have it"),
    ("are damaged on the disk", "both copies of a node of the tree damaged; storage's own tests have it"),
];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files at or below a path, with their text.
fn texts(path: &Path) -> Vec<String> {
    if path.is_file() {
        return vec![fs::read_to_string(path).unwrap()];
    }
    let mut paths: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| texts(path)).collect()
}

/// The commands of a line, with whether each is sure to be carried out, if it is a line at all.
fn commands(line: &str) -> Vec<(String, bool)> {
    let Ok(commands) = shell::parse::parse(line) else { return Vec::new() };
    let name = |words: &[shell::parse::Word]| words.first().map(|word| word.expand(0)).unwrap_or_default();
    commands
        .iter()
        .map(|command| (name(&command.words), command.condition == shell::parse::Condition::Always))
        .collect()
}

#[test]
fn every_command_succeeds_is_misused_and_fails_in_a_scenario() {
    let mut statuses: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for file in scenario::find(Path::new(scenario::FOLDER)).unwrap() {
        let scenario = Scenario::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        for step in &scenario.steps {
            let Action::Shell(line) = &step.action else { continue };
            let mut commands = commands(line);
            // The status of a line is that of its last command; what one before it says in error is not expected there.
            if let Some((name, true)) = commands.pop() {
                statuses.entry(name).or_default().insert(step.status);
            }
            for (name, _) in commands.into_iter().filter(|(_, always)| *always && step.status == 0) {
                statuses.entry(name).or_default().insert(0);
            }
        }
    }
    let mut missing = Vec::new();
    for topic in TOPICS {
        let seen = statuses.remove(topic.name).unwrap_or_default();
        let mut wanted = BTreeSet::from([0, 1, 2]);
        wanted.retain(|status| match status {
            1 => !NEVER_FAIL.contains(&topic.name),
            2 => !TAKE_ANYTHING.contains(&topic.name),
            // `exit` gives the status that it is told, and is played by the runner.
            _ => topic.name != "exit",
        });
        wanted.retain(|status| !ELSEWHERE.contains(&(topic.name, *status)));
        missing.extend(wanted.difference(&seen).map(|status| format!("{} with status {status}", topic.name)));
    }
    assert!(missing.is_empty(), "no scenario has {missing:?}");
}

/// The texts in double quotes of a source, without its comments and tests, and with `\` at the end of a line as Rust
/// reads it.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = Vec::new();
    let text = lines.join("\n");
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            // A character, not a lifetime.
            '\'' if characters.clone().nth(1) == Some('\'') => {
                characters.nth(1);
            }
            '\'' if characters.peek() == Some(&'\\') => {
                characters.nth(2);
            }
            '"' => {
                let mut literal = String::new();
                while let Some(c) = characters.next().filter(|c| *c != '"') {
                    match (c, characters.peek()) {
                        ('\\', Some('\n')) => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                        ('\\', Some('n')) => {
                            characters.next();
                            literal.push('\n');
                        }
                        ('\\', Some(_)) => literal.extend(characters.next()),
                        (c, _) => literal.push(c),
                    }
                }
                found.push(literal);
            }
            _ => {}
        }
    }
    found
}

/// A text whose lines go on behind a `\` at their end, as Rust reads it.
fn joined(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// The longest piece of a message that is always the same.
fn constant(message: &str) -> String {
    let mut pieces = vec![String::new()];
    let mut inside = false;
    for c in message.chars() {
        match c {
            '{' => (inside, _) = (true, pieces.push(String::new())),
            '}' => inside = false,
            '\n' => pieces.push(String::new()),
            c if !inside => pieces.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    pieces.into_iter().max_by_key(String::len).unwrap_or_default().trim().to_owned()
}

#[test]
fn every_message_of_a_command_comes_in_a_test() {
    let mut seen: String =
        scenario::find(Path::new(scenario::FOLDER)).unwrap().iter().flat_map(|file| texts(file)).collect();
    // In a scenario these stand for themselves only behind a backslash.
    seen = seen.replace("\\*", "*").replace("\\{", "{").replace("\\\\", "\\");
    seen.extend(TESTS.iter().flat_map(|path| texts(&root(path))));
    let sources: Vec<String> = SOURCES.iter().flat_map(|path| texts(&root(path))).collect();
    // What a unit test beside the code asks for.
    seen.extend(sources.iter().filter_map(|source| source.split_once("#[cfg(test)]")).map(|(_, tests)| tests));
    seen = joined(&seen);
    let messages = sources.iter().flat_map(|source| literals(source));
    let messages: BTreeSet<String> =
        messages.map(|message| constant(&message)).filter(|text| text.contains(' ')).collect();
    let gone: Vec<&str> = UNSEEN.iter().map(|(text, _)| *text).filter(|text| !messages.contains(*text)).collect();
    assert!(gone.is_empty(), "these are no messages any more: {gone:?}");
    let unseen = |text: &&String| UNSEEN.iter().any(|(unseen, _)| unseen == text);
    let missing: BTreeSet<&String> =
        messages.iter().filter(|text| !seen.contains(*text)).filter(|text| !unseen(text)).collect();
    assert!(
        missing.is_empty(),
        "no test has these messages:\n{}",
        missing.into_iter().cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn messages_are_found_in_a_source() {
    let source = "// \"no\"\nf('\"', \"a {b} longer\\n\", \"in \\\n    two\"); '\\'' \"x\"\n#[cfg(test)] \"not\"";
    assert_eq!(literals(source), ["a {b} longer\n", "in two", "x"]);
    assert_eq!(constant("there is no {name}; `ls` shows"), "; `ls` shows");
    assert_eq!(constant("there is no {name}"), "there is no");
}
