//! Streams and other uploads: seen whole or not at all, within the quota, given up with their writers; and space
//! of large values comes back in steps of a few writes, however large they were.

mod common;

use common::{Error, ROOT, System, USER, grant};
use std::cell::Cell;
use std::rc::Rc;
use storage::access::Grant;
use storage::content::CHUNK;
use storage::data::MAX_PART;
use storage::reclaim::CHUNKS_AT_ONCE;
use storage::record::DEFAULT_QUOTA;
use storage::upload::{IDLE, MAX_UPLOADS};
use storage_engine::DeviceError;
use storage_engine::simulation::together;

fn part(number: u64) -> Vec<u8> {
    (0..MAX_PART).map(|at| (number as usize * 31 + at / 7) as u8).collect()
}

fn stream(system: &System, key: &str) -> u64 {
    system.run(system.data.begin_stream(grant(USER), key, Box::new(|| true))).unwrap()
}

fn add(system: &System, number: u64, bytes: &[u8]) -> Result<(), Error> {
    system.run(system.data.add(grant(USER), number, bytes))
}

fn unlimited() -> System {
    let system = System::new();
    system.run(system.data.set_quota(grant(ROOT), "user", u64::MAX)).unwrap();
    system
}

fn reclaim(system: &System) -> u64 {
    let mut steps = 0;
    while system.run(system.data.reclaim_step()).unwrap() {
        steps += 1;
    }
    steps
}

fn free(system: &System) -> u64 {
    // What the last commit dropped is free when it is durable.
    system.run(system.data.put(grant(ROOT), "settle", b"", None)).unwrap();
    system.data.store().usage().free
}

fn listed(system: &System) -> usize {
    system.run(system.data.list(grant(USER), "", 10, None)).unwrap().entries.len()
}

#[test]
fn a_stream_is_seen_when_it_is_finished_and_not_before() {
    let system = unlimited();
    for parts in [0, 1, 2, CHUNKS_AT_ONCE as u64, CHUNKS_AT_ONCE as u64 * 2 + 1] {
        let number = stream(&system, "k");
        for at in 0..parts {
            add(&system, number, &part(at)).unwrap();
            assert_eq!(listed(&system), 0);
        }
        add(&system, number, b"the end").unwrap();
        assert!(system.restarted().run(system.data.get(grant(USER), "k", 0, 1, None)).is_err());
        let version = system.run(system.data.finish(grant(USER), number, Some(0))).unwrap();
        let again = system.restarted();
        let size = parts * CHUNK + 7;
        for at in 0..parts {
            let got = again.run(again.data.get(grant(USER), "k", at * CHUNK, MAX_PART as u32, Some(version))).unwrap();
            assert!(got.bytes == part(at) && got.stat.size == size, "part {at} of {parts}");
        }
        let end = again.run(again.data.get(grant(USER), "k", size - 7, 100, None)).unwrap();
        assert_eq!(end.bytes, b"the end");
        system.run(system.data.delete(grant(USER), "k", None)).unwrap();
        reclaim(&system);
        assert_eq!(system.run(system.data.usage(grant(USER))).unwrap().bytes, 0);
    }
}

#[test]
fn a_stream_into_a_file_replaces_it_when_it_is_finished_and_goes_with_its_writer() {
    let system = unlimited();
    let begin = |writer: Rc<Cell<bool>>| {
        let writer = Box::new(move || writer.get());
        system.run(system.data.begin_file_stream(grant(USER), "/f", writer)).unwrap()
    };
    let size = |system: &System| system.run(system.data.stat_path(grant(USER), "/f")).map(|info| info.size);
    let parts = CHUNKS_AT_ONCE as u64 + 1;
    let there = Rc::new(Cell::new(true));
    let number = begin(there.clone());
    for at in 0..parts {
        add(&system, number, &part(at)).unwrap();
        assert_eq!(size(&system), Err(Error::NotFound));
    }
    system.run(system.data.finish(grant(USER), number, Some(0))).unwrap();
    let again = system.restarted();
    assert_eq!(size(&again), Ok(parts * CHUNK));
    for at in 0..parts {
        let got = again.run(again.data.read(grant(USER), "f", at * CHUNK, MAX_PART as u32)).unwrap();
        assert!(got.bytes == part(at), "part {at}");
    }
    let number = begin(there.clone());
    add(&system, number, b"new").unwrap();
    there.set(false);
    assert!(!system.data.give_up_uploads());
    assert_eq!(add(&system, number, b"x"), Err(Error::NoSuchUpload));
    assert_eq!(size(&system), Ok(parts * CHUNK), "what was there stays");
}

