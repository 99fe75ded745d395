//! Executables that no honest compiler made. They are modules in text form, so that
//! every pointer is what the test says.

use super::stage::{Played, play_with};
use abi::message::FaultKind;
use host_wasm::image::{Loader, Path, wrap};
use host_wasm::machine::End;
use host_wasm::machine::boot;

const CALL: &str = r#"(import "orbital:kernel/calls@0.1.0" "call"
    (func $call (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32)))"#;
const SEND_WITH: &str = r#"(import "orbital:kernel/calls@0.1.0" "send-with"
    (func $send (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i32 i32 i32)))"#;
const DEBUG: &str = r#"(import "orbital:kernel/calls@0.1.0" "debug" (func $debug (param i32 i32 i32)))"#;
const STARTUP: &str = r#"(import "orbital:kernel/calls@0.1.0" "startup" (func $startup (param i32)))"#;

/// A module with these imports whose `run` does this.
fn module(import: &str, run: &str) -> Vec<u8> {
    module_with(import, run, "unreachable")
}

/// The same, with a `cabi_realloc` that does this.
fn module_with(import: &str, run: &str, realloc: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {import}
            (memory (export "memory") 1)
            (func (export "run") {run})
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc}))"#
    );
    wat::parse_str(text).unwrap()
}

fn call(ret: &str) -> String {
    format!("(call $call {} (i32.const {ret}))", "(i64.const 0) ".repeat(11))
}

fn send(bytes: &str, length: &str, transfers: &str, count: &str, ret: &str) -> String {
    let lists = [bytes, length, transfers, count, ret].map(|value| format!("(i32.const {value})")).join(" ");
    format!("(call $send {} {lists})", "(i64.const 0) ".repeat(11))
}

/// How the stranger ended, on each path: `fault KIND DETAIL` or `exit REASON CODE`.
fn ends(bytes: &[u8]) -> [String; 2] {
    [Path::Fastest, Path::Component].map(|path| {
        let Played { end, output, .. } = play_with(&["stranger"], &[("stranger", bytes.to_vec())], path);
        assert_eq!(end, End::Off(0), "{path:?}: {output}");
        output.trim().to_owned()
    })
}

#[test]
fn a_module_that_does_nothing_ends_well() {
    assert_eq!(ends(&module("", "")), ["exit 0 0", "exit 0 0"]);
}

#[test]
fn pointers_outside_the_memory_are_faults_on_both_paths() {
    let cases = [
        module(CALL, &call("65536")),
        module(CALL, &call("0xffffffff")),
        module(CALL, &call("65528")),
        module(CALL, &call("0xfffffff8")),
        module(SEND_WITH, &send("0xffffffff", "1", "0", "0", "0")),
        module(SEND_WITH, &send("1", "0xffffffff", "0", "0", "0")),
        module(SEND_WITH, &send("65535", "2", "0", "0", "0")),
        module(SEND_WITH, &send("0", "0", "0", "0x0fffffff", "0")),
        module(SEND_WITH, &send("0", "0", "0xfffffff8", "1", "0")),
        module(SEND_WITH, &send("0", "0", "65528", "1", "0")),
        module(DEBUG, "(call $debug (i32.const 65530) (i32.const 100) (i32.const 0))"),
        module_with(STARTUP, "(call $startup (i32.const 65530))", "i32.const 8"),
    ];
    for (index, case) in cases.iter().enumerate() {
        for end in ends(case) {
            assert!(end.starts_with("fault "), "case {index}: {end}");
        }
    }
}

#[test]
fn pointers_that_are_not_aligned_are_faults_on_both_paths() {
    for end in ends(&module(CALL, &call("4"))) {
        assert!(end.starts_with("fault "), "{end}");
    }
    for end in ends(&module(SEND_WITH, &send("0", "0", "4", "1", "0"))) {
        assert!(end.starts_with("fault "), "{end}");
    }
}

#[test]
fn a_mode_of_transfer_that_does_not_exist_is_a_fault() {
    let run = format!("(i32.store8 (i32.const 72) (i32.const 9)) {}", send("0", "0", "64", "1", "0"));
    for end in ends(&module(SEND_WITH, &run)) {
        assert!(end.starts_with("fault "), "{end}");
    }
}

