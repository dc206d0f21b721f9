//! Every call of a provider, before and after: the log for operators, and what quotas are counted
//! in.
//!
//! Where there are quotas a call is written down as asking first and counted with all others, so
//! that instances that ask together never exceed a quota together. Where more ask at one moment
//! than are allowed, they withdraw and ask again apart; only calls that were made use a quota up.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::turn::{Broken, Turn};
use super::{QuotaUse, Renewal, View};
use crate::clock::{Timestamp, millis};
use crate::realm::{CountedBy, Fetched, Quota};
use crate::secret::SecretId;
use crate::service::Requester;
use crate::service::cause::Cause;
use crate::store::{CallOutcome, CallRow, StoreError, Usage, UsageOf};
use crate::token::TokenText;

/// Who wants a call of which provider, and why.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) id: &'a SecretId,
    pub(super) view: &'a View,
    pub(super) cause: Cause,
    /// Who forces it.
    pub(super) by: Option<&'a Requester>,
}

impl<'a> Ask<'a> {
    /// Of a fetch. Without a token that works it is a miss, whoever asks.
    pub(super) fn of(turn: Turn<'a>, now: Timestamp) -> Self {
        Self {
            id: &turn.lease.id,
            view: turn.view,
            cause: turn.cause,
            by: turn.by.filter(|_| turn.view.usable(now).is_some()),
        }
    }
}

/// Whether a call may be made.
pub(super) enum Admission {
    /// It is written down under this id.
    Go(String),
    /// A quota is used up; until when.
    Withheld(Timestamp),
}

/// How long a call that is not admitted yet counts: its process has died since.
const ASKING_COUNTS: Duration = Duration::from_secs(10);
/// How long calls that ask at the same moment are sorted out.
const SORT_OUT: Duration = Duration::from_secs(3);
/// The first and the longest pause between.
const FIRST_PAUSE_MS: u64 = 20;
const LONGEST_PAUSE_MS: u64 = 400;

/// One caller may force one call in so many of each quota,
const SHARE: u64 = 5;
/// and so many in any case.
const LEAST_SHARE: u64 = 5;

/// What the quotas say of a call that is written down.
enum Verdict {
    Allowed,
    /// Used up by calls that were made, of all or of what one caller may force; until when.
    UsedUp(Timestamp, Option<Requester>),
    /// Others ask at this moment: not all of them will be let through.
    Contended,
}

/// Until when quotas allow no more: what need not be asked again, nor written down.
#[derive(Default)]
pub(super) struct UsedUp(Mutex<HashMap<Whose, Noted>>);

/// All callers, or one that has forced its share.
type Whose = (SecretId, Option<Requester>);

/// Under which definition and policy, and until when.
type Noted = ((i64, i64), Timestamp);

/// So many are kept.
const MOST_NOTED: usize = 10_000;

impl UsedUp {
    fn until(&self, whose: &Whose, view: &View, now: Timestamp) -> Option<Timestamp> {
        let noted = self.locked();
        let (versions, until) = noted.get(whose)?;
        (*versions == (view.realm_version, view.settings_fingerprint) && now < *until)
            .then_some(*until)
    }

