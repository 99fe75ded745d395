//! The shell with a person at a terminal, on the simulated machine: what the screen shows
//! is what a terminal emulator (`vt100`) makes of the output.

use libprocess::Process;
use libprocess::interfaces::init::control;
use libprocess::interfaces::storage::files::{self, OpenMode};
use libprocess::interfaces::storage::objects;
use simulated::{Cut, End, Simulation, Wreck};
use std::num::NonZeroU16;
use std::time::Duration;

const COLUMNS: u16 = 80;
const ROWS: u16 = 60;
const UP: &str = "\x1b[A";

struct Desk {
    machine: Simulation,
    /// How long the output was when something was typed last.
    typed: usize,
}

/// A program that waits for ever.
async fn wait_for_ever(_: Process) {
    libprocess::sleep(Duration::from_secs(1_000_000)).await;
}

/// A program that ends after a while.
async fn wait_a_while(_: Process) {
    libprocess::sleep(Duration::from_secs(5)).await;
}

/// A program that says what line it read.
async fn read_a_line(process: Process) {
    let line = process.console().expect("it has a console").read_line().await;
    libprocess::println!("it read {line:?}");
}

async fn pause(milliseconds: u64) {
    libprocess::sleep(Duration::from_millis(milliseconds)).await;
}

/// A program that changes values, one after the other.
async fn change_values(process: Process) {
    let objects = process.connect::<objects::Client>().await.expect("it was given storage");
    for key in ["a", "b", "a"] {
        pause(500).await;
        objects.put(key, b"x", None).await.expect("there is room");
    }
    pause(500).await;
    objects.delete("a", None).await.expect("it is there");
}

/// A program that makes a large file, and goes on changing it.
async fn change_a_file(process: Process) {
    let files = process.connect::<files::Client>().await.expect("it was given storage");
    files.open("/big", OpenMode::CREATE).await.expect("there is room");
    files.set_size("/big", 1_000_000).await.expect("there is room");
    for round in (0..=u8::MAX).cycle().take(2_000) {
        files.write("/big", 7, &[round]).await.expect("it is there");
    }
}

/// A program that makes a large value, and goes on changing it.
async fn change_a_value(process: Process) {
    let objects = process.connect::<objects::Client>().await.expect("it was given storage");
    for _ in 0..250 {
        let upload = objects.begin("big", 400_000).await.expect("there is room");
        for _ in 0..8 {
            objects.add(upload, &[b'x'; 50_000]).await.expect("there is room");
        }
        objects.finish(upload, None).await.expect("there is room");
    }
}

/// A program that makes a large file, and ends.
async fn make_a_large_file(process: Process) {
    let files = process.connect::<files::Client>().await.expect("it was given storage");
    files.open("/big", OpenMode::CREATE).await.expect("there is room");
    files.set_size("/big", 4_000_000).await.expect("there is room");
}

/// A program that has storage killed after a while.
async fn kill_storage(process: Process) {
    let control = process.connect::<control::Client>().await.expect("it was given init's control");
    pause(1_500).await;
    control.kill("storage").await.expect("it is up");
}

impl Desk {
    fn new() -> Desk {
        Desk::on(None)
    }

    /// On what a machine before left.
    fn on(left: Option<Wreck>) -> Desk {
        Desk::with(left, Simulation::new(7).image("hello", wait_for_ever))
    }

    fn with(left: Option<Wreck>, machine: Simulation) -> Desk {
        let mut machine = machine
            .image("init", init::main)
            .image("process", process::main)
            .image("storage", storage::main)
            .image("shell", shell::session::main)
            .image("notes", wait_a_while)
            .first("init", &[])
            .terminal(COLUMNS.into())
            .console_stays_open();
        if let Some(left) = left {
            machine = machine.boot_again(left);
        }
        let mut desk = Desk { machine, typed: 0 };
        desk.until("Orbital. `help` shows what there is, `exit` turns the machine off.");
        desk.prompt();
        desk
    }

    fn screen(&self) -> String {
        let size = |size| NonZeroU16::new(size).unwrap_or(NonZeroU16::MIN);
        let mut terminal = vt100::Parser::new(size(ROWS), size(COLUMNS), 0);
        terminal.process(self.machine.output().replace('\n', "\r\n").as_bytes());
        terminal.screen().contents().trim_end().to_string()
    }

