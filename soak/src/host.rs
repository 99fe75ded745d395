//! The host under test: `orbital` on one folder.

use crate::Failure;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a session is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// `exit` in the shell.
    Exit,
    /// Ctrl-C.
    Interrupt,
    /// SIGKILL, whatever it is doing.
    Kill,
}

/// How long an end in order, or a command, may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// `orbital`, and the folder of its system.
pub struct Host {
    orbital: PathBuf,
    state: PathBuf,
}

impl Host {
    /// On the system in `state`, which need not be there yet.
    pub fn new(orbital: &Path, state: PathBuf) -> Host {
        Host { orbital: orbital.into(), state }
    }

    fn at<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(&self.orbital);
        // Ctrl-C at this program's terminal is for this program alone.
        command.arg("--state").arg(&self.state).args(arguments).process_group(0);
        command
    }

    /// Runs a command that must succeed; what it prints.
    pub fn command(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.at(arguments).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            return Err(format!("`orbital {}`: {}\n{said}{errors}", arguments.join(" "), output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How many records the log has.
    pub fn records(&self) -> Result<u64, Failure> {
        let verified: serde_json::Value = serde_json::from_str(&self.command(&["--output", "json", "log", "verify"])?)?;
        Ok(verified["records"].as_u64().ok_or("`log verify` names no number of records")?)
    }

    /// A shell that reads its commands from a pipe.
    pub fn shell(&self) -> Result<Child, Failure> {
        Ok(self.at(&["run"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
    }

    /// Runs a program as the session, and interrupts it if it has not ended by then. In words, how it ended.
    pub fn session(&self, file: &Path, after: Duration) -> Result<String, Failure> {
        let arguments = [OsStr::new("run"), file.as_os_str()];
        let mut child = self.at(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let began = Instant::now();
        while began.elapsed() < after {
            if let Some(status) = child.try_wait()? {
                return Ok(format!("ended by itself, {status}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(&child, "INT")?;
        Ok(format!("interrupted, {}", wait(&mut child)?))
    }
}

/// Sends a signal.
pub fn signal(child: &Child, name: &str) -> Result<(), Failure> {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status()?;
    if sent.success() { Ok(()) } else { Err(format!("SIG{name} cannot be sent").into()) }
}

/// Waits for an end, which must come.
pub fn wait(child: &mut Child) -> Result<std::process::ExitStatus, Failure> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    Err(format!("the host did not end within {} s", PATIENCE.as_secs()).into())
}

/// Resident memory of a process in KiB.
pub fn memory(child: &Child) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the host has ended by itself")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
