//! The generated traits on top of [`Data`], and the service's main function. Every
//! request is a task; those that put wait together for the next commit.

use crate::access::Grant;
use crate::data::{Data, MAX_PART};
use crate::disk::AnyDisk;
use crate::time::Time;
use crate::upkeep::{self, Watchers};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use libprocess::abi::Kind;
use libprocess::interfaces::storage::types::{Error, Metadata, Part};
use libprocess::interfaces::storage::{files, namespaces, objects};
use libprocess::{
    Any, Caller, Cap, ClientError, Device, Endpoint, Error as KernelError, HandOver, Hooks, Interrupt, Missing,
    Process, Rights, Task, serve_until_asked, system, yield_now,
};
use storage_engine::mount::MountError;
use storage_engine::{BlockDevice, MountReport};

/// What a capability to a namespace can do with its endpoint.
const MINTED: Rights = Rights::SEND.or(Rights::GRANT);

/// The service: its data, and the endpoint on which it mints badges.
pub struct Service<D: BlockDevice> {
    data: Rc<Data<D>>,
    /// Unbadged; may be sent on.
    mint: Cap<Endpoint>,
    watchers: Watchers,
}

impl<D: BlockDevice> Service<D> {
    /// A service on mounted data; `mint` is its endpoint, without a badge.
    pub fn new(data: Rc<Data<D>>, mint: Cap<Endpoint>, watchers: Watchers) -> Service<D> {
        Service { data, mint, watchers }
    }

    fn capability(&self, grant: Grant) -> Result<Cap<Endpoint>, Error> {
        // What can fail here is the kernel's memory for capabilities.
        self.mint.derive_badged(MINTED, grant.badge()).map_err(|_| Error::NoSpace)
    }
}

impl<D: BlockDevice> objects::Server for Service<D> {
    async fn put(&self, caller: Caller, key: String, value: Vec<u8>, if_version: Option<u64>) -> Result<u64, Error> {
        self.data.put(Grant::from_badge(caller.badge)?, &key, &value, if_version).await
    }

    async fn get(&self, caller: Caller, key: String) -> Result<Part, Error> {
        self.data.get(Grant::from_badge(caller.badge)?, &key, 0, MAX_PART as u32, None).await
    }

    async fn get_part(
        &self,
        caller: Caller,
        key: String,
        offset: u64,
        length: u32,
        version: Option<u64>,
    ) -> Result<Part, Error> {
        self.data.get(Grant::from_badge(caller.badge)?, &key, offset, length, version).await
    }

    async fn delete(&self, caller: Caller, key: String, if_version: Option<u64>) -> Result<(), Error> {
        self.data.delete(Grant::from_badge(caller.badge)?, &key, if_version).await
    }

