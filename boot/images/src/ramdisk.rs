//! The ramdisk: a plain ustar archive with one file per image, named as the image. The same
//! images give the same bytes.

use crate::build::{Host, Progress, build, check_target, program};
use crate::set::{NATIVE_GUESTS, package_of, programs};
use std::fs;
use std::path::{Path, PathBuf};

/// What goes into a ramdisk.
#[derive(Debug)]
pub struct Ramdisk {
    root: PathBuf,
    target_folder: PathBuf,
    packages: Vec<String>,
    guests: bool,
    files: Vec<(String, PathBuf)>,
}

impl Ramdisk {
    /// An empty one, of images that are built in the repository at `root` into `target_folder`.
    pub fn new(root: &Path, target_folder: &Path) -> Ramdisk {
        Ramdisk {
            root: root.to_owned(),
            target_folder: target_folder.to_owned(),
            packages: Vec::new(),
            guests: false,
            files: Vec::new(),
        }
    }

    /// With these images of the repository.
    pub fn images<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Ramdisk {
        self.packages.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// With all programs of the tests and measurements.
    pub fn guests(mut self) -> Ramdisk {
        self.guests = true;
        self
    }

    /// With an image that was built elsewhere.
    pub fn file(mut self, name: &str, path: &Path) -> Ramdisk {
        self.files.push((name.to_owned(), path.to_owned()));
        self
    }

    /// Builds what must be built, and writes the archive, unless it is there already.
    pub fn write(&self, path: &Path, progress: Progress) -> Result<(), String> {
        self.build(progress)?;
        let guests = if self.guests { programs(&self.root, NATIVE_GUESTS) } else { Vec::new() };
        let built = self.packages.iter().chain(&guests);
        let mut files: Vec<(&str, PathBuf)> =
            built.map(|name| (name.as_str(), program(Host::Native, &self.target_folder, name))).collect();
        files.extend(self.files.iter().map(|(name, path)| (name.as_str(), path.clone())));
        let mut images = Vec::new();
        for (name, path) in &files {
            let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            check_image(&bytes).map_err(|why| format!("{} is no image of Orbital: {why}", path.display()))?;
            images.push((*name, bytes));
        }
        let archive = archive(&images)?;
        if fs::read(path).ok().as_ref() == Some(&archive) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        // Whole or not at all: another may be about to boot from it.
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let written = fs::write(&new, archive).and_then(|()| fs::rename(&new, path));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn build(&self, progress: Progress) -> Result<(), String> {
        let mut arguments = Vec::new();
        for name in &self.packages {
            if package_of(name).is_none() {
                let known: Vec<&str> = crate::BOOT.iter().chain(crate::EXAMPLES).map(|package| package.name).collect();
                return Err(format!("there is no image `{name}` in this repository; there are {}", known.join(", ")));
            }
            arguments.extend(["--package", name.as_str(), "--bin", name.as_str()]);
        }
        if !arguments.is_empty() || self.guests {
            check_target(Host::Native)?;
        }
        if !arguments.is_empty() {
            build(Host::Native, &self.root, &self.target_folder, &arguments, progress)?;
        }
        if self.guests {
            let arguments = ["--package", NATIVE_GUESTS.name, "--bins"];
            build(Host::Native, &self.root, &self.target_folder, &arguments, progress)?;
        }
        Ok(())
    }
}

/// The archive of these images.
pub fn archive(images: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, String> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in images {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o555);
        header.set_mtime(0);
        archive.append_data(&mut header, name, &bytes[..]).map_err(|error| format!("image {name}: {error}"))?;
    }
    archive.into_inner().map_err(|error| format!("the ramdisk: {error}"))
}

/// Looks at what would otherwise fail only when the kernel boots: the kind of the file.
fn check_image(bytes: &[u8]) -> Result<(), &'static str> {
    const EXECUTABLE: u16 = 2;
    const X86_64: u16 = 62;
    let half = |at: usize| bytes.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("it is not a 64-bit ELF file");
    }
    if half(18) != Some(X86_64) {
        return Err("it is not for x86_64");
    }
    if half(16) != Some(EXECUTABLE) {
        return Err("it is linked to be moved; build it with relocation-model=static");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn image() -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(700, 7);
        (bytes[16], bytes[17], bytes[18], bytes[19]) = (2, 0, 62, 0);
        bytes
    }

    #[test]
    fn a_ramdisk_has_its_images_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let (elf, path) = (folder.path().join("app"), folder.path().join("new/ramdisk.tar"));
        fs::write(&elf, image()).unwrap();
        let ramdisk = Ramdisk::new(folder.path(), folder.path()).file("one", &elf).file("two", &elf);
        ramdisk.write(&path, Progress::Quiet).unwrap();

        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() % 512, 0);
        assert_eq!(&bytes[257..263], b"ustar\0", "the format that the kernel reads");
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content, image());
            found.push(entry.path().unwrap().to_str().unwrap().to_owned());
        }
        assert_eq!(found, ["one", "two"]);
    }

    #[test]
    fn the_same_images_give_the_same_bytes_and_leave_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (elf, path) = (folder.path().join("app"), folder.path().join("ramdisk.tar"));
        fs::write(&elf, image()).unwrap();
        let ramdisk = Ramdisk::new(folder.path(), folder.path()).file("app", &elf);
        ramdisk.write(&path, Progress::Quiet).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().append(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        // Another time of the image's file is no other image.
        fs::write(&elf, image()).unwrap();
        ramdisk.write(&path, Progress::Quiet).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
    }

    #[test]
    fn what_is_no_image_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let (elf, path) = (folder.path().join("app"), folder.path().join("ramdisk.tar"));
        let mut relocatable = image();
        relocatable[16] = 3;
        let mut other_machine = image();
        other_machine[18] = 40;
        for (bytes, why) in [
            (&b"#!/bin/sh"[..], "not a 64-bit ELF file"),
            (&image()[..17], "not for x86_64"),
            (&other_machine[..], "not for x86_64"),
            (&relocatable[..], "relocation-model=static"),
        ] {
            fs::write(&elf, bytes).unwrap();
            let error =
                Ramdisk::new(folder.path(), folder.path()).file("app", &elf).write(&path, Progress::Quiet).unwrap_err();
            assert!(error.contains(why) && error.contains("app"), "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn an_unknown_image_is_named_with_those_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let ramdisk = Ramdisk::new(folder.path(), folder.path()).images(["init", "nonesuch"]);
        let error = ramdisk.write(&folder.path().join("ramdisk.tar"), Progress::Quiet).unwrap_err();
        assert!(error.contains("`nonesuch`") && error.contains("storage"), "{error}");
    }
}
