//! Every command of `orbital`, as its help lists them, ends with every status that docs/command-line.md says it can end
//! with. A command that is added without its row there and its cases here fails this test.

use super::*;
use axiom::door::Config;
use axiom::{Axiom, Head};
use kernel::Setup;
use log_image::{BLOCK, BlockDevice, DeviceError, ImageLog};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How a command is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// As it is.
    Plain,
    /// On a host that limits it so, as `ulimit` says it.
    Limited(&'static str),
    /// In a session that waits for input and then gets this signal.
    Signal(&'static str),
}
use How::{Limited, Plain, Signal};

/// A command, what is behind it, how it is run, its status, and words that it says then. `{name}` is a path or a text
/// of the [`Stage`].
type Case = (&'static str, &'static [&'static str], How, i32, &'static str);

const RUN: &str = "run";
const WITNESS: &str = "witness.test/w1+f6c7ee94+BHpmAKVx3LuCPUrKzqsJIEzyg7fvqr2kmuKhY4J9Hu6u";

/// The first of each command succeeds; it is also run with an output that is full, and with one that nobody reads.
#[rustfmt::skip]
const CASES: &[Case] = &[
    (RUN, &["--state", "{ran}", "-c", "echo said"], Plain, 0, "said"),
    (RUN, &["--state", "{ran}", "-c", "exit 7"], Plain, 7, ""),
    (RUN, &["--state", "{ran}", "-c"], Plain, 2, "a value is required"),
    (RUN, &["--state", "{ran}", "-c", "{long}"], Plain, 2, "the limit is 61440"),
    (RUN, &["--state", "{ran}", "-e", "=x"], Plain, 2, "it must be NAME=VALUE"),
    (RUN, &["--state", "{ran}", "-c", "ls", "hello"], Plain, 2, "cannot be used with"),
    (RUN, &["--state", "{damaged}", "-c", "ls"], Plain, 65, "segments/"),
    (RUN, &["--state", "{keyless}", "-c", "ls"], Plain, 65, "the machine's key is gone"),
    (RUN, &["--state", "{other-key}", "-c", "ls"], Plain, 65, "the key is another's"),
    (RUN, &["--state", "{diskless}", "-c", "ls"], Plain, 65, "the disk is gone"),
    (RUN, &["--state", "{ran}", "nothing"], Plain, 66, "no app of that name"),
    (RUN, &["--state", "{ran}", "{garbage}"], Plain, 66, "is not something that Orbital can run"),
    (RUN, &["--state", "{ran}", "--manifest", "/no/such"], Plain, 66, "/no/such"),
    (RUN, &["--state", "{fresh}", "-c", "ls"], Limited("-n 20"), 69, "limit of open files"),
    (RUN, &["--state", "{ran}", "--manifest", "{garbage}", "-c", "ls"], Plain, 66, "garbage, line 1: "),
    (RUN, &["--state", "{ran}", "--manifest", "{tape}", "-c", "ls"], Plain, 70, "has no capability `device:tape` to grant; docs/init.md"),
    (RUN, &["--state", "/dev/null/x", "-c", "ls"], Plain, 74, "/dev/null/x"),
    (RUN, &["--state", "{busy}", "-c", "ls"], Plain, 75, "another orbital (process "),
    (RUN, &["--state", "{ran}"], Signal("INT"), 130, ""),
    (RUN, &["--state", "{ran}"], Signal("TERM"), 143, ""),

    ("log show", &["--state", "{ran}", "--limit", "3"], Plain, 0, "boot "),
    ("log show", &["--state", "{ran}", "--process", "nobody"], Plain, 0, "no record of a process nobody"),
    ("log show", &["--image", "{image}"], Plain, 0, "init"),
    ("log show", &["--state", "{ran}", "--from", "yesterday"], Plain, 2, "a record's number or a time"),
    ("log show", &["--state", "{ran}", "--limit", "many"], Plain, 2, "--limit"),
    ("log show", &["--state", "{ran}", "--from", "20", "--to", "10"], Plain, 2, "--from lies behind --to"),
    ("log show", &["--state", "{damaged}"], Plain, 65, "segments/"),
    ("log show", &["--image", "{garbage}"], Plain, 65, "garbage"),
    ("log show", &["--state", "{fresh}"], Plain, 66, "there is no log"),
    ("log show", &["--image", "/no/such"], Plain, 66, "/no/such"),

    ("log verify", &["--state", "{ran}"], Plain, 0, "The log is whole"),
    ("log verify", &["--image", "{image}"], Plain, 0, "The log is whole"),
    ("log verify", &["--state", "{ran}", "--key", "x"], Plain, 2, "what `orbital log key` prints"),
    ("log verify", &["--state", "{damaged}"], Plain, 1, "segments/"),
    ("log verify", &["--state", "{other-key}"], Plain, 1, "the key is another's"),
    ("log verify", &["--image", "{garbage}"], Plain, 1, "garbage"),
    ("log verify", &["--state", "{fresh}"], Plain, 66, "there is no log"),
    ("log verify", &["--state", "{keyless}"], Plain, 66, "there is no key"),

    ("log prove", &["--state", "{ran}", "3", "--to", "{fresh}/p"], Plain, 0, "Record 3 is number 3 in block 0"),
    ("log prove", &["--state", "{ran}", "--consistency", "1", "--to", "{fresh}/p"], Plain, 0, "The first 1 blocks"),
    ("log prove", &["--image", "{image}", "3", "--to", "{fresh}/p"], Plain, 0, "Record 3"),
    ("log prove", &["--state", "{ran}"], Plain, 2, "RECORD"),
    ("log prove", &["--state", "{ran}", "3", "--consistency", "1"], Plain, 2, "cannot be used with"),
    ("log prove", &["--state", "{ran}", "three"], Plain, 2, "three"),
    ("log prove", &["--state", "{ran}", "3", "--key", "x"], Plain, 2, "what `orbital log key` prints"),
    ("log prove", &["--state", "{ran}", "3", "--key", "{other}", "--to", "{fresh}/p"], Plain, 65, "the key is another's"),
    ("log prove", &["--state", "{damaged}", "3", "--to", "{fresh}/p"], Plain, 65, "segments"),
    ("log prove", &["--state", "{fresh}", "3", "--to", "{fresh}/p"], Plain, 66, "there is no log"),
    ("log prove", &["--state", "{ran}", "99999999", "--to", "{fresh}/p"], Plain, 66, "record 99999999 is in no block"),
    ("log prove", &["--state", "{ran}", "--consistency", "99999", "--to", "{fresh}/p"], Plain, 66, "more than the checkpoint covers"),
    ("log prove", &["--state", "{ran}", "--consistency", "1", "99999", "--to", "{fresh}/p"], Plain, 66, "no signed checkpoint of 99999"),
    ("log prove", &["--state", "{ran}", "3", "--to", "{garbage}"], Plain, 74, "a proof is written into a folder"),
    ("log prove", &["--state", "{ran}", "3", "--to", "/dev/null/x"], Plain, 74, "/dev/null/x: cannot be written"),

    ("log check-proof", &["--state", "{ran}", "{proof}", "--record", "3"], Plain, 0, "The proof holds"),
    ("log check-proof", &["--state", "{fresh}", "{proof}", "--key", "{key}"], Plain, 0, "The proof holds"),
    ("log check-proof", &["--state", "{ran}", "{consistency}", "--old", "{old}"], Plain, 0, "holds"),
    ("log check-proof", &["--state", "{ran}"], Plain, 2, "FILE"),
    ("log check-proof", &["--state", "{ran}", "{proof}", "--witness", "x"], Plain, 2, "a witness's verifier key"),
    ("log check-proof", &["--state", "{ran}", "{proof}", "--key", "{other}"], Plain, 65, "Do not believe it"),
    ("log check-proof", &["--state", "{ran}", "{garbage}"], Plain, 65, "not written as a proof is"),
    ("log check-proof", &["--state", "{ran}", "{consistency}", "--old", "{proof}"], Plain, 65, "Do not believe it"),
    ("log check-proof", &["--state", "{ran}", "{proof}", "--old", "{old}"], Plain, 65, "it is the proof of a record"),
    ("log check-proof", &["--state", "{ran}", "{consistency}", "--record", "3"], Plain, 65, "does not tell a record"),
    ("log check-proof", &["--state", "{ran}", "/dev/zero"], Plain, 65, "longer than a proof can be"),
    ("log check-proof", &["--state", "{fresh}", "{proof}"], Plain, 66, "there is no key"),
    ("log check-proof", &["--state", "{ran}", "/no/such"], Plain, 66, "/no/such"),
    ("log check-proof", &["--state", "{ran}", "{proof}", "--record", "99999999"], Plain, 66, "is not told in block 0"),
    ("log check-proof", &["--state", "{ran}", "{consistency}"], Plain, 66, "with --old FILE"),
    ("log check-proof", &["--state", "{ran}", "{consistency}", "--old", "/no/such"], Plain, 66, "/no/such"),
    ("log check-proof", &["--state", "{ran}", "{fresh}"], Plain, 74, "cannot be read"),

    ("log witness add", &["--state", "{ran}", "http://127.0.0.1:9", WITNESS], Plain, 0, ""),
    ("log witness add", &["--state", "{ran}", "http://127.0.0.1:9", WITNESS], Plain, 2, "there already"),
    ("log witness add", &["--state", "{keyless}", "ftp://h", WITNESS], Plain, 2, "is no address of a witness"),
    ("log witness add", &["--state", "{ran}", "http://h", "x"], Plain, 2, "a witness's verifier key"),
    ("log witness add", &["--state", "{bad-witness}", "http://h", WITNESS], Plain, 65, "witness.toml"),
    ("log witness add", &["--state", "/no/such", "http://h", WITNESS], Plain, 66, "there is no system"),
    ("log witness add", &["--state", "{no-witness}", "http://h", WITNESS], Plain, 74, "witness.toml"),

    // One that answers: tests/command/witness.rs.
    ("log witness submit", &["--state", "{ran}"], Plain, 69, "cannot be reached"),
    ("log witness submit", &["--state", "{ran}", "x"], Plain, 2, "unexpected argument"),
    ("log witness submit", &["--state", "{bad-witness}"], Plain, 65, "witness.toml"),
    ("log witness submit", &["--state", "{keyless}"], Plain, 66, "no witness is named"),
    ("log witness submit", &["--state", "/no/such"], Plain, 66, "there is no system"),
    ("log witness submit", &["--state", "{no-witness}"], Plain, 74, "witness.toml"),

    ("log why", &["--state", "{ran}", "200"], Plain, 0, "came from outside"),
    ("log why", &["--image", "{image}", "3"], Plain, 0, ""),
    ("log why", &["--state", "{ran}", "x"], Plain, 2, "RECORD"),
    ("log why", &["--state", "{damaged}", "200"], Plain, 65, "segments/"),
    ("log why", &["--state", "{fresh}", "3"], Plain, 66, "there is no log"),
    ("log why", &["--state", "{ran}", "99999999"], Plain, 66, "record 99999999 is not in the log"),

    ("log diff", &["--state", "{ran}", "{ran}", "{ran}"], Plain, 0, "did the same"),
    ("log diff", &["--state", "{ran}", "{ran}", "{image}"], Plain, 1, "differ"),
    ("log diff", &["--state", "{ran}", "{ran}"], Plain, 2, "<B>"),
    ("log diff", &["--state", "{ran}", "{ran}", "{damaged}"], Plain, 65, "segments/"),
    ("log diff", &["--state", "{ran}", "{ran}", "/no/such"], Plain, 66, "/no/such"),
    ("log diff", &["--state", "{ran}", "9..1", "0..1"], Plain, 66, "no record lies between"),

    ("log replay", &["--state", "{ran}"], Plain, 0, "all equal"),
    ("log replay", &["--image", "{image}"], Plain, 0, "Replayed"),
    ("log replay", &["--state", "{ran}", "--authority"], Plain, 2, "--to"),
    ("log replay", &["--state", "{damaged}"], Plain, 65, "segments/"),
    ("log replay", &["--state", "{fresh}"], Plain, 66, "there is no log"),
    ("replay", &["--state", "{ran}", "--to", "200"], Plain, 0, "process 1 init"),
    ("replay", &["--image", "{image}", "--to", "5"], Plain, 0, ""),
    ("replay", &["--state", "{ran}", "--process", "init"], Plain, 2, "--to"),
    ("replay", &["--state", "{ran}", "--to", "x"], Plain, 2, "--to"),
    ("replay", &["--state", "{damaged}"], Plain, 65, "segments/"),
    ("replay", &["--state", "{fresh}"], Plain, 66, "there is no log"),
    ("replay", &["--state", "{ran}", "--to", "99999999"], Plain, 66, "record 99999999 is not in the log"),
    ("replay", &["--state", "{ran}", "--to", "9", "--process", "nobody"], Plain, 66, "no process nobody"),

    ("log export", &["--state", "{ran}", "calls", "0"], Plain, 0, ""),
    ("log export", &["--image", "{image}", "authority", "0"], Plain, 0, ""),
    ("log export", &["--state", "{ran}", "bodies", "0"], Plain, 2, "authority, activity or calls"),
    ("log export", &["--state", "{damaged}", "calls", "0"], Plain, 65, "segments/"),
    ("log export", &["--state", "{fresh}", "calls", "0"], Plain, 66, "there is no log"),
    ("log export", &["--state", "{ran}", "calls", "99999"], Plain, 66, "block 99999 is not in the log"),

    ("log unpack", &["--image", "{image}", "--to", "{fresh}/log"], Plain, 0, "a log folder of"),
    ("log unpack", &["--image", "{image}"], Plain, 2, "--to"),
    ("log unpack", &["--image", "{bad-image}", "--to", "{fresh}/log"], Plain, 65, "bad.img"),
    ("log unpack", &["--image", "{image}", "--key", "{other}", "--to", "{fresh}/log"], Plain, 65, "key"),
    ("log unpack", &["--state", "{ran}", "--to", "{fresh}/log"], Plain, 66, "it is no image of a log"),
    ("log unpack", &["--image", "/no/such", "--to", "{fresh}/log"], Plain, 66, "/no/such"),
    ("log unpack", &["--image", "{image}", "--to", "/dev/null/x"], Plain, 74, "/dev/null/x"),

    ("log key", &["--state", "{ran}"], Plain, 0, "orbital.machine/"),
    ("log key", &["--state", "{ran}", "x"], Plain, 2, "unexpected argument"),
    ("log key", &["--state", "{no-key}"], Plain, 65, "not a machine key"),
    ("log key", &["--state", "{fresh}"], Plain, 66, "there is no log"),
    ("log key", &["--state", "{keyless}"], Plain, 66, "there is no key"),

    ("caps why", &["--state", "{ran}", "storage", "0"], Plain, 0, "genesis"),
    ("caps why", &["--image", "{image}", "init", "0"], Plain, 0, "genesis"),
    ("caps why", &["--state", "{ran}", "storage", "x"], Plain, 2, "it must be a slot"),
    ("caps why", &["--state", "{damaged}", "storage", "0"], Plain, 65, "segments/"),
    ("caps why", &["--state", "{fresh}", "storage", "0"], Plain, 66, "there is no log"),
    ("caps why", &["--state", "{ran}", "nobody", "0"], Plain, 66, "no process nobody"),
    ("caps why", &["--state", "{ran}", "storage", "9999"], Plain, 66, "slot 9999"),
    ("caps why", &["--state", "{ran}", "storage", "0", "--boot", "999"], Plain, 66, "boot 999 is not in the log"),

    ("disk check", &["--state", "{ran}"], Plain, 0, "all good"),
    ("disk check", &["--state", "{ran}", "x"], Plain, 2, "unexpected argument"),
    ("disk check", &["--state", "{bad-disk}"], Plain, 65, "not those that were written"),
    ("disk check", &["--image", "{garbage}"], Plain, 65, "smaller than"),
    ("disk check", &["--state", "{diskless}"], Plain, 66, "there is no disk"),
    ("disk check", &["--state", "{busy}"], Plain, 75, "another orbital"),
    ("disk info", &["--state", "{ran}"], Plain, 0, "root/user"),
    ("disk info", &["--state", "{ran}", "x"], Plain, 2, "unexpected argument"),
    ("disk info", &["--image", "{garbage}"], Plain, 65, "smaller than"),
    ("disk info", &["--state", "{diskless}"], Plain, 66, "there is no disk"),
    ("disk info", &["--state", "{busy}"], Plain, 75, "another orbital"),
    ("disk export", &["--state", "{ran}", "--to", "{fresh}/e"], Plain, 0, "values and files"),
    ("disk export", &["--state", "{ran}"], Plain, 2, "--to"),
    ("disk export", &["--state", "{bad-disk}", "--to", "{fresh}/e"], Plain, 65, "file `/long`"),
    ("disk export", &["--state", "{diskless}", "--to", "{fresh}/e"], Plain, 66, "there is no disk"),
    ("disk export", &["--state", "{ran}", "--to", "{garbage}"], Plain, 66, "there is something already"),
    ("disk export", &["--state", "{ran}", "--to", "/dev/null/x"], Plain, 74, "/dev/null/x"),
    ("disk export", &["--state", "{busy}", "--to", "{fresh}/e"], Plain, 75, "another orbital"),
    ("disk import", &["--state", "{fresh}", "--from", "{export}"], Plain, 0, "values and files"),
    ("disk import", &["--state", "{fresh}"], Plain, 2, "--from"),
    ("disk import", &["--state", "{fresh}", "--from", "{export}", "--size", "99999999"], Plain, 2, "more than 1 TiB"),
    ("disk import", &["--state", "{fresh}", "--from", "{export}", "--size", "0"], Plain, 2, "smaller than 256 KiB"),
    ("disk import", &["--state", "{fresh}", "--from", "{bad-export}"], Plain, 65, "index.jsonl, line 1"),
    ("disk import", &["--state", "{fresh}", "--from", "/no/such"], Plain, 66, "/no/such"),
    ("disk import", &["--state", "{ran}", "--from", "{export}"], Plain, 66, "there is a disk already"),
    ("disk import", &["--state", "/dev/null/x", "--from", "{export}"], Plain, 74, "/dev/null/x"),
    ("disk import", &["--state", "{busy}", "--from", "{export}"], Plain, 75, "another orbital"),

    ("capture show", &["--state", "{ran}"], Plain, 0, "capture of endpoint"),
    ("capture show", &["--state", "{ran}", "--boot", "x"], Plain, 2, "--boot"),
    ("capture show", &["--state", "{bad-capture}"], Plain, 65, "this is no capture"),
    ("capture show", &["--state", "{fresh}"], Plain, 66, "nothing was captured"),
    ("capture show", &["--state", "{ran}", "--boot", "999"], Plain, 66, "nothing is there of boot 999"),
    ("capture show", &["--state", "{keyless}"], Plain, 66, "there is no key"),

    ("doctor", &["--state", "{ran}"], Plain, 0, "state folder"),
    ("doctor", &["--state", "{ran}", "x"], Plain, 2, "unexpected argument"),
    ("doctor", &["--state", "{damaged}"], Plain, 69, "BAD   log"),
    ("doctor", &["--state", "{ran}"], Limited("-n 20"), 69, "BAD   open files"),
    ("bench", &["--state", "{ran}"], Plain, 0, "THE HOST ALONE"),
    ("bench", &["--state", "{ran}", "x"], Plain, 2, "unexpected argument"),
    ("bench", &["--state", "{ran}"], Limited("-n 20"), 69, "limit of open files"),
    ("bench", &["--state", "/dev/null/x"], Plain, 74, "/dev/null/x"),
    ("completions", &["bash"], Plain, 0, "orbital"),
    ("completions", &["sh"], Plain, 2, "possible values: bash"),
];

/// Of these no success is among the cases, or it prints nothing.
const SILENT: &[&str] = &["log witness add", "log witness submit"];

/// What the cases are about.
struct Stage {
    folder: tempfile::TempDir,
    names: BTreeMap<&'static str, String>,
    busy: Child,
    fresh: std::cell::Cell<u32>,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let mut names = BTreeMap::new();
        let mut name = |name: &'static str, is: &Path| names.insert(name, is.to_str().unwrap().to_owned());
        let at = |name: &str| folder.path().join(name);
        let run = |state: &Path, script: &str| {
            std::fs::create_dir_all(state).unwrap();
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
            std::fs::create_dir_all(&cache).unwrap();
            std::os::unix::fs::symlink(cache, state.join("cache")).ok();
            good(&orbital().arg("--state").arg(state).args(["run", "-c", script]).output().unwrap());
        };
        let said = |arguments: &[&str]| good(&orbital().args(arguments).output().unwrap());

        let (ran, other) = (at("ran"), at("other"));
        run(&ran, &format!("put /long '{}'; capture storage on; put /a b; capture storage off", "long ".repeat(4_000)));
        std::fs::copy(ran.join("log/checkpoint"), at("old")).unwrap();
        let blocks = std::fs::read_to_string(at("old")).unwrap().lines().nth(1).unwrap().to_owned();
        run(&ran, "cat /a");
        run(&other, "echo");
        let (ran_path, to) = (ran.to_str().unwrap(), at("proof"));
        said(&["--state", ran_path, "log", "prove", "3", "--to", to.to_str().unwrap()]);
        said(&["--state", ran_path, "log", "prove", "--consistency", &blocks, "--to", to.to_str().unwrap()]);
        said(&["--state", ran_path, "disk", "export", "--to", at("export").to_str().unwrap()]);
        let consistency = std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path());
        let consistency = consistency.into_iter().find(|path| path.to_str().unwrap().contains("consistency")).unwrap();

        // Systems that have lost something, or have something else in its place.
        let changed = |name: &str, change: &dyn Fn(&Path)| {
            super::witness::copy(&ran, &at(name));
            std::os::unix::fs::symlink(ran.join("cache"), at(name).join("cache")).unwrap();
            change(&at(name));
        };
        let set = |path: &Path, bytes: &[u8]| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(path, bytes).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        let flip = |path: &Path, at: u64| {
            let (file, mut byte) = (File::options().read(true).write(true).open(path).unwrap(), [0]);
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        };
        changed("damaged", &|state| {
            let segment = std::fs::read_dir(state.join("log/segments")).unwrap().next().unwrap().unwrap().path();
            let written = std::fs::read(&segment).unwrap().iter().rposition(|&byte| byte != 0).unwrap() as u64;
            // In a block of the first boot, and in one of the last.
            flip(&segment, 400);
            flip(&segment, written * 9 / 10);
        });
        changed("keyless", &|state| std::fs::remove_file(state.join("machine.key")).unwrap());
        changed("no-key", &|state| set(&state.join("machine.key"), b"garbage"));
        changed("other-key", &|state| {
            set(&state.join("machine.key"), &std::fs::read(other.join("machine.key")).unwrap())
        });
        changed("diskless", &|state| std::fs::remove_file(state.join("disk.img")).unwrap());
        changed("bad-disk", &|state| {
            let disk = std::fs::read(state.join("disk.img")).unwrap();
            let long = b"long long long long long";
            flip(
                &state.join("disk.img"),
                disk.windows(long.len()).position(|window| window == long).unwrap() as u64 + 900,
            );
        });
        changed("bad-witness", &|state| set(&state.join("witness.toml"), b"garbage"));
        changed("no-witness", &|state| std::fs::create_dir(state.join("witness.toml")).unwrap());
        changed("bad-capture", &|state| set(&state.join("captures/0000000001.sealed"), b"garbage"));
        for system in [
            "ran",
            "damaged",
            "keyless",
            "no-key",
            "other-key",
            "diskless",
            "bad-disk",
            "bad-witness",
            "no-witness",
            "bad-capture",
            "busy",
        ] {
            name(system, &at(system));
        }
        std::fs::create_dir(at("bad-export")).unwrap();
        set(&at("bad-export/index.jsonl"), b"garbage\n");
        set(&at("garbage"), b"garbage\n");
        let manifest = include_str!("../../../init/system.toml");
        set(&at("tape"), manifest.replace("\"device:disk\"", "\"device:tape\"").as_bytes());
        std::fs::create_dir(at("bare")).unwrap();
        bare_log(&at("bare"));
        set(&at("bare/bad.img"), b"garbage\n");
        for (text, path) in [
            ("proof", to.join("record-3.tlog-proof")),
            ("consistency", consistency),
            ("old", at("old")),
            ("export", at("export")),
            ("bad-export", at("bad-export")),
            ("garbage", at("garbage")),
            ("tape", at("tape")),
            ("image", at("bare/log.img")),
            ("bad-image", at("bare/bad.img")),
        ] {
            name(text, &path);
        }
        names.insert("key", said(&["--state", ran_path, "log", "key"]).trim().to_owned());
        names.insert("other", said(&["--state", other.to_str().unwrap(), "log", "key"]).trim().to_owned());
        names.insert("long", "x".repeat(100_000));

        run(&at("busy"), "echo");
        let busy = session(&["--state", &names["busy"], "run"]);
        Stage { folder, names, busy, fresh: 0.into() }
    }

    /// The words with what the names in braces stand for; `{fresh}` is a new folder each time.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let fill = |word: &&str| {
            let Some((name, rest)) = word.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                return word.to_string();
            };
            if name != "fresh" {
                return format!("{}{rest}", self.names[name]);
            }
            self.fresh.set(self.fresh.get() + 1);
            let path = self.folder.path().join(format!("fresh-{}", self.fresh.get()));
            std::fs::create_dir(&path).unwrap();
            format!("{}{rest}", path.display())
        };
        words.iter().map(fill).collect()
    }

    fn command(&self, (command, words, how, ..): &Case) -> Command {
        let all: Vec<String> = command.split(' ').map(str::to_owned).chain(self.words(words)).collect();
        let mut built = orbital();
        if let Limited(limit) = how {
            built = Command::new("sh");
            built.arg("-c").arg(format!("ulimit {limit}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_orbital"));
            built.env_remove("ORBITAL_STATE").stdin(Stdio::null());
        }
        built.args(all);
        built
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It has ended already where a test before this one failed.
        drop(self.busy.stdin.take());
        let _ = self.busy.wait();
    }
}

