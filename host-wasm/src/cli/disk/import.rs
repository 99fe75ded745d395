//! Makes a disk from an export. It is made under another name and gets its own only when it is whole and everything
//! on it agrees, so that an import that is cut off or refused leaves nothing behind that a system would use.

use super::image::{Access, FileDisk, finish, folder_of, path as image_path};
use super::index::{Line, VERSION, Value, from_hex, hex};
use super::{Global, tell};
use crate::problem::{Problem, status};
use crate::state::State;
use serde_json::json;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use storage_engine::device::BLOCK;
use storage_engine::transaction::Content as Bytes;
use storage_engine::{MAX_CHUNK, Store, Transaction};
use storage_format::record::{
    self, Content, File as Record, Folder, MAX_INLINE, MAX_NAME, MAX_OBJECT_KEY, Namespace, Node, encode, encode_object,
};
use storage_format::survey::Survey;

/// Bytes outside the tree in one commit of an import.
const AT_ONCE: u64 = 4 << 20;
/// The largest disk that is made, in bytes.
const LARGEST: u64 = 1 << 40;
/// As many as nobody makes; there is room for those of the import and all that come.
const MOST_TRANSACTIONS: u64 = 1 << 56;

/// Everything of the index but the disk's own line.
#[derive(Default)]
struct Export {
    namespaces: Vec<(u64, Namespace)>,
    lines: Vec<(usize, Line)>,
}

pub fn run(global: &Global, image: Option<PathBuf>, from: &Path, size: Option<u64>) -> Result<u8, Problem> {
    let path = image_path(global, image)?;
    let index = from.join("index.jsonl");
    let file = File::open(&index).map_err(|error| Problem::input(&index, &error))?;
    let state = State::open(folder_of(&path))?;
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
        return Err(Problem::new(
            status::NO_INPUT,
            format!("{}: there is a disk already", path.display()),
            "move it away, or make another system with --state DIR",
        ));
    }
    let mut lines = BufReader::new(file).lines();
    let mut hasher = blake3::Hasher::new();
    // A line, and the hash of those before it.
    let mut parse = |number: usize| -> Result<Option<(Line, String)>, Problem> {
        let Some(text) = lines.next() else { return Ok(None) };
        let text = text.map_err(|error| wrong(&index, number, &error.to_string()))?;
        let before = hex(hasher.finalize().as_bytes());
        hasher.update(text.as_bytes()).update(b"\n");
        let line = serde_json::from_str(&text).map_err(|error| wrong(&index, number, &error.to_string()))?;
        Ok(Some((line, before)))
    };
    let Some((Line::Disk { version: VERSION, name, bytes, transaction, horizon }, _)) = parse(1)? else {
        return Err(wrong(&index, 1, &format!("it does not begin with a disk of version {VERSION}")));
    };
    if transaction > MOST_TRANSACTIONS {
        return Err(wrong(&index, 1, "more transactions than a disk can have"));
    }
    let name = from_hex(&name).ok_or_else(|| wrong(&index, 1, "the disk's name is not 32 hexadecimal digits"))?;
    let bytes = size.map_or(bytes, |mebibytes| mebibytes.saturating_mul(1 << 20));
    if bytes > LARGEST {
        return Err(Problem::new(status::USAGE, "a disk of more than 1 TiB", "choose another --size"));
    }
    if size == Some(0) {
        return Err(Problem::new(status::USAGE, "a disk that is smaller than 256 KiB", "choose another --size"));
    }
    let mut read = Export::default();
    let mut number = 2;
    let mut whole = false;
    while let Some((line, before)) = parse(number)? {
        if whole {
            return Err(wrong(&index, number, "something behind the end"));
        }
        judge(&line, transaction).map_err(|reason| wrong(&index, number, reason))?;
        match line {
            Line::End { hash } if hash == before => whole = true,
            Line::End { .. } => {
                return Err(wrong(&index, number, "the lines before it are not those that were written"));
            }
            Line::Namespace { number, parent, name, quota } => {
                read.namespaces.push((number, Namespace { parent, name, bytes: 0, objects: 0, quota }));
            }
            line => read.lines.push((number, line)),
        }
        number += 1;
    }
    if !whole {
        return Err(wrong(&index, number, "the end is missing: the export was cut off"));
    }
    let unfinished = path.with_extension("importing");
    let made = make(global, from, &index, &unfinished, bytes, name, transaction, horizon, read);
    let values = match made {
        Ok(values) => values,
        Err(problem) => {
            // What is left of it would only be in the way.
            let _ = fs::remove_file(&unfinished);
            return Err(problem);
        }
    };
    fs::rename(&unfinished, &path)
        .and_then(|()| File::open(state.folder())?.sync_all())
        .map_err(|error| Problem::file(&path, &error))?;
    let text = format!("{}: {values} values and files\n", path.display());
    tell(global, &json!({ "image": path, "values": values }), &text)?;
    Ok(0)
}

