//! One thread of the simulated machine: the future that runs in it, and what the host
//! keeps for it beside kernel state.

use crate::image::Running;
use abi::message::Words;
use kernel::{ProcessId, ThreadId};
use libprocess::backend::Answer;
use libprocess::context::Context;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Why a process's code was unwound from within a system call.
pub(crate) enum Unwound {
    /// The thread is gone: it exited, or was killed, possibly by itself.
    Gone,
    /// A fault was injected.
    Trapped,
}

impl Unwound {
    /// Leaves the process's code at once, as a trap or a kill does on a real host: no
    /// code of the process runs any more but destructors, whose system calls fail.
    pub fn throw(self) -> ! {
        std::panic::resume_unwind(Box::new(self))
    }
}

/// What a process was started as.
pub(crate) struct Program {
    pub process: ProcessId,
    /// The name that its creator gave it.
    pub name: String,
    /// Which process of this name it is, from 1 on.
    pub incarnation: u32,
    pub startup: Vec<u8>,
}

/// A payload on its way.
#[derive(Clone, Default)]
pub(crate) struct Payload {
    pub words: Words,
    pub bytes: Vec<u8>,
}

pub(crate) struct Thread {
    pub id: ThreadId,
    pub program: Rc<Program>,
    /// Taken while it is being polled.
    pub future: RefCell<Option<Running>>,
    pub context: RefCell<Option<Rc<Context>>>,
    /// What it passed with the call that it is making.
    pub outbox: RefCell<Payload>,
    /// The bytes of its last answer, until it takes them.
    pub inbox: RefCell<Vec<u8>>,
    /// The answer of the call that it is making, once it is there.
    pub answer: Cell<Option<Answer>>,
    /// It is in a call that answered `Pending`.
    pub waiting: Cell<bool>,
    /// The kernel has no such thread any more.
    pub gone: Cell<bool>,
    /// It is being unwound: whatever its destructors ask is refused.
    pub unwinding: Cell<bool>,
    /// It loops: calls that may block are not made, and never return.
    pub spins: Cell<bool>,
    /// System calls so far.
    pub calls: Cell<u64>,
}

impl Thread {
    pub fn new(id: ThreadId, program: Rc<Program>) -> Rc<Thread> {
        Rc::new(Thread {
            id,
            program,
            future: RefCell::new(None),
            context: RefCell::new(None),
            outbox: RefCell::default(),
            inbox: RefCell::default(),
            answer: Cell::new(None),
            waiting: Cell::new(false),
            gone: Cell::new(false),
            unwinding: Cell::new(false),
            spins: Cell::new(false),
            calls: Cell::new(0),
        })
    }
}

/// The text of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_string()
    }
}
