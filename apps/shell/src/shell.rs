//! The shell: what it holds, and how it carries out the commands of a script.

use crate::arguments::{Arguments, Opt, Order};
use crate::console::{Keyboard, Screen, Stop};
use crate::failure::{FAILED, Failure, KILLED, STOPPED, UNKNOWN};
use crate::help;
use crate::jobs::Jobs;
use crate::parse::{Command, Condition, Mode, parse};
use crate::text::{duration, shown};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::pin;
use futures_util::future::{Either, select};
use libprocess::abi::Handle;
use libprocess::interfaces::init::control;
use libprocess::interfaces::process::lifecycle;
use libprocess::interfaces::storage::files;
use libprocess::{Any, Cap, Log, Process, yield_now};

/// The shell, with all that it was given.
pub struct Shell {
    /// Its process.
    pub process: Process,
    /// Where it shows what it has to say.
    pub screen: Screen,
    /// The keyboard, on a terminal.
    pub keyboard: Option<Keyboard>,
    /// Whether it is asked to end.
    pub stop: Stop,
    /// Exit status of the last command.
    pub status: u64,
    /// Programs in the background, and news of their ends.
    pub jobs: Jobs,
    /// Names of the capabilities that it was given, with their handles here.
    pub given: Vec<(String, Handle)>,
    control: Option<control::Client>,
    lifecycle: Option<lifecycle::Client>,
    files: Option<files::Client>,
    log: Option<Cap<Log>>,
}

/// Whether the shell goes on after a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It goes on.
    On,
    /// `exit`, with this status.
    Exit(u64),
}

