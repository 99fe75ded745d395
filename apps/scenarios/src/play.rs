//! Running a scenario against a host.
//!
//! The shell reads its input line by line. After each command the player has it say
//! which step has ended and with what status, and so can tell which output is whose.

use crate::document::{Action, Scenario, Step, ends_session};
use crate::pattern::{Values, fill, match_lines};
use std::fmt;

/// How something that the host ran has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// All that it printed and nobody has read yet.
    pub output: String,
    /// Its exit status.
    pub status: u64,
}

/// A host that can boot the system. Each error is a sentence for people.
pub trait Host {
    /// Boots with these arguments for the session; its input stays open.
    fn boot(&mut self, arguments: &[String]) -> Result<(), String>;
    /// Puts text into the input of the session.
    fn write(&mut self, text: &str) -> Result<(), String>;
    /// The output of the session up to and with `end`, waiting for it. An error says what
    /// came instead.
    fn read_until(&mut self, end: &str) -> Result<String, String>;
    /// Ends the input, and waits for the system to go down.
    fn leave(&mut self) -> Result<Ended, String>;
    /// Kills the host, as a power cut would.
    fn kill(&mut self) -> Result<(), String>;
    /// Runs a command of the host itself.
    fn command(&mut self, arguments: &[String]) -> Result<Ended, String>;
}

/// Where a run was not as the scenario says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The step's line in the scenario.
    pub line: usize,
    /// What was expected and what came, for people.
    pub report: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.report)
    }
}

impl std::error::Error for Mismatch {}

/// Runs `scenario` on `host`, up to the first step that is not as it says.
pub fn play(scenario: &Scenario, host: &mut dyn Host) -> Result<(), Mismatch> {
    let mut values = Values::new();
    let mut up = false;
    for (number, step) in scenario.steps.iter().enumerate() {
        play_step(number, step, host, &mut values, &mut up).map_err(|report| Mismatch { line: step.line, report })?;
    }
    if up {
        let last = scenario.steps.last().map_or(1, |step| step.line);
        host.leave().map_err(|report| Mismatch { line: last, report })?;
    }
    Ok(())
}

fn play_step(
    number: usize,
    step: &Step,
    host: &mut dyn Host,
    values: &mut Values,
    up: &mut bool,
) -> Result<(), String> {
    let filled = |words: &[String]| words.iter().map(|word| fill(word, values)).collect::<Vec<_>>();
    let ended = match &step.action {
        Action::Shell(command) => {
            if !*up {
                host.boot(&[])?;
                *up = true;
            }
            let command = fill(command, values);
            if ends_session(&command) {
                host.write(&format!("{command}\n"))?;
                *up = false;
                host.leave()?
            } else {
                let begin = format!("@@ step {number} ended with ");
                host.write(&format!("{command}\necho \"{begin}$?\"\n"))?;
                let mut output = host.read_until(&begin)?;
                output.truncate(output.len().saturating_sub(begin.len()));
                let status = host.read_until("\n")?;
                let status = status.trim().parse().map_err(|_| format!("the shell gave the status as {status:?}"))?;
                Ended { output, status }
            }
        }
        Action::Leave => {
            *up = false;
            host.leave()?
        }
        Action::Reboot => {
            let ended = host.leave()?;
            host.boot(&[])?;
            ended
        }
        Action::KillHost => {
            *up = false;
            host.kill()?;
            Ended { output: String::new(), status: step.status }
        }
        Action::Boot(arguments) => {
            host.boot(&filled(arguments))?;
            host.leave()?
        }
        Action::Host(arguments) => {
            let arguments = filled(arguments);
            host.command(&arguments)?
        }
    };
    check(step, &ended, values)
}

