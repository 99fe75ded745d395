//! A disk of 512-byte sectors as the flash memory that the embedded engines want: bytes
//! may be written anywhere once erased, so what is not whole sectors is read, changed and
//! written back.

use std::cell::RefCell;
use std::rc::Rc;
use storage_engine::BlockDevice;
use storage_engine::simulation::{SimulatedDisk, run};

/// Bytes that are erased at once.
pub const ERASE: usize = 4096;

/// The disk, and when it is flushed.
#[derive(Clone)]
pub struct Sectors {
    pub disk: SimulatedDisk,
    /// After every write, so that nothing is reordered; or only where the engine, or
    /// the end of a put, asks for it.
    pub flush_always: bool,
    pub scratch: Rc<RefCell<Vec<u8>>>,
}

impl Sectors {
    pub fn new(disk: SimulatedDisk, flush_always: bool) -> Sectors {
        Sectors { disk, flush_always, scratch: Rc::default() }
    }

    pub fn bytes(&self) -> usize {
        self.disk.block_count() as usize * 512
    }

    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let first = offset / 512;
        let count = (offset + bytes.len()).div_ceil(512) - first;
        let mut scratch = self.scratch.borrow_mut();
        scratch.resize(count * 512, 0);
        for (part, block) in scratch.chunks_mut(128 * 512).zip((first as u64..).step_by(128)) {
            run(self.disk.read(block, part), async {}).expect("reads");
        }
        bytes.copy_from_slice(&scratch[offset - first * 512..][..bytes.len()]);
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let first = offset / 512;
        let count = (offset + bytes.len()).div_ceil(512) - first;
        let mut whole = vec![0; count * 512];
        self.read(first * 512, &mut whole);
        whole[offset - first * 512..][..bytes.len()].copy_from_slice(bytes);
        run(self.disk.write(first as u64, &whole), async {}).expect("writes");
        if self.flush_always {
            self.flush();
        }
    }

    pub fn erase(&self, page: usize) {
        run(self.disk.write((page * ERASE / 512) as u64, &[0xFF; ERASE]), async {}).expect("writes");
        if self.flush_always {
            self.flush();
        }
    }

    pub fn flush(&self) {
        run(self.disk.flush(), async {}).expect("flushes");
    }
}
