//! Every method of objects, files and namespaces is seen to succeed and to answer each error that `wit/storage.wit`
//! names of it, and no other, through the service as a process with a disk that is full, fails, is read-only or
//! decays. What else each does is in the other tests.

use libprocess::abi::info::Limits;
use libprocess::interfaces::storage::files::OpenMode;
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::objects::{CheckStep, PutStep, Step};
use libprocess::interfaces::storage::{files, namespaces, objects};
use libprocess::{Cap, Client, Connection, Endpoint, Process, Rights};
use simulated::{Disk, End, Grant, Outcomes, Stage};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use storage::data::MAX_PART;
use storage::upload::{IDLE, MAX_UPLOADS};

/// What the methods of the three interfaces answered.
#[derive(Clone, Default)]
struct Seen {
    objects: Outcomes,
    files: Outcomes,
    namespaces: Outcomes,
}

/// The three interfaces through one capability.
struct Service {
    objects: objects::Client,
    files: files::Client,
    namespaces: namespaces::Client,
    process: Process,
}

impl Service {
    fn of(process: &Process, name: &str) -> Service {
        Service::over(process, process.capability(name).unwrap())
    }

    fn over(process: &Process, endpoint: Cap<Endpoint>) -> Service {
        let connection = Connection::new(endpoint);
        Service {
            objects: Client::over(&connection),
            files: Client::over(&connection),
            namespaces: Client::over(&connection),
            process: process.clone(),
        }
    }

    fn endpoint(&self, rights: Rights) -> Cap<Endpoint> {
        Cap::<Endpoint>::create(self.process.quota(), 4).unwrap().derive(rights).unwrap()
    }

    /// A namespace below, with everything allowed.
    async fn below(&self, name: &str) -> Service {
        Service::over(&self.process, self.namespaces.subspace(name, Access::ALL).await.unwrap())
    }
}

/// What every method is called with.
struct Arguments {
    key: String,
    path: String,
    /// Of a namespace.
    name: String,
    value: Vec<u8>,
    /// Uploads: one to add to, one to finish, one to abandon; and a watch.
    uploads: [u64; 3],
    watch: u64,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            key: "key".into(),
            path: "path".into(),
            name: "name".into(),
            value: vec![7; 5_000],
            uploads: [0; 3],
            watch: 0,
        }
    }
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

impl Seen {
    /// Every method once.
    async fn each(&self, service: &Service, with: &Arguments) {
        let Arguments { key, path, name, value, uploads, watch } = with;
        let (seen, objects) = (&self.objects, &service.objects);
        seen.note("get", objects.get(key).await);
        seen.note("get-part", objects.get_part(key, 0, 10, None).await);
        seen.note("list", objects.list(key, 10, None).await);
        seen.note("stat", objects.stat(key).await);
        seen.note("lifetime", objects.lifetime(key).await);
        seen.note("put", objects.put(key, value, None).await);
        seen.note("put-for", objects.put_for(key, value, 1 << 60, None).await);
        let step = Step::Put(PutStep { key: key.clone(), value: value.clone() });
        seen.note("transact", objects.transact(&[step]).await);
        seen.note("delete", objects.delete(key, None).await);
        if let Some(upload) = seen.note("begin", objects.begin(key, value.len() as u64).await) {
            let _ = objects.abandon(upload).await;
        }
        let writer = service.endpoint(Rights::SEND).erase();
        if let Some(upload) = seen.note("begin-stream", objects.begin_stream(key, writer).await) {
            let _ = objects.abandon(upload).await;
        }
        // More than lies beside a key: it goes to the disk.
        seen.note("add", objects.add(uploads[0], &[1; MAX_PART]).await);
        seen.note("finish", objects.finish(uploads[1], None).await);
        seen.note("abandon", objects.abandon(uploads[2]).await);
        if let Some(watch) = seen.note("watch", objects.watch(key, service.endpoint(Rights::SEND)).await) {
            let _ = objects.unwatch(watch).await;
        }
        seen.note("watching", objects.watching(*watch).await);
        seen.note("unwatch", objects.unwatch(*watch).await);

        let (seen, files) = (&self.files, &service.files);
        seen.note("open", files.open(path, OpenMode::NONE).await);
        seen.note("read", files.read(path, 0, 10).await);
        seen.note("open", files.open(path, OpenMode::CREATE | OpenMode::TRUNCATE).await);
        seen.note("append", files.append(path, value).await);
        seen.note("replace", files.replace(path, value).await);
        seen.note("write", files.write(path, 1, value).await);
        seen.note("set-size", files.set_size(path, 20_000).await);
        seen.note("list", files.list("", 10, None).await);
        seen.note("list", files.list(path, 10, None).await);
        seen.note("stat", files.stat(path).await);
        seen.note("make-folder", files.make_folder(&format!("{path}-folder")).await);
        seen.note("rename", files.rename(path, &format!("{path}-new")).await);
        seen.note("remove", files.remove(&format!("{path}-new")).await);
        seen.note("remove-all", files.remove_all(&format!("{path}-folder")).await);
        if let Some(upload) = seen.note("begin", files.begin(path, value.len() as u64).await) {
            let _ = service.objects.abandon(upload).await;
        }
        let writer = service.endpoint(Rights::SEND).erase();
        if let Some(upload) = seen.note("begin-stream", files.begin_stream(path, writer).await) {
            let _ = service.objects.abandon(upload).await;
        }

        let (seen, namespaces) = (&self.namespaces, &service.namespaces);
        seen.note("subspace", namespaces.subspace(name, Access::ALL).await);
        seen.note("set-quota", namespaces.set_quota(name, 1 << 20).await);
        seen.note("restrict", namespaces.restrict(Access::READ).await);
        seen.note("list", namespaces.list(None).await);
        seen.note("list", namespaces.list(Some(name)).await);
        seen.note("usage", namespaces.usage().await);
        seen.note("remove", namespaces.remove(name).await);
        seen.note("allowed", namespaces.allowed().await);
    }

