//! Keys and signed checkpoints, as C2SP signed-note and tlog-checkpoint say: Ed25519,
//! one signature, no extension lines. What is not exactly the text that this code
//! would write is refused, so that no bit of a checkpoint can change unseen.

use crate::header::Hash;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha256};

/// The signature type of Ed25519 in a key's bytes.
const ED25519: u8 = 1;
/// The signature type of a witness's Ed25519 cosignature (C2SP tlog-cosignature).
const COSIGNATURE: u8 = 4;

/// Whether `name` can name a key: not empty, no white space, no plus.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// The first four bytes of SHA-256 over name, newline, type and public key.
fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let hash: Hash = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([kind])
        .chain_update(public)
        .finalize()
        .into();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The typed key as base64, and back: the 32 bytes behind the type.
fn encode_key(kind: u8, key: &[u8; 32]) -> String {
    let mut typed = [kind; 33];
    typed[1..].copy_from_slice(key);
    Base64::encode_string(&typed)
}

fn decode_key(kind: u8, text: &str) -> Option<[u8; 32]> {
    match Base64::decode_vec(text).ok()?.split_first()? {
        (typed, key) if *typed == kind => key.try_into().ok(),
        _ => None,
    }
}

/// A vkey: name, id and typed key.
fn vkey(name: &str, kind: u8, key: &VerifyingKey) -> String {
    let public = key.as_bytes();
    format!("{name}+{}+{}", hex(&key_id(name, kind, public)), encode_key(kind, public))
}

/// Name and key of a vkey, exactly as [`vkey`] writes it.
fn read_vkey(text: &str, kind: u8) -> Option<(String, VerifyingKey)> {
    let mut parts = text.splitn(3, '+');
    let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let key = VerifyingKey::from_bytes(&decode_key(kind, key)?).ok()?;
    // Under a weak key anyone can sign.
    (is_name(name) && !key.is_weak() && vkey(name, kind, &key) == text).then(|| (name.to_string(), key))
}

/// The key with which a machine signs its log.
#[derive(Clone)]
pub struct MachineKey {
    name: String,
    key: SigningKey,
}

impl MachineKey {
    /// A key from 32 random bytes. It and its log are named after its public half.
    pub fn from_seed(seed: &[u8; 32]) -> MachineKey {
        let key = SigningKey::from_bytes(seed);
        let name = format!("orbital.machine/{}", hex(&blake3::hash(key.verifying_key().as_bytes()).as_bytes()[..8]));
        MachineKey { name, key }
    }

    /// The key of the log that the bare machine writes, if it is started with this key. Two hosts may share a state
    /// folder, but one origin may name one tree only: so each log has a key of its own, and both come from one secret.
    pub fn of_bare_machine(&self) -> MachineKey {
        MachineKey::from_seed(&blake3::derive_key("orbital 2026-11 log of the bare machine", self.key.as_bytes()))
    }

    /// The name: origin of the log's checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// The public half, for those who verify.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// A secret for another purpose, which tells nothing of this key: BLAKE3's key derivation. `context`
    /// names the purpose, and is a constant.
    pub fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, self.key.as_bytes())
    }

    /// The secret as Go's note package writes it: `PRIVATE+KEY+name+id+key`. For the key
    /// file, and nowhere else.
    pub fn to_secret_text(&self) -> String {
        let public = self.public();
        format!(
            "PRIVATE+KEY+{}+{}+{}",
            self.name,
            hex(&key_id(&self.name, ED25519, &public)),
            encode_key(ED25519, self.key.as_bytes())
        )
    }

    /// From what [`MachineKey::to_secret_text`] wrote.
    pub fn from_secret_text(text: &str) -> Option<MachineKey> {
        let mut parts = text.strip_prefix("PRIVATE+KEY+")?.splitn(3, '+');
        let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let key = SigningKey::from_bytes(&decode_key(ED25519, key)?);
        let key = MachineKey { name: name.to_string(), key };
        (is_name(name) && key.to_secret_text() == text).then_some(key)
    }

    /// The checkpoint of a tree, signed.
    pub fn sign(&self, size: u64, root: &Hash) -> String {
        let text = checkpoint_text(&self.name, size, root);
        let mut signature = key_id(&self.name, ED25519, &self.public()).to_vec();
        signature.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n\u{2014} {} {}\n", self.name, Base64::encode_string(&signature))
    }
}

