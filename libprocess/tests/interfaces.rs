//! What the generator makes of `wit/tests/golden/sample.wit`, at work: a client and a server,
//! every type there and back, capabilities, errors, and requests of which nothing is right.

mod machine;

#[allow(missing_docs)]
mod generated {
    include!("../../wit/tests/golden/sample.rs");
}

use generated::sample::everything::{self, Choice, Colour, Login, Roles, Server as _, Token};
use generated::sample::sample_events;
use libprocess::abi::DeliveryKind;
use libprocess::client::Refusal;
use libprocess::{Any, Caller, Cap, ClientError, Endpoint, Error, Process, serve};
use machine::{Machine, Object, Run, SERIAL};
use std::cell::RefCell;
use std::rc::Rc;

/// Answers with what it was given, and notes it.
#[derive(Default)]
struct Echo {
    seen: RefCell<Vec<String>>,
    kept: RefCell<Vec<Cap<Any>>>,
}

impl everything::Server for Echo {
    async fn nothing(&self, caller: Caller) {
        self.seen.borrow_mut().push(format!("nothing by {}", caller.badge));
    }
    async fn add(&self, _: Caller, a: u32, b: Option<String>) -> u64 {
        u64::from(a) + b.map_or(0, |b| b.len() as u64)
    }
    async fn get(&self, _: Caller, key: String, colour: Colour) -> Result<Vec<u8>, everything::Error> {
        match (key.as_str(), colour) {
            ("none", _) => Err(everything::Error::NotFound),
            ("wrong", colour) => Err(everything::Error::Wrong(colour)),
            ("huge", _) => Ok(vec![7; 70_000]),
            (key, _) => Ok(key.as_bytes().repeat(100)),
        }
    }
    async fn put(&self, _: Caller, login: Login, data: Vec<u8>, choices: Vec<Choice>) -> Result<(), everything::Error> {
        self.seen.borrow_mut().push(format!("{login:?} {} {choices:?}", data.len()));
        Ok(())
    }
    async fn open(
        &self,
        _: Caller,
        to: Cap<Endpoint>,
        by: Cap<Any>,
        more: Vec<Cap<Any>>,
    ) -> Result<(u32, Cap<Endpoint>, Option<Cap<Any>>), everything::Error> {
        let count = more.len() as u32;
        self.kept.borrow_mut().extend(more);
        Ok((count, to, Some(by)))
    }
    async fn request(&self, _: Caller, request: (bool, char), answer: Result<u8, i8>) -> (Token, Vec<Cap<Any>>) {
        self.seen.borrow_mut().push(format!("{request:?} {answer:?}"));
        (Token { value: vec![1, 2, 3] }, self.kept.take())
    }
}

/// A server of [`Echo`], and a client that does `body`.
fn with_client<F: Future<Output = ()> + 'static>(
    body: impl FnOnce(everything::Client, Process) -> F + 'static,
) -> Vec<String> {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let client = machine.badged(endpoint, 42);
    let quota = machine.object(Object::Quota);
    let mut run = Run::new(&machine);
    let echo = Rc::new(Echo::default());
    let server = echo.clone();
    run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
        serve(process.capability("endpoint").unwrap(), everything::Serve(&*server)).await.unwrap();
    });
    let caller = run.add(&[("sample", client), ("quota", quota)], &[], move |process: Process| async move {
        let client: everything::Client = process.connect().await.unwrap();
        body(client, process).await;
    });
    run.run();
    assert_eq!(run.ended(caller), Some(0), "the client did not come to its end: {:?}", machine.debug_lines());
    echo.seen.take()
}