    /// What is there already, for `each` to find, and uploads and a watch for it.
    async fn ready(&self, service: &Service) -> Arguments {
        let with = Arguments::default();
        service.objects.put(&with.key, &[1; 3_000], None).await.unwrap();
        service.files.replace(&with.path, &[1; 3_000]).await.unwrap();
        service.namespaces.subspace(&with.name, Access::ALL).await.unwrap();
        self.under_way(service, with).await
    }

    async fn under_way(&self, service: &Service, with: Arguments) -> Arguments {
        let objects = &service.objects;
        let adding = objects.begin("large", 10 * MAX_PART as u64).await.unwrap();
        let finishing = objects.begin("small", 4).await.unwrap();
        objects.add(finishing, b"four").await.unwrap();
        let abandoned = objects.begin("none", 4).await.unwrap();
        let watch = objects.watch("", service.endpoint(Rights::SEND)).await.unwrap();
        Arguments { uploads: [adding, finishing, abandoned], watch, ..with }
    }
}

fn stage(seen: &Seen, main: impl AsyncFnOnce(Seen, Process) + 'static) -> Stage {
    let seen = seen.clone();
    Stage::new(1)
        .service("storage", storage::main)
        .with(Grant::device("disk"))
        .client("client", async move |process: Process| main(seen, process).await)
        .with(Grant::service("storage").badge(0x407))
        .with(Grant::service("storage").badge(0x107).named("root"))
        .with(Grant::service("storage").rights(Rights::SEND.or(Rights::GRANT)).named("nobody"))
}

#[test]
fn every_method_succeeds_and_answers_each_of_its_errors() {
    let seen = Seen::default();
    of_arguments(&seen);
    of_versions_and_places(&seen);
    of_bounds(&seen);
    of_the_disk(&seen, |disk| disk.set_room(0));
    of_the_disk(&seen, |disk| disk.fail(simulated::Access::Write, 0..u64::MAX));
    of_the_disk(&seen, |disk| disk.set_read_only(true));
    of_the_disk(&seen, |disk| disk.fail(simulated::Access::Read, 0..u64::MAX));
    of_what_is_read(&seen, |disk| disk.fail(simulated::Access::Read, 0..u64::MAX));
    of_what_is_read(&seen, |disk| {
        let written: Vec<u64> = disk.written().collect();
        for sector in written {
            disk.corrupt(sector * 512 + 100, 0xFF).unwrap();
        }
    });
    of_what_memory_has_lost(&seen);
    seen.objects.are(objects::ERRORS, &[]);
    seen.files.are(files::ERRORS, &[]);
    seen.namespaces.are(namespaces::ERRORS, &[]);
}