fn wrong(index: &Path, line: usize, reason: &str) -> Problem {
    let cause = format!("{}, line {line}: {reason}", index.display());
    Problem::new(status::LOG, cause, "export the disk again; an export is not meant to be changed by hand")
}

/// What no disk has whose last transaction is this one.
fn judge(line: &Line, transaction: u64) -> Result<(), &'static str> {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= MAX_NAME && !name.contains(['/', '\0']) && !matches!(name, "." | "..")
    };
    match line {
        Line::Disk { .. } => Err("a second disk"),
        Line::Folder { version, .. }
        | Line::Object { value: Value { version, .. }, .. }
        | Line::File { value: Value { version, .. }, .. }
            if *version > transaction =>
        {
            Err("a version that the disk had not come to")
        }
        Line::Object { value, .. } | Line::File { value, .. } if value.size > (MAX_CHUNK as u64) << 32 => {
            Err("more bytes than a value can have")
        }
        Line::Namespace { number: 0, .. } | Line::Folder { number: 0, .. } => Err("the number 0"),
        Line::Namespace { number, .. } if *number >= 1 << 56 => Err("a number that no namespace has"),
        Line::Namespace { number, parent: 0, .. } if *number != 1 => Err("a second root"),
        Line::Namespace { parent, name, .. } if *parent != 0 && !is_name(name) => Err("a name that cannot be"),
        Line::Folder { name, .. } | Line::File { name, .. } if !is_name(name) => Err("a name that cannot be"),
        Line::Object { key, .. } if key.is_empty() || key.len() > MAX_OBJECT_KEY => Err("a key that cannot be"),
        _ => Ok(()),
    }
}

#[allow(clippy::too_many_arguments)]
fn make(
    global: &Global,
    from: &Path,
    index: &Path,
    path: &Path,
    bytes: u64,
    name: [u8; 16],
    transaction: u64,
    horizon: u64,
    read: Export,
) -> Result<usize, Problem> {
    let problem = |error: std::io::Error| Problem::file(path, &error);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(problem)?;
    file.set_len(bytes - bytes % BLOCK as u64).map_err(problem)?;
    let disk = FileDisk::new(file, Access::Write).map_err(problem)?;
    let (store, _) = finish(Store::mount(disk, name), std::future::pending())
        .map_err(|error| Problem::new(status::LOG, format!("{}: {error}", path.display()), "choose another --size"))?;
    finish(fill(global, &store, from, index, transaction, horizon, &read), store.run())?;
    let survey = finish(Survey::of(&store), store.run());
    if let Some(finding) = survey.findings.first() {
        let cause = format!("{}: {finding}", index.display());
        return Err(Problem::new(
            status::LOG,
            cause,
            "export the disk again; an export is not meant to be changed by hand",
        ));
    }
    finish(store.seal(), store.run()).map_err(|error| engine(path, error))?;
    Ok(read.lines.iter().filter(|(_, line)| matches!(line, Line::Object { .. } | Line::File { .. })).count())
}

fn engine(path: &Path, error: storage_engine::Error) -> Problem {
    let next = match error {
        storage_engine::Error::NoSpace => "give it more with --size MIB, or make room on the host",
        _ => "check the disk of the host",
    };
    Problem::new(status::IO, format!("{}: {error}", path.display()), next)
}

