//! `caps`: what a process holds, and where each capability comes from.

use super::session::number;
use crate::arguments::Arguments;
use crate::failure::{Failure, failed};
use crate::shell::Shell;
use crate::text::{Side, Table, duration, shown};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use libprocess::abi::CapabilityInfo;
use libprocess::interfaces::init::control;
use libprocess::{Cap, ClientError, Error, FOREVER, capability, system};

/// The most links of a derivation that are followed.
const LONGEST_CHAIN: u32 = 64;

/// Whose capabilities are looked at.
enum Holder {
    Shell,
    Other(Cap<capability::Process>),
}

impl Holder {
    fn at(&self, slot: u32, ancestor: u32) -> Result<CapabilityInfo, Error> {
        match self {
            Holder::Shell => system::inspect(slot, ancestor),
            Holder::Other(process) => process.capability_at(slot, ancestor),
        }
    }

    /// All that it holds, by rising slot.
    fn all(&self) -> Result<Vec<CapabilityInfo>, Error> {
        let mut all: Vec<CapabilityInfo> = Vec::new();
        loop {
            let next = all.last().map_or(Some(0), |last| last.handle.slot().checked_add(1));
            match next.map(|slot| self.at(slot, 0)) {
                Some(Ok(info)) => all.push(info),
                // The end of the table.
                None | Some(Err(Error::BadHandle | Error::StaleHandle | Error::InvalidArgument)) => return Ok(all),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// A capability and those that it was derived from, nearest first.
    fn chain(&self, first: CapabilityInfo) -> Vec<CapabilityInfo> {
        let slot = first.handle.slot();
        let mut chain = alloc::vec![first];
        for ancestor in 1..LONGEST_CHAIN {
            if chain.last().is_none_or(|last| last.parent.is_none()) {
                break;
            }
            match self.at(slot, ancestor) {
                Ok(info) => chain.push(info),
                Err(_) => break,
            }
        }
        chain
    }
}

/// The kind of object, with its name if it has one.
fn object(info: &CapabilityInfo) -> String {
    match info.name.as_str() {
        "" => format!("{} #{}", info.kind.name(), info.object),
        name => format!("{} {}", info.kind.name(), name),
    }
}

fn badge(badge: u64) -> String {
    match badge {
        0 => String::from("-"),
        1..=0xFF => badge.to_string(),
        _ => format!("{badge:#x}"),
    }
}

/// Names of processes by their serial: those that live.
struct Names(BTreeMap<u64, String>);

impl Names {
    fn of(&self, serial: u64) -> String {
        match (serial, self.0.get(&serial)) {
            (0, _) => String::from("a message under way"),
            (_, Some(name)) => shown(name),
            (serial, None) => format!("process {serial}, which has ended"),
        }
    }
}

impl Shell {
    /// `caps`.
    pub(crate) async fn caps(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        let (target, slot) = match arguments.rest.as_slice() {
            [] => (None, None),
            [target] => (Some(target), None),
            [target, slot] => (Some(target), Some(number("caps", "slot", slot)?)),
            _ => return Err(Failure::misuse("caps", "it takes a process and a slot at most")),
        };
        let holder = match target {
            None => Holder::Shell,
            Some(target) => self.holder(target).await?,
        };
        // Of those that could not be asked for the chain shows numbers.
        let (rows, _) = self.processes().await;
        let names = Names(rows.into_iter().map(|row| (row.pid, row.name)).collect());
        let refused = |error: Error| {
            Failure::new(format!("its capabilities cannot be seen: {error}; it may have ended, `ps` shows who lives"))
        };
        let mut all = holder.all().map_err(refused)?;
        if let Some(slot) = slot {
            all.retain(|info| u64::from(info.handle.slot()) == slot);
            let info = all.pop().ok_or_else(|| {
                Failure::new(format!("slot {slot} is empty; `caps {}` lists them", shown(target.map_or("", |t| t))))
            })?;
            self.show(&chain_in_words(&holder.chain(info), &names)).await;
            return Ok(());
        }
        // Only the holder knows the names under which it was given what it holds.
        let given: Option<BTreeMap<u64, &str>> = match holder {
            Holder::Shell => Some(self.given.iter().map(|(name, handle)| (handle.0, name.as_str())).collect()),
            Holder::Other(_) => None,
        };
        let mut columns = alloc::vec![
            ("SLOT", Side::Right),
            ("OBJECT", Side::Left),
            ("RIGHTS", Side::Left),
            ("BADGE", Side::Right),
            ("FROM", Side::Left),
        ];
        if given.is_some() {
            columns.push(("NAME", Side::Left));
        }
        let mut table = Table::new(&columns);
        for info in all {
            let name = given.as_ref().map(|names| names.get(&info.handle.0).copied().unwrap_or("-"));
            let mut from: Vec<String> = holder.chain(info).iter().skip(1).map(|link| names.of(link.holder)).collect();
            from.dedup();
            let from = if from.is_empty() { String::from("-") } else { from.join(" < ") };
            let texts =
                [info.handle.slot().to_string(), object(&info), info.rights.to_string(), badge(info.badge), from];
            table.row(texts.into_iter().chain(name.map(ToString::to_string)));
        }
        self.show(&table.to_text()).await;
        Ok(())
    }

    /// The process that `target` means, to inspect.
    async fn holder(&self, target: &str) -> Result<Holder, Failure> {
        let row = self.process_named(target).await?;
        if system::info().is_ok_and(|own| own.serial == row.pid) {
            return Ok(Holder::Shell);
        }
        let process = if row.of_init {
            match self.control()?.inspect(&row.name).await {
                Ok(process) => process,
                Err(ClientError::Service(control::Error::Failed(reason))) => {
                    return Err(Failure::new(format!("{} cannot be looked into: {reason}", shown(target))));
                }
                Err(error) => return Err(failed("init", target, error)),
            }
        } else {
            self.lifecycle()?.inspect(row.pid).await.map_err(|error| failed("process", target, error))?
        };
        Ok(Holder::Other(process))
    }
}

/// A derivation, from the capability itself to the first of its object.
fn chain_in_words(chain: &[CapabilityInfo], names: &Names) -> String {
    let mut text = String::new();
    for (index, link) in chain.iter().enumerate() {
        let expiry = if link.expiry == FOREVER {
            String::new()
        } else {
            format!(", until {} after boot", duration(link.expiry))
        };
        let badge = if link.badge == 0 { String::new() } else { format!(", badge {}", badge(link.badge)) };
        text.push_str(&format!(
            "{}capability {} of {}: {}, {}{badge}{expiry}\n",
            if index == 0 { "" } else { "derived from " },
            link.capability,
            names.of(link.holder),
            object(link),
            link.rights,
        ));
    }
    if chain.last().is_some_and(|last| last.parent.is_none()) {
        text.push_str("which is the first capability of the object\n");
    } else {
        text.push_str("the rest of the chain is in the log alone\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use libprocess::abi::{Handle, Kind, Name, Rights};

    fn info(capability: u32, holder: u64, rights: Rights, parent: Option<u32>) -> CapabilityInfo {
        CapabilityInfo {
            capability,
            holder,
            handle: Handle::new(3, 1),
            kind: Kind::Device,
            object: 2,
            rights,
            badge: if parent.is_some() { 7 } else { 0 },
            expiry: FOREVER,
            parent,
            name: Name::new("disk"),
        }
    }

    #[test]
    fn a_chain_is_told_link_by_link() {
        let names = Names(BTreeMap::from([(1, String::from("init")), (2, String::from("storage"))]));
        let chain = [info(9, 2, Rights::READ, Some(4)), info(4, 1, Rights::READ.or(Rights::WRITE), None)];
        assert_eq!(
            chain_in_words(&chain, &names),
            "capability 9 of storage: device disk, read, badge 7\n\
             derived from capability 4 of init: device disk, read+write\n\
             which is the first capability of the object\n"
        );
        let cut = chain_in_words(&chain[..1], &names);
        assert!(cut.ends_with("\nthe rest of the chain is in the log alone\n"), "{cut}");
        let expires = CapabilityInfo { expiry: 2_000_000_000, ..chain[1] };
        let text = chain_in_words(&[expires], &names);
        assert!(text.starts_with("capability 4 of init: device disk, read+write, until 2.00 s after boot\n"), "{text}");
    }

    #[test]
    fn who_has_ended_is_named_by_number() {
        assert_eq!(Names(BTreeMap::new()).of(12), "process 12, which has ended");
    }
}