/// What is good, who may not, what is no key, what is not there, what is too much.
fn of_arguments(seen: &Seen) {
    stage(seen, async |seen, process| {
        let user = Service::of(&process, "storage");
        let with = seen.ready(&user).await;
        seen.each(&user, &with).await;
        seen.each(&Service::of(&process, "nobody"), &Arguments::default()).await;
        let much = Arguments { key: long(300), path: long(2_000), name: long(300), ..Arguments::default() };
        seen.each(&user, &much).await;
        let none = Arguments { key: String::new(), path: "a//b".into(), name: "..".into(), ..Arguments::default() };
        seen.each(&user, &none).await;
        let folder = Arguments { path: String::new(), ..Arguments::default() };
        seen.each(&user, &folder).await;
        let value = vec![0; MAX_PART + 1];
        seen.each(&user, &Arguments { value: value.clone(), ..Arguments::default() }).await;
        seen.objects.note("add", user.objects.add(0, &value).await);

        // A namespace that holds nothing, and one that is gone.
        let small = user.below("small").await;
        let with = seen.ready(&small).await;
        user.namespaces.set_quota("small", 0).await.unwrap();
        seen.each(&small, &with).await;
        let gone = user.below("gone").await;
        let with = seen.ready(&gone).await;
        let stream = gone.objects.begin_stream("stream", gone.endpoint(Rights::SEND).erase()).await.unwrap();
        user.namespaces.remove("gone").await.unwrap();
        seen.each(&gone, &with).await;
        seen.objects.note("add", gone.objects.add(stream, b"more").await);
        seen.each(&user, &Arguments { path: "none/none".into(), name: "none".into(), ..Arguments::default() }).await;
        for method in ["set-quota", "remove"] {
            let result = match method {
                "remove" => user.namespaces.remove("none").await,
                _ => user.namespaces.set_quota("none", 1).await,
            };
            seen.namespaces.note(method, result);
        }
    })
    .pass();
}

/// Versions that are others, files and folders in the place of one another.
fn of_versions_and_places(seen: &Seen) {
    stage(seen, async |seen, process| {
        let user = Service::of(&process, "storage");
        let (objects, files) = (&user.objects, &user.files);
        seen.objects.note("put", objects.put("key", b"1", Some(9)).await);
        seen.objects.note("put-for", objects.put_for("key", b"1", 0, None).await);
        seen.objects.note("put-for", objects.put_for("key", b"1", 1 << 60, Some(9)).await);
        objects.put("key", b"1", None).await.unwrap();
        seen.objects.note("delete", objects.delete("key", Some(9)).await);
        seen.objects.note("get-part", objects.get_part("key", 0, 1, Some(9)).await);
        let check = Step::Check(CheckStep { key: "key".into(), version: 9 });
        seen.objects.note("transact", objects.transact(&[check]).await);
        let many = vec![Step::Delete("key".into()); 257];
        seen.objects.note("transact", objects.transact(&many).await);
        let deaf = user.endpoint(Rights::RECEIVE);
        seen.objects.note("watch", objects.watch("", deaf).await);

        files.make_folder("folder").await.unwrap();
        files.replace("folder/file", b"1").await.unwrap();
        files.replace("file", b"1").await.unwrap();
        files.make_folder("empty").await.unwrap();
        seen.files.note("open", files.open("file", OpenMode::CREATE | OpenMode::EXCLUSIVE).await);
        seen.files.note("make-folder", files.make_folder("file").await);
        seen.files.note("rename", files.rename("folder", "folder/in").await);
        seen.files.note("rename", files.rename("empty", "folder").await);
        seen.files.note("remove", files.remove("folder").await);
        seen.files.note("list", files.list("folder", 10, None).await);
        for path in ["file/below", "folder"] {
            seen.files.note("open", files.open(path, OpenMode::CREATE).await);
            seen.files.note("read", files.read(path, 0, 1).await);
            seen.files.note("write", files.write(path, 0, b"1").await);
            seen.files.note("append", files.append(path, b"1").await);
            seen.files.note("replace", files.replace(path, b"1").await);
            seen.files.note("set-size", files.set_size(path, 1).await);
            seen.files.note("stat", files.stat(path).await);
            seen.files.note("rename", files.rename("file", path).await);
        }
        seen.files.note("rename", files.rename("folder", "file").await);
        for path in ["file/below", "none/below", ""] {
            seen.files.note("list", files.list(path, 10, None).await);
            seen.files.note("make-folder", files.make_folder(path).await);
            seen.files.note("remove", files.remove(path).await);
            seen.files.note("remove-all", files.remove_all(path).await);
        }
        for path in ["file/below", "folder", "none/below", "new"] {
            let upload = files.begin(path, 0).await.unwrap();
            seen.objects.note("finish", objects.finish(upload, (path == "new").then_some(9)).await);
        }
    })
    .pass();
}

