//! A disk image in a file, opened while no system has it.

use super::Global;
use crate::problem::{Problem, status};
use crate::state::Reading;
use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use storage_engine::device::BLOCK;
use storage_engine::mount::MountError;
use storage_engine::{BlockDevice, DeviceError, MountReport, Store};

/// The file. Nothing is written to it unless it was made to be written.
pub struct FileDisk {
    file: File,
    blocks: u64,
    access: Access,
}

/// What may be done with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl FileDisk {
    pub fn new(file: File, access: Access) -> std::io::Result<FileDisk> {
        let blocks = file.metadata()?.len() / BLOCK as u64;
        Ok(FileDisk { file, blocks, access })
    }

    fn offset(&self, first: u64, length: usize) -> Result<u64, DeviceError> {
        let end = first.checked_add((length / BLOCK) as u64).ok_or(DeviceError::OutOfRange)?;
        if end > self.blocks { Err(DeviceError::OutOfRange) } else { Ok(first * BLOCK as u64) }
    }
}

fn failed(error: &std::io::Error) -> DeviceError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
            DeviceError::Full
        }
        _ => DeviceError::Failed,
    }
}

impl BlockDevice for FileDisk {
    fn block_count(&self) -> u64 {
        self.blocks
    }

    fn read_only(&self) -> bool {
        self.access == Access::Read
    }

    async fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.file.read_exact_at(bytes, self.offset(first, bytes.len())?).map_err(|error| failed(&error))
    }

    async fn write(&self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        if self.read_only() {
            return Err(DeviceError::ReadOnly);
        }
        self.file.write_all_at(bytes, self.offset(first, bytes.len())?).map_err(|error| failed(&error))
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.file.sync_data().map_err(|error| failed(&error))
    }
}

/// Runs `work` to its end, with the store's commits beside it. Operations on a file are done at once, so
/// nothing waits for anything outside.
pub fn finish<T>(work: impl Future<Output = T>, commits: impl Future<Output = ()>) -> T {
    let (mut work, mut commits) = (pin!(work), pin!(commits));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = work.as_mut().poll(&mut context) {
            return value;
        }
        let _ = commits.as_mut().poll(&mut context);
    }
}

/// A disk that was opened to be read.
pub struct Opened {
    pub path: PathBuf,
    pub store: Store<FileDisk>,
    pub report: MountReport,
    /// For as long as this lives no system has the disk.
    _reading: Reading,
}

impl Opened {
    /// Opens the disk of the system, or this image.
    pub fn open(global: &Global, image: Option<PathBuf>) -> Result<Opened, Problem> {
        let path = path(global, image)?;
        if !path.is_file() {
            return Err(Problem::new(
                status::NO_INPUT,
                format!("{}: there is no disk", path.display()),
                "name a system with --state DIR, or an image with --image FILE",
            ));
        }
        let reading = Reading::open(folder_of(&path))?;
        let file = File::open(&path).map_err(|error| Problem::file(&path, &error))?;
        let disk = FileDisk::new(file, Access::Read).map_err(|error| Problem::file(&path, &error))?;
        // A disk that is read is not formatted, so its name does not matter.
        let mounted = finish(Store::mount(disk, [0; 16]), std::future::pending());
        let (store, report) = mounted.map_err(|error| refusal(&path, error))?;
        Ok(Opened { path, store, report, _reading: reading })
    }
}

/// The image that is meant.
pub fn path(global: &Global, image: Option<PathBuf>) -> Result<PathBuf, Problem> {
    match image {
        Some(image) => Ok(image),
        None => Ok(global.folder()?.join("disk.img")),
    }
}

/// The folder whose lock stands for the image.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refusal(path: &Path, error: MountError) -> Problem {
    let (status, next) = match error {
        MountError::Device(_) => (status::IO, "check the file and the disk that it is on"),
        MountError::EmptyReadOnly => (status::NO_INPUT, "no system has used it yet; `orbital run` does"),
        MountError::Foreign(_) => (status::LOG, "name the disk image of a system"),
        MountError::Version(_) => (status::LOG, "use the version of orbital that wrote it, or a newer one"),
        MountError::Damaged | MountError::TooSmall | MountError::Truncated(_) => {
            (status::LOG, "put a backup in its place; what is left cannot be read")
        }
    };
    let cause = match error {
        MountError::EmptyReadOnly => format!("{}: the disk is empty", path.display()),
        error => format!("{}: {error}", path.display()),
    };
    Problem::new(status, cause, next)
}
