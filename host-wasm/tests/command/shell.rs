//! What the shell does with input that is larger than a line, and larger than its memory should be.

use super::*;

/// Bytes that do not repeat, of all kinds (SplitMix64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bytes.extend((z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Runs a script with these bytes as its input.
fn fed(system: &System, script: &str, input: &[u8]) -> Output {
    let mut command = system.command(["run", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut to, input) = (child.stdin.take().unwrap(), input.to_vec());
    // It may end before it has read all.
    let writer = std::thread::spawn(move || drop(to.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn what_comes_in_by_a_pipe_goes_out_again_byte_for_byte_in_little_memory() {
    let system = System::new();
    let bytes = noise(7 << 20);
    let memory = |text: &str| text.lines().find_map(|line| line.strip_prefix("memory ")).unwrap().trim().to_owned();
    let before = memory(&good(&fed(&system, "self", b"")));
    let mebibytes = |text: &str| text.strip_suffix(" MiB").map_or(0.0, |number| number.parse::<f64>().unwrap());
    for (put, show, remove) in [
        ("put --if-version 0 --input /big", "cat /big", "rm /big"),
        ("set --if-version 0 --input big", "get big", "unset big"),
    ] {
        let after = memory(&good(&fed(&system, &format!("{put}; self"), &bytes)));
        assert!(mebibytes(&after) < mebibytes(&before) + 2.0, "{before}, with 7 MiB {after}");
        assert!(system.run(["run", "-c", show]).stdout == bytes);
        let output = fed(&system, put, b"over it");
        assert_eq!(output.status.code(), Some(1), "{}", out(&output));
        assert!(out(&output).contains("was changed meanwhile"), "{}", out(&output));
        good(&system.run(["run", "-c", remove]));
    }
    good(&fed(&system, "set --input big", &bytes));
    let output = system.run(["run", "-c", "get big; get big; echo; self"]);
    assert!(output.stdout.starts_with(&[&bytes[..], &bytes[..]].concat()));
    let after = memory(&String::from_utf8_lossy(&output.stdout[2 * bytes.len()..]));
    assert!(mebibytes(&after) < mebibytes(&before) + 2.0, "{before}, with 7 MiB {after}");
}

#[test]
fn a_file_larger_than_a_message_is_copied_and_shown_whole() {
    let system = System::new();
    // Of two bytes a character, so that one lies across each part.
    let line = "ä".repeat(24_999);
    let script: String = (0..40).map(|number| format!("append -n /f '{number}{line}'\n")).collect();
    let mut child =
        system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert_eq!(good(&child.wait_with_output().unwrap()), "");
    let whole: String = (0..40).map(|number| format!("{number}{line}")).collect();
    assert!(good(&system.run(["run", "-c", "cat /f"])) == whole);
    assert!(good(&system.run(["run", "-c", "cp /f /g; rm /f; cat /g"])) == whole);
    assert!(good(&system.run(["disk", "check"])).contains("all good"));
}

#[test]
fn what_is_too_large_is_told_and_leaves_nothing() {
    let system = System::new();
    let refused = |output: &Output, words: &str| {
        assert_eq!(output.status.code(), Some(1), "{}{}", out(output), err(output));
        assert!(out(output).contains(words), "{}", out(output));
    };
    let long = "x".repeat(61_440);
    let by_line = |line: String| {
        let mut child = system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    refused(
        &by_line(format!("append /a {long}\n")),
        "at most 60.0 KiB are appended at once, so that it is all or nothing",
    );
    refused(&by_line(format!("set --for 9 a {long}\n")), "a value that expires has at most 60.0 KiB, and this 61441");
    assert_eq!(good(&by_line(format!("set a {long}\nput /a {long}\nkeys\nls\nunset a\nrm /a\n"))), "a\na\n");
    // More than the namespace may hold.
    refused(&fed(&system, "set --input big", &noise(11 << 20)), "are left of the quota; `rm` and `unset` make some");
    assert_eq!(good(&system.run(["run", "-c", "keys; ls"])), "");
    assert!(good(&system.run(["disk", "check"])).contains("all good"));
}

#[test]
fn a_slip_leaves_nothing_on_the_disk() {
    let system = System::new();
    let script = "hello; storge; spawn nope; spawn /nope; spawn nope & wait; exit 0";
    let text = good(&system.run(["run", "-c", script]));
    assert!(text.contains("storge: there is no such command or program"), "{text}");
    let info = good(&system.run(["disk", "info"]));
    let made: Vec<&str> = info.lines().filter_map(|line| line.trim().strip_prefix("root/user/")).collect();
    assert_eq!(made.len(), 1, "{info}");
    assert!(made[0].starts_with("hello: "), "{info}");
}

/// As bare x86_64 does it, where a line comes by a serial port (boot/qemu/tests/machine/console.rs).
#[test]
fn a_line_of_a_pipe_may_be_longer_than_what_is_read_at_once() {
    let system = System::new();
    let long = "x".repeat(50_000);
    let mut child = system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("put /a {long}\ncat /a; echo behind\n").as_bytes()).unwrap();
    assert_eq!(good(&child.wait_with_output().unwrap()), format!("{long}\nbehind\n"));
}

#[test]
fn what_is_no_command_is_told_with_its_line() {
    let system = System::new();
    let mut child = system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = b"echo one\necho 'two\nthree' | four\n\necho five; echo \"six\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let [first, second, third] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!(first, "one");
    assert!(second.starts_with("shell: line 3, column 8: "), "{text}");
    assert!(third.starts_with("shell: line 5, column 17: "), "{text}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_line_without_end_is_told_and_takes_no_memory() {
    let system = System::new();
    let mut child = system.command::<&str>([]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"echo before\n").unwrap();
    for _ in 0..8 {
        input.write_all(&[b'x'; 1 << 20]).unwrap();
    }
    input.write_all(b"\necho behind, $?; self\n").unwrap();
    drop(input);
    let text = good(&child.wait_with_output().unwrap());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[2]), ("before", "behind, 2"), "{text}");
    assert!(lines[1].starts_with("shell: line 2 of the input is longer than 1.00 MiB"), "{text}");
    let memory = lines.iter().find_map(|line| line.strip_prefix("memory ")?.trim().strip_suffix(" MiB")).unwrap();
    assert!(memory.parse::<f64>().unwrap() < 6.0, "{text}");
}

#[test]
fn a_stream_that_is_cut_off_is_not_seen() {
    let system = System::new();
    good(&system.run(["run", "-c", "set k before"]));
    let mut child = system
        .command(["run", "-c", "echo ready; set --input k"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&noise(1 << 20)).unwrap();
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}{}", out(&output), err(&output));
    if out(&output).contains("ready") {
        assert!(out(&output).contains("set: it was ended before the input"), "{}", out(&output));
    }
    drop(input);
    assert_eq!(good(&system.run(["run", "-c", "get k"])), "before\n");
}
