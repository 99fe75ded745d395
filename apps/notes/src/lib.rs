//! Notes that survive: an example of an app with a purpose and data of its own.
//!
//! ```text
//! orbital> notes add buy milk
//! kept as note 1
//! orbital> notes list
//! 1  buy milk
//! ```
//!
//! | module | what is there |
//! |---|---|
//! | [`command`] | what it is asked to do |
//! | [`notebook`] | the notes, as objects of the storage service |
//!
//! The storage service gives each program the namespace that its capability says; this
//! app has no way to name another's.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod command;
pub mod notebook;

use alloc::string::String;
use command::Command;
use libprocess::interfaces::storage::objects;
use libprocess::{Exit, Process, println};
use notebook::{Note, Notebook, Problem};

/// Status of a request that could not be carried out.
const FAILED: Exit = Exit(1);
/// Status of arguments that are no request.
const MISUSED: Exit = Exit(2);

/// Carries out what the arguments ask for.
pub async fn main(process: Process) -> Exit {
    let command = match Command::parse(process.arguments()) {
        Ok(command) => command,
        Err(misuse) => {
            println!("notes: {misuse}");
            return MISUSED;
        }
    };
    let storage = match process.connect::<objects::Client>().await {
        Ok(storage) => storage,
        Err(error) => {
            println!("notes: it has nowhere to keep notes: {error}");
            return FAILED;
        }
    };
    match carry_out(command, &Notebook::new(storage)).await {
        Ok(()) => Exit(0),
        Err(problem) => {
            println!("notes: {problem}");
            FAILED
        }
    }
}

async fn carry_out(command: Command, notebook: &Notebook) -> Result<(), Problem> {
    match command {
        Command::Add(text) => println!("kept as note {}", notebook.add(&text).await?),
        Command::AddAll(texts) => {
            for number in notebook.add_all(&texts).await? {
                println!("kept as note {number}");
            }
        }
        Command::List => print(&notebook.all().await?),
        Command::Show(number) => println!("{}", notebook.get(number).await?),
        Command::Remove(numbers) => notebook.remove(&numbers).await?,
        Command::Find(word) => {
            let mut notes = notebook.all().await?;
            notes.retain(|note| note.mentions(&word));
            if notes.is_empty() {
                return Err(Problem::Nowhere(word));
            }
            print(&notes);
        }
    }
    Ok(())
}

/// One line each: the number, and the first line of the text.
fn print(notes: &[Note]) {
    for note in notes {
        let mut lines = note.text.lines();
        let first: String = lines.next().unwrap_or_default().into();
        let more = if lines.next().is_some() { " ..." } else { "" };
        println!("{}  {first}{more}", note.number);
    }
}
