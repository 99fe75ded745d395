//! `ps`, `spawn`, `wait`, `kill`: processes, by init (its services and this session) and by
//! the process service (all others).

use super::session::number;
use crate::arguments::{Arguments, Opt, Order};
use crate::failure::{Failure, KILLED, failed};
use crate::jobs::Job;
use crate::parse::Mode;
use crate::shell::{Shell, end_in_words, status_of};
use crate::text::{Side, Table, count, duration, shown, size};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use libprocess::abi::PAGE_SIZE;
use libprocess::interfaces::process::lifecycle::{self, End, Grant, Limits, Request, Source};
use libprocess::{Any, Cap, ClientError, Handle, InputMode, Rights};

/// Milliseconds that a process has to end by itself, once asked.
const GRACE: u32 = 2000;

/// One process, for people.
pub(crate) struct Row {
    pub pid: u64,
    pub parent: u64,
    pub name: String,
    /// It is a service, the session, or init: init knows it by this name.
    pub of_init: bool,
    /// It is the session's: no service.
    pub session: bool,
    state: String,
    processor_time: u64,
    pages: u64,
    calls: u64,
    capabilities: u32,
}

impl Shell {
    /// Every process that lives, by rising pid. If init or the process service cannot be asked,
    /// those of the other alone, and why.
    pub(crate) async fn processes(&self) -> (Vec<Row>, Option<Failure>) {
        let mut rows: Vec<Row> = Vec::new();
        let mut problem = None;
        match self.control() {
            Ok(control) => match control.processes().await {
                Ok(processes) => rows.extend(processes.into_iter().map(|usage| Row {
                    pid: usage.pid,
                    parent: usage.parent,
                    name: usage.name,
                    of_init: true,
                    session: usage.session,
                    state: String::from("running"),
                    processor_time: usage.processor_time,
                    pages: usage.pages,
                    calls: usage.calls,
                    capabilities: usage.capabilities,
                })),
                Err(error) => problem = Some(failed("init", "its processes", error)),
            },
            Err(failure) => problem = Some(failure),
        }
        match self.lifecycle() {
            Ok(lifecycle) => {
                let mut after = 0;
                loop {
                    let part = match lifecycle.list(after).await {
                        Ok(part) => part,
                        Err(error) => {
                            problem = Some(failed("process", "its processes", error));
                            break;
                        }
                    };
                    let Some(last) = part.last() else { break };
                    after = last.pid;
                    rows.extend(part.into_iter().filter(|info| info.end.is_none()).map(|info| Row {
                        pid: info.pid,
                        parent: info.parent,
                        name: info.name,
                        of_init: false,
                        session: false,
                        state: String::from(match info.state {
                            lifecycle::State::Running => "running",
                            lifecycle::State::Suspended => "suspended",
                            lifecycle::State::Ending => "ending",
                            lifecycle::State::Ended => "ended",
                        }),
                        processor_time: info.processor_time,
                        pages: info.pages,
                        calls: info.calls,
                        capabilities: info.capabilities,
                    }));
                }
            }
            Err(failure) => problem = Some(failure),
        }
        rows.sort_by_key(|row| row.pid);
        (rows, problem)
    }

    /// The process that `target` means: a pid, or the name of exactly one.
    pub(crate) async fn process_named(&self, target: &str) -> Result<Row, Failure> {
        let (rows, problem) = self.processes().await;
        let pid = target.parse::<u64>().ok();
        let mut found: Vec<Row> =
            rows.into_iter().filter(|row| Some(row.pid) == pid || pid.is_none() && row.name == target).collect();
        match (found.len(), found.pop()) {
            (1, Some(row)) => Ok(row),
            // It may be one of those that could not be asked for.
            (0, _) | (_, None) => Err(problem
                .unwrap_or_else(|| Failure::new(format!("there is no process {}; `ps` lists them", shown(target))))),
            (several, _) => Err(Failure::new(format!(
                "{several} processes are called {}; give the pid, as `ps` shows it",
                shown(target)
            ))),
        }
    }

    /// `ps`.
    pub(crate) async fn ps(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        if !arguments.rest.is_empty() {
            return Err(Failure::misuse("ps", "it takes no argument"));
        }
        let mut table = Table::new(&[
            ("PID", Side::Right),
            ("PARENT", Side::Right),
            ("STATE", Side::Left),
            ("CPU", Side::Right),
            ("MEMORY", Side::Right),
            ("CALLS", Side::Right),
            ("CAPS", Side::Right),
            ("NAME", Side::Left),
        ]);
        let (rows, problem) = self.processes().await;
        for row in rows {
            table.row([
                row.pid.to_string(),
                if row.parent == 0 { String::from("-") } else { row.parent.to_string() },
                row.state,
                duration(row.processor_time),
                size(row.pages.saturating_mul(PAGE_SIZE as u64)),
                count(row.calls),
                row.capabilities.to_string(),
                row.name,
            ]);
        }
        self.show(&table.to_text()).await;
        problem.map_or(Ok(()), Err)
    }