/// As many as there can be, and one more.
fn of_bounds(seen: &Seen) {
    stage(seen, async |seen, process| {
        let user = Service::of(&process, "storage");
        let objects = &user.objects;
        let few = objects.begin("few", 1).await.unwrap();
        seen.objects.note("add", objects.add(few, b"two").await);
        let short = objects.begin("short", 2).await.unwrap();
        seen.objects.note("finish", objects.finish(short, None).await);
        for _ in 0..MAX_UPLOADS {
            objects.begin("key", 1).await.unwrap();
        }
        seen.objects.note("begin", objects.begin("key", 1).await);
        seen.objects.note("begin-stream", objects.begin_stream("key", user.endpoint(Rights::SEND).erase()).await);
        seen.files.note("begin", user.files.begin("path", 1).await);
        seen.files.note("begin-stream", user.files.begin_stream("path", user.endpoint(Rights::SEND).erase()).await);
        libprocess::sleep(Duration::from_nanos(2 * IDLE)).await;
        seen.objects.note("begin", objects.begin("key", 1 << 40).await);
        seen.files.note("begin", user.files.begin("path", 1 << 40).await);
        // More than chunks have numbers for.
        seen.objects.note("begin", objects.begin("key", u64::MAX).await);
        seen.files.note("begin", user.files.begin("path", u64::MAX).await);
        seen.files.note("set-size", user.files.set_size("path", u64::MAX).await);
        // A stream counts as it comes.
        let small = user.below("stream").await;
        user.namespaces.set_quota("stream", 10).await.unwrap();
        let writer = small.endpoint(Rights::SEND);
        let stream = small.objects.begin_stream("key", writer.derive(Rights::SEND).unwrap().erase()).await.unwrap();
        seen.objects.note("add", small.objects.add(stream, &[0; 11]).await);
        let watcher = user.endpoint(Rights::SEND);
        while seen.objects.note("watch", objects.watch("", watcher.derive(Rights::SEND).unwrap()).await).is_some() {}
        seen.namespaces.note("restrict", user.namespaces.restrict(Access::NONE).await);
        let reader = Service::over(&process, user.namespaces.restrict(Access::READ).await.unwrap());
        seen.namespaces.note("restrict", reader.namespaces.restrict(Access::WRITE).await);
        let root = Service::of(&process, "root");
        seen.namespaces.note("remove", root.namespaces.remove("user").await);
        // As many names as a namespace can hold.
        let full = user.below("full").await;
        user.namespaces.set_quota("full", 0).await.unwrap();
        let mut made = 0;
        while full.namespaces.subspace(&format!("n{made}"), Access::READ).await.is_ok() {
            made += 1;
        }
        seen.namespaces.note("subspace", full.namespaces.subspace("more", Access::READ).await);
        seen.files.note("make-folder", full.files.make_folder("more").await);
        seen.files.note("open", full.files.open("more", OpenMode::CREATE).await);
    })
    .pass();
    // A table with no room for one more capability to give away.
    let seen = seen.clone();
    Stage::new(1)
        .service("storage", storage::main)
        .limits(Limits { capabilities: 24, ..Limits::DEFAULT })
        .with(Grant::device("disk"))
        .client("client", async move |process: Process| {
            let user = Service::of(&process, "storage");
            while user.objects.watch("", user.endpoint(Rights::SEND)).await.is_ok() {}
            seen.namespaces.note("restrict", user.namespaces.restrict(Access::READ).await);
            seen.namespaces.note("subspace", user.namespaces.subspace("name", Access::READ).await);
        })
        .with(Grant::service("storage").badge(0x407))
        .pass();
}

/// A disk that breaks while the service runs.
fn of_the_disk(seen: &Seen, breaks: impl FnOnce(&mut Disk)) {
    let ready = Ready::default();
    let is_ready = ready.clone();
    let stage = stage(seen, async move |seen, process| {
        let user = Service::of(&process, "storage");
        let with = seen.ready(&user).await;
        is_ready.tell().await;
        seen.each(&user, &with).await;
        let new = Arguments { name: "new".into(), path: "new".into(), ..Arguments::default() };
        seen.each(&user, &new).await;
        seen.files.note("remove", user.files.remove("path").await);
        seen.files.note("remove-all", user.files.remove_all("path").await);
    });
    ready.pass(stage, breaks);
}

/// Set by a client when the disk is to break.
#[derive(Clone, Default)]
struct Ready(Rc<Cell<bool>>);

impl Ready {
    /// Of the client: when this returns, the disk has broken.
    async fn tell(&self) {
        self.0.set(true);
        libprocess::sleep(Duration::from_millis(1)).await;
    }

    /// Plays on with a disk that breaks when the client says so; it passes.
    fn pass(&self, stage: Stage, breaks: impl FnOnce(&mut Disk)) {
        let (mut simulation, exits) = stage.open();
        assert_eq!(simulation.run_until(|_| self.0.get()), End::Reached);
        simulation.with_disk(breaks);
        assert_eq!(simulation.run(), End::PowerOff(0), "{:?}", simulation.panics());
        assert_eq!(simulation.panics(), []);
        assert_eq!(exits.of("client")[0].code, 0);
    }
}

