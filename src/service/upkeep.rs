//! What runs beside the requests, from the start to the stop.
//!
//! | what      | each                             | does                                              |
//! |-----------|----------------------------------|---------------------------------------------------|
//! | look      | `renewal.sync_interval_seconds`  | takes over what other instances wrote, API keys   |
//! |           |                                  | among it                                          |
//! | sweep     | minute                           | compares all that is held with the store          |
//! | expired   | minute                           | drops from memory what has expired                |
//! | asks      | minute                           | tells the store which tokens are asked for, and   |
//! |           |                                  | which API keys were used                          |
//! | tidy      | hour                             | removes old tombstones from the store             |
//! | prune     | hour                             | removes old calls from the log of calls           |
//! | refresher | `renewal.sweep_interval_seconds` | renews ahead of expiry; wakes when a token is due |
//! | clock     | minute, or when it was set       | keeps the clock on the store's: `store_time`      |

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::sync::Sync;
use super::{ApiKeys, Calls, Refresher, Tokens};
use crate::clock::{Clock, Timestamp};
use crate::store::DueToken;
use crate::tasks::Tasks;

/// What is done between looks.
#[derive(Clone, Copy)]
enum Chore {
    Sweep,
    DropExpired,
    TellAsks,
    Tidy,
    Prune,
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// How often each is done; those that are due are done in this order.
const CHORES: [(Chore, Duration); 5] = [
    (Chore::Sweep, MINUTE),
    (Chore::DropExpired, MINUTE),
    (Chore::TellAsks, MINUTE),
    (Chore::Tidy, HOUR),
    (Chore::Prune, HOUR),
];

/// Starts the loops of a process.
#[derive(Clone)]
pub struct Upkeep {
    parts: UpkeepParts,
    /// What was fetched here, until the refresher takes it.
    scheduled: Arc<Mutex<Option<mpsc::UnboundedReceiver<DueToken>>>>,
}

/// What the loops work on.
#[derive(Clone)]
pub struct UpkeepParts {
    /// Follows other instances.
    pub sync: Arc<Sync>,
    /// Renews ahead of expiry.
    pub refresher: Refresher,
    /// What is held.
    pub tokens: Tokens,
    /// API keys.
    pub api_keys: ApiKeys,
    /// The log of calls.
    pub calls: Calls,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Runs the loops.
    pub tasks: Tasks,
}

impl Upkeep {
    /// Over these; `scheduled` brings what this process fetched.
    #[must_use]
    pub fn new(parts: UpkeepParts, scheduled: mpsc::UnboundedReceiver<DueToken>) -> Self {
        Self {
            parts,
            scheduled: Arc::new(Mutex::new(Some(scheduled))),
        }
    }

    /// Starts renewing ahead of expiry, once.
    pub fn refresh_ahead(&self) {
        let scheduled = self
            .scheduled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(scheduled) = scheduled {
            let refresher = self.parts.refresher.clone();
            self.parts
                .tasks
                .spawn("refresher", refresher.run(scheduled));
        }
    }

    /// Starts following other instances: a look each `interval`, and the chores between.
    pub fn follow(&self, interval: Duration) {
        let parts = self.parts.clone();
        self.parts.tasks.spawn("follow", async move {
            let mut last = parts.look(None).await;
            let began = Instant::now();
            let mut due = CHORES.map(|(chore, every)| (chore, every, began + every));
            loop {
                tokio::select! {
                    () = parts.tasks.stopping() => return,
                    () = tokio::time::sleep(interval) => last = parts.look(last).await,
                }
                for (chore, every, at) in &mut due {
                    if Instant::now() >= *at {
                        *at = Instant::now() + *every;
                        parts.run(*chore).await;
                    }
                }
            }
        });
    }
}

impl UpkeepParts {
    async fn run(&self, chore: Chore) {
        match chore {
            Chore::Sweep => {
                if let Err(error) = self.sync.sweep().await {
                    tracing::debug!(%error, "the store could not be swept; the next sweep will do");
                }
            }
            Chore::DropExpired => self.tokens.memory().drop_expired(self.clock.now()),
            Chore::TellAsks => {
                self.refresher.tell_asks().await;
                self.api_keys.tell_uses().await;
            }
            Chore::Tidy => self.sync.tidy().await,
            Chore::Prune => self.calls.prune().await,
        }
    }

    async fn look(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        let was_away = self.tokens.memory().away_since().is_some();
        match self.sync.look(last).await {
            Ok(began) => {
                if was_away {
                    tracing::info!("the database answers again");
                }
                Some(began)
            }
            Err(error) => {
                if !was_away {
                    tracing::error!(%error, "the database is away; tokens in memory are served on");
                }
                last
            }
        }
    }
}
