//! Tests: each call with its success and each of its errors, then random runs.

mod capabilities;
mod capture;
mod documents;
mod encoding;
mod explore;
mod machine;
mod messages;
mod objects;
mod processes;
mod runs;
mod steps;
mod threads;
