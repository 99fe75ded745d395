//! A log image of the bare machine, read as the folder that the same blocks would make: segments of its frames, tiles
//! computed from their headers, and its newest checkpoint. So everything that reads a log reads an image.
//! Nothing is ever written into it here.

use crate::error::{Error, Kind};
use crate::folder::{DiskFolder, Folder, Item, Mark, check_file};
use crate::segments::{CHECKPOINT, READABLE, SEGMENTS, Segment};
use crate::verify::{Verified, tile_named, verify};
use axiom::Wrong;
use axiom::event::OtherLog;
use axiom::header::{HEADER, Hash, Header};
use axiom::note::VerifierKey;
use axiom::tree::{TILE, TileId, leaf_hash, root_of};
use log_image::frontier::Frontier;
use log_image::layout::{Found, STREAM, Slot, Superblock, UNFLUSHED, blocks_of};
use log_image::recover;
use log_image::{BLOCK, BlockDevice, DeviceError};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A segment of the folder begins when the one before has so many bytes.
const SEGMENT: u64 = 16 << 20;

/// A file of the host as a block device that can only be read.
#[derive(Clone, Debug)]
struct ReadFile {
    file: Arc<File>,
    bytes: u64,
}

impl BlockDevice for ReadFile {
    fn blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK as u64)
    }
    fn read(&mut self, first: u64, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let at = first.checked_mul(BLOCK as u64).ok_or(DeviceError::OutOfRange)?;
        // Of a last block that is not whole, the rest is zero.
        let there = self.bytes.saturating_sub(at).min(bytes.len() as u64) as usize;
        bytes[there..].fill(0);
        self.file.read_exact_at(&mut bytes[..there], at).map_err(|_| DeviceError::Failed)
    }
    fn write(&mut self, _first: u64, _bytes: &[u8]) -> Result<(), DeviceError> {
        Err(DeviceError::ReadOnly)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        Err(DeviceError::ReadOnly)
    }
}

/// What would be one segment of a folder.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Its first block.
    first: u64,
    /// Where that block's frame begins.
    at: u64,
    /// Bytes of its frames.
    bytes: u64,
}

/// What was found in the stream. It only grows, by 24 bytes for each segment and 40 for each full tile of leaves: where
/// each block lies is found again from there.
#[derive(Debug)]
struct Index {
    /// Blocks.
    blocks: u64,
    /// Where the frame of the next would begin.
    end: u64,
    segments: Vec<Part>,
    /// Where the first block of each tile of leaves begins.
    tiles: Vec<u64>,
    /// The roots over the full tiles of leaves.
    roots: Vec<Hash>,
    /// The leaves of the tile that is not full yet.
    leaves: Vec<Hash>,
}

impl Index {
    const EMPTY: Index = Index {
        blocks: 0,
        end: STREAM,
        segments: Vec::new(),
        tiles: Vec::new(),
        roots: Vec::new(),
        leaves: Vec::new(),
    };

    /// One more block, whose frame has so many bytes.
    fn push(&mut self, header: &[u8; HEADER], length: usize) {
        let (first, at) = (self.blocks, self.end);
        if self.segments.last().is_none_or(|last| last.bytes >= SEGMENT) {
            self.segments.push(Part { first, at, bytes: 0 });
        }
        if let Some(last) = self.segments.last_mut() {
            last.bytes += length as u64;
        }
        if self.leaves.is_empty() {
            self.tiles.push(at);
        }
        self.leaves.push(leaf_hash(header));
        if self.leaves.len() == TILE {
            self.roots.push(root_of(&self.leaves));
            self.leaves.clear();
        }
        self.blocks += 1;
        self.end += blocks_of(length);
    }
}

/// A log image.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    device: ReadFile,
    index: Mutex<Index>,
}

