//! Power cuts: QEMU is killed at random instants while the session writes. After each, every put that was
//! acknowledged is there, nothing half-written is read, of each transaction there is everything or nothing, and the log is
//! whole up to where the cut tore it.

use crate::build::Product;
use crate::console::{Ready, follow, gather};
use crate::machine::{End, Machine};
use crate::problem::{Problem, status};
use crate::state::State;
use log_store::image::Image;
use scenario::transactions::Transactions;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

/// Files that are written in turn.
const FILES: u64 = 24;
/// Of so many commands one is a transaction, the others are puts.
const ONE_IN: u64 = 7;
/// Commands that are under way: more would only fill the pipe.
const WINDOW: u64 = 6;
/// The longest text of a file, in bytes.
const LONGEST: u64 = 3000;
/// The power is cut at most so long after the first acknowledged put, in ms.
const LATEST_CUT: u64 = 1500;
/// How long a boot may take, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A system under a write load.
pub struct Load<'a> {
    machine: Machine,
    state: &'a State,
    random: u64,
    /// The next number to be written; each put has one.
    next: u64,
    /// Of each file, the last number that was acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    transactions: Transactions,
    /// Records that the log had, when it was looked at last.
    records: u64,
}

/// What one round saw.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    acknowledged: u64,
    after: Duration,
    records: u64,
    torn: bool,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { acknowledged, after, records, torn } = self;
        let end = if *torn { "a torn end" } else { "no torn end" };
        write!(
            f,
            "cut {} ms after the first put, {acknowledged} acknowledged; {records} records, {end}",
            after.as_millis()
        )
    }
}

impl<'a> Load<'a> {
    /// On a system that has nothing else in it, but perhaps what such a load left.
    pub fn new(product: &Product, state: &'a State, seed: u64) -> Result<Load<'a>, Problem> {
        state.prepare()?;
        let mut load = Load {
            machine: Machine::new(product, state)?,
            state,
            random: seed,
            next: 1,
            acknowledged: BTreeMap::new(),
            transactions: Transactions::default(),
            records: 0,
        };
        // An earlier load may have left notes, whose numbers come again.
        let left = load.boot("mkdir -p /load; notes list")?;
        let left: Vec<&str> = left.lines().filter_map(|line| Some(line.split_once("  ")?.0)).collect();
        let removals: Vec<String> = left.chunks(100).map(|notes| format!("notes rm {}", notes.join(" "))).collect();
        if !removals.is_empty() {
            load.boot(&removals.join("; "))?;
        }
        load.records = load.look_at_log()?.0;
        Ok(load)
    }

    /// SplitMix64, as Vigna gives it.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Boots, writes, is cut off, looks at the log, boots and looks at the files.
    pub fn round(&mut self) -> Result<Seen, Problem> {
        let seen = self.cut()?;
        self.look_at_files()?;
        let (records, torn) = self.look_at_log()?;
        if torn {
            return Err(defect("the log is torn after a run that ended in order".into()));
        }
        self.records = records;
        Ok(seen)
    }

    /// Boots, writes, is cut off, looks at the log.
    pub fn cut(&mut self) -> Result<Seen, Problem> {
        self.make_room()?;
        let after = Duration::from_micros(self.random() % (LATEST_CUT * 1000));
        let acknowledged = self.write_until_cut(after)?;
        let before = self.records;
        let (records, torn) = self.look_at_log()?;
        if records < before {
            return Err(defect(format!("the log had {before} records, and after the cut {records}")));
        }
        Ok(Seen { acknowledged, after, records, torn })
    }

    /// Many rounds fill a log: it is made larger in time.
    fn make_room(&self) -> Result<(), Problem> {
        let path = self.state.log();
        let file = OpenOptions::new().write(true).open(&path).map_err(|error| Problem::file(&path, &error))?;
        let size = file.metadata().map_err(|error| Problem::file(&path, &error))?;
        // In blocks of 512 bytes; the file is sparse.
        if size.blocks() * 512 > size.len() / 2 {
            file.set_len(size.len() * 2).map_err(|error| Problem::file(&path, &error))?;
        }
        Ok(())
    }

    /// At the end: all is there once more.
    pub fn finish(&mut self) -> Result<String, Problem> {
        self.look_at_files()?;
        let (records, _) = self.look_at_log()?;
        Ok(format!(
            "{} puts and transactions were under way; every acknowledged one is there, none by half; {records} records, all good",
            self.next - 1
        ))
    }

    fn write_until_cut(&mut self, after: Duration) -> Result<u64, Problem> {
        let mut running = self.machine.start()?;
        let (Some(mut input), Some(output), Some(messages)) =
            (running.input.take(), running.output.take(), running.messages.take())
        else {
            return Err(defect("QEMU has no pipes".into()));
        };
        let ready = Ready::default();
        let messages = {
            let ready = ready.clone();
            thread::spawn(move || {
                let mut text = Vec::new();
                follow(messages, &ready, |bytes| text.extend_from_slice(bytes));
                String::from_utf8_lossy(&text).into_owned()
            })
        };
        ready.wait();
        let mut output = BufReader::new(output);
        let (mut sent, first) = (self.next, self.next);
        let mut count = 0;
        // What is there is removed, at some time.
        let remove_at = first + self.random() % (4 * WINDOW);
        let mut removal = self.transactions.remove();
        let mut problem = None;
        // QEMU is handed to the one that cuts when there is something to lose.
        let mut running = Some(running);
        let mut cutter = None;
        loop {
            while sent < self.next.max(first) + WINDOW && sent - (first + count) < WINDOW {
                let mut command = match removal.take_if(|_| sent >= remove_at) {
                    Some(removal) => format!("{removal} && echo removed\n"),
                    None => String::new(),
                };
                let work = if sent % ONE_IN == 0 {
                    self.transactions.begin(sent)
                } else {
                    format!("put /load/{} {}", sent % FILES, text_of(sent))
                };
                command.push_str(&format!("{work} && echo @{sent}\n"));
                // Behind the cut there is nobody to write to.
                if input.write_all(command.as_bytes()).and_then(|()| input.flush()).is_err() {
                    break;
                }
                sent += 1;
            }
            self.next = self.next.max(sent);
            let mut line = String::new();
            // A line that has no end was cut off with the power.
            if !output.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                break;
            }
            if line.starts_with("kept as note ") {
                continue;
            }
            if line.trim_end() == "removed" {
                self.transactions.acknowledge_removal();
                continue;
            }
            let Some(number) = line.trim_end().strip_prefix('@').and_then(|number| number.parse::<u64>().ok()) else {
                problem = Some(format!("the session said: {line}"));
                break;
            };
            if number % ONE_IN == 0 {
                self.transactions.acknowledge(number);
            } else {
                self.acknowledged.insert(number % FILES, number);
            }
            count += 1;
            if let Some(mut machine) = running.take() {
                cutter = Some(thread::spawn(move || {
                    thread::sleep(after);
                    machine.kill();
                }));
            }
        }
        self.next = self.next.max(sent);
        drop(input);
        if let Some(mut machine) = running.take() {
            machine.kill();
        }
        let cut = cutter.map(thread::JoinHandle::join).is_some();
        // What is left of it is read, so that its pipe is closed.
        let _ = std::io::copy(&mut output, &mut std::io::sink());
        let said = messages.join().unwrap_or_default();
        match problem {
            None if cut => Ok(count),
            problem => Err(defect(format!(
                "{}; the kernel said:\n{said}",
                problem.unwrap_or_else(|| "the machine ended before the power was cut".into())
            ))),
        }
    }

