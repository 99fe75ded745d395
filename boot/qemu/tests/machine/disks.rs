//! The disk of the log: full, failing; and that nothing that the system does to its services touches it.

use super::faults::{Fails, INPUT_OUTPUT, failing};
use super::{PATIENCE, run, system};
use qemu::console::gather;
use qemu::machine::{End, drive};
use std::fs::OpenOptions;

#[test]
fn ending_a_service_does_not_touch_the_log() {
    let system = system();
    let said = system.script("put /a one; kill storage; cat /a; restart storage; cat /a; kill process; hello", 0);
    assert_eq!(said, "one\none\nHello, world!\n");
    let said = system.verify_log();
    assert!(said.contains("1 boots"), "{said}");
    assert!(!said.contains("crash"), "{said}");
}

#[test]
fn the_log_is_verified_shown_and_replayed() {
    use log_store::commands::{Format, Show, replay, show};
    let system = system();
    system.script("put /a one", 0);
    system.script("cat /a; hello", 0);
    let said = system.verify_log();
    assert!(said.contains("2 boots"), "{said}");
    let mut out = Vec::new();
    let wanted = Show { process: Some("storage".into()), ..Show::default() };
    show(&system.state.log(), &wanted, Format::Text, &mut out).unwrap();
    assert!(String::from_utf8_lossy(&out).contains(" storage "), "{}", String::from_utf8_lossy(&out));
    let mut out = Vec::new();
    replay(&system.state.log(), Format::Text, &mut out).unwrap();
    assert!(String::from_utf8_lossy(&out).contains("all equal"), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn what_is_shown_costs_the_log_little() {
    use log_store::commands::{Format, Show, show};
    let system = system();
    let text = "0123456789abcdef".repeat(500);
    assert_eq!(system.script(&format!("put /a '{text}'; cat /a"), 0), format!("{text}\n"));
    let mut out = Vec::new();
    let wanted = Show { process: Some("shell".into()), limit: Some(usize::MAX), ..Show::default() };
    show(&system.state.log(), &wanted, Format::Text, &mut out).unwrap();
    let sent = String::from_utf8_lossy(&out).lines().filter(|line| line.contains("device-submit")).count();
    assert!((16..40).contains(&sent), "{sent} calls for 8,000 bytes");
}

#[test]
fn a_full_log_ends_the_machine_in_order_and_goes_on_when_it_has_room() {
    let system = system();
    let log = OpenOptions::new().write(true).open(system.state.log()).unwrap();
    log.set_len(2 << 20).unwrap();
    let came = gather(&system.machine(), &"hello\n".repeat(3000), PATIENCE).unwrap();
    assert_eq!(came.end, Some(End::Off(74)), "{}", came.messages);
    assert!(came.messages.contains("full"), "{}", came.messages);
    let before = system.verify_log();
    // The next start says what to do.
    let came = run(&system.machine());
    assert_eq!(came.end, Some(End::Off(70)), "{}", came.messages);
    assert!(came.messages.contains("truncate"), "{}", came.messages);
    assert_eq!(system.verify_log().lines().next(), before.lines().next(), "nothing was added");
    log.set_len(66 << 20).unwrap();
    assert_eq!(system.script("echo there is room again", 0), "there is room again\n");
    system.verify_log();
}

#[test]
fn a_log_that_fails_while_the_system_runs_ends_it() {
    let system = system();
    let mut machine = system.machine();
    machine.log = Some(failing(&system, &system.state.log(), "flush_to_disk", 40, Fails::FromThenOn, INPUT_OUTPUT));
    let puts: String = (0..60).map(|n| format!("put /f{n} text{n}; echo @{n}; ")).collect();
    let came = run(&machine.script(&puts));
    assert_eq!(came.end, Some(End::Off(74)), "{}", came.messages);
    assert!(came.messages.contains("the log cannot be written"), "{}", came.messages);
    let acknowledged = came.output.lines().filter(|line| line.starts_with('@')).count();
    assert!((1..60).contains(&acknowledged), "it failed while it ran: {}", came.output);
    // What was acknowledged is there when the disk is good again, and the log is cut to what is whole.
    let cats: String = (0..acknowledged).map(|n| format!("cat /f{n}; ")).collect();
    let texts: String = (0..acknowledged).map(|n| format!("text{n}\n")).collect();
    assert_eq!(system.script(&cats, 0), texts);
    system.verify_log();
}

#[test]
fn a_log_whose_disk_no_longer_answers_ends_the_system() {
    let system = system();
    let mut machine = system.machine();
    // After so many bytes, a byte a second: no write comes to its end.
    let throttled = "throttling.bps-write=1,throttling.bps-write-max=200000";
    machine.log = Some(format!("{},{throttled}", drive(&system.state.log())));
    machine.more = ["-fw_cfg", "name=opt/orbital/log-patience,string=2"].map(Into::into).to_vec();
    let puts: String = (0..200).map(|n| format!("put /f{n} text{n}; echo @{n}; ")).collect();
    let came = run(&machine.script(&puts));
    assert_eq!(came.end, Some(End::Off(74)), "{}", came.messages);
    assert!(came.messages.contains("the log cannot be written"), "{}", came.messages);
    assert!(came.messages.contains("the device does not answer"), "{}", came.messages);
    let acknowledged = came.output.lines().filter(|line| line.starts_with('@')).count();
    assert!((1..200).contains(&acknowledged), "it failed while it ran: {}", came.output);
    let cats: String = (0..acknowledged).map(|n| format!("cat /f{n}; ")).collect();
    let texts: String = (0..acknowledged).map(|n| format!("text{n}\n")).collect();
    assert_eq!(system.script(&cats, 0), texts);
    system.verify_log();
}
