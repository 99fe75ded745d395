//! `ls`, `cat`, `put`, `append`, `rm`, `mv`, `cp`, `mkdir`, `stat`: files of the storage service,
//! in the namespace of the capability that the shell was given. However long a file is, a part of it is held at a time.

use super::session::number;
use crate::arguments::Arguments;
use crate::completion::{Wanted, wanted};
use crate::failure::{Explain, Failure, failed};
use crate::shell::Shell;
use crate::text::{Side, Table, count, date, shown, size};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use libprocess::interfaces::storage::files::{Client, Entry, Error, Kind};
use libprocess::interfaces::storage::namespaces::Access;
use libprocess::interfaces::storage::types::{Metadata, Part};
use libprocess::interfaces::storage::{namespaces, objects};
use libprocess::{Any, Cap, ClientError};

/// Bytes that are read or written at once; storage takes no more in one message.
pub(crate) const PART: usize = 61_440;
/// Names that are listed at once.
const NAMES: u32 = 256;
/// The largest program that is read to be passed on.
const LARGEST: u64 = 16 << 20;
/// How long the history and Tab may wait for storage: they must not hold anyone up.
const BRIEFLY: Duration = Duration::from_millis(300);

impl Explain for Error {
    fn explain(&self, subject: &str) -> String {
        match self {
            Error::NotFound => match parent(subject) {
                "/" => format!("there is no {subject}; `ls` shows what is there"),
                folder => format!("there is no {subject}, or no folder {folder}; `ls` shows what is there"),
            },
            Error::AlreadyExists => format!("{subject} is there already; `rm {subject}` removes it"),
            Error::QuotaExceeded(left) => {
                format!(
                    "there is no room for {subject}: {} are left of the quota; `rm` and `unset` make some",
                    size(*left)
                )
            }
            Error::NoSpace => format!("the disk is full: there is no room for {subject}; `rm` and `unset` make some"),
            Error::KeyTooLong => format!("{subject} is too long: a name may have 255 bytes, a path 1,024"),
            Error::Invalid(reason) => format!("{subject} is not possible: {reason}"),
            Error::VersionConflict(0) => {
                format!("{subject} is not there, so it has no version; `--if-version 0` asks for that")
            }
            Error::VersionConflict(version) => {
                format!("{subject} was changed meanwhile: it has version {version} now; look, and try again")
            }
            Error::PermissionDenied => format!("this session may not do that with {subject}"),
            Error::Corrupt(what) => {
                format!("{what} is damaged on the disk and cannot be read; everything else stays readable")
            }
            Error::TooLarge(most) => format!("{subject} is too large: {} at a time", size(*most)),
            Error::NotAFolder => format!("{subject} is a file, or lies in one; `stat` shows what it is"),
            Error::IsAFolder => format!("{subject} is a folder; `ls {subject}` lists it"),
            Error::FolderNotEmpty => {
                format!("the folder {subject} has something in it; `rm -r {subject}` removes it with all that is in it")
            }
            Error::NoSuchUpload => format!("{subject}: storage was restarted before all was there; try again"),
            Error::TooManyUploads => format!("{subject}: storage has too many unfinished uploads; try again later"),
            Error::NoSuchWatch => format!("{subject}: storage was restarted, and the watch ended; try again"),
            Error::TooManyWatches => format!("{subject}: storage has too many watches; try again later"),
            Error::ReadOnly => format!("{subject} cannot be changed: the disk refuses writes"),
            Error::Device => format!("{subject}: the disk reports an error, so it may be done or not"),
        }
    }
}

/// The folder that a path lies in.
fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

pub(crate) fn about(path: &str) -> impl FnOnce(ClientError<Error>) -> Failure {
    let path = shown(path);
    move |error| failed("storage", &path, error)
}

fn paths<'a>(command: &str, arguments: &'a Arguments) -> Result<&'a [String], Failure> {
    if arguments.rest.is_empty() { Err(Failure::misuse(command, "a path is missing")) } else { Ok(&arguments.rest) }
}

/// `path`, from the top folder if it does not say.
pub(crate) fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_string() } else { format!("/{path}") }
}

