//! The folder that a system lives in: `disk.img`, `log/`, `machine.key`, `cache/`. One
//! instance has it at a time.
//!
//! At the first start they are made in this order: an empty disk, the key, the log's first
//! blocks; only then does anything of the system run. So a folder that has one of them without
//! what came before it has lost something, and that is told, not taken for a new system.

use crate::problem::{Problem, status};
use crate::witness::WITNESSED;
use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use storage_engine::layout::{SUPERBLOCKS, disk_name};

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

/// Keeps every system out of a folder that is read, until it is dropped.
pub enum Reading {
    /// As a system would.
    Alone(State),
    /// The folder cannot be written: beside others who read. Where no system ever ran there is no lock to take.
    Shared(Option<File>),
}

impl State {
    /// Opens the folder, makes it if there is none, and locks it.
    pub fn open(folder: &Path) -> Result<State, Problem> {
        fs::create_dir_all(folder).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Problem::new(
                status::IO,
                format!("{}: there is something that is no folder", folder.display()),
                "choose another folder with --state DIR",
            ),
            _ => Problem::file(folder, &error),
        })?;
        let path = lock_of(folder);
        let mut lock = lock_to_write(&path).map_err(|error| Problem::file(&path, &error))?;
        take(&mut lock, folder, FlockOperation::NonBlockingLockExclusive)?;
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

    /// The log of the bare machine, if the folder is shared with one.
    pub fn bare_log(&self) -> PathBuf {
        self.folder.join("log.img")
    }

    /// The folder of captured messages.
    pub fn captures(&self) -> PathBuf {
        self.folder.join(crate::cli::capture::CAPTURES)
    }

    /// The file of the machine's key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("machine.key")
    }

    /// The disk; a new one is made, zeroed. One that cannot be written is opened to be read.
    pub fn disk(&self) -> Result<File, Problem> {
        let path = disk(&self.folder);
        let problem = |error: std::io::Error| Problem::file(&path, &error);
        let file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
            Err(error) if refuses_writes(&error) && fs::metadata(&path).is_ok_and(|disk| disk.len() > 0) => {
                return File::open(&path).map_err(problem);
            }
            file => file.map_err(problem)?,
        };
        if file.metadata().map_err(problem)?.len() == 0 {
            file.set_len(DISK_SIZE).map_err(problem)?;
            file.sync_all().map_err(problem)?;
            // The file's name must be durable before what is in it can be.
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(problem)?;
        }
        Ok(file)
    }

    /// The name that the disk got when it was formatted, if it was.
    pub fn disk_name(&self) -> Result<Option<[u8; 16]>, Problem> {
        let mut start = Vec::new();
        let read = self.disk()?.take(SUPERBLOCKS as u64).read_to_end(&mut start);
        read.map_err(|error| Problem::file(&disk(&self.folder), &error))?;
        Ok(disk_name(&start))
    }

    /// Before a start: nothing that the system had is gone, but for what is to be `anew`. Gives what its user should
    /// know, in words: what was set aside for that, and a disk that cannot be written. The first start's disk is made
    /// here.
    pub fn prepare(&self, anew: Anew) -> Result<Vec<String>, Problem> {
        let mut notes = Vec::new();
        for (wanted, path) in
            [(anew.log, self.log()), (anew.log, self.folder.join(WITNESSED)), (anew.disk, disk(&self.folder))]
        {
            if wanted && is_there(&path)? {
                let to = unused(&path);
                fs::rename(&path, &to).map_err(|error| Problem::file(&path, &error))?;
                notes.push(format!("{} is now {}", path.display(), to.display()));
            }
        }
        match lost(&self.folder, anew)?.into_iter().next() {
            Some(problem) => Err(problem),
            None => {
                if is_read_only(&self.disk()?) {
                    notes.push(format!(
                        "{} cannot be written: what is on it is read, and nothing that is put is kept; \
                         make it writable and start again",
                        disk(&self.folder).display()
                    ));
                }
                Ok(notes)
            }
        }
    }
}

impl Reading {
    /// Locks a folder that is there. Only where it can be written is anything made in it: the lock.
    pub fn open(folder: &Path) -> Result<Reading, Problem> {
        let path = lock_of(folder);
        let problem = |error: std::io::Error| Problem::file(&path, &error);
        match lock_to_write(&path) {
            Err(error) if refuses_writes(&error) => {}
            _ => return State::open(folder).map(Reading::Alone),
        }
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Reading::Shared(None)),
            Err(error) => Err(problem(error)),
            Ok(mut lock) => {
                take(&mut lock, folder, FlockOperation::NonBlockingLockShared)?;
                Ok(Reading::Shared(Some(lock)))
            }
        }
    }
}

