//! From the manifest as written to one that holds no contradiction.

use super::{
    Amount, Grant, Health, MAX_GRANTS, MAX_LENGTH, MAX_SERVICES, Manifest, ManifestError, Policy, Program, Restart,
    Service, Session, Source, Subspace,
};
use super::{raw, units};
use crate::badge;
use abi::Rights;
use abi::info::Limits;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use toml::Spanned;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Reads a manifest.
///
/// # Errors
/// Text that is no TOML, an unknown or missing key, a value of the wrong type, and every
/// contradiction: with its line.
pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
    let check = Check { text };
    if text.len() > MAX_LENGTH {
        return Err(ManifestError { line: 1, message: format!("it is longer than {MAX_LENGTH} bytes") });
    }
    let raw: raw::Manifest = toml::from_str(text).map_err(|error| {
        let message = error.message().replace('\n', ", ");
        check.error(&error.span().unwrap_or(0..0), message)
    })?;
    check.manifest(raw)
}

/// The text, to say where something lies.
struct Check<'a> {
    text: &'a str,
}

impl Check<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn error(&self, span: &Range<usize>, message: String) -> ManifestError {
        ManifestError { line: self.line(span), message }
    }

    fn refuse<T, V>(&self, at: &Spanned<V>, message: String) -> Result<T, ManifestError> {
        Err(self.error(&at.span(), message))
    }

    fn manifest(&self, raw: raw::Manifest) -> Result<Manifest, ManifestError> {
        if raw.service.len() > MAX_SERVICES {
            return self
                .refuse(&raw.service[MAX_SERVICES].name, format!("there are more than {MAX_SERVICES} services"));
        }
        if raw.session.is_empty() {
            return Err(self.error(&(0..0), "there is no [[session]]: nothing would be run".to_string()));
        }
        let mut places = BTreeMap::new();
        for (place, service) in raw.service.iter().enumerate() {
            self.name("service", &service.name)?;
            if service.name.get_ref() == "init" {
                return self.refuse(&service.name, "`init` is the name of init itself".to_string());
            }
            if places.insert(service.name.get_ref().clone(), place).is_some() {
                return self.refuse(&service.name, format!("there are two services `{}`", service.name.get_ref()));
            }
        }
        let mut sessions = BTreeSet::new();
        for session in &raw.session {
            self.name("session", &session.name)?;
            let name = session.name.get_ref();
            if name == "init" || places.contains_key(name) || !sessions.insert(name.clone()) {
                return self.refuse(&session.name, format!("the name `{name}` is taken"));
            }
        }
        self.badges(raw.service.iter().map(|s| &s.badge).chain(raw.session.iter().map(|s| &s.badge)))?;
        let phases: Vec<u32> = raw.service.iter().map(|s| *s.phase.get_ref()).collect();
        let needs: Vec<Vec<usize>> = raw
            .service
            .iter()
            .map(|service| self.needs(&service.needs, &places, Some((service, &phases))))
            .collect::<Result<_, _>>()?;
        self.circles(&raw.service, &needs)?;
        let services = raw
            .service
            .into_iter()
            .zip(needs)
            .map(|(service, needs)| self.service(service, needs, &places))
            .collect::<Result<_, _>>()?;
        let sessions =
            raw.session.into_iter().map(|session| self.session(session, &places)).collect::<Result<_, _>>()?;
        Ok(Manifest { services, sessions })
    }

    fn name(&self, what: &str, name: &Spanned<String>) -> Result<(), ManifestError> {
        let text = name.get_ref();
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > abi::Name::CAPACITY || !text.chars().all(good) {
            return self.refuse(
                name,
                format!("`{text}` is no name for a {what}: 1 to {} of a-z, 0-9 and -", abi::Name::CAPACITY),
            );
        }
        Ok(())
    }

    fn badges<'a>(&self, badges: impl Iterator<Item = &'a Spanned<u64>>) -> Result<(), ManifestError> {
        let mut seen = BTreeSet::new();
        for badge in badges {
            let value = *badge.get_ref();
            if value == 0 || value > u64::from(u32::MAX) {
                return self.refuse(badge, format!("badge {value} is not within 1 to {}", u32::MAX));
            }
            if !seen.insert(value) {
                return self.refuse(badge, format!("badge {value} is given twice: the two could not be told apart"));
            }
        }
        Ok(())
    }

    fn needs(
        &self,
        needs: &[Spanned<String>],
        places: &BTreeMap<String, usize>,
        of: Option<(&raw::Service, &[u32])>,
    ) -> Result<Vec<usize>, ManifestError> {
        let mut result = Vec::new();
        for need in needs {
            let name = need.get_ref();
            let Some(&place) = places.get(name) else {
                return self.refuse(need, format!("it needs a service `{name}`, which there is not"));
            };
            if let Some((service, phases)) = of
                && phases[place] > *service.phase.get_ref()
            {
                let (own, other) = (*service.phase.get_ref(), phases[place]);
                return self
                    .refuse(need, format!("it is of phase {own} and needs `{name}` of the later phase {other}"));
            }
            if !result.contains(&place) {
                result.push(place);
            }
        }
        Ok(result)
    }

    /// Refuses services that need each other in a circle: none of them could start.
    fn circles(&self, services: &[raw::Service], needs: &[Vec<usize>]) -> Result<(), ManifestError> {
        // Take away again and again whatever needs nothing that is left; a circle remains.
        let mut left: BTreeSet<usize> = (0..services.len()).collect();
        loop {
            let free: Vec<usize> =
                left.iter().copied().filter(|&s| !needs[s].iter().any(|n| left.contains(n))).collect();
            if free.is_empty() {
                break;
            }
            for place in free {
                left.remove(&place);
            }
        }
        let Some(&first) = left.first() else { return Ok(()) };
        // Each one left needs one that is left: follow that until one comes again.
        let mut path = Vec::new();
        let mut at = first;
        while !path.contains(&at) {
            path.push(at);
            match needs[at].iter().find(|n| left.contains(n)) {
                Some(&next) => at = next,
                None => break,
            }
        }
        let start = path.iter().position(|&p| p == at).unwrap_or(0);
        let mut words = String::new();
        for &place in &path[start..] {
            words.push_str(services[place].name.get_ref());
            words.push_str(" -> ");
        }
        words.push_str(services[at].name.get_ref());
        self.refuse(&services[at].name, format!("services need each other in a circle: {words}"))
    }

    fn service(
        &self,
        raw: raw::Service,
        needs: Vec<usize>,
        places: &BTreeMap<String, usize>,
    ) -> Result<Service, ManifestError> {
        let badge = *raw.badge.get_ref() as u32;
        let grants = self.grants(&raw.capabilities, places, badge, Holder::Service)?;
        let restart = self.restart(&raw.restart)?;
        let health = self.health(&raw.health)?;
        let queue = raw.queue.as_ref().map_or(64, |q| *q.get_ref());
        if let Some(at) = &raw.queue
            && !(1..=4096).contains(&queue)
        {
            return self.refuse(at, format!("a queue of {queue} messages: it may be 1 to 4096"));
        }
        Ok(Service {
            phase: *raw.phase.get_ref(),
            needs,
            queue,
            ready_timeout: self.duration(&raw.ready_timeout, 10 * SECOND)?,
            public: raw.public,
            restart,
            health,
            program: Program {
                line: self.line(&raw.name.span()),
                name: raw.name.into_inner(),
                image: raw.image.into_inner(),
                hash: self.hash(raw.hash)?,
                badge,
                memory: self.amount(&raw.quota.memory)?,
                pages: self.amount(&raw.quota.pages)?,
                limits: self.limits(&raw.limits)?,
                arguments: raw.arguments,
                environment: raw.environment.into_iter().collect(),
                grants,
                stop_timeout: self.duration(&raw.stop_timeout, 2 * SECOND)?,
            },
        })
    }

    fn session(&self, raw: raw::Session, places: &BTreeMap<String, usize>) -> Result<Session, ManifestError> {
        let badge = *raw.badge.get_ref() as u32;
        let needs = self.needs(&raw.needs, places, None)?;
        let grants = self.grants(&raw.capabilities, places, badge, Holder::Session)?;
        for (grant, capability) in grants.iter().zip(&raw.capabilities) {
            if let (Some(_), Source::Service(place)) = (grant.subspace, &grant.source)
                && !needs.contains(place)
            {
                return self.refuse(
                    &capability.of,
                    "a service that is asked for a subspace must be among `needs`".to_string(),
                );
            }
        }
        Ok(Session {
            needs,
            program: Program {
                grants,
                line: self.line(&raw.name.span()),
                name: raw.name.into_inner(),
                image: raw.image.into_inner(),
                hash: self.hash(raw.hash)?,
                badge,
                memory: self.amount(&raw.quota.memory)?,
                pages: self.amount(&raw.quota.pages)?,
                limits: self.limits(&raw.limits)?,
                arguments: raw.arguments,
                environment: raw.environment.into_iter().collect(),
                stop_timeout: self.duration(&raw.stop_timeout, 2 * SECOND)?,
            },
        })
    }

    fn hash(&self, hash: Option<Spanned<String>>) -> Result<Option<(String, usize)>, ManifestError> {
        let Some(hash) = hash else { return Ok(None) };
        let text = hash.get_ref();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return self.refuse(&hash, format!("`{text}` is no BLAKE3 hash: 64 of 0-9 and a-f"));
        }
        let line = self.line(&hash.span());
        Ok(Some((hash.into_inner(), line)))
    }

    fn amount(&self, text: &Spanned<String>) -> Result<Amount, ManifestError> {
        units::amount(text.get_ref()).map_err(|message| self.error(&text.span(), message))
    }

    fn duration(&self, text: &Option<Spanned<String>>, default: u64) -> Result<u64, ManifestError> {
        let Some(text) = text else { return Ok(default) };
        units::duration(text.get_ref()).map_err(|message| self.error(&text.span(), message))
    }

    fn limits(&self, raw: &raw::Limits) -> Result<Limits, ManifestError> {
        let default = Limits::DEFAULT;
        Ok(Limits {
            capabilities: raw.capabilities.as_ref().map_or(default.capabilities, |v| *v.get_ref()),
            queued_messages: raw.queued_messages.as_ref().map_or(default.queued_messages, |v| *v.get_ref()),
            processor_time: self.duration(&raw.processor_time, default.processor_time)?,
        })
    }

    fn restart(&self, raw: &raw::Restart) -> Result<Restart, ManifestError> {
        let policy = match &raw.policy {
            None => Policy::OnFailure,
            Some(text) => match text.get_ref().as_str() {
                "never" => Policy::Never,
                "on-failure" => Policy::OnFailure,
                "always" => Policy::Always,
                other => return self.refuse(text, format!("`{other}` is no policy: never, on-failure or always")),
            },
        };
        let restart = Restart {
            policy,
            initial: self.duration(&raw.initial, 100 * MILLISECOND)?,
            max: self.duration(&raw.max, 10 * SECOND)?,
            limit: raw.limit.as_ref().map_or(5, |v| *v.get_ref()),
            window: self.duration(&raw.window, 60 * SECOND)?,
        };
        if let Some(at) = &raw.limit
            && !(1..=100).contains(&restart.limit)
        {
            return self.refuse(at, format!("a limit of {} restarts: it may be 1 to 100", restart.limit));
        }
        if restart.initial > restart.max
            && let Some(at) = raw.initial.as_ref().or(raw.max.as_ref())
        {
            return self.refuse(at, "the first pause is longer than the longest".to_string());
        }
        Ok(restart)
    }

    fn health(&self, raw: &raw::Health) -> Result<Health, ManifestError> {
        let health = Health {
            interval: self.duration(&raw.interval, 2 * SECOND)?,
            timeout: self.duration(&raw.timeout, SECOND)?,
            misses: raw.misses.as_ref().map_or(3, |v| *v.get_ref()),
        };
        if let Some(at) = &raw.misses
            && health.misses > 100
        {
            return self.refuse(at, format!("{} misses: it may be 0 (it is never asked) to 100", health.misses));
        }
        for (what, time, at) in
            [("interval", health.interval, &raw.interval), ("time-out", health.timeout, &raw.timeout)]
        {
            if let Some(at) = at
                && time < MILLISECOND
            {
                return self.refuse(at, format!("a health check's {what} of `{}`: it is 1 ms at least", at.get_ref()));
            }
        }
        Ok(health)
    }

    fn grants(
        &self,
        raw: &[raw::Capability],
        places: &BTreeMap<String, usize>,
        badge: u32,
        holder: Holder,
    ) -> Result<Vec<Grant>, ManifestError> {
        let mut names = BTreeSet::new();
        let mut grants = Vec::new();
        for (count, capability) in raw.iter().enumerate() {
            let name = capability.name.get_ref();
            if count == MAX_GRANTS {
                return self.refuse(&capability.name, format!("there are more than {MAX_GRANTS} capabilities"));
            }
            if name.is_empty() || name.len() > 64 {
                return self.refuse(&capability.name, "the name of a capability is 1 to 64 bytes long".to_string());
            }
            if !names.insert(name) {
                return self.refuse(&capability.name, format!("there are two capabilities `{name}`"));
            }
            grants.push(self.grant(capability, places, badge, holder)?);
        }
        Ok(grants)
    }

    fn grant(
        &self,
        raw: &raw::Capability,
        places: &BTreeMap<String, usize>,
        badge: u32,
        holder: Holder,
    ) -> Result<Grant, ManifestError> {
        let of = raw.of.get_ref().as_str();
        let source = match of {
            "quota" => Source::Quota,
            "stop" => Source::Stop,
            "endpoint" if holder == Holder::Service => Source::Endpoint,
            "init:readiness" if holder == Holder::Service => Source::Readiness,
            "endpoint" | "init:readiness" => {
                return self.refuse(&raw.of, format!("a session has no `{of}`: that is for services"));
            }
            "init:control" => Source::Control,
            "init:registry" => Source::Registry,
            _ => match of.split_once(':') {
                Some(("service", name)) => match places.get(name) {
                    Some(&place) => Source::Service(place),
                    None => return self.refuse(&raw.of, format!("there is no service `{name}`")),
                },
                Some(("init", name)) => {
                    return self
                        .refuse(&raw.of, format!("init has no interface `{name}`: readiness, control or registry"));
                }
                _ => Source::Held(of.to_string()),
            },
        };
        let rights = self.rights(raw, &source)?;
        let badge = self.badge(raw, &source, badge)?;
        let subspace = self.subspace(raw, &source, holder)?;
        Ok(Grant {
            name: raw.name.get_ref().clone(),
            line: self.line(&raw.of.span()),
            source,
            rights,
            badge,
            subspace,
            optional: raw.optional,
        })
    }

    fn rights(&self, raw: &raw::Capability, source: &Source) -> Result<Rights, ManifestError> {
        let mut rights = Rights::NONE;
        for name in &raw.rights {
            let text = name.get_ref();
            let Some(right) = Rights::named(text) else {
                return self.refuse(name, format!("there is no right `{text}`"));
            };
            let allowed = match source {
                // Who may receive from another's endpoint, or destroy what init owns, could
                // take a service's place.
                Source::Endpoint => Rights::SEND.or(Rights::RECEIVE).or(Rights::GRANT),
                Source::Service(_) => Rights::SEND.or(Rights::GRANT).or(Rights::CAPTURE),
                Source::Readiness | Source::Control | Source::Registry => Rights::SEND.or(Rights::GRANT),
                Source::Stop => Rights::WAIT.or(Rights::SIGNAL),
                Source::Quota | Source::Held(_) => source.kind().map_or(Rights::ALL, |kind| kind.rights()),
            };
            if !allowed.contains(right) {
                return self.refuse(name, format!("of `{}` the right `{text}` cannot be granted", raw.of.get_ref()));
            }
            rights = rights.or(right);
        }
        Ok(rights)
    }

    fn subspace(
        &self,
        raw: &raw::Capability,
        source: &Source,
        holder: Holder,
    ) -> Result<Option<Subspace>, ManifestError> {
        let Some(access) = &raw.subspace else { return Ok(None) };
        // A service starts when that one may not be there to ask.
        if holder != Holder::Session || !matches!(source, Source::Service(_)) {
            return self.refuse(access, "`subspace` is for a session's capability to a service".to_string());
        }
        let mut subspace = Subspace::default();
        for word in access.get_ref() {
            match word.as_str() {
                "read" => subspace.read = true,
                "write" => subspace.write = true,
                _ => return self.refuse(access, format!("`{word}` is no access to a namespace: read or write")),
            }
        }
        if subspace == Subspace::default() {
            return self.refuse(access, "a subspace in which nothing is allowed".to_string());
        }
        Ok(Some(subspace))
    }

    fn badge(&self, raw: &raw::Capability, source: &Source, own: u32) -> Result<u64, ManifestError> {
        let fixed = match source {
            Source::Readiness => badge::Role::Readiness.of(own),
            Source::Control => badge::Role::Control.of(own),
            Source::Registry => badge::Role::Registry.of(own),
            Source::Service(_) => match &raw.badge {
                Some(badge) if *badge.get_ref() == 0 => {
                    return self.refuse(badge, "badge 0 is what init itself has".to_string());
                }
                Some(badge) => return Ok(*badge.get_ref()),
                None => u64::from(own),
            },
            _ => 0,
        };
        match &raw.badge {
            Some(badge) => self.refuse(badge, format!("the badge of `{}` cannot be chosen", raw.of.get_ref())),
            None => Ok(fixed),
        }
    }
}

/// Whose capabilities are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Service,
    Session,
}
