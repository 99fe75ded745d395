//! Starts a process: checks what is asked for, finds the image, grants what the requester
//! passed on, and lets it run. Whatever fails leaves nothing behind.

use crate::files;
use crate::limits::{Limits, Warned};
use crate::live::Live;
use crate::requester::{Requester, SUPERVISOR};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::abi::{Kind, PAGE_SIZE};
use libprocess::capability::Process as ProcessObject;
use libprocess::interfaces::process::lifecycle::{Error, Grant, Request, Source};
use libprocess::{Any, Cap, Endpoint, Image, Notification, Quota, Region, Rights, Startup, abi};

/// The longest executable, in bytes.
pub const MAX_IMAGE: u64 = 64 << 20;
/// The longest name of a capability, in bytes.
const MAX_CAPABILITY_NAME: usize = 64;
/// Names that every process finds something under that this service made.
const OWN_NAMES: [&str; 2] = ["quota", "stop"];

/// What processes are started from.
pub struct Spawner {
    /// What pays for all of them.
    pub quota: Cap<Quota>,
    /// This service's endpoint, with the rights to send and grant, without a badge.
    pub endpoint: Cap<Endpoint>,
    /// Its number among endpoints, to recognise it when it is passed on.
    pub endpoint_object: u32,
    /// The storage service's endpoint and its number among endpoints, to recognise it when a
    /// requester passes it; `None` where this service was given none to compare with.
    pub storage: Option<(u32, Cap<Any>)>,
    /// The images of the boot set that this service was given, by name.
    pub images: BTreeMap<String, Cap<Image>>,
}

/// A process that was started.
pub struct Started {
    /// The kernel's serial of it.
    pub pid: u64,
    /// Its name.
    pub name: String,
    /// What the kernel holds for it.
    pub live: Live,
}

/// An image: one of the boot set, or one that goes with this.
enum Found<'a> {
    Boot(&'a Cap<Image>),
    Own(Cap<Image>),
}

impl Found<'_> {
    fn image(&self) -> &Cap<Image> {
        match self {
            Found::Boot(image) => image,
            Found::Own(image) => image,
        }
    }
}

impl Spawner {
    /// Starts a process for `requester`, who passed `from` and `capabilities`.
    ///
    /// # Errors
    /// As `spawn` in `wit/process.wit`.
    pub async fn spawn(
        &self,
        request: Request,
        from: Option<Cap<Any>>,
        capabilities: Vec<Cap<Any>>,
    ) -> Result<Started, Error> {
        check(&request, from.is_some(), capabilities.len())?;
        let asked = &request.limits;
        let limits = Limits::of(
            asked.memory,
            asked.kernel_memory,
            asked.processor_time,
            asked.capabilities,
            asked.queued_messages,
        )
        .map_err(|what| Error::LimitExceeded(what.to_string()))?;
        let quota = self.quota.split(limits.kernel_memory, limits.pages).map_err(|error| paid("memory", error))?;
        match self.populate(request, from, capabilities, limits, &quota).await {
            Ok((process, pid, name, stop)) => {
                let live = Live {
                    process,
                    quota,
                    stop,
                    limits,
                    processor_time_warned: Warned::No,
                    memory_warned: Warned::No,
                    asked: false,
                    cause: None,
                    force: None,
                    waiting: BTreeMap::new(),
                };
                Ok(Started { pid, name, live })
            }
            Err(error) => {
                // With it goes whatever was made under it.
                let _ = quota.destroy();
                Err(error)
            }
        }
    }

