//! What boots: the kernel, the ramdisk with the images, and disk images of both. Cargo builds the first two and
//! knows when they are up to date; a disk image is kept as long as what it is made of stays the same.

use crate::problem::{Problem, status};
use images::build::without_outer_build;
use images::ramdisk::Ramdisk;
use images::{Host, Progress, check_target};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the kernel is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Firmware {
    /// By QEMU itself: the quickest.
    Pvh,
    /// From a disk image, by a BIOS.
    Bios,
    /// From a disk image, by UEFI.
    Uefi,
}

impl Firmware {
    /// As it is written on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Firmware::Pvh => "pvh",
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
        }
    }
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Product {
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The archive of the images.
    pub ramdisk: PathBuf,
}

/// The repository.
fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).unwrap_or(folder).to_path_buf()
}

/// Cargo's target folder, in which this program lies.
pub fn target() -> Result<PathBuf, Problem> {
    let program = std::env::current_exe()
        .map_err(|error| Problem::new(status::IO, format!("where this program lies: {error}"), "try again"))?;
    Ok(images::target_folder(&program))
}

fn failed(why: String) -> Problem {
    Problem::new(status::UNAVAILABLE, why, "mend it, then run the command again")
}

/// Builds kernel and ramdisk. With `symbols`, the kernel is one for a debugger. Where `ORBITAL_BUILT` names a folder
/// with the files `boot` and `ramdisk.tar`, they are taken, and nothing is built.
pub fn build(symbols: bool, progress: Progress) -> Result<Product, Problem> {
    if let Some(built) = std::env::var_os("ORBITAL_BUILT").map(PathBuf::from) {
        return Ok(Product { kernel: built.join("boot"), ramdisk: built.join("ramdisk.tar") });
    }
    let (root, target) = (root(), target()?);
    check_target(Host::Native).map_err(|why| Problem::new(status::UNAVAILABLE, why, "or run `make setup`"))?;
    let profile = images::build::profile();
    let mut words = vec!["build", "--package", "boot", "--profile", profile, "--target", Host::Native.target()];
    let mut folder = target.clone();
    if symbols {
        words.extend(["--config", "profile.image.debug=true", "--config", "profile.image.strip=\"none\""]);
        folder = target.join("gdb");
    }
    cargo(&root, &words, &folder, progress)?;
    let kernel = images::program(Host::Native, &folder, "boot");
    let ramdisk = target.join("orbital/ramdisk.tar");
    let names = images::BOOT.iter().map(|package| package.name);
    Ramdisk::new(&root, &target.join("image")).images(names).write(&ramdisk, progress).map_err(failed)?;
    Ok(Product { kernel, ramdisk })
}

/// Runs cargo in `folder`, with nothing of a build around this one.
fn cargo(folder: &Path, words: &[&str], target: &Path, progress: Progress) -> Result<(), Problem> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).args(words).arg("--target-dir").arg(target).stdin(Stdio::null());
    without_outer_build(&mut cargo);
    // The bootloader builds stages for targets without a standard library of their own.
    if folder.ends_with("boot/disk") {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    match progress {
        Progress::Quiet => cargo.arg("--quiet"),
        Progress::Shown => cargo.stderr(Stdio::inherit()),
    };
    let output = cargo.output().map_err(|error| {
        Problem::new(
            status::UNAVAILABLE,
            format!("cargo does not start: {error}"),
            "install Rust from https://rustup.rs",
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    Err(failed(format!("`cargo {}` failed in {}\n{tail}", words.join(" "), folder.display())))
}

/// The disk image of what was built; `None` for PVH, which needs none. Built only if it is not there, which
/// takes minutes the first time.
pub fn disk_image(product: &Product, firmware: Firmware, progress: Progress) -> Result<Option<PathBuf>, Problem> {
    if firmware == Firmware::Pvh {
        return Ok(None);
    }
    let (root, target) = (root(), target()?);
    let source = root.join("boot/disk");
    let mut hash = blake3::Hasher::new();
    for path in [
        product.kernel.clone(),
        product.ramdisk.clone(),
        source.join("Cargo.toml"),
        source.join("Cargo.lock"),
        source.join("src/main.rs"),
    ] {
        let bytes = fs::read(&path).map_err(|error| Problem::file(&path, &error))?;
        hash.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    let made_of = hash.finalize().to_hex().to_string();
    let image = target.join(format!("orbital/orbital-{}.img", firmware.name()));
    let note = image.with_extension("img.made-of");
    // Two that want it at once: the second waits, and finds it made.
    let lock = target.join("orbital/image.lock");
    let _held = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| Problem::file(&lock, &error))?;
    if image.exists() && fs::read_to_string(&note).is_ok_and(|before| before == made_of) {
        return Ok(Some(image));
    }
    check_components()?;
    let folder = target.join("disk");
    cargo(&source, &["build"], &folder, progress)?;
    // A note of another image must not outlive it.
    let _ = fs::remove_file(&note);
    let output = Command::new(folder.join("debug/disk"))
        .arg(firmware.name())
        .args([&product.kernel, &product.ramdisk, &image])
        .output()
        .map_err(|error| failed(format!("the builder of disk images does not start: {error}")))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()));
    }
    fs::write(&note, made_of).map_err(|error| Problem::file(&note, &error))?;
    Ok(Some(image))
}

/// What the bootloader's own build needs of the toolchain; it says less clearly what is missing.
fn check_components() -> Result<(), Problem> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(&rustc).args(["--print", "sysroot"]).current_dir(root()).output();
    let sysroot = match output {
        Ok(output) if output.status.success() => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
        _ => return Ok(()),
    };
    let library = sysroot.join("lib/rustlib");
    let has_tools = fs::read_dir(&library)
        .is_ok_and(|folders| folders.flatten().any(|folder| folder.path().join("bin/llvm-objcopy").exists()));
    let mut missing = Vec::new();
    if !library.join("src/rust/library/core").exists() {
        missing.push("rust-src");
    }
    if !has_tools {
        missing.push("llvm-tools");
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        status::UNAVAILABLE,
        format!("disk images need of the Rust toolchain: {}", missing.join(", ")),
        format!("rustup component add {}", missing.join(" ")),
    ))
}
