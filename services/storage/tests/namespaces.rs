//! Namespaces: each method in its success and in each of its errors.

mod common;

use common::{APPS, Error, ROOT, System, USER, grant};
use libprocess::interfaces::storage::namespaces::Access;
use storage::access::Grant;
use storage::record::DEFAULT_QUOTA;

fn subspace(system: &System, of: Grant, name: &str) -> Result<Grant, Error> {
    system.run(system.data.subspace(of, name, Access::ALL))
}

fn put(system: &System, of: Grant, key: &str, bytes: &[u8]) -> Result<u64, Error> {
    system.run(system.data.put(of, key, bytes, None))
}

fn there(system: &System, of: Grant, key: &str) -> bool {
    system.run(system.data.stat(of, key)).is_ok()
}

#[test]
fn the_first_namespaces_are_there_and_named() {
    let system = System::new();
    assert_eq!(
        system.run(system.data.list_namespaces(grant(ROOT), None)),
        Ok(vec!["apps".into(), "system".into(), "user".into()])
    );
    for badge in [0x207, USER] {
        assert_eq!(system.run(system.data.usage(grant(badge))).unwrap().quota, DEFAULT_QUOTA);
    }
    assert_eq!(subspace(&system, grant(ROOT), "user"), Ok(grant(USER)));
}

#[test]
fn a_name_leads_to_the_same_namespace_for_ever() {
    let system = System::new();
    let notes = subspace(&system, grant(APPS), "notes").unwrap();
    let other = subspace(&system, grant(APPS), "other").unwrap();
    assert_ne!(notes, other);
    put(&system, notes, "k", b"v").unwrap();
    assert!(!there(&system, other, "k"));
    let system = system.restarted();
    assert_eq!(subspace(&system, grant(APPS), "notes"), Ok(notes));
    assert_eq!(Grant::from_badge(notes.badge()), Ok(notes));
    assert!(there(&system, notes, "k"));
    assert_eq!(system.run(system.data.list_namespaces(grant(APPS), None)), Ok(vec!["notes".into(), "other".into()]));
    assert_eq!(system.run(system.data.list_namespaces(grant(APPS), Some("o"))), Ok(vec!["other".into()]));
    // The same name elsewhere is another namespace.
    assert_ne!(subspace(&system, grant(USER), "notes"), Ok(notes));
}

#[test]
fn a_capability_never_allows_more_than_the_one_it_came_from() {
    let system = System::new();
    let data = &system.data;
    let reader = system.run(data.subspace(grant(APPS), "notes", Access::READ)).unwrap();
    assert_eq!(reader.access, Access::READ);
    assert_eq!(put(&system, reader, "k", b"v"), Err(Error::PermissionDenied));
    let manager = grant(0x305);
    assert_eq!(system.run(data.subspace(manager, "notes", Access::READ | Access::WRITE)), Err(Error::PermissionDenied));
    for badge in [0x301, 0x302, 0x303] {
        assert_eq!(subspace(&system, grant(badge), "notes"), Err(Error::PermissionDenied));
        assert_eq!(system.run(data.list_namespaces(grant(badge), None)), Err(Error::PermissionDenied));
        assert_eq!(system.run(data.remove_namespace(grant(badge), "notes")), Err(Error::PermissionDenied));
        assert_eq!(system.run(data.set_quota(grant(badge), "notes", 1)), Err(Error::PermissionDenied));
    }
    let less = system.run(data.restrict(grant(USER), Access::READ)).unwrap();
    assert_eq!(less, grant(0x401));
    assert_eq!(system.run(data.restrict(less, Access::WRITE)), Err(Error::PermissionDenied));
    assert!(matches!(system.run(data.restrict(less, Access::NONE)), Err(Error::Invalid(_))));
    assert!(matches!(system.run(data.subspace(grant(USER), "x", Access::NONE)), Err(Error::Invalid(_))));
    assert_eq!(system.run(data.restrict(grant(0x9901), Access::READ)), Err(Error::NotFound));
    assert_eq!(system.run(data.usage(grant(0x402))), Err(Error::PermissionDenied));
}

