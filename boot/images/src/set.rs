//! The packages that images are built from. This is the one place that lists them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A package whose program is an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Package {
    /// Its name, which is also the program's and the image's.
    pub name: &'static str,
    /// Its folder in the repository.
    pub folder: &'static str,
}

const fn package(name: &'static str, folder: &'static str) -> Package {
    Package { name, folder }
}

/// What every Orbital boots with.
pub const BOOT: &[Package] = &[
    package("init", "init"),
    package("process", "services/process"),
    package("storage", "services/storage"),
    package("shell", "apps/shell"),
    package("hello", "apps/hello"),
    package("notes", "apps/notes"),
];

/// Apps that a ramdisk has if they are asked for.
pub const EXAMPLES: &[Package] = &[];

/// The package of the guests that host-wasm's tests and benchmarks run; all its programs.
pub const GUESTS: Package = package("guests", "host-wasm/tests/guests");

/// The package of the programs that the tests and measurements on bare x86_64 run; all its programs.
pub const NATIVE_GUESTS: Package = package("native-guests", "boot/guests");

/// The package of the programs that mean harm, which the tests of both hosts run; all its programs.
pub const HOSTILE: Package = package("hostile", "apps/hostile");

/// What the images are made of, beside their own folders.
const SHARED: &[&str] = &["Cargo.toml", "Cargo.lock", "kernel/abi", "wit", "libprocess"];

/// The package with this name.
pub fn package_of(name: &str) -> Option<Package> {
    BOOT.iter().chain(EXAMPLES).copied().find(|package| package.name == name)
}

/// Files and folders that decide what the images of these packages are: of sources alone, since build
/// products and tests change nothing.
pub fn sources(root: &Path, packages: impl IntoIterator<Item = Package>) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    let packages = packages.into_iter().map(|package| package.folder);
    let mut folders: Vec<PathBuf> = SHARED.iter().copied().chain(packages).map(|path| root.join(path)).collect();
    while let Some(path) = folders.pop() {
        if !path.is_dir() {
            sources.push(path);
            continue;
        }
        sources.push(path.join("src"));
        for entry in fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()) {
            // WIT files and manifests lie beside src; so do packages that this one is made of.
            let is_source = |e: &std::ffi::OsStr| e == "wit" || e == "toml" || e == "lock" || e == "rs";
            if entry.join("Cargo.toml").is_file() {
                folders.push(entry);
            } else if entry.extension().is_some_and(is_source) {
                sources.push(entry);
            }
        }
    }
    sources
}

/// The names of the programs in a package's `src/bin`.
pub fn programs(root: &Path, package: Package) -> Vec<String> {
    let folder = root.join(package.folder).join("src/bin");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let names = files.filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let names: BTreeSet<String> = names.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A build that does not look at one of them would go on with an old image.
    #[test]
    fn the_sources_are_those_of_every_package_that_an_image_is_made_of() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let mut tree = Command::new(env!("CARGO"));
        tree.current_dir(&root).args(["tree", "--offline", "--edges=normal,build", "--target=all", "--prefix=none"]);
        let packages: Vec<Package> = BOOT.iter().copied().chain([GUESTS, HOSTILE]).collect();
        tree.args(packages.iter().flat_map(|package| ["--package", package.name]));
        let output = tree.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let sources = sources(&root, packages);
        let text = String::from_utf8(output.stdout).unwrap();
        // A package of this repository is shown with its folder.
        let folders: BTreeSet<&str> =
            text.lines().filter_map(|line| Some(line.split_once(" (/")?.1.split_once(')')?.0)).collect();
        assert!(folders.len() > BOOT.len(), "{text}");
        for folder in folders {
            let source = Path::new("/").join(folder).join("src");
            assert!(sources.contains(&source), "{} is not watched", source.display());
        }
    }
}