/// An upload looks for its namespace again; a thousand other nodes were read since, so that it is looked for on the disk.
fn of_what_memory_has_lost(seen: &Seen) {
    let ready = Ready::default();
    let is_ready = ready.clone();
    let stage = stage(seen, async move |seen, process| {
        Service::of(&process, "root").namespaces.set_quota("user", u64::MAX).await.unwrap();
        let user = Service::of(&process, "storage");
        let below = user.below("below").await;
        let stream = below.objects.begin_stream("stream", below.endpoint(Rights::SEND).erase()).await.unwrap();
        // From the last to the first, so that none lies beside the namespace; three at most share a node.
        for part in (0..60).rev() {
            let put = |number| PutStep { key: format!("{:04}", part * 50 + number), value: vec![1; 1_000] };
            let steps: Vec<Step> = (0..50).map(put).map(Step::Put).collect();
            user.objects.transact(&steps).await.unwrap();
        }
        is_ready.tell().await;
        seen.objects.note("add", below.objects.add(stream, b"1").await);
    });
    ready.pass(stage, |disk| disk.fail(simulated::Access::Read, 0..u64::MAX));
}

/// A disk of which what the service has not read yet cannot be read any more: all of a namespace that is one of many.
/// Then the same when the namespace is known, but not what is in it.
fn of_what_is_read(seen: &Seen, breaks: impl Fn(&mut Disk)) {
    broken(seen, &breaks, async |_| Arguments::default(), async |seen, below, with| seen.each(&below, &with).await);
    broken(
        seen,
        &breaks,
        async |below| {
            let finishing = below.objects.begin("key", 1).await.unwrap();
            below.objects.add(finishing, b"1").await.unwrap();
            let adding = below.objects.begin("large", 100 * MAX_PART as u64).await.unwrap();
            Arguments { uploads: [adding, finishing, 0], ..Arguments::default() }
        },
        async |seen, below, with| {
            seen.objects.note("finish", below.objects.finish(with.uploads[1], None).await);
            while seen.objects.note("add", below.objects.add(with.uploads[0], &[0; MAX_PART]).await).is_some() {}
        },
    );
}

/// Enough of everything that no two things that are looked for lie in one node of the tree.
async fn fill(service: &Service) {
    for number in 0..100 {
        service.objects.put(&format!("a{number}"), b"", None).await.unwrap();
        service.objects.put(&format!("z{number}"), b"", None).await.unwrap();
    }
    let size = 200 * MAX_PART as u64;
    let upload = service.objects.begin("chunks", size).await.unwrap();
    for _ in 0..200 {
        service.objects.add(upload, &[0; MAX_PART]).await.unwrap();
    }
    service.objects.finish(upload, None).await.unwrap();
}

/// A system with many namespaces is started again; a client does `before`, the disk breaks, it does `after`.
fn broken(
    seen: &Seen,
    breaks: impl FnOnce(&mut Disk),
    before: impl AsyncFnOnce(&Service) -> Arguments + 'static,
    after: impl AsyncFnOnce(Seen, Service, Arguments) + 'static,
) {
    let badge = Rc::new(Cell::new(0));
    let made = badge.clone();
    let played = stage(seen, async move |seen, process| {
        Service::of(&process, "root").namespaces.set_quota("user", u64::MAX).await.unwrap();
        let user = Service::of(&process, "storage");
        for number in 0..300 {
            let below = user.below(&format!("n{number}")).await;
            if number == 150 {
                user.namespaces.set_quota("n150", u64::MAX).await.unwrap();
                seen.ready(&below).await;
                fill(&below).await;
                made.set(below.namespaces.connection().endpoint().inspect().unwrap().badge);
            }
        }
    })
    .pass();
    let wreck = played.simulation.halt();
    let ready = Ready::default();
    let (is_ready, seen) = (ready.clone(), seen.clone());
    let stage = Stage::new(1)
        .simulation(|simulation| simulation.boot_again(wreck))
        .service("storage", storage::main)
        .with(Grant::device("disk"))
        .client("client", async move |process: Process| {
            let below = Service::of(&process, "storage");
            // It answers: the disk is mounted.
            below.namespaces.allowed().await.unwrap();
            let with = before(&below).await;
            is_ready.tell().await;
            after(seen, below, with).await;
        })
        .with(Grant::service("storage").badge(badge.get()));
    ready.pass(stage, breaks);
}