/// The namespace of a program: the name of its file, without folders and `.wasm`, or of its
/// boot image. One brought by `orbital run` gets the same.
fn namespace_of(image: &str) -> &str {
    let file = image.trim_end_matches('/').rsplit('/').next().unwrap_or(image);
    file.strip_suffix(".wasm").filter(|name| !name.is_empty()).unwrap_or(file)
}

/// All names in a folder, and whether none was lost.
async fn entries(files: &Client, folder: &str) -> Result<(Vec<Entry>, bool), ClientError<Error>> {
    let mut all: Vec<Entry> = Vec::new();
    let mut cursor = None;
    let mut complete = true;
    loop {
        let page = files.list(folder, NAMES, cursor.as_deref()).await?;
        all.extend(page.entries);
        complete &= page.complete;
        cursor = page.next;
        if cursor.is_none() {
            return Ok((all, complete));
        }
    }
}

fn label(entry: &Entry) -> String {
    if entry.info.kind == Kind::Folder { format!("{}/", entry.name) } else { entry.name.clone() }
}

impl Shell {
    /// `ls`.
    pub(crate) async fn ls(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let path = match arguments.rest.as_slice() {
            [] => String::from("/"),
            [path] => absolute(path),
            _ => return Err(Failure::misuse("ls", "it takes one path, or none")),
        };
        let (mut entries, complete) = match entries(self.files()?, &path).await {
            // A file is listed by itself.
            Err(ClientError::Service(Error::NotAFolder)) => {
                let info = self.files()?.stat(&path).await.map_err(about(&path))?;
                (alloc::vec![Entry { name: path.clone(), info }], true)
            }
            entries => entries.map_err(about(&path))?,
        };
        if !arguments.flag("-a") {
            entries.retain(|entry| !entry.name.starts_with('.'));
        }
        let mut text = String::new();
        if arguments.flag("-l") {
            let mut table = Table::new(&[
                ("SIZE", Side::Right),
                ("VERSION", Side::Right),
                ("CHANGED", Side::Left),
                ("NAME", Side::Left),
            ]);
            for entry in &entries {
                let bytes = if entry.info.kind == Kind::File { count(entry.info.size) } else { String::from("-") };
                table.row([bytes, entry.info.version.to_string(), date(entry.info.modified), label(entry)]);
            }
            text.push_str(&table.to_text());
        } else {
            for entry in &entries {
                text.push_str(&shown(&label(entry)));
                text.push('\n');
            }
        }
        self.show(&text).await;
        if complete {
            Ok(())
        } else {
            Err(Failure::new(format!("some names in {} are damaged on the disk", shown(&path))))
        }
    }

    /// `cat`.
    pub(crate) async fn cat(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        for path in paths("cat", arguments)? {
            let path = absolute(path);
            let mut part = self.first_part(&path).await?;
            let mut last = None;
            let shown = loop {
                self.screen.show_bytes(&part.bytes).await;
                last = part.bytes.last().copied().or(last);
                if part.is_last() {
                    break Ok(());
                }
                let next = match self.goes_on().await {
                    Ok(()) => self.next_part(&path, &part).await,
                    Err(failure) => Err(failure),
                };
                match next {
                    Ok(next) => part = next,
                    Err(failure) => break Err(failure),
                }
            };
            self.end_line(last).await;
            shown?;
        }
        Ok(())
    }

    /// A person's prompt begins on a line of its own; a pipe gets the bytes alone, of which this is the last.
    pub(crate) async fn end_line(&self, last: Option<u8>) {
        if self.screen.is_terminal() && last.is_some_and(|last| last != b'\n') {
            self.show("\n").await;
        }
    }

    async fn first_part(&self, path: &str) -> Result<Span, Failure> {
        let Part { stat, bytes } = self.files()?.read(path, 0, PART as u32).await.map_err(about(path))?;
        Ok(Span { end: bytes.len() as u64, stat, bytes })
    }