#[test]
fn names_are_checked() {
    let system = System::new();
    for name in ["", ".", "..", "a\0"] {
        assert!(matches!(subspace(&system, grant(APPS), name), Err(Error::Invalid(_))));
        assert!(matches!(system.run(system.data.remove_namespace(grant(APPS), name)), Err(Error::Invalid(_))));
        assert!(matches!(system.run(system.data.set_quota(grant(APPS), name, 1)), Err(Error::Invalid(_))));
        assert!(matches!(system.run(system.data.list_namespaces(grant(APPS), Some(name))), Err(Error::Invalid(_))));
    }
    assert_eq!(subspace(&system, grant(APPS), &"x".repeat(256)), Err(Error::KeyTooLong));
    assert_eq!(system.run(system.data.remove_namespace(grant(APPS), "none")), Err(Error::NotFound));
    assert_eq!(system.run(system.data.set_quota(grant(APPS), "none", 1)), Err(Error::NotFound));
    assert_eq!(subspace(&system, grant(0x9907), "x"), Err(Error::NotFound));
    assert_eq!(system.run(system.data.list_namespaces(grant(0x9907), None)), Err(Error::NotFound));
}

#[test]
fn what_is_below_counts_above() {
    let system = System::new();
    let one = subspace(&system, grant(USER), "one").unwrap();
    let two = subspace(&system, one, "two").unwrap();
    put(&system, two, "k", &[0; 50_000]).unwrap();
    for (of, objects) in [(grant(USER), 3), (one, 2), (two, 1), (grant(ROOT), 3)] {
        let usage = system.run(system.data.usage(of)).unwrap();
        assert_eq!((usage.bytes, usage.objects), (50_000, objects));
    }
    system.run(system.data.set_quota(one, "two", 60_000)).unwrap();
    assert_eq!(put(&system, two, "l", &[0; 20_000]), Err(Error::QuotaExceeded(10_000)));
    system.run(system.data.set_quota(grant(USER), "one", 55_000)).unwrap();
    assert_eq!(put(&system, two, "l", &[0; 6_000]), Err(Error::QuotaExceeded(5_000)), "the one above has less left");
    system.run(system.data.set_quota(grant(USER), "one", 10)).unwrap();
    assert!(there(&system, two, "k"), "what is there stays");
    system.run(system.data.delete(two, "k", None)).unwrap();
    assert_eq!(system.run(system.data.usage(grant(USER))).unwrap().bytes, 0);
    assert_eq!(put(&system, grant(USER), "k", &[0; 1000]).map(|_| ()), Ok(()));
}

#[test]
fn a_removed_namespace_takes_everything_with_it_and_its_badge_leads_nowhere() {
    let system = System::new();
    let before = system.data.store().usage().free;
    let app = subspace(&system, grant(APPS), "app").unwrap();
    let below = subspace(&system, app, "below").unwrap();
    for number in 0..700 {
        put(&system, below, &format!("{number}"), b"value").unwrap();
    }
    system.run(system.data.make_folder(app, "folder")).unwrap();
    for _ in 0..4 {
        system.run(system.data.append(app, "folder/large", &[5; 60_000])).unwrap();
    }
    system.run(system.data.remove_namespace(grant(APPS), "app")).unwrap();
    for system in [&system, &system.restarted()] {
        for gone in [app, below] {
            assert_eq!(put(system, gone, "k", b"v"), Err(Error::NotFound));
            assert_eq!(system.run(system.data.stat_path(gone, "folder")).map(|_| ()), Err(Error::NotFound));
            assert_eq!(system.run(system.data.usage(gone)).map(|_| ()), Err(Error::NotFound));
        }
        let usage = system.run(system.data.usage(grant(APPS))).unwrap();
        assert_eq!((usage.bytes, usage.objects), (0, 0));
        assert_eq!(system.data.store().usage().free, before);
    }
    let again = subspace(&system, grant(APPS), "app").unwrap();
    assert_ne!(again, app, "its number is not used again");
    assert!(!there(&system, again, "1"));
    assert!(matches!(system.run(system.data.remove_namespace(grant(ROOT), "user")), Err(Error::Invalid(_))));
}

#[test]
fn namespaces_are_not_nested_without_end() {
    let system = System::new();
    let mut of = grant(APPS);
    let mut depth = 0;
    let error = loop {
        match subspace(&system, of, "deeper") {
            Ok(below) => of = below,
            Err(error) => break error,
        }
        depth += 1;
    };
    assert!(matches!(error, Error::Invalid(_)) && depth == 14);
    put(&system, of, "k", b"v").unwrap();
}

#[test]
fn no_key_reaches_into_another_namespace() {
    let system = System::new();
    put(&system, grant(APPS), "secret", b"canary").unwrap();
    for key in ["\u{3}secret", "\0\0\0\0\0\0\0\u{3}\u{2}secret", "../secret", "/secret"] {
        assert_eq!(system.run(system.data.get(grant(USER), key, 0, 9, None)).map(|_| ()), Err(Error::NotFound));
    }
    let page = system.run(system.data.list(grant(USER), "", 1000, None)).unwrap();
    assert!(page.entries.is_empty());
}
