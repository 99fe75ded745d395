//! The manifest: what is read, and that every mistake is named with its line.

use init::manifest::{Amount, Policy, Source, parse};
use proptest::prelude::*;

const SYSTEM: &str = include_str!("../system.toml");

/// A manifest that is right, to be spoilt in one place.
const GOOD: &str = r#"
[[service]]
name = "store"
image = "storage"
phase = 1
badge = 10
quota = { memory = "1 MiB", pages = "8 MiB" }
capabilities = [
    { name = "disk", of = "device:disk", rights = ["read", "write"] },
]

[[service]]
name = "web"
image = "web"
phase = 2
badge = 11
needs = ["store"]
quota = { memory = "1 MiB", pages = "8 MiB" }
restart = { policy = "always", initial = "50 ms", max = "1 s", limit = 3, window = "10 s" }
capabilities = [
    { name = "store", of = "service:store", rights = ["send"] },
    { name = "ready", of = "init:readiness", rights = ["send"] },
]

[[session]]
name = "shell"
image = "shell"
badge = 2
needs = ["web"]
quota = { memory = "1 MiB", pages = "8 MiB" }
capabilities = [{ name = "console", of = "device:console", rights = ["write"] }]
"#;

/// Spoils `GOOD` by replacing `from` with `to`; says what is then wrong, and in the line of `to`.
#[track_caller]
fn refused(from: &str, to: &str, words: &[&str]) {
    assert!(GOOD.contains(from), "the test spoils nothing: `{from}`");
    let text = GOOD.replacen(from, to, 1);
    let error = parse(&text).expect_err(to);
    for word in words {
        assert!(error.message.contains(word), "`{error}` does not say `{word}`");
    }
    let line = text.lines().nth(error.line - 1).unwrap_or_default();
    let marks: Vec<&str> = to.lines().filter(|l| !l.trim().is_empty()).collect();
    assert!(marks.iter().any(|mark| line.contains(mark.trim())), "`{error}` points at `{line}`");
}

#[test]
fn the_built_in_manifest_is_right() {
    let manifest = parse(SYSTEM).unwrap();
    let names: Vec<&str> = manifest.services.iter().map(|s| s.program.name.as_str()).collect();
    assert_eq!(names, ["storage", "process"]);
    let sessions: Vec<&str> = manifest.sessions.iter().map(|s| s.program.name.as_str()).collect();
    assert_eq!(sessions, ["session", "shell"]);
}

#[test]
fn only_storage_holds_the_disk_and_no_users_program_controls_init() {
    let manifest = parse(SYSTEM).unwrap();
    let disk = |grants: &[init::manifest::Grant]| {
        grants.iter().any(|g| matches!(&g.source, Source::Held(name) if name == "device:disk"))
    };
    for service in &manifest.services {
        assert_eq!(disk(&service.program.grants), service.program.name == "storage");
    }
    for session in &manifest.sessions {
        assert!(!disk(&session.program.grants));
        let controls = session.program.grants.iter().any(|g| g.source == Source::Control);
        assert_eq!(controls, session.program.name == "shell");
    }
}

#[test]
fn what_stands_in_the_text_is_in_the_manifest() {
    let manifest = parse(GOOD).unwrap();
    let web = &manifest.services[1];
    assert_eq!((web.phase, &web.needs[..], web.program.badge), (2, &[0][..], 11));
    assert_eq!(web.program.memory, Amount::Bytes(1 << 20));
    assert_eq!(web.program.pages, Amount::Bytes(8 << 20));
    assert_eq!(web.restart.policy, Policy::Always);
    assert_eq!((web.restart.initial, web.restart.max), (50_000_000, 1_000_000_000));
    assert_eq!((web.restart.limit, web.restart.window), (3, 10_000_000_000));
    let grant = &web.program.grants[0];
    assert_eq!((grant.name.as_str(), &grant.source, grant.badge), ("store", &Source::Service(0), 11));
    assert_eq!(grant.rights.to_string(), "send");
    assert_eq!(grant.line, 21);
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let store = &parse(GOOD).unwrap().services[0];
    assert_eq!(store.queue, 64);
    assert_eq!(store.ready_timeout, 10_000_000_000);
    assert_eq!(store.program.stop_timeout, 2_000_000_000);
    assert_eq!(store.restart.policy, Policy::OnFailure);
    assert_eq!((store.restart.initial, store.restart.max), (100_000_000, 10_000_000_000));
    assert_eq!((store.restart.limit, store.restart.window), (5, 60_000_000_000));
    assert!(!store.public);
    let health = store.health;
    assert_eq!((health.interval, health.timeout, health.misses), (2_000_000_000, 1_000_000_000, 3));
}

