//! Renews tokens before they expire, whether anybody asks or not.
//!
//! A queue of deadlines, not a poll per token: it sleeps to the next one and wakes when an earlier
//! one comes. Each instance queues what it fetched itself; a paged look at the store adds what
//! others left due, e.g. because they died. Whoever comes second finds the token renewed, or the
//! lease taken: nothing is fetched twice.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Tokens;
use crate::clock::{Clock, Timestamp};
use crate::secret::SecretId;
use crate::store::{DueToken, DueWindow, Store, StoreError};
use crate::tasks::Tasks;
use crate::token::Source;

/// What the refresher goes by.
#[derive(Clone, Copy, Debug)]
pub struct RefresherSettings {
    /// Secrets nobody asked for in this time are not renewed ahead.
    pub idle_after: Duration,
    /// How often the store is looked through.
    pub sweep_interval: Duration,
}

/// Renews what is due.
#[derive(Clone)]
pub struct Refresher {
    store: Arc<dyn Store>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    settings: RefresherSettings,
    backlogs: Arc<Mutex<HashMap<String, Backlog>>>,
}

/// The due secrets of a realm, and who works them off. Realms do not wait for each other.
#[derive(Default)]
struct Backlog {
    due: VecDeque<SecretId>,
    workers: usize,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tokens that were due.
    pub due: u64,
    /// Fetched by this sweep.
    pub renewed: u64,
    /// Renewed by others, or put off.
    pub unchanged: u64,
    /// Failed.
    pub failed: u64,
    /// Not begun, as the time was up.
    pub left: u64,
}

/// A grant that ends within this time is used, and so replaced, whether anybody asks for its token
/// or not.
const GRANTS_AHEAD: Duration = Duration::from_hours(7 * 24);
/// Renewals of a realm under way at once.
const AT_ONCE: usize = 256;
/// Attempts with next credentials under way at once.
const NEXT_AT_ONCE: usize = 8;
/// Due tokens read by one statement.
const PAGE: u64 = 1000;
/// What another instance fetched is left to it for so long.
const LEFT_TO_OWNER: Duration = Duration::from_secs(2);
/// The longest sleep: the machine's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Deadlines, soonest first.
type Queue = BTreeSet<(Timestamp, SecretId)>;