    /// `kill`.
    pub(crate) async fn kill(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        if arguments.rest.is_empty() {
            return Err(Failure::misuse("kill", "a pid or the name of a service is missing"));
        }
        for target in &arguments.rest {
            self.kill_one(target, arguments.flag("--ask")).await?;
        }
        Ok(())
    }

    async fn kill_one(&mut self, target: &str, ask: bool) -> Result<(), Failure> {
        let row = match self.process_named(target).await {
            Ok(row) => row,
            // A service that has no process now: init says what state it is in.
            Err(failure) => {
                return match self.control()?.kill(target).await {
                    Ok(()) => Ok(()),
                    Err(ClientError::Service(libprocess::interfaces::init::control::Error::NoSuchService)) => {
                        Err(failure)
                    }
                    Err(error) => Err(failed("init", target, error)),
                };
            }
        };
        if row.session {
            return Err(Failure::new("this is the session itself; `exit` ends it"));
        }
        if row.of_init && row.parent == 0 {
            return Err(Failure::new("init cannot be killed; `exit` turns the machine off"));
        }
        if row.of_init {
            if ask {
                return Err(Failure::new(format!(
                    "{0} is a service: `stop {0}` asks it to end, `restart {0}` begins anew",
                    row.name
                )));
            }
            return self.control()?.kill(&row.name).await.map_err(|error| failed("init", target, error));
        }
        let lifecycle = self.lifecycle()?;
        let done = if ask { lifecycle.terminate(row.pid, GRACE).await } else { lifecycle.kill(row.pid, KILLED).await };
        done.map_err(|error| failed("process", target, error))
    }

    /// `wait`.
    pub(crate) async fn wait(&mut self, arguments: &Arguments) -> Result<u64, Failure> {
        let mut pids = Vec::new();
        for text in &arguments.rest {
            pids.push(number("wait", "pid", text)?);
        }
        if pids.is_empty() {
            pids.extend(self.jobs.waiting());
        }
        let mut status = 0;
        for pid in pids {
            let lifecycle = self.lifecycle()?.clone();
            let Some(end) = self.end_of(&lifecycle, pid, Input::Shell).await? else {
                self.line("^C").await;
                return Err(Failure { message: format!("{pid} goes on; `kill {pid}` ends it"), status: KILLED });
            };
            status = status_of(&end);
            if end.reason != lifecycle::Reason::Exited {
                self.line(&format!("[{pid}] {}", end_in_words(&end))).await;
            }
        }
        Ok(status)
    }

    /// `spawn`.
    pub(crate) async fn spawn(&mut self, words: &[String], mode: Mode) -> Result<u64, Failure> {
        match self.spawn_or_absent(words, mode).await? {
            Some(status) => Ok(status),
            None => Err(Failure::new(
                "there is no such image: it is the name of a boot image, or a path (with a /) to a program in storage",
            )),
        }
    }

    /// `spawn`; `None` if there is no such boot image.
    pub(crate) async fn spawn_or_absent(&mut self, words: &[String], mode: Mode) -> Result<Option<u64>, Failure> {
        let order = Plan::parse(words)?;
        self.attend("process").await?;
        self.attend("storage").await?;
        let lifecycle = self.lifecycle()?.clone();
        let (grants, capabilities, storage_is_new) = self.passed_on(&order).await?;
        let (source, from) = if order.image.contains('/') {
            let storage = self.given("storage")?;
            (Source::Storage(order.image.clone()), Some(storage.derive(Rights::ALL).map_err(cannot_pass("storage"))?))
        } else {
            (Source::Boot(order.image.clone()), None)
        };
        let request = Request {
            name: order.name.clone(),
            source,
            arguments: order.arguments.clone(),
            environment: order.environment.clone(),
            grants,
            limits: order.limits.clone(),
        };
        // A component may have to be compiled first.
        let patient = lifecycle.within(core::time::Duration::from_secs(60));
        let pid = match patient.spawn(&request, from, capabilities).await {
            Ok(pid) => pid,
            Err(ClientError::Service(lifecycle::Error::ImageNotFound(_))) if !order.image.contains('/') => {
                if storage_is_new {
                    self.take_back_storage(&order.image).await;
                }
                return Ok(None);
            }
            Err(error) => return Err(failed("process", &order.image, error)),
        };
        if mode == Mode::Background {
            let name = if order.name.is_empty() { order.image } else { order.name };
            self.jobs.running.push(Job { pid, name });
            self.line(&format!("[{pid}] started")).await;
            return Ok(Some(0));
        }
        self.foreground(&lifecycle, pid, order.input).await.map(Some)
    }

