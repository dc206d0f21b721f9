//! Answering `GET /api/token`: from memory when it can, else through the one renewal path.

use std::sync::Arc;
use std::time::Duration;

use super::ServiceError;
use super::answer::{Refused, Stale, TokenAnswer};
use super::cause::Cause;
use super::flights::Flights;
use super::memory::{Entry, Memory};
use super::renewal::{Renewal, SecretStatus, Shows, Trial, TrialReport};
use super::reported::Reported;
use super::requester::Requester;
use crate::clock::{Clock, Timestamp};
use crate::secret::{SecretId, SecretRef};
use crate::store::{Changes, StoreError};
use crate::tasks::Tasks;
use crate::token::{Life, Source};

/// How long callers wait for a renewal that kills the token they would be given.
const WAIT_FOR_DUE: Duration = Duration::from_secs(2);

/// How long a held token waits to be compared with the store.
const WAIT_FOR_STORE: Duration = Duration::from_millis(300);

/// The tokens of all secrets.
#[derive(Clone)]
pub struct Tokens {
    memory: Arc<Memory>,
    flights: Flights,
    renewal: Arc<Renewal>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    patience: Duration,
    in_background: bool,
    reported: Arc<Reported>,
}

impl Tokens {
    /// Over one memory and one renewal; a caller waits up to `patience`.
    ///
    /// `in_background`: a renewal may go on when its caller has been answered. Not so in a
    /// function, which is frozen then: there a due token is left to the cron call, and renewed
    /// while its caller waits once it is overdue.
    #[must_use]
    pub fn new(
        renewal: Arc<Renewal>,
        tasks: Tasks,
        patience: Duration,
        in_background: bool,
    ) -> Self {
        let (memory, clock) = (Arc::clone(renewal.memory()), Arc::clone(renewal.clock()));
        let flights = Flights::new(tasks.clone(), patience);
        Self {
            memory,
            flights,
            renewal,
            clock,
            tasks,
            patience,
            in_background,
            reported: Arc::default(),
        }
    }

    /// A working token for a secret.
    ///
    /// # Errors
    /// `UnknownSecret`; `Fetch` when none is held and none came; `Waited` when others take
    /// too long; `Store`.
    pub async fn get(&self, id: SecretRef<'_>) -> Result<TokenAnswer, ServiceError> {
        if let Some(answer) = self.get_held(id) {
            return Ok(answer);
        }
        let outcome = self.in_time(self.get_missed(id)).await;
        self.or_held(id, outcome)
    }

    async fn get_missed(&self, id: SecretRef<'_>) -> Result<TokenAnswer, ServiceError> {
        if let Some(answer) = self.await_due(id).await {
            return Ok(answer);
        }
        let miss = self.renew(id.to_owned(), Cause::Miss);
        if self.get_unconfirmed(id).is_none() {
            return miss.await;
        }
        // A token is held, and only the store's word on it is missing: the store may hang, the
        // caller must not.
        tokio::pin!(miss);
        match tokio::time::timeout(WAIT_FOR_STORE, &mut miss).await {
            Ok(outcome) => outcome,
            // It may have expired meanwhile.
            Err(_) => match self.get_unconfirmed(id) {
                Some(held) => Ok(held),
                None => miss.await,
            },
        }
    }