impl Image {
    /// The image in a file. That there is a log in it is checked, and not yet that it is whole.
    pub fn open(path: &Path) -> Result<Image, Error> {
        let failed = |error| Error::file(path, "cannot be read", error, "Name the image of the log with --image.");
        // A disk is one too; to open a pipe would wait for whoever writes into it.
        let is_disk = std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device());
        if !is_disk {
            check_file(path).map_err(failed)?;
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let bytes = if metadata.file_type().is_block_device() {
            use std::io::{Seek, SeekFrom};
            (&file).seek(SeekFrom::End(0)).map_err(failed)?
        } else {
            metadata.len()
        };
        let device = ReadFile { file: Arc::new(file), bytes };
        let image = Image { path: path.to_owned(), device, index: Mutex::new(Index::EMPTY) };
        let mut first = [0; BLOCK];
        image.device().read(0, &mut first).map_err(|error| failed(io::Error::other(error)))?;
        match Superblock::decode(&first) {
            Found::Whole(_) => Ok(image),
            Found::Nothing => Err(Error::absent(
                format!("{}: there is no log in it yet", path.display()),
                "Start the machine with it once.",
            )),
            Found::Bad => Err(Error::new(
                format!("{}: it does not begin as the image of a log does", path.display()),
                "Name the image of the log with --image; if it is that, it was damaged or changed: put a copy back.",
            )),
        }
    }

    fn device(&self) -> ReadFile {
        self.device.clone()
    }

    fn error(&self, error: log_image::Error) -> Error {
        let kind = if matches!(error, log_image::Error::Device { .. }) { Kind::Io } else { Kind::Damaged };
        Error { kind, ..Error::new(format!("{}: {}", self.path.display(), error.cause()), error.next()) }
    }

