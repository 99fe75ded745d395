//! Changes to something valid, as libFuzzer's bytes say: what begins as garbage is refused at its first byte, and
//! nothing behind that is tried.

/// Takes the fuzzer's bytes apart, from the front. When they are used up all is zero.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Two bytes, the lower first.
    pub fn short(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// Three bytes, the lowest first.
    pub fn offset(&mut self) -> usize {
        usize::from(self.short()) | usize::from(self.byte()) << 16
    }

    /// Up to `count` bytes: fewer if there are no more.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether all are used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Makes one change in `bytes`: overwrites some, flips one, cuts the end off, adds zeros, repeats or exchanges parts.
pub fn edit(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    let (kind, at) = (input.byte(), input.offset());
    if bytes.is_empty() {
        return bytes.extend_from_slice(input.bytes(usize::from(kind)));
    }
    let at = at % bytes.len();
    match kind % 8 {
        0 => bytes.truncate(at),
        1 => bytes.resize(bytes.len() + at % 4096, 0),
        2 => {
            let part = bytes[at..(at + 512).min(bytes.len())].to_vec();
            let to = input.offset() % bytes.len();
            let length = part.len().min(bytes.len() - to);
            bytes[to..to + length].copy_from_slice(&part[..length]);
        }
        3 => {
            bytes.remove(at);
        }
        4 | 5 => bytes[at] ^= input.byte().max(1),
        _ => {
            let count = usize::from(input.byte()) % 40;
            let new = input.bytes(count);
            let length = new.len().min(bytes.len() - at);
            bytes[at..at + length].copy_from_slice(&new[..length]);
        }
    }
}
