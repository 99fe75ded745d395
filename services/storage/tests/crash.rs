//! The power goes at every write and flush of a scenario with everything that the service writes: single values, transactions,
//! values that expire, uploads, streams, files, removals, and space that comes back in steps. What was not
//! flushed is lost, kept, torn and reordered. After each: the disk mounts, nothing is damaged, all records agree, what was
//! acknowledged is there, nothing half, and all space can be taken back.

mod common;

use common::{APPS, System, USER, grant};
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::objects::{CheckStep, PutStep, Step};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use storage::Data;
use storage::content::CHUNK;
use storage::data::MAX_PART;
use storage::reclaim::CHUNKS_AT_ONCE;
use storage::time::Time;
use storage_engine::simulation::{Random, SimulatedDisk, run};
use storage_format::survey::Survey;

/// Values and files of the user and the apps, by where they are: size and hash of the bytes.
type Contents = BTreeMap<String, (u64, u64)>;

/// As a reader sees it; a hash so that large values are cheap to keep.
fn contents(system: &System) -> Contents {
    use std::hash::{DefaultHasher, Hasher};
    let mut all = Contents::new();
    for badge in [USER, APPS] {
        let at = grant(badge);
        let read = |name: String, is_file: bool| {
            let mut hasher = DefaultHasher::new();
            let mut got = 0;
            loop {
                let part = if is_file {
                    system.run(system.data.read(at, &name, got, MAX_PART as u32))
                } else {
                    system.run(system.data.get(at, &name, got, MAX_PART as u32, None))
                };
                let part = part.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                hasher.write(&part.bytes);
                got += part.bytes.len() as u64;
                if got == part.stat.size {
                    return (got, hasher.finish());
                }
            }
        };
        let page = system.run(system.data.list(at, "", 1000, None)).unwrap();
        assert!(page.complete);
        for entry in page.entries {
            all.insert(format!("{badge:x}:{}", entry.key), read(entry.key, false));
        }
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in system.run(system.data.list_folder(at, &folder, 1000, None)).unwrap().entries {
                let path = format!("{folder}/{}", entry.name);
                match entry.info.kind {
                    libprocess::interfaces::storage::files::Kind::Folder => {
                        all.insert(format!("{badge:x}:{path}/"), (0, 0));
                        folders.push(path);
                    }
                    _ => drop(all.insert(format!("{badge:x}:{path}"), read(path, true))),
                }
            }
        }
    }
    all
}

/// A scenario: what was visible after each step that was acknowledged.
struct Script {
    system: System,
    states: RefCell<Vec<Contents>>,
}

impl Script {
    fn begin(blocks: u64) -> Script {
        let disk = SimulatedDisk::empty(blocks);
        disk.record();
        let system = System::on(disk);
        system.disk.mark(0);
        let states = RefCell::new(vec![contents(&system)]);
        Script { system, states }
    }

    /// A step was acknowledged.
    fn done(&self) {
        self.system.disk.mark(self.states.borrow().len() as u64);
        // After the mark: looking may remove what has expired.
        self.states.borrow_mut().push(contents(&self.system));
    }

    fn step<T: std::fmt::Debug>(&self, work: impl Future<Output = Result<T, common::Error>>) -> T {
        let value = self.system.run(work).unwrap();
        self.done();
        value
    }

    /// Steps in which nobody sees anything change.
    fn reclaim(&self) {
        while self.system.run(self.system.data.reclaim_step()).unwrap() {}
    }

