//! Builds images: cargo, in a target folder of its own, with nothing of the build around it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What images run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host {
    /// The `orbital` command.
    WebAssembly,
    /// The kernel on bare x86_64.
    Native,
}

/// How much a build says while it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing; the end of cargo's output is in the error.
    Quiet,
    /// Cargo's own output goes to the standard error.
    Shown,
}

/// How a native image is linked, beside what `.cargo/config.toml` says for the target: to the
/// address that `abi::native::IMAGE_FROM` has, and so that every segment has pages of its own, none of
/// them to be written and executed.
const NATIVE_LINK: &[&str] =
    &["--image-base=0x400000", "-zmax-page-size=4096", "-zseparate-loadable-segments", "-znorelro"];

impl Host {
    /// The target that the compiler knows it by.
    pub const fn target(self) -> &'static str {
        match self {
            Host::WebAssembly => "wasm32-unknown-unknown",
            Host::Native => "x86_64-unknown-none",
        }
    }

    /// What the file of a program is called.
    pub fn file_name(self, name: &str) -> String {
        match self {
            Host::WebAssembly => format!("{name}.wasm"),
            Host::Native => name.to_owned(),
        }
    }

    /// What cargo is told beside the target.
    fn configuration(self) -> Vec<String> {
        match self {
            Host::WebAssembly => Vec::new(),
            Host::Native => {
                let flags: Vec<String> =
                    NATIVE_LINK.iter().map(|argument| format!("\"-Clink-arg={argument}\"")).collect();
                // A list is joined with the one in the configuration file.
                let flags = format!("target.{}.rustflags=[{}]", self.target(), flags.join(","));
                vec!["--config".to_owned(), flags]
            }
        }
    }
}

/// Whether the compiler can build for the host: the target's library lies in the sysroot.
pub fn check_target(host: Host) -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = host.target();
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| format!("cannot run {}: {error}; install Rust from https://rustup.rs", rustc.display()))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() {
        return Ok(());
    }
    Err(format!("the images of Orbital need the {target} target: run `rustup target add {target}`, then build again"))
}

/// The folder that cargo builds into, from a file or folder within it: the one above that of the profile, which cargo locks.
/// (`CACHEDIR.TAG` is there only if cargo made the folder itself.)
pub fn target_folder(within: &Path) -> PathBuf {
    let profile = within.ancestors().find(|folder| folder.join(".cargo-lock").exists());
    profile.and_then(Path::parent).unwrap_or(within).to_path_buf()
}

/// The environment variable that asks for images as benchmarks measure them.
pub const LTO: &str = "ORBITAL_LTO";

/// The profile that images are built with.
pub fn profile() -> &'static str {
    if env::var_os(LTO).is_some() { "image-lto" } else { "image" }
}

/// Where a build put the program `name`.
pub fn program(host: Host, target_folder: &Path, name: &str) -> PathBuf {
    target_folder.join(host.target()).join(profile()).join(host.file_name(name))
}

/// Runs cargo in the repository at `root` for what `arguments` select (`--package NAME --bin NAME`),
/// into `target_folder`. The error says what the compiler said.
pub fn build(
    host: Host,
    root: &Path,
    target_folder: &Path,
    arguments: &[&str],
    progress: Progress,
) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--profile", profile(), "--target", host.target()])
        .args(host.configuration())
        .arg("--target-dir")
        .arg(target_folder)
        .args(arguments);
    without_outer_build(&mut cargo);
    match progress {
        Progress::Quiet => cargo.arg("--quiet"),
        Progress::Shown => cargo.stderr(Stdio::inherit()),
    };
    let output = cargo.output().map_err(|error| format!("cannot run cargo for the images: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = text.lines().rev().take(60).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(match progress {
        Progress::Quiet => format!("building the images failed; the compiler says:\n{}", tail.join("\n")),
        Progress::Shown => "building the images failed; what the compiler said is above".to_owned(),
    })
}

/// Takes from a run of cargo what the build around it set in the environment.
pub fn without_outer_build(cargo: &mut Command) {
    let of_this_build = |(name, _): (OsString, OsString)| name.to_str().is_some_and(is_of_this_build).then_some(name);
    for name in env::vars_os().filter_map(of_this_build) {
        cargo.env_remove(&name);
    }
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
        &["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_FEATURE_", "CARGO_CFG_", "CARGO_PKG_", "CARGO_MANIFEST_", "RUSTC"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}
