//! The system manifest that init reads.

use init::manifest::parse;

/// The bytes are its text.
pub fn manifest(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Err(error) = parse(text) {
        let shown = error.to_string();
        assert!(!shown.is_empty(), "an error says what is wrong");
    }
}