    /// The index, with the frames that came since.
    fn index(&self) -> io::Result<MutexGuard<'_, Index>> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut device = self.device();
        while index.end < device.blocks() {
            match head_at(&mut device, index.end)? {
                Ok((header, bytes, _, length)) if header.number == index.blocks => index.push(&bytes, length),
                _ => break,
            }
        }
        Ok(index)
    }

    fn checkpoint(&self) -> io::Result<Slot> {
        recover::slots(&mut self.device()).map(|(slot, _)| slot).map_err(|error| match error {
            log_image::Error::NoCheckpoint => io::ErrorKind::NotFound.into(),
            error => io::Error::other(error),
        })
    }

    /// The index, and how many blocks the tree's files are for: those that the newest checkpoint covers.
    fn covered(&self) -> io::Result<(MutexGuard<'_, Index>, u64)> {
        let slot = self.checkpoint()?;
        let size = slot.text.split('\n').nth(1).and_then(|size| size.parse().ok()).unwrap_or(0);
        let index = self.index()?;
        // What is not there has no files; a size that cannot be has none either.
        let there = index.blocks.min(size);
        Ok((index, there))
    }

    /// A file of the tree, which is there.
    fn tile(&self, index: &Index, id: &TileId) -> io::Result<Vec<u8>> {
        let first = id.index as usize;
        if let Some(below) = id.level.and_then(|level| level.checked_sub(1)) {
            let below = TILE.pow(u32::from(below));
            let hashes = (first * TILE..).take(usize::from(id.width));
            return Ok(hashes.flat_map(|hash| root_of(&index.roots[hash * below..][..below])).collect());
        }
        let (mut device, mut at, mut bytes) = (self.device(), index.tiles[first], Vec::new());
        for _ in 0..id.width {
            let (_, header, _, length) = head_at(&mut device, at)?.map_err(io::Error::other)?;
            match id.level {
                Some(_) => bytes.extend_from_slice(&leaf_hash(&header)),
                None => {
                    bytes.extend_from_slice(&(header.len() as u16).to_be_bytes());
                    bytes.extend_from_slice(&header);
                }
            }
            at += blocks_of(length);
        }
        Ok(bytes)
    }

    fn segment(&self, index: &Index, first: u64) -> io::Result<Vec<u8>> {
        let position = index.segments.binary_search_by_key(&first, |segment| segment.first);
        let position = position.map_err(|_| io::ErrorKind::NotFound)?;
        let end = index.segments.get(position + 1).map_or(index.end, |next| next.at);
        let (mut device, mut at) = (self.device(), index.segments[position].at);
        let mut bytes = Vec::with_capacity(index.segments[position].bytes as usize);
        let mut buffer = Vec::new();
        while at < end {
            let (.., length) = head_at(&mut device, at)?.map_err(io::Error::other)?;
            buffer.resize(length.next_multiple_of(BLOCK), 0);
            device.read(at, &mut buffer).map_err(io::Error::other)?;
            bytes.extend_from_slice(&buffer[..length]);
            at += blocks_of(length);
        }
        if end == index.end {
            bytes.extend(self.tail(end)?);
        }
        Ok(bytes)
    }

    /// What lies behind the last frame, as far as a crash can have left something there.
    fn tail(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut device = self.device();
        let count = blocks_of(UNFLUSHED).min(device.blocks().saturating_sub(at));
        let mut bytes = vec![0; count as usize * BLOCK];
        device.read(at, &mut bytes).map_err(io::Error::other)?;
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        Ok(bytes)
    }

    /// Checks what a folder of the same blocks has not: what lies around the stream, where each frame lies and what
    /// fills it up, and both checkpoints with what they say of the tree. Gives the trace of a crash, in words.
    fn check_image(&self, key: &VerifierKey) -> Result<Option<String>, log_image::Error> {
        use log_image::Error as E;
        let mut device = self.device();
        recover::beginning(&mut device, key)?.ok_or(E::Superblock)?;
        let (newest, older) = recover::slots(&mut device)?;
        let checkpoint = recover::check_slot(&newest, key)?;
        let mut slots = vec![(newest, checkpoint)];
        let mut torn = None;
        match older {
            Found::Whole(slot) => {
                let checkpoint = recover::check_slot(&slot, key)?;
                slots.push((slot, checkpoint));
            }
            Found::Bad => torn = Some("one of its two checkpoints does not match its hash".to_owned()),
            Found::Nothing => {}
        }
        let (mut number, mut at) = (0, STREAM);
        let (mut last, mut before, mut tree) = (0, Frontier::new(), Frontier::new());
        let mut buffer = Vec::new();
        loop {
            for (slot, checkpoint) in slots.extract_if(.., |(_, checkpoint)| checkpoint.size == number) {
                if checkpoint.root != tree.root() {
                    return Err(E::Block {
                        number: number.saturating_sub(1),
                        byte: last * BLOCK as u64,
                        wrong: Wrong::Tree,
                    });
                }
                if slot.last != last || slot.roots != before.roots() {
                    return Err(E::Slots);
                }
            }
            let byte = at * BLOCK as u64;
            let bad = match recover::read_frame(&mut device, at, &mut buffer)? {
                Ok(length) => {
                    let (header, bytes, ..) = first_of(&buffer).ok_or(E::Slots)?;
                    if header.number == number {
                        recover::check_filling(&buffer, at, length)?;
                        before = tree.clone();
                        tree.push(leaf_hash(&bytes));
                        last = at;
                        at += blocks_of(length);
                        number += 1;
                        continue;
                    }
                    Wrong::Number
                }
                Err(wrong) => wrong,
            };
            let wrong = E::Block { number, byte, wrong: bad };
            if !slots.is_empty() {
                return Err(wrong);
            }
            let cut = recover::tail(&mut device, number, at).map_err(|error| error.unwrap_or(wrong))?;
            let end = device.blocks();
            let behind = (at + blocks_of(UNFLUSHED)).min(end);
            if let Some((byte, _)) = recover::find_nonzero(&mut device, behind, end)? {
                return Err(E::NotZero(byte));
            }
            if let Some(cut) = cut {
                torn = Some(format!(
                    "byte {byte}: {cut} bytes where block {number} would be: {bad}; no checkpoint covers it"
                ));
            }
            return Ok(torn.map(|torn| format!("{}: {torn}", self.path.display())));
        }
    }
}

/// Header, its bytes, how far all was durable, and the bytes of a frame.
type FrameHead = (Header, [u8; HEADER], u64, usize);

fn first_of(buffer: &[u8]) -> Option<FrameHead> {
    recover::frame_head(buffer.first_chunk()?).ok()
}

/// The head of the frame that begins with block `at` of the device.
fn head_at(device: &mut ReadFile, at: u64) -> io::Result<Result<FrameHead, Wrong>> {
    let mut block = [0; BLOCK];
    device.read(at, &mut block).map_err(io::Error::other)?;
    Ok(recover::frame_head(&block))
}

/// Full files of a row of the tree over `size` blocks (a level, or the bundles), and what the partial one behind them has.
fn row(level: Option<u8>, size: u64) -> (u64, u16) {
    let count = size.checked_shr(8 * u32::from(level.unwrap_or(0))).unwrap_or(0);
    (count / TILE as u64, (count % TILE as u64) as u16)
}

