//! Opening an image: what must be true of it, from its last checkpoint on, in a time that does not depend on
//! how long the log is. And reading frames, as everyone does who reads an image.

use crate::device::{BLOCK, BlockDevice};
use crate::error::Error;
use crate::frontier::Frontier;
use crate::layout::{Found, MIN_BLOCKS, SLOT, SLOTS, STREAM, Slot, Superblock, UNFLUSHED, blocks_of, fits};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use axiom::block::{Block, FRAME, Head, WHOLE, Wrong};
use axiom::header::{HEADER, Header};
use axiom::note::{Checkpoint, MachineKey, VerifierKey};
use axiom::scan::is_zero;
use axiom::tree::leaf_hash;

/// Of a device that a log is begun on, so many blocks at the beginning are looked at, and so many at the end: 64 MiB and 1 MiB.
/// All of a large one would take long.
const EMPTY_AT_FIRST: u64 = 64 << 11;
const EMPTY_AT_LAST: u64 = 1 << 11;
/// Bytes that are read at once where there is no frame.
const PIECE: usize = 64 << 10;

/// Reads blocks; an error says which.
pub(crate) fn read(device: &mut impl BlockDevice, first: u64, bytes: &mut [u8]) -> Result<(), Error> {
    device.read(first, bytes).map_err(|error| Error::Device { operation: "be read", block: first, error })
}

/// Writes blocks; an error says which.
pub(crate) fn write(device: &mut impl BlockDevice, first: u64, bytes: &[u8]) -> Result<(), Error> {
    device.write(first, bytes).map_err(|error| Error::Device { operation: "be written", block: first, error })
}

/// Makes durable what was written.
pub(crate) fn flush(device: &mut impl BlockDevice) -> Result<(), Error> {
    device.flush().map_err(|error| Error::Device { operation: "be flushed", block: 0, error })
}

/// The head of a frame that begins with this block: header, its bytes, how far all was durable when it was
/// written, and the bytes of the frame. The bodies are not looked at.
pub fn frame_head(block: &[u8; BLOCK]) -> Result<(Header, [u8; HEADER], u64, usize), Wrong> {
    if block[..4] != WHOLE {
        return Err(Wrong::NoFrame);
    }
    if *blake3::hash(&block[..FRAME - 32]).as_bytes() != block[FRAME - 32..FRAME] {
        return Err(Wrong::Header);
    }
    let (mut bytes, mut synced) = ([0; HEADER], [0; 8]);
    bytes.copy_from_slice(&block[16..16 + HEADER]);
    synced.copy_from_slice(&block[8..16]);
    let header = Header::decode(&bytes).ok_or(Wrong::Version)?;
    let length = FRAME as u64 + header.length();
    let stated = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    if u64::from(stated) != length || length > UNFLUSHED as u64 {
        return Err(Wrong::Header);
    }
    Ok((header, bytes, u64::from_le_bytes(synced), length as usize))
}

/// Reads the frame at block `at` into `buffer`, filled up to a whole block. Gives its bytes, or what is wrong with
/// it: each part of it matches its hash. What fills up its last block is not looked at.
pub fn read_frame(device: &mut impl BlockDevice, at: u64, buffer: &mut Vec<u8>) -> Result<Result<usize, Wrong>, Error> {
    let blocks = device.blocks();
    buffer.clear();
    if at >= blocks {
        return Ok(Err(Wrong::Short));
    }
    let mut first = [0; BLOCK];
    read(device, at, &mut first)?;
    let length = match frame_head(&first) {
        Ok((.., length)) if at + blocks_of(length) > blocks => return Ok(Err(Wrong::Short)),
        Ok((.., length)) => length,
        Err(wrong) => return Ok(Err(wrong)),
    };
    buffer.resize(length.next_multiple_of(BLOCK), 0);
    buffer[..BLOCK].copy_from_slice(&first);
    if length > BLOCK {
        read(device, at + 1, &mut buffer[BLOCK..])?;
    }
    Ok(Block::parse(buffer).map(|(_, length)| length))
}