    /// Boots with a script, which must end well. Gives its output.
    fn boot(&self, script: &str) -> Result<String, Problem> {
        let came = gather(&self.machine.clone().script(script), "", PATIENCE)?;
        if came.end == Some(End::Off(0)) {
            return Ok(came.output);
        }
        Err(defect(format!("`{script}` ended with {:?}\n{}\n{}", came.end, came.output, came.messages)))
    }

    /// Every file has a text that was sent, whole, and none older than the last that was acknowledged; and no transaction is
    /// there by half.
    pub fn look_at_files(&mut self) -> Result<(), Problem> {
        let script: Vec<String> =
            self.acknowledged.keys().map(|file| format!("echo -n \"{file} \"; cat /load/{file}")).collect();
        // A file that is not there is told below, with what is known of it.
        let output = self.boot(&format!("{}; echo; notes list", script.join("; ")))?;
        let mut lines = output.lines();
        for (&file, &acknowledged) in &self.acknowledged {
            let line = lines.next().unwrap_or_default().trim_end();
            let text = line.strip_prefix(&format!("{file} ")).unwrap_or_default();
            let number = text.split('.').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
            if number < acknowledged || number >= self.next || number % FILES != file || text != text_of(number) {
                return Err(defect(format!(
                    "/load/{file}: put {acknowledged} was acknowledged; what is there is: {line}"
                )));
            }
        }
        let notes = lines.map(str::trim_end).filter(|line| !line.is_empty());
        self.transactions.look(notes).map_err(defect)
    }

    /// How many records the log has; and whether something lies behind its last whole block, as a cut leaves it.
    fn look_at_log(&self) -> Result<(u64, bool), Problem> {
        let key = log_store::key::load(&self.state.key())?.ok_or_else(|| defect("the key is gone".into()))?;
        let verified = log_store::verify::verify(&Image::open(&self.state.log())?, &key.of_bare_machine().verifier())?;
        Ok((verified.head.records, verified.torn.is_some()))
    }
}

/// The text of the put with this number: it names itself, and its length differs from the next one's.
fn text_of(number: u64) -> String {
    let length = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % LONGEST;
    let mut text = format!("{number}.");
    let mut letter = number;
    while (text.len() as u64) < length {
        letter = letter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(b'a' + (letter >> 33) as u8 % 26));
    }
    text
}

fn defect(what: String) -> Problem {
    Problem::new(status::STOPPED, what, "this is a defect of Orbital; the seed makes the same load again")
}
