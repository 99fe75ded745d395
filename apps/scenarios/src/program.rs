//! A host that is a program of this machine: `orbital`, or a script that starts QEMU.

use crate::play::{Ended, Host};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How to run the system as a program: once to boot, other words for its own commands.
pub struct Program {
    program: PathBuf,
    /// Words before those of a session.
    boot: Vec<OsString>,
    /// Words before those of a command of the host.
    command: Vec<OsString>,
    patience: Duration,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    /// Read and not yet asked for.
    pending: Vec<u8>,
}

impl Program {
    /// `program BOOT... ARGUMENTS` boots; `program COMMAND... ARGUMENTS` is a command of the
    /// host. `patience` is how long any one answer may take.
    pub fn new<W: Into<OsString>>(
        program: impl Into<PathBuf>,
        boot: impl IntoIterator<Item = W>,
        command: impl IntoIterator<Item = W>,
        patience: Duration,
    ) -> Program {
        Program {
            program: program.into(),
            boot: boot.into_iter().map(Into::into).collect(),
            command: command.into_iter().map(Into::into).collect(),
            patience,
            running: None,
        }
    }

    fn running(&mut self) -> Result<&mut Running, String> {
        self.running.as_mut().ok_or_else(|| "no session runs".to_string())
    }
}

impl Host for Program {
    fn boot(&mut self, arguments: &[String]) -> Result<(), String> {
        if self.running.is_some() {
            return Err("a session runs already".into());
        }
        let mut child = Command::new(&self.program)
            .args(&self.boot)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", self.program.display()))?;
        let output = child.stdout.take().map(follow).ok_or("the program has no output")?;
        let errors = child.stderr.take().map(follow).ok_or("the program has no error output")?;
        let input = child.stdin.take();
        self.running = Some(Running { child, input, output, errors, pending: Vec::new() });
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        let running = self.running()?;
        let input = running.input.as_mut().ok_or("the input has ended")?;
        input
            .write_all(text.as_bytes())
            .and_then(|()| input.flush())
            .map_err(|error| format!("the session takes no input: {error}\n{}", running.errors_so_far()))
    }

    fn read_until(&mut self, end: &str) -> Result<String, String> {
        let deadline = Instant::now() + self.patience;
        let patience = self.patience;
        let running = self.running()?;
        loop {
            if let Some(at) = find(&running.pending, end.as_bytes()) {
                let taken: Vec<u8> = running.pending.drain(..at + end.len()).collect();
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            let why = match running.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    running.pending.extend(bytes);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => format!("nothing more came in {patience:?}"),
                Err(RecvTimeoutError::Disconnected) => "the system ended".to_string(),
            };
            let came = String::from_utf8_lossy(&running.pending).into_owned();
            return Err(format!("{why}; until then:\n{came}{}", running.errors_so_far()));
        }
    }

    fn leave(&mut self) -> Result<Ended, String> {
        let deadline = Instant::now() + self.patience;
        let mut running = self.running.take().ok_or("no session runs")?;
        drop(running.input.take());
        let mut output = std::mem::take(&mut running.pending);
        loop {
            match running.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => output.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let errors = running.errors_so_far();
                    running.end();
                    let came = String::from_utf8_lossy(&output).into_owned();
                    return Err(format!("it did not go down in {:?}; until then:\n{came}{errors}", self.patience));
                }
            }
        }
        let status = running.child.wait().map_err(|error| error.to_string())?;
        let output = String::from_utf8_lossy(&output).into_owned();
        match status.code() {
            Some(code) => Ok(Ended { output, status: code as u64 }),
            None => Err(format!("it ended by a signal ({status}):\n{output}{}", running.errors_so_far())),
        }
    }

    fn kill(&mut self) -> Result<(), String> {
        self.running.take().ok_or("no session runs")?.end();
        Ok(())
    }

    fn command(&mut self, arguments: &[String]) -> Result<Ended, String> {
        let output = Command::new(&self.program)
            .args(&self.command)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{} does not start: {error}", self.program.display()))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let status = output.status.code().ok_or_else(|| format!("it ended by a signal:\n{text}"))?;
        Ok(Ended { output: text, status: status as u64 })
    }
}

impl Running {
    fn errors_so_far(&self) -> String {
        let bytes: Vec<u8> = self.errors.try_iter().flatten().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn end(mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len().max(1)).position(|window| window == wanted)
}

/// What comes out of `from`, as it comes.
fn follow(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::{Scenario, play};

    fn shell(patience: Duration) -> Program {
        Program::new("/bin/sh", ["-s"], ["-c"], patience)
    }

    #[test]
    fn a_program_is_spoken_to_line_by_line() {
        let scenario = Scenario::parse(
            "The shell of this machine\n  $ echo one; echo two\n  one\n  two\n  $ printf x; false\n  x\n  [1]\n  $ exit 4\n  [4]\n  @host 'echo out; exit 3'\n  out\n  [3]\n",
        )
        .unwrap();
        play(&scenario, &mut shell(Duration::from_secs(20))).unwrap();
    }

    #[test]
    fn silence_and_sudden_ends_are_errors_and_not_waits() {
        let mut host = shell(Duration::from_millis(200));
        host.boot(&[]).unwrap();
        assert!(host.boot(&[]).unwrap_err().contains("already"));
        let error = host.read_until("x").unwrap_err();
        assert!(error.contains("nothing more came"), "{error}");
        host.write("echo before; kill -9 $$\n").unwrap();
        let error = host.read_until("x").unwrap_err();
        assert!(error.contains("ended") && error.contains("before"), "{error}");
        assert!(host.leave().unwrap_err().contains("signal"));
        assert!(host.leave().unwrap_err().contains("no session"));
    }
}