    /// The part that comes after this one, of the same version.
    async fn next_part(&self, path: &str, before: &Span) -> Result<Span, Failure> {
        let Span { end, stat, .. } = before;
        let part = self.files()?.read(path, *end, PART as u32).await.map_err(about(path))?;
        if part.stat.version != stat.version {
            return Err(Failure::new(format!("{} was changed while it was read; try again", shown(path))));
        }
        Ok(Span { end: end + part.bytes.len() as u64, stat: part.stat, bytes: part.bytes })
    }

    /// `put`.
    pub(crate) async fn put(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let if_version = version("put", arguments)?;
        if arguments.flag("--input") {
            let [path] =
                arguments.exactly().ok_or_else(|| Failure::misuse("put", "with --input it takes a path alone"))?;
            let (path, files) = (absolute(path), self.files()?.clone());
            let begin = async |writer| files.begin_stream(&path, writer).await;
            return self.upload_input("put PATH TEXT", begin, if_version, |error| in_folder(&path)(error)).await;
        }
        let (path, text) = path_and_text("put", arguments)?;
        let files = self.files()?;
        write(files, &path, text.as_bytes(), if_version).await.map_err(in_folder(&path))
    }

    /// `cp`.
    pub(crate) async fn cp(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [from, to] = arguments.exactly().ok_or_else(|| Failure::misuse("cp", "it takes two paths"))?;
        let from = absolute(from);
        let to = self.place_for(&from, absolute(to)).await?;
        if from == to {
            return Err(Failure::new(format!("{} is the same file", shown(&to))));
        }
        let mut part = self.first_part(&from).await?;
        let objects = objects::Client::over(self.files()?.connection());
        let upload = self.files()?.begin(&to, part.stat.size).await.map_err(in_folder(&to))?;
        let copied = async {
            loop {
                objects.add(upload, &part.bytes).await.map_err(about(&to))?;
                if part.is_last() {
                    return Ok(());
                }
                self.goes_on().await?;
                part = self.next_part(&from, &part).await?;
            }
        };
        let copied: Result<(), Failure> = copied.await;
        if copied.is_err() {
            // The first error counts; an upload that stays behind goes when storage restarts.
            let _ = objects.abandon(upload).await;
            return copied;
        }
        objects.finish(upload, None).await.map(|_| ()).map_err(in_folder(&to))
    }

    /// Where `from` comes to lie: in the folder `to`, under its own name, if that is one.
    async fn place_for(&self, from: &str, to: String) -> Result<String, Failure> {
        let is_folder = self.files()?.stat(&to).await.is_ok_and(|info| info.kind == Kind::Folder);
        let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        Ok(if is_folder { format!("{}/{name}", to.trim_end_matches('/')) } else { to })
    }

    /// `append`.
    pub(crate) async fn append(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let (path, text) = path_and_text("append", arguments)?;
        let files = self.files()?;
        if text.len() > PART {
            return Err(Failure::new(format!(
                "at most {} are appended at once, so that it is all or nothing",
                size(PART as u64)
            )));
        }
        files.append(&path, text.as_bytes()).await.map(|_| ()).map_err(in_folder(&path))
    }

    /// `rm`.
    pub(crate) async fn rm(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let files = self.files()?;
        for path in paths("rm", arguments)? {
            let path = absolute(path);
            let recursive = arguments.flag("-r");
            let removed = match recursive {
                true => files.remove_all(&path).await,
                // An empty folder goes like a file only if it is asked for.
                false => match files.stat(&path).await {
                    Ok(info) if info.kind == Kind::Folder => {
                        return Err(Failure::new(format!(
                            "{0} is a folder; `rm -r {0}` removes it with all that is in it",
                            shown(&path)
                        )));
                    }
                    Ok(_) => files.remove(&path).await,
                    Err(error) => Err(error),
                },
            };
            removed.map_err(about(&path))?;
        }
        Ok(())
    }

    /// `mv`.
    pub(crate) async fn mv(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let [from, to] = arguments.exactly().ok_or_else(|| Failure::misuse("mv", "it takes two paths"))?;
        let from = absolute(from);
        let to = self.place_for(&from, absolute(to)).await?;
        let files = self.files()?;
        match files.rename(&from, &to).await {
            // Which of the two is not there?
            Err(ClientError::Service(Error::NotFound)) if files.stat(&from).await.is_ok() => {
                let folder = parent(&to);
                Err(Failure::new(format!("there is no folder {0}; `mkdir {0}` makes it", shown(folder))))
            }
            result => result.map_err(about(&from)),
        }
    }

