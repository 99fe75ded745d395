//! What a process is started with: arguments, environment, and the names of the
//! capabilities that its creator put into its table. Its creator encodes it
//! (postcard), [`crate::start`] decodes it.

use abi::{Error, Handle};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The startup block. At most 64 KiB encoded.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Startup {
    /// The arguments; the first is not the program's name.
    pub arguments: Vec<String>,
    /// Variables and their values.
    pub environment: Vec<(String, String)>,
    /// Names and handles, valid in the table of the process that is started.
    pub capabilities: Vec<(String, Handle)>,
}

impl Startup {
    /// Its bytes; `TooLarge` above 64 KiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = postcard::to_allocvec(self).map_err(|_| Error::TooLarge)?;
        if bytes.len() > abi::message::MAX_BYTES { Err(Error::TooLarge) } else { Ok(bytes) }
    }

    /// From its bytes; `InvalidArgument` for anything else. No bytes are an empty block.
    pub fn from_bytes(bytes: &[u8]) -> Result<Startup, Error> {
        if bytes.is_empty() {
            return Ok(Startup::default());
        }
        match postcard::take_from_bytes(bytes) {
            Ok((startup, [])) => Ok(startup),
            _ => Err(Error::InvalidArgument),
        }
    }
}
