//! Takes all that is on a disk out into a folder. What is damaged is named and left out.

use super::image::{Opened, finish};
use super::index::{Line, VERSION, Value, hex};
use super::{Global, tell};
use crate::problem::{Problem, status};
use serde_json::json;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use storage_engine::{BlockDevice, MAX_CHUNK, Snapshot};
use storage_format::record::{Content, chunk_key, entry_key, object_key};
use storage_format::survey::{Item, Place, Survey};

pub fn run(global: &Global, opened: &Opened, to: &Path) -> Result<u8, Problem> {
    if to.exists() {
        return Err(Problem::new(
            status::NO_INPUT,
            format!("{}: there is something already", to.display()),
            "name a folder that is not there yet",
        ));
    }
    let data = to.join("data");
    fs::create_dir_all(&data).map_err(|error| Problem::file(&data, &error))?;
    let path = to.join("index.jsonl");
    let mut index = BufWriter::new(File::create(&path).map_err(|error| Problem::file(&path, &error))?);
    let survey = finish(Survey::of(&opened.store), opened.store.run());
    let mut hasher = blake3::Hasher::new();
    let mut write = |line: &Line| {
        let text = serde_json::to_string(line).map_err(|error| Problem::file(&path, &error.into()))? + "\n";
        hasher.update(text.as_bytes());
        index.write_all(text.as_bytes()).map_err(|error| Problem::file(&path, &error))
    };
    write(&Line::Disk {
        version: VERSION,
        name: hex(&opened.store.disk()),
        bytes: opened.store.usage().pages * 4096,
        transaction: opened.store.sequence(),
        horizon: survey.horizon,
    })?;
    for (&number, namespace) in &survey.namespaces {
        let name = namespace.name.clone();
        write(&Line::Namespace { number, parent: namespace.parent, name, quota: namespace.quota })?;
    }
    for (&(namespace, number), item) in &survey.folders {
        write(&Line::Folder {
            namespace,
            number,
            above: item.above,
            name: item.name.clone(),
            version: item.folder.version,
            modified: item.folder.modified,
        })?;
    }
    let progress = global.progress();
    let snapshot = opened.store.snapshot();
    let mut lost: Vec<String> = opened.report.damage.iter().map(|damage| survey.damage(damage)).collect();
    lost.extend(survey.findings.iter().cloned());
    let mut bytes = 0;
    for (at, item) in survey.items.iter().enumerate() {
        if at % 16 == 0 {
            progress.show(&format!("exporting: {} of {}", at + 1, survey.items.len()));
        }
        let number = at as u64 + 1;
        let file = data.join(number.to_string());
        let hash = match finish(copy(&snapshot, item, &file), opened.store.run())? {
            Some(hash) => hash,
            None => {
                lost.push(format!("the bytes of {} are not those that were written", survey.name_of(item)));
                fs::remove_file(&file).map_err(|error| Problem::file(&file, &error))?;
                continue;
            }
        };
        bytes += item.file.size;
        let record = &item.file;
        let value = Value { size: record.size, version: record.version, modified: record.modified, hash, data: number };
        let namespace = item.namespace;
        write(&match &item.place {
            Place::Object(key) => Line::Object { namespace, key: key.clone(), expires: item.expires, value },
            Place::File(folder, name) => Line::File { namespace, folder: *folder, name: name.clone(), value },
        })?;
    }
    progress.clear();
    let end = serde_json::to_string(&Line::End { hash: hex(hasher.finalize().as_bytes()) });
    let end = end.map_err(|error| Problem::file(&path, &error.into()))?;
    writeln!(index, "{end}").map_err(|error| Problem::file(&path, &error))?;
    index.flush().and_then(|()| index.get_ref().sync_all()).map_err(|error| Problem::file(&path, &error))?;
    let mut text: String = lost.iter().map(|line| format!("{line}\n")).collect();
    text.push_str(&format!("{}: {} values and files, {bytes} bytes\n", to.display(), survey.items.len()));
    tell(global, &json!({ "folder": to, "values": survey.items.len(), "bytes": bytes, "lost": lost }), &text)?;
    match lost.first() {
        None => Ok(0),
        Some(first) => Err(Problem::new(
            status::LOG,
            format!("{}: {first}", opened.path.display()),
            "all else was exported; what is lost comes from a backup",
        )),
    }
}

/// Copies the bytes of a value into a file. Their hash; none if they are damaged.
async fn copy<D: BlockDevice>(snapshot: &Snapshot<D>, item: &Item, to: &Path) -> Result<Option<String>, Problem> {
    let problem = |error: std::io::Error| Problem::file(to, &error);
    let mut out = BufWriter::new(File::create(to).map_err(problem)?);
    let mut hasher = blake3::Hasher::new();
    let mut left = item.file.size;
    let mut index = 0;
    while left > 0 {
        let length = left.min(MAX_CHUNK as u64) as usize;
        let Some(mut bytes) = chunk(snapshot, item, index).await else { return Ok(None) };
        // Where the content is shorter than the size, the rest is zero.
        bytes.resize(length, 0);
        hasher.update(&bytes);
        out.write_all(&bytes).map_err(problem)?;
        left -= length as u64;
        index += 1;
    }
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(problem)?;
    Ok(Some(hex(hasher.finalize().as_bytes())))
}

/// The bytes of one chunk as they are stored; none if they cannot be read.
async fn chunk<D: BlockDevice>(snapshot: &Snapshot<D>, item: &Item, index: u32) -> Option<Vec<u8>> {
    let key = match (&item.file.content, &item.place) {
        (Content::Inline(bytes), _) => return Some(if index == 0 { bytes.clone() } else { Vec::new() }),
        (Content::Chunks(content), _) => chunk_key(*content, index),
        (Content::Extent, _) if index > 0 => return Some(Vec::new()),
        (Content::Extent, Place::Object(key)) => object_key(item.namespace, key),
        (Content::Extent, Place::File(folder, name)) => entry_key(item.namespace, *folder, name),
    };
    match snapshot.get(&key).await.ok()?.as_ref().map(|value| &value.extent) {
        Some(Some(extent)) => snapshot.read(extent).await.ok(),
        Some(None) => None,
        // A hole; an extent is never one.
        None => matches!(item.file.content, Content::Chunks(_)).then(Vec::new),
    }
}