    /// `mkdir`.
    pub(crate) async fn mkdir(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let files = self.files()?;
        for path in paths("mkdir", arguments)? {
            let path = absolute(path);
            if arguments.flag("-p") {
                for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
                    match files.make_folder(&path[..at]).await {
                        Ok(()) | Err(ClientError::Service(Error::AlreadyExists)) => {}
                        Err(error) => return Err(about(&path[..at])(error)),
                    }
                }
            } else {
                files.make_folder(&path).await.map_err(in_folder(&path))?;
            }
        }
        Ok(())
    }

    /// `stat`.
    pub(crate) async fn stat(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        for path in paths("stat", arguments)? {
            let path = absolute(path);
            let info = self.files()?.stat(&path).await.map_err(about(&path))?;
            let what = match info.kind {
                Kind::File => format!("file, {} bytes", count(info.size)),
                Kind::Folder => String::from("folder"),
            };
            // The top folder is there from the start, and nothing is kept of it.
            let since = match info.version {
                0 => String::from("the top of the namespace"),
                version => format!("version {version}, changed {}", date(info.modified)),
            };
            self.line(&format!("{}: {what}, {since}", shown(&path))).await;
        }
        Ok(())
    }

    /// The bytes of a file.
    pub(crate) async fn read_file(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let files = self.files()?;
        let mut bytes = Vec::new();
        let mut version = None;
        loop {
            let part = files.read(path, bytes.len() as u64, PART as u32).await.map_err(about(path))?;
            if part.stat.size > LARGEST {
                let (most, size) = (size(LARGEST), size(part.stat.size));
                return Err(Failure::new(format!("{} has {size}, and a program has at most {most}", shown(path))));
            }
            if version.replace(part.stat.version).is_some_and(|before| before != part.stat.version) {
                // It was changed between two parts.
                bytes.clear();
                continue;
            }
            let ended = part.bytes.is_empty();
            bytes.extend(part.bytes);
            if ended || bytes.len() as u64 >= part.stat.size {
                return Ok(bytes);
            }
        }
    }

    /// The lines of the history, if storage answers soon.
    pub(crate) async fn read_history(&self, path: &str) -> String {
        let Ok(files) = self.files() else { return String::new() };
        if !self.is_up("storage").await {
            return String::new();
        }
        match files.within(BRIEFLY).read(path, 0, PART as u32).await {
            Ok(part) => String::from_utf8_lossy(&part.bytes).into_owned(),
            Err(_) => String::new(),
        }
    }

    /// Keeps the history, if storage answers soon: what cannot be kept is no reason to stop.
    pub(crate) async fn keep_history(&self, path: &str, text: &str) {
        if let Ok(files) = self.files()
            && self.is_up("storage").await
        {
            let _ = files.within(BRIEFLY).replace(path, newest_lines(text)).await;
        }
    }

    /// Storage of its own for a program of this image: the namespace of that name; and whether it was made now.
    pub(crate) async fn storage_of(&self, image: &str) -> Result<(Cap<Any>, bool), Failure> {
        let name = namespace_of(image);
        let namespaces = namespaces::Client::over(self.files()?.connection());
        let access = Access::READ.union(Access::WRITE);
        let listed = namespaces.list(Some(name)).await.map_err(about(name))?;
        let space = namespaces.subspace(name, access).await.map_err(about(name))?;
        Ok((space.erase(), listed.first().is_none_or(|first| first != name)))
    }

    /// Takes back storage that was made for a program that is none: a slip leaves nothing on the disk.
    pub(crate) async fn take_back_storage(&self, image: &str) {
        if let Ok(files) = self.files() {
            // What stays is empty.
            let _ = namespaces::Client::over(files.connection()).remove(namespace_of(image)).await;
        }
    }

    /// Whether a path leads to nothing.
    pub(crate) async fn is_nowhere(&self, path: &str) -> bool {
        let Ok(files) = self.files() else { return false };
        matches!(files.stat(path).await, Err(ClientError::Service(Error::NotFound)))
    }

    /// How full the shell's namespace is, as a line of `self`.
    pub(crate) async fn storage_use(&self) -> Option<String> {
        let namespaces = namespaces::Client::over(self.files().ok()?.connection());
        let usage = namespaces.within(BRIEFLY).usage().await.ok()?;
        Some(format!("{} of {}, {} files and objects", size(usage.bytes), size(usage.quota), count(usage.objects)))
    }

    /// What the word at the end of `before` may become.
    pub(crate) async fn candidates(&self, before: &str) -> Vec<String> {
        match wanted(before).0 {
            Wanted::Command => self.command_names().map(ToString::to_string).collect(),
            Wanted::Service => match self.control() {
                Ok(control) => {
                    let services = control.within(BRIEFLY).list().await.unwrap_or_default();
                    services.into_iter().map(|service| service.name).collect()
                }
                Err(_) => Vec::new(),
            },
            Wanted::Key => match self.files() {
                Ok(files) if self.is_up("storage").await => {
                    let objects = objects::Client::over(files.connection());
                    let page = objects.within(BRIEFLY).list("", NAMES, None).await;
                    page.map_or_else(|_| Vec::new(), |page| page.entries.into_iter().map(|entry| entry.key).collect())
                }
                _ => Vec::new(),
            },
            Wanted::Path(folder) => match self.files() {
                Ok(files) if self.is_up("storage").await => {
                    match entries(&files.within(BRIEFLY), &absolute(&folder)).await {
                        Ok((entries, _)) => entries.iter().map(label).collect(),
                        Err(_) => Vec::new(),
                    }
                }
                _ => Vec::new(),
            },
        }
    }
}

