//! Why a command failed, in words: the cause, and what to do next.

use alloc::format;
use alloc::string::{String, ToString};
use libprocess::client::Refusal;
use libprocess::interfaces::{init, process};
use libprocess::{ClientError, Error, Missing};

/// Status of a command that was carried out and failed.
pub const FAILED: u64 = 1;
/// Status of a command that was not understood.
pub const MISUSED: u64 = 2;
/// Status of a name that is no command and no program.
pub const UNKNOWN: u64 = 127;
/// Status of a session that was asked to end.
pub const STOPPED: u64 = 130;
/// Status of a program that did what it could not.
pub const FAULTED: u64 = 134;
/// Status of a program that was killed, and of what Ctrl-C ended.
pub const KILLED: u64 = 137;

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// For people: a cause, and the next step. Without the command's name.
    pub message: String,
    /// Its exit status.
    pub status: u64,
}

impl Failure {
    /// A failure of what was asked.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), status: FAILED }
    }

    /// The command was not understood.
    pub fn misuse(command: &str, problem: &str) -> Failure {
        let usage = crate::help::topic(command).map_or(command, |topic| topic.usage);
        Failure { message: format!("{problem}\nusage: {usage}\nMore: help {command}"), status: MISUSED }
    }
}

/// An error of a service, in words.
pub trait Explain {
    /// What is wrong with `subject`, which is what the user named, and what to do.
    fn explain(&self, subject: &str) -> String;
}

/// A call to `service` about `subject` failed.
pub fn failed<E: Explain>(service: &str, subject: &str, error: ClientError<E>) -> Failure {
    Failure::new(match error {
        ClientError::Service(error) => error.explain(subject),
        ClientError::ServiceRestarted => format!(
            "{subject}: the {service} service ended before it answered, so it may be done or not; \
             look, and try again when `services {service}` says up"
        ),
        ClientError::TimedOut => format!(
            "{subject}: the {service} service did not answer in time, so it may be done or not; \
             `services {service}` shows how it is"
        ),
        ClientError::Refused(refusal) if refusal.is_down() => format!("{subject}: {}", down(service, refusal)),
        ClientError::Refused(refusal) => format!("{subject}: {refusal}; its version may be another than the shell's"),
        ClientError::BadAnswer => {
            format!("{subject}: the {service} service's answer was not understood; its version may be another")
        }
        ClientError::System(Error::QuotaExceeded) => {
            format!("{subject}: the shell has too little left to ask; `self` shows what it uses")
        }
        ClientError::System(error) => format!("{subject}: the {service} service cannot be asked: {error}"),
    })
}