    async fn list(
        &self,
        caller: Caller,
        prefix: String,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<objects::Page, Error> {
        self.data.list(Grant::from_badge(caller.badge)?, &prefix, limit, cursor.as_deref()).await
    }

    async fn stat(&self, caller: Caller, key: String) -> Result<Metadata, Error> {
        self.data.stat(Grant::from_badge(caller.badge)?, &key).await
    }

    async fn begin(&self, caller: Caller, key: String, size: u64) -> Result<u64, Error> {
        self.data.begin_object(Grant::from_badge(caller.badge)?, &key, size).await
    }

    async fn add(&self, caller: Caller, upload: u64, bytes: Vec<u8>) -> Result<(), Error> {
        self.data.add(Grant::from_badge(caller.badge)?, upload, &bytes).await
    }

    async fn finish(&self, caller: Caller, upload: u64, if_version: Option<u64>) -> Result<u64, Error> {
        self.data.finish(Grant::from_badge(caller.badge)?, upload, if_version).await
    }

    async fn abandon(&self, caller: Caller, upload: u64) -> Result<(), Error> {
        self.data.abandon(Grant::from_badge(caller.badge)?, upload)
    }

    async fn transact(&self, caller: Caller, steps: Vec<objects::Step>) -> Result<u64, Error> {
        self.data.transact(Grant::from_badge(caller.badge)?, &steps).await
    }

    async fn put_for(
        &self,
        caller: Caller,
        key: String,
        value: Vec<u8>,
        lifetime: u64,
        if_version: Option<u64>,
    ) -> Result<u64, Error> {
        self.data.put_for(Grant::from_badge(caller.badge)?, &key, &value, lifetime, if_version).await
    }

    async fn lifetime(&self, caller: Caller, key: String) -> Result<Option<u64>, Error> {
        self.data.lifetime(Grant::from_badge(caller.badge)?, &key).await
    }

    async fn begin_stream(&self, caller: Caller, key: String, from: Cap<Any>) -> Result<u64, Error> {
        let is_there = Box::new(move || from.inspect().is_ok());
        self.data.begin_stream(Grant::from_badge(caller.badge)?, &key, is_there).await
    }

    async fn watch(&self, caller: Caller, prefix: String, to: Cap<Endpoint>) -> Result<u64, Error> {
        self.watchers.forget_gone(&self.data);
        let good = to.inspect().is_ok_and(|info| info.kind == Kind::Endpoint && info.rights.contains(Rights::SEND));
        if !good {
            return Err(Error::Invalid("not an endpoint with the right to send".to_string()));
        }
        let number = self.data.watch(Grant::from_badge(caller.badge)?, &prefix).await?;
        self.watchers.add(number, to);
        Ok(number)
    }

    async fn unwatch(&self, caller: Caller, watch: u64) -> Result<(), Error> {
        self.data.unwatch(Grant::from_badge(caller.badge)?, watch)?;
        self.watchers.forget(watch);
        Ok(())
    }

    async fn watching(&self, caller: Caller, watch: u64) -> Result<bool, Error> {
        self.data.watching(Grant::from_badge(caller.badge)?, watch)
    }
}

impl<D: BlockDevice> files::Server for Service<D> {
    async fn open(&self, caller: Caller, path: String, mode: files::OpenMode) -> Result<files::Info, Error> {
        self.data.open(Grant::from_badge(caller.badge)?, &path, mode).await
    }

    async fn read(&self, caller: Caller, path: String, offset: u64, length: u32) -> Result<Part, Error> {
        self.data.read(Grant::from_badge(caller.badge)?, &path, offset, length).await
    }

    async fn write(&self, caller: Caller, path: String, offset: u64, bytes: Vec<u8>) -> Result<files::Info, Error> {
        self.data.write(Grant::from_badge(caller.badge)?, &path, offset, &bytes).await
    }

    async fn append(&self, caller: Caller, path: String, bytes: Vec<u8>) -> Result<files::Info, Error> {
        self.data.append(Grant::from_badge(caller.badge)?, &path, &bytes).await
    }

    async fn replace(&self, caller: Caller, path: String, bytes: Vec<u8>) -> Result<files::Info, Error> {
        self.data.replace(Grant::from_badge(caller.badge)?, &path, &bytes).await
    }

    async fn set_size(&self, caller: Caller, path: String, size: u64) -> Result<files::Info, Error> {
        self.data.set_size(Grant::from_badge(caller.badge)?, &path, size).await
    }

