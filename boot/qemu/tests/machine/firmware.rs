//! One boot from the disk image of each firmware.

use super::{product, run, system};
use qemu::build::{Firmware, disk_image};
use qemu::machine::End;

fn boots_by(firmware: Firmware) {
    let system = system();
    let mut machine = system.machine().script("put /a by-firmware; cat /a; exit 5");
    machine.firmware = firmware;
    machine.image =
        disk_image(product(), firmware, images::Progress::Shown).unwrap_or_else(|problem| panic!("{problem}"));
    let made = |image: &Option<std::path::PathBuf>| image.as_ref().unwrap().metadata().unwrap().modified().unwrap();
    let when = made(&machine.image);
    let again = disk_image(product(), firmware, images::Progress::Quiet).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(made(&again), when, "an image that is up to date is not made anew");
    let came = run(&machine);
    assert_eq!(came.end, Some(End::Off(5)), "{}\n{}", came.output, came.messages);
    assert!(came.messages.contains("kernel, by bootloader"), "{}", came.messages);
    // Firmware may have shown words of its own before.
    assert!(came.output.ends_with("by-firmware\n"), "{}", came.output);
    system.verify_log();
}

#[test]
fn the_image_boots_by_bios() {
    boots_by(Firmware::Bios);
}

#[test]
fn the_image_boots_by_uefi() {
    boots_by(Firmware::Uefi);
}