/// What is to be done about a service that is down.
fn down(service: &str, refusal: Refusal) -> String {
    match refusal {
        Refusal::Stopped => format!("the {service} service is stopped; `start {service}` starts it"),
        Refusal::Finished => format!("the {service} service has finished; `start {service}` runs it again"),
        Refusal::Disabled => format!(
            "the {service} service failed too often and is disabled; `services {service}` says how, \
             `start {service}` tries again"
        ),
        Refusal::Waiting => {
            format!("the {service} service waits for another that is down; `services` shows which")
        }
        _ => format!(
            "the {service} service failed and is not started again; `services {service}` says why, \
             `start {service}` tries again"
        ),
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Failure {
        Failure::new(format!("the shell was given no capability `{}`: this session may not do that", missing.0))
    }
}

impl Explain for init::control::Error {
    fn explain(&self, subject: &str) -> String {
        use init::control::Error;
        match self {
            Error::NoSuchService => format!("there is no service {subject}; `services` lists them"),
            Error::PermissionDenied => format!("{subject}: this session may not control services"),
            Error::AlreadyRunning => format!("{subject} is running already; `restart {subject}` begins anew"),
            Error::NotRunning => format!("{subject} is not running; `start {subject}` starts it"),
            Error::DependencyDown(needed) => {
                format!("{subject} needs {needed}, which does not answer; `start {needed}` first")
            }
            Error::Failed(reason) => {
                format!("{subject} did not come up: {reason}; `log --process {subject}` shows what it did")
            }
            Error::Upgrading => format!("{subject} is being upgraded; try again in a moment"),
            Error::ImageNotFound(name) => format!(
                "there is no image {name} for {subject}; it is the name of a boot image, or a path with a / in it"
            ),
            Error::InvalidImage(reason) => {
                format!("{subject} is not upgraded, the old one goes on: the image: {reason}")
            }
            Error::ShuttingDown => "the system is coming up or going down; try again in a moment".to_string(),
        }
    }
}

impl Explain for process::lifecycle::Error {
    fn explain(&self, subject: &str) -> String {
        use process::lifecycle::Error;
        match self {
            Error::NoSuchProcess => format!("there is no process {subject}; `ps` lists them"),
            Error::ImageNotFound(name) => format!("there is no image {name}; it is the name of a boot image or a path"),
            Error::InvalidImage(reason) => format!("{subject} cannot be run: {reason}"),
            Error::PermissionDenied(what) => format!("{subject}: this session may not do that: {what}"),
            Error::LimitExceeded(what) => format!("{subject}: there is no room for it: {what}"),
            Error::InvalidRequest(reason) => format!("{subject}: {reason}"),
            Error::TimedOut => format!("{subject} has not ended yet"),
            Error::StorageFailed(reason) => format!("{subject} could not be read: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    // Tests see the crates of these names, too.
    use libprocess::interfaces::{init, process};

    /// Every way in which a call can fail, and what the user is told: each names what it is about and a next step.
    #[test]
    fn a_call_that_fails_is_told_with_what_to_do() {
        let told = |error| failed::<init::control::Error>("storage", "/f", error).message;
        let down = |refusal| told(ClientError::Refused(refusal));
        assert_eq!(
            told(ClientError::ServiceRestarted),
            "/f: the storage service ended before it answered, so it may be done or not; look, and try again when \
             `services storage` says up"
        );
        assert_eq!(
            told(ClientError::TimedOut),
            "/f: the storage service did not answer in time, so it may be done or not; `services storage` shows how it is"
        );
        assert_eq!(
            told(ClientError::BadAnswer),
            "/f: the storage service's answer was not understood; its version may be another"
        );
        assert_eq!(
            told(ClientError::System(Error::QuotaExceeded)),
            "/f: the shell has too little left to ask; `self` shows what it uses"
        );
        assert_eq!(
            told(ClientError::System(Error::PeerGone)),
            format!("/f: the storage service cannot be asked: {}", Error::PeerGone)
        );
        assert_eq!(
            down(Refusal::Unknown),
            format!("/f: {}; its version may be another than the shell's", Refusal::Unknown)
        );
        for (refusal, words) in [
            (Refusal::Stopped, "the storage service is stopped; `start storage` starts it"),
            (Refusal::Finished, "the storage service has finished; `start storage` runs it again"),
            (
                Refusal::Disabled,
                "the storage service failed too often and is disabled; `services storage` says how, `start storage` \
                 tries again",
            ),
            (Refusal::Waiting, "the storage service waits for another that is down; `services` shows which"),
            (
                Refusal::Failed,
                "the storage service failed and is not started again; `services storage` says why, `start storage` \
                 tries again",
            ),
        ] {
            assert_eq!(down(refusal), format!("/f: {words}"));
        }
    }

    #[test]
    fn what_init_refuses_is_told_with_what_to_do() {
        use init::control::Error;
        for (error, words) in [
            (Error::NoSuchService, "there is no service x; `services` lists them"),
            (Error::PermissionDenied, "x: this session may not control services"),
            (Error::AlreadyRunning, "x is running already; `restart x` begins anew"),
            (Error::NotRunning, "x is not running; `start x` starts it"),
            (Error::DependencyDown("y".to_string()), "x needs y, which does not answer; `start y` first"),
            (Error::Failed("why".to_string()), "x did not come up: why; `log --process x` shows what it did"),
            (Error::Upgrading, "x is being upgraded; try again in a moment"),
            (
                Error::ImageNotFound("y".to_string()),
                "there is no image y for x; it is the name of a boot image, or a path with a / in it",
            ),
            (Error::InvalidImage("why".to_string()), "x is not upgraded, the old one goes on: the image: why"),
            (Error::ShuttingDown, "the system is coming up or going down; try again in a moment"),
        ] {
            assert_eq!(error.explain("x"), words);
        }
    }

    #[test]
    fn what_the_process_service_refuses_is_told_with_what_to_do() {
        use process::lifecycle::Error;
        let why = || "why".to_string();
        for (error, words) in [
            (Error::NoSuchProcess, "there is no process x; `ps` lists them"),
            (Error::ImageNotFound(why()), "there is no image why; it is the name of a boot image or a path"),
            (Error::InvalidImage(why()), "x cannot be run: why"),
            (Error::PermissionDenied(why()), "x: this session may not do that: why"),
            (Error::LimitExceeded(why()), "x: there is no room for it: why"),
            (Error::InvalidRequest(why()), "x: why"),
            (Error::TimedOut, "x has not ended yet"),
            (Error::StorageFailed(why()), "x could not be read: why"),
        ] {
            assert_eq!(error.explain("x"), words);
        }
    }
}
