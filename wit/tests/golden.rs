//! What is generated for `golden/sample.wit` is `golden/sample.rs`, letter by letter. Whether
//! it compiles and works is tested in libprocess, which includes that file.
//! `WIT_BLESS=1 cargo test -p wit` writes it anew.

use std::path::Path;

#[test]
fn generated_code_is_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join("sample.wit")).unwrap();
    let file = wit::read("sample", "sample.wit", &text).unwrap();
    let generated = wit::generate(&file, "::libprocess");
    let golden = folder.join("sample.rs");
    if std::env::var_os("WIT_BLESS").is_some() {
        std::fs::write(&golden, &generated).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    for (index, (is, was)) in generated.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, was, "line {}", index + 1);
    }
    assert_eq!(generated.lines().count(), expected.lines().count());
}

#[test]
fn the_real_files_are_all_readable() {
    let files = wit::read_folder(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(files.iter().any(|file| file.name == "init"));
}

#[test]
fn the_guides_example_is_an_interface() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adding-a-service.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let (_, code) = text.split_once("```wit\n").unwrap();
    let file = wit::read("counter", "docs/adding-a-service.md", code.split_once("```").unwrap().0).unwrap();
    assert_eq!(file.interfaces[0].number, Some(0xB000));
    assert_eq!(file.interfaces[0].functions.len(), 2);
}

#[test]
fn a_secret_error_shows_nothing_of_itself() {
    let text = "package orbital:sample@0.1.0;\n/// @number 0x7000\ninterface things {\n\
                /// @secret\nvariant error { wrong(string) }\nf: func() -> result<_, error>;\n}";
    let generated = wit::generate(&wit::read("sample", "sample.wit", text).unwrap(), "crate");
    assert!(!generated.contains("value"), "{generated}");
}