/// The first byte from block `first` up to block `end` that is not zero, as offset in the image, and the last.
pub fn find_nonzero(device: &mut impl BlockDevice, first: u64, end: u64) -> Result<Option<(u64, u64)>, Error> {
    let mut found = None;
    pieces(device, first, end, |at, bytes| {
        if !is_zero(bytes) {
            let low = bytes.iter().position(|&byte| byte != 0).unwrap_or(0) as u64;
            let high = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0) as u64;
            found = Some((found.map_or(at + low, |(low, _)| low), at + high));
        }
    })?;
    Ok(found)
}

/// Reads from block `first` up to block `end`, a piece at a time, each with its offset in the image.
fn pieces(device: &mut impl BlockDevice, first: u64, end: u64, mut each: impl FnMut(u64, &[u8])) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE];
    let mut at = first;
    while at < end {
        let count = (end - at).min((PIECE / BLOCK) as u64);
        let bytes = &mut buffer[..count as usize * BLOCK];
        read(device, at, bytes)?;
        each(at * BLOCK as u64, bytes);
        at += count;
    }
    Ok(())
}

/// The checkpoint that counts, and what is known of the other slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Newest {
    /// The newest checkpoint.
    pub slot: Slot,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Whether the other slot was being written when the machine stopped.
    pub torn: bool,
}

/// What the beginning of an image says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// Its first block.
    pub superblock: Superblock,
    /// The newest checkpoint.
    pub newest: Newest,
}

/// Reads and checks what lies before the stream; `None` if there is no log: the first block is zero.
pub fn beginning(device: &mut impl BlockDevice, key: &VerifierKey) -> Result<Option<Beginning>, Error> {
    let blocks = device.blocks();
    if blocks < MIN_BLOCKS {
        return Err(Error::TooSmall(blocks));
    }
    let mut first = [0; BLOCK];
    read(device, 0, &mut first)?;
    let superblock = match Superblock::decode(&first) {
        Found::Nothing => return Ok(None),
        Found::Bad => return Err(Error::Superblock),
        Found::Whole(superblock) => superblock,
    };
    if superblock.public != key.public() || superblock.origin != key.name() {
        return Err(Error::OtherKey { origin: superblock.origin });
    }
    if blocks < superblock.blocks {
        return Err(Error::Shrunk { blocks, had: superblock.blocks });
    }
    if let Some((byte, _)) = find_nonzero(device, 1, SLOTS[0])? {
        return Err(Error::NotZero(byte));
    }
    let newest = newest(device, key)?;
    Ok(Some(Beginning { superblock, newest }))
}

/// The newest of the two checkpoints, checked against the key.
fn newest(device: &mut impl BlockDevice, key: &VerifierKey) -> Result<Newest, Error> {
    let (slot, older) = slots(device)?;
    let checkpoint = check_slot(&slot, key)?;
    let torn = older == Found::Bad;
    Ok(Newest { slot, checkpoint, torn })
}

/// What a slot's checkpoint says, if it is this key's and lies where it can.
pub fn check_slot(slot: &Slot, key: &VerifierKey) -> Result<Checkpoint, Error> {
    let checkpoint = key.check(slot.text.as_bytes()).map_err(|error| Error::Checkpoint(slot.place(), error))?;
    if (checkpoint.size == 0) != (slot.last == 0) || slot.last != 0 && slot.last < STREAM {
        return Err(Error::Slots);
    }
    Ok(checkpoint)
}

/// What lies in the slots: the newest, and what is in the other: the one before it; nothing, at first; or one that was
/// being written when the machine stopped. No signature is looked at.
pub fn slots(device: &mut impl BlockDevice) -> Result<(Slot, Found<Slot>), Error> {
    let mut found = [Found::Bad, Found::Bad];
    let mut bytes = Box::new([0; SLOT]);
    for (place, found) in SLOTS.into_iter().zip(&mut found) {
        read(device, place, &mut bytes[..])?;
        *found = Slot::decode(&bytes);
        if matches!(found, Found::Whole(slot) if slot.place() != place) {
            return Err(Error::Slots);
        }
    }
    match found {
        [Found::Whole(one), Found::Whole(other)] => match one.sequence.wrapping_sub(other.sequence) {
            1 => Ok((one, Found::Whole(other))),
            u64::MAX => Ok((other, Found::Whole(one))),
            _ => Err(Error::Slots),
        },
        [Found::Whole(slot), Found::Bad] | [Found::Bad, Found::Whole(slot)] => Ok((slot, Found::Bad)),
        // A slot that was written once is never empty again.
        [Found::Whole(slot), Found::Nothing] | [Found::Nothing, Found::Whole(slot)] if slot.sequence == 0 => {
            Ok((slot, Found::Nothing))
        }
        _ => Err(Error::NoCheckpoint),
    }
}

