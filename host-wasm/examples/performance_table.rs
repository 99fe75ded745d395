//! Writes the table of docs/performance.md from what the last `make bench` measured.
//! Run by `make bench`.

use serde_json::Value;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- make bench writes from here -->";
const END: &str = "<!-- to here -->";

/// A row: what was measured, beside what, and what was to be reached.
struct Row {
    title: &'static str,
    ours: &'static str,
    beside: Beside,
}

enum Beside {
    /// Its time over ours: at least so many times quicker.
    Peer { name: &'static str, measured: &'static str, at_least: f64 },
    /// Our time over its: at most so many times slower.
    Floor { name: &'static str, measured: &'static str, at_most: f64 },
    /// Records a second, at least so many million.
    Rate { at_least: f64 },
}

const ROWS: &[Row] = &[
    Row {
        title: "call + reply, 64 bytes, both logs",
        ours: "call_64_bytes/orbital",
        beside: Beside::Peer {
            name: "Unix socket pair, one core",
            measured: "call_64_bytes/socket_pair",
            at_least: 15.0,
        },
    },
    Row {
        title: "call + reply, 64 bytes, both logs",
        ours: "call_64_bytes/orbital",
        beside: Beside::Floor {
            name: "two bare fibers, no kernel",
            measured: "call_64_bytes/bare_fibers",
            at_most: 2.0,
        },
    },
    Row {
        title: "the same by the component linker",
        ours: "call_64_bytes/orbital_component_path",
        beside: Beside::Peer {
            name: "Unix socket pair, one core",
            measured: "call_64_bytes/socket_pair",
            at_least: 15.0,
        },
    },
    Row {
        title: "call + reply, 64 KiB each way",
        ours: "call_64_kib/orbital",
        beside: Beside::Peer {
            name: "Unix socket pair, one core",
            measured: "call_64_kib/socket_pair",
            at_least: 15.0,
        },
    },
    Row {
        title: "call + reply, 64 KiB each way",
        ours: "call_64_kib/orbital",
        beside: Beside::Floor { name: "two bare fibers, no kernel", measured: "call_64_kib/bare_fibers", at_most: 2.0 },
    },
    Row {
        title: "spawn to first instruction",
        ours: "spawn/orbital",
        beside: Beside::Floor {
            name: "wasmtime alone, pooling: the same component",
            measured: "spawn/bare_component",
            at_most: 1.5,
        },
    },
    Row {
        title: "spawn to first instruction",
        ours: "spawn/orbital",
        beside: Beside::Floor {
            name: "wasmtime alone, pooling: the module inside it",
            measured: "spawn/bare_module",
            at_most: 1.5,
        },
    },
    Row { title: "records appended, one fdatasync a MiB", ours: "log/append", beside: Beside::Rate { at_least: 5.0 } },
    Row { title: "records verified", ours: "log/verify", beside: Beside::Rate { at_least: 3.0 } },
    Row { title: "records replayed", ours: "log/replay", beside: Beside::Rate { at_least: 3.0 } },
];

fn main() {
    if let Err(error) = write() {
        eprintln!("performance_table: {error}");
        std::process::exit(1);
    }
}

fn write() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let measured =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("criterion");
    let mut table =
        String::from("| what | measured | beside | that measured | ratio | to reach |\n|---|---|---|---|---|---|\n");
    for row in ROWS {
        table += &line(&measured, row)?;
    }
    let page = root.join("docs/performance.md");
    let text = std::fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let (before, rest) = text.split_once(BEGIN).ok_or(format!("docs/performance.md has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).ok_or(format!("docs/performance.md has no line {END}"))?;
    std::fs::write(&page, format!("{before}{BEGIN}\n{table}{END}{after}"))
        .map_err(|error| format!("{}: {error}", page.display()))?;
    print!("{table}");
    Ok(())
}

fn line(measured: &Path, row: &Row) -> Result<String, String> {
    let ours = median(measured, row.ours)?;
    Ok(match row.beside {
        Beside::Peer { name, measured: peer, at_least } => {
            let peer = median(measured, peer)?;
            let ratio = peer / ours;
            let verdict = verdict(ratio >= at_least);
            format!(
                "| {} | {} | {name} | {} | {ratio:.1} times quicker | {at_least} times: {verdict} |\n",
                row.title,
                time(ours),
                time(peer)
            )
        }
        Beside::Floor { name, measured: floor, at_most } => {
            let floor = median(measured, floor)?;
            let ratio = ours / floor;
            let verdict = verdict(ratio <= at_most);
            format!(
                "| {} | {} | {name} | {} | {ratio:.2} times its time | at most {at_most}: {verdict} |\n",
                row.title,
                time(ours),
                time(floor)
            )
        }
        Beside::Rate { at_least } => {
            let records = elements(measured, row.ours)?;
            let rate = records / ours * 1e3;
            let verdict = verdict(rate >= at_least);
            format!("| {} | {rate:.1} M/s | | | | {at_least} M/s: {verdict} |\n", row.title)
        }
    })
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

fn read(measured: &Path, row: &str, file: &str) -> Result<Value, String> {
    let path = measured.join(row).join("new").join(file);
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}; run `make bench` first", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Median of one iteration in ns.
fn median(measured: &Path, row: &str) -> Result<f64, String> {
    let estimates = read(measured, row, "estimates.json")?;
    estimates["median"]["point_estimate"].as_f64().ok_or(format!("{row}: criterion wrote no median"))
}

/// Records of one iteration.
fn elements(measured: &Path, row: &str) -> Result<f64, String> {
    let benchmark = read(measured, row, "benchmark.json")?;
    benchmark["throughput"]["Elements"].as_f64().ok_or(format!("{row}: it counts no records"))
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e4 => format!("{ns:.0} ns"),
        ns if ns < 1e7 => format!("{:.1} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