#[test]
fn how_a_service_is_asked_whether_it_is_well_can_be_said_and_mistakes_are_named() {
    let text =
        GOOD.replacen("phase = 1", "phase = 1\nhealth = { interval = \"5 s\", timeout = \"20 ms\", misses = 0 }", 1);
    let health = parse(&text).unwrap().services[0].health;
    assert_eq!((health.interval, health.timeout, health.misses), (5_000_000_000, 20_000_000, 0));
    let spoilt = |to: &str, words: &[&str]| refused("phase = 1", &format!("phase = 1\n{to}"), words);
    spoilt("health = { interval = \"0 s\" }", &["interval of `0 s`", "1 ms at least"]);
    spoilt("health = { timeout = \"999 us\" }", &["time-out of `999 us`"]);
    spoilt("health = { timeout = \"soon\" }", &["`soon` is no time"]);
    spoilt("health = { misses = 101 }", &["101 misses", "0 (it is never asked) to 100"]);
    spoilt("health = { misses = -1 }", &["-1"]);
    spoilt("health = { every = \"1 s\" }", &["every"]);
    spoilt("health = true", &["invalid type"]);
}

#[test]
fn pauses_double_up_to_the_longest() {
    let restart = parse(GOOD).unwrap().services[1].restart;
    let pauses: Vec<u64> = (0..7).map(|n| restart.pause(n) / 1_000_000).collect();
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    assert_eq!(restart.pause(u32::MAX), restart.max);
}

#[test]
fn mistakes_of_form_are_named_with_their_line() {
    refused("phase = 1", "phase = ", &[""]);
    refused("phase = 1", "phase = \"early\"", &["invalid type"]);
    refused("phase = 1", "faze = 1", &["faze"]);
    refused("badge = 10", "badge = -1", &["-1"]);
    refused("name = \"disk\", of", "called = \"disk\", of", &["called"]);
}

#[test]
fn a_missing_key_is_named_with_its_table() {
    let text = GOOD.replacen("image = \"storage\"\n", "", 1);
    let error = parse(&text).unwrap_err();
    assert!(error.message.contains("image"), "{error}");
    assert_eq!(error.line, 2, "{error}");
}

#[test]
fn mistakes_of_quantity_are_named_with_their_line() {
    refused("memory = \"1 MiB\"", "memory = \"1 MB\"", &["1 MB", "MiB"]);
    refused("initial = \"50 ms\"", "initial = \"soon\"", &["soon", "ms"]);
    refused("initial = \"50 ms\"", "initial = \"2 s\"", &["longer"]);
    refused("limit = 3", "limit = 0", &["0"]);
    refused("phase = 1", "phase = 1\nqueue = 0", &["queue"]);
}

#[test]
fn names_are_unique_and_known() {
    refused("name = \"web\"", "name = \"store\"", &["two services", "store"]);
    refused("name = \"web\"", "name = \"init\"", &["init"]);
    refused("name = \"web\"", "name = \"We b\"", &["We b"]);
    refused("name = \"shell\"", "name = \"web\"", &["web", "taken"]);
    refused("needs = [\"store\"]", "needs = [\"shop\"]", &["shop"]);
    refused("of = \"service:store\"", "of = \"service:shop\"", &["shop"]);
    refused("of = \"init:readiness\"", "of = \"init:everything\"", &["everything"]);
    refused("name = \"ready\", of", "name = \"store\", of", &["two capabilities", "store"]);
}