#[test]
fn an_error_is_written_where_the_guest_wants_it() {
    // Handle 0 names nothing: the result is `err(bad-handle)`, 1 and 0; the guest then exits by returning.
    let run = format!(
        "{} (if (i32.ne (i32.load8_u (i32.const 128)) (i32.const 1)) (then unreachable))
            (if (i32.ne (i32.load8_u (i32.const 136)) (i32.const 0)) (then unreachable))",
        call("128")
    );
    assert_eq!(ends(&module(CALL, &run)), ["exit 0 0", "exit 0 0"]);
}

#[test]
fn an_allocator_that_lies_is_a_fault() {
    // The startup block of the stranger is not empty, so it must be put somewhere.
    for realloc in ["i32.const 0x7fffffff", "i32.const -1", "unreachable"] {
        for end in ends(&module_with(STARTUP, "(call $startup (i32.const 0))", realloc)) {
            assert!(end.starts_with("fault "), "{realloc}: {end}");
        }
    }
}

#[test]
fn an_allocator_that_calls_the_kernel_again_does_no_harm() {
    let imports = format!("{STARTUP} {DEBUG}");
    let realloc = "(call $debug (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 1024)";
    for end in ends(&module_with(&imports, "(call $startup (i32.const 0))", realloc)) {
        assert!(end == "exit 0 0" || end.starts_with("fault "), "{end}");
    }
}

#[test]
fn an_endless_recursion_is_a_stack_overflow() {
    let module = module("", "(call 0)");
    for end in ends(&module) {
        assert_eq!(end, format!("fault {} 0", FaultKind::StackOverflow as u8));
    }
}

#[test]
fn a_trap_says_which() {
    let [fast, component] = ends(&module("", "unreachable"));
    assert!(fast.starts_with(&format!("fault {} ", FaultKind::Trap as u8)), "{fast}");
    assert_eq!(fast, component);
}

#[test]
fn a_start_function_that_calls_the_kernel_is_no_way_in() {
    let text = format!(
        r#"(module {DEBUG} (memory (export "memory") 1) (func (export "run"))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func $early (call $debug (i32.const 0) (i32.const 0) (i32.const 0))) (start $early))"#
    );
    for end in ends(&wat::parse_str(text).unwrap()) {
        assert!(end.starts_with("fault ") || end == "exit 0 0", "{end}");
    }
}

#[test]
fn what_is_not_an_executable_is_refused_with_a_reason() {
    let engine = boot::engine(None).unwrap();
    let loader = Loader::new(&engine, Path::Fastest).unwrap();
    let refused = |bytes: &[u8]| match loader.load(bytes) {
        Ok(_) => panic!("{} bytes were taken for an executable", bytes.len()),
        Err(refusal) => refusal.0,
    };
    assert!(refused(b"").contains("neither"));
    assert!(refused(b"#!/bin/sh").contains("neither"));
    let text = |text: &str| wat::parse_str(text).unwrap();
    // No `run`, an import of something else, a signature that is not the kernel's.
    assert!(!refused(&text("(module)")).is_empty());
    assert!(
        !refused(&text(r#"(module (import "wasi" "exit" (func)) (memory (export "memory") 1) (func (export "run")))"#))
            .is_empty()
    );
    assert!(!refused(&text(r#"(module (import "orbital:kernel/calls@0.1.0" "call" (func (param i32))) (memory (export "memory") 1) (func (export "run")))"#)).is_empty());
    assert!(!refused(&text(r#"(component (import "wasi:cli/exit@0.2.0" (func)))"#)).is_empty());
    // Broken in the middle.
    let mut broken = module("", "");
    let length = broken.len();
    broken.truncate(length - 3);
    assert!(!refused(&broken).is_empty());
}

#[test]
fn a_core_module_becomes_a_component() {
    let component = wrap(&module(CALL, &call("0"))).unwrap();
    assert!(wasmparser::Parser::is_component(&component));
}