    async fn list(
        &self,
        caller: Caller,
        path: String,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<files::Page, Error> {
        self.data.list_folder(Grant::from_badge(caller.badge)?, &path, limit, cursor.as_deref()).await
    }

    async fn rename(&self, caller: Caller, from: String, to: String) -> Result<(), Error> {
        self.data.rename(Grant::from_badge(caller.badge)?, &from, &to).await
    }

    async fn remove(&self, caller: Caller, path: String) -> Result<(), Error> {
        self.data.remove(Grant::from_badge(caller.badge)?, &path).await
    }

    async fn remove_all(&self, caller: Caller, path: String) -> Result<(), Error> {
        self.data.remove_all(Grant::from_badge(caller.badge)?, &path).await
    }

    async fn stat(&self, caller: Caller, path: String) -> Result<files::Info, Error> {
        self.data.stat_path(Grant::from_badge(caller.badge)?, &path).await
    }

    async fn make_folder(&self, caller: Caller, path: String) -> Result<(), Error> {
        self.data.make_folder(Grant::from_badge(caller.badge)?, &path).await
    }

    async fn begin(&self, caller: Caller, path: String, size: u64) -> Result<u64, Error> {
        self.data.begin_file(Grant::from_badge(caller.badge)?, &path, size).await
    }

    async fn begin_stream(&self, caller: Caller, path: String, from: Cap<Any>) -> Result<u64, Error> {
        let is_there = Box::new(move || from.inspect().is_ok());
        self.data.begin_file_stream(Grant::from_badge(caller.badge)?, &path, is_there).await
    }
}

impl<D: BlockDevice> namespaces::Server for Service<D> {
    async fn subspace(&self, caller: Caller, name: String, access: namespaces::Access) -> Result<Cap<Endpoint>, Error> {
        let grant = self.data.subspace(Grant::from_badge(caller.badge)?, &name, access).await?;
        self.capability(grant)
    }

    async fn restrict(&self, caller: Caller, access: namespaces::Access) -> Result<Cap<Endpoint>, Error> {
        let grant = self.data.restrict(Grant::from_badge(caller.badge)?, access).await?;
        self.capability(grant)
    }

    async fn list(&self, caller: Caller, cursor: Option<String>) -> Result<Vec<String>, Error> {
        self.data.list_namespaces(Grant::from_badge(caller.badge)?, cursor.as_deref()).await
    }

    async fn remove(&self, caller: Caller, name: String) -> Result<(), Error> {
        self.data.remove_namespace(Grant::from_badge(caller.badge)?, &name).await
    }

    async fn set_quota(&self, caller: Caller, name: String, bytes: u64) -> Result<(), Error> {
        self.data.set_quota(Grant::from_badge(caller.badge)?, &name, bytes).await
    }

    async fn usage(&self, caller: Caller) -> Result<namespaces::QuotaUse, Error> {
        self.data.usage(Grant::from_badge(caller.badge)?).await
    }