    async fn populate(
        &self,
        request: Request,
        from: Option<Cap<Any>>,
        capabilities: Vec<Cap<Any>>,
        limits: Limits,
        quota: &Cap<Quota>,
    ) -> Result<(Cap<ProcessObject>, u64, String, Cap<Notification>), Error> {
        let (image, image_name) = self.image(&request.source, from, quota).await?;
        let name = if request.name.is_empty() { image_name } else { request.name };
        let supervisor =
            self.endpoint.derive_badged(Rights::SEND, SUPERVISOR).map_err(|error| paid("this service", error))?;
        let process = Cap::<ProcessObject>::create(image.image(), quota, &supervisor, &name, limits.kernel(Warned::No))
            .map_err(|error| match error {
                abi::Error::MissingRight | abi::Error::WrongKind => {
                    Error::PermissionDenied("the image: no right to spawn from it".to_string())
                }
                error => paid("the process", error),
            })?;
        let pid = process.info().map_err(|error| paid("the process", error))?.serial;
        let stop = Cap::<Notification>::create(quota).map_err(|error| paid("kernel memory", error))?;
        let mut startup = Startup {
            arguments: request.arguments,
            environment: request.environment,
            capabilities: Vec::with_capacity(capabilities.len() + OWN_NAMES.len()),
        };
        let own = [
            ("quota", quota.handle(), Rights::SPLIT.or(Rights::INSPECT)),
            ("stop", stop.handle(), Rights::WAIT.or(Rights::SIGNAL)),
        ];
        for (name, handle, rights) in own {
            let handle = process.grant_handle(handle, rights, 0).map_err(|error| granted(name, error))?;
            startup.capabilities.push((name.to_string(), handle));
        }
        for (grant, capability) in request.grants.into_iter().zip(&capabilities) {
            let handle = self.grant(&process, pid, &grant, capability)?;
            startup.capabilities.push((grant.name, handle));
        }
        process.start(&startup).map_err(|error| match error {
            abi::Error::TooLarge => {
                Error::InvalidRequest("arguments and environment are longer than 64 KiB".to_string())
            }
            error => paid("the start", error),
        })?;
        let name = process.info().map_or(name, |info| info.name.to_string());
        Ok((process, pid, name, stop))
    }

    /// Grants what the requester passed on, with the rights that it asks for, of those that
    /// came with it.
    fn grant(
        &self,
        process: &Cap<ProcessObject>,
        pid: u64,
        grant: &Grant,
        capability: &Cap<Any>,
    ) -> Result<abi::Handle, Error> {
        let info = capability.inspect().map_err(|error| granted(&grant.name, error))?;
        let rights = if grant.rights == Rights::ALL.0 { info.rights } else { Rights(grant.rights) };
        if !info.rights.contains(rights) {
            return Err(granted(&grant.name, abi::Error::MissingRight));
        }
        // To this service itself: the child speaks as itself, not as who started it.
        let own = info.kind == Kind::Endpoint && info.object == self.endpoint_object;
        let result = if own {
            process.grant(&self.endpoint, rights, Requester::child(pid).0)
        } else {
            process.grant(capability, rights, 0)
        };
        result.map_err(|error| granted(&grant.name, error))
    }

    /// The image that is asked for, and the name that a process of it has.
    async fn image(
        &self,
        source: &Source,
        from: Option<Cap<Any>>,
        quota: &Cap<Quota>,
    ) -> Result<(Found<'_>, String), Error> {
        let given = || from.ok_or_else(|| Error::InvalidRequest("`from` is missing".to_string()));
        match source {
            Source::Boot(name) => match self.images.get(name) {
                Some(image) => Ok((Found::Boot(image), name.clone())),
                None => Err(Error::ImageNotFound(name.clone())),
            },
            Source::Image => {
                let image = given()?;
                let info = of_kind(&image, Kind::Image, Rights::SPAWN)?;
                let name = info.name.to_string();
                Ok((Found::Own(image.typed()), name))
            }
            Source::Region(length) => {
                let region = given()?;
                of_kind(&region, Kind::Region, Rights::READ)?;
                let region = region.typed::<Region>();
                let image = checked(quota, &region, *length, "region").await?;
                Ok((Found::Own(image), "region".to_string()))
            }
            Source::Storage(path) => {
                let storage = given()?;
                let info = of_kind(&storage, Kind::Endpoint, Rights::SEND)?;
                // Another endpoint might never answer, and this service would wait with it.
                if self.storage.as_ref().map(|(object, _)| *object) != Some(info.object) {
                    return Err(Error::PermissionDenied("`from` is not the storage service".to_string()));
                }
                let file = path.rsplit('/').next().unwrap_or(path);
                let name = file.strip_suffix(".wasm").unwrap_or(file).to_string();
                let (region, length) = files::read(storage.typed(), path, &self.quota).await?;
                let image = checked(quota, &region, length, &name).await;
                let _ = region.destroy();
                Ok((Found::Own(image?), name))
            }
        }
    }
}