impl Shell {
    /// A shell of what `process` was given.
    pub async fn new(process: Process) -> Shell {
        let mut given: Vec<(String, Handle)> = Vec::new();
        for name in process.capability_names() {
            if let Ok(capability) = process.capability::<Any>(&name) {
                given.push((name, capability.into_handle()));
            }
        }
        let handle = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, handle)| *handle);
        let control = handle("init").map(|handle| control::Client::new(Cap::from_handle(handle)));
        let lifecycle = handle("process").map(|handle| lifecycle::Client::new(Cap::from_handle(handle)));
        let files = handle("storage").map(|handle| files::Client::new(Cap::from_handle(handle)));
        let log = handle("log").map(Cap::from_handle);
        given.push((String::from("quota"), process.quota().handle()));
        given.push((String::from("clock"), process.clock().handle()));
        let console = process.console().ok().cloned();
        if let Some(console) = &console {
            given.push((String::from("console"), console.device().capability().handle()));
            if let Some(interrupt) = console.device().interrupt() {
                given.push((String::from("interrupt:console"), interrupt.handle()));
            }
        }
        given.retain(|(_, handle)| !handle.is_none());
        let jobs = Jobs::new(process.quota(), lifecycle.as_ref()).await;
        let screen = Screen::new(console);
        let stop = Stop::new(process.clone());
        Shell { process, screen, keyboard: None, stop, status: 0, jobs, given, control, lifecycle, files, log }
    }

    /// init's control of services.
    pub fn control(&self) -> Result<&control::Client, Failure> {
        self.control.as_ref().ok_or_else(|| missing("init"))
    }

    /// The process service.
    pub fn lifecycle(&self) -> Result<&lifecycle::Client, Failure> {
        self.lifecycle.as_ref().ok_or_else(|| missing("process"))
    }

    /// Files of the storage service.
    pub fn files(&self) -> Result<&files::Client, Failure> {
        self.files.as_ref().ok_or_else(|| missing("storage"))
    }

    /// The system's log.
    pub fn log(&self) -> Result<&Cap<Log>, Failure> {
        self.log.as_ref().ok_or_else(|| missing("log"))
    }

    /// Shows text.
    pub async fn show(&self, text: &str) {
        self.screen.show(text).await;
    }

    /// Shows one line.
    pub async fn line(&self, text: &str) {
        self.screen.show(&format!("{text}\n")).await;
    }

    /// Carries out a whole script; nothing of one that has an error.
    pub async fn script(&mut self, text: &str) -> Flow {
        self.script_after(0, text).await
    }

    /// The same, of text before which so many lines were read.
    pub async fn script_after(&mut self, before: u64, text: &str) -> Flow {
        match parse(text) {
            Ok(commands) => self.commands(&commands).await,
            Err(mut error) => {
                error.position.line += before;
                self.line(&format!("shell: {error}")).await;
                self.status = crate::failure::MISUSED;
                Flow::On
            }
        }
    }

    /// Carries out commands, each if its condition holds.
    pub async fn commands(&mut self, commands: &[Command]) -> Flow {
        for command in commands {
            let runs = match command.condition {
                Condition::Always => true,
                Condition::Succeeded => self.status == 0,
                Condition::Failed => self.status != 0,
            };
            if !runs {
                continue;
            }
            let words: Vec<String> = command.words.iter().map(|word| word.expand(self.status)).collect();
            if let Flow::Exit(status) = self.run(&words, command.mode).await {
                return Flow::Exit(status);
            }
            if self.stop.is_requested() {
                return Flow::Exit(STOPPED);
            }
        }
        Flow::On
    }

    /// Carries out one command and keeps its status.
    async fn run(&mut self, words: &[String], mode: Mode) -> Flow {
        let Some((name, arguments)) = words.split_first() else { return Flow::On };
        match self.dispatch(name, arguments, mode).await {
            Ok(Done::Status(status)) => self.status = status,
            Ok(Done::Exit(status)) => return Flow::Exit(status),
            Err(failure) => {
                self.line(&format!("{}: {}", shown(name), failure.message)).await;
                self.status = failure.status;
            }
        }
        Flow::On
    }

    async fn dispatch(&mut self, name: &str, words: &[String], mode: Mode) -> Result<Done, Failure> {
        let known = help::topic(name);
        if let (Some(topic), Some("--help" | "-h")) = (known, words.first().map(String::as_str)) {
            self.show(&help::page(topic)).await;
            return Ok(Done::Status(0));
        }
        if mode == Mode::Background && known.is_some() && name != "spawn" {
            return Err(Failure::misuse(
                name,
                "only programs run in the background: & follows spawn or a program's name",
            ));
        }
        let plain = |options: &[Opt]| {
            Arguments::parse(words, options, Order::Anywhere).map_err(|problem| Failure::misuse(name, &problem))
        };
        let text = |options: &[Opt]| {
            Arguments::parse(words, options, Order::OptionsFirst).map_err(|problem| Failure::misuse(name, &problem))
        };
        match name {
            "ls" | "cat" | "put" | "append" | "rm" | "mv" | "cp" | "mkdir" | "stat" => self.attend("storage").await?,
            "set" | "get" | "unset" | "keys" | "transact" | "watch" => self.attend("storage").await?,
            "ps" | "wait" | "kill" => self.attend("process").await?,
            _ => {}
        }
        match name {
            "help" => self.help(&plain(&[])?).await?,
            "ls" => self.ls(&plain(&[Opt::Flag("-l"), Opt::Flag("-a")])?).await?,
            "cat" => self.cat(&plain(&[])?).await?,
            "put" => self.put(&text(&[Opt::Flag("-n"), Opt::Flag("--input"), Opt::Value("--if-version")])?).await?,
            "append" => self.append(&text(&[Opt::Flag("-n")])?).await?,
            "rm" => self.rm(&plain(&[Opt::Flag("-r")])?).await?,
            "mv" => self.mv(&plain(&[])?).await?,
            "cp" => self.cp(&plain(&[])?).await?,
            "mkdir" => self.mkdir(&plain(&[Opt::Flag("-p")])?).await?,
            "stat" => self.stat(&plain(&[])?).await?,
            "set" => {
                let options = [Opt::Flag("-n"), Opt::Flag("--input"), Opt::Value("--for"), Opt::Value("--if-version")];
                self.set(&text(&options)?).await?;
            }
            "get" => self.get(&plain(&[])?).await?,
            "unset" => self.unset(&plain(&[Opt::Value("--if-version")])?).await?,
            "keys" => self.keys(&plain(&[Opt::Flag("-l")])?).await?,
            "transact" => self.transact(&text(&[])?).await?,
            "watch" => {
                return self.watch(&plain(&[Opt::Value("--count"), Opt::Value("--for")])?).await.map(Done::Status);
            }
            "ps" => self.ps(&plain(&[])?).await?,
            "spawn" => return self.spawn(words, mode).await.map(Done::Status),
            "wait" => return self.wait(&plain(&[])?).await.map(Done::Status),
            "kill" => self.kill(&plain(&[Opt::Flag("--ask")])?).await?,
            "services" => self.services(&plain(&[])?).await?,
            "start" => self.start(&plain(&[])?).await?,
            "stop" => self.stop(&plain(&[])?).await?,
            "restart" => self.restart(&plain(&[])?).await?,
            "capture" => self.capture(&plain(&[])?).await?,
            "upgrade" => self.upgrade(&plain(&[])?).await?,
            "caps" => self.caps(&plain(&[])?).await?,
            "self" => self.itself(&plain(&[])?).await?,
            "log" => self.show_log(&plain(&[Opt::Value("-n"), Opt::Value("--process")])?).await?,
            "time" => return self.time(words).await,
            "echo" => self.echo(&text(&[Opt::Flag("-n")])?).await,
            "exit" => return self.exit(&plain(&[])?).map(Done::Exit),
            program => return self.program(program, words, mode).await.map(Done::Status),
        }
        Ok(Done::Status(0))
    }

    /// A name that is no command: a program of that name.
    async fn program(&mut self, name: &str, words: &[String], mode: Mode) -> Result<u64, Failure> {
        let near = help::nearest(name, self.command_names());
        let hint = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        let unknown = Failure {
            message: format!("there is no such command or program; {hint}`help` lists the commands"),
            status: UNKNOWN,
        };
        let image_like = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if self.lifecycle.is_none() || !image_like || name.is_empty() {
            return Err(unknown);
        }
        let mut line = alloc::vec![String::from("--"), name.to_string()];
        line.extend_from_slice(words);
        match self.spawn_or_absent(&line, mode).await? {
            Some(status) => Ok(status),
            None => Err(unknown),
        }
    }

    /// What can be typed as the first word: commands, and boot images that it was given.
    pub(crate) fn command_names(&self) -> impl Iterator<Item = &str> {
        let images = self.given.iter().filter_map(|(name, _)| name.strip_prefix("image:"));
        help::TOPICS.iter().map(|topic| topic.name).chain(images)
    }

    /// `time`: the time, or how long a command takes.
    async fn time(&mut self, words: &[String]) -> Result<Done, Failure> {
        if words.is_empty() {
            self.clock().await?;
            return Ok(Done::Status(0));
        }
        let begin = self.process.now();
        let flow = Box::pin(self.run(words, Mode::Foreground)).await;
        let took = self.process.now().saturating_sub(begin);
        self.line(&format!("took {}", duration(took))).await;
        Ok(match flow {
            Flow::On => Done::Status(self.status),
            Flow::Exit(status) => Done::Exit(status),
        })
    }

    fn exit(&self, arguments: &Arguments) -> Result<u64, Failure> {
        match arguments.rest.as_slice() {
            [] => Ok(self.status),
            [status] => match status.parse::<u8>() {
                Ok(status) => Ok(status.into()),
                Err(_) => {
                    Err(Failure::misuse("exit", &format!("{} is no status: a number from 0 to 255", shown(status))))
                }
            },
            _ => Err(Failure::misuse("exit", "it takes one status")),
        }
    }

    /// Between the parts of what takes long: whether it goes on, or Ctrl-C was typed.
    pub async fn goes_on(&mut self) -> Result<(), Failure> {
        match Shell::interruptible(&mut self.keyboard, &self.stop, yield_now()).await {
            Some(()) => Ok(()),
            None => Err(Failure { message: String::from("given up by Ctrl-C, before it was done"), status: KILLED }),
        }
    }

    /// Runs `operation` until it ends, Ctrl-C is typed, or the shell is asked to end.
    pub async fn interruptible<T>(
        keyboard: &mut Option<Keyboard>,
        stop: &Stop,
        operation: impl Future<Output = T>,
    ) -> Option<T> {
        let interrupted = async {
            match keyboard {
                Some(keyboard) => {
                    select(pin!(keyboard.interrupted()), pin!(stop.requested())).await;
                }
                None => stop.requested().await,
            }
        };
        match select(pin!(operation), pin!(interrupted)).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// With this status; the shell goes on.
    Status(u64),
    /// The shell is to end with this status.
    Exit(u64),
}

