//! What hostile processes do. Each goes on until it is stopped, or ends as its deed says; how often the kernel said
//! something that it must not say is its exit code.

use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;
use core::mem::ManuallyDrop;
use libprocess::abi::info::Limits;
use libprocess::abi::message::{FaultKind, MAX_BYTES, MAX_TRANSFERS};
use libprocess::abi::{ExitReason, ReplyToken, TransferMode};
use libprocess::capability::{Object, Process as ProcessObject};
use libprocess::{
    Any, Cap, Device, Endpoint, Error, Exit, FOREVER, Handle, Image, Notification, Outgoing, Process, Quota, Region,
    Rights, Startup, system,
};

/// How a deed ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Not by itself: its supervisor kills it.
    Never,
    /// It has done what it could, and nothing was answered otherwise than it must be.
    InOrder,
    /// By this fault.
    Fault(FaultKind),
    /// It destroyed what it lives on.
    Reclaimed,
}

impl End {
    /// Reason and code of the exit, as a supervisor is told.
    pub fn told(self) -> Option<(u64, u64)> {
        match self {
            End::Never => None,
            End::InOrder => Some((ExitReason::Exited as u64, 0)),
            End::Fault(kind) => Some((ExitReason::Faulted as u64, kind as u64)),
            End::Reclaimed => Some((ExitReason::Reclaimed as u64, 0)),
        }
    }
}

/// A deed.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// Its name, and that of the process that does it.
    pub name: &'static str,
    /// How it must end.
    pub end: End,
    /// Words that the log must have of that process.
    pub on_record: &'static str,
}

const fn deed(name: &'static str, end: End, on_record: &'static str) -> Deed {
    Deed { name, end, on_record }
}

const REFUSED_BY_QUOTA: &str = "the quota that pays for it has too little left";

/// All of them.
pub const DEEDS: &[Deed] = &[
    deed("loops", End::Never, "ended: Killed"),
    deed("takes-all-memory", End::InOrder, REFUSED_BY_QUOTA),
    deed("recurses", End::Fault(FaultKind::StackOverflow), "StackOverflow"),
    deed("guesses-handles", End::InOrder, "there is no capability in that slot"),
    deed("uses-stale-handles", End::InOrder, "the capability in that slot is gone"),
    deed("sends-too-much", End::InOrder, "it is larger than the call allows"),
    deed("floods", End::Never, "the message is queued"),
    deed("forks", End::Never, REFUSED_BY_QUOTA),
    deed("plays-with-quotas", End::Reclaimed, "destroyed"),
    deed("brings-bad-images", End::InOrder, "an argument is outside what the call allows"),
    deed("revokes-thousands", End::InOrder, "revoked"),
    deed("waits-for-nothing", End::InOrder, "timed out"),
];

/// Does the deed of this name.
pub async fn play(name: &str, process: &Process) -> Exit {
    let wrong = match name {
        "loops" => loop {
            black_box(0);
        },
        "takes-all-memory" => take_all_memory(process),
        "recurses" => deeper(black_box(1)),
        "guesses-handles" => guess_handles().await,
        "uses-stale-handles" => use_stale_handles(process),
        "sends-too-much" => send_too_much(process).await,
        "floods" => flood(process).await,
        "forks" => fork(process),
        "plays-with-quotas" => play_with_quotas(process),
        "brings-bad-images" => bring_bad_images(process).await,
        "revokes-thousands" => revoke_thousands(process),
        "waits-for-nothing" => wait_for_nothing(process).await,
        name => panic!("there is no deed {name}"),
    };
    Exit(wrong.unwrap_or_else(|error| 1000 + error as u64))
}

/// How often something was answered otherwise than it must be; an error, if that could not be tried.
type Wrong = Result<u64, Error>;

