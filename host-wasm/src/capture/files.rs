//! The files of sealed captures: one for each boot with a capture, of which the newest are kept. What is in one is the crate
//! `sealed`.

use crate::problem::{Problem, status};
use sealed::{MOST_BYTES, Sealer};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files that a folder has at most; the oldest go when another is made.
pub const MOST_FILES: usize = 4;
const SUFFIX: &str = "sealed";

/// Whether another record fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// It was written.
    Room,
    /// It was not: the file would be larger than it may be.
    None,
}

/// Writes one.
pub struct Writer {
    path: PathBuf,
    file: fs::File,
    sealer: Sealer,
}

impl Writer {
    /// A new file in `folder`, which is made if there is none, under this key, for this boot. Where
    /// there are [`MOST_FILES`], the oldest goes.
    pub fn create(folder: &Path, secret: &[u8; 32], public: &[u8; 32], boot: u32) -> Result<Writer, Problem> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| Problem::file(folder, &error))?;
        let kept = files(folder)?;
        for (_, path) in kept.iter().take((kept.len() + 1).saturating_sub(MOST_FILES)) {
            fs::remove_file(path).map_err(|error| Problem::file(path, &error))?;
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| {
            Problem::new(status::UNAVAILABLE, format!("no randomness: {error}"), "see `orbital doctor`")
        })?;
        let (sealer, header) = Sealer::new(secret, public, boot, &random);
        let path = folder.join(format!("{boot:010}.{SUFFIX}"));
        let problem = |error: std::io::Error| Problem::file(&path, &error);
        // A number that was given before (the log was begun anew) is the new boot's.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(problem)?;
        file.write_all(&header).map_err(problem)?;
        Ok(Writer { path, file, sealer })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record, if there is room for it.
    pub fn add(&mut self, record: &[u8]) -> Result<Left, Problem> {
        let Some(frame) = self.sealer.add(record) else { return Ok(Left::None) };
        self.file.write_all(&frame).map_err(|error| Problem::file(&self.path, &error))?;
        Ok(Left::Room)
    }

    /// The last record.
    pub fn finish(mut self, record: &[u8]) -> Result<(), Problem> {
        let frame = self.sealer.finish(record).ok_or_else(|| {
            Problem::new(status::IO, "a record could not be sealed", "this is a defect of Orbital; report it")
        })?;
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_all());
        written.map_err(|error| Problem::file(&self.path, &error))
    }
}

/// The captures in a folder by the number of their boot, the oldest first.
pub fn files(folder: &Path) -> Result<Vec<(u32, PathBuf)>, Problem> {
    let problem = |error: std::io::Error| Problem::file(folder, &error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(problem)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(problem)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == SUFFIX)) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The bytes of a file, of which there are no more than one can have.
pub fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let problem = |error: std::io::Error| Problem::input(path, &error);
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(problem)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(problem)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Problem::new(
            status::LOG,
            format!("{}: more than the {MOST_BYTES} bytes that a capture can have", path.display()),
            "it is no capture, or something was added to it; nothing of it is shown",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealed::{End, MOST_RECORD, open};
    use std::os::unix::fs::PermissionsExt;

    const SECRET: [u8; 32] = [3; 32];
    const PUBLIC: [u8; 32] = [4; 32];

    #[test]
    fn a_file_and_a_folder_have_their_bounds() {
        let folder = tempfile::tempdir().unwrap();
        for boot in 1..=6 {
            let mut writer = Writer::create(folder.path(), &SECRET, &PUBLIC, boot).unwrap();
            if boot == 6 {
                while writer.add(&[7; MOST_RECORD]).unwrap() == Left::Room {}
            }
            writer.finish(b"full").unwrap();
        }
        let kept = files(folder.path()).unwrap();
        assert_eq!(kept.iter().map(|(boot, _)| *boot).collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(fs::metadata(&kept[3].1).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = read(&kept[3].1).unwrap();
        assert!(bytes.len() as u64 <= MOST_BYTES && bytes.len() as u64 > MOST_BYTES - (70 << 10));
        assert_eq!(open(&bytes, &SECRET, &PUBLIC).unwrap().end, End::Whole);
        fs::write(&kept[0].1, vec![0; MOST_BYTES as usize + 1]).unwrap();
        assert_eq!(read(&kept[0].1).unwrap_err().status, status::LOG);
    }
}