#[test]
fn it_goes_with_its_writer_and_leaves_nothing() {
    let system = unlimited();
    let before = free(&system);
    let is_there = Rc::new(Cell::new(true));
    let writer = is_there.clone();
    let number = system.run(system.data.begin_stream(grant(USER), "k", Box::new(move || writer.get()))).unwrap();
    for at in 0..3 * CHUNKS_AT_ONCE as u64 {
        add(&system, number, &part(at)).unwrap();
    }
    assert!(system.data.give_up_uploads());
    assert_eq!(reclaim(&system), 0, "what is still being written is not let go");
    assert!(free(&system) + 3 * CHUNKS_AT_ONCE as u64 * 15 <= before);
    is_there.set(false);
    assert!(!system.data.give_up_uploads());
    assert_eq!(add(&system, number, b"x"), Err(Error::NoSuchUpload));
    assert_eq!(reclaim(&system), 3);
    assert!(free(&system) + 4 >= before);
    assert_eq!(listed(&system), 0);
}

#[test]
fn what_a_kill_leaves_of_it_comes_back() {
    let system = unlimited();
    let before = free(&system);
    let number = stream(&system, "k");
    for at in 0..2 * CHUNKS_AT_ONCE as u64 + 3 {
        add(&system, number, &part(at)).unwrap();
    }
    let again = system.restarted();
    assert_eq!(again.run(again.data.add(grant(USER), number, b"x")), Err(Error::NoSuchUpload));
    assert_eq!(reclaim(&again), 2);
    assert!(free(&again) + 4 >= before);
}

#[test]
fn an_upload_to_which_nothing_comes_is_given_up() {
    let system = unlimited();
    let number = system.run(system.data.begin_object(grant(USER), "k", 10)).unwrap();
    system.clock.set(1_000_000 + IDLE - 1);
    assert!(system.data.give_up_uploads());
    system.clock.set(1_000_000 + IDLE);
    assert!(!system.data.give_up_uploads());
    assert_eq!(add(&system, number, b"x"), Err(Error::NoSuchUpload));
}

#[test]
fn the_quota_holds_while_it_comes_and_at_those_above() {
    let system = System::new();
    let refused_after = |system: &System, at: Grant| {
        let number = system.run(system.data.begin_stream(at, "k", Box::new(|| true))).unwrap();
        let mut taken = 0;
        loop {
            match system.run(system.data.add(at, number, &part(0))) {
                Ok(()) => taken += MAX_PART as u64,
                Err(error) => {
                    assert!(matches!(error, Error::QuotaExceeded(_)), "{error:?}");
                    return taken;
                }
            }
        }
    };
    assert_eq!(refused_after(&system, grant(USER)), (10 << 20) / CHUNK * CHUNK);
    // A namespace below may hold more than the one above it has left.
    let access = libprocess::interfaces::storage::namespaces::Access::ALL;
    let space = system.run(system.data.subspace(grant(USER), "s", access)).unwrap();
    system.run(system.data.set_quota(grant(USER), "s", u64::MAX)).unwrap();
    assert_eq!(refused_after(&system, space), (10 << 20) / CHUNK * CHUNK);
    assert_eq!(listed(&system), 0);
    reclaim(&system);
    assert_eq!(system.run(system.data.usage(grant(USER))).unwrap().bytes, 0);
}

fn below(system: &System, name: &str) -> Grant {
    let access = libprocess::interfaces::storage::namespaces::Access::ALL;
    system.run(system.data.subspace(grant(USER), name, access)).unwrap()
}