impl Refresher {
    /// Over one store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        tokens: Tokens,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        settings: RefresherSettings,
    ) -> Self {
        Self {
            store,
            tokens,
            clock,
            tasks,
            settings,
            backlogs: Arc::default(),
        }
    }

    /// Runs until the tasks are stopped; `scheduled` brings what this process fetched.
    pub async fn run(self, mut scheduled: mpsc::UnboundedReceiver<DueToken>) {
        let mut queue = Queue::new();
        let mut next_sweep = Instant::now();
        loop {
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + self.settings.sweep_interval;
                self.take_over(&mut queue).await;
                self.tasks
                    .spawn("next credentials", self.clone().try_next());
            }
            self.begin_due(&mut queue);
            tokio::select! {
                () = self.tasks.stopping() => return,
                Some(due) = scheduled.recv() => {
                    queue.insert((due.due_at, due.id));
                    while let Ok(due) = scheduled.try_recv() {
                        queue.insert((due.due_at, due.id));
                    }
                }
                () = tokio::time::sleep(self.pause(&queue)) => {}
            }
        }
    }

    fn pause(&self, queue: &Queue) -> Duration {
        queue.first().map_or(LONGEST_SLEEP, |(due_at, _)| {
            due_at.since(self.clock.now()).min(LONGEST_SLEEP)
        })
    }

    /// Queues what will be due before the next sweep, whoever fetched it.
    async fn take_over(&self, queue: &mut Queue) {
        let by = self.clock.now().plus(self.settings.sweep_interval);
        match self.due(by).await {
            Ok(due) => queue.extend(
                due.into_iter()
                    .map(|due| (due.due_at.plus(LEFT_TO_OWNER), due.id)),
            ),
            Err(error) => {
                tracing::warn!(%error, "the store could not be looked through for due tokens");
            }
        }
    }

    /// Tries the credentials that wait to replace others.
    async fn try_next(self) {
        match self.store.list_next_due(self.clock.now(), PAGE).await {
            Ok(due) => {
                let attempts = futures_util::stream::iter(&due);
                // What comes of each is noted in its secret, and logged.
                attempts
                    .for_each_concurrent(NEXT_AT_ONCE, |id| async {
                        drop(self.tokens.try_next(id).await);
                    })
                    .await;
            }
            Err(error) => {
                tracing::warn!(%error, "the store could not be looked through for next credentials");
            }
        }
    }

    async fn due(&self, by: Timestamp) -> Result<Vec<DueToken>, StoreError> {
        let now = self.clock.now();
        let asked_since = now.minus(self.settings.idle_after);
        let window = DueWindow {
            by,
            asked_since,
            grants_by: now.plus(GRANTS_AHEAD),
        };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_due(&window, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(all);
            };
            after = Some(last.clone());
            all.extend(page);
        }
    }

    fn begin_due(&self, queue: &mut Queue) {
        let now = self.clock.now();
        while let Some((due_at, id)) = queue.pop_first() {
            if due_at > now {
                queue.insert((due_at, id));
                return;
            }
            self.begin(id);
        }
    }

    /// Puts a secret behind the others of its realm, with a worker more if there may be one.
    fn begin(&self, id: SecretId) {
        let realm = id.realm.clone();
        let mut backlogs = self.backlogs();
        let backlog = backlogs.entry(realm.clone()).or_default();
        backlog.due.push_back(id);
        if backlog.workers < AT_ONCE {
            backlog.workers += 1;
            let mut worker = Worker {
                refresher: self.clone(),
                realm,
                is_over: false,
            };
            self.tasks.spawn("refresh", async move {
                while let Some(id) = worker.next() {
                    worker.refresher.renew(&id).await;
                }
            });
        }
    }

    fn backlogs(&self) -> MutexGuard<'_, HashMap<String, Backlog>> {
        self.backlogs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the store which tokens were asked for.
    pub async fn tell_asks(&self) {
        for (id, at) in self.tokens.memory().take_untold_asks() {
            if let Err(error) = self.store.note_asked(&id, at).await {
                tracing::debug!(%error, "an ask could not be noted; the next hour's will be");
                return;
            }
        }
    }

    async fn renew(&self, id: &SecretId) -> Swept {
        let one = Swept {
            due: 1,
            ..Swept::default()
        };
        match self.tokens.renew_due(id).await {
            Ok(answer) if answer.source == Source::Upstream => Swept { renewed: 1, ..one },
            Ok(_) => Swept {
                unchanged: 1,
                ..one
            },
            Err(error) => {
                tracing::debug!(realm = id.realm, key = id.key, %error, "a due token was not renewed");
                Swept { failed: 1, ..one }
            }
        }
    }

    /// Renews what is due now, within `budget`: for places with no background time.
    ///
    /// # Errors
    /// When the store cannot be asked what is due.
    pub async fn sweep(&self, budget: Duration) -> Result<Swept, StoreError> {
        let until = Instant::now() + budget;
        let due = self.due(self.clock.now()).await?;
        let count = due.len() as u64;
        let renewals = futures_util::stream::iter(due).map(|due| async move {
            if Instant::now() >= until {
                return Swept {
                    left: 1,
                    ..Swept::default()
                };
            }
            // A renewal goes on in its own task if the time is up.
            let renewal = tokio::time::timeout_at(until, self.renew(&due.id));
            renewal.await.unwrap_or(Swept {
                left: 1,
                ..Swept::default()
            })
        });
        let swept = renewals
            .buffer_unordered(AT_ONCE)
            .fold(Swept::default(), |all, one| async move { all + one })
            .await;
        // What is not done by then is begun again by the next sweep.
        let _ = tokio::time::timeout_at(until, self.clone().try_next()).await;
        self.tell_asks().await;
        Ok(Swept {
            due: count,
            ..swept
        })
    }
}

/// Works a realm's backlog off.
struct Worker {
    refresher: Refresher,
    realm: String,
    is_over: bool,
}

impl Worker {
    /// The next secret. With `None` it is off the list at once: whoever comes then brings a worker
    /// along.
    fn next(&mut self) -> Option<SecretId> {
        let mut backlogs = self.refresher.backlogs();
        let id = backlogs
            .get_mut(&self.realm)
            .and_then(|backlog| backlog.due.pop_front());
        if id.is_none() {
            self.is_over = true;
            leave(&mut backlogs, &self.realm);
        }
        id
    }
}

impl Drop for Worker {
    /// Also when a renewal panicked.
    fn drop(&mut self) {
        if !self.is_over {
            leave(&mut self.refresher.backlogs(), &self.realm);
        }
    }
}

fn leave(backlogs: &mut HashMap<String, Backlog>, realm: &str) {
    if let Some(backlog) = backlogs.get_mut(realm) {
        backlog.workers -= 1;
        if backlog.workers == 0 && backlog.due.is_empty() {
            backlogs.remove(realm);
        }
    }
}

impl std::ops::Add for Swept {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            renewed: self.renewed + other.renewed,
            unchanged: self.unchanged + other.unchanged,
            failed: self.failed + other.failed,
            left: self.left + other.left,
        }
    }
}
