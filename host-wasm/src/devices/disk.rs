//! The disk: the file `disk.img`, blocks of 512 bytes, one thread that does the
//! operations in the order in which they came.
//!
//! A flush completes when the file is durable and then what the log says of it (output
//! commit): the thread asks the log between the two. If somebody has deleted the file, no flush completes any more:
//! what is written would be gone when the system ends.

use super::{Completions, Device, Owner, Submission};
use crate::state::is_read_only;
use abi::Error;
use abi::device::{CompletionStatus, DISK_BLOCK_SIZE, DISK_BLOCKS, DISK_READ_ONLY, Operation};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Blocks that one read may ask for.
pub const MOST_BLOCKS: u64 = 128;

/// Waits until all records below a number are durable; false if the log cannot be
/// written any more.
pub type LogIsDurable = Box<dyn FnMut(u64) -> bool + Send>;

/// The disk. Dropping it ends its thread after the operations that were submitted.
pub struct Disk {
    blocks: u64,
    read_only: bool,
    work: Option<Sender<Submission>>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// A disk in this file. `durable` is called on the disk's thread.
    pub fn open(file: File, completions: Completions, durable: LogIsDurable) -> std::io::Result<Disk> {
        let metadata = file.metadata()?;
        let (blocks, named) = (metadata.len() / DISK_BLOCK_SIZE as u64, metadata.nlink() > 0);
        let read_only = is_read_only(&file);
        let (work, queue) = channel();
        let drive = Drive { file, blocks, read_only, named, told: false, completions, durable };
        let thread = std::thread::Builder::new().name("disk".into()).spawn(move || drive.run(&queue))?;
        Ok(Disk { blocks, read_only, work: Some(work), thread: Some(thread) })
    }
}

impl Device for Disk {
    fn read(&mut self, register: u64) -> Result<u64, Error> {
        match register {
            DISK_BLOCKS => Ok(self.blocks),
            DISK_READ_ONLY => Ok(self.read_only.into()),
            _ => Err(Error::InvalidArgument),
        }
    }

    fn submit(&mut self, submission: Submission) -> Result<(), Error> {
        // The thread ends only when the sender is dropped, or by a panic of its own.
        self.work.as_ref().and_then(|sender| sender.send(submission).ok()).ok_or(Error::PeerGone)
    }

    fn forget(&mut self, _owner: Owner) {
        // What was submitted is carried out: a write that began must not be half there.
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nothing to save here.
            let _ = thread.join();
        }
    }
}

struct Drive {
    file: File,
    blocks: u64,
    read_only: bool,
    /// Whether the file had a name when it was opened.
    named: bool,
    /// Whether it has been told that it has none any more.
    told: bool,
    completions: Completions,
    durable: LogIsDurable,
}

impl Drive {
    fn run(mut self, queue: &Receiver<Submission>) {
        for submission in queue {
            let (status, bytes, length) = match self.carry_out(&submission) {
                Ok((bytes, length)) => (CompletionStatus::Done, bytes, length),
                Err(status) => (status, Vec::new(), 0),
            };
            self.completions.complete(submission.owner, submission.request, status, bytes, length);
        }
    }

    fn carry_out(&mut self, submission: &Submission) -> Result<(Vec<u8>, usize), CompletionStatus> {
        match submission.operation {
            Operation::Read => {
                if submission.b > MOST_BLOCKS {
                    return Err(CompletionStatus::OutOfRange);
                }
                let offset = self.offset(submission.a, submission.b)?;
                let mut bytes = vec![0; submission.b as usize * DISK_BLOCK_SIZE];
                self.file.read_exact_at(&mut bytes, offset).map_err(|error| status(&error))?;
                let length = bytes.len();
                Ok((bytes, length))
            }
            Operation::Write => {
                let bytes = &submission.bytes;
                if !bytes.len().is_multiple_of(DISK_BLOCK_SIZE) {
                    return Err(CompletionStatus::OutOfRange);
                }
                let offset = self.offset(submission.a, (bytes.len() / DISK_BLOCK_SIZE) as u64)?;
                if self.read_only {
                    return Err(CompletionStatus::ReadOnly);
                }
                self.file.write_all_at(bytes, offset).map_err(|error| status(&error))?;
                Ok((Vec::new(), bytes.len()))
            }
            Operation::Flush => {
                self.file.sync_data().map_err(|error| status(&error))?;
                if self.is_deleted() {
                    return Err(CompletionStatus::Failed);
                }
                if (self.durable)(submission.log) { Ok((Vec::new(), 0)) } else { Err(CompletionStatus::Failed) }
            }
        }
    }

    /// Whether somebody has deleted the file, which is told once.
    fn is_deleted(&mut self) -> bool {
        let deleted = self.named && self.file.metadata().is_ok_and(|file| file.nlink() == 0);
        if deleted && !core::mem::replace(&mut self.told, true) {
            crate::progress::say(
                "orbital: the file of the disk was deleted while the system runs: nothing is kept from now on; save what \
                 you need with cat, then end the system",
            );
        }
        deleted
    }

    /// Where in the file these blocks lie.
    fn offset(&self, first: u64, count: u64) -> Result<u64, CompletionStatus> {
        let end = first.checked_add(count).ok_or(CompletionStatus::OutOfRange)?;
        if count == 0 || end > self.blocks {
            return Err(CompletionStatus::OutOfRange);
        }
        Ok(first * DISK_BLOCK_SIZE as u64)
    }
}