/// How far an image was checked: where to go on.
pub(crate) struct Recovered {
    pub(crate) head: Head,
    /// The tree.
    pub(crate) frontier: Frontier,
    /// The tree without the last block.
    pub(crate) before: Frontier,
    /// Where the last block's frame begins; 0 if there is none.
    pub(crate) last: u64,
    /// Where the stream ends.
    pub(crate) end: u64,
    /// Blocks that the newest checkpoint covers, where in the stream that ends, and its sequence number.
    pub(crate) published: (u64, u64, u64),
    /// Whether the slot that comes next was torn.
    pub(crate) torn: bool,
    /// Bytes that were cut off.
    pub(crate) cut: Option<u64>,
}

impl Recovered {
    /// What was cut off, in words.
    pub(crate) fn cut_words(&self) -> Option<String> {
        let tail = self.cut.map(|cut| {
            format!(
                "byte {} of the log's image: {cut} bytes that are no whole block, behind {} blocks",
                self.end * BLOCK as u64,
                self.head.blocks
            )
        });
        let slot = self.torn.then(|| {
            let place = SLOTS[((self.published.2 + 1) & 1) as usize];
            format!("byte {} of the log's image: a checkpoint that was being written", place * BLOCK as u64)
        });
        match (tail, slot) {
            (Some(tail), Some(slot)) => Some(format!("{tail}; {slot}")),
            (tail, slot) => tail.or(slot),
        }
    }
}

/// Checks the log in an image, or begins one, and brings it into a state to go on from.
pub(crate) fn recover(device: &mut impl BlockDevice, key: &MachineKey) -> Result<Recovered, Error> {
    if !fits(key) {
        return Err(Error::KeyName);
    }
    let Some(Beginning { newest, .. }) = beginning(device, &key.verifier())? else {
        return create(device, key);
    };
    let mut recovered = covered(device, newest)?;
    let mut buffer = Vec::new();
    loop {
        let (number, at) = (recovered.head.blocks, recovered.end);
        let wrong = |wrong| Error::Block { number, byte: at * BLOCK as u64, wrong };
        match read_frame(device, at, &mut buffer)? {
            Ok(length) => {
                let (block, _) = Block::parse_head(&buffer).map_err(wrong)?;
                recovered.head.accept(&block).map_err(wrong)?;
                check_filling(&buffer, at, length)?;
                recovered.before = recovered.frontier.clone();
                recovered.frontier.push(leaf_hash(block.header_bytes));
                recovered.last = at;
                recovered.end += blocks_of(length);
            }
            Err(bad) => {
                recovered.cut = tail(device, number, at).map_err(|error| error.unwrap_or_else(|| wrong(bad)))?;
                break;
            }
        }
    }
    if let Some(cut) = recovered.cut {
        let zeros = vec![0; PIECE];
        let (mut at, end) = (recovered.end, recovered.end + blocks_of(cut as usize));
        while at < end {
            let count = (end - at).min((PIECE / BLOCK) as u64);
            write(device, at, &zeros[..count as usize * BLOCK])?;
            at += count;
        }
    }
    // What was found may never have been flushed: what is built on it must be able to rely on it.
    flush(device)?;
    Ok(recovered)
}

/// The last block that the checkpoint covers, checked against it.
fn covered(device: &mut impl BlockDevice, newest: Newest) -> Result<Recovered, Error> {
    let Newest { slot, checkpoint, torn } = newest;
    let size = checkpoint.size;
    let mut frontier = Frontier::from_parts(size.saturating_sub(1), slot.roots).ok_or(Error::Slots)?;
    let mut recovered = Recovered {
        head: Head::EMPTY,
        frontier: Frontier::new(),
        before: Frontier::new(),
        last: 0,
        end: STREAM,
        published: (size, STREAM, slot.sequence),
        torn,
        cut: None,
    };
    if size > 0 {
        let (number, at) = (size - 1, slot.last);
        let wrong = |wrong| Error::Block { number, byte: at.saturating_mul(BLOCK as u64), wrong };
        let mut buffer = Vec::new();
        let length = read_frame(device, at, &mut buffer)?.map_err(wrong)?;
        let (block, _) = Block::parse_head(&buffer).map_err(wrong)?;
        if block.header.number != number {
            return Err(wrong(Wrong::Number));
        }
        recovered.head = Head::before(&block.header);
        recovered.head.accept(&block).map_err(wrong)?;
        check_filling(&buffer, at, length)?;
        recovered.before = frontier.clone();
        frontier.push(leaf_hash(block.header_bytes));
        if frontier.root() != checkpoint.root {
            return Err(wrong(Wrong::Tree));
        }
        recovered.last = at;
        recovered.end = at + blocks_of(length);
        recovered.published.1 = recovered.end;
    }
    recovered.frontier = frontier;
    Ok(recovered)
}