/// Refuses a request that contradicts itself.
fn check(request: &Request, from: bool, capabilities: usize) -> Result<(), Error> {
    let refuse = |message: &str| Err(Error::InvalidRequest(message.to_string()));
    if request.grants.len() != capabilities {
        return refuse("there are not as many grants as capabilities");
    }
    if from == matches!(request.source, Source::Boot(_)) {
        return refuse(if from { "a boot image needs no `from`" } else { "`from` is missing" });
    }
    if request.name.len() > abi::Name::CAPACITY || request.name.chars().any(char::is_control) {
        return refuse("the name is longer than 24 bytes or has control characters");
    }
    let mut names = BTreeSet::new();
    for grant in &request.grants {
        let name = grant.name.as_str();
        if name.is_empty() || name.len() > MAX_CAPABILITY_NAME {
            return refuse("the name of a capability is 1 to 64 bytes long");
        }
        if OWN_NAMES.contains(&name) || !names.insert(name) {
            return Err(Error::InvalidRequest(format!("there are two capabilities `{name}`")));
        }
    }
    Ok(())
}

/// Refuses `from` if it is of another kind or has not the right.
fn of_kind(from: &Cap<Any>, kind: Kind, right: Rights) -> Result<abi::CapabilityInfo, Error> {
    let info = from.inspect().map_err(|error| granted("from", error))?;
    if info.kind != kind {
        return Err(Error::InvalidRequest(format!("`from` is a {}, not a {}", info.kind.name(), kind.name())));
    }
    if !info.rights.contains(right) {
        return Err(granted("from", abi::Error::MissingRight));
    }
    Ok(info)
}

/// An image of what lies in a region, if it is one.
async fn checked(quota: &Cap<Quota>, region: &Cap<Region>, length: u64, name: &str) -> Result<Cap<Image>, Error> {
    if length == 0 || length > MAX_IMAGE {
        return Err(Error::InvalidImage(format!("{length} bytes: it may be 1 to {MAX_IMAGE}")));
    }
    Cap::<Image>::create(quota, region, length, name).await.map_err(|error| match error {
        abi::Error::InvalidArgument => Error::InvalidImage("not a program that this system runs".to_string()),
        abi::Error::TooLarge => {
            Error::InvalidImage("longer than this system runs, or than the region that it lies in".to_string())
        }
        abi::Error::Unsupported => Error::InvalidImage("this system cannot make images while it runs".to_string()),
        error => paid("the image", error),
    })
}

/// An error of something that is paid for.
fn paid(what: &str, error: abi::Error) -> Error {
    match error {
        abi::Error::QuotaExceeded => Error::LimitExceeded(what.to_string()),
        error => Error::InvalidRequest(format!("{what}: {error}")),
    }
}

/// An error of granting the capability `name`.
fn granted(name: &str, error: abi::Error) -> Error {
    match error {
        abi::Error::QuotaExceeded => Error::LimitExceeded("capabilities".to_string()),
        error => Error::PermissionDenied(format!("`{name}`: {error}")),
    }
}

/// Pages that hold so many bytes.
pub fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE as u64).max(1)
}
