//! The boots in a log: where each begins and ends, and of which all can still be replayed.

use crate::error::Error;
use crate::folder::Folder;
use crate::segments::{Go, walk_covered, walk_covered_heads, walk_heads};
use axiom::block::{Block, Step};
use axiom::event::Event;
use axiom::header::BOOT;
use axiom::words::{Line, Narrator};

/// Replay decides nothing, so nothing depends on the host that ran.
pub(crate) const PLATFORM: kernel::Platform =
    kernel::Platform { threads_per_process: u32::MAX, mapping: true, capture: true };

/// One boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Boot {
    /// From 1.
    pub number: u32,
    /// Its first block.
    pub block: u64,
    /// Its first record.
    pub first: u64,
    /// Its last record, as far as there are blocks.
    pub last: u64,
    /// When its time was 0, in ns since 1970.
    pub wall_time: u64,
    /// Whether nothing of it was trimmed.
    pub whole: bool,
    /// Of its blocks, those below this number were trimmed.
    pub trimmed: u64,
}

/// Every boot, in order. Bodies are not held against their hashes.
pub(crate) fn boots(folder: &impl Folder) -> Result<Vec<Boot>, Error> {
    let mut boots = Vec::new();
    walk_covered_heads(folder, |block| {
        add(&mut boots, block);
        Ok(Go::On)
    })?;
    Ok(boots)
}

/// Those before the first block that is not whole.
pub(crate) fn boots_so_far(folder: &impl Folder) -> Result<Vec<Boot>, Error> {
    let mut boots = Vec::new();
    walk_heads(folder, |block| {
        add(&mut boots, block);
        Ok(Go::On)
    })?;
    Ok(boots)
}

fn add(boots: &mut Vec<Boot>, block: &Block<'_>) {
    let header = &block.header;
    if header.has(BOOT) || boots.is_empty() {
        boots.push(Boot {
            number: header.boot,
            block: header.number,
            first: header.first_record,
            last: 0,
            wall_time: wall_time(block),
            whole: true,
            trimmed: 0,
        });
    }
    if let Some(boot) = boots.last_mut() {
        boot.last = header.first_record.saturating_add(u64::from(header.records)).saturating_sub(1);
        if block.is_trimmed() {
            (boot.whole, boot.trimmed) = (false, header.number + 1);
        }
    }
}

/// When the boot that this block begins had time 0.
pub(crate) fn wall_time(block: &Block<'_>) -> u64 {
    block
        .steps()
        .filter_map(|step| match step {
            Ok(Step::Commit(_, commit)) => commit.to_event(),
            _ => None,
        })
        .find_map(|event| match event {
            Event::Booted { platform, .. } => Some(platform.wall_time),
            _ => None,
        })
        .unwrap_or(0)
}

/// The boot that has a record.
pub(crate) fn boot_of(boots: &[Boot], record: u64) -> Result<Boot, Error> {
    boots.iter().find(|boot| (boot.first..=boot.last).contains(&record)).copied().ok_or_else(|| {
        Error::absent(
            format!("record {record} is not in the log"),
            match boots.last() {
                Some(last) => format!("Its records are 0 to {}.", last.last),
                None => "It has no records yet.".to_owned(),
            },
        )
    })
}

/// The same, where activity is needed.
pub(crate) fn whole_boot_of(boots: &[Boot], record: u64, instead: &str) -> Result<Boot, Error> {
    let boot = boot_of(boots, record)?;
    if boot.whole {
        return Ok(boot);
    }
    let whole: Vec<String> = boots
        .chunk_by(|a, b| a.whole == b.whole)
        .filter(|part| part[0].whole)
        .map(|part| format!("{} to {}", part[0].first, part[part.len() - 1].last))
        .collect();
    let cause = if whole.is_empty() {
        format!("record {record} is of boot {}, of which activity was trimmed, as it was of every boot", boot.number)
    } else {
        let whole = whole.join(" and ");
        format!(
            "record {record} is of boot {}, of which activity was trimmed; it is there of records {whole}",
            boot.number
        )
    };
    Err(Error::absent(cause, instead))
}

/// Calls `each` with every record of a boot up to number `last` in words, if `wanted`; gives the narrator that told
/// it, whose state is that after record `last`.
pub(crate) fn tell(
    folder: &impl Folder,
    boot: &Boot,
    last: u64,
    wanted: impl FnMut(u64) -> bool,
    each: impl FnMut(&Narrator, Line),
) -> Result<Narrator, Error> {
    tell_on(folder, Narrator::new(PLATFORM), boot.block, last, wanted, each)
}

/// The same of what comes from block `first` on, to a narrator that knows what came before.
pub(crate) fn tell_on(
    folder: &impl Folder,
    mut narrator: Narrator,
    first: u64,
    last: u64,
    mut wanted: impl FnMut(u64) -> bool,
    mut each: impl FnMut(&Narrator, Line),
) -> Result<Narrator, Error> {
    walk_covered(folder, first, |block| {
        if block.header.first_record > last {
            return Ok(Go::Stop);
        }
        let mut lines = Vec::new();
        narrator
            .block_up_to(block, last, |entry, _, _| wanted(entry.number), |line| lines.push(line))
            .map_err(|wrong| not_told(block, wrong))?;
        lines.into_iter().for_each(|line| each(&narrator, line));
        Ok(Go::On)
    })?;
    Ok(narrator)
}

/// That a block, which is whole, says what cannot be.
pub(crate) fn not_told(block: &Block<'_>, wrong: axiom::Wrong) -> Error {
    Error::new(
        format!("block {}: {wrong}", block.header.number),
        "`orbital log verify` says whether the log is damaged; if not, report it.",
    )
}
