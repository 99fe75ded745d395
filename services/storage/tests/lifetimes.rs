//! Values that expire: gone from everything when their time has come, with their space, and never back,
//! whatever the clock does and whenever the power goes.

mod common;

use common::{Error, System, USER, grant};
use libprocess::interfaces::storage::objects::{CheckStep, Step};
use std::cell::RefCell;
use storage_engine::DeviceError;
use storage_engine::simulation::together;

const LIFE: u64 = 5_000;

fn put_for(system: &System, key: &str, bytes: &[u8]) -> u64 {
    system.run(system.data.put_for(grant(USER), key, bytes, LIFE, None)).unwrap()
}

fn is_there(system: &System, key: &str) -> bool {
    let got = system.run(system.data.get(grant(USER), key, 0, 10, None));
    let stat = system.run(system.data.stat(grant(USER), key));
    let listed = system.run(system.data.list(grant(USER), key, 10, None)).unwrap().entries.len();
    match got {
        Ok(_) => assert_eq!((stat.is_ok(), listed), (true, 1)),
        Err(error) => assert_eq!((error, stat, listed), (Error::NotFound, Err(Error::NotFound), 0)),
    }
    listed == 1
}

/// Bytes and objects of the user's namespace, and free pages.
fn taken(system: &System) -> (u64, u64, u64) {
    let usage = system.run(system.data.usage(grant(USER))).unwrap();
    (usage.bytes, usage.objects, system.data.store().usage().free)
}

#[test]
fn what_has_expired_is_gone_with_its_space() {
    let system = System::new();
    let before = taken(&system);
    put_for(&system, "small", b"x");
    put_for(&system, "large", &[7; 50_000]);
    assert!(is_there(&system, "small"));
    assert_eq!(system.run(system.data.lifetime(grant(USER), "small")), Ok(Some(LIFE)));
    system.clock.set(1_000_000 + LIFE - 1);
    assert!(is_there(&system, "large"));
    assert_eq!(system.run(system.data.lifetime(grant(USER), "large")), Ok(Some(1)));
    system.clock.set(1_000_000 + LIFE);
    assert!(!is_there(&system, "small") && !is_there(&system, "large"));
    assert_eq!(system.run(system.data.lifetime(grant(USER), "large")), Err(Error::NotFound));
    system.run(system.data.delete(grant(USER), "other", None)).unwrap_err();
    let after = taken(&system);
    assert_eq!((after.0, after.1), (before.0, before.1));
    // A node or two: the tree has not the shape of before.
    assert!(after.2 + 4 >= before.2, "{after:?} {before:?}");
}

#[test]
fn a_list_alone_leaves_out_and_removes_what_has_expired() {
    let system = System::new();
    for number in 0..100 {
        put_for(&system, &format!("k{number}"), b"x");
    }
    system.run(system.data.put(grant(USER), "k", b"stays", None)).unwrap();
    system.clock.set(2_000_000);
    let page = system.run(system.data.list(grant(USER), "", 1000, None)).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["k"]);
    assert_eq!(taken(&system).1, 1);
}

#[test]
fn it_is_removed_by_itself_in_steps_of_a_few() {
    let system = System::new();
    for number in 0..100 {
        put_for(&system, &format!("k{number}"), &[1; 2000]);
    }
    system.run(system.data.put_for(grant(USER), "later", b"x", 10 * LIFE, None)).unwrap();
    assert_eq!(system.run(system.data.remove_expired()), Ok(Some(1_000_000 + LIFE)));
    assert_eq!(taken(&system).1, 101);
    system.clock.set(1_000_000 + LIFE);
    let generation = system.data.store().usage().generation;
    assert_eq!(system.run(system.data.remove_expired()), Ok(Some(1_000_000 + 10 * LIFE)));
    assert_eq!(taken(&system).1, 1);
    // 100 values, 32 a commit.
    assert_eq!(system.data.store().usage().generation - generation, 4);
}

#[test]
fn to_conditions_it_is_not_there() {
    let system = System::new();
    let user = grant(USER);
    for key in ["a", "b", "c", "d"] {
        put_for(&system, key, b"x");
    }
    system.clock.set(2_000_000);
    assert!(system.run(system.data.put(user, "a", b"y", Some(0))).is_ok());
    assert_eq!(system.run(system.data.put(user, "b", b"y", Some(1))), Err(Error::VersionConflict(0)));
    assert_eq!(system.run(system.data.delete(user, "c", None)), Err(Error::NotFound));
    let check = |version| [Step::Check(CheckStep { key: "d".into(), version })];
    assert!(system.run(system.data.transact(user, &check(0))).is_ok());
    // What was told so stays so.
    system.clock.set(1_000_000);
    let system = system.restarted();
    for key in ["b", "c", "d"] {
        assert!(!is_there(&system, key), "{key}");
    }
}

