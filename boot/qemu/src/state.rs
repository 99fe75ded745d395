//! The folder of a system: `log.img`, `disk.img`, `machine.key`. One machine has it at a time, be it in QEMU
//! or under `orbital`, whose disk and key are the same files.

use crate::problem::{Problem, status};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Size of a new log image and of a new disk in bytes. The files are sparse: they take what is written.
pub const SIZE: u64 = 64 << 20;
/// How long a folder is waited for that another machine has: one that was killed takes a moment to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The system's folder where none is named: beside those of `orbital`.
pub fn default_folder() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "orbital").map(|folders| folders.data_dir().join("qemu"))
}

/// A state folder that this process, and the machine that it starts, have to themselves.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Opens the folder, makes it if there is none, and locks it.
    pub fn open(folder: &Path) -> Result<State, Problem> {
        fs::create_dir_all(folder).map_err(|error| Problem::file(folder, &error))?;
        // QEMU wants to find it from wherever it runs.
        let folder = folder.canonicalize().map_err(|error| Problem::file(folder, &error))?;
        let path = folder.join("lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Problem::file(&path, &error))?;
        let deadline = Instant::now() + PATIENCE;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > deadline {
                return Err(Problem::new(
                    status::IN_USE,
                    format!("another machine is running in {}", folder.display()),
                    "end that one first, or start a second system with --state DIR",
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // The lock is QEMU's too: if this program is killed, the folder is free when QEMU is gone.
        fcntl_setfd(&lock, FdFlags::empty()).map_err(|error| Problem::file(&path, &error.into()))?;
        Ok(State { folder, _lock: lock })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log image.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log.img")
    }

    /// The disk.
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk.img")
    }

    /// The file of the machine's key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("machine.key")
    }

    /// The checkpoint of the log that `orbital` keeps, if the folder is shared with it.
    pub fn other_log(&self) -> PathBuf {
        self.folder.join("log/checkpoint")
    }

    /// Makes what a first start needs: the log image and the disk, empty, and the key. A log that has lost its key is
    /// told, not given another.
    pub fn prepare(&self) -> Result<(), Problem> {
        let had_log = is_written(&self.log())?;
        if had_log && !self.key().exists() {
            return Err(Problem::new(
                status::LOG,
                format!(
                    "{}: the machine's key is gone, and the log in {} goes on only with it",
                    self.key().display(),
                    self.log().display()
                ),
                "put the file back; or move log.img away, to begin a new log with a new key",
            ));
        }
        log_store::key::load_or_create(&self.key())?;
        for path in [self.log(), self.disk()] {
            make_sparse(&path, SIZE)?;
        }
        Ok(())
    }

    /// A folder for files that are of one run.
    pub fn run(&self) -> Result<PathBuf, Problem> {
        let folder = self.folder.join("run");
        fs::create_dir_all(&folder).map_err(|error| Problem::file(&folder, &error))?;
        Ok(folder)
    }
}

/// Whether the image has something in its first block.
fn is_written(path: &Path) -> Result<bool, Problem> {
    use std::io::Read;
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(|error| Problem::file(path, &error))?,
    };
    let mut block = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut block).map_err(|error| Problem::file(path, &error))?;
    Ok(block.iter().any(|&byte| byte != 0))
}

/// A file of `size` zero bytes, if there is none or it is empty.
fn make_sparse(path: &Path, size: u64) -> Result<(), Problem> {
    let make = || -> std::io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() == 0 {
            file.set_len(size)?;
            file.sync_all()?;
        }
        Ok(())
    };
    make().map_err(|error| Problem::file(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_makes_log_disk_and_key_and_the_next_leaves_them() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.prepare().unwrap();
        let key = fs::read(state.key()).unwrap();
        fs::write(state.log(), b"something").unwrap();
        state.prepare().unwrap();
        assert_eq!(fs::read(state.key()).unwrap(), key);
        assert_eq!(fs::read(state.log()).unwrap(), b"something");
        assert_eq!(fs::metadata(state.disk()).unwrap().len(), SIZE);
    }

    #[test]
    fn a_log_without_its_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.prepare().unwrap();
        fs::remove_file(state.key()).unwrap();
        // An empty log loses nothing by a new key.
        state.prepare().unwrap();
        fs::write(state.log(), b"something").unwrap();
        fs::remove_file(state.key()).unwrap();
        let problem = state.prepare().unwrap_err();
        assert_eq!(problem.status, status::LOG);
        assert!(problem.cause.contains("machine.key") && problem.next.contains("put the file back"), "{problem}");
        assert!(!state.key().exists());
    }

    #[test]
    fn a_folder_has_one_machine_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::open(folder.path()).unwrap();
        let problem = State::open(folder.path()).unwrap_err();
        assert_eq!(problem.status, status::IN_USE);
        drop(first);
        State::open(folder.path()).unwrap();
    }
}
