//! The requests of one fetch, one after another, and the grants that they spend.
//!
//! A grant that works once is written down before it is sent, which also proves that the store can
//! be written; what came back is stored before anything else happens. Its generation fences it, not
//! the lease: whoever spent the current one holds the only live grant, and may store it however
//! late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::View;
use super::grants::{Late, is_unspent, next_grant};
use super::turn::{Broken, nothing_to_fetch};
use crate::clock::{Clock, Timestamp};
use crate::failpoint::crash_point;
use crate::failure::{Failure, FailureKind};
use crate::realm::{Facts, Fetched, RawResponse, Request, Run, RunLimits, Saved};
use crate::secret::SecretId;
use crate::store::{Grant, Intent, Lease, Store, StoreError};
use crate::tasks::Tasks;
use crate::upstream::{TokenSource, in_time, timed_out};

/// How often what came of a grant is tried to be stored while the caller waits, and the pause
/// between.
const SAVE_TRIES: u32 = 10;
const SAVE_PAUSE: Duration = Duration::from_millis(200);
/// How long a response to a request that spends a grant is waited for after its time.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// The longest pause when it is tried in the background; it is tried until it is stored.
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(5);

/// Sends the requests of fetches. Has what that needs and no more, so that it can go on when nobody
/// waits for it.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) store: Arc<dyn Store>,
    pub(super) upstream: Arc<dyn TokenSource>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    /// This process, in intents.
    pub(super) instance: String,
    /// By how much a lease outlives the fetch it is for.
    pub(super) margin: Duration,
    /// The bytes that all responses of one fetch may have together.
    pub(super) response_bytes: usize,
    /// Whose responses are late, and since when.
    pub(super) late: Late,
}

/// The time of one fetch.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// How long it may take.
    whole: Duration,
    /// By when a response is waited for: while the lease holds.
    end: tokio::time::Instant,
}

/// What came of the requests of a fetch.
pub(super) struct Exchanged {
    pub(super) outcome: Result<Fetched, Broken>,
    /// How many responses came.
    pub(super) steps: usize,
}

/// Who waits for the outcome, until they are told that its time is over.
type Waiting = Option<oneshot::Sender<Exchanged>>;

impl Exchange {
    /// The time of a fetch that may take `whole`; `None` where less than half of it is left under
    /// the lease: a response would come too late to be stored.
    pub(super) fn times(&self, lease: &Lease, whole: Duration) -> Option<Times> {
        let now = self.clock.now();
        self.has_time(lease, whole, now).then(|| Times {
            whole,
            end: tokio::time::Instant::now() + whole.min(lease.until.since(now)),
        })
    }

    fn has_time(&self, lease: &Lease, whole: Duration, now: Timestamp) -> bool {
        lease.until.minus(self.margin).since(now) >= whole / 2
    }

    /// Makes the requests of a fetch; where they spend a grant, in a task of its own.
    pub(super) async fn make(
        &self,
        lease: &Lease,
        view: &View,
        facts: Facts,
        times: Times,
    ) -> Exchanged {
        if !view
            .definition
            .recipe()
            .is_some_and(crate::realm::Recipe::rotates)
        {
            return self.make_here(lease, view, facts, times, &mut None).await;
        }
        let (done, landed) = oneshot::channel();
        let (exchange, lease, view) = (self.clone(), lease.clone(), view.clone());
        self.tasks.spawn("exchange", async move {
            let mut waiting = Some(done);
            let exchanged = exchange
                .make_here(&lease, &view, facts, times, &mut waiting)
                .await;
            exchange.late.end(&lease.id);
            if let Some(done) = waiting {
                // Nobody waits where the renewal was cut off.
                let _ = done.send(exchanged);
            }
        });
        landed.await.unwrap_or_else(|_| {
            let detail = "the exchange with the provider was cut off; the log tells why";
            Exchanged {
                steps: 1,
                ..Exchanged::of(Failure::new(FailureKind::Busy, detail))
            }
        })
    }

    async fn make_here(
        &self,
        lease: &Lease,
        view: &View,
        facts: Facts,
        times: Times,
        waiting: &mut Waiting,
    ) -> Exchanged {
        let begun = view.definition.recipe().map(|recipe| recipe.begin(facts));
        let mut run = match begun {
            Some(Ok(run)) => run.within(self.limits(times.end)),
            Some(Err(failure)) => return Exchanged::of(failure),
            None => return Exchanged::of(nothing_to_fetch()),
        };
        let outcome = self.send_all((lease, view), &mut run, times, waiting).await;
        let outcome = match outcome {
            Err(Broken::Failed(failure)) => {
                let masked = self.compute(&mut run, |run| run.masked(failure));
                Err(Broken::Failed(masked.await))
            }
            other => other,
        };
        Exchanged {
            outcome,
            steps: run.steps(),
        }
    }

