//! Whom a forced fetch is counted against.

use std::fmt;
use std::sync::Arc;

/// Who asks for another token than the one held: the id of an API key, or a word for callers
/// without one. No secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Requester(Arc<str>);

impl Requester {
    /// Of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
