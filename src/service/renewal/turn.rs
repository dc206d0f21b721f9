//! One fetch: what it is made for, and how it breaks off.

use super::View;
use super::bases::Bases;
use crate::failure::Failure;
use crate::service::cause::Cause;
use crate::store::{Lease, StoreError};

/// A fetch that may be made: under which lease, by which rows, why.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) lease: &'a Lease,
    pub(super) view: &'a View,
    pub(super) bases: &'a Bases,
    pub(super) cause: Cause,
    /// The token's version when it was asked for.
    pub(super) asked_at: i64,
}

/// Why an exchange brought nothing.
pub(super) enum Broken {
    /// The provider, or the definition.
    Failed(Failure),
    /// The store could not be written, before or after the grant was spent.
    Store(StoreError),
    /// Another process has moved the grant on.
    Overtaken,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
