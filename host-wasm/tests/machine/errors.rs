//! Every call, made by a guest, ends with success and with each error of its row in docs/system-calls.md, as the number
//! that the row says, and with no other. `kernel/src/tests/errors.rs` says the same of the kernel alone.

use super::stage::play_with;
use super::table;
use abi::{Error, Number};
use host_wasm::image::Path;
use host_wasm::machine::End;
use std::collections::BTreeSet;

/// Errors of the table that no guest of this host can bring about.
const NOT_HERE: &[(Number, &[Error], &str)] = &[
    (Number::CaptureBegin, &[Error::Unsupported], "this host can capture"),
    (Number::CaptureEnd, &[Error::Unsupported], "this host can capture"),
    (
        Number::ThreadConfigure,
        &[Error::MissingRight, Error::Expired],
        "thread-create is Unsupported: nobody has a thread's",
    ),
];

/// The calls that components cannot have, sharing no memory: `Unsupported`, and nothing else.
const UNSUPPORTED: &[Number] = &[Number::ThreadCreate, Number::RegionMap, Number::RegionUnmap, Number::DeviceAddress];

/// How every call ended, in every way in which it did, on this path.
fn seen(path: Path) -> BTreeSet<(Number, Option<Error>)> {
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "run"))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#,
    );
    let digits: String = module.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let played = play_with(&["every-call", &digits], &[], path);
    assert_eq!(played.end, End::Off(0), "{path:?}: {}", played.output);
    let line = |line: &str| {
        let (name, end) = line.split_once(' ').unwrap();
        let call = Number::ALL.iter().find(|call| call.name() == name).expect("a call");
        (*call, Error::from_number(end.trim().parse().unwrap()))
    };
    let mut seen: BTreeSet<_> = played.output.lines().map(line).collect();
    // The last call of the scene turned the machine off.
    seen.insert((Number::DeviceWrite, None));
    seen
}

#[test]
fn every_call_of_a_guest_ends_as_the_table_says() {
    for path in [Path::Fastest, Path::Component] {
        let seen = seen(path);
        for &(call, end) in &seen {
            let named = end.is_none_or(|error| table::names(call, error));
            assert!(named, "{path:?}: docs/system-calls.md does not say {end:?} of {}", call.name());
        }
        let expected = Number::ALL.iter().flat_map(|&call| {
            if UNSUPPORTED.contains(&call) {
                return vec![(call, Some(Error::Unsupported))];
            }
            let here =
                |error: &Error| !NOT_HERE.iter().any(|(other, errors, _)| *other == call && errors.contains(error));
            let errors = table::errors()[&call].kernel.iter().copied().filter(here).map(|error| (call, Some(error)));
            errors.chain([(call, None)]).collect()
        });
        let missing: Vec<_> = expected.filter(|end| !seen.contains(end)).collect();
        assert!(missing.is_empty(), "{path:?}: not seen: {missing:?}");
        let more: Vec<_> =
            seen.iter().filter(|(call, end)| UNSUPPORTED.contains(call) && *end != Some(Error::Unsupported)).collect();
        assert!(more.is_empty(), "{path:?}: {more:?}");
    }
}