fn check(step: &Step, ended: &Ended, values: &mut Values) -> Result<(), String> {
    let lines: Vec<&str> = ended.output.lines().map(|line| line.trim_end_matches('\r')).collect();
    let fits = match_lines(&step.output, &lines, values);
    if fits.is_ok() && ended.status == step.status {
        return Ok(());
    }
    let mut report = String::new();
    match &step.action {
        Action::Shell(command) => report.push_str(&format!("$ {command}\n")),
        action => report.push_str(&format!("{action:?}\n")),
    }
    if ended.status != step.status {
        report.push_str(&format!("exit status {}, expected {}\n", ended.status, step.status));
    }
    let (good_patterns, good_lines) = fits.err().unwrap_or((step.output.len(), lines.len()));
    report.push_str("expected:\n");
    for (index, pattern) in step.output.iter().enumerate() {
        report.push_str(&format!("{} {pattern}\n", if index == good_patterns { '>' } else { ' ' }));
    }
    report.push_str("came:\n");
    for (index, line) in lines.iter().enumerate() {
        report.push_str(&format!("{} {line}\n", if index == good_lines { '>' } else { ' ' }));
    }
    Err(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A host whose shell knows `set K V`, `get K`, `fail N`, `echo` and `exit N`, and which
    /// forgets on a kill what was set in the same boot.
    #[derive(Default)]
    struct Toy {
        kept: BTreeMap<String, String>,
        fresh: BTreeMap<String, String>,
        output: String,
        status: u64,
        boots: usize,
    }

    impl Toy {
        fn line(&mut self, line: &str) {
            let words: Vec<&str> = line.split(' ').collect();
            let last = self.status;
            self.status = 0;
            match words[..] {
                ["set", key, value] => {
                    self.fresh.insert(key.into(), value.into());
                }
                ["get", key] => match self.fresh.get(key).or_else(|| self.kept.get(key)) {
                    Some(value) => self.output.push_str(&format!("{value}\n")),
                    None => self.status = 1,
                },
                ["fail", status] | ["exit", status] => self.status = status.parse().unwrap(),
                _ => {
                    let text = line.strip_prefix("echo ").unwrap().replace("$?", &last.to_string());
                    self.output.push_str(&format!("{}\n", text.trim_matches('"')));
                }
            }
        }
    }

    impl Host for Toy {
        fn boot(&mut self, _: &[String]) -> Result<(), String> {
            self.boots += 1;
            Ok(())
        }
        fn write(&mut self, text: &str) -> Result<(), String> {
            text.lines().for_each(|line| self.line(line));
            Ok(())
        }
        fn read_until(&mut self, end: &str) -> Result<String, String> {
            let at = self.output.find(end).ok_or("it hangs")? + end.len();
            Ok(self.output.drain(..at).collect())
        }
        fn leave(&mut self) -> Result<Ended, String> {
            self.kept.append(&mut self.fresh);
            Ok(Ended { output: std::mem::take(&mut self.output), status: std::mem::take(&mut self.status) })
        }
        fn kill(&mut self) -> Result<(), String> {
            self.fresh.clear();
            self.output.clear();
            Ok(())
        }
        fn command(&mut self, arguments: &[String]) -> Result<Ended, String> {
            Ok(Ended { output: format!("{} keys\n", self.kept.len()), status: arguments.len() as u64 })
        }
    }

    fn run(steps: &str) -> Result<Toy, String> {
        let mut host = Toy::default();
        let scenario = Scenario::parse(&format!("Title\n{steps}")).map_err(|error| error.to_string())?;
        play(&scenario, &mut host).map_err(|mismatch| mismatch.to_string())?;
        Ok(host)
    }

    #[test]
    fn a_scenario_that_holds_plays_to_its_end() {
        let host = run("  $ set a 1\n  $ get a\n  1\n  $ fail 7\n  [7]\n  @leave\n  @host keys\n  {number} keys\n  [1]\n  $ get a\n  1\n").unwrap();
        assert_eq!(host.boots, 2);
    }

    #[test]
    fn a_kill_loses_what_a_leave_keeps() {
        run("  $ set a 1\n  @kill-host\n  $ get a\n  [1]\n").unwrap();
        run("  $ set a 1\n  @reboot\n  $ get a\n  1\n").unwrap();
    }

    #[test]
    fn wrong_output_and_wrong_status_are_told_with_the_line() {
        let error = run("  $ set a 1\n  $ get a\n  2\n").err().unwrap();
        assert_eq!(error, "line 3: $ get a\nexpected:\n> 2\ncame:\n> 1\n");
        let error = run("  $ get a\n").err().unwrap();
        assert_eq!(error, "line 2: $ get a\nexit status 1, expected 0\nexpected:\ncame:\n");
        assert!(run("  $ echo more\n").err().unwrap().contains("> more"));
    }

    #[test]
    fn values_go_from_output_to_commands() {
        run("  $ echo 17 started\n  {pid=number} started\n  $ set x {pid}\n  $ get x\n  17\n").unwrap();
    }

    #[test]
    fn exit_ends_the_session_with_its_status() {
        run("  $ exit 3\n  [3]\n  $ echo again\n  again\n").unwrap();
        assert!(run("  $ exit 3\n").is_err());
    }
}
