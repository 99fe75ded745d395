//! The load: commands to a shell, of which a few are always under way. Most are puts and transactions, each with a number
//! that it echoes when it was acknowledged; between them programs are started, services killed, storage upgraded, and
//! things asked for that must be refused.

use crate::Failure;
use crate::host::{self, Ending, Host};
use crate::progress::Progress;
use crate::transactions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Files that are written in turn.
const FILES: u64 = 24;
/// Commands that are under way.
const WINDOW: u64 = 6;
/// The longest text of a put, in bytes.
const LONGEST: u64 = 3000;
/// Services that are killed in one round: one that fails more often in a minute is not started again.
const SERVICE_KILLS: u64 = 4;
/// Processes that run as long as the machine does.
const OF_THE_SYSTEM: usize = 4;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host under load.
pub struct Load {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    sent: u64,
    done: u64,
    first_put: u64,
    first_transaction: u64,
    puts: u64,
    transactions: u64,
    services_killed: u64,
}

impl Load {
    /// Boots.
    pub fn start(host: &Host, progress: &mut Progress) -> Result<Load, Failure> {
        let mut child = host.shell()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().ok_or("the host has no output")?);
        let (said, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        let mut load = Load {
            child,
            input,
            lines,
            sent: 0,
            done: 0,
            first_put: progress.sent,
            first_transaction: progress.transactions_begun,
            puts: 0,
            transactions: 0,
            services_killed: 0,
        };
        load.send("mkdir -p /load /scratch")?;
        Ok(load)
    }

