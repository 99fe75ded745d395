//! `set`, `get`, `unset`, `keys`, `transact`: values under keys of the storage service, in the namespace of the
//! capability that the shell was given.

use super::session::number;
use crate::arguments::Arguments;
use crate::commands::files::{PART, about, version};
use crate::commands::processes::seconds;
use crate::failure::{Failure, failed};
use crate::shell::Shell;
use crate::text::{Side, Table, count, date, duration, shown, size};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::interfaces::storage::objects::{CheckStep, Client, Entry, PutStep, Step};
use libprocess::interfaces::storage::types::Error;
use libprocess::{Any, Cap, ClientError, Endpoint, Rights};

/// Keys that are listed at once.
const KEYS: u32 = 256;

/// A call about a value failed.
fn about_key(key: &str) -> impl FnOnce(ClientError<Error>) -> Failure {
    let key = shown(key);
    move |error| match error {
        ClientError::Service(Error::NotFound) => {
            Failure::new(format!("there is no value under {key}; `keys` lists the keys"))
        }
        ClientError::Service(Error::KeyTooLong) => Failure::new(format!("{key} is too long: a key may have 256 bytes")),
        error => about(&key)(error),
    }
}

/// How long `--for` says, in ns.
pub(crate) fn lifetime(command: &str, arguments: &Arguments) -> Result<Option<u64>, Failure> {
    let wrong =
        |text: &str| Failure::misuse(command, &format!("{} is no time: seconds, such as 2 or 0.5", shown(text)));
    arguments.value("--for").map(|text| seconds(text).ok_or_else(|| wrong(text))).transpose()
}

impl Shell {
    pub(crate) fn objects(&self) -> Result<Client, Failure> {
        Ok(Client::over(self.files()?.connection()))
    }

    /// `set`.
    pub(crate) async fn set(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let wrong = |problem: &str| Failure::misuse("set", problem);
        let (key, words) = arguments.rest.split_first().ok_or_else(|| wrong("key and text are missing"))?;
        let (if_version, lifetime) = (version("set", arguments)?, lifetime("set", arguments)?);
        match (arguments.flag("--input"), words) {
            (true, []) if lifetime.is_some() => return Err(wrong("--input and --for do not go together")),
            (true, []) => {
                let objects = self.objects()?;
                let begin = async |writer| objects.begin_stream(key, writer).await;
                return self.upload_input("set KEY TEXT", begin, if_version, |error| about_key(key)(error)).await;
            }
            (true, _) => return Err(wrong("with --input the text comes from the input")),
            (false, []) => return Err(wrong("the text is missing; '' is an empty one")),
            (false, _) => {}
        }
        let end = if arguments.flag("-n") { "" } else { "\n" };
        let text = format!("{}{end}", words.join(" "));
        let objects = self.objects()?;
        let done = match lifetime {
            Some(_) if text.len() > PART => {
                let most = size(PART as u64);
                return Err(Failure::new(format!("a value that expires has at most {most}, and this {}", text.len())));
            }
            Some(lifetime) => objects.put_for(key, text.as_bytes(), lifetime, if_version).await,
            None if text.len() <= PART => objects.put(key, text.as_bytes(), if_version).await,
            None => put_in_parts(&objects, key, text.as_bytes(), if_version).await,
        };
        done.map(|_| ()).map_err(about_key(key))
    }