    /// Visits about `most` of the images that power cuts could leave, all if there are not more. How many it were.
    fn survive(&self, tosses: u64, most: u64) -> u64 {
        let history = self.system.disk.history();
        let states = self.states.borrow();
        // Odd, so that the fates of a write are not always the same one's.
        let stride = history.crash_count(tosses).div_ceil(most.max(1)) | 1;
        let visited = Cell::new(0);
        history.some_crashes(tosses, stride, |image, marks, point, fate| {
            visited.set(visited.get() + 1);
            let context = format!("power cut after event {point}, {fate:?}");
            let system = System::on(SimulatedDisk::with(image));
            // The clock was put back meanwhile: what was seen to have expired stays away.
            let before = survey(&system, &context);
            if let Some(&last) = marks.last() {
                let found = contents(&system);
                let is_allowed = states[last as usize..].iter().take(2).any(|state| *state == found);
                let keys: Vec<_> = found.keys().collect();
                assert!(is_allowed, "{context}: after step {last} there is {keys:?}");
            }
            while run(system.data.reclaim_step(), system.data.commit()).unwrap() {}
            let after = survey(&system, &context);
            assert_eq!(after.loose_chunks, 0, "{context}");
            assert!(before.items.len() >= after.items.len());
            // And it goes on.
            system.run(system.data.put(grant(APPS), "after", b"it goes on", None)).unwrap();
        });
        visited.get()
    }
}

/// Everything is readable and agrees.
fn survey(system: &System, context: &str) -> Survey {
    let checked = run(system.data.store().check(), async {});
    assert!(checked.damage.is_empty(), "{context}: {:?}", checked.damage);
    let survey = run(Survey::of(system.data.store()), async {});
    assert_eq!(survey.findings, Vec::<String>::new(), "{context}");
    survey
}

fn bytes(fill: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| fill ^ (at / 512) as u8).collect()
}

