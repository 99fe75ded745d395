//! In the place of init: lets each deed happen beside a server and its client, then lets servers go while they are called,
//! and calls run in cycles and long chains. Who did nothing wrong must go on, and memory and pages in use are
//! afterwards to the byte what they were. For each a line, `passed NAME`; of a deed also what the log must have of
//! it. Arguments name those that are wanted; without one, all.

use crate::deeds::{DEEDS, Deed};
use crate::parts::{HERE, PATIENCE, number_of, word};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use libprocess::abi::device::{Operation, POWER_OFF};
use libprocess::abi::info::Limits;
use libprocess::abi::message::VERDICT_KILL;
use libprocess::abi::{DeliveryKind, QuotaInfo};
use libprocess::capability::Process as ProcessObject;
use libprocess::{
    Cap, Device, Endpoint, Error, Exit, FOREVER, Image, Missing, Outgoing, Process, Quota, Rights, Startup, system,
};

/// Nothing here takes as long, in ns, on a loaded machine.
const LONG: u64 = 60_000_000_000;
/// Calls of the client beside a hostile process.
const CALLS: &str = "2000";
/// Links between client and server: more than any host nests calls.
const LINKS: usize = 40;

/// What a process may use.
struct Share {
    memory: u64,
    pages: u64,
    limits: Limits,
}

const PART: Share = Share { memory: 256 << 10, pages: 1024, limits: Limits::DEFAULT };
const HOSTILE: Share = Share {
    memory: 16 << 20,
    pages: 8192,
    limits: Limits { capabilities: 10_100, queued_messages: 64, processor_time: FOREVER },
};

/// Why something did not pass.
struct Failure(String);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(format!("it cannot be tried: {error}"))
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Failure {
        Failure(missing.to_string())
    }
}

fn check(right: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if right { Ok(()) } else { Err(Failure(otherwise())) }
}

/// Directs everything and turns the machine off: with 0 if all passed.
pub async fn direct(process: &Process) -> Exit {
    let console = process.capability::<Device>("device:console").ok();
    let say = |line: &str| {
        // Without a console the kernel says it.
        let text = format!("{line}\n");
        let shown = console.as_ref().map(|console| console.submit(Operation::Write, 0, 0, text.as_bytes()));
        match shown {
            Some(Ok(_)) => while console.as_ref().is_some_and(|console| console.complete().is_ok()) {},
            _ => system::debug(line),
        }
    };
    let mut status = 0;
    let mut tell = |name: &str, outcome: Result<String, Failure>| match outcome {
        Ok(more) => say(&format!("passed {name}{more}")),
        Err(Failure(why)) => {
            status = 1;
            say(&format!("failed {name}: {why}"));
        }
    };
    let wanted = process.arguments();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    match Stage::new(process) {
        Ok(stage) => {
            for deed in DEEDS.iter().filter(|deed| is_wanted(deed.name)) {
                let outcome = stage.rages(deed).await;
                tell(deed.name, outcome.map(|()| format!("; on record: {}", deed.on_record)));
            }
            for manner in ["traps", "exits", "loops", "is-killed"] {
                let name = format!("{manner}-while-called");
                if is_wanted(&name) {
                    tell(&name, stage.goes(manner).await.map(|()| String::new()));
                }
            }
            if is_wanted("call-cycle") {
                tell("call-cycle", stage.cycle().await.map(|()| String::new()));
            }
            if is_wanted("call-chain") {
                tell("call-chain", stage.chain().await.map(|()| String::new()));
            }
        }
        Err(failure) => tell("director", Err(failure)),
    }
    if let Ok(power) = process.capability::<Device>("device:power") {
        let _ = power.write(POWER_OFF, status);
    }
    Exit(status)
}

/// A process that was started, and what it lives on.
struct Child {
    process: Cap<ProcessObject>,
    quota: Cap<Quota>,
    serial: u64,
}

/// How a process ended.
struct Ended {
    serial: u64,
    /// Reason and code.
    told: (u64, u64),
}

struct Stage<'a> {
    process: &'a Process,
    image: Cap<Image>,
    /// Where clients say how it went.
    report: Cap<Endpoint>,
    /// Where faults and exits come.
    exits: Cap<Endpoint>,
    /// Processes whose exit has not come.
    running: Cell<u32>,
}

