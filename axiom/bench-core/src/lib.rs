//! One client, one server, a message of eight words: call, then reply and receive. On the bare
//! target this is a static library that `count` links into a program for callgrind.
#![no_std]
extern crate alloc;

use abi::{Handle, Message, Name, ReplyToken, Request, Returned, Rights};
use axiom::{Axiom, Config, Head, Outcome, RawBlock};
use kernel::{Effect, Platform, Setup, ThreadId};

/// Client and server, the server waiting.
#[derive(Debug)]
pub struct Pair {
    axiom: Axiom,
    client: ThreadId,
    server: ThreadId,
    /// The endpoint, as the server holds it.
    served: Handle,
    /// The client's request, decoded.
    call: Request<'static>,
    now: u64,
}

/// The message: eight words lie with the host, here is its tag.
const MESSAGE: Message<'static> = Message { tag: 0x7001, length: 0, transfers: &[] };

/// What is counted: one system call through the door, and what it delivers.
#[inline(never)]
pub fn counted(axiom: &mut Axiom, thread: ThreadId, request: &Request<'_>, now: u64) -> Option<(ThreadId, ReplyToken)> {
    axiom.call(thread, request, now);
    axiom.handed_over().map(|(to, _, delivery)| (to, delivery.reply))
}

impl Pair {
    /// Boots a machine with init as the client and one more process as the server. `None` if the kernel refuses.
    pub fn new() -> Option<Pair> {
        let mut pair = Pair::with_key([0; 32])?;
        pair.drop_blocks();
        Some(pair)
    }

    /// The same; its log begins with this public key, and nothing of it was taken yet.
    pub fn with_key(key: [u8; 32]) -> Option<Pair> {
        Pair::with(Config { key, ..Config::new(Platform::WASM) })
    }

    /// The same, on a machine of this configuration.
    pub fn with(config: Config) -> Option<Pair> {
        let mut axiom = Axiom::new(config, Head::EMPTY);
        let quota = axiom.setup(Setup::Quota { memory: 64 << 20, pages: 4096 }, 0).ok()?.handle;
        axiom.setup(Setup::Init { image: [1; 32], length: 1, name: Name::new("client") }, 0).ok()?;
        let image = axiom.setup(Setup::Image { hash: [2; 32], length: 1, name: Name::new("server") }, 0).ok()?.handle;
        axiom.setup(Setup::Start { length: 0 }, 0).ok()?;
        let client = axiom.current()?;
        let made = |axiom: &mut Axiom, request: &Request<'_>| match axiom.call(client, request, 1) {
            Outcome::Done(Ok(Returned::Handle(handle))) => Some(handle),
            _ => None,
        };
        let quota = if quota.is_none() { Handle::new(0, 1) } else { quota };
        let endpoint = made(&mut axiom, &Request::EndpointCreate { quota, depth: 8 })?;
        let limits = abi::info::Limits::DEFAULT;
        let create = Request::ProcessCreate { image, quota, supervisor: endpoint, name: Name::new("server"), limits };
        let process = made(&mut axiom, &create)?;
        let granted = Request::ProcessGrant {
            process,
            source: endpoint,
            rights: Rights::RECEIVE,
            badge: 0,
            expiry: abi::FOREVER,
        };
        let served = made(&mut axiom, &granted)?;
        axiom.call(client, &Request::ProcessStart { process, length: 0 }, 1);
        let mut server = None;
        while let Some(effect) = axiom.effect() {
            if let Effect::ThreadStarted { thread, .. } = effect
                && thread != client
            {
                server = Some(thread);
            }
        }
        let server = server?;
        // The client lets the server run up to its first receive.
        axiom.call(client, &Request::Yield, 1);
        axiom.call(server, &Request::Receive { endpoint: served, timeout: abi::FOREVER }, 2);
        while axiom.effect().is_some() {}
        let call = Request::Call { endpoint, message: MESSAGE, timeout: abi::FOREVER };
        (axiom.current() == Some(client)).then_some(Pair { axiom, client, server, served, call, now: 2 })
    }

    /// One call and its answer; whether both were delivered from hand to hand.
    pub fn round_trip(&mut self) -> bool {
        self.now += 200;
        let Some((to, reply)) = counted(&mut self.axiom, self.client, &self.call, self.now - 100) else {
            return false;
        };
        let answer = Request::ReplyReceive { endpoint: self.served, reply, message: MESSAGE, timeout: abi::FOREVER };
        let Some((back, none)) = counted(&mut self.axiom, self.server, &answer, self.now) else {
            return false;
        };
        (to, back) == (self.server, self.client) && none.is_none()
    }

    /// Takes the blocks that became full and gives them back, as a host without a log would; not part of what is counted.
    pub fn drop_blocks(&mut self) {
        while let Some(block) = self.axiom.take_block() {
            self.axiom.recycle(block);
        }
    }

    /// Takes the blocks that became full.
    pub fn take_blocks(&mut self, mut each: impl FnMut(RawBlock)) {
        while let Some(block) = self.axiom.take_block() {
            each(block);
        }
    }
}

#[cfg(target_os = "none")]
mod bare;