/// How many power cuts: so many, or ORBITAL_CASES.
fn cases(fewest: u64) -> u64 {
    std::env::var("ORBITAL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(fewest)
}

#[test]
fn all_that_is_small_survives_at_every_boundary() {
    let script = Script::begin(4096);
    let (data, user) = (&script.system.data, grant(USER));
    let first = script.step(data.put(user, "a", b"1", None));
    script.step(data.put(user, "b", &bytes(2, 9000), None));
    script.step(data.put(user, "a", &bytes(3, 3000), Some(first)));
    script.step(data.put_for(user, "soon", &bytes(4, 2000), 10, None));
    script.step(data.put_for(user, "later", b"x", 1 << 60, None));
    let steps = |fill: u8, version: u64| {
        vec![
            Step::Check(CheckStep { key: "a".into(), version }),
            Step::Put(PutStep { key: "t1".into(), value: bytes(fill, 100) }),
            Step::Put(PutStep { key: "t2".into(), value: bytes(fill, 5000) }),
            Step::Delete("b".into()),
            Step::Put(PutStep { key: "t3".into(), value: bytes(fill, 1000) }),
        ]
    };
    let version = script.system.run(data.stat(user, "a")).unwrap().version;
    let one = steps(5, version);
    script.step(data.transact(user, &one));
    let two = steps(6, version);
    script.step(data.transact(user, &two));
    assert!(script.system.run(data.transact(user, &steps(7, 1))).is_err());
    let upload = script.system.run(data.begin_object(user, "u", 2 * CHUNK + 5)).unwrap();
    for part in [&bytes(7, MAX_PART)[..], &bytes(8, MAX_PART), b"tail!"] {
        script.system.run(data.add(user, upload, part)).unwrap();
    }
    script.step(data.finish(user, upload, Some(0)));
    // Time goes on, and somebody sees that it is gone; then the clock is put back.
    script.system.clock.set(2_000_000);
    assert!(script.system.run(data.get(user, "soon", 0, 1, None)).is_err());
    script.done();
    script.system.clock.set(1_000_000);
    script.step(data.make_folder(user, "d"));
    script.step(data.replace(user, "d/f", &bytes(9, 4000)));
    script.step(data.append(user, "d/f", &bytes(10, 3000)));
    script.step(data.rename(user, "d/f", "g"));
    script.step(data.put(user, "u", b"small now", None));
    let space = script.system.run(data.subspace(user, "s", Access::ALL)).unwrap();
    script.system.run(data.put(space, "inside", &bytes(1, 2000), None)).unwrap();
    script.system.run(data.put_for(space, "for a while", b"x", 1 << 60, None)).unwrap();
    script.step(data.remove_namespace(user, "s"));
    script.step(data.remove_all(user, "d"));
    script.step(data.delete(user, "t2", None));
    script.step(data.put(user, "a", b"last", None));
    let visited = script.survive(4, cases(1500));
    println!("{visited} images");
    assert!(visited > 300);
}

#[test]
fn streams_and_space_that_comes_back_survive() {
    let script = Script::begin(24_576);
    let (data, user) = (&script.system.data, grant(USER));
    let parts = CHUNKS_AT_ONCE as u64 + 3;
    let stream = |fill: u8| {
        let number = script.system.run(data.begin_stream(user, "k", Box::new(|| true))).unwrap();
        for at in 0..parts {
            script.system.run(data.add(user, number, &bytes(fill ^ at as u8, MAX_PART))).unwrap();
        }
        number
    };
    script.step(data.put(user, "k", b"before", None));
    let one = stream(1);
    script.step(data.finish(user, one, None));
    let given_up = stream(2);
    data.abandon(user, given_up).unwrap();
    script.reclaim();
    script.step(data.put(user, "k", b"small", None));
    script.reclaim();
    script.step(data.put(user, "end", b"x", None));
    let visited = script.survive(2, cases(300));
    println!("{visited} images");
    assert!(visited >= 200);
}

/// Flipped bits anywhere on the disk: whatever is read is what was put, or an error that says what is lost.
#[test]
fn flipped_bits_are_never_believed() {
    let system = System::on(SimulatedDisk::empty(4096));
    let user = grant(USER);
    for number in 0..40u8 {
        let size = [10, 900, 5000, 60_000][usize::from(number) % 4];
        system.run(system.data.put(user, &format!("k{number:02}"), &bytes(number, size), None)).unwrap();
    }
    let upload = system.run(system.data.begin_object(user, "large", 3 * CHUNK)).unwrap();
    for at in 0..3 {
        system.run(system.data.add(user, upload, &bytes(at, MAX_PART))).unwrap();
    }
    system.run(system.data.finish(user, upload, None)).unwrap();
    run(system.data.close(), system.data.commit()).unwrap();
    let image = system.disk.image();
    let (mut right, mut named, mut refused) = (0, 0, 0);
    for case in 0..cases(200) {
        let mut random = Random(case);
        let disk = SimulatedDisk::with(image.clone());
        // Most in what is used; and now and then many, near one another, as a torn or lost track is.
        let first = random.below(image.len() as u64 / 2);
        for _ in 0..1 + random.below(8) * random.below(40) {
            let near = (first + random.below(40_000)) as usize % image.len();
            disk.flip(near, random.below(8) as u8);
        }
        let time = Time::new(|| 1, || 0);
        let Ok((data, report)) = run(Data::mount(disk, [1; 16], time), async {}) else {
            refused += 1;
            continue;
        };
        let check = run(data.store().check(), async {});
        for number in 0..40u8 {
            let key = format!("k{number:02}");
            let size = [10, 900, 5000, 60_000][usize::from(number) % 4];
            match run(data.get(user, &key, 0, MAX_PART as u32, None), data.commit()) {
                Ok(part) => {
                    assert!(part.bytes == bytes(number, size), "case {case}: {key} has other bytes");
                    right += 1;
                }
                Err(common::Error::Corrupt(what)) => {
                    assert!(!what.is_empty() || !report.damage.is_empty(), "case {case}");
                    assert!(!check.damage.is_empty(), "case {case}: {key} is lost, and a check does not say so");
                    named += 1;
                }
                Err(error) => panic!("case {case}: {key}: {error:?}"),
            }
        }
        for at in 0..3 {
            match run(data.get(user, "large", u64::from(at) * CHUNK, MAX_PART as u32, None), data.commit()) {
                Ok(part) => assert!(part.bytes == bytes(at, MAX_PART), "case {case}"),
                // It was the last commit.
                Err(common::Error::NotFound) if report.rolled_back => {}
                Err(error) => assert!(matches!(error, common::Error::Corrupt(_)), "case {case}: {error:?}"),
            }
        }
        let list = run(data.list(user, "", 1000, None), data.commit());
        let is_all = list.is_ok_and(|page| page.entries.len() == 41 || !page.complete);
        assert!(is_all || report.rolled_back || !report.damage.is_empty(), "case {case}");
    }
    println!("{right} reads gave what was put, {named} said that it is lost, {refused} disks were refused");
    assert!(right > 1000 && named > 10);
}