fn status(error: &std::io::Error) -> CompletionStatus {
    match error.kind() {
        // A limit of the size of files is to the disk what a full host is.
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => CompletionStatus::Full,
        ErrorKind::ReadOnlyFilesystem => CompletionStatus::ReadOnly,
        _ => CompletionStatus::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Done;
    use super::*;
    use crate::events::Events;
    use kernel::InterruptId;
    use std::time::{Duration, Instant};

    const OWNER: Owner = 5;

    fn disk(blocks: u64, durable: LogIsDurable) -> (Disk, Completions) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(blocks * DISK_BLOCK_SIZE as u64).unwrap();
        let completions = Completions::new(InterruptId(0), Events::default());
        (Disk::open(file, completions.clone(), durable).unwrap(), completions)
    }

    fn submission(owner: Owner, operation: Operation, a: u64, b: u64, bytes: Vec<u8>, log: u64) -> Submission {
        Submission { owner, request: 1, operation, a, b, bytes, log }
    }

    fn operate(
        disk: &mut Disk,
        completions: &Completions,
        operation: Operation,
        a: u64,
        b: u64,
        bytes: Vec<u8>,
    ) -> Done {
        finish(disk, completions, submission(OWNER, operation, a, b, bytes, 0))
    }

    fn finish(disk: &mut Disk, completions: &Completions, submission: Submission) -> Done {
        completions.begin(OWNER).unwrap();
        disk.submit(submission).unwrap();
        let begin = Instant::now();
        loop {
            if let Some(done) = completions.take(OWNER) {
                return done;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "the operation never completed");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let (mut disk, completions) = disk(8, Box::new(|_| true));
        let done = operate(&mut disk, &completions, Operation::Write, 3, 0, vec![7; 1024]);
        assert_eq!(done.completion.status, CompletionStatus::Done);
        let done = operate(&mut disk, &completions, Operation::Read, 3, 2, Vec::new());
        assert_eq!(done.bytes, vec![7; 1024]);
        assert_eq!((disk.read(DISK_BLOCKS), disk.read(DISK_READ_ONLY)), (Ok(8), Ok(0)));
    }

    #[test]
    fn a_disk_that_was_opened_to_be_read_refuses_writes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [5; 1024]).unwrap();
        let completions = Completions::new(InterruptId(0), Events::default());
        let to_read = File::open(file.path()).unwrap();
        let mut disk = Disk::open(to_read, completions.clone(), Box::new(|_| true)).unwrap();
        assert_eq!(disk.read(DISK_READ_ONLY), Ok(1));
        let done = operate(&mut disk, &completions, Operation::Write, 0, 0, vec![7; 512]);
        assert_eq!(done.completion.status, CompletionStatus::ReadOnly);
        let done = operate(&mut disk, &completions, Operation::Read, 0, 2, Vec::new());
        assert_eq!(done.bytes, vec![5; 1024]);
    }

    #[test]
    fn nothing_is_durable_once_the_file_is_deleted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1024).unwrap();
        let completions = Completions::new(InterruptId(0), Events::default());
        let mut disk = Disk::open(file.reopen().unwrap(), completions.clone(), Box::new(|_| true)).unwrap();
        let mut flush = || operate(&mut disk, &completions, Operation::Flush, 0, 0, Vec::new()).completion.status;
        assert_eq!(flush(), CompletionStatus::Done);
        drop(file);
        assert_eq!([flush(), flush()], [CompletionStatus::Failed; 2]);
    }

    #[test]
    fn nothing_outside_the_disk_is_touched() {
        let (mut disk, completions) = disk(8, Box::new(|_| true));
        let cases = [
            (Operation::Read, 8, 1, Vec::new()),
            (Operation::Read, 7, 2, Vec::new()),
            (Operation::Read, u64::MAX, 1, Vec::new()),
            (Operation::Read, u64::MAX - 1, 3, Vec::new()),
            (Operation::Read, 0, 0, Vec::new()),
            (Operation::Read, 0, MOST_BLOCKS + 1, Vec::new()),
            (Operation::Write, 8, 0, vec![1; 512]),
            (Operation::Write, 0, 0, vec![1; 511]),
            (Operation::Write, u64::MAX, 0, vec![1; 512]),
        ];
        for (operation, a, b, bytes) in cases {
            let done = operate(&mut disk, &completions, operation, a, b, bytes);
            assert_eq!(done.completion.status, CompletionStatus::OutOfRange, "{operation:?} {a} {b}");
        }
    }

    #[test]
    fn a_flush_fails_when_the_log_cannot_be_written() {
        let (mut disk, completions) = disk(8, Box::new(|position| position < 10));
        let done = finish(&mut disk, &completions, submission(OWNER, Operation::Flush, 0, 0, Vec::new(), 9));
        assert_eq!(done.completion.status, CompletionStatus::Done);
        let done = finish(&mut disk, &completions, submission(OWNER, Operation::Flush, 0, 0, Vec::new(), 10));
        assert_eq!(done.completion.status, CompletionStatus::Failed);
    }

    #[test]
    fn one_process_does_not_get_the_completions_of_another_and_has_a_limit() {
        let (mut disk, completions) = disk(8, Box::new(|_| true));
        for _ in 0..super::super::MOST_UNDER_WAY {
            completions.begin(OWNER).unwrap();
        }
        assert_eq!(completions.begin(OWNER), Err(Error::WouldBlock));
        completions.begin(6).unwrap();
        disk.submit(submission(6, Operation::Flush, 0, 0, Vec::new(), 0)).unwrap();
        drop(disk);
        assert!(completions.take(OWNER).is_none());
        assert!(completions.take(6).is_some());
    }
}