    /// Runs until what came since something was typed last ends so.
    fn until(&mut self, end: &str) {
        let deadline = self.machine.now() + 30_000_000_000;
        let from = self.typed;
        let ends_so = |machine: &Simulation| {
            let output = machine.output();
            output.len() > from && output[from..].trim_end().ends_with(end)
        };
        self.machine.run_until(|machine| machine.now() > deadline || ends_so(machine));
        assert!(ends_so(&self.machine), "{end:?} does not come\n{}\n{:?}", self.screen(), self.machine.panics());
    }

    fn prompt(&mut self) {
        self.until("orbital>");
    }

    fn types(&mut self, keys: &str) {
        self.typed = self.machine.output().len();
        self.machine.type_now(keys);
    }

    /// Types a command, and gives the line that it printed last.
    fn does(&mut self, keys: &str) -> String {
        self.types(&format!("{keys}\r"));
        // The line is drawn as it is written: the prompt that counts comes after its end.
        self.until("\n\r\u{1b}[Jorbital>");
        let screen = self.screen();
        let mut lines = screen.lines().rev();
        assert_eq!(lines.next().map(str::trim_end), Some("orbital>"), "{screen}");
        lines.next().unwrap_or_default().trim_end().to_string()
    }

    /// Types a command, and waits for this line, between which news of programs may come.
    fn says(&mut self, keys: &str, line: &str) {
        self.types(&format!("{keys}\r"));
        let (from, deadline) = (self.typed, self.machine.now() + 30_000_000_000);
        let line = format!("\n{line}\n");
        let said = |machine: &Simulation| machine.output()[from..].replace('\r', "").contains(&line);
        self.machine.run_until(|machine| machine.now() > deadline || said(machine));
        assert!(said(&self.machine), "{line:?} does not come\n{}", self.screen());
        self.prompt();
    }

    fn ends(mut self) -> (u64, Wreck) {
        match self.machine.run() {
            End::PowerOff(status) => {
                self.machine.check();
                (status, self.machine.halt())
            }
            end => panic!("{end:?}\n{}", self.screen()),
        }
    }
}

#[test]
fn a_line_is_edited_before_it_is_carried_out() {
    let mut desk = Desk::new();
    assert_eq!(desk.does("echp one\x1b[H\x1b[C\x1b[C\x1b[C\x1b[3~o"), "one");
    assert_eq!(desk.does("echo two words\x17\x17three"), "three");
}

#[test]
fn lines_entered_before_come_back_also_after_the_next_boot() {
    let mut desk = Desk::new();
    assert_eq!(desk.does("echo first"), "first");
    assert_eq!(desk.does("echo second"), "second");
    assert_eq!(desk.does(&format!("{UP}{UP}")), "first");
    desk.types("exit\r");
    let (status, left) = desk.ends();
    assert_eq!(status, 0);
    let mut desk = Desk::on(Some(left));
    assert_eq!(desk.does(&format!("{UP}{UP}{UP}")), "second");
    let left = desk.machine.crash(Cut::Lost);
    let mut desk = Desk::on(Some(left));
    assert_eq!(desk.does(UP), "second");
}

#[test]
fn control_c_gives_the_line_up_and_control_d_ends_the_session() {
    let mut desk = Desk::new();
    desk.types("echo nothing\x03");
    desk.prompt();
    assert!(desk.screen().contains("echo nothing^C"));
    assert_eq!(desk.does("echo $?"), "137");
    assert_eq!(desk.does("help nothing"), "help: there is no command nothing; `help` lists them");
    desk.types("\x04");
    let (status, _) = desk.ends();
    assert_eq!(status, 1);
}

#[test]
fn control_c_ends_the_program_that_is_waited_for() {
    let mut desk = Desk::new();
    desk.types("hello\r");
    desk.machine.run_until(|machine| machine.processes().iter().any(|name| name == "hello"));
    desk.types("\x03");
    desk.prompt();
    assert!(desk.screen().contains("was killed"), "{}", desk.screen());
    assert!(!desk.machine.processes().iter().any(|name| name == "hello"));
    assert_eq!(desk.does("echo $?"), "137");
}

#[test]
fn what_is_typed_while_a_program_runs_is_not_lost() {
    let mut desk = Desk::new();
    desk.types("notes\recho after\r");
    desk.until("after");
    desk.prompt();
    assert!(desk.screen().contains("orbital> echo after\nafter"), "{}", desk.screen());
}

#[test]
fn the_end_of_a_background_program_is_told_while_a_line_is_written() {
    let mut desk = Desk::new();
    let started = desk.does("notes &");
    assert!(started.ends_with("] started"), "{started}");
    desk.types("echo half");
    desk.machine.run_until(|machine| machine.output().contains("notes ended"));
    desk.until("orbital> echo half");
    assert_eq!(desk.does(" a line"), "half a line");
}