impl<'a> Stage<'a> {
    fn new(process: &'a Process) -> Result<Stage<'a>, Failure> {
        let endpoint = || Cap::<Endpoint>::create(process.quota(), 64);
        let image = process.capability("image:init")?;
        Ok(Stage { process, image, report: endpoint()?, exits: endpoint()?, running: Cell::new(0) })
    }

    fn quota(&self) -> &Cap<Quota> {
        self.process.quota()
    }

    fn endpoint(&self) -> Result<Cap<Endpoint>, Error> {
        Cap::<Endpoint>::create(self.quota(), 64)
    }

    fn start(
        &self,
        name: &str,
        share: &Share,
        arguments: &[&str],
        endpoints: &[(&str, &Cap<Endpoint>, Rights)],
    ) -> Result<Child, Failure> {
        let quota = self.quota().split(share.memory, share.pages)?;
        let process = Cap::<ProcessObject>::create(&self.image, &quota, &self.exits, name, share.limits)?;
        let mut capabilities = vec![
            ("quota".to_string(), process.grant(&quota, Rights::ALL, 0)?),
            ("image".to_string(), process.grant(&self.image, Rights::ALL, 0)?),
        ];
        for (name, endpoint, rights) in endpoints {
            capabilities.push((name.to_string(), process.grant(endpoint, *rights, 0)?));
        }
        let arguments = arguments.iter().map(ToString::to_string).collect();
        process.start(&Startup { arguments, environment: Vec::new(), capabilities })?;
        self.running.set(self.running.get() + 1);
        let serial = process.info()?.serial;
        Ok(Child { process, quota, serial })
    }

    fn server(&self, endpoint: &Cap<Endpoint>) -> Result<Child, Failure> {
        self.start("server", &PART, &["echo"], &[("endpoint", endpoint, Rights::ALL)])
    }

    /// One that makes so many calls; with a time-out in ns, or the word `patient`.
    fn client(&self, endpoint: &Cap<Endpoint>, calls: &str, timeout: &str) -> Result<Child, Failure> {
        let endpoints = [("endpoint", endpoint, Rights::SEND), ("report", &self.report, Rights::SEND)];
        self.start("client", &PART, &["client", calls, timeout], &endpoints)
    }

    /// What somebody reports next must be this.
    async fn expect(&self, outcome: u64, what: &str) -> Result<(), Failure> {
        let reported = match self.report.receive(LONG).await {
            Ok(came) => came.words[0],
            Err(error) => return Err(Failure(format!("{what}: nobody reports: {error}"))),
        };
        check(reported == outcome, || format!("{what}: {reported} was reported, not {outcome}"))
    }

    /// The next that ends within this time. Who faults is ended.
    async fn ended(&self, timeout: u64) -> Result<Option<Ended>, Failure> {
        loop {
            let came = match self.exits.receive(timeout).await {
                Err(Error::TimedOut | Error::WouldBlock) => return Ok(None),
                came => came?,
            };
            if came.delivery.kind == DeliveryKind::Fault {
                system::reply(came.delivery.reply, &Outgoing::tag(VERDICT_KILL))?;
                continue;
            }
            self.running.set(self.running.get() - 1);
            let [reason, code, serial, ..] = came.words;
            return Ok(Some(Ended { serial, told: (reason, code) }));
        }
    }

    /// Ends those who have not ended, with all that they made.
    async fn clear(&self, children: Vec<Child>) -> Result<(), Failure> {
        for child in &children {
            // It may have ended by itself.
            let _ = child.process.kill(9);
        }
        while self.running.get() > 0 {
            let ended = self.ended(LONG).await?;
            check(ended.is_some(), || format!("{} do not end", self.running.get()))?;
        }
        for Child { process, quota, .. } in children {
            drop(process);
            // It may have destroyed that itself.
            let _ = quota.destroy();
        }
        Ok(())
    }

    /// All is as it was.
    fn check_memory(&self, before: QuotaInfo) -> Result<(), Failure> {
        let after = self.quota().info()?;
        check(before == after, || format!("memory and pages before: {before:?}, after: {after:?}"))
    }

    /// A hostile process rages beside a server and its client.
    async fn rages(&self, deed: &Deed) -> Result<(), Failure> {
        let before = self.quota().info()?;
        let endpoint = self.endpoint()?;
        let server = self.server(&endpoint)?;
        let hostile =
            self.start(deed.name, &HOSTILE, &["deed", deed.name], &[("endpoint", &endpoint, Rights::SEND)])?;
        let serial = hostile.serial;
        let beside = self.client(&endpoint, CALLS, "patient")?;
        self.expect(0, "the client beside it").await?;

        // Who comes to an end gets the time for it; the others have had theirs.
        let expected = deed.end.told();
        let patience = if expected.is_some() { LONG } else { 0 };
        let mut told = None;
        while told.is_none() {
            match self.ended(patience).await? {
                Some(ended) if ended.serial == serial => told = Some(ended.told),
                Some(_) => {}
                None => break,
            }
        }
        check(told == expected, || format!("it ended with reason and code {told:?}, not {expected:?}"))?;
        let _ = hostile.process.kill(9);
        let after = self.client(&endpoint, "10", "patient")?;
        self.expect(0, "the client after it").await?;
        self.clear(vec![server, hostile, beside, after]).await?;
        endpoint.destroy()?;
        self.check_memory(before)
    }

    /// A server goes while it is called: its client is told, and another server takes over.
    async fn goes(&self, manner: &str) -> Result<(), Failure> {
        let before = self.quota().info()?;
        let endpoint = self.endpoint()?;
        let endpoints = [("endpoint", &endpoint, Rights::ALL), ("report", &self.report, Rights::SEND)];
        let server = self.start("goes", &PART, &["goes", manner], &endpoints)?;
        // Nobody says that a loop is one: a time-out does.
        let (timeout, outcome) = if manner == "loops" {
            (PATIENCE.to_string(), Error::TimedOut)
        } else {
            ("patient".into(), Error::PeerGone)
        };
        let client = self.client(&endpoint, "1", &timeout)?;
        match manner {
            "is-killed" => {
                self.expect(HERE, "the server has the call").await?;
                server.process.kill(9)?;
            }
            "traps" => _ = self.ended(LONG).await?,
            _ => {}
        }
        self.expect(number_of(outcome), "the call of the one who went").await?;
        let _ = server.process.kill(9);
        let (next, after) = (self.server(&endpoint)?, self.client(&endpoint, "10", "patient")?);
        self.expect(0, "the next server").await?;
        self.clear(vec![server, client, next, after]).await?;
        endpoint.destroy()?;
        self.check_memory(before)
    }

    /// A server calls back to its client, which cannot answer: the time-out ends it, and both go on.
    async fn cycle(&self) -> Result<(), Failure> {
        let before = self.quota().info()?;
        let (forth, back) = (self.endpoint()?, self.endpoint()?);
        let endpoints = [("endpoint", &forth, Rights::ALL), ("next", &back, Rights::SEND)];
        let server = self.start("calls-back", &PART, &["calls-back"], &endpoints)?;
        let answer = forth.call(&word(0), LONG).await?;
        let outcome = answer.words[0];
        check(outcome == number_of(Error::TimedOut), || format!("the call back ended with {outcome}"))?;
        self.clear(vec![server]).await?;
        forth.destroy()?;
        back.destroy()?;
        self.check_memory(before)
    }

    /// A chain of calls goes on, however long it is.
    async fn chain(&self) -> Result<(), Failure> {
        let before = self.quota().info()?;
        let endpoints = (0..=LINKS).map(|_| self.endpoint()).collect::<Result<Vec<_>, _>>()?;
        let mut children = Vec::new();
        for pair in endpoints.windows(2) {
            let given = [("endpoint", &pair[0], Rights::ALL), ("next", &pair[1], Rights::SEND)];
            children.push(self.start("link", &PART, &["link"], &given)?);
        }
        children.push(self.server(&endpoints[LINKS])?);
        children.push(self.client(&endpoints[0], "200", "patient")?);
        self.expect(0, "the client of the chain").await?;
        self.clear(children).await?;
        for endpoint in endpoints {
            endpoint.destroy()?;
        }
        self.check_memory(before)
    }
}
