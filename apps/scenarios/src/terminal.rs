//! A program of this machine at a terminal: keys go in at one end of a pseudo-terminal, and what a person would see is
//! what a terminal emulator (`vt100`) makes of what comes out.

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const ROWS: u16 = 40;
const COLUMNS: u16 = 80;
const PROMPT: &str = "orbital>";
/// No answer takes so long that it is not a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gives up what is written, or what runs.
const CTRL_C: &str = "\x03";
/// Ends the session on an empty line.
const CTRL_D: &str = "\x04";
/// The arrow to the left.
const LEFT: &str = "\x1b[D";
/// The arrow upwards.
const UP: &str = "\x1b[A";

/// A person's end of a terminal, with the shell of a program at the other.
pub struct Terminal {
    program: Child,
    keys: File,
    /// What the program writes, as it comes.
    output: Receiver<Vec<u8>>,
    emulator: vt100::Parser,
    /// The other end, kept open to look at its modes.
    line: OwnedFd,
}

impl Terminal {
    /// Starts a program, up to the shell's first prompt. What it reports to the standard error is not shown.
    pub fn open(mut command: Command) -> Terminal {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let line = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, size).unwrap();

        let end = || line.try_clone().unwrap();
        let program = command.stdin(end()).stdout(end()).stderr(Stdio::null()).spawn().unwrap();

        let mut reading = File::from(person.try_clone().unwrap());
        let (send, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reading.read(&mut bytes) {
                if send.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let emulator = vt100::Parser::new(ROWS.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0);
        let mut terminal = Terminal { program, keys: File::from(person), output, emulator, line };
        terminal.until("the first prompt", |screen| screen.ends_with(PROMPT));
        terminal
    }

    /// The lines that are on the screen, without blanks at the ends.
    pub fn screen(&self) -> String {
        let contents = self.emulator.screen().contents();
        let lines: Vec<&str> = contents.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    /// Waits until the screen is as it should be.
    ///
    /// # Panics
    /// If it does not come to be so.
    #[track_caller]
    pub fn until(&mut self, what: &str, reached: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached(&self.screen()) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.emulator.process(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("waited for {what}; on the screen:\n{}", self.screen())
                }
            }
        }
    }

    /// Types these keys.
    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Types these keys, and waits until the screen ends with these lines and the next prompt.
    ///
    /// # Panics
    /// If that does not come.
    #[track_caller]
    pub fn answers(&mut self, keys: &str, lines: &str) {
        self.types(keys);
        let end = format!("{lines}\n{PROMPT}");
        self.until(&end, |screen| screen.ends_with(&end));
    }

    /// Whether the terminal echoes and gives whole lines.
    pub fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end; the exit status.
    ///
    /// # Panics
    /// If the terminal is not as it was before.
    pub fn end(mut self) -> Option<i32> {
        let status = self.program.wait().unwrap();
        assert!(self.is_as_it_was(), "the terminal is put back");
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that ended well has nothing to kill.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What a person does at any host's terminal: a line is edited, found again, given up, and the session ends.
///
/// # Panics
/// If something else is to be seen than must be.
pub fn edit_and_leave(mut terminal: Terminal) {
    assert!(!terminal.is_as_it_was(), "keys are read as they come");
    terminal.answers(&format!("echo helo{LEFT}{LEFT}l\r"), "orbital> echo hello\nhello");
    terminal.answers("put /f kept\r", "orbital> put /f kept");
    terminal.answers(&format!("{UP}{UP}\r"), "orbital> echo hello\nhello");
    terminal.answers("cat /f\r", "orbital> cat /f\nkept");
    // The line that is given up stays on the screen, and is not carried out.
    terminal.answers(&format!("put /f lost{CTRL_C}"), "orbital> put /f lost^C");
    terminal.answers("cat /f\r", "orbital> cat /f\nkept");
    terminal.types(CTRL_D);
    assert_eq!(terminal.end(), Some(0));
}

/// As [`edit_and_leave`]: Ctrl-C ends the wait for a service, and not the session.
///
/// # Panics
/// If something else is to be seen than must be.
pub fn interrupt_a_wait(mut terminal: Terminal) {
    terminal.answers("put /f here\r", "orbital> put /f here");
    // Each end makes the pause before the next start twice as long.
    for _ in 0..4 {
        terminal.answers("kill storage; cat /f\r", "orbital> kill storage; cat /f\nhere");
    }
    terminal.answers(
        &format!("kill storage; cat /f\r{CTRL_C}"),
        "^C\ncat: storage is backing off; `services storage` shows how it goes on",
    );
    terminal.answers("echo $?\r", "137");
    terminal.answers("cat /f\r", "orbital> cat /f\nhere");
    terminal.answers("stop storage; cat /f\r", "cat: /f: the storage service is stopped; `start storage` starts it");
    terminal.types("exit 3\r");
    assert_eq!(terminal.end(), Some(3));
}
