//! `kernel.wit` and `kernel/abi` say the same: names and order of system calls, errors, kinds
//! of deliveries and of transfers.

use abi::{DeliveryKind, Error, Number, TransferMode};
use std::path::Path;
use wit_parser::{Interface, Resolve, TypeDefKind};

fn with_calls(check: impl FnOnce(&Resolve, &Interface)) {
    let mut resolve = Resolve::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernel.wit");
    let text = std::fs::read_to_string(&path).unwrap();
    let package = resolve.push_source("kernel.wit", &text).unwrap();
    let calls = resolve.packages[package].interfaces["calls"];
    check(&resolve, &resolve.interfaces[calls]);
}

/// `PeerGone` becomes `peer-gone`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(character.to_lowercase());
    }
    text
}

fn cases(resolve: &Resolve, calls: &Interface, name: &str) -> Vec<String> {
    match &resolve.types[calls.types[name]].kind {
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
        other => panic!("{name} is a {}", other.as_str()),
    }
}

#[test]
fn every_system_call_is_a_function_and_the_other_way_round() {
    with_calls(|_, calls| {
        let mut functions: Vec<String> = calls
            .functions
            .keys()
            // The forms with bytes and capabilities, and what fetches them.
            .filter(|name| !name.ends_with("-with") && !name.starts_with("take-"))
            .cloned()
            .collect();
        let mut numbers: Vec<String> = Number::ALL.iter().map(|number| number.name().to_string()).collect();
        functions.sort();
        numbers.sort();
        assert_eq!(functions, numbers);
    });
}

#[test]
fn errors_and_kinds_are_the_same_in_the_same_order() {
    with_calls(|resolve, calls| {
        let errors: Vec<String> = Error::ALL.iter().map(|error| kebab(&format!("{error:?}"))).collect();
        assert_eq!(cases(resolve, calls, "error"), errors);
        let kinds = [
            DeliveryKind::Sent,
            DeliveryKind::Called,
            DeliveryKind::Answer,
            DeliveryKind::Notified,
            DeliveryKind::Fault,
            DeliveryKind::Exit,
        ];
        for (position, kind) in kinds.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
        }
        assert_eq!(cases(resolve, calls, "delivery-kind"), kinds.map(|kind| kebab(&format!("{kind:?}"))));
        let modes = [TransferMode::Move, TransferMode::Derive, TransferMode::Reply];
        assert_eq!(cases(resolve, calls, "transfer-mode"), modes.map(|mode| kebab(&format!("{mode:?}"))));
    });
}