/// The file of this path in the tree over `size` blocks.
fn tile_at(path: &str, size: u64) -> Option<TileId> {
    let id = tile_named(path)?;
    let (full, rest) = row(id.level, size);
    let width = if id.index < full { TILE as u16 } else { rest };
    (id.index <= full && id.width == width).then_some(id)
}

/// What lies in a folder of the tree over `size` blocks, by name: as [`TileId::path`] names it. Nothing if there is no
/// such folder.
fn tiles_in(path: &str, size: u64) -> Option<Vec<Item>> {
    let item = |name: String, length| Item { name, length };
    let mut parts = path.strip_prefix("tile")?.split('/').skip(1);
    let mut items = Vec::new();
    let Some(row_name) = parts.next() else {
        let levels = (0..8).map(Some).filter(|&level| row(level, size) != (0, 0));
        items.extend(levels.flatten().map(|level| item(level.to_string(), None)));
        items.extend((size > 0).then(|| item("entries".to_owned(), None)));
        return Some(items);
    };
    let level = if row_name == "entries" { None } else { Some(row_name.parse().ok()?) };
    let each = if level.is_some() { 32 } else { 2 + HEADER as u64 };
    let (full, width) = row(level, size);
    let mut above = 0u64;
    for part in parts {
        if part.strip_suffix(".p").is_some() {
            let partial = tile_at(&format!("{path}/{width}"), size)?;
            return Some(vec![item(width.to_string(), Some(u64::from(partial.width) * each))]);
        }
        let digits: u64 = part.strip_prefix('x').filter(|digits| digits.len() == 3)?.parse().ok()?;
        above = above.checked_mul(1000)?.checked_add(digits).filter(|&above| above > 0)?;
    }
    for digits in 0..1000 {
        let index = above.checked_mul(1000)?.checked_add(digits)?;
        let behind = index.saturating_mul(1000);
        if index < full {
            items.push(item(format!("{digits:03}"), Some(TILE as u64 * each)));
        } else if index == full && width > 0 {
            items.push(item(format!("{digits:03}.p"), None));
        }
        if index > 0 && (behind < full || behind == full && width > 0) {
            items.push(item(format!("x{digits:03}"), None));
        }
    }
    items.sort();
    Some(items)
}

fn not_a_folder() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the image of a log is only read")
}

