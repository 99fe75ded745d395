//! Builds the WebAssembly images (init, services, apps, guests of the tests) and embeds
//! them: nested cargo for wasm32-unknown-unknown in a target folder of its own, then
//! each core module wrapped into a component.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-unknown-unknown";

/// The images of the boot set: name, which is also the package's and its program's, and
/// the package's folder. This is the one place that lists them.
const BOOT: &[(&str, &str)] = &[
    ("init", "init"),
    ("process", "services/process"),
    ("storage", "services/storage"),
    ("shell", "apps/shell"),
    ("hello", "apps/hello"),
    ("notes", "apps/notes"),
];

/// The guests that tests and benchmarks run; all programs of one package.
const GUESTS: (&str, &str) = ("guests", "host-wasm/tests/guests");

/// What the images are made of, beside their own folders.
const SHARED: &[&str] = &["Cargo.toml", "Cargo.lock", "kernel/abi", "wit", "libprocess"];

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

    rerun_if_changed(&root);
    check_target()?;

    // To work on the host alone, a build may be told which images it needs: `ORBITAL_IMAGES=init,shell`.
    println!("cargo::rerun-if-env-changed=ORBITAL_IMAGES");
    let wanted = env::var("ORBITAL_IMAGES").ok();
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == name));
    // An image is there once its package has a program.
    let has_program = |folder: &str| root.join(folder).join("src/main.rs").exists();
    let boot: Vec<&str> =
        BOOT.iter().filter(|(name, folder)| is_wanted(name) && has_program(folder)).map(|&(name, _)| name).collect();
    let guests = programs(&root.join(GUESTS.1).join("src/bin"));

    let target_folder = target_folder(&out).join("image");
    if !boot.is_empty() {
        let mut arguments = Vec::new();
        for name in &boot {
            arguments.extend(["--package", name, "--bin", name]);
        }
        compile(&root, &target_folder, &arguments)?;
    }
    if !guests.is_empty() {
        compile(&root, &target_folder, &["--package", GUESTS.0, "--bins"])?;
    }

    let modules = target_folder.join(TARGET).join("image");
    embed(&modules, &out, "boot_images.rs", &boot)?;
    embed(&modules, &out, "guest_images.rs", &guests.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The sources alone: build products and tests of the packages change nothing.
fn rerun_if_changed(root: &Path) {
    println!("cargo::rerun-if-changed=build.rs");
    let folders = BOOT.iter().map(|&(_, folder)| folder).chain([GUESTS.1]);
    for path in SHARED.iter().copied().chain(folders) {
        let path = root.join(path);
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.join("src").display());
            // WIT files and manifests lie beside src.
            let files = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
            for file in files.filter(|file| file.extension().is_some_and(|e| e == "wit" || e == "toml" || e == "lock"))
            {
                println!("cargo::rerun-if-changed={}", file.display());
            }
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// Whether the compiler can build for the target: its library lies in the sysroot.
fn check_target() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run {}: {error}; install Rust from https://rustup.rs", rustc.display()))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() {
        return Ok(());
    }
    Err(format!("the images of Orbital need the {TARGET} target: run `rustup target add {TARGET}`, then build again"))
}

/// The folder that cargo builds into, from a folder within it.
fn target_folder(out: &Path) -> PathBuf {
    let marked = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    marked.unwrap_or(out).to_path_buf()
}

fn compile(root: &Path, target_folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--profile", "image", "--target", TARGET, "--target-dir"])
        .arg(target_folder)
        .args(arguments);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_this_build) {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.output().map_err(|error| format!("cannot run cargo for the images: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = text.lines().rev().take(60).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(format!("building the images failed; the compiler says:\n{}", tail.join("\n")))
}

/// Whether a variable belongs to this build and must not reach the images' build.
fn is_of_this_build(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "OPT_LEVEL",
        "PROFILE",
        "DEBUG",
        "NUM_JOBS",
    ];
    const BEGINNINGS: &[&str] =
        &["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_FEATURE_", "CARGO_CFG_", "CARGO_PKG_", "RUSTC"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// The names of the programs in a package's `src/bin`.
fn programs(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let names = files.filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let names: BTreeSet<String> = names.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.into_iter().collect()
}

/// Wraps the modules of these names into components and writes a table of them.
fn embed(modules: &Path, out: &Path, table: &str, names: &[&str]) -> Result<(), String> {
    let mut text = String::from("&[\n");
    for name in names {
        let module = modules.join(format!("{name}.wasm"));
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