/// What comes to one counts for the other too, at the one above both.
#[test]
fn the_quota_of_those_above_holds_for_all_that_comes_below() {
    let system = System::new();
    let more_than_half = (DEFAULT_QUOTA / 2).div_ceil(CHUNK);
    let [one, two] = ["one", "two"].map(|name| below(&system, name));
    let begin = |space| system.run(system.data.begin_stream(space, "k", Box::new(|| true))).unwrap();
    let [first, second] = [one, two].map(begin);
    for at in 0..more_than_half {
        system.run(system.data.add(one, first, &part(at))).unwrap();
    }
    let left = DEFAULT_QUOTA / CHUNK - more_than_half;
    for at in 0..left {
        system.run(system.data.add(two, second, &part(at))).unwrap();
    }
    assert!(matches!(system.run(system.data.add(two, second, &part(left))), Err(Error::QuotaExceeded(_))));
    let refused = |result| matches!(result, Err(Error::QuotaExceeded(_)));
    assert!(refused(system.run(system.data.begin_object(two, "k", DEFAULT_QUOTA / 2))));
    assert!(refused(system.run(system.data.begin_file(grant(USER), "f", DEFAULT_QUOTA / 2))));
    system.run(system.data.finish(one, first, None)).unwrap();
    system.run(system.data.begin_object(two, "k", DEFAULT_QUOTA / 2)).unwrap();
}

/// An upload may replace what is there, but not every one of several the same.
#[test]
fn what_is_there_makes_room_for_one_upload_and_not_for_each() {
    let system = System::new();
    for number in 0..10 {
        system.run(system.data.put(grant(USER), &format!("k{number}"), &part(0), None)).unwrap();
    }
    system.run(system.data.set_quota(grant(ROOT), "user", 10 * CHUNK)).unwrap();
    system.run(system.data.begin_object(grant(USER), "k0", 10 * CHUNK)).unwrap();
    assert_eq!(system.run(system.data.begin_object(grant(USER), "k1", 1)), Err(Error::QuotaExceeded(0)));
}

/// While parts of it are on their way to the disk, an upload counts as well.
#[test]
fn the_quota_holds_for_uploads_that_are_added_to_at_the_same_time() {
    for seed in 0..10 {
        let system = System::new();
        system.run(system.data.set_quota(grant(ROOT), "user", 8 * CHUNK)).unwrap();
        let data = &system.data;
        // Of each, as long as it has not been refused, and the most of all together.
        let (taken, most) = ([const { Cell::new(0) }; 4], Cell::new(0));
        let adders = (0..4).map(|number| {
            let (taken, most) = (&taken, &most);
            let upload = stream(&system, &format!("k{number}"));
            Box::pin(async move {
                while data.add(grant(USER), upload, &part(0)).await.is_ok() {
                    taken[number].set(taken[number].get() + 1);
                    most.set(most.get().max(taken.iter().map(Cell::get).sum()));
                }
                taken[number].set(0);
            }) as _
        });
        system.run(together(seed, adders.collect()));
        assert!(most.get() <= 8, "seed {seed}: {} chunks of 8", most.get());
    }
}

#[test]
fn uploads_of_all_namespaces_are_bounded_and_those_given_up_give_way() {
    let system = unlimited();
    let is_there = Rc::new(Cell::new(true));
    let spaces: Vec<Grant> = (0..20).map(|number| below(&system, &format!("n{number}"))).collect();
    let begin = |space| {
        let writer = is_there.clone();
        system.run(system.data.begin_stream(space, "k", Box::new(move || writer.get())))
    };
    let begun = spaces.iter().flat_map(|space| [*space; MAX_UPLOADS]).take_while(|space| begin(*space).is_ok()).count();
    assert_eq!(begun, 64);
    assert_eq!(begin(grant(USER)), Err(Error::TooManyUploads));
    is_there.set(false);
    begin(grant(USER)).unwrap();
}