fn lock_of(folder: &Path) -> PathBuf {
    folder.join("lock")
}

fn lock_to_write(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Takes a folder's lock; where another has it, the problem says who.
fn take(lock: &mut File, folder: &Path, how: FlockOperation) -> Result<(), Problem> {
    match flock(&*lock, how) {
        Ok(()) => return Ok(()),
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(Problem::file(&lock_of(folder), &error.into())),
    }
    let mut holder = String::new();
    // Who it is is only said if the file says so.
    let _ = lock.read_to_string(&mut holder);
    let holder = holder.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"));
    Err(Problem::new(
        status::IN_USE,
        format!("another orbital{holder} is running in {}", folder.display()),
        "end that one first, or start a second system with --state DIR",
    ))
}

/// The disk, if there is one and this process may not write it. Changes nothing.
pub fn read_only_disk(folder: &Path) -> Option<PathBuf> {
    let path = disk(folder);
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    opened.is_err_and(|error| refuses_writes(&error)).then_some(path)
}

/// What a start is to begin anew although the folder had it. What is there is set aside, not removed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Anew {
    /// The log.
    pub log: bool,
    /// The disk.
    pub disk: bool,
}

/// What the system in this folder had and has no longer, the key first. Changes nothing.
pub fn lost(folder: &Path, anew: Anew) -> Result<Vec<Problem>, Problem> {
    let mut lost = Vec::new();
    let (key_path, log_path, disk_path) = (folder.join("machine.key"), folder.join("log"), disk(folder));
    let log = Log::find(&log_path)?;
    let key = match log_store::key::load(&key_path) {
        Ok(key) => key.is_some(),
        Err(error) => {
            lost.push(error.into());
            true
        }
    };
    let disk = match fs::metadata(&disk_path) {
        Ok(metadata) => metadata.len() > 0,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(Problem::file(&disk_path, &error)),
    };
    if !key && log != Log::None {
        lost.push(Problem::new(
            status::LOG,
            format!(
                "{}: the machine's key is gone, and the log in {} goes on only with it",
                key_path.display(),
                log_path.display()
            ),
            "put the file back; or begin a new log with a new key: `orbital run --new-log` sets this log aside",
        ));
    }
    // Of a first start that was interrupted there are at most an empty disk, the key, and a log without checkpoint.
    let ran = log == Log::Published || key && (!disk || !is_blank(&disk_path)?);
    // A system that has run on bare x86_64 alone has its log there.
    let elsewhere = log == Log::None && is_there(&folder.join("log.img"))?;
    if ran && log != Log::Published && key && !anew.log && !elsewhere {
        let (gone, what) = match log {
            Log::Unpublished => (log_path.join("checkpoint"), "the log's checkpoint is gone"),
            _ => (log_path, "the log is gone"),
        };
        lost.push(Problem::new(
            status::LOG,
            format!("{}: {what}, and this system has run before", gone.display()),
            "put it back; or begin a new log: `orbital run --new-log`",
        ));
    }
    if ran && !disk && !anew.disk {
        let what = if is_there(&disk_path)? { "the disk is empty" } else { "the disk is gone" };
        lost.push(Problem::new(
            status::LOG,
            format!("{}: {what}, and this system has run before", disk_path.display()),
            "put it back; or begin with an empty disk: `orbital run --new-disk`",
        ));
    }
    Ok(lost)
}

/// What there is of a log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    None,
    /// Segments or tiles, and no checkpoint.
    Unpublished,
    Published,
}

impl Log {
    fn find(path: &Path) -> Result<Log, Problem> {
        if is_there(&path.join("checkpoint"))? {
            return Ok(Log::Published);
        }
        let some = is_there(&path.join("segments"))? || is_there(&path.join("tile"))?;
        Ok(if some { Log::Unpublished } else { Log::None })
    }
}

/// Whether it is open to be read alone.
pub fn is_read_only(file: &File) -> bool {
    fcntl_getfl(file).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDONLY)
}

