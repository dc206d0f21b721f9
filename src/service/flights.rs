//! One renewal per secret in this process, however many callers wait for it.
//!
//! The renewal runs in a task of its own: a caller that goes away neither cancels nor repeats it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{ServiceError, TokenAnswer};
use crate::secret::SecretId;
use crate::tasks::Tasks;

/// What a flight brings.
pub(super) type Landed = Result<TokenAnswer, ServiceError>;

/// Why a renewal runs: decides what is good enough to be taken instead of fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There is no usable token here: any usable one will do.
    Miss,
    /// The held token nears its end: one that is not due will do.
    Due,
    /// A caller wants another token than the one held: one that came after the ask will do.
    Flush,
    /// A caller's token of this version was refused by the provider's API: a newer one will do.
    Report {
        /// The refused token's.
        version: i64,
    },
    /// A caller needs a token that lives so long yet.
    MinTtl {
        /// Milliseconds.
        ms: i64,
    },
    /// An operator wants another attempt although the last one failed.
    Retry,
    /// A secret's next credentials are to be tried.
    Next,
    /// An operator tries a definition; nothing is kept.
    Test,
}

impl Cause {
    /// Whether the provider must be told that another token is wanted than the one it would repeat.
    #[must_use]
    pub fn is_forced(self) -> bool {
        match self {
            Self::Flush | Self::Report { .. } => true,
            Self::Miss
            | Self::Due
            | Self::MinTtl { .. }
            | Self::Retry
            | Self::Next
            | Self::Test => false,
        }
    }

    /// Whether callers have nothing else to go on: such a fetch may use a quota's reserve.
    #[must_use]
    pub fn is_essential(self) -> bool {
        match self {
            Self::Miss | Self::Report { .. } | Self::Retry => true,
            Self::Due | Self::Flush | Self::MinTtl { .. } | Self::Next | Self::Test => false,
        }
    }

    /// Whether the caller asked for another token than the one held.
    #[must_use]
    pub fn wants_another(self) -> bool {
        match self {
            Self::Flush | Self::Report { .. } | Self::MinTtl { .. } => true,
            Self::Miss | Self::Due | Self::Retry | Self::Next | Self::Test => false,
        }
    }

    /// Whether no caller waits for it.
    #[must_use]
    pub fn is_background(self) -> bool {
        match self {
            Self::Due | Self::Next => true,
            Self::Miss
            | Self::Flush
            | Self::Report { .. }
            | Self::MinTtl { .. }
            | Self::Retry
            | Self::Test => false,
        }
    }

    /// The word in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Due => "due",
            Self::Flush => "flush",
            Self::Report { .. } => "report",
            Self::MinTtl { .. } => "min_ttl",
            Self::Retry => "retry",
            Self::Next => "next",
            Self::Test => "test",
        }
    }
}

type Key = (SecretId, Cause);

#[derive(Clone)]
struct Flight {
    number: u64,
    landed: watch::Receiver<Option<Landed>>,
}

#[derive(Default)]
struct Board {
    flights: HashMap<Key, Flight>,
    last_number: u64,
}

/// The renewals under way.
#[derive(Clone)]
pub(super) struct Flights {
    board: Arc<Mutex<Board>>,
    tasks: Tasks,
    patience: Duration,
}

impl Flights {
    /// None under way; a caller waits up to `patience`.
    pub(super) fn new(tasks: Tasks, patience: Duration) -> Self {
        Self {
            board: Arc::default(),
            tasks,
            patience,
        }
    }

    /// Waits for the flight of this secret and cause, starting one if there is none.
    pub(super) async fn join<F>(
        &self,
        id: SecretId,
        cause: Cause,
        renewal: impl FnOnce() -> F,
    ) -> Landed
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut landed = self.board_or_start((id, cause), renewal);
        let wait = landed.wait_for(Option::is_some);
        match tokio::time::timeout(self.patience, wait).await {
            Err(_) => Err(ServiceError::Waited(self.patience)),
            Ok(Err(_)) => Err(ServiceError::Stopping),
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(ServiceError::Stopping)),
        }
    }

    /// Starts a flight if there is none; does not wait.
    pub(super) fn start<F>(&self, id: SecretId, cause: Cause, renewal: impl FnOnce() -> F)
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        drop(self.board_or_start((id, cause), renewal));
    }

    fn board_or_start<F>(
        &self,
        key: Key,
        renewal: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<Landed>>
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = board.flights.get(&key) {
            return flight.landed.clone();
        }
        let (land, landed) = watch::channel(None);
        board.last_number += 1;
        let number = board.last_number;
        board.flights.insert(
            key.clone(),
            Flight {
                number,
                landed: landed.clone(),
            },
        );
        let departure = Departure {
            flights: self.clone(),
            key,
            number,
        };
        let renewal = renewal();
        self.tasks.spawn("renewal", async move {
            let outcome = renewal.await;
            drop(departure);
            land.send_replace(Some(outcome));
        });
        landed
    }

    /// Lets no new caller join the flights of these secrets: what they bring is outdated by an
    /// edit.
    pub(super) fn leave_behind(&self, is_edited: impl Fn(&SecretId) -> bool) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.flights.retain(|(id, _), _| !is_edited(id));
    }
}

/// Takes a flight off the board when it is over, also if it panicked or was cut off.
struct Departure {
    flights: Flights,
    key: Key,
    number: u64,
}

impl Drop for Departure {
    fn drop(&mut self) {
        let mut board = self
            .flights
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if board
            .flights
            .get(&self.key)
            .is_some_and(|flight| flight.number == self.number)
        {
            board.flights.remove(&self.key);
        }
    }
}
