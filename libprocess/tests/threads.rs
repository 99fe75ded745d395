//! What a process has of threads on a host that has none.

mod machine;

use libprocess::abi::Rights;
use libprocess::thread::{self, Local, Mutex};
use libprocess::{Cap, Error, Exit, Place, Process, Region, yield_now};
use machine::{Machine, Object, Run};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

static STEPS: Local<Cell<u64>> = Local::new(|| Cell::new(100));
/// Its first value asks for another.
static SECOND: Local<u64> = Local::new(|| STEPS.with(|steps| steps.get() + 1));

/// Runs two processes, whose turns alternate.
fn two<F: Future<Output = Exit> + 'static>(main: impl Fn(Process, u64) -> F + Clone + 'static) -> [Option<u64>; 2] {
    let machine = Machine::new();
    let quota = machine.object(Object::Quota);
    let mut run = Run::new(&machine);
    let processes = [1, 2].map(|number| {
        let main = main.clone();
        run.add(&[("quota", quota)], &[], move |process| main(process, number))
    });
    run.run();
    processes.map(|process| run.ended(process))
}

#[test]
fn every_process_has_its_own_values() {
    let ended = two(async |_, number| {
        for _ in 0..10 {
            STEPS.with(|steps| steps.set(steps.get() + number));
            yield_now().await;
        }
        assert_eq!(SECOND.with(|second| *second), 101 + 10 * number);
        Exit(STEPS.with(Cell::get))
    });
    assert_eq!(ended, [Some(110), Some(120)]);
}

#[test]
fn a_process_drops_its_values_with_itself() {
    struct Counted(Rc<Cell<u64>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    thread_local! {
        static DROPPED: Rc<Cell<u64>> = Rc::default();
    }
    static COUNTED: Local<Counted> = Local::new(|| Counted(DROPPED.with(Rc::clone)));
    two(async |_, _| {
        COUNTED.with(|_| ());
        COUNTED.with(|_| ());
        Exit(0)
    });
    assert_eq!(DROPPED.with(|dropped| dropped.get()), 2);
}

#[test]
fn threads_and_mappings_are_unsupported() {
    let ended = two(async |process, _| {
        let spawned = thread::spawn(process.quota(), 4096, || 1);
        assert_eq!(spawned.err(), Some(Error::Unsupported));
        let region = Cap::<Region>::from_handle(process.quota().handle());
        assert_eq!(region.map(Place::Anywhere, Rights::READ).err(), Some(Error::Unsupported));
        let _ = region.into_handle();
        thread::yield_now();
        Exit(0)
    });
    assert_eq!(ended, [Some(0), Some(0)]);
}

#[test]
fn a_thread_waits_for_no_future_where_tasks_run() {
    let ended = two(async |_, _| {
        let waited = catch_unwind(AssertUnwindSafe(|| thread::block_on(async {})));
        assert!(waited.is_err());
        Exit(0)
    });
    assert_eq!(ended, [Some(0), Some(0)]);
}

#[test]
fn a_lock_gives_its_value_to_one_at_a_time() {
    let mutex = Mutex::new(vec![1]);
    let mut guard = mutex.lock();
    guard.push(2);
    assert!(mutex.try_lock().is_none());
    assert_eq!(format!("{mutex:?}"), "Mutex(<locked>)");
    drop(guard);
    assert_eq!(mutex.try_lock().as_deref(), Some(&vec![1, 2]));
    assert_eq!(format!("{mutex:?}"), "Mutex([1, 2])");
    assert_eq!(mutex.into_inner(), [1, 2]);
}