    fn note(&self, whose: Whose, view: &View, until: Timestamp) {
        let mut noted = self.locked();
        if noted.len() >= MOST_NOTED {
            noted.clear();
        }
        noted.insert(
            whose,
            ((view.realm_version, view.settings_fingerprint), until),
        );
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Whose, Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Renewal {
    /// What is known to be used up: of all, and of what this caller may force.
    fn known_used_up(&self, ask: Ask<'_>) -> Option<Timestamp> {
        let now = self.parts.clock.now();
        let known = |by| self.used_up.until(&(ask.id.clone(), by), ask.view, now);
        let of_all = known(None).filter(|_| !ask.cause.is_essential());
        let own = ask.by.and_then(|by| known(Some(by.clone())));
        of_all.max(own)
    }

    /// Writes a call down and looks whether the quotas allow it.
    pub(super) async fn admit(&self, ask: Ask<'_>) -> Result<Admission, StoreError> {
        let Ask { id, view, .. } = ask;
        if view.policy.quotas.is_empty() {
            let row = self.new_call(ask, CallRow::PENDING);
            self.parts.store.insert_call(&row).await?;
            return Ok(Admission::Go(row.id));
        }
        if let Some(until) = self.known_used_up(ask) {
            return Ok(Admission::Withheld(until));
        }
        let give_up_at = tokio::time::Instant::now() + SORT_OUT;
        let mut longest_ms = FIRST_PAUSE_MS;
        loop {
            let row = self.new_call(ask, CallRow::ASKING);
            self.parts.store.insert_call(&row).await?;
            match self.quota_verdict(&row, ask).await? {
                Verdict::Allowed => {
                    self.set_outcome(&row.id, CallRow::PENDING).await?;
                    return Ok(Admission::Go(row.id));
                }
                Verdict::UsedUp(until, whose) => {
                    self.set_outcome(&row.id, CallRow::WITHHELD).await?;
                    self.parts
                        .metrics
                        .count_upstream(&id.realm, CallRow::WITHHELD, Duration::ZERO);
                    self.used_up.note((id.clone(), whose), view, until);
                    return Ok(Admission::Withheld(until));
                }
                Verdict::Contended => self.parts.store.withdraw_call(&row.id).await?,
            }
            if tokio::time::Instant::now() >= give_up_at {
                return Ok(Admission::Withheld(
                    self.parts.clock.now().plus(Duration::from_secs(1)),
                ));
            }
            // Random, so that those that ask together come back apart.
            let share = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
            tokio::time::sleep(Duration::from_millis(1 + longest_ms * share / 256)).await;
            longest_ms = (longest_ms * 2).min(LONGEST_PAUSE_MS);
        }
    }

    fn new_call(&self, ask: Ask<'_>, outcome: &str) -> CallRow {
        CallRow {
            id: uuid::Uuid::now_v7().to_string(),
            at: self.parts.clock.now(),
            secret: ask.id.clone(),
            cause: ask.cause.as_str().to_owned(),
            outcome: outcome.to_owned(),
            provider_code: None,
            provider_message: None,
            duration_ms: None,
            instance: self.owner.clone(),
            caller: ask.by.map(|by| by.as_str().to_owned()),
        }
    }

    async fn set_outcome(&self, call: &str, outcome: &str) -> Result<(), StoreError> {
        let outcome = CallOutcome {
            outcome: outcome.to_owned(),
            ..CallOutcome::default()
        };
        self.parts.store.finish_call(call, &outcome).await
    }

    /// What all quotas say together; the one that frees last counts.
    async fn quota_verdict(&self, row: &CallRow, ask: Ask<'_>) -> Result<Verdict, StoreError> {
        let (mut used_up, mut is_contended) = (None::<Timestamp>, false);
        let mut crossed = Vec::new();
        let uses_reserve = self.may_use_reserve(row.at, ask).await?;
        for quota in &ask.view.policy.quotas {
            let usage = self.usage(ask.id, quota, row.at, None).await?;
            let limit = quota.limit;
            let allowed = if uses_reserve {
                limit
            } else {
                limit.saturating_sub(quota.reserve)
            };
            if usage.made >= allowed {
                used_up = used_up.max(Some(quota.window.frees_at(row.at, usage.oldest_at)));
            } else if usage.count > allowed {
                is_contended = true;
            }
            let is_much = |count: u64| count.saturating_mul(5) >= limit.saturating_mul(4);
            // Once for each time that the line is crossed.
            if is_much(usage.made + 1) && !is_much(usage.made) {
                crossed.push((quota, usage.made + 1));
            }
        }
        if let Some(until) = used_up {
            return Ok(Verdict::UsedUp(until, None));
        }
        if let Some(until) = self.share_used_up(row.at, ask).await? {
            return Ok(Verdict::UsedUp(until, ask.by.cloned()));
        }
        if is_contended {
            return Ok(Verdict::Contended);
        }
        let SecretId { realm, key } = ask.id;
        for (quota, count) in crossed {
            let (limit, per) = (quota.limit, quota.window.per());
            tracing::warn!(realm, key, count, limit, ?per, "80 % of a quota is used");
        }
        Ok(Verdict::Allowed)
    }

    /// Whether the reserve is there for this call. A token that is reported dead may use it once: a
    /// caller that reports again and again must not use it up.
    async fn may_use_reserve(&self, now: Timestamp, ask: Ask<'_>) -> Result<bool, StoreError> {
        if !matches!(ask.cause, Cause::Report { .. }) {
            return Ok(ask.cause.is_essential());
        }
        if ask
            .view
            .policy
            .quotas
            .iter()
            .all(|quota| quota.reserve == 0)
        {
            return Ok(true);
        }
        let held = ask.view.row.as_ref().and_then(|row| row.token.as_ref());
        let Some(held) = held else {
            return Ok(true);
        };
        let before = UsageOf {
            key: Some(&ask.id.key),
            cause: Some(ask.cause.as_str()),
            ..UsageOf::realm(
                &ask.id.realm,
                held.life.obtained_at,
                now.minus(ASKING_COUNTS),
            )
        };
        Ok(self.parts.store.call_usage(before).await?.made == 0)
    }

    /// Until when a caller has forced all that it may: a fifth of each quota, and at least five.
    async fn share_used_up(
        &self,
        now: Timestamp,
        ask: Ask<'_>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let Some(by) = ask.by else {
            return Ok(None);
        };
        let mut used_up = None;
        for quota in &ask.view.policy.quotas {
            let usage = self.usage(ask.id, quota, now, Some(by)).await?;
            if usage.made >= (quota.limit / SHARE).max(LEAST_SHARE) {
                used_up = used_up.max(Some(quota.window.frees_at(now, usage.oldest_at)));
            }
        }
        Ok(used_up)
    }

    /// How much of a quota is used, by all or by what one caller forced.
    async fn usage(
        &self,
        id: &SecretId,
        quota: &Quota,
        now: Timestamp,
        by: Option<&Requester>,
    ) -> Result<Usage, StoreError> {
        let of = UsageOf {
            key: (quota.counted_by == CountedBy::Secret).then_some(id.key.as_str()),
            caller: by.map(Requester::as_str),
            ..UsageOf::realm(
                &id.realm,
                quota.window.counts_after(now),
                now.minus(ASKING_COUNTS),
            )
        };
        self.parts.store.call_usage(of).await
    }

    /// How much of each quota of a secret is used.
    pub(super) async fn quota_use(
        &self,
        id: &SecretId,
        view: &View,
    ) -> Result<Vec<QuotaUse>, StoreError> {
        let now = self.parts.clock.now();
        let mut all = Vec::new();
        for quota in &view.policy.quotas {
            let usage = self.usage(id, quota, now, None).await?;
            let frees_at = (usage.made > 0).then(|| quota.window.frees_at(now, usage.oldest_at));
            all.push(QuotaUse {
                quota: quota.clone(),
                used: usage.made,
                frees_at,
            });
        }
        Ok(all)
    }

    /// The word for an outcome in logs and metrics.
    pub(super) fn outcome_code(outcome: &Result<Fetched, Broken>) -> &'static str {
        match outcome {
            Ok(_) => CallRow::OK,
            Err(Broken::Failed(failure)) => failure.kind.code(),
            Err(Broken::Store(_)) => "store_unavailable",
            Err(Broken::Overtaken | Broken::OutOfTime) => "overtaken",
        }
    }

