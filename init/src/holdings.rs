//! What init itself was given, and whether a manifest asks for more than that.

use crate::manifest::{Grant, Manifest, ManifestError, Program, Source};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::abi::{Kind, Rights};
use libprocess::{Any, Cap, Handle, Process};

/// Variables of this name and that of an image tell its hash.
const HASH_VARIABLE: &str = "image-hash:";
/// Variables of this name and that of an image tell what a process of it is to be called.
const NAME_VARIABLE: &str = "image-name:";

/// Whether a variable of the host is for init, and no program's business.
pub fn is_own_variable(name: &str) -> bool {
    name.starts_with(HASH_VARIABLE) || name.starts_with(NAME_VARIABLE)
}

/// One capability that init was given.
#[derive(Debug)]
struct Held {
    capability: Cap<Any>,
    kind: Kind,
    rights: Rights,
}

/// What init was given, by name, except what it uses itself.
#[derive(Debug, Default)]
pub struct Holdings {
    held: BTreeMap<String, Held>,
    hashes: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
}

impl Holdings {
    /// Takes what the host gave.
    pub fn of(process: &Process) -> Holdings {
        let mut holdings = Holdings::default();
        for name in process.capability_names() {
            if let Ok(capability) = process.capability::<Any>(&name)
                && let Ok(info) = capability.inspect()
            {
                holdings.held.insert(name, Held { capability, kind: info.kind, rights: info.rights });
            }
        }
        // The clock is in use: another capability to it, to grant from.
        if let Ok(clock) = process.clock().derive(Rights::ALL)
            && let Ok(info) = clock.inspect()
        {
            holdings.held.entry("device:clock".to_string()).or_insert(Held {
                capability: clock.erase(),
                kind: info.kind,
                rights: info.rights,
            });
        }
        for (name, value) in process.environment() {
            if let Some(image) = name.strip_prefix(HASH_VARIABLE) {
                holdings.hashes.insert(image.to_string(), value.clone());
            }
            if let Some(image) = name.strip_prefix(NAME_VARIABLE) {
                holdings.names.insert(image.to_string(), value.clone());
            }
        }
        holdings
    }

    /// The handle of what is held under `name`.
    pub fn handle(&self, name: &str) -> Option<Handle> {
        self.held.get(name).map(|held| held.capability.handle())
    }

    /// Whether the boot set has this image.
    pub fn has_image(&self, image: &str) -> bool {
        self.held.contains_key(&image_name(image))
    }

    /// The BLAKE3 hash of an image of the boot set, if the host says it.
    pub fn hash(&self, image: &str) -> Option<&str> {
        self.hashes.get(image).map(String::as_str)
    }

    /// What the host calls an image.
    pub fn called(&self, image: &str) -> Option<&str> {
        let name = self.names.get(image)?.as_str();
        let good =
            !name.is_empty() && name.len() <= libprocess::abi::Name::CAPACITY && !name.chars().any(char::is_control);
        good.then_some(name)
    }

    /// The place of the first session of the manifest whose image the host brought.
    pub fn session(&self, manifest: &Manifest) -> Option<usize> {
        manifest.sessions.iter().position(|session| self.has_image(&session.program.image))
    }

    /// Refuses a manifest that grants what init has not got: every service, and the
    /// session at this place.
    ///
    /// # Errors
    /// The first line that asks too much.
    pub fn check(&self, manifest: &Manifest, session: usize) -> Result<(), ManifestError> {
        let services = manifest.services.iter().map(|service| &service.program);
        let session = manifest.sessions.get(session).map(|session| &session.program);
        for program in services.chain(session) {
            self.check_image(program)?;
            for grant in &program.grants {
                self.check_grant(grant)?;
            }
        }
        Ok(())
    }

    fn check_image(&self, program: &Program) -> Result<(), ManifestError> {
        let refuse = |line, message: String| Err(ManifestError { line, message });
        let image = &program.image;
        match self.held.get(&image_name(image)) {
            None => return refuse(program.line, format!("`{}`: there is no image `{image}`", program.name)),
            Some(held) if held.kind != Kind::Image || !held.rights.contains(Rights::SPAWN) => {
                return refuse(program.line, format!("`{}`: init may not start the image `{image}`", program.name));
            }
            Some(_) => {}
        }
        let Some((hash, line)) = &program.hash else { return Ok(()) };
        match self.hashes.get(image) {
            Some(have) if have == hash => Ok(()),
            Some(have) => refuse(*line, format!("the image `{image}` has another hash: {have}")),
            None => refuse(*line, format!("the host does not say which hash the image `{image}` has")),
        }
    }

    fn check_grant(&self, grant: &Grant) -> Result<(), ManifestError> {
        let Source::Held(name) = &grant.source else {
            // init makes these itself, with all rights; the parser has seen to the rest.
            return Ok(());
        };
        let refuse = |message: String| Err(ManifestError { line: grant.line, message });
        match self.held.get(name) {
            None if grant.optional => Ok(()),
            None => refuse(format!("init has no capability `{name}` to grant")),
            Some(held) if held.rights.contains(grant.rights) => Ok(()),
            Some(held) => {
                let missing: Vec<&str> = Rights::NAMES
                    .iter()
                    .filter(|(right, _)| grant.rights.contains(*right) && !held.rights.contains(*right))
                    .map(|(_, name)| *name)
                    .collect();
                refuse(format!("of `{name}` init has not the right {}", missing.join("+")))
            }
        }
    }
}

/// The name under which init holds an image.
pub fn image_name(image: &str) -> String {
    format!("image:{image}")
}
