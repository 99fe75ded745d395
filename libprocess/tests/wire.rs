//! What travels: everything comes back as it went, and garbage is an error, never a panic.

#[allow(missing_docs)]
mod generated {
    include!("../../wit/tests/golden/sample.rs");
}

use generated::sample::everything::{Choice, Colour, Login, Roles, Token};
use libprocess::Startup;
use libprocess::abi::Handle;
use libprocess::wire::{INLINE, Payload, decode, number};
use proptest::prelude::*;

fn choices() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Nothing),
        any::<i64>().prop_map(Choice::Number),
        any::<String>().prop_map(Choice::Word),
        any::<Vec<u8>>().prop_map(Choice::Raw),
    ]
}

fn logins() -> impl Strategy<Value = Login> {
    (any::<String>(), any::<String>(), any::<Vec<u8>>(), 0u8..4).prop_map(|(user, password, bytes, roles)| Login {
        user,
        password,
        r#type: bytes,
        roles: Roles::from_bits(roles).unwrap(),
    })
}

type Arguments = (Login, Vec<Choice>, Option<u64>, (bool, char), Result<u8, i8>, Colour);

fn arguments() -> impl Strategy<Value = Arguments> {
    (
        logins(),
        prop::collection::vec(choices(), 0..5),
        any::<Option<u64>>(),
        any::<(bool, char)>(),
        any::<Result<u8, i8>>(),
        prop_oneof![Just(Colour::Red), Just(Colour::LightGreen)],
    )
}

proptest! {
    #[test]
    fn every_value_comes_back_as_it_went(arguments in arguments(), tag in any::<u32>()) {
        let payload = Payload::of(&arguments).unwrap();
        prop_assert!(payload.bytes.is_empty() || payload.inline == 0);
        prop_assert!(!payload.bytes.is_empty() || usize::from(payload.inline) <= INLINE);
        prop_assert_eq!(number(payload.tag(tag)), tag);
        let back: Arguments = decode(payload.tag(tag), &payload.words, &payload.bytes).unwrap();
        prop_assert_eq!(back, arguments);
    }

    #[test]
    fn what_fits_into_the_words_goes_there(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let encoded = postcard::to_allocvec(&bytes).unwrap();
        let payload = Payload::of(&bytes).unwrap();
        prop_assert_eq!(payload.bytes.is_empty(), encoded.len() <= INLINE);
    }

    #[test]
    fn garbage_is_an_error_or_a_value_but_never_a_panic(
        tag in any::<u64>(),
        words in any::<[u64; 8]>(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = decode::<Arguments>(tag, &words, &bytes);
        let _ = decode::<Vec<Vec<Vec<u64>>>>(tag, &words, &bytes);
        let _ = decode::<Token>(tag, &words, &bytes);
        let _ = decode::<Result<Vec<String>, Choice>>(tag, &words, &bytes);
        let _ = Startup::from_bytes(&bytes);
        for length in 0..=80u64 {
            let _ = decode::<Vec<Choice>>(length << 32, &words, &[]);
        }
    }

    #[test]
    fn a_value_with_a_byte_more_or_less_is_an_error(arguments in arguments(), more in any::<u8>()) {
        let mut bytes = postcard::to_allocvec(&arguments).unwrap();
        prop_assert_eq!(&decode::<Arguments>(0, &[0; 8], &bytes).unwrap(), &arguments);
        bytes.push(more);
        prop_assert!(decode::<Arguments>(0, &[0; 8], &bytes).is_err());
        bytes.truncate(bytes.len() - 2);
        prop_assert!(decode::<Arguments>(0, &[0; 8], &bytes).is_err());
    }

    #[test]
    fn a_startup_block_comes_back_as_it_went(
        arguments in any::<Vec<String>>(),
        environment in any::<Vec<(String, String)>>(),
        capabilities in any::<Vec<(String, u64)>>(),
    ) {
        let capabilities = capabilities.into_iter().map(|(name, handle)| (name, Handle(handle))).collect();
        let startup = Startup { arguments, environment, capabilities };
        let bytes = startup.to_bytes().unwrap();
        prop_assert_eq!(Startup::from_bytes(&bytes).unwrap(), startup);
    }
}

#[test]
fn a_list_that_claims_to_be_longer_than_its_message_is_an_error_at_once() {
    // 2^63 elements of one byte each, of which none comes.
    let mut bytes = vec![0xff; 9];
    bytes.push(0x7f);
    assert!(decode::<Vec<u8>>(0, &[0; 8], &bytes).is_err());
    assert!(decode::<Vec<Choice>>(0, &[0; 8], &bytes).is_err());
    assert!(decode::<String>(0, &[0; 8], &bytes).is_err());
}

#[test]
fn inline_and_beside_exclude_each_other() {
    assert!(decode::<Vec<u8>>(1 << 32, &[0; 8], &[]).is_ok());
    assert!(decode::<Vec<u8>>(1 << 32, &[0; 8], &[0]).is_err());
    assert!(decode::<Vec<u8>>(65 << 32, &[0; 8], &[]).is_err());
    assert!(decode::<()>(0, &[7; 8], &[]).is_ok());
}

#[test]
fn what_is_longer_than_a_message_is_refused_when_it_is_sent() {
    assert!(Payload::of(&vec![1u8; 65_000]).is_ok());
    assert!(Payload::of(&vec![1u8; 65_536]).is_err());
    let startup = Startup { arguments: vec!["x".repeat(70_000)], ..Startup::default() };
    assert!(startup.to_bytes().is_err());
}

#[test]
fn the_debug_output_of_a_payload_shows_nothing_of_it() {
    let payload = Payload::of(&"canary").unwrap();
    assert_eq!(format!("{payload:?}"), "7 bytes");
}

/// The example of docs/wire-format.md.
#[test]
fn the_documented_example_is_what_travels() {
    let request = Payload::of(&("storage", 0u32)).unwrap();
    assert_eq!(request.tag(0x3001), 0x0000_0009_0000_3001);
    assert_eq!(request.words[..2], [0x65_67_61_72_6f_74_73_07, 0]);
    let answer = Payload::of(&Ok::<u8, u8>(0)).unwrap();
    assert_eq!(answer.tag(0x3001), 0x0000_0002_0000_3001);
    assert_eq!(answer.words[0], 0);
}
