//! The machine's key: a file beside the log that only its owner may read, made on
//! first use from the host's randomness.

use crate::error::Error;
use crate::folder::{check_file, read_small};
use axiom::note::MachineKey;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The key in the file at `path`; makes one if there is none.
pub fn load_or_create(path: &Path) -> Result<MachineKey, Error> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let failed = |error| Error::file(path, "cannot be written", error, "Check that the state directory is writable.");
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| failed(io::Error::other(error)))?;
    let key = MachineKey::from_seed(&seed);
    let temporary = path.with_extension("key.new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{}", key.to_secret_text())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(failed)?;
    Ok(key)
}

/// The key in the file at `path`; `None` if there is no file.
pub fn load(path: &Path) -> Result<Option<MachineKey>, Error> {
    let bytes = match check_file(path).and_then(|()| read_small(path, 4096)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| Error::file(path, "cannot be read", error, "Check its owner and mode."))?,
    };
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o077);
    if mode.is_ok_and(|others| others != 0) {
        return Err(Error::new(
            format!("{}: others may read the machine's key", path.display()),
            format!("Run `chmod 600 {}`; if anyone may have read it, start a new state directory.", path.display()),
        ));
    }
    let text = core::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    text.and_then(MachineKey::from_secret_text).map(Some).ok_or_else(|| {
        Error::new(
            format!("{}: not a machine key", path.display()),
            "Put the right file back. Or move it away and begin a new log with a new key: `orbital run --new-log`.",
        )
    })
}