    /// Puts the rest of the input, up to its end, a part at a time, where `begin` begins to put it. `typed` is what
    /// takes its place at a keyboard.
    pub(crate) async fn upload_input(
        &mut self,
        typed: &str,
        begin: impl AsyncFnOnce(Cap<Any>) -> Result<u64, ClientError<Error>>,
        if_version: Option<u64>,
        about: impl Fn(ClientError<Error>) -> Failure,
    ) -> Result<(), Failure> {
        let console = match self.screen.console() {
            Some(console) if self.keyboard.is_none() => console.clone(),
            _ => {
                return Err(Failure::new(format!("there is no input but the keyboard; `{typed}` takes what is typed")));
            }
        };
        let objects = self.objects()?;
        // What is not finished goes with the shell, as this does.
        let own = Cap::<Endpoint>::create(self.process.quota(), 1);
        let own = own.and_then(|own| Ok((own.derive(Rights::SEND.or(Rights::GRANT))?, own)));
        let (writer, _own) = own.map_err(|error| Failure::new(format!("a stream cannot be begun: {error}")))?;
        let upload = begin(writer.erase()).await.map_err(&about)?;
        let mut bytes = Vec::new();
        let read = loop {
            let read = match Shell::interruptible(&mut self.keyboard, &self.stop, console.read(PART as u32)).await {
                Some(read) => read.unwrap_or_default(),
                None => break Err(Failure { message: String::from("it was ended before the input"), status: 130 }),
            };
            let ended = read.is_empty();
            bytes.extend(read);
            while bytes.len() >= PART || ended && !bytes.is_empty() {
                let part: Vec<u8> = bytes.drain(..bytes.len().min(PART)).collect();
                // An upload ends with its first error.
                objects.add(upload, &part).await.map_err(&about)?;
            }
            if ended {
                break Ok(());
            }
        };
        match read {
            Ok(()) => objects.finish(upload, if_version).await.map(|_| ()).map_err(&about),
            Err(failure) => {
                // Nothing of it is seen, whether this is heard or not.
                let _ = objects.abandon(upload).await;
                Err(failure)
            }
        }
    }

    /// `get`.
    pub(crate) async fn get(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        if arguments.rest.is_empty() {
            return Err(Failure::misuse("get", "a key is missing"));
        }
        let objects = self.objects()?;
        for key in &arguments.rest {
            let (mut offset, mut version, mut last) = (0, None, None);
            let read = loop {
                let part = match objects.get_part(key, offset, PART as u32, version).await {
                    Ok(part) => part,
                    Err(ClientError::Service(Error::VersionConflict(_))) => {
                        let cause = format!("{} was changed while it was read; try again", shown(key));
                        break Err(Failure::new(cause));
                    }
                    Err(error) => break Err(about_key(key)(error)),
                };
                self.screen.show_bytes(&part.bytes).await;
                version = Some(part.stat.version);
                offset += part.bytes.len() as u64;
                last = part.bytes.last().copied().or(last);
                if part.bytes.is_empty() || offset >= part.stat.size {
                    break Ok(());
                }
                if let Err(failure) = self.goes_on().await {
                    break Err(failure);
                }
            };
            self.end_line(last).await;
            read?;
        }
        Ok(())
    }

    /// `unset`.
    pub(crate) async fn unset(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let if_version = version("unset", arguments)?;
        match arguments.rest.as_slice() {
            [] => return Err(Failure::misuse("unset", "a key is missing")),
            [_, _, ..] if if_version.is_some() => {
                return Err(Failure::misuse("unset", "--if-version is of one key"));
            }
            keys => {
                for key in keys {
                    self.objects()?.delete(key, if_version).await.map_err(about_key(key))?;
                }
            }
        }
        Ok(())
    }

