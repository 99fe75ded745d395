//! The text of a scenario: prose, and indented by two blanks what is done and what must
//! come back. README.md is the reference.

use crate::pattern::Pattern;

/// What is done in one step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A command for the shell (`$`); the system is booted if it is down.
    Shell(String),
    /// The session ends by the end of its input; the system goes down in order (`@leave`).
    Leave,
    /// `@leave`, and up again (`@reboot`).
    Reboot,
    /// The host is killed, as by a power cut (`@kill-host`).
    KillHost,
    /// A session of its own with these arguments, up to its end (`@boot`).
    Boot(Vec<String>),
    /// A command of the host itself, while the system is down (`@host`).
    Host(Vec<String>),
}

/// One step, with what must come back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is done.
    pub action: Action,
    /// What it must print.
    pub output: Vec<Pattern>,
    /// The exit status that it must have.
    pub status: u64,
}

/// A whole scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// What it shows: the first line of the text.
    pub title: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// What is wrong with the text of a scenario, and in which line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

impl std::fmt::Display for DocumentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for DocumentError {}

impl Scenario {
    /// The scenario that `text` says.
    pub fn parse(text: &str) -> Result<Scenario, DocumentError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut title = String::new();
        // Whether a session may be running at this point.
        let mut up = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let error = |problem: String| DocumentError { line: number, problem };
            let Some(content) = line.strip_prefix("  ") else {
                if title.is_empty() {
                    title = line.trim_start_matches('#').trim().to_string();
                }
                continue;
            };
            if content.trim().is_empty() {
                continue;
            }
            if let Some(action) = action(content).map_err(error)? {
                match action {
                    Action::Host(_) | Action::Boot(_) if up => {
                        return Err(error("the system runs here; @leave or @kill-host must come first".into()));
                    }
                    Action::Leave | Action::Reboot | Action::KillHost if !up => {
                        return Err(error("no session runs here; a $ command begins one".into()));
                    }
                    _ => {}
                }
                up = match &action {
                    Action::Shell(command) => !ends_session(command),
                    Action::Reboot => true,
                    _ => false,
                };
                steps.push(Step { line: number, action, output: Vec::new(), status: 0 });
                continue;
            }
            let step = steps.last_mut().ok_or_else(|| error("output stands before the first step".into()))?;
            if let Some(more) = content.strip_prefix("> ") {
                match (&mut step.action, step.output.is_empty()) {
                    (Action::Shell(command), true) => {
                        command.push('\n');
                        command.push_str(more);
                    }
                    _ => return Err(error("> continues a $ command; write \\> for output that begins so".into())),
                }
            } else if let Some(status) = status(content) {
                step.status = status;
            } else {
                step.output.push(Pattern::parse(content).map_err(error)?);
            }
        }
        if title.is_empty() {
            return Err(DocumentError { line: 1, problem: "the first line must say what the scenario shows".into() });
        }
        if steps.is_empty() {
            return Err(DocumentError {
                line: 1,
                problem: "it has no step: nothing begins with two blanks and $".into(),
            });
        }
        Ok(Scenario { title, steps })
    }
}

fn action(content: &str) -> Result<Option<Action>, String> {
    if let Some(command) = content.strip_prefix("$ ") {
        return Ok(Some(Action::Shell(command.to_string())));
    }
    let Some(directive) = content.strip_prefix('@') else { return Ok(None) };
    let words = shell_words::split(directive).map_err(|error| error.to_string())?;
    match words.split_first() {
        Some((name, [])) if name == "leave" => Ok(Some(Action::Leave)),
        Some((name, [])) if name == "reboot" => Ok(Some(Action::Reboot)),
        Some((name, [])) if name == "kill-host" => Ok(Some(Action::KillHost)),
        Some((name, words)) if name == "boot" => Ok(Some(Action::Boot(words.to_vec()))),
        Some((name, words)) if name == "host" && !words.is_empty() => Ok(Some(Action::Host(words.to_vec()))),
        _ => Err(format!(
            "@{directive} is no directive; there is @leave, @reboot, @kill-host, @boot ARGUMENTS and @host COMMAND \
             (write \\@ for output that begins so)"
        )),
    }
}

/// Whether a command ends the session: `exit`, alone or with a status.
pub(crate) fn ends_session(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["exit"] => true,
        ["exit", status] => status.parse::<u8>().is_ok(),
        _ => false,
    }
}

/// `[N]` alone is a status.
fn status(content: &str) -> Option<u64> {
    content.trim().strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "# A file survives\n\nProse, also about $ signs.\n\n  $ put /a one\n  $ cat /b\n  cat: *\n  [1]\n  @leave\n\n  @host log verify\n  {number} records\n  $ echo 'a\n  > b'\n  a\n  b\n";

    #[test]
    fn prose_commands_output_and_status_are_told_apart() {
        let scenario = Scenario::parse(EXAMPLE).unwrap();
        assert_eq!(scenario.title, "A file survives");
        let seen: Vec<_> = scenario.steps.iter().map(|s| (s.line, s.output.len(), s.status)).collect();
        assert_eq!(seen, [(5, 0, 0), (6, 1, 1), (9, 0, 0), (11, 1, 0), (13, 2, 0)]);
        assert_eq!(scenario.steps[3].action, Action::Host(vec!["log".into(), "verify".into()]));
        assert_eq!(scenario.steps[4].action, Action::Shell("echo 'a\nb'".into()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, problem) in [
            ("", 1, "first line"),
            ("Title\n", 1, "no step"),
            ("Title\n  output\n", 2, "before the first step"),
            ("Title\n  @jump\n", 2, "no directive"),
            ("Title\n  @host\n", 2, "no directive"),
            ("Title\n  $ ls\n  @host log verify\n", 3, "@leave"),
            ("Title\n  @leave\n", 2, "no session"),
            ("Title\n  $ exit 3\n  @leave\n", 3, "no session"),
            ("Title\n  $ ls\n  {What}\n", 3, "placeholder"),
            ("Title\n  $ ls\n  out\n  > more\n", 4, "continues"),
            ("Title\n  @host 'log\n", 2, "quote"),
        ] {
            let error = Scenario::parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.problem.contains(problem), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_scenario_or_an_error_in_one_of_its_lines(text in "(T\n)?((  )?[$@>\\[\\]{}a-z0-9 '*]{0,12}\n){0,8}") {
            if let Err(error) = Scenario::parse(&text) {
                prop_assert!(error.line >= 1 && error.line <= text.lines().count().max(1));
            }
        }
    }
}