    /// Notes what became of a call. Its token counts even if this cannot be written.
    pub(super) async fn record_outcome(
        &self,
        call: &str,
        took: std::time::Duration,
        outcome: &Result<Fetched, Broken>,
        held: Option<&TokenText>,
    ) {
        let duration_ms = Some(millis(took));
        let outcome = match outcome {
            Ok(fetched) => {
                let is_repeated = held.is_some_and(|held| *held == fetched.token);
                let outcome = if is_repeated {
                    CallRow::REPEATED
                } else {
                    CallRow::OK
                };
                CallOutcome {
                    outcome: outcome.to_owned(),
                    duration_ms,
                    ..CallOutcome::default()
                }
            }
            Err(Broken::Failed(failure)) => CallOutcome {
                outcome: failure.kind.code().to_owned(),
                provider_code: failure.provider.code.clone(),
                provider_message: failure.provider.message.clone(),
                duration_ms,
            },
            Err(Broken::Store(_) | Broken::Overtaken | Broken::OutOfTime) => CallOutcome {
                outcome: Self::outcome_code(outcome).to_owned(),
                duration_ms,
                ..CallOutcome::default()
            },
        };
        if let Err(error) = self.parts.store.finish_call(call, &outcome).await {
            tracing::warn!(%error, "the outcome of a fetch could not be logged");
        }
    }
}
