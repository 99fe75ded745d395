//! Builds the images for bare x86_64 and writes the ramdisk that the kernel boots from; its path goes
//! to the standard output.
#![forbid(unsafe_code)]

use images::ramdisk::Ramdisk;
use images::{BOOT, Progress, target_folder};
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: images [--output FILE] [--guests] [--add NAME=FILE]... [IMAGE]...

Builds images of this repository for bare x86_64 and writes a ramdisk of them, for the kernel to boot from.
Without IMAGE, those of the boot set.

  --output FILE    where the ramdisk goes (default: orbital/ramdisk.tar in cargo's target folder)
  --guests         the programs of the tests and measurements too
  --add NAME=FILE  an image that was built elsewhere, in addition
  --list           names the images of this repository and builds none
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("images: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, String> {
    let mut output = None;
    let mut added = Vec::new();
    let mut with_guests = false;
    let mut names = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(USAGE.trim_end().to_owned()),
            "--list" => {
                let names: Vec<&str> = BOOT.iter().chain(images::EXAMPLES).map(|package| package.name).collect();
                return Ok(names.join("\n"));
            }
            "--guests" => with_guests = true,
            "--output" => output = Some(PathBuf::from(value()?)),
            "--add" => {
                let (name, file) = value()?.split_once('=').ok_or("--add wants NAME=FILE")?;
                added.push((name.to_owned(), PathBuf::from(file)));
            }
            option if option.starts_with('-') => return Err(format!("there is no option {option}\n{USAGE}")),
            name => names.push(name),
        }
    }
    if names.is_empty() {
        names = BOOT.iter().map(|package| package.name).collect();
    }
    let program = env::current_exe().map_err(|error| format!("where this program lies: {error}"))?;
    let target = target_folder(&program);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = output.unwrap_or_else(|| target.join("orbital/ramdisk.tar"));
    let mut ramdisk = Ramdisk::new(&root, &target.join("image")).images(names);
    if with_guests {
        ramdisk = ramdisk.guests();
    }
    for (name, file) in &added {
        ramdisk = ramdisk.file(name, file);
    }
    ramdisk.write(&output, Progress::Shown)?;
    Ok(output.display().to_string())
}