    /// Sends the requests of a run until it is finished.
    async fn send_all(
        &self,
        (lease, view): (&Lease, &View),
        run: &mut Run<'_>,
        times: Times,
        waiting: &mut Waiting,
    ) -> Result<Fetched, Broken> {
        let mut grant = view.grant();
        while let Some(request) = self.compute(run, Run::next_request).await? {
            let is_first = run.steps() == 0;
            let intent = if request.spends {
                let intended = self.intend((lease, view), &mut grant, times.whole, is_first);
                Some(intended.await?)
            } else if is_first && !self.has_time(lease, times.whole, self.clock.now()) {
                return Err(Broken::OutOfTime);
            } else {
                None
            };
            let sent = self.send(&lease.id, &request, times, waiting).await;
            crash_point("step_answered");
            match self.take(run, sent).await {
                Ok(saved) => {
                    self.save_grant(lease, view, &mut grant, (intent, saved))
                        .await?;
                }
                Err(failure) => {
                    self.end_vain_spend(lease, intent.as_ref(), &failure).await;
                    return Err(failure.into());
                }
            }
        }
        Ok(Fetched {
            grant_expires_at: grant.expires_at,
            ..self.compute(run, Run::finish).await?
        })
    }

    /// The bounds of a run that ends then.
    pub(super) fn limits(&self, end: tokio::time::Instant) -> RunLimits {
        RunLimits {
            response_bytes: self.response_bytes,
            is_over: Arc::new(move || tokio::time::Instant::now() >= end),
        }
    }

    /// A token that is worked out without a request.
    pub(super) async fn work_out(
        &self,
        run: Run<'_>,
        timeout: Duration,
    ) -> Result<Fetched, Broken> {
        let end = tokio::time::Instant::now() + timeout;
        let mut run = run.within(self.limits(end));
        let outcome = self.compute(&mut run, Run::finish).await;
        outcome.map_err(|failure| Broken::Failed(run.masked(failure)))
    }

    /// Evaluates what came of a request.
    pub(super) async fn take(
        &self,
        run: &mut Run<'_>,
        sent: Result<RawResponse, Failure>,
    ) -> Result<Saved, Failure> {
        let raw = sent?;
        let is_costly = run.is_costly(Some(&raw));
        self.tasks.compute(is_costly, || run.take(raw)).await
    }

    /// Works out a part of a run, not at the cost of those who are served.
    pub(super) async fn compute<'a, T>(
        &self,
        run: &mut Run<'a>,
        work: impl FnOnce(&mut Run<'a>) -> T,
    ) -> T {
        let is_costly = run.is_costly(None);
        self.tasks.compute(is_costly, || work(run)).await
    }

