//! Notifications: bits are kept until somebody takes them, and wake whoever waits.

mod common;

use common::{server, take};
use libprocess::{Cap, Error, Incoming, Signal, capability, now, sleep};
use simulated::{Grant, Stage, for_seeds};
use std::time::Duration;

type Notification = Cap<capability::Notification>;

#[test]
fn bits_gather_until_they_are_taken() {
    for_seeds(0..20, |seed| {
        Stage::new(seed)
            .client("one", async |process| {
                let bits: Notification = take(&process, "bits");
                bits.signal(0b001).unwrap();
                bits.signal(0b100).unwrap();
            })
            .with(Grant::notification("bits"))
            .client("waits", async |process| {
                let bits: Notification = take(&process, "bits");
                let mut seen = 0;
                while seen != 0b101 {
                    let came = bits.wait(1_000_000_000).await.unwrap();
                    assert_eq!(seen & came, 0, "a bit comes once for each time it was set");
                    seen |= came;
                }
                assert_eq!(bits.poll(), Ok(0));
            })
            .with(Grant::notification("bits"))
            .pass();
    });
}

#[test]
fn a_wait_ends_at_its_time() {
    Stage::new(1)
        .client("client", async |process| {
            let bits = Notification::create(process.quota()).unwrap();
            let begun = now();
            assert_eq!(bits.wait(5_000_000).await, Err(Error::TimedOut));
            assert!((5_000_000..5_100_000).contains(&(now() - begun)));
            assert_eq!(bits.wait(0).await, Err(Error::WouldBlock));
        })
        .pass();
}

#[test]
fn a_bound_notification_wakes_a_receiver() {
    for_seeds(0..20, |seed| {
        Stage::new(seed)
            .client("receiver", async |process| {
                let signal = Signal::new().unwrap();
                let mut inbox = libprocess::Inbox::open(take(&process, "endpoint")).unwrap();
                let endpoint: Cap<capability::Endpoint> = take(&process, "give");
                let mut passing = libprocess::wire::Passing::new();
                passing.moves(signal.capability().unwrap());
                // A capability goes from hand to hand: somebody must be receiving.
                sleep(Duration::from_millis(1)).await;
                libprocess::client::Connection::new(endpoint).event(1, &signal.mask(), passing).await.unwrap();
                libprocess::spawn(async move {
                    if let Ok(Incoming::Request(request)) = inbox.next().await {
                        request.answer(&(), libprocess::wire::Passing::new());
                    }
                });
                signal.wait().await;
            })
            .with(Grant::endpoint("e").named("endpoint"))
            .with(Grant::endpoint("mail").named("give"))
            .client("sender", async |process| {
                let mut inbox = libprocess::Inbox::open(take(&process, "endpoint")).unwrap();
                let Incoming::Request(mut request) = inbox.next().await.unwrap() else { panic!("not a message") };
                let mask: u64 = request.decode().unwrap();
                let bits: Notification = request.passed().take(0).unwrap();
                sleep(Duration::from_millis(5)).await;
                bits.signal(mask).unwrap();
            })
            .with(Grant::endpoint("mail").named("endpoint"))
            .pass();
    });
}

#[test]
fn who_waits_on_what_is_destroyed_is_told() {
    for_seeds(0..20, |seed| {
        Stage::new(seed)
            .service("server", server)
            .client("waits", async |process| {
                let bits: Notification = take(&process, "bits");
                assert_eq!(bits.wait(1_000_000_000).await, Err(Error::Revoked));
            })
            .with(Grant::notification("bits"))
            .client("destroys", async |process| {
                sleep(Duration::from_millis(5)).await;
                take::<capability::Notification>(&process, "bits").destroy().unwrap();
            })
            .with(Grant::notification("bits"))
            .pass();
    });
}