#[test]
fn arguments_and_results_of_every_type_come_as_they_were_sent() {
    let seen = with_client(|client, _| async move {
        client.nothing().await.unwrap();
        assert_eq!(client.add(40, Some("ab")).await, Ok(42));
        assert_eq!(client.add(u32::MAX, None).await, Ok(u64::from(u32::MAX)));
        assert_eq!(client.get(&"key".to_string(), Colour::Red).await, Ok(b"key".repeat(100)));
        let login = Login {
            user: "ada".into(),
            password: "hunter2".into(),
            r#type: vec![0, 255],
            roles: Roles::ADMIN | Roles::GUEST,
        };
        let choices = [Choice::Nothing, Choice::Number(-5), Choice::Word("pssst".into()), Choice::Raw(vec![9; 3])];
        client.put(&login, &[1; 61_000], &choices).await.unwrap();
        let (token, none) = client.request(&(true, 'ö'), &Err(-1)).await.unwrap();
        assert_eq!(token.value, [1, 2, 3]);
        assert!(none.is_empty());
    });
    assert_eq!(seen[0], "nothing by 42");
    assert_eq!(
        seen[1],
        "Login { user: \"ada\", password: <secret>, type: [0, 255], roles: Roles(3) } 61000 \
         [Nothing, Number(-5), Word(<secret>), Raw([9, 9, 9])]"
            .replace("type:", "r#type:")
    );
    assert_eq!(seen[2], "(true, 'ö') Err(-1)");
}

#[test]
fn own_errors_and_the_platforms_are_told_apart() {
    with_client(|client, _| async move {
        let none = client.get(&"none".to_string(), Colour::Red).await;
        assert_eq!(none, Err(ClientError::Service(everything::Error::NotFound)));
        assert_eq!(none.unwrap_err().to_string(), "there is nothing");
        let wrong = client.get(&"wrong".to_string(), Colour::LightGreen).await.unwrap_err();
        assert_eq!(wrong.to_string(), "wrong colour: LightGreen");
        let huge = client.get(&"huge".to_string(), Colour::Red).await;
        assert_eq!(huge, Err(ClientError::Refused(Refusal::TooLarge)));
        let too_long = client.get(&"x".repeat(70_000), Colour::Red).await;
        assert_eq!(too_long, Err(ClientError::System(Error::TooLarge)));
    });
}

#[test]
fn capabilities_move_or_are_derived_and_none_leaks() {
    with_client(|client, process| async move {
        let endpoint = Cap::<Endpoint>::create(process.quota(), 4).unwrap();
        let before = endpoint.handle();
        let by = Cap::<Endpoint>::create(process.quota(), 4).unwrap().erase();
        let more = vec![
            Cap::<Endpoint>::create(process.quota(), 1).unwrap().erase(),
            Cap::<Endpoint>::create(process.quota(), 1).unwrap().erase(),
        ];
        let (count, came, thing) = client.open(endpoint, &by, more).await.unwrap();
        assert_eq!(count, 2);
        assert_ne!(came.handle(), before, "it went there and came back");
        // The borrowed one is still here; what came back is a derived one.
        assert_ne!(thing.unwrap().handle(), by.handle());
        by.typed::<Endpoint>().derive(libprocess::Rights::ALL).unwrap();
        let (_, kept) = client.request(&(false, 'x'), &Ok(1)).await.unwrap();
        assert_eq!(kept.len(), 2);
    });
}

#[test]
fn more_than_eight_capabilities_are_refused_and_stay() {
    with_client(|client, process| async move {
        let to = Cap::<Endpoint>::create(process.quota(), 4).unwrap();
        let by = Cap::<Endpoint>::create(process.quota(), 4).unwrap().erase();
        let more = (0..7).map(|_| Cap::<Endpoint>::create(process.quota(), 1).unwrap().erase()).collect();
        assert!(matches!(client.open(to, &by, more).await, Err(ClientError::System(Error::TooLarge))));
    });
}

#[test]
fn handles_of_both_sides_come_to_nothing_in_the_end() {
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let client = machine.badged(endpoint, 1);
    let quota = machine.object(Object::Quota);
    let mut run = Run::new(&machine);
    run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
        let echo = Echo::default();
        serve(process.capability("endpoint").unwrap(), everything::Serve(&echo)).await.unwrap();
    });
    run.add(&[("sample", client), ("quota", quota)], &[], move |process: Process| async move {
        let client: everything::Client = process.connect().await.unwrap();
        let make = || Cap::<Endpoint>::create(process.quota(), 4).unwrap();
        for _ in 0..10 {
            let by = make().erase();
            client.open(make(), &by, vec![make().erase()]).await.unwrap();
            // Malformed on purpose: what rides on it must not stay with the server.
            let number = everything::tags::NOTHING;
            let mut passing = libprocess::wire::Passing::new();
            passing.moves(make());
            let answer = client.connection().call::<_, (), ()>(number, &(7u8,), passing).await;
            assert!(matches!(answer, Err(ClientError::Refused(Refusal::Malformed))));
            client.request(&(false, 'x'), &Ok(1)).await.unwrap();
        }
        drop(client);
    });
    run.run();
    // The lifecycle message that ends it: badge 0, one-way.
    let words = [SERIAL << 8, 0, 0, 0, 0, 0, 0, 0];
    machine.post(endpoint, DeliveryKind::Sent, 0, 0x1100 | 2 << 32, words, Vec::new());
    run.run();
    assert_eq!(machine.handles(), 0);
}