/// Shows no secret.
impl core::fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MachineKey({})", self.name)
    }
}

/// The public half of a machine's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

impl VerifierKey {
    /// As C2SP's vkey: `name+id+key`.
    pub fn to_text(&self) -> String {
        vkey(&self.name, ED25519, &self.key)
    }

    /// From a vkey, exactly as [`VerifierKey::to_text`] writes it.
    pub fn from_text(text: &str) -> Option<VerifierKey> {
        read_vkey(text, ED25519).map(|(name, key)| VerifierKey { name, key })
    }

    /// Its name: the origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// What a checkpoint says, if it is signed by this key and written as it must be.
    pub fn check(&self, checkpoint: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let text = core::str::from_utf8(checkpoint).map_err(|_| CheckpointError::Malformed)?;
        let (body, signature) = text.split_once("\n\n").ok_or(CheckpointError::Malformed)?;
        let mut lines = body.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Malformed);
        let (origin, size, root) = (line()?, line()?, line()?);
        if origin != self.name {
            return Err(CheckpointError::Origin);
        }
        let size: u64 = size.parse().map_err(|_| CheckpointError::Malformed)?;
        let root: Hash = Base64::decode_vec(root)
            .ok()
            .and_then(|root| Vec::try_into(root).ok())
            .ok_or(CheckpointError::Malformed)?;
        let signed = checkpoint_text(origin, size, &root);
        let signature = signature
            .strip_prefix("\u{2014} ")
            .and_then(|line| line.strip_prefix(self.name.as_str())?.strip_prefix(' ')?.strip_suffix('\n'))
            .ok_or(CheckpointError::Malformed)?;
        let bytes = Base64::decode_vec(signature).map_err(|_| CheckpointError::Malformed)?;
        let canonical = format!("{signed}\n\u{2014} {} {}\n", self.name, Base64::encode_string(&bytes));
        if canonical.as_bytes() != checkpoint {
            return Err(CheckpointError::Malformed);
        }
        let (id, signature) = bytes.split_first_chunk::<4>().ok_or(CheckpointError::Malformed)?;
        let signature: &[u8; 64] = signature.try_into().map_err(|_| CheckpointError::Malformed)?;
        if *id != key_id(&self.name, ED25519, self.key.as_bytes())
            || self.key.verify(signed.as_bytes(), &Signature::from_bytes(signature)).is_err()
        {
            return Err(CheckpointError::Signature);
        }
        Ok(Checkpoint { size, root })
    }
}

/// A checkpoint with what witnesses added to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosigned {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The lines behind the log's own signature, in their order.
    pub cosignatures: Vec<Cosignature>,
}

/// One line of a witness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cosignature {
    /// The witness's name.
    pub witness: String,
    /// When it signed, s since 1970; `None` if its key is not known, so that nothing was checked.
    pub time: Option<u64>,
}

