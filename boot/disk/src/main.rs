//! `disk bios|uefi KERNEL RAMDISK IMAGE`: writes a disk image that boots the kernel with the ramdisk.

use bootloader::{BiosBoot, BootConfig, UefiBoot};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [firmware, kernel, ramdisk, image] = arguments.as_slice() else {
        eprintln!("usage: disk bios|uefi KERNEL RAMDISK IMAGE");
        return ExitCode::from(2);
    };
    let (kernel, ramdisk, image) = (Path::new(kernel), Path::new(ramdisk), Path::new(image));
    // The serial port is the session's: the bootloader has the screen.
    let mut config = BootConfig::default();
    config.serial_logging = false;
    let result = match firmware.as_str() {
        "bios" => BiosBoot::new(kernel).set_boot_config(&config).set_ramdisk(ramdisk).create_disk_image(image),
        "uefi" => UefiBoot::new(kernel).set_boot_config(&config).set_ramdisk(ramdisk).create_disk_image(image),
        other => {
            eprintln!("disk: there is no firmware `{other}`; it is bios or uefi");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("disk: {}: the image cannot be made: {error:#}", image.display());
            ExitCode::from(74)
        }
    }
}
