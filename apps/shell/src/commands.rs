//! The commands, by what they are about. Each is a method of [`crate::shell::Shell`].

mod capabilities;
mod capture;
mod files;
mod log;
mod processes;
mod services;
mod session;
mod values;
mod watch;