    /// A command; when it is done, however it ended, a line says so.
    fn send(&mut self, command: &str) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("the host has no input")?;
        input.write_all(format!("{command}\necho '#'\n").as_bytes())?;
        input.flush()?;
        self.sent += 1;
        Ok(())
    }

    /// Loads it for so long, and lets what was sent come to its end; then, the memory of the host in KiB.
    pub fn run(&mut self, lasts: Duration, progress: &mut Progress) -> Result<u64, Failure> {
        let began = Instant::now();
        while began.elapsed() < lasts {
            self.fill(progress)?;
            self.hear(progress)?;
        }
        while self.done < self.sent {
            self.hear(progress)?;
        }
        host::memory(&self.child)
    }

    /// As many commands as there may be under way.
    fn fill(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        while self.sent - self.done < WINDOW {
            let command = self.command(progress);
            self.send(&command)?;
        }
        Ok(())
    }

    fn hear(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => self.line(&line, progress),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("the shell said nothing for {} s", PATIENCE.as_secs()).into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the host ended by itself".into()),
        }
        Ok(())
    }

    fn line(&mut self, line: &str, progress: &mut Progress) {
        if line == "#" {
            self.done += 1;
        } else if let Some(number) = line.strip_prefix('@').and_then(|number| number.parse::<u64>().ok()) {
            let last = progress.acknowledged.entry(number % FILES).or_insert(0);
            *last = number.max(*last);
            progress.puts += 1;
            self.puts += 1;
        } else if let Some(number) = line.strip_prefix('%').and_then(|number| number.parse::<u64>().ok()) {
            let last = progress.transactions_acknowledged.entry(number % transactions::GROUPS).or_insert(0);
            *last = number.max(*last);
            progress.transactions += 1;
            self.transactions += 1;
        } else if line == "upgraded" {
            progress.upgrades += 1;
        }
    }

    /// The next command.
    fn command(&mut self, progress: &mut Progress) -> String {
        let scratch = progress.random() % 5;
        match progress.random() % 100 {
            number @ 0..=3 if self.services_killed < SERVICE_KILLS => {
                progress.services_killed += 1;
                self.services_killed += 1;
                if number == 3 { "kill process" } else { "kill storage" }.into()
            }
            4..=12 => {
                let count = 1 + progress.random() % 8;
                progress.spawned += count;
                format!("{} wait", "spawn hello & ".repeat(count as usize))
            }
            // Another shell writes at the same time, where nobody looks.
            13..=16 => {
                progress.spawned += 1;
                let loops = format!("put /scratch/{scratch} other; append /scratch/{scratch} more; ").repeat(5);
                format!("spawn --name other --pass storage shell -c '{loops}' &")
            }
            17..=18 => {
                progress.spawned += 1;
                "put /scratch/garbage 'not a program'; spawn /scratch/garbage".into()
            }
            19..=20 => {
                progress.spawned += 1;
                "spawn --memory 64K --time 1 notes list".into()
            }
            21..=25 => format!("append /scratch/{scratch} more; mv /scratch/{scratch} /scratch/moved"),
            26..=28 => "rm -r /scratch; mkdir -p /scratch".into(),
            29..=32 => format!("cat /load/{}; ls /load; stat /load/1", scratch),
            33..=34 => "ps; services; caps storage; log -n 3".into(),
            35..=36 => "upgrade storage && echo upgraded".into(),
            37..=48 => {
                progress.transactions_begun += 1;
                let number = progress.transactions_begun;
                format!("{} && echo %{number}", transactions::command(number))
            }
            _ => {
                progress.sent += 1;
                let number = progress.sent;
                format!("put /load/{} {} && echo @{number}", number % FILES, text_of(number))
            }
        }
    }

    /// Ends it; in words, what it did. A kill comes while commands are under way.
    pub fn end(mut self, ending: Ending, progress: &mut Progress) -> Result<String, Failure> {
        let how = match ending {
            Ending::Exit | Ending::Interrupt => {
                self.is_quiet(progress)?;
                if ending == Ending::Exit {
                    self.send("exit 0")?;
                } else {
                    host::signal(&self.child, "INT")?;
                }
                let status = host::wait(&mut self.child)?;
                let expected = if ending == Ending::Exit { 0 } else { 130 };
                if status.code() != Some(expected) {
                    return Err(format!("{ending:?}: the host ended with {status}, not {expected}").into());
                }
                format!("{ending:?}").to_lowercase()
            }
            Ending::Kill => {
                // Commands are under way up to the last moment.
                let at = Instant::now() + Duration::from_micros(progress.random() % 300_000);
                while Instant::now() < at {
                    self.fill(progress)?;
                    if let Ok(line) = self.lines.recv_timeout(at.saturating_duration_since(Instant::now())) {
                        self.line(&line, progress);
                    }
                }
                self.child.kill()?;
                self.child.wait()?;
                progress.host_kills += 1;
                "kill -9".into()
            }
        };
        // What it had still said counts: it was acknowledged.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.line(&line, progress);
        }
        let puts = progress.sent - self.first_put;
        let transactions = progress.transactions_begun - self.first_transaction;
        Ok(format!(
            "{how} after {} commands, {} of {puts} puts and {} of {transactions} transactions acknowledged",
            self.done, self.puts, self.transactions
        ))
    }

    /// When all who were started have ended, four processes are left: init, both services, the shell. Those whose
    /// service was killed end by themselves, a little later.
    fn is_quiet(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        self.send("wait")?;
        let began = Instant::now();
        loop {
            self.send("ps")?;
            let mut left = Vec::new();
            while self.done < self.sent {
                let line = self.lines.recv_timeout(PATIENCE).map_err(|_| "the shell says nothing any more")?;
                if line.trim_start().starts_with(|first: char| first.is_ascii_digit()) {
                    left.push(line.clone());
                }
                self.line(&line, progress);
            }
            if left.len() == OF_THE_SYSTEM {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("somebody is left who should have ended:\n{}", left.join("\n")).into());
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Only where something went wrong is it still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of the put with this number: it names itself, and its length differs from the next one's.
pub fn text_of(number: u64) -> String {
    let length = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % LONGEST;
    let mut text = format!("{number}.");
    let mut letter = number;
    while (text.len() as u64) < length {
        letter = letter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b'a' + (letter >> 33) as u8 % 26));
    }
    text
}
