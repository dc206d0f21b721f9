//! What an edit does to a stored value.

use serde_json::Value;

/// What to do with a stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field was absent.
    Keep,
    /// The field was `null`.
    Clear,
    /// The field has a new value.
    Set(T),
}

impl<T> Patch<T> {
    /// The value after the patch.
    pub fn over(self, stored: Option<T>) -> Option<T> {
        match self {
            Self::Keep => stored,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    pub(super) fn from_member(
        member: Option<&Value>,
        set: impl FnOnce(&Value) -> Option<T>,
    ) -> Self {
        match member {
            None => Self::Keep,
            Some(Value::Null) => Self::Clear,
            Some(value) => set(value).map_or(Self::Keep, Self::Set),
        }
    }
}

/// One of the next credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum NextValue {
    /// Masked: the one that was posted before.
    AsBefore,
    /// A new one.
    Given(String),
}

/// The largest credential or fixed token, in bytes.
pub(crate) const LARGEST_CREDENTIAL: usize = 64 * 1024;
/// The most credentials of a secret.
pub(in crate::service) const MOST_CREDENTIALS: usize = 100;
