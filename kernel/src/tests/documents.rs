//! The numbers, the WIT file and the table for people name the same calls.

use super::table::{self, rows};
use crate::commit::{Activity, Authority};
use abi::Number;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

const CONTRACT: &str = include_str!("../../../wit/kernel.wit");

#[test]
fn the_table_has_every_call_once_under_its_number() {
    let numbered: Vec<(u8, &str)> = rows().iter().map(|cells| (cells[0].parse().unwrap(), cells[1])).collect();
    let calls: Vec<(u8, &str)> = Number::ALL.iter().map(|&number| (number as u8, number.name())).collect();
    assert_eq!(numbered, calls);
    assert!(rows().iter().all(|cells| cells.len() == 8), "eight cells a row");
}

#[test]
fn the_contract_has_every_call() {
    // `-with` is the form with payload beside the words; what arrived is taken by calls that are none of the kernel's.
    let functions: BTreeSet<&str> = CONTRACT
        .lines()
        .filter_map(|line| line.trim().split_once(": func("))
        .map(|(name, _)| name.trim_start_matches("export ").trim_start_matches('%'))
        .map(|name| name.strip_suffix("-with").unwrap_or(name))
        .filter(|name| !matches!(*name, "run" | "take-bytes" | "take-handles"))
        .collect();
    let calls: BTreeSet<&str> = Number::ALL.iter().map(|number| number.name()).collect();
    assert_eq!(functions, calls);
}

#[test]
fn the_table_names_commits_and_errors_that_exist() {
    assert_eq!(table::errors().len(), Number::ALL.len());
    let commits: BTreeSet<&str> = Authority::KINDS.iter().chain(Activity::KINDS).map(|(_, name)| *name).collect();
    let words = |cell: &str| -> Vec<alloc::string::String> {
        // What is in brackets is for people.
        let bare = cell.split(['(', ')']).step_by(2).flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()));
        let names = bare.filter(|name| name.len() > 1 && name.starts_with(|c: char| c.is_ascii_uppercase()));
        names.map(Into::into).collect()
    };
    for cells in rows() {
        for commit in words(cells[6]) {
            assert!(commits.contains(commit.as_str()), "{}: no commit {commit}", cells[1]);
        }
    }
}

#[test]
fn kinds_of_commits_are_in_their_class_and_never_given_twice() {
    use crate::Class;
    let authority: Vec<u8> = Authority::KINDS.iter().map(|(kind, _)| *kind).collect();
    let activity: Vec<u8> = Activity::KINDS.iter().map(|(kind, _)| *kind).collect();
    assert!(authority.iter().all(|&kind| Class::of(kind) == Some(Class::Authority)));
    assert!(activity.iter().all(|&kind| Class::of(kind) == Some(Class::Activity)));
    assert!(authority.is_sorted_by(|a, b| a < b) && activity.is_sorted_by(|a, b| a < b));
}

/// docs/log-format.md, from which others write verifiers, has every kind of commit with its fields in their order.
#[test]
fn the_format_of_the_log_has_every_commit_and_its_fields() {
    const FORMAT: &str = include_str!("../../../docs/log-format.md");
    const SOURCE: &str = include_str!("../commit.rs");
    let kinds: Vec<(u8, &str)> = Authority::KINDS.iter().chain(Activity::KINDS).copied().collect();
    let mut rows = FORMAT
        .lines()
        .filter_map(|line| line.strip_prefix("| 0x"))
        .filter(|row| row.as_bytes()[5].is_ascii_uppercase());
    for (kind, name) in kinds {
        let declared = SOURCE.split_once(&alloc::format!("        {name} = 0x{kind:02X} {{")).unwrap().1;
        let declared = declared.split_once('}').unwrap().0.split(',').filter_map(|field| field.split_once(':'));
        let fields: Vec<&str> = declared.map(|(field, _)| field.trim()).collect();
        let cells: Vec<&str> = rows.next().unwrap_or_default().split('|').map(str::trim).collect();
        assert_eq!((cells[0], cells[1]), (alloc::format!("{kind:02X}").as_str(), name));
        let documented: Vec<&str> = cells[2].split(", ").filter_map(|field| Some(field.split_once(": ")?.0)).collect();
        assert_eq!(documented, fields, "{name}");
    }
    for call in Number::ALL {
        let row = alloc::format!("\n| {} | {} |", *call as u8, call.name());
        assert_eq!(FORMAT.matches(&row).count(), 1, "{}", call.name());
    }
}

/// Given the records of the state, then docs/log-format.md has each with its fields in the order in which they are written.
#[test]
fn the_log_format_has_every_record_of_the_state() {
    use crate::encoding::Described;
    macro_rules! records {
        ($($name:literal $type:ty)*) => { [$(($name, <$type>::FIELDS)),*] };
    }
    let mut records = Vec::from(records! {
        "header" crate::authority::Header
        "process" crate::process::Process
        "table" crate::table::Table
        "slot" crate::table::Slot
        "thread" crate::thread::Thread
        "endpoint" crate::endpoint::Endpoint
        "notification" crate::notification::Notification
        "region" crate::region::Region
        "mapping" crate::region::Mapping
        "image" crate::image::Image
        "quota" crate::quota::Quota
        "log" crate::log::Log
        "device" crate::device::Device
        "interrupt" crate::interrupt::Interrupt
        "capability" crate::capability::Capability
        "thread's activity" crate::thread::ThreadActivity
        "process's activity" crate::process::ProcessActivity
        "endpoint's activity" crate::endpoint::EndpointActivity
        "notification's activity" crate::notification::NotificationActivity
        "interrupt's activity" crate::interrupt::InterruptActivity
        "message" crate::endpoint::Message
        "link" crate::queue::Link
        "queue" crate::queue::Queue
        "queues" crate::capture::Queues
        "timer" crate::timer::Timer
        "offer" abi::Transfer
        "faulted" crate::thread::Fault
        "checking" crate::thread::Checking
    });
    // Written by hand, in the order of the record.
    records.push((
        "thread's detail",
        &[
            "previous",
            "next",
            "time",
            "budget",
            "period",
            "left",
            "timers",
            "badge",
            "tag",
            "length",
            "capabilities",
            "offers",
            "arrived",
            "arrived_count",
            "fault",
            "checking",
        ],
    ));
    let (_, page) =
        include_str!("../../../docs/log-format.md").split_once("## Snapshots").expect("the section is there");
    for (name, fields) in records {
        let row = page.lines().find_map(|line| line.strip_prefix("| ")?.strip_prefix(name)?.strip_prefix(" | "));
        let row = row.unwrap_or_else(|| panic!("there is no row of {name}"));
        // Without what is said in brackets.
        let plain: alloc::string::String = row.split('(').map(|part| part.rsplit(')').next().unwrap_or(part)).collect();
        let told: Vec<_> = plain
            .trim_end_matches(" |")
            .split(", ")
            .filter_map(|field| Some(field.split_once(": ")?.0.replace(' ', "_")))
            .collect();
        assert_eq!(told, fields, "{name}");
    }
}
