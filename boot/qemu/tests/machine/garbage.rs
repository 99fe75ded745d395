//! What no client would say (apps/hostile, `garbage`), to every service, in the place of a session.

use super::{run, system};
use images::ramdisk::Ramdisk;
use images::{BOOT, HOSTILE, Host, Progress};
use log_store::commands::{Bound, Format, Show, show};
use qemu::build;
use qemu::machine::End;
use std::path::Path;

#[test]
fn what_no_client_would_say_is_answered_by_every_service_and_harms_none() {
    let system = system();
    system.script("put note here", 0);
    let (root, target) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), build::target().unwrap().join("image"));
    images::build(Host::Native, &root, &target, &["--package", HOSTILE.name, "--bin", "garbage"], Progress::Shown)
        .unwrap();
    let mut machine = system.machine();
    machine.product.ramdisk = system.state.folder().join("ramdisk.tar");
    let ramdisk = Ramdisk::new(&root, &target).images(BOOT.iter().map(|package| package.name));
    let garbage = images::program(Host::Native, &target, "garbage");
    ramdisk.file("session", &garbage).write(&machine.product.ramdisk, Progress::Shown).unwrap();
    let came = run(&machine);
    assert_eq!(came.end, Some(End::Off(0)), "{}{}", came.output, came.messages);

    // None of the services ended by a fault, and the log tells who said what.
    let (mut log, all) = (Vec::new(), Show { from: Some(Bound::Record(0)), ..Show::default() });
    show(&system.state.log(), &all, Format::Text, &mut log).unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("ended: Exited") && !log.contains("ended: Faulted"));
    assert!(log.lines().any(|line| line.contains(" session ") && line.contains("registry.")));
    assert_eq!(system.script("cat note", 0), "here\n");
}