    /// Waits for a program; Ctrl-C ends it, unless the keyboard is its own.
    async fn foreground(&mut self, lifecycle: &lifecycle::Client, pid: u64, input: Input) -> Result<u64, Failure> {
        let keys = match (input, self.screen.console()) {
            (Input::Program, Some(console)) if self.keyboard.is_some() => Some(console.clone()),
            _ => None,
        };
        if let Some(console) = &keys {
            let _ = console.set_mode(InputMode::Lines);
        }
        let end = self.end_of(lifecycle, pid, input).await;
        if let Some(console) = &keys {
            let _ = console.set_mode(InputMode::Keys);
        }
        let end = match end? {
            Some(end) => end,
            None => {
                self.line("^C").await;
                match lifecycle.kill(pid, KILLED).await {
                    Ok(()) | Err(ClientError::Service(lifecycle::Error::NoSuchProcess)) => {}
                    Err(error) => return Err(failed("process", &pid.to_string(), error)),
                }
                // It is told at once; a second Ctrl-C does not wait even for that.
                match self.end_of(lifecycle, pid, input).await? {
                    Some(end) => end,
                    None => return Ok(KILLED),
                }
            }
        };
        if end.reason != lifecycle::Reason::Exited {
            self.line(&format!("[{pid}] {}", end_in_words(&end))).await;
        }
        Ok(status_of(&end))
    }

    /// How process `pid` ended, once it has; `None` if Ctrl-C was typed before, or the shell is
    /// asked to end. The process service is asked between the waits and never beside one:
    /// a call blocks the whole process.
    async fn end_of(&mut self, lifecycle: &lifecycle::Client, pid: u64, input: Input) -> Result<Option<End>, Failure> {
        let mut nobody = None;
        let keyboard = if input == Input::Shell { &mut self.keyboard } else { &mut nobody };
        loop {
            if let Some(end) = self.jobs.take_end(pid) {
                return Ok(Some(end));
            }
            let info = lifecycle.get(pid).await.map_err(|error| failed("process", &pid.to_string(), error))?;
            let end = match info.end {
                Some(end) => Some(end),
                None => match Shell::interruptible(keyboard, &self.stop, self.jobs.news_of(pid)).await {
                    Some(news) => news,
                    None => return Ok(None),
                },
            };
            if let Some(end) = end {
                self.jobs.forget(pid);
                return Ok(Some(end));
            }
        }
    }

    /// What a new program gets: names with rights, and beside them the capabilities; and whether its storage was made
    /// for it. What is not there needs none.
    async fn passed_on(&self, order: &Plan) -> Result<(Vec<Grant>, Vec<Cap<Any>>, bool), Failure> {
        let mut grants = Vec::new();
        let mut capabilities: Vec<Cap<Any>> = Vec::new();
        let mut pass = |name: &str, capability: Cap<Any>| {
            grants.push(Grant { name: name.to_string(), rights: Rights::ALL.0 });
            capabilities.push(capability);
        };
        let derived = |name: &str, rights: Rights| -> Result<Option<Cap<Any>>, Failure> {
            match self.given(name) {
                Ok(capability) => capability.derive(rights).map(Some).map_err(cannot_pass(name)),
                Err(_) => Ok(None),
            }
        };
        let console = if order.input == Input::Program { Rights::ALL } else { Rights::WRITE };
        if let Some(console) = derived("console", console)? {
            pass("console", console);
        }
        if order.input == Input::Program
            && let Some(interrupt) = derived("interrupt:console", Rights::ALL)?
        {
            pass("interrupt:console", interrupt);
        }
        if let Some(clock) = derived("clock", Rights::READ)? {
            pass("clock", clock);
        }
        for name in &order.pass {
            pass(name, self.given(name)?.derive(Rights::ALL).map_err(cannot_pass(name))?);
        }
        let mut is_new = false;
        let absent = order.image.contains('/') && self.is_nowhere(&order.image).await;
        if !absent && !order.pass.iter().any(|name| name == "storage") && self.given("storage").is_ok() {
            let (storage, made) = self.storage_of(&order.image).await?;
            pass("storage", storage);
            is_new = made;
        }
        Ok((grants, capabilities, is_new))
    }

