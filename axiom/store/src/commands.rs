//! What stands behind `orbital log show|verify|replay|export|unpack|key`: each takes the state
//! directory, or the image of a log, and writes text or JSON (one object a line) to `out`.

use crate::boots::{Boot, PLATFORM, boots_so_far, wall_time};
use crate::error::Error;
use crate::folder::{DiskFolder, Folder};
use crate::image::{Image, Source};
use crate::prove::proved_header;
use crate::segments::{CHECKPOINT, Go, SEGMENTS, covered, not_whole, walk, walk_covered};
use crate::verify::{Start, Verified};
use crate::{key, snapshots, verify};
use axiom::block::Block;
use axiom::header::{BOOT, Body, Hash, STATE};
use axiom::note::{Checkpoint, VerifierKey};
use axiom::record::Ending;
use axiom::replay::Replay;
use axiom::words::{Line, Narrator};
use serde_json::json;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the log's folder in the state directory.
pub const LOG: &str = "log";
/// Name of the key's file in the state directory.
pub const KEY: &str = "machine.key";

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A place in the log: `--from`, `--to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// A record's number.
    Record(u64),
    /// ns since 1970.
    Time(u64),
}

impl std::str::FromStr for Bound {
    type Err = Error;

    /// A record's number, or a time as `2026-11-21T08:30:00Z`.
    fn from_str(text: &str) -> Result<Bound, Error> {
        if let Ok(number) = text.parse() {
            return Ok(Bound::Record(number));
        }
        crate::time::parse(text).map(Bound::Time).ok_or_else(|| {
            Error::new(
                format!("`{text}` is neither a record's number nor a time"),
                "Write a number, or a time as 2026-11-21T08:30:00Z.",
            )
        })
    }
}

/// What `show` shows.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Only records of processes of this name (`host` for the host), and those that concern them.
    pub process: Option<String>,
    /// From here on.
    pub from: Option<Bound>,
    /// Up to here, included.
    pub to: Option<Bound>,
    /// At most so many: the first after `from` if that is given, else the last.
    pub limit: Option<usize>,
    /// Goes on with what comes.
    pub follow: Option<Follow>,
}

/// Waits a little for more, or says why not. It is called when all that is there was shown, with what was trimmed of that
/// as [`Shown::trimmed`] has it.
pub type Follow = fn(trimmed: Option<(u64, u64)>) -> std::io::Result<()>;

impl Show {
    /// Whether nothing can lie between `from` and `to`.
    pub fn is_inverted(&self) -> bool {
        match (self.from, self.to) {
            (Some(Bound::Record(from)), Some(Bound::Record(to))) => from > to,
            (Some(Bound::Time(from)), Some(Bound::Time(to))) => from > to,
            _ => false,
        }
    }
}

/// Whether this is an image of a log, and no state directory: a file or a device.
fn is_image(state: &Path) -> bool {
    state.exists() && !state.is_dir()
}

/// The log in a state directory; or in an image, where `state` is a file or a device.
pub(crate) fn open(state: &Path) -> Result<Source, Error> {
    if is_image(state) {
        return Ok(Source::Image(Box::new(Image::open(state)?)));
    }
    let path = state.join(LOG);
    if path.join(CHECKPOINT).exists() || path.join(SEGMENTS).exists() {
        return Ok(Source::Folder(DiskFolder::new(path)));
    }
    Err(Error::absent(
        format!("{}: there is no log", path.display()),
        "Start the machine once, or name its state directory with --state.",
    ))
}

/// The file of the machine's key: in its state directory, or beside the image of its log.
fn key_file(state: &Path) -> PathBuf {
    if is_image(state) { state.with_file_name(KEY) } else { state.join(KEY) }
}

/// The key that verifies the log: the one that was given, or the machine's own.
pub(crate) fn verifier(state: &Path, given: Option<&VerifierKey>) -> Result<VerifierKey, Error> {
    if let Some(key) = given {
        return Ok(key.clone());
    }
    match key::load(&key_file(state))? {
        Some(key) if is_image(state) => Ok(key.of_bare_machine().verifier()),
        Some(key) => Ok(key.verifier()),
        None => Err(Error::absent(
            format!("{}: there is no key", key_file(state).display()),
            "Put the machine's key back, or give its verifier key with --key.",
        )),
    }
}

pub(crate) fn put(out: &mut dyn Write, text: std::fmt::Arguments<'_>) -> Result<(), Error> {
    writeln!(out, "{text}").map_err(Error::output)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `orbital log key`: the verifier key.
pub fn show_key(state: &Path, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    if !key_file(state).exists() {
        open(state)?;
    }
    let key = verifier(state, None)?;
    match format {
        Format::Text => put(out, format_args!("{}", key.to_text())),
        Format::Json => put(out, format_args!("{}", json!({ "key": key.to_text(), "origin": key.name() }))),
    }
}

/// `orbital log verify [--key KEY]`: checks all of the log. What lies behind the last whole block and is none
/// is an error, which says how far the log is whole; so is a snapshot that is not what the log says.
pub fn verify(state: &Path, key: Option<&VerifierKey>, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    verify_from(state, key, &Start::Genesis, format, out)
}

/// `orbital log verify --from genesis|snapshot|checkpoint`: the same of what comes after that.
pub fn verify_from(
    state: &Path,
    key: Option<&VerifierKey>,
    from: &Start,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let folder = open(state)?;
    let verified = verify::verify_from(&folder, &verifier(state, key)?, from)?;
    let head = &verified.head;
    if let Some(torn) = &verified.torn {
        return Err(Error::new(
            format!(
                "The log is whole in its first {} blocks ({} records, {} boots); what lies behind them is no block: {torn}",
                head.blocks, head.records, head.boot
            ),
            if head.ended {
                "The last run ended in order, so something else wrote there, or a start was interrupted: the next start cuts it off and goes on."
            } else {
                "The last run did not end in order, which leaves such a trace: the next start cuts it off and goes on."
            },
        ));
    }
    // Where one was gone on from, it is said beside the rest.
    if verified.resumed.is_none() && !verified.bad_snapshots.is_empty() {
        return Err(Error::new(
            format!(
                "The log is whole, {} blocks, {} records, {} boots, but not what was written beside it: {}",
                head.blocks,
                head.records,
                head.boot,
                verified.bad_snapshots.join("; ")
            ),
            "A snapshot is only a place for replay to begin: remove the file, and nothing is lost.",
        ));
    }
    let replayed = match verified.resumed {
        None => None,
        resumed => Some(make_again(&folder, &verified.checkpoint, resumed)?),
    };
    match format {
        Format::Text => verified_text(&verified, from, replayed.as_ref(), out)?,
        Format::Json => put(
            out,
            format_args!(
                "{}",
                json!({
                    "from": verified.from, "blocks": head.blocks, "records": head.records, "commits": head.commits,
                    "boots": head.boot,
                    "checkpoint": { "size": verified.checkpoint.size, "root": hex(&verified.checkpoint.root) },
                    "trimmed": verified.trimmed, "crashes": verified.crashes, "ended": head.ended,
                    "snapshot": verified.resumed, "snapshots": verified.snapshots,
                    "bad_snapshots": verified.bad_snapshots,
                    "compared": replayed.map(|replayed| replayed.compared),
                })
            ),
        )?,
    }
    Ok(())
}

/// What was checked, and what not.
fn verified_text(
    verified: &Verified,
    from: &Start,
    replayed: Option<&Replayed>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let (head, first, size) = (&verified.head, verified.from, verified.checkpoint.size);
    for bad in verified.bad_snapshots.iter().filter(|_| verified.resumed.is_some()) {
        put(out, format_args!("{bad}. Nothing is lost by it: gone on from an earlier one."))?;
    }
    match (verified.resumed, from) {
        (Some(block), _) => put(out, format_args!("The snapshot after block {block} is what the signed tree says."))?,
        (None, Start::Checkpoint(_)) => put(
            out,
            format_args!("The log goes on from the checkpoint that was kept: its first {first} blocks are the same."),
        )?,
        _ => {}
    }
    if *from == Start::Genesis {
        put(
            out,
            format_args!(
                "The log is whole: {} blocks, {} records, {} commits, {} boots.",
                head.blocks, head.records, head.commits, head.boot
            ),
        )?;
    } else {
        let checked = head.blocks - first;
        put(
            out,
            format_args!(
                "From there on it is whole: {checked} of its {} blocks, {} records in all, {} boots.",
                head.blocks, head.records, head.boot
            ),
        )?;
        put(
            out,
            format_args!(
                "Of the {first} blocks before, no more was looked at than their place in the tree: `--from genesis` reads them too."
            ),
        )?;
    }
    put(out, format_args!("The checkpoint covers {size} blocks; its root is {}.", hex(&verified.checkpoint.root)))?;
    if let Some(replayed) = replayed {
        put(out, format_args!("Replayed from there: {} commits; {}.", replayed.commits, replayed.compared_in_words()))?;
    }
    if verified.trimmed > 0 {
        put(out, format_args!("Of {} blocks activity and calls were trimmed; authority is there.", verified.trimmed))?;
    }
    if verified.crashes > 0 {
        put(out, format_args!("{} boots ended by a crash.", verified.crashes))?;
    }
    if *from == Start::Genesis && !verified.snapshots.is_empty() {
        let blocks = verified.snapshots.iter().map(u64::to_string).collect::<Vec<_>>().join(" and ");
        put(out, format_args!("The snapshots after block {blocks} are what the log says."))?;
    }
    Ok(())
}

/// `orbital log export BODY BLOCK`: a body of a block as it is hashed, for b3sum.
pub fn export(state: &Path, body: Body, block: u64, out: &mut dyn Write) -> Result<(), Error> {
    let mut found = None;
    walk_covered(&open(state)?, block, |next| {
        if next.header.number == block {
            found = Some(next.bodies[body as usize].map(<[u8]>::to_vec));
        }
        Ok(Go::Stop)
    })?;
    match found {
        None => Err(Error::absent(
            format!("block {block} is not in the log"),
            "`orbital log verify` says how many there are.",
        )),
        Some(None) => Err(Error::absent(
            format!("the {} body of block {block} was trimmed", body.name()),
            "Its hash is still in the header; authority bodies are never trimmed.",
        )),
        Some(Some(bytes)) => out.write_all(&bytes).map_err(Error::output),
    }
}

/// A state made again.
struct Replayed {
    blocks: u64,
    commits: u64,
    /// State hashes that were compared.
    compared: u64,
    boot: u32,
    authority: Hash,
    /// `None` where activity was trimmed.
    activity: Option<Hash>,
}

impl Replayed {
    fn compared_in_words(&self) -> String {
        match self.compared {
            0 => "the log has no state hash to compare with yet".to_owned(),
            compared => format!("{compared} state hashes compared, all equal"),
        }
    }
}

/// Makes the state again from a log that was verified: from its beginning, or from the snapshot after a block. Where
/// activity was trimmed, the next boot or snapshot has it again.
fn make_again(folder: &impl Folder, checkpoint: &Checkpoint, resumed: Option<u64>) -> Result<Replayed, Error> {
    let (mut replay, first) = match resumed {
        None => (Replay::new(PLATFORM), 0),
        Some(block) => {
            let (header, _) = proved_header(folder, checkpoint, block)?;
            let again = "The machine that runs has a newer one by now: repeat it.";
            let kernel = snapshots::load(folder, &header)
                .and_then(|kernel| kernel.ok_or_else(|| format!("{}: it is gone", snapshots::path(block))))
                .map_err(|wrong| Error::new(wrong, again))?;
            (Replay::resume(PLATFORM, &header, kernel), block + 1)
        }
    };
    let mut blocks = 0u64;
    walk(folder, first, |block| {
        replay.block(block).map_err(|wrong| {
            Error::new(
                format!("block {}: {wrong}", block.header.number),
                "`orbital log verify` says whether the log is damaged; if not, report it.",
            )
        })?;
        blocks += 1;
        if !replay.is_whole()
            && block.header.number < checkpoint.size
            && block.header.has(STATE)
            && let Ok(Some(kernel)) = snapshots::load(folder, &block.header)
        {
            replay.adopt(kernel);
        }
        Ok(Go::On)
    })?;
    let [authority, activity] = axiom::state_hash(replay.kernel());
    Ok(Replayed {
        blocks,
        commits: replay.commits(),
        compared: replay.compared(),
        boot: replay.boot(),
        authority,
        activity: replay.is_whole().then_some(activity),
    })
}

/// `orbital log replay`: makes the state again from the commits, and compares it with the state hashes.
pub fn replay(state: &Path, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    replay_from(state, &Start::Genesis, format, out)
}

/// `orbital log replay --from genesis|snapshot`: the same from there on.
pub fn replay_from(state: &Path, from: &Start, format: Format, out: &mut dyn Write) -> Result<(), Error> {
    if let Start::Checkpoint(_) = from {
        let cause = "a checkpoint has no state for a replay to begin with";
        return Err(Error::absent(cause, "Replay from genesis or from a snapshot."));
    }
    let folder = open(state)?;
    // Replay decides nothing, so it comes after what does.
    let verified = verify::verify_from(&folder, &verifier(state, None)?, from)?;
    let replayed = make_again(&folder, &verified.checkpoint, verified.resumed)?;
    let Replayed { blocks, commits, compared, boot, ref authority, .. } = replayed;
    match format {
        Format::Text => {
            for bad in &verified.bad_snapshots {
                put(out, format_args!("{bad}. Nothing is lost by it."))?;
            }
            if let Some(block) = verified.resumed {
                put(out, format_args!("Begun with the snapshot after block {block}."))?;
            }
            put(
                out,
                format_args!(
                    "Replayed {commits} commits in {blocks} blocks, up to boot {boot}; {}.",
                    replayed.compared_in_words()
                ),
            )?;
            put(out, format_args!("authority {}", hex(authority)))?;
            match replayed.activity {
                Some(activity) => put(out, format_args!("activity  {}", hex(&activity))),
                None => put(out, format_args!("Activity of this boot was trimmed: authority alone was replayed.")),
            }
        }
        Format::Json => put(
            out,
            format_args!(
                "{}",
                json!({
                    "from": verified.resumed, "blocks": blocks, "commits": commits, "compared": compared, "boot": boot,
                    "authority": hex(authority), "activity": replayed.activity.map(|activity| hex(&activity)),
                })
            ),
        ),
    }
}

/// `orbital log unpack --to DIR`: writes the log in an image as a log folder, in a folder that is not there yet.
pub fn unpack(
    state: &Path,
    key: Option<&VerifierKey>,
    to: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if !is_image(state) {
        let cause = format!("{}: it is no image of a log", state.display());
        return Err(Error::absent(cause, "Name one with --image; a log folder can be copied as it is."));
    }
    let verified = crate::image::unpack(state, &verifier(state, key)?, to)?;
    let (blocks, records) = (verified.head.blocks, verified.head.records);
    match format {
        Format::Text => {
            put(out, format_args!("{}: a log folder of {blocks} blocks, {records} records.", to.display()))?;
            verified.torn.iter().try_for_each(|torn| put(out, format_args!("Left out, behind the last block: {torn}.")))
        }
        Format::Json => {
            let to = to.display().to_string();
            put(
                out,
                format_args!("{}", json!({ "to": to, "blocks": blocks, "records": records, "torn": verified.torn })),
            )
        }
    }
}

/// What came of `show`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Records that were shown.
    pub lines: usize,
    /// Numbers of the first and the last record, among those that were asked for, between which only what changed
    /// authority is left: activity and calls were trimmed.
    pub trimmed: Option<(u64, u64)>,
}

/// `orbital log show`: records in words.
pub fn show(state: &Path, options: &Show, format: Format, out: &mut dyn Write) -> Result<Shown, Error> {
    let folder = open(state)?;
    let boots = boots_so_far(&folder)?;
    let limit =
        options.limit.unwrap_or(if options.from.is_some() || options.follow.is_some() { usize::MAX } else { 100 });
    let tail = options.from.is_none();
    let begun = |start: &Boot| match options.from {
        Some(Bound::Record(record)) => start.first <= record,
        Some(Bound::Time(time)) => start.wall_time <= time,
        // The last records may be of an earlier boot; names need the boot from its beginning.
        None => false,
    };
    let first = boots.iter().rposition(begun).or(if tail { boots.len().checked_sub(2) } else { None });
    let (lines, shown, trimmed) = (VecDeque::new(), 0, None);
    let mut view = View { options, format, limit, lines, shown, trimmed, wall_time: 0, over: false };
    let mut narrator = Narrator::new(PLATFORM);
    let mut next = first.and_then(|index| boots.get(index)).map_or(0, |start| start.block);
    loop {
        // Looked at first: a machine that runs goes on writing.
        let covered = covered(&folder);
        next = view.blocks(&folder, &mut narrator, next, out, tail)?;
        view.shown += view.lines.len();
        if view.lines.len() >= view.limit && view.lines.front().is_some_and(|(first, _)| view.ends_before(*first)) {
            // As many as were asked for, all behind it.
            view.trimmed = None;
        }
        for (_, line) in std::mem::take(&mut view.lines) {
            put(out, format_args!("{line}"))?;
        }
        if !view.over && next < covered {
            return Err(not_whole(&folder, next)?);
        }
        let Some(wait) = options.follow.filter(|_| !view.over) else {
            return Ok(Shown { lines: view.shown, trimmed: view.trimmed });
        };
        // What comes from now on is shown, however much it is.
        view.limit = if tail { usize::MAX } else { view.limit };
        out.flush().and_then(|()| wait(view.trimmed.take())).map_err(Error::output)?;
    }
}

struct View<'a> {
    options: &'a Show,
    format: Format,
    limit: usize,
    /// The last lines, by their records' numbers.
    lines: VecDeque<(u64, String)>,
    shown: usize,
    /// As [`Shown::trimmed`] says.
    trimmed: Option<(u64, u64)>,
    wall_time: u64,
    over: bool,
}

impl View<'_> {
    /// Tells the blocks from number `next` on; gives the number of the one that comes after.
    fn blocks(
        &mut self,
        folder: &impl Folder,
        narrator: &mut Narrator,
        mut next: u64,
        out: &mut dyn Write,
        tail: bool,
    ) -> Result<u64, Error> {
        walk(folder, next, |block| {
            next = block.header.number + 1;
            if block.header.has(BOOT) {
                self.wall_time = wall_time(block);
            }
            let (options, wall) = (self.options, self.wall_time);
            let wanted = |entry: &axiom::block::Entry, _: u64, _: &abi::Name| {
                let after = options.from.is_none_or(|from| position(entry, wall, &from) >= std::cmp::Ordering::Equal);
                let before = options.to.is_none_or(|to| position(entry, wall, &to) <= std::cmp::Ordering::Equal);
                after && before
            };
            // A process's own records, and those of others that concern it: who woke it, granted to it, ended it.
            let chosen = |line: &Line| {
                options.process.as_ref().is_none_or(|process| {
                    line.name.as_str() == process || line.concerned.iter().any(|name| name.as_str() == process)
                })
            };
            let mut lines = Vec::new();
            narrator
                .block(block, wanted, |line| {
                    lines.extend(chosen(&line).then(|| (line.entry.number, self.render(&line))));
                })
                .map_err(|wrong| {
                    Error::new(
                        format!("block {}: {wrong}", block.header.number),
                        "`orbital log verify` says whether the log is damaged.",
                    )
                })?;
            if let Some((first, last)) = self.gone(block) {
                self.trimmed = Some((self.trimmed.map_or(first, |(first, _)| first), last));
            }
            for line in lines {
                if tail {
                    self.lines.push_back(line);
                    if self.lines.len() > self.limit {
                        self.lines.pop_front();
                    }
                } else if self.shown < self.limit {
                    put(out, format_args!("{}", line.1))?;
                    self.shown += 1;
                }
            }
            let past = options.to.is_some_and(|to| match to {
                Bound::Record(record) => block.header.first_record > record,
                Bound::Time(time) => wall.saturating_add(block.header.base_time) > time,
            });
            self.over = past || (!tail && self.shown >= self.limit);
            Ok(if self.over { Go::Stop } else { Go::On })
        })?;
        Ok(next)
    }

    /// Numbers of the first and the last record of a trimmed block that were asked for; of a time, as near as the
    /// block's own says.
    fn gone(&self, block: &Block<'_>) -> Option<(u64, u64)> {
        let (first, count) = (block.header.first_record, u64::from(block.header.records));
        let last = first.saturating_add(count).saturating_sub(1);
        let begun = self.wall_time.saturating_add(block.header.base_time);
        let first = match self.options.from {
            Some(Bound::Record(from)) => first.max(from),
            Some(Bound::Time(from)) if begun < from => return None,
            _ => first,
        };
        let last = match self.options.to {
            Some(Bound::Record(to)) => last.min(to),
            Some(Bound::Time(to)) if begun > to => return None,
            _ => last,
        };
        (block.is_trimmed() && first <= last).then_some((first, last))
    }

    /// Whether what was trimmed ends before this record.
    fn ends_before(&self, record: u64) -> bool {
        self.trimmed.is_some_and(|(_, last)| last < record)
    }

    fn render(&self, line: &Line) -> String {
        let entry = &line.entry;
        let wall = self.wall_time.saturating_add(entry.time);
        if self.format == Format::Text {
            return format!("{:>9}  {}  {:<12}  {line}", entry.number, crate::time::format(wall), line.name);
        }
        let (result, error) = match entry.record.ending {
            Ending::Done => ("done", None),
            Ending::Waits => ("waits", None),
            Ending::Open => ("open", None),
            Ending::Refused(error) => ("refused", Some(format!("{error:?}"))),
        };
        let field = |value: u32| (value != axiom::record::NONE).then_some(value);
        json!({
            "record": entry.number, "boot": line.boot, "time": crate::time::format(wall), "ns": entry.time,
            "process": line.process, "name": line.name.as_str(), "thread": field(entry.record.thread),
            "call": entry.record.op.name(), "object": line.object, "slot": field(entry.record.slot), "tag": entry.record.tag,
            "result": result, "error": error, "commits": line.changes,
            "exact": line.commits.iter().map(|commit| format!("{commit:?}")).collect::<Vec<_>>(), "text": line.to_string(),
        })
        .to_string()
    }
}

/// Where a record lies, seen from a bound.
fn position(entry: &axiom::block::Entry, wall_time: u64, bound: &Bound) -> std::cmp::Ordering {
    match bound {
        Bound::Record(record) => entry.number.cmp(record),
        Bound::Time(time) => wall_time.saturating_add(entry.time).cmp(time),
    }
}