#[test]
fn requests_that_are_wrong_are_refused_with_what_is_wrong() {
    with_client(|client, _| async move {
        let connection = client.connection();
        let unknown = connection.call::<_, (), ()>(everything::NUMBER + 99, &(), Default::default()).await;
        assert!(matches!(unknown, Err(ClientError::Refused(Refusal::Unknown))));
        let elsewhere = connection.call::<_, (), ()>(0x9900, &(), Default::default()).await;
        assert!(matches!(elsewhere, Err(ClientError::Refused(Refusal::Unknown))));
        for arguments in [&[][..], &[1][..], &[1, 1, 255][..], &[200; 70][..]] {
            let malformed =
                connection.call::<_, u64, ()>(everything::tags::ADD, &RawBytes(arguments), Default::default()).await;
            assert!(matches!(malformed, Err(ClientError::Refused(Refusal::Malformed))), "{arguments:?}: {malformed:?}");
        }
        // A capability's index without the capability.
        let missing =
            connection.call::<_, (), ()>(everything::tags::OPEN, &(0u8, 1u8, vec![2u8]), Default::default()).await;
        assert!(matches!(missing, Err(ClientError::Refused(Refusal::Malformed))));
    });
}

/// Encodes as these bytes, and nothing around them.
struct RawBytes<'a>(&'a [u8]);

impl serde::Serialize for RawBytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

#[test]
fn one_capability_cannot_be_taken_twice() {
    with_client(|client, process| async move {
        let mut passing = libprocess::wire::Passing::new();
        passing.moves(Cap::<Endpoint>::create(process.quota(), 4).unwrap());
        let number = everything::tags::OPEN;
        let twice = client.connection().call::<_, (), ()>(number, &(0u8, 0u8, Vec::<u8>::new()), passing).await;
        assert!(matches!(twice, Err(ClientError::Refused(Refusal::Malformed))));
    });
}

#[test]
fn a_call_that_may_be_repeated_is_when_the_service_was_restarted() {
    for (repeats, code) in [(1, 0), (5, 1)] {
        let machine = Machine::new();
        let endpoint = machine.endpoint();
        let client = machine.badged(endpoint, 1);
        let mut run = Run::new(&machine);
        let caller = run.add(&[("sample", client)], &[], move |process: Process| async move {
            let client: everything::Client = process.connect().await.unwrap();
            client.add(1, None).await.map(|_| ())
        });
        for _ in 0..repeats {
            run.settle();
            run.fail_calls(Error::PeerGone);
        }
        run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
            let echo = Echo::default();
            serve(process.capability("endpoint").unwrap(), everything::Serve(&echo)).await.unwrap();
        });
        run.settle();
        assert_eq!(run.ended(caller), Some(code));
    }
}

#[test]
fn a_call_that_may_not_be_repeated_is_not() {
    let machine = Machine::new();
    let client = machine.endpoint();
    let mut run = Run::new(&machine);
    let caller = run.add(&[("sample", client)], &[], move |process: Process| async move {
        let client: everything::Client = process.connect().await.unwrap();
        assert_eq!(client.nothing().await, Err(ClientError::ServiceRestarted));
    });
    run.settle();
    run.fail_calls(Error::PeerGone);
    run.settle();
    assert_eq!(run.ended(caller), Some(0));
    let calls = machine.calls(caller);
    assert_eq!(calls.iter().filter(|call| **call == libprocess::abi::Number::Call).count(), 1);
}