    /// A capability that the shell was given, by name; it stays the shell's.
    pub(crate) fn given(&self, name: &str) -> Result<ManuallyDrop<Cap<Any>>, Failure> {
        let found = self.given.iter().find(|(known, _)| known == name);
        found.map(|(_, handle): &(String, Handle)| ManuallyDrop::new(Cap::from_handle(*handle))).ok_or_else(|| {
            Failure::new(format!("the shell has no capability {}; `self` lists their names", shown(name)))
        })
    }
}

fn cannot_pass(name: &str) -> impl FnOnce(libprocess::Error) -> Failure {
    let name = name.to_string();
    move |error| Failure::new(format!("{name} cannot be passed on: {error}"))
}

/// Who reads the keyboard while the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Input {
    Shell,
    Program,
}

/// What `spawn` is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Plan {
    image: String,
    arguments: Vec<String>,
    name: String,
    environment: Vec<(String, String)>,
    pass: Vec<String>,
    limits: Limits,
    input: Input,
}

impl Plan {
    fn parse(words: &[String]) -> Result<Plan, Failure> {
        let wrong = |problem: &str| Failure::misuse("spawn", problem);
        let options = [
            Opt::Value("--name"),
            Opt::Value("--env"),
            Opt::Value("--memory"),
            Opt::Value("--time"),
            Opt::Value("--pass"),
            Opt::Flag("--input"),
        ];
        let words = Arguments::parse(words, &options, Order::OptionsFirst).map_err(|problem| wrong(&problem))?;
        let (image, arguments) = words.rest.split_first().ok_or_else(|| wrong("the image is missing"))?;
        let mut environment = Vec::new();
        for variable in words.values("--env") {
            let (name, value) = variable
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| wrong(&format!("{} is no variable: NAME=VALUE", shown(variable))))?;
            environment.push((name.to_string(), value.to_string()));
        }
        let memory = match words.value("--memory") {
            Some(text) => bytes(text)
                .ok_or_else(|| wrong(&format!("{} is no memory size: a number, K, M or G after it", shown(text))))?,
            None => 0,
        };
        let processor_time = match words.value("--time") {
            Some(text) => {
                seconds(text).ok_or_else(|| wrong(&format!("{} is no time: seconds, such as 2 or 0.5", shown(text))))?
            }
            None => 0,
        };
        Ok(Plan {
            image: image.clone(),
            arguments: arguments.to_vec(),
            name: words.value("--name").unwrap_or_default().to_string(),
            environment,
            pass: words.values("--pass").map(ToString::to_string).collect(),
            limits: Limits { memory, kernel_memory: 0, processor_time, capabilities: 0, queued_messages: 0 },
            input: if words.flag("--input") { Input::Program } else { Input::Shell },
        })
    }
}

/// A number of bytes: digits, and K, M or G; more than none.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1 << 20),
            None => match text.strip_suffix(['G', 'g']) {
                Some(digits) => (digits, 1 << 30),
                None => (text, 1),
            },
        },
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// Seconds with at most nine digits after the point, in ns; more than none.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 9 || !part.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part).filter(|ns| *ns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn plan(words: &[&str]) -> Result<Plan, Failure> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Plan::parse(&words)
    }

    #[test]
    fn what_follows_the_image_is_the_programs() {
        let plan = plan(&["--time", "1.5", "--env", "A=b=c", "--memory=2M", "hello", "--time", "x"]).unwrap();
        assert_eq!(plan.image, "hello");
        assert_eq!(plan.arguments, ["--time", "x"]);
        assert_eq!(plan.environment, vec![("A".to_string(), "b=c".to_string())]);
        assert_eq!((plan.limits.processor_time, plan.limits.memory), (1_500_000_000, 2 << 20));
        assert_eq!(plan.input, Input::Shell);
    }

    #[test]
    fn wrong_options_are_named() {
        for (words, problem) in [
            (&[][..], "image is missing"),
            (&["--env", "A", "x"], "A is no variable"),
            (&["--env", "=b", "x"], "no variable"),
            (&["--memory", "much", "x"], "much is no memory size"),
            (&["--memory", "99999999999G", "x"], "no memory size"),
            (&["--time", "0", "x"], "0 is no time"),
            (&["--time", "1.x", "x"], "no time"),
            (&["--color", "x"], "no option --color"),
        ] {
            let failure = plan(words).expect_err(problem);
            assert!(failure.message.contains(problem), "{}", failure.message);
            assert_eq!(failure.status, crate::failure::MISUSED);
        }
    }
}