/// One commit after the other, so that no more than [`AT_ONCE`] waits.
async fn fill(
    global: &Global,
    store: &Store<FileDisk>,
    from: &Path,
    index: &Path,
    sequence: u64,
    horizon: u64,
    read: &Export,
) -> Result<(), Problem> {
    let progress = global.progress();
    let full = |error| engine(from, error);
    let counts = counts(read);
    let mut transaction = store.begin().await;
    for (number, namespace) in &read.namespaces {
        let (bytes, objects) = counts.get(number).copied().unwrap_or_default();
        let record = Namespace { bytes, objects, ..namespace.clone() };
        transaction.put(&record::namespace_key(*number), encode(&record), Bytes::None).map_err(full)?;
        if namespace.parent != 0 {
            let key = record::child_key(namespace.parent, &namespace.name);
            transaction.put(&key, encode(number), Bytes::None).map_err(full)?;
        }
    }
    if horizon != 0 {
        transaction.put(&record::horizon_key(), encode(&horizon), Bytes::None).map_err(full)?;
    }
    let (mut contents, mut waiting) = (0, 0);
    for (at, (line, item)) in read.lines.iter().enumerate() {
        if at % 16 == 0 {
            progress.show(&format!("importing: {} of {}", at + 1, read.lines.len()));
        }
        match item {
            Line::Folder { namespace, number, above, name, version, modified } => {
                let folder = Folder { number: *number, version: *version, modified: *modified };
                let key = record::entry_key(*namespace, *above, name);
                transaction.put(&key, encode(&Node::Folder(folder)), Bytes::None).map_err(full)?;
            }
            Line::Object { value, .. } | Line::File { value, .. } => {
                contents += 1;
                let source = from.join("data").join(value.data.to_string());
                let mut placing = Placing { store, transaction, waiting, content: contents };
                let (record, bytes) = placing.bytes(value, &source).await?;
                Placing { transaction, waiting, .. } = placing;
                match item {
                    Line::Object { namespace, key, expires, .. } => {
                        if let Some(expires) = expires {
                            let note = record::expiry_key(*expires, *namespace, key);
                            transaction.put(&note, Vec::new(), Bytes::None).map_err(full)?;
                        }
                        let at = record::object_key(*namespace, key);
                        transaction.put(&at, encode_object(&record, *expires), bytes).map_err(full)?;
                    }
                    Line::File { namespace, folder, name, .. } => {
                        let at = record::entry_key(*namespace, *folder, name);
                        transaction.put(&at, encode(&Node::File(record)), bytes).map_err(full)?;
                    }
                    _ => {}
                }
                waiting += 4096;
            }
            Line::Disk { .. } | Line::Namespace { .. } | Line::End { .. } => {
                return Err(wrong(index, *line, "out of place"));
            }
        }
        if waiting >= AT_ONCE {
            transaction.commit().await.map_err(full)?;
            transaction = store.begin().await;
            waiting = 0;
        }
    }
    progress.clear();
    transaction.commit().await.map_err(full)?;
    // Versions that were given on the other disk, and numbers of contents given here, are not given again.
    store.raise_sequence(sequence.max(contents));
    let mut last = store.begin().await;
    last.put(&record::horizon_key(), encode(&horizon), Bytes::None).map_err(full)?;
    last.commit().await.map(|_| ()).map_err(full)
}

/// Where a value's bytes go.
struct Placing<'a> {
    store: &'a Store<FileDisk>,
    transaction: Transaction<FileDisk>,
    waiting: u64,
    content: u64,
}

impl Placing<'_> {
    /// Writes a value's bytes to the disk: its record, and the extent that goes with it.
    async fn bytes(&mut self, value: &Value, source: &Path) -> Result<(Record, Bytes<FileDisk>), Problem> {
        let mut file = File::open(source).map_err(|error| Problem::input(source, &error))?;
        let mut hasher = blake3::Hasher::new();
        let mut left = value.size;
        let mut index: u32 = 0;
        let (mut content, mut extent) = (Content::Inline(Vec::new()), Bytes::None);
        while left > 0 {
            let length = left.min(MAX_CHUNK as u64) as usize;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes).map_err(|error| Problem::input(source, &error))?;
            hasher.update(&bytes);
            left -= length as u64;
            if value.size <= MAX_INLINE as u64 {
                content = Content::Inline(bytes);
                break;
            }
            let is_hole = value.size > MAX_CHUNK as u64 && bytes.iter().all(|&byte| byte == 0);
            if !is_hole {
                let staged = self.store.stage(&bytes).await.map_err(|error| engine(source, error))?;
                self.waiting += length as u64;
                if value.size <= MAX_CHUNK as u64 {
                    (content, extent) = (Content::Extent, Bytes::New(staged));
                    break;
                }
                let key = record::chunk_key(self.content, index);
                self.transaction.put(&key, Vec::new(), Bytes::New(staged)).map_err(|error| engine(source, error))?;
            }
            content = Content::Chunks(self.content);
            index += 1;
        }
        let is_longer = file.read(&mut [0]).map_err(|error| Problem::input(source, &error))? > 0;
        if is_longer || hex(hasher.finalize().as_bytes()) != value.hash {
            return Err(Problem::new(
                status::LOG,
                format!("{}: these are not the bytes that were exported", source.display()),
                "export the disk again, or take a backup of the export",
            ));
        }
        Ok((Record { size: value.size, version: value.version, modified: value.modified, content }, extent))
    }
}

/// Bytes and objects of each namespace, those below it included.
fn counts(read: &Export) -> std::collections::BTreeMap<u64, (u64, u64)> {
    let survey = Survey { namespaces: read.namespaces.iter().cloned().collect(), ..Survey::default() };
    let mut counted = survey.counts();
    for (_, line) in &read.lines {
        let (namespace, bytes) = match line {
            Line::Folder { namespace, .. } => (*namespace, 0),
            Line::Object { namespace, value, .. } | Line::File { namespace, value, .. } => (*namespace, value.size),
            Line::Disk { .. } | Line::Namespace { .. } | Line::End { .. } => continue,
        };
        survey.count(&mut counted, namespace, bytes);
    }
    counted
}