/// A session that waits for input, once it answers.
fn session(words: &[&str]) -> Child {
    let mut child =
        orbital().args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"echo ready\n").unwrap();
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    child
}

/// A file as the device of a bare machine's log.
struct Device(File);

impl BlockDevice for Device {
    fn blocks(&self) -> u64 {
        self.0.metadata().unwrap().len() / BLOCK as u64
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read_exact_at(bytes, first * BLOCK as u64).map_err(|_| DeviceError::Failed)
    }
    fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        self.0.write_all_at(bytes, first * BLOCK as u64).map_err(|_| DeviceError::Failed)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Writes the log of a bare machine that set up init and ended, and its key, into a folder.
fn bare_log(folder: &Path) {
    let key = log_store::key::load_or_create(&folder.join("machine.key")).unwrap().of_bare_machine();
    let file = File::options().read(true).write(true).create_new(true).open(folder.join("log.img")).unwrap();
    file.set_len(4 << 20).unwrap();
    let config = Config { key: key.public(), ..Config::new(kernel::Platform::WASM) };
    let (mut log, _) = ImageLog::open(Device(file), key).unwrap();
    let mut axiom = Axiom::new(config, Head::EMPTY);
    for setup in [
        Setup::Quota { memory: 16 << 20, pages: 1 << 12 },
        Setup::Init { image: [7; 32], length: 100, name: abi::Name::new("init") },
        Setup::Log,
        Setup::Start { length: 16 },
    ] {
        axiom.setup(setup, 0).unwrap();
    }
    axiom.end(0, 1);
    while let Some(block) = axiom.take_block() {
        log.append(&block).unwrap();
    }
    log.publish().unwrap();
}

/// The commands without commands of their own below these words, as help lists them.
fn leaves(above: &[&str], found: &mut BTreeSet<String>) {
    let text = good(&orbital().args(above).arg("--help").output().unwrap());
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A command's line has two blanks in front; how it goes on has more.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect();
    if names.is_empty() {
        found.insert(above.join(" "));
    }
    for name in names {
        leaves(&[above, &[name]].concat(), found);
    }
}

/// By command, the statuses that the book gives it.
fn book() -> BTreeMap<String, BTreeSet<i32>> {
    let text = include_str!("../../../docs/command-line.md");
    let table = text.lines().skip_while(|line| !line.starts_with("| command | ends with |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let mut book = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (commands, statuses) = (cells.next().unwrap(), cells.next().unwrap());
        for command in commands.split(", ") {
            let statuses = statuses.split(' ').map(|status| status.parse().unwrap()).collect();
            book.insert(command.trim_matches('`').to_owned(), statuses);
        }
    }
    book
}

#[test]
fn every_command_ends_with_every_status_that_the_book_gives_it() {
    let mut commands = BTreeSet::new();
    leaves(&[], &mut commands);
    let in_cases: BTreeSet<String> = CASES.iter().map(|case| case.0.to_owned()).collect();
    assert_eq!(commands, in_cases, "the commands of the program, and those with cases here");
    let book = book();
    assert_eq!(commands, book.keys().cloned().collect(), "the commands of the program, and those of the book");

    let stage = Stage::new();
    let mut seen: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    let mut wrong = String::new();
    for case in CASES {
        let (command, words, how, status, says) = case;
        let output = match how {
            Signal(name) => {
                let words: Vec<String> = [RUN.to_owned()].into_iter().chain(stage.words(words)).collect();
                let mut child = session(&words.iter().map(String::as_str).collect::<Vec<_>>());
                signal(&child, name);
                ends_within(&mut child, Duration::from_secs(60));
                child.wait_with_output().unwrap()
            }
            _ => stage.command(case).output().unwrap(),
        };
        let (out, err) = (out(&output), err(&output));
        let ended = output.status.code();
        // What succeeds, or is a verdict, is said on standard output.
        let next = match status {
            2 => err.contains("next: ") || err.contains("--help"),
            // What init says of a manifest comes from within the system.
            70 => true,
            65.. => err.contains("next: ") || out.contains("next: ") || matches!(how, Signal(_)),
            _ => true,
        };
        if ended != Some(*status) || !(out.contains(says) || err.contains(says)) || !next {
            wrong.push_str(&format!(
                "{command} {words:?} {how:?}: {ended:?}, not {status} with {says:?}\n{out:.400}{err}\n"
            ));
        }
        let of_command = seen.entry((*command).to_owned()).or_default();
        let first = of_command.insert(*status) && *status == 0;
        if first && !SILENT.contains(command) {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let output = stage.command(case).stdout(full).output().unwrap();
            if output.status.code() != Some(74) || !super::err(&output).contains("standard output") {
                wrong.push_str(&format!("{command}, to a full output: {:?}\n{}\n", output.status, super::err(&output)));
            }
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let output = stage.command(case).stdout(writer).output().unwrap();
            if output.status.code() != Some(141) {
                wrong.push_str(&format!(
                    "{command}, with nobody who reads: {:?}\n{}\n",
                    output.status,
                    super::err(&output)
                ));
            }
            of_command.extend([74, 141]);
        }
    }
    // `run` ends with the session's own status too.
    seen.get_mut(RUN).unwrap().remove(&7);
    // tests/command/witness.rs has a witness that answers.
    seen.get_mut("log witness submit").unwrap().extend([0, 141]);
    for (command, statuses) in &book {
        if seen[command] != *statuses {
            wrong.push_str(&format!("{command}: the book has {statuses:?}, the cases {:?}\n", seen[command]));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