fn unless(right: bool) -> u64 {
    u64::from(!right)
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> Wrong {
    Ok(deeper(black_box(depth + 1))? + black_box(depth))
}

/// All memory, all regions, and then some.
fn take_all_memory(process: &Process) -> Wrong {
    const PIECE: usize = 64 << 10;
    let piece = || {
        let mut bytes: Vec<u8> = Vec::new();
        bytes.try_reserve_exact(PIECE).map(|()| bytes)
    };
    let mut held = Vec::with_capacity(16 << 10);
    while let Ok(bytes) = piece() {
        held.push(bytes);
    }
    let mut pages = 1 << 20;
    while pages > 0 {
        match Cap::<Region>::create(process.quota(), pages) {
            Ok(region) => _ = region.into_handle(),
            Err(Error::QuotaExceeded) => pages /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok(unless(!held.is_empty() && piece().is_err()))
}

/// What nobody gave, as if it were there.
fn guessed<K: Object>(handle: Handle) -> ManuallyDrop<Cap<K>> {
    ManuallyDrop::new(Cap::from_handle(handle))
}

/// Every call on handles that it never had.
async fn guess_handles() -> Wrong {
    let nobodys = |outcome: Result<(), Error>| unless(matches!(outcome, Err(Error::BadHandle | Error::StaleHandle)));
    let mut wrong = 0;
    // Slots above all that it was given.
    for slot in 64..1064 {
        for generation in [0, 1, 2, u64::from(u32::MAX)] {
            let handle = Handle((generation << 32) | slot);
            wrong += nobodys(guessed::<Any>(handle).derive(Rights::ALL).map(drop));
            wrong += nobodys(ManuallyDrop::into_inner(guessed::<Any>(handle)).destroy());
            wrong += nobodys(guessed::<Endpoint>(handle).send(&Outgoing::tag(1), 0).await);
            wrong += nobodys(guessed::<Notification>(handle).signal(1));
            wrong += nobodys(guessed::<ProcessObject>(handle).kill(1));
            wrong += nobodys(guessed::<Device>(handle).write(0, 0));
            // Where nothing is captured, nobody may, whatever he holds.
            let outcome = guessed::<Endpoint>(handle).capture_begin();
            wrong += u64::from(outcome != Err(Error::Unsupported)).min(nobodys(outcome));
        }
    }
    for call in 0..1000 {
        wrong += nobodys(system::reply(ReplyToken((call << 32) | (call % 7)), &Outgoing::tag(0)));
    }
    Ok(wrong)
}

/// A handle that it had, while others take its slot.
fn use_stale_handles(process: &Process) -> Wrong {
    let first = Cap::<Notification>::create(process.quota())?;
    let stale = first.handle();
    drop(first);
    let mut wrong = 0;
    for _ in 0..1000 {
        let next = Cap::<Notification>::create(process.quota())?;
        wrong += unless(guessed::<Notification>(stale).signal(1) == Err(Error::StaleHandle));
        wrong += unless(next.poll() == Ok(0));
    }
    Ok(wrong)
}

/// More than a message may have.
async fn send_too_much(process: &Process) -> Wrong {
    let endpoint = process.capability::<Endpoint>("endpoint").map_err(|_| Error::BadHandle)?;
    let bytes = vec![7; MAX_BYTES + 1];
    let transfer = libprocess::abi::Transfer {
        handle: endpoint.handle(),
        mode: TransferMode::Derive,
        rights: Rights::ALL,
        badge: 0,
    };
    let transfers = [transfer; MAX_TRANSFERS + 1];
    let mut wrong = 0;
    for _ in 0..100 {
        let outcome = endpoint.call(&Outgoing { bytes: &bytes, ..Outgoing::tag(7) }, FOREVER).await;
        wrong += unless(matches!(outcome, Err(Error::TooLarge)));
        let outcome = endpoint.send(&Outgoing { transfers: &transfers, ..Outgoing::tag(7) }, FOREVER).await;
        wrong += unless(outcome == Err(Error::TooLarge));
    }
    Ok(wrong)
}

/// More messages than the endpoint of a server has room for, for ever.
async fn flood(process: &Process) -> Wrong {
    let endpoint = process.capability::<Endpoint>("endpoint").map_err(|_| Error::BadHandle)?;
    loop {
        match endpoint.send(&Outgoing { bytes: &[1; 4096], ..Outgoing::tag(7) }, 0).await {
            Ok(()) | Err(Error::WouldBlock | Error::QuotaExceeded) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Copies of itself, each of which does the same, until what it was given is used up.
fn fork(process: &Process) -> Wrong {
    let image = process.capability::<Image>("image").map_err(|_| Error::BadHandle)?;
    let copy = || -> Result<(), Error> {
        let supervisor = Cap::<Endpoint>::create(process.quota(), 1)?;
        let own = process.quota().split(1 << 20, 1024)?;
        let child = Cap::<ProcessObject>::create(&image, &own, &supervisor, "forks", Limits::DEFAULT)?;
        let capabilities = vec![
            ("quota".into(), child.grant(&own, Rights::ALL, 0)?),
            ("image".into(), child.grant(&image, Rights::ALL, 0)?),
        ];
        let arguments = vec!["deed".into(), "forks".into()];
        child.start(&Startup { arguments, environment: Vec::new(), capabilities })?;
        // All of it is kept.
        let _kept = [supervisor.into_handle(), own.into_handle(), child.into_handle()];
        Ok(())
    };
    while copy().is_ok() {}
    loop {
        black_box(0);
    }
}

/// More than it has, sums that overflow, and at last the quota that it lives on.
fn play_with_quotas(process: &Process) -> Wrong {
    let quota = process.quota();
    let mut wrong = 0;
    for (memory, pages) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (1 << 63, 1 << 63), (u64::MAX - 100, 1)]
    {
        wrong += unless(quota.split(memory, pages).err() == Some(Error::QuotaExceeded));
    }
    let before = quota.info()?;
    for _ in 0..1000 {
        quota.split(4096, 1)?.destroy()?;
    }
    wrong += unless(quota.info()? == before);
    if wrong == 0 {
        Cap::<Quota>::from_handle(quota.handle()).destroy()?;
    }
    Ok(wrong)
}

/// What is no executable, of either host, again and again.
async fn bring_bad_images(process: &Process) -> Wrong {
    let region = Cap::<Region>::create(process.quota(), 1)?;
    let elf = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[2, 0, 62, 0, 1, 0, 0, 0], &[0xFF; 40]].concat();
    let mut wrong = 0;
    for bytes in [&b"\0asm\x01\0\0\0\x07"[..], b"\0asm\x0d\0\x01\0lies", b"MZ", &[0xFF; 512], &elf] {
        region.write(0, bytes)?;
        for length in [bytes.len() as u64, 4096, 4097, 0, u64::MAX] {
            let outcome = Cap::<Image>::create(process.quota(), &region, length, "lie").await;
            wrong += unless(outcome.err() == Some(Error::InvalidArgument));
        }
    }
    Ok(wrong)
}

/// Ten thousand capabilities from one, and all of them gone at once, twice.
fn revoke_thousands(process: &Process) -> Wrong {
    let endpoint = Cap::<Endpoint>::create(process.quota(), 1)?;
    let mut wrong = 0;
    for _ in 0..2 {
        let mut from = endpoint.handle();
        for number in 0..10_000 {
            let next = guessed::<Endpoint>(from).derive(Rights::SEND)?.into_handle();
            // As deep as may be, and broad.
            from = if number % 64 == 63 { endpoint.handle() } else { next };
        }
        wrong += unless(endpoint.revoke() == Ok(10_000));
    }
    Ok(wrong)
}

/// Waits that end at once, or nearly.
async fn wait_for_nothing(process: &Process) -> Wrong {
    let endpoint = Cap::<Endpoint>::create(process.quota(), 1)?;
    let mut wrong = 0;
    for round in 0..3000 {
        let outcome = endpoint.receive(1 + round % 5).await;
        wrong += unless(matches!(outcome, Err(Error::TimedOut | Error::WouldBlock)));
    }
    Ok(wrong)
}
