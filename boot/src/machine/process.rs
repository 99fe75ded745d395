//! Processes as this host keeps them, and how one is brought to life: its pages are asked for when its
//! first thread is to run, so that its quota pays for every one of them.

use super::Machine;
use super::thread::Thread;
use crate::arch::entry::Full;
use crate::memory::elf::Executable;
use crate::memory::space::{NoMemory, Space};
use crate::memory::{PAGE, mapped};
use abi::message::FaultKind;
use abi::native::{HEAP, HEAP_END, REGIONS_END, REGIONS_FROM, STACK_BYTES, STACK_TOP};
use abi::{Error, Request};
use alloc::rc::Rc;
use alloc::vec::Vec;
use axiom::Outcome;
use core::ops::Range;
use kernel::{ProcessId, ThreadId};

/// An executable, checked.
#[derive(Debug)]
pub struct Image {
    /// Physical address and bytes of the file. Frames of its own, or part of the ramdisk.
    pub at: u64,
    /// See [`Image::at`].
    pub length: u64,
    /// Whether the frames go with it.
    pub own: bool,
    /// What is loaded.
    pub executable: Executable,
}

impl Image {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is the image's while it lives, mapped, and nobody writes it.
        unsafe { core::slice::from_raw_parts(mapped(self.at) as *const u8, self.length as usize) }
    }

    /// Gives its frames back, if they are its own.
    pub fn release(image: Rc<Image>, machine: &mut Machine) {
        if let Some(image) = Rc::into_inner(image)
            && image.own
        {
            for page in 0..image.length.div_ceil(PAGE) {
                machine.frames.free(image.at + page * PAGE);
            }
        }
    }
}

/// One process.
#[derive(Debug)]
pub struct Process {
    /// What it runs.
    pub image: Option<Rc<Image>>,
    /// Its address space, once its first thread was to run.
    pub space: Option<Space>,
    /// What it was started with.
    pub startup: Vec<u8>,
    /// Where its heap ends.
    pub heap_end: u64,
}

/// All processes, by the kernel's numbers.
#[derive(Debug, Default)]
pub struct Processes(Vec<Option<Process>>);

impl Processes {
    /// The process with this number.
    #[inline]
    pub fn get(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.0.get_mut(id.index())?.as_mut()
    }

    /// Its address space, once it has one.
    #[inline]
    pub fn space(&self, id: ProcessId) -> Option<&Space> {
        self.0.get(id.index())?.as_ref()?.space.as_ref()
    }

    /// The same, to change.
    #[inline(always)]
    pub fn space_mut(&mut self, id: ProcessId) -> Option<&mut Space> {
        self.0.get_mut(id.index())?.as_mut()?.space.as_mut()
    }

    /// One began to exist.
    pub fn insert(&mut self, id: ProcessId, image: Option<Rc<Image>>) {
        if self.0.len() <= id.index() {
            self.0.resize_with(id.index() + 1, || None);
        }
        self.0[id.index()] = Some(Process { image, space: None, startup: Vec::new(), heap_end: HEAP });
    }

    /// It is gone.
    pub fn remove(&mut self, id: ProcessId) -> Option<Process> {
        self.0.get_mut(id.index())?.take()
    }
}

const STACK: Range<u64> = STACK_TOP - STACK_BYTES..STACK_TOP;

impl Machine {
    /// A thread is to run for the first time.
    pub(super) fn begin(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(id) else { return };
        let (process, start) = (thread.process, thread.start);
        let root = match start {
            Some(_) => self.processes.space(process).map(Space::root),
            None => self.load(process).ok(),
        };
        let entry = self.processes.get(process).and_then(|process| process.image.clone());
        let Some(thread) = self.threads.get(id) else { return };
        match (root, entry) {
            (Some(root), Some(image)) => {
                let [entry, stack, argument] = start.unwrap_or([image.executable.entry, STACK_TOP, 0]);
                *thread = Thread {
                    full: Full::new(entry, stack, argument),
                    root,
                    new: false,
                    ..Thread::new(id, process, start)
                };
            }
            _ => {
                // Too little memory to begin.
                let now = self.clock.now();
                self.axiom.fault(id, FaultKind::BadAccess, 0, false, now);
            }
        }
    }

    /// Makes the address space of a process and loads its image; its root.
    fn load(&mut self, id: ProcessId) -> Result<u64, Error> {
        let image = self.processes.get(id).and_then(|process| process.image.clone()).ok_or(Error::PeerGone)?;
        let mut space = Space::new(&mut self.frames).map_err(|_| Error::QuotaExceeded)?;
        let pages = 1 + space.pages_to_load(&image.executable, &[STACK]);
        let now = self.clock.now();
        let loaded = self.axiom.grow(id, pages, now).and_then(|()| {
            let all = space
                .load(&image.executable, image.bytes(), &mut self.frames)
                .and_then(|()| space.add(STACK, true, false, &mut self.frames));
            all.map_err(|NoMemory| Error::QuotaExceeded)
        });
        let root = space.root();
        match (loaded, self.processes.get(id)) {
            (Ok(()), Some(process)) => {
                process.space = Some(space);
                Ok(root)
            }
            (result, _) => {
                space.free(&mut self.frames);
                result.and(Err(Error::PeerGone))
            }
        }
    }

    /// More pages behind the heap of a process: the address of the first.
    pub(super) fn grow(&mut self, id: ProcessId, pages: u64) -> Result<u64, Error> {
        let process = self.processes.get(id).ok_or(Error::PeerGone)?;
        let first = process.heap_end;
        let end = pages.checked_mul(PAGE).and_then(|bytes| first.checked_add(bytes)).filter(|end| *end <= HEAP_END);
        let addresses = first..end.ok_or(Error::QuotaExceeded)?;
        if pages == 0 {
            return Ok(first);
        }
        let space = process.space.as_ref().ok_or(Error::PeerGone)?;
        let all = pages + space.tables_for(addresses.clone());
        if all > self.frames.count() {
            return Err(Error::QuotaExceeded);
        }
        let now = self.clock.now();
        self.axiom.grow(id, all, now)?;
        let process = self.processes.get(id).ok_or(Error::PeerGone)?;
        process.heap_end = addresses.end;
        let space = process.space.as_mut().ok_or(Error::PeerGone)?;
        space.add(addresses, true, false, &mut self.frames).map_err(|NoMemory| Error::QuotaExceeded)?;
        Ok(first)
    }

    /// A region-map by the thread that runs, if it is a plain one and the tables are there; `None`: nothing has happened.
    #[inline(always)]
    pub(super) fn map_at_once(&mut self, request: &Request<'_>, address: u64, now: u64) -> Option<Outcome> {
        let process = self.axiom.kernel().process_of(self.running)?;
        let space = self.processes.space_mut(process)?;
        self.axiom.map(self.running, request, now, |pages| {
            let end = pages.checked_mul(PAGE).and_then(|bytes| address.checked_add(bytes));
            REGIONS_FROM <= address && end.is_some_and(|end| end <= REGIONS_END && space.has_table_for(address..end))
        })
    }

    /// Tables for a region that is to be mapped, before it is.
    pub(super) fn prepare_map(&mut self, id: ProcessId, addresses: Range<u64>) -> Result<(), Error> {
        let Some(space) = self.processes.space(id) else { return Ok(()) };
        let tables = space.tables_for(addresses.clone());
        if tables == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        self.axiom.grow(id, tables, now)?;
        let Some(space) = self.processes.space_mut(id) else { return Ok(()) };
        space.prepare(addresses, &mut self.frames).map_err(|NoMemory| Error::QuotaExceeded)
    }
}