/// An error of making something at `path`: what is not there then is the folder it lies in.
fn in_folder(path: &str) -> impl FnOnce(ClientError<Error>) -> Failure {
    let path = path.to_string();
    move |error| match error {
        ClientError::Service(Error::NotFound) => {
            Failure::new(format!("there is no folder {0}; `mkdir -p {0}` makes it", shown(parent(&path))))
        }
        error => about(&path)(error),
    }
}

/// Replaces a file, all or nothing, however long it is.
async fn write(files: &Client, path: &str, bytes: &[u8], if_version: Option<u64>) -> Result<(), ClientError<Error>> {
    if bytes.len() <= PART && if_version.is_none() {
        return files.replace(path, bytes).await.map(|_| ());
    }
    let objects = objects::Client::over(files.connection());
    let upload = files.begin(path, bytes.len() as u64).await?;
    for part in bytes.chunks(PART) {
        if let Err(error) = objects.add(upload, part).await {
            // The first error counts; an upload that stays behind goes when storage restarts.
            let _ = objects.abandon(upload).await;
            return Err(error);
        }
    }
    objects.finish(upload, if_version).await.map(|_| ())
}

/// The version that must be there, if one is asked for.
pub(crate) fn version(command: &str, arguments: &Arguments) -> Result<Option<u64>, Failure> {
    arguments.value("--if-version").map(|text| number(command, "version", text)).transpose()
}

/// A part of a file, and how far it reaches.
struct Span {
    end: u64,
    stat: Metadata,
    bytes: Vec<u8>,
}

impl Span {
    fn is_last(&self) -> bool {
        self.bytes.is_empty() || self.end >= self.stat.size
    }
}

/// The end of `text` that fits one message, from the beginning of a line.
fn newest_lines(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    let Some(cut) = bytes.len().checked_sub(PART) else { return bytes };
    let line = bytes[cut..].iter().position(|byte| *byte == b'\n').map_or(PART, |at| at + 1);
    &bytes[cut + line..]
}

