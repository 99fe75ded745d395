//! Messages to init and the services of the whole system in simulation, from a session that holds what the shell
//! holds: any function, any arguments, capabilities along. Nobody panics, who is asked answers afterwards as before,
//! the kernel's invariants hold and the log replays.

use crate::edits::Input;
use abi::message::{MAX_BYTES, Words};
use abi::{Rights, Transfer, TransferMode};
use libprocess::capability::{Any, Outgoing};
use libprocess::interfaces::init::{control, registry};
use libprocess::interfaces::process::lifecycle;
use libprocess::interfaces::storage::objects;
use libprocess::{Cap, Connection, Exit, Process};
use simulated::{End, Simulation};
use std::cell::Cell;
use std::rc::Rc;

/// Messages of one run.
const MOST: usize = 40;
/// A call that is not answered is given up after so many ns of the simulation's time.
const TIMEOUT: u64 = 50_000_000;
/// What the session may send along.
const HELD: [&str; 6] = ["storage", "process", "registry", "image:hello", "log", "entropy"];

/// To init's control interface, which can start and stop services.
pub fn control(data: &[u8]) {
    play("init", &[0x2000], data);
}

/// To init's registry.
pub fn registry(data: &[u8]) {
    play("registry", &[0x3000], data);
}

/// To the process service.
pub fn process(data: &[u8]) {
    play("process", &[0x4000, 0x4100], data);
}

/// To storage: objects, files, namespaces.
pub fn storage(data: &[u8]) {
    play("storage", &[0x7000, 0x7100, 0x7200], data);
}

fn play(service: &'static str, interfaces: &'static [u32], data: &[u8]) {
    let (data, answered) = (data.to_vec(), Rc::new(Cell::new(None)));
    let session = {
        let answered = answered.clone();
        move |process: Process| {
            let (data, answered) = (data.clone(), answered.clone());
            async move {
                let Ok(endpoint) = process.capability(service) else { return Exit(1) };
                let connection = Connection::new(endpoint);
                send(&process, &connection, interfaces, &mut Input(&data)).await;
                answered.set(Some(answers(&connection, service).await));
                Exit(0)
            }
        }
    };
    let mut system = Simulation::new(1)
        .image("init", init::main)
        .image("process", process::main)
        .image("storage", storage::main)
        .image("shell", session)
        .image("hello", |_| async { Exit(0) })
        .first("init", &[])
        .limits(600_000_000_000, 400_000);
    let end = system.run();
    assert_eq!(system.panics(), [], "processes panicked");
    assert!(matches!(end, End::PowerOff(_)), "the machine ended with {end:?}\n{}", system.story());
    // `None`: the session was ended before it could ask.
    assert_ne!(answered.get(), Some(false), "{service} answers no more\n{}", system.story());
    system.check();
}

async fn send(process: &Process, connection: &Connection, interfaces: &[u32], input: &mut Input<'_>) {
    let held: Vec<Cap<Any>> = HELD.iter().filter_map(|name| process.capability(name).ok()).collect();
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let function = usize::from(input.byte());
        let number = interfaces[function % interfaces.len()] + (function / interfaces.len()) as u32 % 16;
        let form = input.byte();
        let length = if form & 0x80 == 0 { usize::from(form & 0x7F) } else { usize::from(input.short()) };
        let payload = input.bytes(length);
        let mut words = Words::default();
        for (word, bytes) in words.iter_mut().zip(payload.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(eight);
        }
        let long = payload.len() > size_of::<Words>() || form & 0x80 != 0;
        let tag = if long { u64::from(number) } else { (payload.len() as u64) << 32 | u64::from(number) };
        let bytes = if long { &payload[..payload.len().min(MAX_BYTES)] } else { &[] };
        let transfers = match held.get(usize::from(input.byte() % 16)) {
            Some(capability) => {
                &[Transfer { handle: capability.handle(), mode: TransferMode::Derive, rights: Rights::ALL, badge: 0 }][..]
            }
            None => &[],
        };
        let message = Outgoing { tag, words, bytes, transfers };
        drop(connection.endpoint().call(&message, TIMEOUT).await);
    }
}

/// Whether who was asked answers a request that it understands.
async fn answers(connection: &Connection, service: &str) -> bool {
    match service {
        "init" => control::Client::over(connection).list().await.is_ok(),
        "registry" => registry::Client::over(connection).list().await.is_ok(),
        "process" => lifecycle::Client::over(connection).list(0).await.is_ok(),
        _ => objects::Client::over(connection).list("", 1, None).await.is_ok(),
    }
}
