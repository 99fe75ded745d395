//! What is built for WebAssembly becomes a component that imports the system calls and nothing
//! else: this image, and an app outside the workspace, made of the very lines of
//! docs/writing-an-app.md.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-unknown-unknown";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Where the images are built; the host's build script builds them there too.
fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../image")
}

fn cargo(folder: &Path, arguments: &[&str]) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(folder)
        .args(["build", "--quiet", "--target", TARGET, "--target-dir"])
        .arg(target_folder())
        .args(arguments);
    // What is set for this build must not reach the other.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_this =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_ENCODED_", "CARGO_CFG_"];
        if of_this.iter().any(|start| text.starts_with(start)) || text == "RUSTFLAGS" || text == "CARGO_TARGET_DIR" {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "cargo build failed in {} (is {TARGET} installed?)", folder.display());
}

/// Wraps a core module, as the host does, and looks at what the component asks for.
fn check(module: &Path) {
    let core = fs::read(module).unwrap();
    let component = wit_component::ComponentEncoder::default().validate(true).module(&core).unwrap().encode().unwrap();
    let wit_component::DecodedWasm::Component(resolve, world) = wit_component::decode(&component).unwrap() else {
        panic!("not a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: Vec<String>| items;
    assert_eq!(
        names(world.imports.keys().map(|key| resolve.name_world_key(key)).collect()),
        ["orbital:kernel/calls@0.1.0"]
    );
    assert_eq!(names(world.exports.keys().map(|key| resolve.name_world_key(key)).collect()), ["run"]);
}

#[test]
fn hello_is_a_component_that_imports_the_system_calls_alone() {
    cargo(&root(), &["--package", "hello", "--profile", "image"]);
    check(&target_folder().join(TARGET).join("image/hello.wasm"));
}

/// The first block of `text` after `heading` that is marked as `language`.
fn block<'a>(text: &'a str, heading: &str, language: &str) -> &'a str {
    let (_, after) = text.split_once(heading).unwrap_or_else(|| panic!("no `{heading}`"));
    let (_, code) =
        after.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no {language} in `{heading}`"));
    code.split_once("```").unwrap().0
}

#[test]
fn an_app_outside_the_workspace_is_built_as_the_guide_says() {
    let guide = fs::read_to_string(root().join("docs/writing-an-app.md")).unwrap();
    let heading = "## An app of your own";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("my-app");
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = block(&guide, heading, "toml").replace("/path/to/orbital", root().to_str().unwrap());
    // Outside of any workspace, wherever the tests are built.
    fs::write(folder.join("Cargo.toml"), format!("{manifest}\n[workspace]\n")).unwrap();
    fs::write(folder.join("src/main.rs"), block(&guide, heading, "rust")).unwrap();
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    cargo(&folder, &["--release"]);
    check(&target_folder().join(TARGET).join("release/my-app.wasm"));
}
