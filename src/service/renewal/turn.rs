//! One fetch: what it is made for, and how it ends.

use super::View;
use super::bases::Bases;
use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind};
use crate::service::cause::Cause;
use crate::service::{Requester, TokenAnswer};
use crate::store::{Lease, StoreError};

/// A fetch that may be made: under which lease, by which rows, why.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) lease: &'a Lease,
    pub(super) view: &'a View,
    pub(super) bases: &'a Bases,
    pub(super) cause: Cause,
    /// Who asked for another token than the one held.
    pub(super) by: Option<&'a Requester>,
    /// The token's version when it was asked for.
    pub(super) seen_version: i64,
    /// Until when the caller waits.
    pub(super) give_up_at: tokio::time::Instant,
}

/// How a turn ended; its lease is given back, or another's.
pub(super) enum Turned {
    /// With this for the caller.
    Answer(TokenAnswer),
    /// The rows have changed, or the time was used up before anything was sent: claim anew.
    Again,
    /// A quota is free again at this time, which the caller can wait for.
    WaitUntil(Timestamp),
}

/// Why an exchange brought nothing.
pub(super) enum Broken {
    /// The provider, or the definition.
    Failed(Failure),
    /// The store could not be written, before or after the grant was spent.
    Store(StoreError),
    /// Another process has moved the grant on.
    Overtaken,
    /// Too little time was left under the lease: nothing was sent.
    OutOfTime,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Broken {
    /// Whether it broke before the request in hand was sent.
    pub(super) fn is_unsent(&self) -> bool {
        match self {
            Self::Store(_) | Self::Overtaken | Self::OutOfTime => true,
            Self::Failed(_) => false,
        }
    }
}

/// The failure of a realm from which nothing can be fetched.
pub(super) fn nothing_to_fetch() -> Failure {
    Failure::new(
        FailureKind::Config,
        "the realm is fixed: there is nothing to fetch",
    )
}