#[test]
fn a_condition_that_fails_at_the_end_leaves_what_was_there() {
    let system = unlimited();
    let version = system.run(system.data.put(grant(USER), "k", b"old", None)).unwrap();
    let before = free(&system);
    let number = stream(&system, "k");
    for at in 0..CHUNKS_AT_ONCE as u64 + 1 {
        add(&system, number, &part(at)).unwrap();
    }
    assert_eq!(system.run(system.data.finish(grant(USER), number, Some(0))), Err(Error::VersionConflict(version)));
    assert_eq!(system.run(system.data.get(grant(USER), "k", 0, 10, None)).unwrap().bytes, b"old");
    assert_eq!(reclaim(&system), 1);
    assert!(free(&system) + 4 >= before);
}

#[test]
fn an_error_of_the_disk_ends_it_and_what_it_took_comes_back() {
    let system = unlimited();
    let before = free(&system);
    let number = stream(&system, "k");
    let mut failed = false;
    system.disk.fail_after(Some((100, DeviceError::Failed)), false);
    for at in 0..4 * CHUNKS_AT_ONCE as u64 {
        if let Err(error) = add(&system, number, &part(at)) {
            assert_eq!(error, Error::Device);
            failed = true;
            break;
        }
    }
    assert!(failed);
    system.disk.fail_after(None, false);
    assert_eq!(add(&system, number, b"x"), Err(Error::NoSuchUpload));
    reclaim(&system);
    assert!(free(&system) + 4 >= before);
    system.run(system.data.put(grant(USER), "k", b"x", Some(0))).unwrap();
}

/// Puts a value of so many parts and removes it. The most bytes, written and read, of any step on the way: of an
/// addition, the end, the removal, and of each step that lets go of its space.
fn largest_step(parts: u64) -> (u64, u64) {
    let system = unlimited();
    let (mut written, mut read) = (0, 0);
    let mut step = |work: &dyn Fn()| {
        let before = system.disk.counts();
        work();
        let after = system.disk.counts();
        written = written.max(after.bytes_written - before.bytes_written);
        read = read.max(after.bytes_read - before.bytes_read);
    };
    let number = stream(&system, "k");
    let bytes = part(0);
    for _ in 0..parts {
        step(&|| add(&system, number, &bytes).unwrap());
    }
    step(&|| assert!(system.run(system.data.finish(grant(USER), number, None)).is_ok()));
    step(&|| system.run(system.data.delete(grant(USER), "k", None)).unwrap());
    let more = Cell::new(true);
    let mut steps = 0;
    while more.get() {
        step(&|| more.set(system.run(system.data.reclaim_step()).unwrap()));
        steps += 1;
    }
    assert_eq!(steps, (parts / CHUNKS_AT_ONCE as u64).max(1) + 1);
    (written, read)
}

#[test]
fn no_step_is_longer_for_a_larger_value() {
    let small = largest_step(2 * CHUNKS_AT_ONCE as u64);
    let large = largest_step(14 * CHUNKS_AT_ONCE as u64);
    println!("bytes written and read in the longest step: of 7.5 MiB {small:?}, of 52.5 MiB {large:?}");
    // The parts themselves, and a level of the tree more.
    assert!(large.0 <= small.0 + 4 * 8192 && large.1 <= small.1 + 8 * 8192, "{small:?} {large:?}");
    assert!(large.0 <= 256 << 10 && large.1 <= 256 << 10, "{large:?}");
}

#[test]
fn a_full_disk_waits_for_the_space_of_what_was_removed() {
    let system = System::on(storage_engine::simulation::SimulatedDisk::empty(32_768));
    system.run(system.data.set_quota(grant(ROOT), "user", u64::MAX)).unwrap();
    let number = stream(&system, "large");
    for at in 0..200 {
        add(&system, number, &part(at)).unwrap();
    }
    system.run(system.data.finish(grant(USER), number, None)).unwrap();
    let mut small = 0;
    while system.run(system.data.put(grant(USER), &format!("s{small}"), &part(0), None)).is_ok() {
        small += 1;
    }
    assert_eq!(system.run(system.data.put(grant(USER), "more", &part(0), None)), Err(Error::NoSpace));
    system.run(system.data.delete(grant(USER), "large", None)).unwrap();
    for more in 0..150 {
        system.run(system.data.put(grant(USER), &format!("m{more}"), &part(0), None)).unwrap();
    }
}