fn missing(name: &str) -> Failure {
    Failure::from(libprocess::Missing(name.to_string()))
}

/// The exit status that stands for how a process ended; a code above 255 reads as 255.
pub fn status_of(end: &lifecycle::End) -> u64 {
    use lifecycle::Reason;
    match end.reason {
        Reason::Exited => end.code.min(255),
        Reason::Killed | Reason::Terminated => KILLED,
        Reason::Faulted => crate::failure::FAULTED,
        Reason::ProcessorTimeLimit | Reason::MemoryLimit | Reason::Reclaimed => FAILED,
    }
}

/// How a process ended, as a clause.
pub fn end_in_words(end: &lifecycle::End) -> String {
    use lifecycle::Reason;
    match end.reason {
        Reason::Exited if end.code == 0 => String::from("ended"),
        Reason::Exited => format!("ended with status {}", end.code),
        Reason::Killed => String::from("was killed"),
        Reason::Terminated => String::from("was asked to end, did not, and was killed"),
        Reason::Faulted => {
            let what = match end.code {
                1 => "touched memory that it must not touch",
                2 => "executed an instruction that it must not execute",
                4 => "trapped",
                5 => "ran out of stack",
                _ => "did what it could not",
            };
            format!("{what} and was killed")
        }
        Reason::ProcessorTimeLimit => format!("used up its processor time of {} and was killed", duration(end.code)),
        Reason::MemoryLimit => {
            format!("needed more memory than its {} and was killed", crate::text::size(end.code))
        }
        Reason::Reclaimed => String::from("ended, because what paid for it went"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifecycle::{End, Reason};

    /// Every end that a program can come to: its words, and the status that stands for it.
    #[test]
    fn each_end_of_a_program_has_its_words_and_its_status() {
        for (reason, code, words, status) in [
            (Reason::Exited, 0, "ended", 0),
            (Reason::Exited, 3, "ended with status 3", 3),
            (Reason::Exited, 256, "ended with status 256", 255),
            (Reason::Killed, 0, "was killed", KILLED),
            (Reason::Terminated, 0, "was asked to end, did not, and was killed", KILLED),
            (Reason::Faulted, 1, "touched memory that it must not touch and was killed", 134),
            (Reason::Faulted, 2, "executed an instruction that it must not execute and was killed", 134),
            (Reason::Faulted, 4, "trapped and was killed", 134),
            (Reason::Faulted, 5, "ran out of stack and was killed", 134),
            (Reason::Faulted, 9, "did what it could not and was killed", 134),
            (Reason::ProcessorTimeLimit, 2_000_000_000, "used up its processor time of 2.00 s and was killed", FAILED),
            (Reason::MemoryLimit, 2 << 20, "needed more memory than its 2.00 MiB and was killed", FAILED),
            (Reason::Reclaimed, 0, "ended, because what paid for it went", FAILED),
        ] {
            let end = End { reason, code, processor_time: 0 };
            assert_eq!((end_in_words(&end).as_str(), status_of(&end)), (words, status));
        }
    }
}
