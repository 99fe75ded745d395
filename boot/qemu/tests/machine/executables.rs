//! Executables that somebody brought: files in storage, started by `spawn`. What is none is refused, and the machine's
//! messages say what is wrong with it.

use super::{product, run, system};
use libprocess::interfaces::storage::files;
use qemu::machine::{End, Machine};
use simulated::Simulation;
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// Bytes that one call appends.
const PART: usize = 32 << 10;

/// A disk on which the shell's files are these: storage itself wrote them, in a simulated machine in which the shell is
/// a program that does just that.
fn disk_with(path: &Path, wanted: &[(&str, Vec<u8>)]) {
    let wanted: Rc<Vec<(String, Vec<u8>)>> =
        Rc::new(wanted.iter().map(|(path, bytes)| (path.to_string(), bytes.clone())).collect());
    let write = move |process: libprocess::Process| {
        let wanted = wanted.clone();
        async move {
            let files: files::Client = process.connect().await.unwrap();
            files.make_folder("/bin").await.unwrap();
            for (path, bytes) in wanted.iter() {
                for part in bytes.chunks(PART) {
                    files.append(path, part).await.unwrap();
                }
            }
        }
    };
    let mut system = Simulation::new(1)
        .image("init", init::main)
        .image("process", process::main)
        .image("storage", storage::main)
        .image("shell", write)
        .first("init", &[]);
    assert_eq!(system.run(), simulated::End::PowerOff(0), "{:?}", system.panics());
    let disk = system.halt().disk;
    fs::write(path, disk.peek(0, disk.sectors()).unwrap()).unwrap();
}

/// An image of the boot set.
fn image(name: &str) -> Vec<u8> {
    let archive = fs::read(&product().ramdisk).unwrap();
    let archive = tar_no_std::TarArchiveRef::new(&archive).unwrap();
    let found = archive.entries().find(|entry| entry.filename().as_str() == Ok(name));
    found.unwrap().data().to_vec()
}

/// The program header of the first segment that is executed: where its flags are in the file.
fn flags_of_code(file: &[u8]) -> usize {
    let half = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let headers = usize::try_from(u64::from_le_bytes(file[32..40].try_into().unwrap())).unwrap();
    (0..half(56)).map(|index| headers + index * half(54) + 4).find(|flags| file[*flags] & 1 != 0).unwrap()
}

#[test]
fn an_executable_in_storage_runs_and_what_is_none_is_refused_for_what_it_is() {
    let (hello, notes) = (image("hello"), image("notes"));
    let mut other_machine = hello.clone();
    other_machine[18..20].copy_from_slice(&183u16.to_le_bytes());
    let mut writable_code = hello.clone();
    let flags = flags_of_code(&hello);
    writable_code[flags] |= 2;
    let mut entry_nowhere = hello.clone();
    entry_nowhere[24..32].copy_from_slice(&0x3000_0000u64.to_le_bytes());
    let noise: Vec<u8> = (0..50_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let refused: [(&str, Vec<u8>, &str); 7] = [
        ("/bin/noise", noise, "not an ELF file"),
        ("/bin/component.wasm", b"\0asm\x0d\0\x01\0".to_vec(), "not an ELF file"),
        ("/bin/header-alone", hello[..64].to_vec(), "not an ELF file"),
        ("/bin/half", hello[..hello.len() / 2].to_vec(), "a broken one"),
        ("/bin/other-machine", other_machine, "not a static executable for x86_64"),
        ("/bin/writable-code", writable_code, "can be written and executed"),
        ("/bin/entry-nowhere", entry_nowhere, "its entry is not"),
    ];
    let system = system();
    let mut files: Vec<(&str, Vec<u8>)> = vec![("/bin/greeter", hello), ("/bin/notes", notes)];
    files.extend(refused.iter().map(|(path, bytes, _)| (*path, bytes.clone())));
    disk_with(&system.state.disk(), &files);

    let said = system.script("spawn /bin/greeter you 'and me'; /bin/notes add first; /bin/notes list", 0);
    assert_eq!(said, "Hello, you!\nHello, and me!\nkept as note 1\n1  first\n");
    system.script("spawn /bin/notes forget", 2);
    for (path, _, why) in refused {
        let machine: Machine = system.machine().script(&format!("spawn {path}; hello 'goes on'"));
        let came = run(&machine);
        assert_eq!(came.end, Some(End::Off(0)), "{path}: {}", came.messages);
        let told = format!("spawn: {path} cannot be run: not a program that this system runs");
        assert!(
            came.output.starts_with(&told) && came.output.ends_with("Hello, goes on!\n"),
            "{path}: {}",
            came.output
        );
        let refusal = came.messages.lines().find(|line| line.contains("refused"));
        assert!(refusal.is_some_and(|line| line.contains(why)), "{path}: {}", came.messages);
    }
    let log = system.verify_log();
    assert!(log.contains("9 boots") && !log.contains("crash"), "{log}");
}