impl VerifierKey {
    /// What a checkpoint says that may have lines of witnesses behind this key's own. Of the witnesses in
    /// `known` they are checked; every line is written as it must be, and no key has two.
    pub fn check_cosigned(&self, note: &[u8], known: &[WitnessKey]) -> Result<Cosigned, CheckpointError> {
        let text = core::str::from_utf8(note).map_err(|_| CheckpointError::Malformed)?;
        let (body, signatures) = text.split_once("\n\n").ok_or(CheckpointError::Malformed)?;
        let end = signatures.find('\n').ok_or(CheckpointError::Malformed)?;
        let (own, others) = text.split_at(body.len() + 2 + end + 1);
        let checkpoint = self.check(own.as_bytes())?;
        let signed = checkpoint_text(&self.name, checkpoint.size, &checkpoint.root);
        let mut cosignatures = Vec::new();
        let mut seen: Vec<(&str, [u8; 4])> = Vec::new();
        for line in others.split_inclusive('\n') {
            let (name, bytes) = signature_line(line).ok_or(CheckpointError::Malformed)?;
            let (id, _) = bytes.split_first_chunk::<4>().ok_or(CheckpointError::Malformed)?;
            if seen.contains(&(name, *id)) {
                return Err(CheckpointError::Malformed);
            }
            seen.push((name, *id));
            let time = match known.iter().find(|key| key.name == name && key.id() == *id) {
                None => None,
                Some(key) => Some(key.check(&signed, &bytes).ok_or(CheckpointError::Witness)?),
            };
            cosignatures.push(Cosignature { witness: name.to_string(), time });
        }
        Ok(Cosigned { checkpoint, cosignatures })
    }
}

/// Name and bytes of one signature line, its end included, if it is written as it must be.
fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix("\u{2014} ")?.strip_suffix('\n')?.split_once(' ')?;
    let bytes = Base64::decode_vec(signature).ok()?;
    (is_name(name) && Base64::encode_string(&bytes) == signature).then_some((name, bytes))
}

/// The public key of a witness, for its cosignatures (`cosignature/v1`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WitnessKey {
    name: String,
    key: VerifyingKey,
}

impl WitnessKey {
    /// As a vkey of type 4.
    pub fn to_text(&self) -> String {
        vkey(&self.name, COSIGNATURE, &self.key)
    }

    /// From a vkey of type 4, exactly as [`WitnessKey::to_text`] writes it.
    pub fn from_text(text: &str) -> Option<WitnessKey> {
        read_vkey(text, COSIGNATURE).map(|(name, key)| WitnessKey { name, key })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, COSIGNATURE, self.key.as_bytes())
    }

    /// When it signed what `signed` says, s since 1970, by the bytes of its line: key id, time, signature.
    fn check(&self, signed: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.strip_prefix(&self.id())?.split_first_chunk::<8>()?;
        let (time, signature) = (u64::from_be_bytes(*time), Signature::from_slice(signature).ok()?);
        let message = format!("cosignature/v1\ntime {time}\n{signed}");
        self.key.verify_strict(message.as_bytes(), &signature).ok().map(|()| time)
    }

    /// The line of this witness in what it answered, if its cosignature of the checkpoint is good. Lines of keys
    /// that are not known are ignored.
    pub fn find<'a>(&self, answer: &'a str, origin: &str, checkpoint: &Checkpoint) -> Option<(&'a str, u64)> {
        let signed = checkpoint_text(origin, checkpoint.size, &checkpoint.root);
        answer.split_inclusive('\n').find_map(|line| {
            let (name, bytes) = signature_line(line)?;
            let time = (name == self.name).then(|| self.check(&signed, &bytes))??;
            Some((line, time))
        })
    }
}

/// What is signed: origin, size and root, a line each.
fn checkpoint_text(origin: &str, size: u64, root: &Hash) -> String {
    format!("{origin}\n{size}\n{}\n", Base64::encode_string(root))
}

/// A checkpoint that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Blocks that it covers.
    pub size: u64,
    /// The root over their headers.
    pub root: Hash,
}

/// Why a checkpoint was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckpointError {
    /// It is not written as a checkpoint of this log is.
    Malformed,
    /// Its first line names another log.
    Origin,
    /// The signature is not this key's.
    Signature,
    /// A cosignature is not of the witness's key.
    Witness,
}

impl core::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            CheckpointError::Malformed => "it is not written as a checkpoint of this log is",
            CheckpointError::Origin => "it belongs to another log",
            CheckpointError::Signature => "its signature is not of this machine's key",
            CheckpointError::Witness => "a cosignature is not of the witness's key",
        })
    }
}

impl core::error::Error for CheckpointError {}