/// Whether a file may be there and be read.
fn refuses_writes(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn disk(folder: &Path) -> PathBuf {
    folder.join("disk.img")
}

fn is_there(path: &Path) -> Result<bool, Problem> {
    path.try_exists().map_err(|error| Problem::file(path, &error))
}

/// Whether there is nothing in the file but zeros.
fn is_blank(path: &Path) -> Result<bool, Problem> {
    let problem = |error: std::io::Error| Problem::file(path, &error);
    let mut file = File::open(path).map_err(problem)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(problem)? {
            0 => return Ok(true),
            count if buffer[..count].iter().any(|&byte| byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// The first of `path.1`, `path.2` ... that is not taken.
fn unused(path: &Path) -> PathBuf {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(0))
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

    /// Permissions do not hold root back; what is asked is how the file was opened.
    #[test]
    fn a_disk_that_was_opened_to_be_read_is_known_by_that() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert!(!is_read_only(&state.disk().unwrap()));
        assert!(is_read_only(&File::open(disk(folder.path())).unwrap()));
        assert!(refuses_writes(&ErrorKind::ReadOnlyFilesystem.into()) && !refuses_writes(&ErrorKind::NotFound.into()));
    }

    /// A folder in which a system ran: not blank, published.
    fn folder_of_a_system() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.prepare(Anew::default()).unwrap();
        log_store::key::load_or_create(&state.key()).unwrap();
        state.disk().unwrap().write_all(b"something").unwrap();
        fs::create_dir_all(state.log().join("segments")).unwrap();
        fs::write(state.log().join("checkpoint"), "signed").unwrap();
        (folder, state)
    }

    fn refusal(state: &State) -> String {
        state.prepare(Anew::default()).expect_err("something is gone").to_string()
    }

    #[test]
    fn what_a_system_had_and_has_no_longer_is_told_and_nothing_is_made() {
        let (folder, state) = folder_of_a_system();
        assert_eq!(state.prepare(Anew::default()).unwrap(), Vec::<String>::new());

        fs::rename(state.key(), folder.path().join("kept")).unwrap();
        assert!(refusal(&state).contains("machine.key: the machine's key is gone"));
        assert!(!state.key().exists());
        fs::rename(folder.path().join("kept"), state.key()).unwrap();

        fs::remove_file(state.log().join("checkpoint")).unwrap();
        assert!(refusal(&state).contains("log/checkpoint: the log's checkpoint is gone"));
        fs::remove_dir_all(state.log()).unwrap();
        assert!(refusal(&state).contains("log: the log is gone"));
        assert!(!state.log().exists());
        assert!(state.prepare(Anew { log: true, disk: false }).is_ok());
    }

    #[test]
    fn a_disk_that_is_gone_or_empty_is_told() {
        let (_folder, state) = folder_of_a_system();
        let disk = disk(state.folder());
        File::create(&disk).unwrap();
        assert!(refusal(&state).contains("disk.img: the disk is empty"));
        assert_eq!(fs::metadata(&disk).unwrap().len(), 0);
        fs::remove_file(&disk).unwrap();
        assert!(refusal(&state).contains("disk.img: the disk is gone"));
        assert!(!disk.exists());
        state.prepare(Anew { log: false, disk: true }).unwrap();
        assert_eq!(fs::metadata(&disk).unwrap().len(), DISK_SIZE);
    }

    #[test]
    fn a_first_start_that_was_interrupted_is_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.prepare(Anew::default()).unwrap();
        assert!(state.prepare(Anew::default()).is_ok(), "with a blank disk");
        log_store::key::load_or_create(&state.key()).unwrap();
        assert!(state.prepare(Anew::default()).is_ok(), "with the key");
        fs::create_dir_all(state.log().join("segments")).unwrap();
        assert!(state.prepare(Anew::default()).is_ok(), "with a log that was never published");
    }

    #[test]
    fn a_disk_from_elsewhere_begins_a_system() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.disk().unwrap().write_all(b"from elsewhere").unwrap();
        assert!(state.prepare(Anew::default()).is_ok());
    }

    #[test]
    fn what_is_begun_anew_is_set_aside() {
        let (_folder, state) = folder_of_a_system();
        let both = Anew { log: true, disk: true };
        assert_eq!(state.prepare(both).unwrap().len(), 2);
        assert!(state.folder().join("log.1/checkpoint").exists());
        assert!(!state.log().exists());
        let mut kept = String::new();
        File::open(state.folder().join("disk.img.1")).unwrap().take(9).read_to_string(&mut kept).unwrap();
        assert_eq!(kept, "something");
        assert!(is_blank(&disk(state.folder())).unwrap());
        state.prepare(both).unwrap();
        assert!(state.folder().join("disk.img.2").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_problem_with_a_next_step() {
        let folder = tempfile::NamedTempFile::new().unwrap();
        let Err(problem) = State::open(&folder.path().join("within")) else { panic!("a folder within a file") };
        assert_eq!(problem.status, status::IO);
        assert!(!problem.next.is_empty());
    }
}
