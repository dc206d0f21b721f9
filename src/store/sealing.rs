//! How what is confidential stands in the database: a format byte, then the value.
//!
//! Every sealed column is written and read here, and nowhere else. Format 0 is the plain value.
//! Encryption will be another one; rows of both can then be told apart.

use super::error::StoreError;

/// The plain value.
const PLAIN: u8 = 0;

/// One column of one row: what a sealed value is bound to, and what errors name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    /// Empty for a row that its key alone names.
    pub(super) realm: &'a str,
    pub(super) key: &'a str,
    pub(super) column: &'static str,
}

impl Place<'_> {
    /// The error for a value that cannot be read.
    pub(super) fn corrupt(&self, reason: impl Into<String>) -> StoreError {
        let key = if self.realm.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}/{}", self.realm, self.key)
        };
        StoreError::Corrupt {
            table: self.table,
            column: self.column,
            key,
            reason: reason.into(),
        }
    }
}

/// Seals values on their way into the database, and opens them on their way out.
#[derive(Clone, Debug)]
pub(super) struct Sealer {
    /// The format that is written.
    format: u8,
}

impl Sealer {
    /// Writes values as they are.
    pub(super) fn plain() -> Self {
        Self { format: PLAIN }
    }

    /// The bytes to store there.
    pub(super) fn seal(&self, _place: &Place<'_>, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.push(self.format);
        bytes.extend(value);
        bytes
    }

    /// The value of bytes that stand there.
    ///
    /// # Errors
    /// `Corrupt` for a format that this version does not know.
    pub(super) fn open(&self, place: &Place<'_>, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        match bytes.split_first() {
            Some((format, value)) if *format == self.format => Ok(value.to_vec()),
            Some((format, _)) => {
                Err(place.corrupt(format!("format {format} is unknown to this version")))
            }
            None => Err(place.corrupt("empty")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        table: "ts_token",
        realm: "r",
        key: "k",
        column: "token",
    };

    #[test]
    fn what_is_sealed_opens_again_and_begins_with_its_format() {
        let sealer = Sealer::plain();
        for value in [&b""[..], b"hush", b"\x00\xff"] {
            let bytes = sealer.seal(&PLACE, value);
            assert_eq!(bytes.first(), Some(&PLAIN));
            assert_eq!(sealer.open(&PLACE, &bytes), Ok(value.to_vec()));
        }
    }

    #[test]
    fn another_format_and_nothing_at_all_are_corrupt_at_their_place() {
        for bytes in [&b"\x01hush"[..], b"hush", b""] {
            let error = Sealer::plain().open(&PLACE, bytes).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("ts_token.token of r/k cannot be read"));
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