impl Folder for Image {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == CHECKPOINT {
            return Ok(self.checkpoint()?.text.into_bytes());
        }
        if let Some(name) = path.strip_prefix(SEGMENTS).and_then(|rest| rest.strip_prefix('/')) {
            let segment = Segment::named(name).filter(|segment| !segment.trimmed).ok_or(io::ErrorKind::NotFound)?;
            return self.segment(&*self.index()?, segment.first);
        }
        let (index, size) = self.covered()?;
        self.tile(&index, &tile_at(path, size).ok_or(io::ErrorKind::NotFound)?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<Item>> {
        let folder = |name: &str| Item { name: name.to_owned(), length: None };
        if path.is_empty() {
            let checkpoint = self.checkpoint()?.text.len() as u64;
            let checkpoint = Item { name: CHECKPOINT.to_owned(), length: Some(checkpoint) };
            return Ok(vec![checkpoint, folder(SEGMENTS), folder("tile")]);
        }
        if path == SEGMENTS {
            let index = self.index()?;
            let items = index.segments.iter().map(|part| {
                let segment = Segment { first: part.first, trimmed: false }.path();
                let name = segment.rsplit('/').next().unwrap_or_default().to_owned();
                Item { name, length: Some(part.bytes) }
            });
            return Ok(items.collect());
        }
        let size = self.covered()?.1;
        Ok(tiles_in(path, size).unwrap_or_default())
    }

    fn check(&self, key: &VerifierKey) -> Result<Option<String>, Error> {
        self.check_image(key).map_err(|error| self.error(error))
    }

    fn create(&mut self, _path: &str) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn write(&mut self, _path: &str, _at: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn set_length(&mut self, _path: &str, _length: u64) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn sync(&mut self, _path: &str) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn rename(&mut self, _from: &str, _to: &str) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn remove(&mut self, _path: &str) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn sync_folder(&mut self, _path: &str) -> io::Result<()> {
        Err(not_a_folder())
    }
    fn linked(&self, path: &str) -> io::Result<u64> {
        self.read(path).map(|bytes| bytes.len() as u64)
    }
    fn mark(&self, path: &str) -> io::Result<Mark> {
        Ok(Mark { length: self.linked(path)?, number: 0, changed: (0, 0) })
    }
}

/// Where a log is: its folder, or an image.
#[derive(Debug)]
pub(crate) enum Source {
    Folder(DiskFolder),
    Image(Box<Image>),
}

impl Source {
    fn folder(&self) -> &dyn Folder {
        match self {
            Source::Folder(folder) => folder,
            Source::Image(image) => &**image,
        }
    }

    fn folder_mut(&mut self) -> &mut dyn Folder {
        match self {
            Source::Folder(folder) => folder,
            Source::Image(image) => &mut **image,
        }
    }
}

impl Folder for Source {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.folder().read(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<Item>> {
        self.folder().list(path)
    }
    fn check(&self, key: &VerifierKey) -> Result<Option<String>, Error> {
        self.folder().check(key)
    }
    fn create(&mut self, path: &str) -> io::Result<()> {
        self.folder_mut().create(path)
    }
    fn write(&mut self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.folder_mut().write(path, at, bytes)
    }
    fn set_length(&mut self, path: &str, length: u64) -> io::Result<()> {
        self.folder_mut().set_length(path, length)
    }
    fn sync(&mut self, path: &str) -> io::Result<()> {
        self.folder_mut().sync(path)
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.folder_mut().rename(from, to)
    }
    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.folder_mut().remove(path)
    }
    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        self.folder_mut().sync_folder(path)
    }
    fn linked(&self, path: &str) -> io::Result<u64> {
        self.folder().linked(path)
    }
    fn mark(&self, path: &str) -> io::Result<Mark> {
        self.folder().mark(path)
    }
}

/// What is known of the log in an image: its newest checkpoint. `None` where there is no image, or no log in it yet.
pub fn head(path: &Path, key: &VerifierKey) -> Result<Option<OtherLog>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let image = match Image::open(path) {
        Err(error) if error.kind == Kind::Absent => return Ok(None),
        image => image?,
    };
    let checkpoint = crate::segments::read(&image, CHECKPOINT)?;
    let head = OtherLog::from_checkpoint(&checkpoint, key).map_err(|error| {
        let cause = format!("{}: its checkpoint {error}", path.display());
        Error::new(cause, "`orbital log verify --image` says more.")
    })?;
    Ok(Some(head))
}

/// Writes the log in an image as a log folder, if it is whole. The folder must not be there.
pub fn unpack(image: &Path, key: &VerifierKey, to: &Path) -> Result<Verified, Error> {
    let source = Image::open(image)?;
    let verified = verify(&source, key)?;
    let failed = |path: &Path, error| {
        let error = Error::file(path, "cannot be written", error, "Name another folder with --to.");
        Error { kind: Kind::Io, ..error }
    };
    if to.exists() {
        let cause = format!("{}: it is there already", to.display());
        return Err(Error { kind: Kind::Io, ..Error::new(cause, "Name a folder with --to that is not there yet.") });
    }
    // The checkpoint last: a folder that was not written to its end has none.
    let mut files = Vec::new();
    files_below(&source, "tile", &mut files)?;
    files_below(&source, SEGMENTS, &mut files)?;
    files.push(CHECKPOINT.to_owned());
    for path in files {
        let mut bytes = crate::segments::read(&source, &path)?;
        if path.starts_with(SEGMENTS) {
            // What a crash left behind stays where it is.
            let frames = source.list(SEGMENTS).ok().and_then(|items| {
                items.into_iter().find(|item| path.ends_with(&item.name)).and_then(|item| item.length)
            });
            bytes.truncate(frames.unwrap_or(0) as usize);
        }
        let file = to.join(&path);
        let folder = file.parent().unwrap_or(to);
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        std::fs::write(&file, bytes).map_err(|error| failed(&file, error))?;
    }
    Ok(verified)
}

/// Every file below `folder`.
fn files_below(source: &impl Folder, folder: &str, files: &mut Vec<String>) -> Result<(), Error> {
    let items = source.list(folder).map_err(|error| Error::file(folder, "cannot be listed", error, READABLE))?;
    for item in items {
        let path = format!("{folder}/{}", item.name);
        if item.length.is_none() { files_below(source, &path, files)? } else { files.push(path) }
    }
    Ok(())
}
