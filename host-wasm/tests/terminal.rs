//! The shell at a real terminal: `orbital` runs on a pseudo-terminal of this machine, keys go in at
//! the other end, and what a person would see is what a terminal emulator (`vt100`) makes
//! of what comes out.

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const ROWS: u16 = 40;
const COLUMNS: u16 = 80;
const PROMPT: &str = "orbital>";
/// No answer takes so long that it is not a failure.
const PATIENCE: Duration = Duration::from_secs(120);

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const LEFT: &str = "\x1b[D";
const UP: &str = "\x1b[A";

/// A person's end of a terminal, with `orbital` at the other.
struct Terminal {
    orbital: Child,
    keys: File,
    /// What `orbital` writes, as it comes.
    output: Receiver<Vec<u8>>,
    emulator: vt100::Parser,
    /// The other end, kept open to look at its modes.
    line: OwnedFd,
    _state: tempfile::TempDir,
}

impl Terminal {
    /// A new system, up to its first prompt.
    fn open() -> Terminal {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let line = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, size).unwrap();

        let state = tempfile::tempdir().unwrap();
        // What is compiled is shared by all tests.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::os::unix::fs::symlink(cache, state.path().join("cache")).unwrap();
        let end = || line.try_clone().unwrap();
        let orbital = Command::new(env!("CARGO_BIN_EXE_orbital"))
            .arg("--state")
            .arg(state.path())
            .env_remove("ORBITAL_STATE")
            .stdin(end())
            .stdout(end())
            // What init reports goes elsewhere, so that the screen is the shell's alone.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();

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
        let keys = File::from(person);
        let mut terminal = Terminal { orbital, keys, output, emulator, line, _state: state };
        terminal.until("the first prompt", |screen| screen.ends_with(PROMPT));
        terminal
    }

    /// The lines that are on the screen, without blanks at the ends.
    fn screen(&self) -> String {
        let contents = self.emulator.screen().contents();
        let lines: Vec<&str> = contents.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn until(&mut self, what: &str, reached: impl Fn(&str) -> bool) {
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

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Types these keys, and waits until the screen ends with these lines and the next prompt.
    #[track_caller]
    fn answers(&mut self, keys: &str, lines: &str) {
        self.types(keys);
        let end = format!("{lines}\n{PROMPT}");
        self.until(&end, |screen| screen.ends_with(&end));
    }

    /// Whether the terminal echoes and gives whole lines.
    fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end; the exit status.
    fn end(mut self) -> Option<i32> {
        let status = self.orbital.wait().unwrap();
        assert!(self.is_as_it_was(), "the terminal is put back");
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that ended well has nothing to kill.
        let _ = self.orbital.kill();
        let _ = self.orbital.wait();
    }
}

#[test]
fn a_line_is_edited_found_again_given_up_and_the_session_ends() {
    let mut terminal = Terminal::open();
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

#[test]
fn ctrl_c_ends_the_wait_for_a_service_and_not_the_session() {
    let mut terminal = Terminal::open();
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