    /// `keys`.
    pub(crate) async fn keys(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let prefix = match arguments.rest.as_slice() {
            [] => "",
            [prefix] => prefix,
            _ => return Err(Failure::misuse("keys", "it takes one prefix, or none")),
        };
        let objects = self.objects()?;
        let (entries, complete) =
            listed(&objects, prefix).await.map_err(|error| failed("storage", "the keys", error))?;
        let mut text = String::new();
        if arguments.flag("-l") {
            let mut table = Table::new(&[
                ("SIZE", Side::Right),
                ("VERSION", Side::Right),
                ("CHANGED", Side::Left),
                ("LEFT", Side::Right),
                ("KEY", Side::Left),
            ]);
            for Entry { key, stat } in entries {
                let left = match objects.lifetime(&key).await {
                    Ok(left) => left.map_or_else(|| String::from("-"), duration),
                    // It has gone since.
                    Err(ClientError::Service(Error::NotFound)) => continue,
                    Err(error) => return Err(about_key(&key)(error)),
                };
                table.row([count(stat.size), stat.version.to_string(), date(stat.modified), left, key]);
            }
            text.push_str(&table.to_text());
        } else {
            entries.iter().for_each(|entry| text.push_str(&format!("{}\n", shown(&entry.key))));
        }
        self.show(&text).await;
        if complete { Ok(()) } else { Err(Failure::new("some keys are damaged on the disk")) }
    }

    /// `transact`.
    pub(crate) async fn transact(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let steps = steps(&arguments.rest)?;
        match self.objects()?.transact(&steps).await {
            Err(ClientError::Service(Error::VersionConflict(version))) => Err(Failure::new(format!(
                "nothing was changed: {}; `keys -l` shows the versions",
                match version {
                    0 => String::from("a key that was checked is not there"),
                    version => format!("a key that was checked has version {version} now"),
                }
            ))),
            done => done.map(|_| ()).map_err(about("the transaction")),
        }
    }
}

/// All keys that begin with `prefix`, and whether none was lost.
async fn listed(objects: &Client, prefix: &str) -> Result<(Vec<Entry>, bool), ClientError<Error>> {
    let (mut all, mut cursor, mut complete) = (Vec::new(), None, true);
    loop {
        let page = objects.list(prefix, KEYS, cursor.as_deref()).await?;
        all.extend(page.entries);
        complete &= page.complete;
        cursor = page.next;
        if cursor.is_none() {
            return Ok((all, complete));
        }
    }
}

async fn put_in_parts(
    objects: &Client,
    key: &str,
    bytes: &[u8],
    if_version: Option<u64>,
) -> Result<u64, ClientError<Error>> {
    let upload = objects.begin(key, bytes.len() as u64).await?;
    for part in bytes.chunks(PART) {
        // An upload ends with its first error.
        objects.add(upload, part).await?;
    }
    objects.finish(upload, if_version).await
}

/// The steps of `transact`.
fn steps(words: &[String]) -> Result<Vec<Step>, Failure> {
    let wrong = |problem: String| Failure::misuse("transact", &problem);
    let mut steps = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = |what: &str| {
            words.next().cloned().ok_or_else(|| wrong(format!("behind {} {what} is missing", shown(word))))
        };
        steps.push(match word.as_str() {
            "check" => {
                let key = next("a key")?;
                Step::Check(CheckStep { key, version: number("transact", "version", &next("a version")?)? })
            }
            "set" => Step::Put(PutStep { key: next("a key")?, value: next("a text")?.into_bytes() }),
            "unset" => Step::Delete(next("a key")?),
            other => return Err(wrong(format!("{} is no step: check, set or unset", shown(other)))),
        });
    }
    if steps.is_empty() { Err(wrong(String::from("a step is missing"))) } else { Ok(steps) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_one_by_one() {
        let read = |line: &str| steps(&line.split(' ').map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            read("check a 3 set b text unset c"),
            Ok(alloc::vec![
                Step::Check(CheckStep { key: "a".into(), version: 3 }),
                Step::Put(PutStep { key: "b".into(), value: b"text".to_vec() }),
                Step::Delete("c".into()),
            ])
        );
        for (line, problem) in [
            ("check a", "behind check a version is missing"),
            ("check a b", "b is no version"),
            ("set a", "behind set a text is missing"),
            ("unset", "behind unset a key is missing"),
            ("put a b", "put is no step"),
        ] {
            assert!(read(line).unwrap_err().message.starts_with(problem), "{line}");
        }
        assert!(steps(&[]).unwrap_err().message.starts_with("a step is missing"));
    }
}