#[test]
fn badges_tell_everyone_apart() {
    refused("badge = 11", "badge = 10", &["10", "twice"]);
    refused("badge = 11", "badge = 0", &["0"]);
    refused("badge = 11", "badge = 4294967296", &["4294967296"]);
    refused("of = \"service:store\"", "badge = 0, of = \"service:store\"", &["badge 0"]);
    refused("of = \"device:disk\"", "badge = 3, of = \"device:disk\"", &["cannot be chosen"]);
    refused("of = \"init:readiness\"", "badge = 3, of = \"init:readiness\"", &["cannot be chosen"]);
}

#[test]
fn rights_must_exist_and_mean_something() {
    refused("[\"read\", \"write\"]", "[\"reed\"]", &["reed"]);
    refused("[\"read\", \"write\"]", "[\"spawn\"]", &["spawn", "device:disk"]);
    refused(
        "of = \"service:store\", rights = [\"send\"]",
        "of = \"service:store\", rights = [\"receive\"]",
        &["receive"],
    );
    refused(
        "of = \"service:store\", rights = [\"send\"]",
        "of = \"service:store\", rights = [\"manage\"]",
        &["manage"],
    );
    refused("of = \"device:console\"", "of = \"endpoint\"", &["session"]);
}

#[test]
fn a_subspace_is_a_sessions_of_a_service_that_it_needs() {
    let session = "capabilities = [{ name = \"console\", of = \"device:console\", rights = [\"write\"] }]";
    let with = |of: &str, access: &str| {
        format!("capabilities = [{{ name = \"s\", of = \"{of}\", rights = [], subspace = {access} }}]")
    };
    let good = GOOD.replacen(session, &with("service:web", "[\"read\"]"), 1);
    let subspace = parse(&good).unwrap().sessions[0].program.grants[0].subspace.unwrap();
    assert_eq!((subspace.read, subspace.write), (true, false));
    refused(session, &with("service:store", "[\"read\"]"), &["needs"]);
    refused(session, &with("service:web", "[\"eat\"]"), &["eat"]);
    refused(session, &with("service:web", "[]"), &["nothing"]);
    refused(session, &with("device:disk", "[\"read\"]"), &["service"]);
    refused("of = \"service:store\"", "subspace = [\"read\"], of = \"service:store\"", &["session"]);
}

#[test]
fn services_that_could_never_start_are_refused() {
    refused(
        "phase = 2\nbadge = 11\nneeds = [\"store\"]",
        "phase = 0\nbadge = 11\nneeds = [\"store\"]",
        &["later phase", "store"],
    );
    let circle = GOOD.replacen("phase = 1", "phase = 2\nneeds = [\"web\"]", 1);
    let error = parse(&circle).unwrap_err();
    assert!(error.message.contains("store -> web -> store"), "{error}");
}

#[test]
fn a_system_without_a_session_is_refused() {
    let end = GOOD.find("[[session]]").unwrap();
    assert!(parse(&GOOD[..end]).unwrap_err().message.contains("session"));
    assert!(parse("").is_err());
}

#[test]
fn a_manifest_beyond_all_bounds_is_refused() {
    let long = format!("{GOOD}\n#{}", "x".repeat(init::manifest::MAX_LENGTH));
    assert!(parse(&long).unwrap_err().message.contains("longer"));
    let mut many = String::from(GOOD);
    for n in 0..init::manifest::MAX_SERVICES {
        many.push_str(&format!(
            "[[service]]\nname = \"s{n}\"\nimage = \"s\"\nphase = 1\nbadge = {}\nquota = {{ memory = \"1 B\", pages = \"1 B\" }}\n",
            100 + n
        ));
    }
    assert!(parse(&many).unwrap_err().message.contains("more than"));
}

proptest! {
    /// Whatever comes instead of a manifest is answered, never panicked at, and with a
    /// line that the text has.
    #[test]
    fn garbage_is_refused_with_a_line(text in "\\PC{0,300}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1);
        }
    }

    /// The same for the real manifest with a piece cut out or put in.
    #[test]
    fn a_spoilt_manifest_is_refused_or_right(at in 0..SYSTEM.len(), cut in 0..40usize, put in "[\\[\\]={}\"a-z0-9,\\n #.-]{0,20}") {
        let mut bytes = SYSTEM.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = parse(&text) {
            prop_assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1, "{}", error);
            prop_assert!(!error.message.is_empty());
        }
    }
}