    async fn allowed(&self, caller: Caller) -> namespaces::Access {
        Grant::from_badge(caller.badge).map_or(namespaces::Access::NONE, |grant| grant.access)
    }
}

/// Ends in order: what was put is committed, and the disk says so.
struct Ending<D: BlockDevice>(Rc<Data<D>>);

impl<D: BlockDevice> Hooks for Ending<D> {
    async fn stopping(&self, _grace: Duration) {
        // A disk that cannot be marked is as after a crash, which loses nothing.
        let _ = self.0.close().await;
    }
}

/// Opens the disk, mounts it, and serves.
pub async fn main(process: Process) -> Result<(), String> {
    let result = run(&process).await;
    // init learns from the exit too, but not why.
    match &result {
        Err(Ended::Failed(reason)) => process.failed(reason).await,
        Err(Ended::Unable(reason)) => process.unable(reason).await,
        Ok(()) => {}
    }
    result.map_err(|(Ended::Failed(reason) | Ended::Unable(reason))| reason)
}

/// Why the service ends, though nobody asked it to.
enum Ended {
    /// It may go better the next time.
    Failed(String),
    /// It will go the same way until somebody mends what is wrong.
    Unable(String),
}

impl From<String> for Ended {
    fn from(reason: String) -> Ended {
        Ended::Failed(reason)
    }
}

impl From<MountError> for Ended {
    fn from(error: MountError) -> Ended {
        let reason = error.to_string();
        match error {
            MountError::Device(_) => Ended::Failed(reason),
            MountError::Foreign(_)
            | MountError::Damaged
            | MountError::Version(_)
            | MountError::TooSmall
            | MountError::Truncated(_)
            | MountError::EmptyReadOnly => Ended::Unable(reason),
        }
    }
}

async fn run(process: &Process) -> Result<(), Ended> {
    let missing = |missing: Missing| Ended::Unable(missing.to_string());
    let endpoint = process.capability::<Endpoint>("endpoint").map_err(missing)?;
    let (device, interrupt) = process.device_capabilities("disk").map_err(missing)?;
    // In an upgrade the disk is the predecessor's until this returns.
    process.take_over().await.map_err(not_heard)?;
    // Once, or once more whenever an upgrade came to nothing, after the disk was let go.
    while let Some(hand_over) = serve_disk(process, &endpoint, &device, interrupt.as_ref()).await? {
        hand_over.release(Vec::new()).await;
    }
    Ok(())
}

/// Takes hold of the disk, mounts it, and serves until the service is asked to end, or to hand over: then
/// everything is committed, and the disk is let go.
async fn serve_disk(
    process: &Process,
    endpoint: &Cap<Endpoint>,
    device: &Cap<Device>,
    interrupt: Option<&Cap<Interrupt>>,
) -> Result<Option<HandOver>, Ended> {
    let failed = |error: KernelError| format!("the disk's capabilities: {error}");
    let device = device.derive(Rights::ALL).map_err(failed)?;
    let interrupt = interrupt.map(|interrupt| interrupt.derive(Rights::ALL)).transpose().map_err(failed)?;
    let disk = AnyDisk::open(device, interrupt, process.quota())?;
    let time = {
        let (wall, steady) = (process.clone(), process.clone());
        Time::new(move || wall.wall_clock().unwrap_or(0), move || steady.now())
    };
    let mut name = [0; 16];
    name[..8].copy_from_slice(&time.wall().to_le_bytes());
    name[8..].copy_from_slice(&process.now().to_le_bytes());
    let (data, report) = Data::mount(disk, name, time).await?;
    tell(&report);
    let data = Rc::new(data);
    // It ends with this, so that nothing is left that holds the disk.
    let _committer = Task::spawn({
        let data = data.clone();
        async move { data.commit().await }
    });
    data.prepare().await.map_err(|error| format!("the first namespaces cannot be made: {error:?}"))?;
    let mint = endpoint.derive(MINTED).map_err(|error| format!("no right to mint badges: {error}"))?;
    let watchers = Watchers::default();
    let upkeep = upkeep::begin(&data, &watchers);
    let service = Service::new(data.clone(), mint, watchers);
    process.ready().await.map_err(not_heard)?;
    let interfaces = (objects::Serve(&service), files::Serve(&service), namespaces::Serve(&service));
    let served = serve_until_asked(endpoint, interfaces, Ending(data.clone())).await;
    let served = served.map_err(|error| format!("the endpoint is gone: {error}"))?;
    if served.is_some() {
        // Nothing changes any more after this.
        drop(upkeep);
        yield_now().await;
        // A disk that cannot be marked is as after a crash, which loses nothing.
        let _ = data.close().await;
    }
    Ok(served)
}

fn not_heard(error: ClientError) -> Ended {
    Ended::Failed(format!("init does not listen: {error}"))
}

/// Says what mounting found, if it is worth a line.
fn tell(report: &MountReport) {
    if report.formatted {
        system::debug("the disk was empty and has been formatted");
    }
    if report.rolled_back {
        system::debug("the last commit was not whole, as after a power cut: the one before it is used");
    }
    if report.mended > 0 {
        system::debug(&format!("{} damaged copies were mended from their twins", report.mended));
    }
    if !report.damage.is_empty() {
        system::debug(&format!("{} parts of the disk cannot be read, nor the keys in them", report.damage.len()));
    }
    if report.only_read {
        system::debug("nothing is written to the disk until the next start: which of its pages are free is not known");
    }
}
