//! `watch`: changes of values, as they come.

use super::session::number;
use crate::arguments::Arguments;
use crate::commands::files::about;
use crate::commands::values::lifetime;
use crate::failure::{Failure, KILLED};
use crate::jobs::Change;
use crate::shell::Shell;
use crate::text::{duration, shown};
use alloc::format;
use alloc::string::{String, ToString};
use core::future::pending;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use libprocess::{Rights, sleep};

/// What ends one wait.
enum Came {
    Change(Change),
    /// Nothing, for a while.
    Nothing,
    /// The time that was asked for is over.
    End,
}

impl Shell {
    /// `watch`.
    pub(crate) async fn watch(&mut self, arguments: &Arguments) -> Result<u64, Failure> {
        let prefix = match arguments.rest.as_slice() {
            [] => "",
            [prefix] => prefix,
            _ => return Err(Failure::misuse("watch", "it takes one prefix, or none")),
        };
        let wanted = arguments.value("--count").map(|text| number("watch", "number of changes", text)).transpose()?;
        let time = lifetime("watch", arguments)?;
        let until = time.map(|time| self.process.now().saturating_add(time));
        let (mut watch, mut seen) = (self.begin_watch(prefix).await?, 0);
        let done = loop {
            if wanted.is_some_and(|wanted| seen >= wanted) {
                break Ok(0);
            }
            match self.next_change(watch, until).await {
                Some(Came::Change(change)) => {
                    seen += u64::from(change != Change::LeftOut);
                    self.line(&in_words(&change)).await;
                }
                Some(Came::Nothing) => {
                    self.attend("storage").await?;
                    // One that was restarted meanwhile knows of no watch.
                    if self.objects()?.watching(watch).await != Ok(true) {
                        watch = self.begin_watch(prefix).await?;
                        self.line(&in_words(&Change::LeftOut)).await;
                    }
                }
                Some(Came::End) => match (wanted, time) {
                    (Some(wanted), Some(time)) => {
                        break Err(Failure::new(format!("{seen} of {wanted} changes came in {}", duration(time))));
                    }
                    _ => break Ok(0),
                },
                None => {
                    self.line("^C").await;
                    break Ok(KILLED);
                }
            }
        };
        // It goes with the shell at the latest.
        let _ = self.objects()?.unwatch(watch).await;
        done
    }

    async fn begin_watch(&self, prefix: &str) -> Result<u64, Failure> {
        let inbox = self.jobs.inbox_for(Rights::SEND.or(Rights::GRANT));
        let inbox = inbox.map_err(|error| Failure::new(format!("nothing can be told to the shell: {error}")))?;
        let subject = if prefix.is_empty() { "the keys" } else { prefix };
        self.objects()?.watch(prefix, inbox).await.map_err(about(subject))
    }

    /// `None` if Ctrl-C was typed, or the shell is asked to end.
    async fn next_change(&mut self, watch: u64, until: Option<u64>) -> Option<Came> {
        let left = until.map(|until| until.saturating_sub(self.process.now()));
        let over = async {
            match left {
                Some(left) => sleep(Duration::from_nanos(left)).await,
                None => pending().await,
            }
        };
        let jobs = &mut self.jobs;
        let next = async {
            // A change that has come counts, even where the time is over too.
            match select(pin!(jobs.change(watch)), pin!(over)).await {
                Either::Left((Some(change), _)) => Came::Change(change),
                Either::Left((None, _)) => Came::Nothing,
                Either::Right(_) => Came::End,
            }
        };
        Shell::interruptible(&mut self.keyboard, &self.stop, next).await
    }
}

fn in_words(change: &Change) -> String {
    match change {
        Change::Changed(key, version) => format!("changed {}, version {version}", shown(key)),
        Change::Removed(key, version) => format!("removed {}, version {version}", shown(key)),
        Change::LeftOut => "some changes were left out; `keys` lists what there is".to_string(),
    }
}