/// What fills up a frame's last block is zero.
pub fn check_filling(buffer: &[u8], at: u64, length: usize) -> Result<(), Error> {
    match buffer[length..].iter().position(|&byte| byte != 0) {
        Some(position) => Err(Error::NotZero(at * BLOCK as u64 + (length + position) as u64)),
        None => Ok(()),
    }
}

/// What lies where block `number` should be, at the device's block `at`, and is none: how many bytes a crash left
/// behind. `Err(None)` if the block was durable once, so that it is damaged.
pub fn tail(device: &mut impl BlockDevice, number: u64, at: u64) -> Result<Option<u64>, Option<Error>> {
    let window = blocks_of(UNFLUSHED);
    let torn = at.saturating_add(window).min(device.blocks());
    let mut durable = false;
    let mut last = None;
    pieces(device, at, torn, |byte, bytes| {
        for (index, block) in bytes.as_chunks::<BLOCK>().0.iter().enumerate() {
            if let Ok((header, _, synced, _)) = frame_head(block) {
                durable |= header.number > number && synced > number;
            }
            if let Some(position) = block.iter().rposition(|&byte| byte != 0) {
                last = Some(byte + (index * BLOCK + position) as u64);
            }
        }
    })
    .map_err(Some)?;
    if durable {
        return Err(None);
    }
    // A crash leaves nothing so far behind what was durable.
    if let Some((byte, _)) = find_nonzero(device, torn, torn.saturating_add(window).min(device.blocks()))? {
        return Err(Some(Error::NotZero(byte)));
    }
    Ok(last.map(|last| last + 1 - at * BLOCK as u64))
}

/// Begins a log on an empty device: zeros, as far as is looked at. The superblock comes last: without it there is no log.
fn create(device: &mut impl BlockDevice, key: &MachineKey) -> Result<Recovered, Error> {
    let blocks = device.blocks();
    let slot = first_slot(key).encode();
    // Where others begin, and keep copies of what they begin with.
    let (low, high) = (blocks.min(EMPTY_AT_FIRST), blocks.saturating_sub(EMPTY_AT_LAST).max(EMPTY_AT_FIRST));
    for (first, end) in [(0, SLOTS[0]), (SLOTS[1], low), (high, blocks)] {
        if let Some((byte, _)) = find_nonzero(device, first, end)? {
            return Err(Error::NotEmpty(byte));
        }
    }
    // What lies in the first slot may be of a beginning that was interrupted.
    let mut bytes = Box::new([0; SLOT]);
    read(device, SLOTS[0], &mut bytes[..])?;
    for ((index, found), ours) in bytes.chunks(BLOCK).enumerate().zip(slot.chunks(BLOCK)) {
        if !is_zero(found) && found != ours {
            return Err(Error::NotEmpty((SLOTS[0] + index as u64) * BLOCK as u64));
        }
    }
    let superblock = Superblock::new(&key.verifier(), blocks).ok_or(Error::KeyName)?;
    write(device, SLOTS[0], &slot)?;
    flush(device)?;
    write(device, 0, &superblock.encode())?;
    flush(device)?;
    Ok(Recovered {
        head: Head::EMPTY,
        frontier: Frontier::new(),
        before: Frontier::new(),
        last: 0,
        end: STREAM,
        published: (0, STREAM, 0),
        torn: false,
        cut: None,
    })
}

/// The checkpoint of a log that has nothing in it.
fn first_slot(key: &MachineKey) -> Slot {
    Slot { sequence: 0, last: 0, roots: Vec::new(), text: key.sign(0, &Frontier::new().root()) }
}
