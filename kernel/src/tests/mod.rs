//! Tests: each call with its success and each of its errors (all in one place: `errors`), then random runs.

mod capabilities;
mod capture;
mod documents;
mod encoding;
mod errors;
mod explore;
mod machine;
mod messages;
mod objects;
mod plausible;
mod processes;
mod runs;
mod snapshots;
mod steps;
mod table;
mod threads;
