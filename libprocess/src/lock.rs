//! A lock for threads of one process: one word, made at compile time, no allocation. Who finds
//! it held waits in line, and gets it handed over in turn; nobody spins, so a thread of high
//! priority never keeps the processor from the one that it waits for.
//!
//! The line is a list of waiters that lie on the stacks of those who wait. The word is 0 (free), 1
//! (held, nobody waits), or the address of the waiter that came last, plus 1; each waiter knows
//! who came before it. Whoever holds the lock is the only one that takes waiters out, so no
//! waiter can go and come back between two looks at the word.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// How a thread sleeps and is woken. A wake-up before the sleep ends it at once, and one may come
/// for no reason.
pub(crate) trait Sleep {
    /// What wakes one thread.
    type Bell: Clone;
    /// That of the calling thread.
    fn own() -> Self::Bell;
    /// Sleeps until the own bell rings.
    fn sleep(own: &Self::Bell);
    /// Wakes a thread, which may have gone meanwhile.
    fn ring(bell: &Self::Bell);
}

/// The lock alone, without what it guards.
pub(crate) struct RawLock<S: Sleep> {
    word: AtomicPtr<Waiter<S::Bell>>,
    sleep: PhantomData<fn() -> S>,
}

#[repr(align(8))]
struct Waiter<B> {
    bell: B,
    /// Who came before; null: nobody that still waits.
    before: AtomicPtr<Waiter<B>>,
    /// The lock is this one's.
    granted: AtomicBool,
}

impl<B> Waiter<B> {
    const HELD: *mut Waiter<B> = ptr::without_provenance_mut(1);
}

impl<S: Sleep> RawLock<S> {
    pub(crate) const fn new() -> RawLock<S> {
        RawLock { word: AtomicPtr::new(ptr::null_mut()), sleep: PhantomData }
    }

    /// Takes it, if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.word.compare_exchange(ptr::null_mut(), Waiter::HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes it, when the calling thread's turn comes.
    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.wait_in_line();
        }
    }

    #[cold]
    fn wait_in_line(&self) {
        let bell = S::own();
        let waiter =
            Waiter { bell: bell.clone(), before: AtomicPtr::new(ptr::null_mut()), granted: AtomicBool::new(false) };
        let own: *mut Waiter<S::Bell> = (&raw const waiter).cast_mut();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word.is_null() {
                if self.try_lock() {
                    return;
                }
                word = self.word.load(Ordering::Relaxed);
                continue;
            }
            let last = word.map_addr(|address| address & !1);
            waiter.before.store(last, Ordering::Relaxed);
            let next = own.map_addr(|address| address | 1);
            match self.word.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        // `waiter` stays where it is until it is granted: then it is in the list no more.
        while !waiter.granted.load(Ordering::Acquire) {
            S::sleep(&bell);
        }
    }

    /// Gives it to who waits longest, or frees it.
    ///
    /// # Safety
    /// The calling thread holds it.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        if self.word.compare_exchange(Waiter::HELD, ptr::null_mut(), Ordering::Release, Ordering::Acquire).is_err() {
            // SAFETY: the caller's.
            unsafe { self.hand_over() };
        }
    }

    /// # Safety
    /// The calling thread holds it, and somebody waits.
    #[cold]
    unsafe fn hand_over(&self) {
        let mut word = self.word.load(Ordering::Acquire);
        let first = loop {
            let last = word.map_addr(|address| address & !1);
            // SAFETY: a waiter lies there until it is granted, and only the holder grants, which
            // is this thread. `Acquire` showed what was written before it was put in line.
            let before = unsafe { &*last }.before.load(Ordering::Relaxed);
            if before.is_null() {
                // The only one. If another has come meanwhile, it is found behind that.
                match self.word.compare_exchange(word, Waiter::HELD, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break last,
                    Err(now) => {
                        word = now;
                        continue;
                    }
                }
            }
            let (mut behind, mut first) = (last, before);
            loop {
                // SAFETY: as above.
                let before = unsafe { &*first }.before.load(Ordering::Relaxed);
                if before.is_null() {
                    break;
                }
                (behind, first) = (first, before);
            }
            // SAFETY: as above.
            unsafe { &*behind }.before.store(ptr::null_mut(), Ordering::Relaxed);
            break first;
        };
        // SAFETY: as above, up to the moment when it is granted: its bell is rung after that.
        let bell = unsafe { (*first).bell.clone() };
        // SAFETY: the same.
        unsafe { &*first }.granted.store(true, Ordering::Release);
        S::ring(&bell);
    }
}

/// How the threads of this host sleep.
#[cfg(target_os = "none")]
pub(crate) type Host = crate::native::OnBell;
#[cfg(target_arch = "wasm32")]
pub(crate) type Host = Alone;
#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
pub(crate) type Host = Parked;

/// The only thread of a process: what it finds locked, it has locked itself.
#[cfg(target_arch = "wasm32")]
pub(crate) struct Alone;

#[cfg(target_arch = "wasm32")]
impl Sleep for Alone {
    type Bell = ();
    fn own() {
        panic!("this thread holds the lock already that it waits for, and it is the only one");
    }
    fn sleep((): &()) {}
    fn ring((): &()) {}
}

/// A thread of an ordinary target.
#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
pub(crate) struct Parked;

#[cfg(not(any(target_arch = "wasm32", target_os = "none")))]
impl Sleep for Parked {
    type Bell = std::thread::Thread;
    fn own() -> std::thread::Thread {
        std::thread::current()
    }
    fn sleep(_: &std::thread::Thread) {
        std::thread::park();
    }
    fn ring(bell: &std::thread::Thread) {
        bell.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::thread;
    use std::vec::Vec;

    /// Two steps that only a lock makes one.
    fn add_one(counter: &AtomicU64) {
        let value = counter.load(Ordering::Relaxed);
        if value.is_multiple_of(64) {
            thread::yield_now();
        }
        counter.store(value + 1, Ordering::Relaxed);
    }

    #[test]
    fn one_thread_at_a_time_is_inside() {
        let (threads, rounds) = if cfg!(miri) { (3, 50) } else { (8, 20_000) };
        let lock = RawLock::<Parked>::new();
        let counter = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        lock.lock();
                        add_one(&counter);
                        // SAFETY: it was taken above.
                        unsafe { lock.unlock() };
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), threads * rounds);
        assert!(lock.try_lock(), "it is free in the end");
        assert!(!lock.try_lock());
    }

    #[test]
    fn who_waits_longest_is_next() {
        let lock = RawLock::<Parked>::new();
        let order = std::sync::Mutex::new(Vec::new());
        let lock = &lock;
        let order = &order;
        lock.lock();
        thread::scope(|scope| {
            for number in 0..5 {
                let before = lock.word.load(Ordering::Relaxed);
                scope.spawn(move || {
                    lock.lock();
                    order.lock().unwrap().push(number);
                    // SAFETY: it was taken above.
                    unsafe { lock.unlock() };
                });
                // Until it stands in line.
                while lock.word.load(Ordering::Relaxed) == before {
                    thread::yield_now();
                }
            }
            // SAFETY: it was taken above.
            unsafe { lock.unlock() };
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    }
}
