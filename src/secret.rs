//! A secret: one app's credentials in a realm, named by (realm, key).

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use papaya::Equivalent;
use secrecy::{ExposeSecret as _, SecretString};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::clock::Timestamp;
use crate::token::TokenText;

/// What stands in an answer in place of a credential.
pub const MASK: &str = "******************";

/// Whether a posted value is a mask that was read from an answer: asterisks only.
#[must_use]
pub fn is_mask(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte == b'*')
}

/// Whether a character does not show, or changes how others show: control and format characters
/// (direction marks among them), separators of lines and paragraphs, private use, unassigned.
///
/// Names have none, so that two that differ look different, and provider's words are shown without.
///
/// Source: the general categories Cc, Cf, Zl, Zp, Co and Cn of Unicode.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    )
}

/// The name of a secret: its realm's id and its own key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId {
    /// Realm id, 1–50 characters.
    pub realm: String,
    /// Key, 1–200 characters.
    pub key: String,
}

impl SecretId {
    /// A name from its two parts, unchecked.
    #[must_use]
    pub fn new(realm: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            realm: realm.into(),
            key: key.into(),
        }
    }

    /// Whether a secret of this name can have been saved: databases differ in how they compare
    /// other names.
    #[must_use]
    pub fn is_savable(&self) -> bool {
        let is_plain = |name: &str| {
            !name.is_empty() && name.trim() == name && !name.chars().any(char::is_control)
        };
        is_plain(&self.realm) && is_plain(&self.key)
    }

    /// The borrowed form, for look-ups without a copy.
    #[must_use]
    pub fn borrowed(&self) -> SecretRef<'_> {
        SecretRef {
            realm: &self.realm,
            key: &self.key,
        }
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.realm, self.key)
    }
}

/// A [`SecretId`] in borrowed parts; hashes alike, so maps can be asked without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretRef<'a> {
    /// Realm id.
    pub realm: &'a str,
    /// Key.
    pub key: &'a str,
}

impl SecretRef<'_> {
    /// The owned form.
    #[must_use]
    pub fn to_owned(self) -> SecretId {
        SecretId::new(self.realm, self.key)
    }
}

impl Hash for SecretRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.realm.hash(state);
        self.key.hash(state);
    }
}

impl Equivalent<SecretId> for SecretRef<'_> {
    fn equivalent(&self, id: &SecretId) -> bool {
        self.key == id.key && self.realm == id.realm
    }
}

/// The credentials of a secret by name: `key_1`… and names of the operator's choice. Values never
/// print.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<String, SecretString>);

impl Credentials {
    /// The value of a name, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(SecretString::expose_secret)
    }

    /// Sets a value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), SecretString::from(value.into()));
    }

    /// Removes a value.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Removes all values but those of the names that `stays` is true for.
    pub fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| stays(name));
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Credentials {}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Credentials {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Self {
        let mut all = Self::default();
        for (name, value) in values {
            all.set(name, value);
        }
        all
    }
}

/// The number `N` of a name `key_N` (from 1, no leading zero); `None` for other names.
#[must_use]
pub fn numbered(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("key_")?;
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// A token that the operator gave, for a realm in fixed mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedToken {
    /// The token.
    pub token: TokenText,
    /// `None`: never expires.
    pub expires_at: Option<Timestamp>,
}

/// What an operator stores for a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretContent {
    /// The credentials.
    pub credentials: Credentials,
    /// The token, where the realm is in fixed mode.
    pub fixed: Option<FixedToken>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_known() {
        for c in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200e}',
            '\u{202e}',
            '\u{2028}',
            '\u{2029}',
            '\u{2066}',
            '\u{feff}',
            '\u{e000}',
            '\u{e0041}',
            '\u{ffff}',
            '\u{378}',
        ] {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in [
            'a', ' ', '/', 'é', '微', '＠', 'ё', '\u{301}', '🔑', '\u{a0}',
        ] {
            assert!(!is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn numbered_names_are_exact() {
        for (name, number) in [
            ("key_1", Some(1)),
            ("key_12", Some(12)),
            ("key_0", None),
            ("key_01", None),
            ("key_", None),
            ("key_1a", None),
            ("corpid", None),
            ("key_99999999999", None),
        ] {
            assert_eq!(numbered(name), number, "{name}");
        }
    }

    #[test]
    fn a_borrowed_name_finds_the_owned_one() {
        let map = papaya::HashMap::new();
        map.pin().insert(SecretId::new("wxgzh", "app"), 1);
        assert_eq!(
            map.pin().get(&SecretRef {
                realm: "wxgzh",
                key: "app"
            }),
            Some(&1)
        );
        assert_eq!(
            map.pin().get(&SecretRef {
                realm: "wxgzh",
                key: "App"
            }),
            None
        );
    }

    #[test]
    fn credentials_never_print() {
        let credentials: Credentials = [("key_1", "hunter2")].into_iter().collect();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
