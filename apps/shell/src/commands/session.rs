//! `help`, `echo`, `time` alone, `self`.

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::shell::Shell;
use crate::text::{count, date, duration, shown, size};
use crate::{failure, help};
use alloc::format;
use alloc::string::String;
use libprocess::abi::PAGE_SIZE;
use libprocess::system;

impl Shell {
    /// `help`.
    pub(crate) async fn help(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        match arguments.rest.as_slice() {
            [] => self.show(&help::overview()).await,
            [name] => match help::topic(name) {
                Some(topic) => self.show(&help::page(topic)).await,
                None => {
                    let near = help::nearest(name, help::TOPICS.iter().map(|topic| topic.name));
                    let hint = near.map_or(String::new(), |near| format!("did you mean {near}? "));
                    return Err(Failure::new(format!("there is no command {}; {hint}`help` lists them", shown(name))));
                }
            },
            _ => return Err(Failure::misuse("help", "it takes one command")),
        }
        Ok(())
    }

    /// `echo`.
    pub(crate) async fn echo(&mut self, arguments: &Arguments) {
        let end = if arguments.flag("-n") { "" } else { "\n" };
        self.show(&format!("{}{end}", arguments.rest.join(" "))).await;
    }

    /// `time` without a command.
    pub(crate) async fn clock(&mut self) -> Result<(), Failure> {
        let now =
            self.process.wall_clock().map_err(|error| Failure::new(format!("the clock cannot be read: {error}")))?;
        self.line(&format!("{}, {} since boot", date(now), duration(self.process.now()))).await;
        Ok(())
    }

    /// `self`.
    pub(crate) async fn itself(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        if !arguments.rest.is_empty() {
            return Err(Failure::misuse("self", "it takes no argument"));
        }
        let info = system::info().map_err(|error| Failure::new(format!("the kernel does not tell: {error}")))?;
        let mut text = format!("process       {}, pid {}\n", info.name, info.serial);
        text.push_str(&format!("processor     {}\n", duration(info.processor_time)));
        text.push_str(&format!("memory        {}\n", size(info.pages.saturating_mul(PAGE_SIZE as u64))));
        text.push_str(&format!("system calls  {}\n", count(info.calls)));
        text.push_str(&format!("capabilities  {}, by name: ", info.capabilities));
        let mut names: alloc::vec::Vec<&str> = self.given.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        text.push_str(&names.join(" "));
        text.push('\n');
        if let Ok(quota) = self.process.quota().info() {
            let page = PAGE_SIZE as u64;
            text.push_str(&format!(
                "quota         {} of {} kernel memory, {} of {} memory\n",
                size(quota.memory_used),
                size(quota.memory),
                size(quota.pages_used.saturating_mul(page)),
                size(quota.pages.saturating_mul(page)),
            ));
        }
        if let Some(storage) = self.storage_use().await {
            text.push_str(&format!("storage       {storage}\n"));
        }
        text.push_str(&format!("last status   {}\n", self.status));
        self.show(&text).await;
        Ok(())
    }
}

/// The number in `text`, or what is wrong, as wrong use of `command`.
pub(crate) fn number(command: &str, what: &str, text: &str) -> Result<u64, Failure> {
    text.parse()
        .map_err(|_| failure::Failure::misuse(command, &format!("{} is no {what}: a whole number", shown(text))))
}
