//! Orbital's shell: an app like any other, written against libprocess alone.
//!
//! | module | what is there |
//! |---|---|
//! | [`session`] | where commands come from: a terminal, a pipe, a script |
//! | [`shell`] | what the shell holds, and how it carries commands out |
//! | [`commands`] | the commands themselves |
//! | [`jobs`] | programs that were started, and how they end |
//! | [`console`] | output that is not lost, keys, lines |
//! | [`failure`] | why a command failed, in words; exit statuses |
//!
//! Pure, without input or output:
//!
//! | module | what is there |
//! |---|---|
//! | [`parse`] | scripts: words, quotes, operators |
//! | [`arguments`] | options of a command |
//! | [`help`] | the table of all commands |
//! | [`keys`], [`editor`], [`history`], [`completion`] | editing a line on a terminal |
//! | [`text`] | tables, and numbers for people |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod arguments;
pub mod commands;
pub mod completion;
pub mod console;
pub mod editor;
pub mod failure;
pub mod help;
pub mod history;
pub mod jobs;
pub mod keys;
pub mod parse;
pub mod session;
pub mod shell;
pub mod text;
