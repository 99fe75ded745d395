//! What the rules do not allow is refused with its place and with what to write instead.

/// The mistakes of an interface file whose one interface has this body.
fn mistakes(body: &str) -> String {
    of_file(&format!("package orbital:sample@0.1.0;\n/// @number 0x7000\ninterface things {{\n{body}\n}}\n"))
}

fn of_file(text: &str) -> String {
    match wit::read("sample", "wit/sample.wit", text) {
        Ok(file) => panic!("was accepted: {file:#?}"),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Each must be refused on line 4 (the first of the body), with these words.
#[test]
fn what_is_not_allowed_is_named_with_its_place() {
    let refused = [
        ("f: func(x: f32);", "floats"),
        ("f: func() -> f64;", "floats"),
        ("record r { x: list<f64> }", "floats"),
        ("f: func() -> future<u32>;", "future"),
        ("f: func(x: stream<u8>);", "stream"),
        ("f: func(x: list<u32, 4>);", "a list of fixed length"),
        ("f: func(x: error-context);", "error-context"),
        ("f: func(x: map<string, u32>);", "map"),
        ("f: async func();", "`async` is not allowed"),
        ("resource endpoint { close: func(); }", "resources have no methods"),
        ("resource endpoint { constructor(); }", "resources have no methods"),
        ("resource endpoint { find: static func(); }", "resources have no methods"),
        ("resource namespace;", "`namespace` is no kind of kernel object"),
        ("resource endpoint; record r { e: endpoint }", "a capability inside other data"),
        ("resource endpoint; f: func() -> list<list<endpoint>>;", "a capability inside other data"),
        ("resource endpoint; f: func(x: tuple<u8, endpoint>);", "a capability inside other data"),
        ("resource endpoint; variant v { e(endpoint) }", "a capability inside other data"),
        ("resource endpoint; type many = list<endpoint>;", "a capability inside other data"),
        ("f: func() -> result<u32>;", "a result needs an error"),
        ("enum client { a }", "the generated code has a type of this name"),
        ("new: func();", "every client has a function of this name"),
        ("/// @retry\nf: func();", "`@retry` means nothing here"),
        ("enum e { a } /// @errors a, b\nf: func() -> result<_, e>;", "`b`, which is no case of its error"),
        ("resource endpoint; /// @idempotent\nf: func(e: endpoint);", "cannot be called again"),
    ];
    for (body, words) in refused {
        let message = mistakes(body);
        assert!(message.contains(words), "{body}\nshould say `{words}`, says\n{message}");
        assert!(
            message.contains("wit/sample.wit:4:") || message.contains("wit/sample.wit:5:"),
            "{body}\nshould say where:\n{message}"
        );
    }
}

#[test]
fn too_many_parameters_are_refused() {
    let parameters: Vec<String> = (0..17).map(|n| format!("p{n}: u8")).collect();
    let message = mistakes(&format!("f: func({});", parameters.join(", ")));
    assert!(message.contains("more than 16 parameters"), "{message}");
}

#[test]
fn too_many_functions_are_refused() {
    let functions: Vec<String> = (0..257).map(|n| format!("call{n}: func();")).collect();
    let message = mistakes(&functions.join("\n"));
    assert!(message.contains("more than 256 functions"), "{message}");
}

#[test]
fn too_many_flags_are_refused() {
    let flags: Vec<String> = (0..65).map(|n| format!("flag{n}")).collect();
    let message = mistakes(&format!("flags many {{ {} }}", flags.join(", ")));
    assert!(message.contains("more than 64 flags"), "{message}");
}

#[test]
fn types_that_hold_themselves_are_refused() {
    let message = mistakes("record tree { left: option<tree> }");
    assert!(message.contains("wit/sample.wit:4"), "{message}");
}

#[test]
fn a_package_must_be_named_as_its_file() {
    let message = of_file("package orbital:other@0.1.0;\ninterface things { enum e { a } }");
    assert!(message.contains("must be `orbital:sample`"), "{message}");
}

#[test]
fn worlds_are_refused() {
    let message = of_file("package orbital:sample@0.1.0;\nworld w { }");
    assert!(message.contains("wit/sample.wit:2:") && message.contains("worlds are not allowed"), "{message}");
}

#[test]
fn an_interface_with_functions_needs_a_number() {
    let message = of_file("package orbital:sample@0.1.0;\ninterface things { f: func(); }");
    assert!(message.contains("@number 0xNN00"), "{message}");
}

#[test]
fn a_number_is_a_multiple_of_0x100_outside_the_kernels() {
    for number in ["0x7001", "0x0100", "7000", "x"] {
        let message =
            of_file(&format!("package orbital:sample@0.1.0;\n/// @number {number}\ninterface t {{ f: func(); }}"));
        assert!(message.contains("not a multiple of 0x100"), "{number}: {message}");
    }
}

#[test]
fn events_have_no_results_and_are_never_repeated() {
    let message = of_file(
        "package orbital:sample@0.1.0;\n/// @number 0x7000\ninterface thing-events {\nf: func() -> u32;\n/// @idempotent\ng: func();\n}",
    );
    assert!(message.contains("one-way and have no result"), "{message}");
    assert!(message.contains("an event is never repeated"), "{message}");
}

#[test]
fn a_syntax_error_shows_its_line() {
    let message = mistakes("f: func(;");
    assert!(message.contains("wit/sample.wit:4:"), "{message}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let message = mistakes("f: func(x: f32);\ng: func(x: stream<u8>);");
    assert_eq!(message.lines().count(), 2, "{message}");
}
