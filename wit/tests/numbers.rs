//! Numbers of functions are for ever: the files are held against `numbers.lock`.

use std::path::{Path, PathBuf};
use wit::numbers::{self, Numbers};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn current(folder: &Path) -> Numbers {
    let files = wit::read_folder(folder).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    numbers::numbers(&files).unwrap()
}

#[test]
fn functions_keep_their_numbers() {
    let path = folder().join("numbers.lock");
    let lock = numbers::parse(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap();
    let now = current(&folder());
    let added = numbers::added(&lock, &now).unwrap_or_else(|wrong| panic!("{wrong}"));
    if std::env::var_os("WIT_BLESS").is_some() {
        std::fs::write(&path, numbers::write(&now)).unwrap();
        return;
    }
    assert!(
        added.is_empty(),
        "new functions are not in numbers.lock yet (WIT_BLESS=1 cargo test -p wit adds them): {added:#x?}"
    );
}

fn of(text: &str) -> Numbers {
    numbers::numbers(&[wit::read("sample", "sample.wit", text).unwrap()]).unwrap()
}

const BEFORE: &str = "package orbital:sample@0.1.0;
    /// @number 0x7000
    interface things { first: func(); second: func(); }";

#[test]
fn a_function_at_the_end_is_an_addition() {
    let after = BEFORE.replace("second: func();", "second: func(); third: func();");
    let added = numbers::added(&of(BEFORE), &of(&after)).unwrap();
    assert_eq!(added.into_iter().collect::<Vec<_>>(), [(0x7002, "sample/things third".to_string())]);
}

#[test]
fn a_function_put_in_between_is_an_error_that_names_what_moved() {
    let after = BEFORE.replace("second: func();", "third: func(); second: func();");
    let wrong = numbers::added(&of(BEFORE), &of(&after)).unwrap_err();
    assert!(wrong.contains("0x7001 was `sample/things second` and is `sample/things third`"), "{wrong}");
}

#[test]
fn a_removed_function_is_an_error() {
    let after = BEFORE.replace("second: func();", "");
    let wrong = numbers::added(&of(BEFORE), &of(&after)).unwrap_err();
    assert!(wrong.contains("0x7001 was `sample/things second` and is gone"), "{wrong}");
}

#[test]
fn two_interfaces_cannot_share_a_number() {
    let text = format!("{BEFORE}\n/// @number 0x7000\ninterface others {{ f: func(); }}");
    let file = wit::read("sample", "sample.wit", &text).unwrap();
    let wrong = numbers::numbers(&[file]).unwrap_err();
    assert!(wrong.contains("0x7000") && wrong.contains("sample/others") && wrong.contains("sample/things"), "{wrong}");
}

#[test]
fn a_lock_file_reads_as_it_was_written() {
    let numbers = of(BEFORE);
    assert_eq!(numbers::parse(&numbers::write(&numbers)).unwrap(), numbers);
    assert!(numbers::parse("0x7000").is_err());
    assert!(numbers::parse("7000 a b").is_err());
    assert!(numbers::parse("0x7000 a b\n0x7000 a c").unwrap_err().contains("numbers.lock:2"));
}