fn path_and_text(command: &str, arguments: &Arguments) -> Result<(String, String), Failure> {
    let (path, words) =
        arguments.rest.split_first().ok_or_else(|| Failure::misuse(command, "path and text are missing"))?;
    if words.is_empty() {
        return Err(Failure::misuse(command, "the text is missing; '' is an empty one"));
    }
    let end = if arguments.flag("-n") { "" } else { "\n" };
    Ok((absolute(path), format!("{}{end}", words.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of which no scenario tells are those that need a damaged disk, a smaller capability or bad luck.
    #[test]
    fn what_storage_refuses_is_told_with_what_to_do() {
        let why = || String::from("why");
        for (error, words) in [
            (Error::NotFound, "there is no /f; `ls` shows what is there"),
            (Error::AlreadyExists, "/f is there already; `rm /f` removes it"),
            (
                Error::QuotaExceeded(2048),
                "there is no room for /f: 2.00 KiB are left of the quota; `rm` and `unset` make some",
            ),
            (Error::NoSpace, "the disk is full: there is no room for /f; `rm` and `unset` make some"),
            (Error::KeyTooLong, "/f is too long: a name may have 255 bytes, a path 1,024"),
            (Error::Invalid(why()), "/f is not possible: why"),
            (Error::VersionConflict(0), "/f is not there, so it has no version; `--if-version 0` asks for that"),
            (Error::VersionConflict(7), "/f was changed meanwhile: it has version 7 now; look, and try again"),
            (Error::PermissionDenied, "this session may not do that with /f"),
            (Error::Corrupt(why()), "why is damaged on the disk and cannot be read; everything else stays readable"),
            (Error::TooLarge(PART as u64), "/f is too large: 60.0 KiB at a time"),
            (Error::NotAFolder, "/f is a file, or lies in one; `stat` shows what it is"),
            (Error::IsAFolder, "/f is a folder; `ls /f` lists it"),
            (Error::FolderNotEmpty, "the folder /f has something in it; `rm -r /f` removes it with all that is in it"),
            (Error::NoSuchUpload, "/f: storage was restarted before all was there; try again"),
            (Error::TooManyUploads, "/f: storage has too many unfinished uploads; try again later"),
            (Error::NoSuchWatch, "/f: storage was restarted, and the watch ended; try again"),
            (Error::TooManyWatches, "/f: storage has too many watches; try again later"),
            (Error::ReadOnly, "/f cannot be changed: the disk refuses writes"),
            (Error::Device, "/f: the disk reports an error, so it may be done or not"),
        ] {
            assert_eq!(error.explain("/f"), words);
        }
    }

    #[test]
    fn paths_begin_at_the_top() {
        assert_eq!(absolute("a/b"), "/a/b");
        assert_eq!(absolute("/a"), "/a");
        assert_eq!([parent("/a/b"), parent("/a"), parent("/"), parent("/a/b/")], ["/a", "/", "/", "/a"]);
    }

    #[test]
    fn text_is_one_line_unless_told_otherwise() {
        let arguments = |words: &[&str], flags: &[&str]| {
            let words: Vec<String> = flags.iter().chain(words).map(ToString::to_string).collect();
            Arguments::parse(&words, &[crate::arguments::Opt::Flag("-n")], crate::arguments::Order::OptionsFirst)
                .unwrap()
        };
        let text = |words: &[&str], flags: &[&str]| path_and_text("put", &arguments(words, flags));
        assert_eq!(text(&["a", "b", "-n"], &[]), Ok(("/a".into(), "b -n\n".into())));
        assert_eq!(text(&["/a", "b"], &["-n"]), Ok(("/a".into(), "b".into())));
        assert!(text(&["/a"], &[]).is_err() && text(&[], &[]).is_err());
    }

    #[test]
    fn a_program_has_one_namespace_wherever_its_file_lies() {
        assert_eq!(
            ["notes", "/bin/notes.wasm", "/bin/notes", "/x/.wasm"].map(namespace_of),
            ["notes", "notes", "notes", ".wasm"]
        );
    }

    #[test]
    fn a_long_history_loses_its_oldest_lines_whole() {
        assert_eq!(newest_lines("one\ntwo\n"), b"one\ntwo\n");
        let long = alloc::format!("first\n{}\nlast\n", "x".repeat(PART - 8));
        assert_eq!(newest_lines(&long).len(), PART - 8 + 1 + 5);
        assert_eq!(newest_lines(&"x".repeat(PART + 5)), b"");
    }
}
