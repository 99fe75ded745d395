//! Images of the simulation: named entries, each a native `async fn main(process)`.
//! What stands for the executable is a short text with the name in it, which has a real
//! hash, can lie in a file, and becomes an image by `image-create` like any other.

use kernel::input::Hash;
use libprocess::{Process, Report};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// One process's code while it runs; its output is the exit code.
pub(crate) type Running = Pin<Box<dyn Future<Output = u64>>>;
type Entry = Rc<dyn Fn() -> Running>;

const MAGIC: &str = "orbital simulated image: ";

/// What the executable called `name` consists of: bytes for a test that spawns an image
/// from a file or from memory.
pub fn executable(name: &str) -> Vec<u8> {
    format!("{MAGIC}{name}\n").into_bytes()
}

/// BLAKE3 of the executable called `name`.
pub fn image_hash(name: &str) -> [u8; 32] {
    *blake3::hash(&executable(name)).as_bytes()
}

/// All that the machine can run.
#[derive(Clone, Default)]
pub(crate) struct Images {
    entries: BTreeMap<Hash, (String, Entry)>,
    /// Names in the order in which they were added: the boot set.
    pub names: Vec<String>,
}

impl Images {
    pub fn add<F, R>(&mut self, name: &str, main: F)
    where
        F: Fn(Process) -> R + 'static,
        R: Future + 'static,
        R::Output: Report,
    {
        let main = Rc::new(main);
        let entry: Entry = Rc::new(move || {
            let main = main.clone();
            Box::pin(libprocess::start(move |process| main(process)))
        });
        if self.entries.insert(image_hash(name), (name.to_string(), entry)).is_none() {
            self.names.push(name.to_string());
        }
    }

    /// Begins to run the image with this hash.
    pub fn run(&self, hash: &Hash) -> Option<Running> {
        self.entries.get(hash).map(|(_, entry)| entry())
    }

    /// The hash of what is an executable of this machine, with zeros after it.
    pub fn check(&self, bytes: &[u8]) -> Option<Hash> {
        let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
        let name = text.strip_prefix(MAGIC)?.strip_suffix('\n')?;
        Some(image_hash(name)).filter(|hash| self.entries.contains_key(hash))
    }
}
