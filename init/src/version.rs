//! What a service is run from: an image of the boot set, or one that was given for an upgrade.

use crate::holdings::{Holdings, image_name};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use libprocess::{Cap, Error, Handle, Image, Quota, Region};

/// How much of an executable is read at once.
const PART: u32 = 61_440;
/// The longest executable, in bytes.
pub const MAX_IMAGE: u64 = 64 << 20;

/// An image, and what is known of it. Clones are the same image.
#[derive(Clone, Debug)]
pub struct Version {
    /// What people call it.
    pub name: String,
    /// Its BLAKE3 in 64 hexadecimal digits; empty where the host does not say.
    pub hash: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// init was given it under this name.
    Boot(String),
    Own(Rc<Cap<Image>>),
}

impl Version {
    /// The image of the boot set with this name.
    pub fn boot(name: &str, holdings: &Holdings) -> Version {
        let hash = holdings.hash(name).unwrap_or_default().to_string();
        Version { name: name.to_string(), hash, source: Source::Boot(image_name(name)) }
    }

    /// An image of the first `length` bytes of `region`, paid from `quota`. init waits while the host
    /// checks it.
    ///
    /// # Errors
    /// `InvalidArgument` for what the host does not run, and those of reading the region.
    pub async fn of_region(
        region: &Cap<Region>,
        length: u64,
        name: &str,
        quota: &Cap<Quota>,
    ) -> Result<Version, Error> {
        if length == 0 || length > MAX_IMAGE {
            return Err(Error::TooLarge);
        }
        // Whoever gave it may still write to it: what is run is a copy that nobody else has.
        let copy = Cap::<Region>::create(quota, length.div_ceil(libprocess::abi::PAGE_SIZE as u64))?;
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        while offset < length {
            let part = region.read(offset, u64::from(PART).min(length - offset) as u32)?;
            hasher.update(&part);
            copy.write(offset, &part)?;
            offset += part.len().max(1) as u64;
        }
        let image = Cap::<Image>::create(quota, &copy, length, name).await;
        let _ = copy.destroy();
        let hash = hasher.finalize().to_hex().as_str().to_string();
        Ok(Version { name: name.to_string(), hash, source: Source::Own(Rc::new(image?)) })
    }

    /// The image's handle, if init holds it.
    pub fn handle(&self, holdings: &Holdings) -> Option<Handle> {
        match &self.source {
            Source::Boot(name) => holdings.handle(name),
            Source::Own(image) => Some(image.handle()),
        }
    }
}