#[test]
fn a_command_may_go_over_several_lines() {
    let mut desk = Desk::new();
    desk.types("echo 'one\r");
    desk.until("       >");
    assert_eq!(desk.does("two'"), "two");
    desk.types("echo 'never\r\x03");
    desk.prompt();
    assert_eq!(desk.does("echo again"), "again");
}

#[test]
fn tab_completes_commands_services_and_paths() {
    let mut desk = Desk::new();
    desk.does("mkdir /letters; put /letters/first 'Dear reader'");
    assert_eq!(desk.does("ca\t\tt\t /let\tf\t"), "Dear reader");
    assert!(desk.screen().contains("cat  capture  caps"), "{}", desk.screen());
    assert!(desk.does("services stor\t").starts_with("upgrade "));
    // A hidden file is completed too, and nothing is added where nothing fits.
    assert_eq!(desk.does("echo x /nothing/\t"), "x /nothing/");
}

#[test]
fn a_session_that_is_asked_to_end_ends() {
    let mut desk = Desk::new();
    desk.types("echo half a li");
    desk.until("half a li");
    desk.machine.request_end(130);
    let (status, _) = desk.ends();
    assert_eq!(status, 130);
}

#[test]
fn a_program_reads_the_keyboard_if_it_is_given_it() {
    let mut desk = Desk::with(None, Simulation::new(7).image("hello", read_a_line));
    desk.types("spawn --input hello\r");
    desk.machine.run_until(|machine| machine.processes().iter().any(|name| name == "hello"));
    desk.types("for the program\n");
    desk.prompt();
    assert!(desk.screen().contains("it read Ok(Some(\"for the program\"))"), "{}", desk.screen());
    assert_eq!(desk.does("echo mine"), "mine");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_service_that_is_started_again() {
    let mut desk = Desk::new();
    assert_eq!(desk.does("put /f here"), "orbital> put /f here");
    for _ in 0..4 {
        desk.does("kill storage");
        assert_eq!(desk.does("cat /f"), "here", "who waits is answered by the next");
    }
    desk.does("kill storage");
    let then = desk.machine.now();
    desk.types("cat /f\r\x03");
    desk.until("cat: storage is backing off; `services storage` shows how it goes on\n\r\u{1b}[Jorbital>");
    assert!(desk.machine.now() - then < 500_000_000, "it would be back after 1.6 s");
    assert_eq!(desk.does("echo $?"), "137");
    assert_eq!(desk.does("cat /f"), "here");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_service_that_does_not_come_up() {
    let starts = std::cell::Cell::new(0);
    let stuck = move |process| {
        let first = starts.replace(starts.get() + 1) == 0;
        async move {
            if first {
                return storage::main(process).await;
            }
            wait_for_ever(process).await;
            Ok(())
        }
    };
    let manifest = init::run::SYSTEM.replace("image = \"storage\"", "image = \"stuck\"");
    let machine = Simulation::new(7).image("hello", wait_for_ever).image("stuck", stuck).manifest(&manifest);
    let mut desk = Desk::with(None, machine);
    desk.does("stop storage");
    let then = desk.machine.now();
    desk.types("start storage\r\x03");
    desk.prompt();
    assert!(desk.machine.now() - then < 1_000_000_000, "it may take 30 s");
    assert!(
        desk.screen().contains("start: storage is starting; `services storage` shows how it goes on"),
        "{}",
        desk.screen()
    );
    assert_eq!(desk.does("stop storage"), "orbital> stop storage", "it can be stopped though it hangs");
    assert_eq!(desk.does("cat /f"), "cat: /f: the storage service is stopped; `start storage` starts it");
}

#[test]
fn changes_are_told_in_their_order_until_ctrl_c() {
    let mut desk = Desk::with(None, Simulation::new(7).image("hello", change_values));
    desk.does("spawn --pass storage hello &");
    desk.types("watch\r");
    desk.machine.run_until(|machine| machine.output().contains("removed a"));
    desk.types("\x03");
    desk.prompt();
    let screen = desk.screen();
    let told: Vec<(&str, u64)> = screen
        .lines()
        .filter_map(|line| line.split_once(", version "))
        .map(|(what, version)| (what, version.trim_end().parse().expect("a number")))
        .collect();
    assert_eq!(
        told.iter().map(|told| told.0).collect::<Vec<_>>(),
        ["changed a", "changed b", "changed a", "removed a"]
    );
    assert!(told.is_sorted_by(|a, b| a.1 < b.1), "{screen}");
    assert!(screen.contains("^C"), "{screen}");
    desk.says("echo its status: $?", "its status: 137");
}

#[test]
fn a_watch_ends_with_the_number_that_was_asked_for_and_tells_of_its_prefix_alone() {
    let mut desk = Desk::with(None, Simulation::new(7).image("hello", change_values));
    desk.does("spawn --pass storage hello &");
    assert!(desk.does("watch --count 1 b").starts_with("changed b, version "));
    assert_eq!(desk.does("echo $?"), "0");
    // What comes after it is told to nobody, and does not disturb the next.
    assert_eq!(desk.does("watch --count 3 --for 4 b"), "watch: 0 of 3 changes came in 4.00 s");
}

#[test]
fn a_watch_outlives_its_service_and_says_that_something_may_be_missing() {
    let mut desk = Desk::with(None, Simulation::new(7).image("hello", kill_storage));
    desk.does("spawn --pass init hello &");
    desk.types("watch --for 6\r");
    desk.until("some changes were left out; `keys` lists what there is\n\r\u{1b}[Jorbital>");
    desk.says("echo its status: $?", "its status: 0");
}

#[test]
fn what_changes_while_it_is_read_is_not_taken_for_one_version() {
    for (command, said) in [
        ("cp /big /copy", "cp: /big was changed while it was read; try again"),
        ("cat /big", "cat: /big was changed while it was read; try again"),
        ("get big", "get: big was changed while it was read; try again"),
    ] {
        let machine = Simulation::new(7);
        let machine = match command {
            "get big" => machine.image("hello", change_a_value),
            _ => machine.image("hello", change_a_file),
        };
        let mut desk = Desk::with(None, machine);
        desk.does("spawn --pass storage hello &");
        let then = desk.machine.now();
        desk.machine.run_until(|machine| machine.now() > then + 100_000_000);
        desk.says(command, said);
        assert_eq!(desk.does("ls /copy"), "ls: there is no /copy; `ls` shows what is there");
    }
}

#[test]
fn ctrl_c_ends_what_takes_long_and_leaves_nothing_of_it() {
    let mut desk = Desk::with(None, Simulation::new(7).image("hello", make_a_large_file));
    desk.does("spawn --pass storage hello");
    desk.types("cp /big /copy\r\x03");
    desk.until("cp: given up by Ctrl-C, before it was done\n\r\u{1b}[Jorbital>");
    assert_eq!(desk.does("echo $?"), "137");
    assert_eq!(desk.does("ls"), "big");
    desk.does("cp /big /copy");
    assert_eq!(desk.does("ls"), "copy");
}

#[test]
fn several_of_one_name_are_told_apart_by_their_pids_and_ctrl_c_ends_a_wait() {
    let mut desk = Desk::new();
    let pid = |line: String| line.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
    let (first, second) = (pid(desk.does("hello &")), pid(desk.does("hello &")));
    assert_eq!(desk.does("kill hello"), "kill: 2 processes are called hello; give the pid, as `ps` shows it");
    desk.types(&format!("wait {first}\r\x03"));
    desk.until(&format!("wait: {first} goes on; `kill {first}` ends it\n\r\x1b[Jorbital>"));
    assert_eq!(desk.does("echo $?"), "137");
    desk.does(&format!("kill {first}"));
    desk.says("kill hello", &format!("[{first}] hello was killed"));
    desk.says(&format!("wait {second}"), &format!("[{second}] was killed"));
}

#[test]
fn arguments_that_are_none_are_told() {
    let mut machine = Simulation::new(7)
        .image("init", init::main)
        .image("process", process::main)
        .image("storage", storage::main)
        .image("shell", shell::session::main)
        .first("init", &["fly"]);
    assert_eq!(machine.run(), End::PowerOff(2));
    assert_eq!(machine.output(), "shell: these arguments are not understood\nusage: shell [-c SCRIPT]\n");
}

#[test]
fn at_a_terminal_the_input_is_the_keyboard() {
    let mut desk = Desk::new();
    assert_eq!(
        desk.does("set --input k"),
        "set: there is no input but the keyboard; `set KEY TEXT` takes what is typed"
    );
    assert_eq!(
        desk.does("put --input /k"),
        "put: there is no input but the keyboard; `put PATH TEXT` takes what is typed"
    );
    desk.does("set color green");
    assert_eq!(desk.does("get col\t"), "green");
}