#[test]
fn a_put_ends_the_lifetime_and_another_begins_a_new_one() {
    let system = System::new();
    put_for(&system, "k", b"1");
    system.run(system.data.put(grant(USER), "k", b"2", None)).unwrap();
    put_for(&system, "l", b"1");
    system.clock.set(1_000_000 + LIFE / 2);
    put_for(&system, "l", b"2");
    system.clock.set(1_000_000 + LIFE);
    assert_eq!(system.run(system.data.remove_expired()), Ok(Some(1_000_000 + LIFE / 2 + LIFE)));
    assert!(is_there(&system, "k") && is_there(&system, "l"));
    assert_eq!(system.run(system.data.lifetime(grant(USER), "k")), Ok(None));
    system.run(system.data.delete(grant(USER), "l", None)).unwrap();
    assert_eq!(system.run(system.data.remove_expired()), Ok(None));
}

#[test]
fn a_clock_that_jumps_back_brings_nothing_back() {
    let system = System::new();
    put_for(&system, "seen", b"x");
    put_for(&system, "unseen", b"x");
    system.clock.set(1_000_000 + LIFE);
    assert!(!is_there(&system, "seen"));
    system.clock.set(1_000);
    assert!(!is_there(&system, "unseen"), "within a run time does not go back");
    // Nor after a restart, to before what was seen to have expired: also for what nobody has looked at.
    put_for(&system, "sooner", b"x");
    system.clock.set(1_000_000 + 3 * LIFE);
    put_for(&system, "later", b"x");
    system.clock.set(1_000_000 + 4 * LIFE);
    assert!(!is_there(&system, "later"));
    let system = System::on(system.disk.clone());
    for key in ["seen", "unseen", "sooner", "later"] {
        assert!(!is_there(&system, key), "{key}");
    }
    // And what is put then lives as long as it was told, by the time since boot.
    put_for(&system, "new", b"x");
    assert_eq!(system.run(system.data.lifetime(grant(USER), "new")), Ok(Some(LIFE)));
}

#[test]
fn on_a_disk_that_refuses_writes_it_is_gone_all_the_same() {
    let system = System::new();
    put_for(&system, "k", b"x");
    system.clock.set(2_000_000);
    system.disk.fail_after(Some((0, DeviceError::Failed)), false);
    assert!(!is_there(&system, "k"));
    system.clock.set(1_000_000);
    assert!(!is_there(&system, "k"));
    system.disk.fail_after(None, false);
    system.disk.set_read_only(true);
    assert!(!is_there(&system, "k"));
}

#[test]
fn no_lifetime_at_all_is_refused_and_the_longest_is_for_ever() {
    let system = System::new();
    let put = |lifetime| system.run(system.data.put_for(grant(USER), "k", b"x", lifetime, None));
    assert!(matches!(put(0), Err(Error::Invalid(_))));
    assert_eq!(system.run(system.data.put_for(grant(0x401), "k", b"x", 1, None)), Err(Error::PermissionDenied));
    put(u64::MAX).unwrap();
    system.clock.set(u64::MAX - 1);
    assert!(is_there(&system, "k"));
}

#[test]
fn a_namespace_that_goes_takes_its_lifetimes_along() {
    let system = System::new();
    let access = libprocess::interfaces::storage::namespaces::Access::ALL;
    let space = system.run(system.data.subspace(grant(USER), "s", access)).unwrap();
    system.run(system.data.put_for(space, "k", b"x", LIFE, None)).unwrap();
    system.run(system.data.remove_namespace(grant(USER), "s")).unwrap();
    assert_eq!(system.run(system.data.remove_expired()), Ok(None));
}

/// Whatever removes the first one meanwhile, the next is known: else it would stay until something else is put.
#[test]
fn what_somebody_else_removes_does_not_hide_what_expires_later() {
    for seed in 0..20 {
        let system = System::new();
        put_for(&system, "first", b"x");
        let data = &system.data;
        system.run(data.put_for(grant(USER), "second", b"x", 10 * LIFE, None)).unwrap();
        system.clock.set(1_000_000 + LIFE);
        let next = RefCell::new(None);
        system.run(together(
            seed,
            vec![
                Box::pin(async {
                    match seed % 3 {
                        0 => assert_eq!(data.get(grant(USER), "first", 0, 1, None).await, Err(Error::NotFound)),
                        1 => assert!(data.put(grant(USER), "first", b"y", None).await.is_ok()),
                        _ => assert_eq!(data.delete(grant(USER), "first", None).await, Err(Error::NotFound)),
                    }
                }),
                Box::pin(async { *next.borrow_mut() = Some(data.remove_expired().await) }),
            ],
        ));
        assert_eq!(next.take(), Some(Ok(Some(1_000_000 + 10 * LIFE))), "seed {seed}");
    }
}

/// If that comes to nothing, the first one is still to be removed.
#[test]
fn what_somebody_else_fails_to_remove_is_tried_again() {
    for seed in 0..20 {
        let system = System::new();
        put_for(&system, "first", b"x");
        system.clock.set(1_000_000 + LIFE);
        system.disk.fail_after(Some((1, DeviceError::Failed)), false);
        let data = &system.data;
        let next = RefCell::new(None);
        system.run(together(
            seed,
            vec![
                Box::pin(async { assert!(data.get(grant(USER), "first", 0, 1, None).await.is_err()) }),
                Box::pin(async { *next.borrow_mut() = Some(data.remove_expired().await) }),
            ],
        ));
        assert_eq!(next.take(), Some(Err(Error::Device)), "seed {seed}");
    }
}
