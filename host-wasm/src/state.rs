//! The folder that a system lives in: `disk.img`, `log/`, `machine.key`, `cache/`. One
//! instance has it at a time.

use crate::problem::{Problem, status};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Size of a new disk in bytes. The file is sparse: it takes what is written.
pub const DISK_SIZE: u64 = 64 << 20;

/// The platform's data folder for the system of this name.
pub fn default_folder(name: &str) -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "orbital").map(|folders| folders.data_dir().join(name))
}

/// A state folder that this process has to itself until it drops this.
pub struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Opens the folder, makes it if there is none, and locks it.
    pub fn open(folder: &Path) -> Result<State, Problem> {
        let path = |name: &str| folder.join(name);
        fs::create_dir_all(folder).map_err(|error| Problem::file(folder, &error))?;
        let lock_path = path("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|error| Problem::file(&lock_path, &error))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // Who it is is only said if the file says so.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
            return Err(Problem::new(
                status::IN_USE,
                format!("another orbital{holder} is running in {}", folder.display()),
                "end that one first, or start a second system with --state DIR",
            ));
        }
        // The number is for people; a file that cannot be written still locks.
        let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| write!(lock, "{}", std::process::id()));
        Ok(State { folder: folder.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of compiled components.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// The folder of the log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The file of the machine's key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("machine.key")
    }

    /// The disk; a new one is made, zeroed.
    pub fn disk(&self) -> Result<File, Problem> {
        let path = self.folder.join("disk.img");
        let problem = |error: std::io::Error| Problem::file(&path, &error);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(problem)?;
        if file.metadata().map_err(problem)?.len() == 0 {
            file.set_len(DISK_SIZE).map_err(problem)?;
            file.sync_all().map_err(problem)?;
            // The file's name must be durable before what is in it can be.
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(problem)?;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::open(folder.path()).unwrap();
        let Err(problem) = State::open(folder.path()) else { panic!("two instances in one folder") };
        assert_eq!(problem.status, status::IN_USE);
        assert!(problem.cause.contains(&std::process::id().to_string()), "{problem}");
        drop(first);
        assert!(State::open(folder.path()).is_ok());
    }

    #[test]
    fn the_disk_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let mut disk = state.disk().unwrap();
        assert_eq!(disk.metadata().unwrap().len(), DISK_SIZE);
        disk.write_all(b"kept").unwrap();
        let mut kept = [0; 4];
        state.disk().unwrap().read_exact(&mut kept).unwrap();
        assert_eq!(&kept, b"kept");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_problem_with_a_next_step() {
        let folder = tempfile::NamedTempFile::new().unwrap();
        let Err(problem) = State::open(&folder.path().join("within")) else { panic!("a folder within a file") };
        assert_eq!(problem.status, status::IO);
        assert!(!problem.next.is_empty());
    }
}
