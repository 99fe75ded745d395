//! The kernel's threads as this host keeps them: registers, address space, and the call that each is in.

use crate::arch::entry::{Back, CURRENT, Frame, Full};
use abi::native::{Entry, Exit};
use alloc::boxed::Box;
use alloc::vec::Vec;
use kernel::{ProcessId, ThreadId};

/// Floating-point state, as `fxsave` lays it out.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Float(pub [u8; 512]);

/// Bytes that a thread sends: they stay in its memory until the call ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outbox {
    /// Where.
    pub address: u64,
    /// How many.
    pub length: u32,
}

/// One thread.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Thread {
    /// Where it goes on after a system call.
    pub frame: Frame,
    /// Where it goes on after anything else; if `stopped`.
    pub full: Full,
    /// Its top page table.
    pub root: u64,
    /// `rax` of its call.
    pub entry: Entry,
    /// Whether `full` says where it goes on.
    pub stopped: bool,
    /// Whether it has not run yet and its process is not loaded.
    pub new: bool,
    /// What its call sends.
    pub outbox: Outbox,
    /// Its number.
    pub id: ThreadId,
    /// Whose it is.
    pub process: ProcessId,
    /// Entry, stack and argument of one that is not the first.
    pub start: Option<[u64; 3]>,
    /// Its FS base.
    pub tls: u64,
    /// Its floating-point registers, once it has used them.
    pub float: Option<Box<Float>>,
}

impl Thread {
    /// One that has not run.
    pub fn new(id: ThreadId, process: ProcessId, start: Option<[u64; 3]>) -> Thread {
        Thread {
            frame: Frame::default(),
            full: Full::default(),
            root: 0,
            entry: Entry(0),
            stopped: true,
            new: true,
            outbox: Outbox::default(),
            id,
            process,
            start,
            tls: 0,
            float: None,
        }
    }

    /// Its call ends so.
    #[inline(always)]
    pub fn returns(&mut self, exit: Exit, value: u64) {
        (self.frame.rax, self.frame.rdi) = (exit.0, value);
        (self.frame.rsi, self.frame.rdx) = (0, 0);
    }

    /// Makes this the thread that system calls come from; the way back into it.
    #[inline(always)]
    pub fn back(&mut self) -> Back {
        // SAFETY: the kernel has one processor and is not interrupted; the entry reads it when it is over.
        unsafe { CURRENT.frame_end = (&raw mut self.frame as u64) + size_of::<Frame>() as u64 };
        if self.stopped {
            self.stopped = false;
            return &raw mut self.full as u64 + 1;
        }
        &raw mut self.frame as u64
    }
}

/// The thread that runs: the one whose way back was given last.
///
/// # Safety
/// It is not gone, and no other reference to it is in use.
#[inline(always)]
pub unsafe fn running<'a>() -> &'a mut Thread {
    const _: () = assert!(core::mem::offset_of!(Thread, frame) == 0);
    // SAFETY: `Thread::back` left the end of its frame there, which its record begins with.
    unsafe { &mut *((CURRENT.frame_end - size_of::<Frame>() as u64) as *mut Thread) }
}

/// All threads, by the kernel's numbers.
#[derive(Debug, Default)]
pub struct Threads(Vec<Option<Box<Thread>>>);

impl Threads {
    /// The thread with this number.
    #[inline(always)]
    pub fn get(&mut self, id: ThreadId) -> Option<&mut Thread> {
        self.0.get_mut(id.index())?.as_deref_mut()
    }

    /// Two that differ.
    pub fn pair(&mut self, a: ThreadId, b: ThreadId) -> Option<(&mut Thread, &mut Thread)> {
        let [a, b] = self.0.get_disjoint_mut([a.index(), b.index()]).ok()?;
        Some((a.as_deref_mut()?, b.as_deref_mut()?))
    }

    /// One began to exist.
    pub fn insert(&mut self, thread: Thread) {
        let index = thread.id.index();
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Box::new(thread));
    }

    /// It is gone.
    pub fn remove(&mut self, id: ThreadId) {
        if let Some(slot) = self.0.get_mut(id.index()) {
            *slot = None;
        }
    }
}