#[test]
fn a_call_that_nobody_answers_times_out() {
    let machine = Machine::new();
    let client = machine.endpoint();
    let clock = machine.object(Object::Clock);
    let mut run = Run::new(&machine);
    let caller = run.add(&[("sample", client), ("clock", clock)], &[], move |process: Process| async move {
        let client: everything::Client = process.connect().await.unwrap();
        let before = process.now();
        assert_eq!(client.nothing().await, Err(ClientError::TimedOut));
        assert_eq!(process.now() - before, 5_000_000_000);
        let patient = client.within(std::time::Duration::from_secs(60));
        assert_eq!(patient.nothing().await, Err(ClientError::TimedOut));
        assert_eq!(process.now() - before, 65_000_000_000);
    });
    run.run();
    assert_eq!(run.ended(caller), Some(0));
}

#[test]
fn events_go_one_way_to_whoever_subscribed() {
    struct Listener(RefCell<Vec<Colour>>);
    impl sample_events::Server for Listener {
        async fn changed(&self, caller: Caller, colour: Colour) {
            assert_eq!(caller.badge, 7);
            self.0.borrow_mut().push(colour);
        }
    }
    let machine = Machine::new();
    let endpoint = machine.endpoint();
    let to = machine.badged(endpoint, 7);
    let mut run = Run::new(&machine);
    let listener = Rc::new(Listener(RefCell::default()));
    let hears = listener.clone();
    run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
        serve(process.capability("endpoint").unwrap(), (sample_events::Serve(&*hears),)).await.unwrap();
    });
    let sender = run.add(&[("sample-news", to)], &[], move |process: Process| async move {
        let client: sample_events::Client = process.connect().await.unwrap();
        client.changed(Colour::LightGreen).await.unwrap();
        client.changed(Colour::Red).await.unwrap();
    });
    run.run();
    assert_eq!(run.ended(sender), Some(0));
    assert_eq!(listener.0.take(), [Colour::LightGreen, Colour::Red]);
}

#[test]
fn numbers_are_interface_and_position() {
    assert_eq!((everything::NUMBER, everything::tags::NOTHING), (0x7000, 0x7000));
    assert_eq!(everything::tags::REQUEST, 0x7005);
    assert_eq!(sample_events::tags::CHANGED, 0x7100);
}

#[test]
fn flags_take_no_bits_that_they_do_not_have() {
    assert_eq!(Roles::from_bits(3), Some(Roles::ALL));
    assert_eq!(Roles::from_bits(4), None);
    let bytes = postcard::to_allocvec(&Roles::GUEST).unwrap();
    assert_eq!(bytes, [2]);
    assert!(postcard::from_bytes::<Roles>(&[4]).is_err());
}

#[test]
fn secrets_do_not_show() {
    let token = Token { value: b"canary".to_vec() };
    assert_eq!(format!("{token:?}"), "<secret>");
}

proptest::proptest! {
    /// Whatever comes, the service answers the next honest request.
    #[test]
    fn no_message_ends_a_service(messages in proptest::collection::vec((
        0u32..8,
        proptest::prelude::any::<[u64; 8]>(),
        proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        0u64..70,
    ), 1..8)) {
        let machine = Machine::new();
        let endpoint = machine.endpoint();
        let mut run = Run::new(&machine);
        run.add(&[("endpoint", endpoint)], &[], move |process: Process| async move {
            let echo = Echo::default();
            serve(process.capability("endpoint").unwrap(), everything::Serve(&echo)).await
        });
        for (function, words, bytes, length) in messages {
            let bytes = if length % 2 == 0 { bytes } else { Vec::new() };
            machine.post(endpoint, DeliveryKind::Sent, 9, u64::from(everything::NUMBER + function) | length << 32, words, bytes);
        }
        run.run();
        let client = machine.badged(endpoint, 1);
        let honest = run.add(&[("sample", client)], &[], move |process: Process| async move {
            let client: everything::Client = process.connect().await.unwrap();
            assert_eq!(client.add(1, None).await, Ok(1));
        });
        run.run();
        proptest::prop_assert_eq!(run.ended(honest), Some(0));
    }
}

/// The server trait is to be had without an instance of the dispatcher.
#[test]
fn servers_are_ordinary_objects() {
    let echo = Echo::default();
    let answer = futures_util::FutureExt::now_or_never(echo.add(Caller { badge: 0 }, 1, None));
    assert_eq!(answer, Some(1));
}
