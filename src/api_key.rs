//! API keys: the credential of a caller.
//!
//! `tsk_` · 11 base62 digits (the id, shown everywhere) · `_` · 43 random base62 digits (256
//! bits) · 6 base62 digits (CRC-32 of everything before them): 65 characters, found by
//! `tsk_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}`. The checksum tells a mistyped key without a look-up, and
//! a scanner a real key from one that only looks like it. What is stored is the id and the SHA-256
//! of the 43 digits.

mod rate;
mod role;
mod scope;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use secrecy::{ExposeSecret as _, SecretString};

pub use rate::Rate;
pub use role::{Action, Role};
pub use scope::{Scope, Scopes};

/// The first characters of every key.
const PREFIX: &str = "tsk_";
const ID_DIGITS: usize = 11;
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
/// The length of every key.
const LENGTH: usize = PREFIX.len() + ID_DIGITS + 1 + SECRET_DIGITS + CHECKSUM_DIGITS;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key as its caller has it. Never prints.
#[derive(Clone, Debug)]
pub struct ApiKey {
    id: ApiKeyId,
    text: SecretString,
}

/// What names a key: no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKeyId(String);

/// The SHA-256 of a key's secret digits. Compared in constant time, never printed.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

impl ApiKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, NoRandom> {
        Self::of(&random_digits(ID_DIGITS)?, &random_digits(SECRET_DIGITS)?)
    }

    /// A new key with the id of another.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate_for(id: &ApiKeyId) -> Result<Self, NoRandom> {
        Self::of(&id.0, &random_digits(SECRET_DIGITS)?)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what both constructors answer")]
    fn of(id: &str, secret: &str) -> Result<Self, NoRandom> {
        let body = format!("{PREFIX}{id}_{secret}");
        let text = format!("{body}{}", checksum(&body));
        Ok(Self {
            id: ApiKeyId(id.to_owned()),
            text: text.into(),
        })
    }

    /// A key that somebody shows; `None` for what cannot be one. No look-up is needed for that.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_alphanumeric());
        if text.len() != LENGTH || !text.is_ascii() {
            return None;
        }
        let (id, rest) = text.strip_prefix(PREFIX)?.split_at(ID_DIGITS);
        let digits = rest.strip_prefix('_')?;
        let (body, given) = text.split_at(LENGTH - CHECKSUM_DIGITS);
        (is_digits(id) && is_digits(digits) && checksum(body) == given).then(|| Self {
            id: ApiKeyId(id.to_owned()),
            text: text.to_owned().into(),
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// All of it, for the one answer that shows it.
    #[must_use]
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        let text = self.text.expose_secret();
        let begins = PREFIX.len() + ID_DIGITS + 1;
        let secret = text.get(begins..begins + SECRET_DIGITS).unwrap_or_default();
        KeyHash::of(secret.as_bytes())
    }
}

impl ApiKeyId {
    /// An id; `None` for what cannot be one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let is_id = text.len() == ID_DIGITS && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_id.then(|| Self(text.to_owned()))
    }

    /// Its 11 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyHash {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// 64 hex digits, as stored.
    #[must_use]
    pub fn to_hex(self) -> String {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
        let digits = self
            .0
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        digits.collect()
    }

    /// What [`Self::to_hex`] wrote.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (place, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl std::hash::Hash for KeyHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// In constant time.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// So many random digits, each as likely as the others.
fn random_digits(count: usize) -> Result<String, NoRandom> {
    let mut digits = String::with_capacity(count);
    while digits.len() < count {
        let mut bytes = [0; 64];
        rand::fill(&mut bytes).map_err(|_| NoRandom)?;
        // 248 is the last multiple of 62 that a byte holds: higher ones would favour some digits.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let fair = fair.map(|byte| char::from(BASE62[usize::from(byte % 62)]));
        digits.extend(fair.take(count - digits.len()));
    }
    Ok(digits)
}

/// The CRC-32 (IEEE) of a text in base62, highest digit first.
fn checksum(text: &str) -> String {
    let mut left = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(left % 62) as usize];
        left /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        for _ in 0..200 {
            let made = ApiKey::generate().unwrap();
            let text = made.text().expose_secret();
            assert_eq!(text.len(), 65);
            let read = ApiKey::read(text).unwrap();
            assert_eq!((read.id(), read.hash()), (made.id(), made.hash()));
            let hex = made.hash().to_hex();
            assert_eq!(KeyHash::from_hex(&hex), Some(made.hash()));
            assert_eq!(KeyHash::from_hex(&hex.replacen(&hex[..1], "+", 1)), None);
        }
    }

    /// Worked out by Python's `zlib.crc32`, so that a scanner's own check finds the same.
    #[test]
    fn the_checksum_is_the_one_that_others_work_out() {
        let body = format!("tsk_{}_{}", "0".repeat(11), "1".repeat(43));
        assert_eq!(checksum(&body), "0qcuyS");
    }

    #[test]
    fn any_change_of_a_character_is_noticed() {
        let made = ApiKey::generate().unwrap();
        let text = made.text().expose_secret();
        for place in 0..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[place] = if changed[place] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(ApiKey::read(&changed).is_none(), "{place}");
        }
        for wrong in ["", "tsk_", &text[1..], &format!("{text}a"), &"é".repeat(33)] {
            assert!(ApiKey::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_key_never_prints() {
        let made = ApiKey::generate().unwrap();
        let secret = &made.text().expose_secret()[16..];
        let printed = format!("{made:?} {:?}", made.hash());
        assert!(!printed.contains(secret), "{printed}");
        assert!(!printed.contains(&made.hash().to_hex()), "{printed}");
    }
}