    /// A working token that lives for `ms` milliseconds yet, if the provider has one.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub async fn get_living(
        &self,
        id: SecretRef<'_>,
        ms: i64,
        by: Requester,
    ) -> Result<TokenAnswer, ServiceError> {
        let now = self.clock.now();
        let lives = |life: Life| {
            life.expires_at
                .is_none_or(|at| at.epoch_ms().saturating_sub(now.epoch_ms()) >= ms)
        };
        match self.get_held(id) {
            Some(held) if lives(held.life) => Ok(held),
            Some(_) | None => self.another(id, Cause::MinTtl { ms }, by).await,
        }
    }

    /// A token that came after this ask, although the held one is still good.
    ///
    /// When the provider gives none, or must not be asked yet, the held one is answered while it is
    /// good.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub async fn flush(
        &self,
        id: SecretRef<'_>,
        by: Requester,
    ) -> Result<TokenAnswer, ServiceError> {
        self.another(id, Cause::Flush, by).await
    }

    async fn another(
        &self,
        id: SecretRef<'_>,
        cause: Cause,
        by: Requester,
    ) -> Result<TokenAnswer, ServiceError> {
        let renewal = self.renew_for(id.to_owned(), cause, Some(by));
        let outcome = self.in_time(renewal).await;
        let came = outcome.is_ok();
        let answer = self.or_held(id, outcome)?;
        Ok(TokenAnswer {
            renewed: answer.renewed && came,
            ..answer
        })
    }

    /// Another attempt, although the last one failed and its pause is not over.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub async fn retry(&self, id: SecretRef<'_>) -> Result<TokenAnswer, ServiceError> {
        self.renew(id.to_owned(), Cause::Retry).await
    }

    /// The provider's API refused a token: a newer one.
    ///
    /// Fetches only if the refused token is the current one, and was not fetched a moment ago; a
    /// report of any other token is answered the current one at once. So a storm of late reports
    /// costs one fetch.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub async fn report(
        &self,
        id: SecretRef<'_>,
        refused: &Refused,
        by: Requester,
    ) -> Result<TokenAnswer, ServiceError> {
        let outcome = self.in_time(self.report_in_turn(id, refused, by)).await;
        let came = outcome.is_ok();
        let answer = self.or_held(id, outcome)?;
        Ok(TokenAnswer {
            renewed: answer.renewed && came,
            ..answer
        })
    }

    async fn report_in_turn(
        &self,
        id: SecretRef<'_>,
        refused: &Refused,
        by: Requester,
    ) -> Result<TokenAnswer, ServiceError> {
        let mut current = self.get(id).await?;
        if current.source == Source::Memory && refused.may_be_newer_than(&current) {
            // Another instance may have given it out a moment ago.
            current = self.renew(id.to_owned(), Cause::Miss).await?;
        }
        let version = current.version;
        if current.source == Source::Fixed {
            return Ok(TokenAnswer {
                renewed: false,
                ..current
            });
        }
        if current.source == Source::Upstream || !refused.is(&current) {
            let is_unheard_of = matches!(refused, Refused::Version(named) if *named > version);
            return Ok(TokenAnswer {
                renewed: current.renewed && !is_unheard_of,
                ..current
            });
        }
        let cause = Cause::Report { version };
        let outcome = self.renew_for(id.to_owned(), cause, Some(by)).await;
        outcome.map(|answer| unrenewed(answer, version))
    }

    /// Whether this is the first report of a token here, as far back as is known; for the log.
    #[must_use]
    pub fn is_first_report(&self, id: &SecretId, refused: &Refused) -> bool {
        self.reported.note(id, refused)
    }

    /// Runs a definition once; nothing is stored, nothing handed out.
    ///
    /// # Errors
    /// `Invalid`, `UnknownSecret`, `Store`; `Fetch` when a token that it depends on cannot be had.
    pub async fn try_definition(
        &self,
        trial: Trial,
        shows: Shows,
    ) -> Result<TrialReport, ServiceError> {
        self.renewal.try_definition(trial, shows).await
    }

    /// How a secret's renewal stands.
    ///
    /// # Errors
    /// `UnknownSecret`, `Store`.
    pub async fn status(&self, id: &SecretId) -> Result<SecretStatus, ServiceError> {
        self.renewal.status(id).await
    }

    /// The hit path: memory only, no lock, no wait. `None` when the slow path must decide.
    #[must_use]
    pub fn get_held(&self, id: SecretRef<'_>) -> Option<TokenAnswer> {
        let now = self.clock.now();
        let entry = self.memory.find(id).filter(|entry| entry.is_usable(now))?;
        let source = if entry.is_fixed {
            Source::Fixed
        } else {
            Source::Memory
        };
        entry.asked.note(now);
        if let Some(since) = self.memory.away_since() {
            return Some(TokenAnswer {
                stale: Some(store_away(since)),
                ..entry.answer(source)
            });
        }
        if !self.memory.is_trusted(&entry, now) {
            return None;
        }
        if entry.is_due(now) {
            if self.waits_for_renewal(&entry, now) {
                return None;
            }
            if self.in_background {
                self.renew_behind(id.to_owned());
            }
        }
        Some(entry.answer(source))
    }

    /// Whether callers wait for the renewal of a token that is due.
    fn waits_for_renewal(&self, entry: &Entry, now: Timestamp) -> bool {
        entry.dies_when_renewed || (!self.in_background && entry.is_overdue(now))
    }

    /// Where the old token dies when the new one is made, or nothing goes on in the background,
    /// callers wait a moment for the renewal; `None`: they need not.
    async fn await_due(&self, id: SecretRef<'_>) -> Option<TokenAnswer> {
        let now = self.clock.now();
        let entry = self
            .memory
            .find(id)
            .filter(|entry| entry.is_usable(now) && entry.is_due(now))?;
        entry.asked.note(now);
        if !self.waits_for_renewal(&entry, now) || !self.memory.is_trusted(&entry, now) {
            return None;
        }
        let renewal = self.renew(id.to_owned(), Cause::Due);
        if let Ok(Ok(answer)) = tokio::time::timeout(WAIT_FOR_DUE, renewal).await {
            // Nobody asked for another token.
            return Some(TokenAnswer {
                renewed: true,
                retry_after: None,
                ..answer
            });
        }
        // It may have expired meanwhile.
        entry
            .is_usable(self.clock.now())
            .then(|| entry.answer(Source::Memory))
    }

    /// What is done for one caller, in the time that it waits.
    async fn in_time(
        &self,
        work: impl Future<Output = Result<TokenAnswer, ServiceError>>,
    ) -> Result<TokenAnswer, ServiceError> {
        let outcome = tokio::time::timeout(self.patience, work).await;
        outcome.unwrap_or(Err(ServiceError::Waited(self.patience)))
    }

    /// Where it is not known what the store has, or where it is behind: the token that is held, while
    /// it works.
    fn or_held(
        &self,
        id: SecretRef<'_>,
        outcome: Result<TokenAnswer, ServiceError>,
    ) -> Result<TokenAnswer, ServiceError> {
        match outcome {
            Err(ServiceError::Store(StoreError::Unavailable(_))) => {
                self.get_unconfirmed(id).map_or(outcome, Ok)
            }
            Err(
                ref late @ (ServiceError::Store(_)
                | ServiceError::Waited(_)
                | ServiceError::Stopping),
            ) => {
                let warning = late.to_string();
                let held = self.get_unconfirmed(id).map(|held| TokenAnswer {
                    stale: held.stale.map(|stale| Stale {
                        warning,
                        is_of_base: false,
                        ..stale
                    }),
                    ..held
                });
                held.map_or(outcome, Ok)
            }
            Ok(answer) => Ok(self.or_unstored(id, answer)),
            Err(_) => outcome,
        }
    }

    /// A token that was fetched here and could not be stored yet comes after the one in the store.
    fn or_unstored(&self, id: SecretRef<'_>, stored: TokenAnswer) -> TokenAnswer {
        let now = self.clock.now();
        let is_newer = |entry: &Arc<Entry>| {
            entry.is_unstored && entry.version > stored.version && entry.is_usable(now)
        };
        match self.memory.find(id).filter(is_newer) {
            Some(entry) => TokenAnswer {
                renewed: stored.renewed,
                retry_after: stored.retry_after,
                ..entry.answer(Source::Memory)
            },
            None => stored,
        }
    }

    /// What is held, although the store could not be asked whether it is current; else the token
    /// that it replaced, while that one works on.
    fn get_unconfirmed(&self, id: SecretRef<'_>) -> Option<TokenAnswer> {
        let now = self.clock.now();
        let usable = |entry: &Arc<Entry>| entry.is_usable(now);
        let entry = self.memory.find(id).filter(usable);
        let entry = entry.or_else(|| self.memory.find_replaced(id).filter(usable))?;
        let since = self.memory.last_look().unwrap_or(now);
        Some(TokenAnswer {
            stale: Some(store_away(since)),
            ..entry.answer(Source::Memory)
        })
    }

    async fn renew(&self, id: SecretId, cause: Cause) -> Result<TokenAnswer, ServiceError> {
        self.renew_for(id, cause, None).await
    }

    /// Of callers that share a flight the first one is counted.
    async fn renew_for(
        &self,
        id: SecretId,
        cause: Cause,
        by: Option<Requester>,
    ) -> Result<TokenAnswer, ServiceError> {
        let (renewal, name) = (Arc::clone(&self.renewal), id.clone());
        let renewal = move || async move { renewal.renew_for(&name, cause, by.as_ref()).await };
        let outcome = self.flights.join(id.clone(), cause, renewal).await;
        if let Some(entry) = self
            .memory
            .find(id.borrowed())
            .filter(|_| !cause.is_background())
        {
            entry.asked.note(self.clock.now());
        }
        outcome
    }

    fn renew_behind(&self, id: SecretId) {
        let renewal = Arc::clone(&self.renewal);
        self.flights
            .start(id.clone(), Cause::Due, move || async move {
                renewal.renew(&id, Cause::Due).await
            });
    }

    /// The refresher's renewal: fetches if the token is due and nobody else has or does.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub(super) async fn renew_due(&self, id: &SecretId) -> Result<TokenAnswer, ServiceError> {
        self.renew(id.clone(), Cause::Due).await
    }

    /// Tries a secret's next credentials, behind the caller's back.
    pub(super) fn try_next_behind(&self, id: &SecretId) {
        let (renewal, id) = (Arc::clone(&self.renewal), id.clone());
        self.tasks.spawn("next credentials", async move {
            // It is noted in the secret, and logged.
            let _ = renewal.try_next(&id).await;
        });
    }

    /// The sweep's attempt with a secret's next credentials.
    ///
    /// # Errors
    /// As [`Renewal::try_next`].
    pub(super) async fn try_next(&self, id: &SecretId) -> Result<(), ServiceError> {
        self.renewal.try_next(id).await
    }

    /// Drops what is known of a secret after an edit; callers from now on wait for nothing older.
    pub fn forget(&self, id: &SecretId) {
        self.memory.forget(id);
        self.flights.leave_behind(|edited| edited == id);
    }

    /// Drops what is known of a realm's secrets after an edit.
    pub fn forget_realm(&self, realm: &str) {
        self.memory.forget_realm(realm);
        self.flights.leave_behind(|edited| edited.realm == realm);
    }

    /// Drops what other instances' writes outdate; callers from now on wait for nothing older than
    /// an edit.
    pub(super) fn follow(&self, changes: &Changes) {
        self.memory.apply(changes, self.clock.now());
        if changes.realms.is_empty() && changes.secrets.is_empty() {
            return;
        }
        self.flights.leave_behind(|id| {
            let in_realm = changes.realms.iter().any(|(realm, _)| *realm == id.realm);
            in_realm || changes.secrets.iter().any(|(secret, _)| secret == id)
        });
    }

    /// What is held, for metrics and the look at the store.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

/// A refused token that had to be answered again was not renewed.
fn unrenewed(answer: TokenAnswer, refused: i64) -> TokenAnswer {
    TokenAnswer {
        renewed: answer.renewed && answer.version > refused,
        ..answer
    }
}

fn store_away(since: Timestamp) -> Stale {
    let warning =
        "the database is not available; this token could not be compared with it".to_owned();
    Stale {
        since,
        warning,
        is_of_base: false,
    }
}
