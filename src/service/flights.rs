//! One renewal per secret in this process, however many callers wait for it.
//!
//! The renewal runs in a task of its own: a caller that goes away neither cancels nor repeats it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::cause::Cause;
use super::{ServiceError, TokenAnswer};
use crate::secret::SecretId;
use crate::tasks::Tasks;

/// What a flight brings.
pub(super) type Landed = Result<TokenAnswer, ServiceError>;

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
