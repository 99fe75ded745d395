//! Builds the WebAssembly images (init, services, apps, guests of the tests) and embeds
//! them: nested cargo for wasm32-unknown-unknown in a target folder of its own, then
//! each core module wrapped into a component.

use images::{BOOT, GUESTS, HOSTILE, Host, Progress, program, programs};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    if let Err(message) = build() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not set CARGO_MANIFEST_DIR")?).join("..");
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);

    println!("cargo::rerun-if-changed=build.rs");
    for path in images::sources(&root, BOOT.iter().copied().chain([GUESTS, HOSTILE])) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    images::check_target(Host::WebAssembly)?;

    // To work on the host alone, a build may be told which images it needs: `ORBITAL_IMAGES=init,shell`.
    println!("cargo::rerun-if-env-changed=ORBITAL_IMAGES");
    println!("cargo::rerun-if-env-changed={}", images::build::LTO);
    let wanted = env::var("ORBITAL_IMAGES").ok();
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == name));
    let boot: Vec<&str> = BOOT.iter().map(|package| package.name).filter(|name| is_wanted(name)).collect();
    let guests: Vec<String> = [GUESTS, HOSTILE].into_iter().flat_map(|package| programs(&root, package)).collect();

    let target_folder = images::target_folder(&out).join("image");
    let build =
        |arguments: &[&str]| images::build(Host::WebAssembly, &root, &target_folder, arguments, Progress::Quiet);
    if !boot.is_empty() {
        let arguments: Vec<&str> = boot.iter().flat_map(|name| ["--package", name, "--bin", name]).collect();
        build(&arguments)?;
    }
    build(&["--package", GUESTS.name, "--package", HOSTILE.name, "--bins"])?;

    let module = |name: &str| program(Host::WebAssembly, &target_folder, name);
    embed(module, &out, "boot_images.rs", &boot)?;
    embed(module, &out, "guest_images.rs", &guests.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Wraps the modules of these names into components and writes a table of them.
fn embed(module: impl Fn(&str) -> PathBuf, out: &Path, table: &str, names: &[&str]) -> Result<(), String> {
    let mut text = String::from("&[\n");
    for name in names {
        let module = module(name);
        let bytes = fs::read(&module).map_err(|error| format!("{}: {error}", module.display()))?;
        let component = wit_component::ComponentEncoder::default()
            .validate(true)
            .module(&bytes)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| format!("{name} cannot be made into a component: {error:#}"))?;
        let file = out.join(format!("{name}.component.wasm"));
        // An unchanged file keeps its time, so that what embeds it is not built again.
        if fs::read(&file).ok().as_deref() != Some(&component[..]) {
            fs::write(&file, &component).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        text.push_str(&format!("    ({name:?}, include_bytes!({file:?})),\n"));
    }
    text.push_str("]\n");
    fs::write(out.join(table), text).map_err(|error| format!("{table}: {error}"))
}
