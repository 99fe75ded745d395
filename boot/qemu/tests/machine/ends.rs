//! Output and statuses; and the ends of a machine that lacks what it needs.

use super::{PATIENCE, run, system};
use qemu::console::gather;
use qemu::machine::{End, drive};
use scenario::{Host, Program};
use std::fs;
use std::process::Command;

/// A machine that cannot run says why, with these words, and ends with 70 before anything of the system runs.
fn refuses(machine: &qemu::Machine, words: &[&str]) {
    let came = run(machine);
    assert_eq!(came.end, Some(End::Off(70)), "{}", came.messages);
    for word in words {
        assert!(came.messages.contains(word), "`{word}` is missing:\n{}", came.messages);
    }
    assert_eq!(came.output, "", "nothing of the system ran");
}

#[test]
fn a_script_gives_its_output_alone_and_its_status() {
    let system = system();
    let folder = system.state.folder().to_path_buf();
    drop(system.state);
    let run = |arguments: &[&str], input: &str| {
        let words = ["--state".as_ref(), folder.as_os_str(), "run".as_ref()];
        let mut qemu = Program::new(env!("CARGO_BIN_EXE_qemu"), words, [], PATIENCE);
        qemu.boot(&arguments.iter().map(|word| word.to_string()).collect::<Vec<_>>()).unwrap();
        qemu.write(input).unwrap();
        let ended = qemu.leave().unwrap();
        (ended.output, ended.status)
    };
    let (output, status) = run(&["-c", "put /a 'one  line'; cat /a; exit 3"], "");
    assert_eq!((output.as_str(), status), ("one  line\n", 3));
    // By a pipe, in the next boot; the end of the input is the end of the session, and of its last line.
    let (output, status) = run(&[], "cat /a\necho last");
    assert_eq!((output.as_str(), status), ("one  line\nlast\n", 0));
}

#[test]
fn without_the_disk_of_the_log_nothing_runs() {
    let system = system();
    let mut machine = system.machine();
    machine.log = None;
    refuses(&machine, &["orbital-log", "nothing runs here that is not on record"]);
}

#[test]
fn a_log_that_cannot_be_written_is_told_before_anything_runs() {
    let system = system();
    let mut machine = system.machine();
    machine.log = Some(format!("{},readonly=on", drive(&system.state.log())));
    refuses(&machine, &["the log", "cannot be used"]);
}

#[test]
fn without_a_key_nothing_runs() {
    let system = system();
    let mut machine = system.machine();
    machine.key = None;
    refuses(&machine, &["there is no machine key", "opt/orbital/key"]);
    let path = system.state.folder().join("no.key");
    fs::write(&path, "not a key\n").unwrap();
    machine.key = Some(path);
    refuses(&machine, &["machine key"]);
}

#[test]
fn the_key_of_another_machine_does_not_go_on_with_the_log() {
    let (first, second) = (system(), system());
    first.script("echo", 0);
    let mut machine = first.machine();
    machine.key = Some(second.state.key());
    refuses(&machine, &["the log", "key"]);
    first.verify_log();
}

#[test]
fn a_ramdisk_that_is_none_is_told() {
    let system = system();
    let path = system.state.folder().join("ramdisk");
    let mut machine = system.machine();
    let good = fs::read(&machine.product.ramdisk).unwrap();
    machine.product.ramdisk = path.clone();
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let half_an_image = good[..2048].to_vec();
    let mut broken_image = good.clone();
    broken_image[512..1024].fill(0xff);
    let mut wrong_length = good;
    wrong_length[124..135].copy_from_slice(b"77777777777");
    for bytes in [Vec::new(), vec![0; 1024], noise, half_an_image, broken_image, wrong_length] {
        fs::write(&path, bytes).unwrap();
        refuses(&machine, &["the machine stops"]);
    }
}

#[test]
fn too_little_memory_is_told() {
    let system = system();
    let mut machine = system.machine();
    machine.memory = 16;
    let came = gather(&machine, "", PATIENCE).unwrap();
    assert!(matches!(came.end, Some(End::Off(70))), "{:?}\n{}", came.end, came.messages);
}

#[test]
fn without_qemu_one_line_says_what_to_install() {
    let output = Command::new(env!("CARGO_BIN_EXE_qemu"))
        .args(["run", "-c", "echo"])
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(69), 1), "{said}");
    assert!(said.contains("qemu-system-x86_64") && said.contains("apt-get install"), "{said}");
}

#[test]
fn a_killed_program_takes_its_machine_along() {
    let system = system();
    let folder = system.state.folder().to_path_buf();
    drop(system.state);
    let words = ["--state".as_ref(), folder.as_os_str(), "run".as_ref()];
    let mut qemu = Program::new(env!("CARGO_BIN_EXE_qemu"), words, [], PATIENCE);
    qemu.boot(&[]).unwrap();
    qemu.write("put /a kept; echo put\n").unwrap();
    qemu.read_until("put\n").unwrap();
    qemu.kill().unwrap();
    // The folder is locked as long as QEMU lives, and is waited for.
    let state = qemu::State::open(&folder).unwrap();
    let came = run(&qemu::Machine::new(super::product(), &state).unwrap().script("cat /a"));
    assert_eq!((came.end, came.output.as_str()), (Some(End::Off(0)), "kept\n"), "{}", came.messages);
}

/// More than the buffers of the port, the kernel and the line's driver hold; as a pipe gives it under `orbital`.
#[test]
fn a_line_of_a_pipe_may_be_longer_than_what_is_read_at_once() {
    let system = system();
    let long = "x".repeat(50_000);
    let came = gather(&system.machine(), &format!("put /a {long}\ncat /a; echo behind\n"), PATIENCE).unwrap();
    assert_eq!(came.end, Some(End::Off(0)), "{}", came.messages);
    assert!(came.output == format!("{long}\nbehind\n"), "{} bytes", came.output.len());
}

#[test]
fn nothing_is_lost_of_what_is_typed_before_there_is_anyone_to_read_it() {
    use std::io::{Read, Write};
    let system = system();
    let mut running = system.machine().start().unwrap();
    let mut input = running.input.take().unwrap();
    let lines: String = (0..600).map(|line| format!("echo line {line}\n")).collect();
    // More than all buffers hold, from the first instruction on.
    let typed = std::thread::spawn(move || {
        input.write_all(lines.as_bytes()).and_then(|()| input.write_all(&[4])).unwrap();
        input
    });
    let mut output = String::new();
    running.output.take().unwrap().read_to_string(&mut output).unwrap();
    for (number, line) in output.lines().enumerate() {
        assert_eq!(line, format!("line {number}"));
    }
    assert_eq!(output.lines().count(), 600);
    assert_eq!(running.wait().unwrap(), End::Off(0));
    drop(typed.join().unwrap());
}
