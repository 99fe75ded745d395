//! The file `index.jsonl` of an export: one line for each thing on the disk. Bytes lie beside it in `data/`, in
//! files with numbers, because a key may be any text.

use serde::{Deserialize, Serialize};

/// Version of the export's form.
pub const VERSION: u32 = 2;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// The first: the disk.
    Disk {
        /// Version of the export's form.
        version: u32,
        /// Its name, hexadecimal.
        name: String,
        /// Its size.
        bytes: u64,
        /// Number of the last transaction.
        transaction: u64,
        /// The last time at which something had expired; ns since 1970.
        horizon: u64,
    },
    /// A namespace.
    Namespace { number: u64, parent: u64, name: String, quota: u64 },
    /// A folder.
    Folder { namespace: u64, number: u64, above: u64, name: String, version: u64, modified: u64 },
    /// An object.
    Object {
        namespace: u64,
        key: String,
        expires: Option<u64>,
        #[serde(flatten)]
        value: Value,
    },
    /// A file.
    File {
        namespace: u64,
        folder: u64,
        name: String,
        #[serde(flatten)]
        value: Value,
    },
    /// The last: BLAKE3 of all lines before it, with their ends, hexadecimal.
    End { hash: String },
}

/// What a value is, and where its bytes are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Value {
    pub size: u64,
    pub version: u64,
    pub modified: u64,
    /// BLAKE3 of the bytes, hexadecimal.
    pub hash: String,
    /// Number of the file in `data/`.
    pub data: u64,
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes from text.
pub fn from_hex(text: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then(|| number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_was() {
        let value = Value { size: 1, version: 2, modified: 3, hash: "00".into(), data: 4 };
        for line in [
            Line::Disk { version: 1, name: hex(&[7; 16]), bytes: 1, transaction: 2, horizon: u64::MAX },
            Line::Object { namespace: 4, key: "a/\"\n".into(), expires: Some(u64::MAX), value: value.clone() },
            Line::File { namespace: 4, folder: 0, name: "f".into(), value },
        ] {
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line, "{text}");
        }
        assert_eq!(from_hex(&hex(&[0xA7; 16])), Some([0xA7; 16]));
        for bad in ["", "zz", "+1", "0123456789abcdef0123456789abcdef0"] {
            assert_eq!(from_hex(bad), None);
        }
    }
}
