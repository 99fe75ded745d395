//! A session: where the commands come from. A person at a terminal, lines of a pipe, or a
//! script in the arguments.

use crate::completion;
use crate::console::{Keyboard, Lines};
use crate::editor::{Editor, Outcome};
use crate::failure::{MISUSED, STOPPED};
use crate::history::History;
use crate::parse::parse;
use crate::shell::{Flow, Shell, end_in_words};
use alloc::format;
use alloc::string::String;
use core::pin::pin;
use futures_util::future::{Either, select};
use libprocess::console::LONGEST_LINE;
use libprocess::{Exit, InputMode, Process};

/// Where the history is kept.
const HISTORY: &str = "/.history";
const PROMPT: &str = "orbital> ";
/// The prompt while a command is not finished.
const MORE: &str = "       > ";

/// Runs a session to its end, which is the exit status of the shell.
pub async fn main(process: Process) -> Exit {
    let arguments = process.arguments().to_vec();
    let mut shell = Shell::new(process).await;
    let words: alloc::vec::Vec<&str> = arguments.iter().map(String::as_str).collect();
    let status = match words.as_slice() {
        [] if shell.screen.is_terminal() => terminal(&mut shell).await,
        [] => lines(&mut shell).await,
        ["-c", script] => match shell.script(script).await {
            Flow::On => shell.status,
            Flow::Exit(status) => status,
        },
        _ => {
            shell.line("shell: these arguments are not understood\nusage: shell [-c SCRIPT]").await;
            MISUSED
        }
    };
    Exit(status)
}

/// Lines of a pipe: no prompt, no echo. Each is carried out as it comes.
async fn lines(shell: &mut Shell) -> u64 {
    let Some(console) = shell.screen.console().cloned() else { return 0 };
    let mut lines = Lines::new(console);
    let mut text = String::new();
    let mut before = 0;
    loop {
        if text.is_empty() {
            before = lines.count();
        }
        let line = match select(pin!(lines.line()), pin!(shell.stop.requested())).await {
            Either::Left((Some(Ok(line)), _)) => line,
            Either::Left((Some(Err(problem)), _)) => {
                // It may be the rest of what began before: that is not carried out either.
                text.clear();
                shell.line(&format!("shell: {problem}")).await;
                shell.status = MISUSED;
                continue;
            }
            Either::Left((None, _)) => break,
            Either::Right(_) => return STOPPED,
        };
        text.push_str(&line);
        text.push('\n');
        // What goes on for longer is told with the place where it begins.
        if text.len() <= LONGEST_LINE && unfinished(&text) {
            continue;
        }
        let flow = shell.script_after(before, &core::mem::take(&mut text)).await;
        if let Flow::Exit(status) = flow {
            return status;
        }
    }
    // What the end of the input cut off is an error that names its place.
    if let Flow::Exit(status) = shell.script_after(before, &text).await {
        return status;
    }
    shell.status
}

fn unfinished(text: &str) -> bool {
    parse(text).is_err_and(|error| error.is_unfinished())
}

/// A person at a terminal.
async fn terminal(shell: &mut Shell) -> u64 {
    let Some(console) = shell.screen.console().cloned() else { return 0 };
    // Without keys as they come there is no editing, but lines do as well.
    if console.set_mode(InputMode::Keys).is_err() {
        return lines(shell).await;
    }
    let mut history = History::from_text(&shell.read_history(HISTORY).await);
    shell.keyboard = Some(Keyboard::new(console.clone()));
    shell.line("Orbital. `help` shows what there is, `exit` turns the machine off.").await;
    let mut editor = Editor::new(shell.screen.columns());
    let mut text = String::new();
    let status = loop {
        let prompt = if text.is_empty() { PROMPT } else { MORE };
        match edit(shell, &mut editor, &history, prompt).await {
            Edited::Line(line) => {
                text.push_str(&line);
                text.push('\n');
                if unfinished(&text) {
                    continue;
                }
                let entered = core::mem::take(&mut text);
                if history.add(entered.trim_end_matches('\n')) {
                    shell.keep_history(HISTORY, &history.to_text()).await;
                }
                if let Flow::Exit(status) = shell.script(&entered).await {
                    break status;
                }
            }
            Edited::Cancelled => {
                text.clear();
                shell.status = crate::failure::KILLED;
            }
            Edited::Stopped => break STOPPED,
            Edited::EndOfInput if text.is_empty() => break shell.status,
            Edited::EndOfInput => {
                let entered = core::mem::take(&mut text);
                shell.script(&entered).await;
            }
        }
    };
    shell.keyboard = None;
    let _ = console.set_mode(InputMode::Lines);
    status
}

enum Edited {
    Line(String),
    Cancelled,
    EndOfInput,
    Stopped,
}

enum Event {
    Key(Option<crate::keys::Key>),
    Ended(String),
    Stopped,
}

/// One line from the keyboard. Ends of background programs are told as they come.
async fn edit(shell: &mut Shell, editor: &mut Editor, history: &History, prompt: &str) -> Edited {
    let draw = editor.begin(prompt, shell.screen.columns());
    shell.show(&draw).await;
    loop {
        let event = {
            let Some(keyboard) = &mut shell.keyboard else { return Edited::EndOfInput };
            let (ended, stopped) = (pin!(shell.jobs.next_end()), pin!(shell.stop.requested()));
            let others = select(ended, stopped);
            match select(pin!(keyboard.key()), others).await {
                Either::Left((key, _)) => Event::Key(key),
                Either::Right((Either::Left(((job, end), _)), _)) => {
                    Event::Ended(format!("[{}] {} {}\r\n", job.pid, job.name, end_in_words(&end)))
                }
                Either::Right((Either::Right(_), _)) => Event::Stopped,
            }
        };
        let outcome = match event {
            Event::Key(Some(key)) => editor.key(key, history),
            Event::Stopped => {
                shell.show("\r\n").await;
                return Edited::Stopped;
            }
            Event::Key(None) => Outcome::EndOfInput(String::from("\r\n")),
            Event::Ended(news) => Outcome::Draw(editor.interject(&news)),
        };
        match outcome {
            Outcome::Draw(draw) => shell.show(&draw).await,
            Outcome::Line { line, draw } => {
                shell.show(&draw).await;
                return Edited::Line(line);
            }
            Outcome::Cancelled(draw) => {
                shell.show(&draw).await;
                return Edited::Cancelled;
            }
            Outcome::EndOfInput(draw) => {
                shell.show(&draw).await;
                return Edited::EndOfInput;
            }
            Outcome::Complete(before) => {
                let names = shell.candidates(&before).await;
                let completed = completion::complete(&before, &names);
                let draw = match completed {
                    completion::Completed::Insert(text) => editor.complete(&text),
                    completion::Completed::Choices(choices) => editor.interject(&format!("{choices}\r\n")),
                };
                shell.show(&draw).await;
            }
        }
    }
}