    /// Sends a request. When its time is over, and it spends a grant, those who wait are told so,
    /// and its response is waited for all the same.
    async fn send(
        &self,
        id: &SecretId,
        request: &Request,
        times: Times,
        waiting: &mut Waiting,
    ) -> Result<RawResponse, Failure> {
        let left = times
            .end
            .saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return Err(Failure {
                is_unsent: true,
                ..timed_out(times.whole)
            });
        }
        if !request.spends {
            return self.sent(request, left, times.whole).await;
        }
        let mut response = std::pin::pin!(self.sent(request, LONGEST_WAIT, times.whole));
        if let Some(response) = in_time(left, response.as_mut()).await {
            return response;
        }
        if let Some(waiting) = waiting.take() {
            self.late.note(id);
            tracing::warn!(
                realm = id.realm,
                key = id.key,
                "the answer to a request that spends a grant is late; it is read whenever it comes"
            );
            // Nobody waits where the renewal was cut off.
            let _ = waiting.send(Exchanged {
                steps: 1,
                ..Exchanged::of(timed_out(times.whole))
            });
        }
        response.await
    }

    async fn sent(
        &self,
        request: &Request,
        left: Duration,
        whole: Duration,
    ) -> Result<RawResponse, Failure> {
        let sent = self.upstream.send(request, left).await;
        sent.map_err(|failure| {
            if failure.kind == FailureKind::TimedOut {
                timed_out(whole)
            } else {
                failure
            }
        })
    }

    /// Writes down that the grant is about to be spent.
    async fn intend(
        &self,
        (lease, view): (&Lease, &View),
        grant: &mut Grant,
        whole: Duration,
        is_first: bool,
    ) -> Result<Intent, Broken> {
        if grant.is_of_another(&view.inputs.seed) {
            // The operator has authorised anew: whoever still uses the grant before is fenced, so
            // that neither of the two is lost.
            let fence = self.new_intent(grant.generation, view);
            let fenced = self
                .store
                .end_spend(&lease.id, &fence, Some(&Grant::default()))
                .await;
            if !fenced.map_err(Broken::Store)? {
                return Err(Broken::Overtaken);
            }
            *grant = Grant {
                generation: grant.generation + 1,
                ..Grant::default()
            };
        }
        let intent = self.new_intent(grant.generation, view);
        let begun = self
            .store
            .begin_spend(&lease.id, grant.intent.as_ref(), &intent)
            .await;
        if !begun.map_err(Broken::Store)? {
            return Err(Broken::Overtaken);
        }
        crash_point("grant_intended");
        self.demand_time(lease, whole, is_first, &intent).await?;
        Ok(intent)
    }

    /// Takes an intent back where too little time is left: whoever takes the lease over may try the
    /// same grant.
    async fn demand_time(
        &self,
        lease: &Lease,
        whole: Duration,
        is_first: bool,
        intent: &Intent,
    ) -> Result<(), Broken> {
        let now = self.clock.now();
        let has_time = if is_first {
            self.has_time(lease, whole, now)
        } else {
            now < lease.until.minus(self.margin)
        };
        if has_time {
            return Ok(());
        }
        let detail = "the lease ended before the grant could be sent";
        let failure = Failure {
            is_unsent: true,
            ..Failure::new(FailureKind::Busy, detail)
        };
        self.end_vain_spend(lease, Some(intent), &failure).await;
        Err(if is_first {
            Broken::OutOfTime
        } else {
            failure.into()
        })
    }

    fn new_intent(&self, generation: i64, view: &View) -> Intent {
        Intent {
            id: uuid::Uuid::now_v7().to_string(),
            generation,
            at: self.clock.now(),
            seed: view.inputs.seed.clone(),
            instance: self.instance.clone(),
        }
    }

    /// Stores what came back of a step.
    async fn save_grant(
        &self,
        lease: &Lease,
        view: &View,
        grant: &mut Grant,
        (intent, saved): (Option<Intent>, Saved),
    ) -> Result<(), Broken> {
        if intent.is_none() && saved.values.is_empty() {
            return Ok(());
        }
        let intent = intent.unwrap_or_else(|| self.new_intent(grant.generation, view));
        let next = next_grant(grant, view, &saved);
        match self.store_grant(&lease.id, &intent, &next).await {
            Ok(true) => {
                crash_point("grant_stored");
                *grant = Grant {
                    generation: intent.generation + 1,
                    intent: None,
                    ..next
                };
                Ok(())
            }
            // The secret was deleted, or the grant was spent twice, which nobody here does.
            Ok(false) => Err(Broken::Overtaken),
            Err(error) => {
                self.store_grant_later(&lease.id, intent, next);
                Err(Broken::Store(error))
            }
        }
    }

    async fn store_grant(
        &self,
        id: &SecretId,
        intent: &Intent,
        grant: &Grant,
    ) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            let outcome = self.store.end_spend(id, intent, Some(grant)).await;
            if outcome.is_ok() || tries == SAVE_TRIES {
                return outcome;
            }
            tries += 1;
            tokio::time::sleep(SAVE_PAUSE).await;
        }
    }

    /// It is the only live grant: it is tried until it is stored, also while the process is asked
    /// to stop.
    fn store_grant_later(&self, id: &SecretId, intent: Intent, grant: Grant) {
        let SecretId { realm, key } = id;
        tracing::error!(
            realm,
            key,
            "a new grant could not be stored yet; its token is not handed out"
        );
        let (store, id) = (Arc::clone(&self.store), id.clone());
        self.tasks.spawn("late grant", async move {
            let mut pause = SAVE_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                match store.end_spend(&id, &intent, Some(&grant)).await {
                    Ok(true) => {
                        return tracing::info!(
                            realm = id.realm,
                            key = id.key,
                            "the new grant is stored"
                        );
                    }
                    Ok(false) => {
                        return tracing::warn!(
                            realm = id.realm,
                            key = id.key,
                            "another grant was stored meanwhile"
                        );
                    }
                    Err(_) => pause = (pause * 2).min(LONGEST_SAVE_PAUSE),
                }
            }
        });
    }

    /// A use that brought nothing: where it is certain that the grant is unspent, nothing more is
    /// unknown.
    async fn end_vain_spend(&self, lease: &Lease, intent: Option<&Intent>, failure: &Failure) {
        let Some(intent) = intent.filter(|_| is_unspent(failure)) else {
            return;
        };
        if let Err(error) = self.store.end_spend(&lease.id, intent, None).await {
            tracing::warn!(%error, "that a grant was not spent could not be noted; it is tried again near expiry");
        }
    }

    /// The provider refused the grant. `true`: somebody else has moved it on meanwhile, or it could
    /// be given up for a login: the caller goes round again.
    pub(super) async fn is_replaceable(
        &self,
        lease: &Lease,
        view: &View,
    ) -> Result<bool, StoreError> {
        let (id, before) = (&lease.id, view.grant());
        let now = self
            .store
            .find_token(id)
            .await?
            .map(|row| row.grant)
            .unwrap_or_default();
        if now.generation != before.generation {
            return Ok(true);
        }
        let logs_in = view
            .definition
            .recipe()
            .is_some_and(crate::realm::Recipe::logs_in);
        if !logs_in || !view.inputs.has_saved {
            return Ok(false);
        }
        let intent = self.new_intent(before.generation, view);
        self.store
            .end_spend(id, &intent, Some(&Grant::default()))
            .await
    }
}

impl Exchanged {
    /// Broken off before anything was sent.
    fn of(failure: Failure) -> Self {
        Self {
            outcome: Err(failure.into()),
            steps: 0,
        }
    }
}
