//! Every call of a provider, before and after: the log for operators, and what quotas are counted in.
//!
//! A call is written down first and counted with itself, so that instances that ask together never exceed a quota
//! together; at worst both withhold.

use super::exchange::Broken;
use super::{QuotaUse, Renewal, View};
use crate::clock::{Timestamp, millis};
use crate::realm::{Answer, Quota, Scope};
use crate::secret::SecretId;
use crate::service::flights::Cause;
use crate::store::{FetchOutcome, FetchRow, StoreError};
use crate::token::TokenText;

/// Whether a call may be made.
pub(super) enum Admission {
    /// It is written down under this id.
    Go(String),
    /// A quota is used up; until when.
    Withheld(Timestamp),
}

impl Renewal {
    /// Writes a call down and looks whether the quotas allow it.
    pub(super) async fn admit(
        &self,
        id: &SecretId,
        view: &View,
        cause: Cause,
    ) -> Result<Admission, StoreError> {
        let row = FetchRow {
            id: uuid::Uuid::now_v7().to_string(),
            at: self.parts.clock.now(),
            secret: id.clone(),
            cause: cause.as_str().to_owned(),
            outcome: FetchRow::PENDING.to_owned(),
            provider_code: None,
            provider_message: None,
            duration_ms: None,
            instance: self.owner.clone(),
        };
        self.parts.store.insert_fetch(&row).await?;
        for quota in &view.policy.quotas {
            if let Some(until) = self.used_up(&row, quota, cause).await? {
                let outcome =
                    FetchOutcome { outcome: FetchRow::WITHHELD.to_owned(), ..FetchOutcome::default() };
                self.parts.store.finish_fetch(&row.id, &outcome).await?;
                self.parts.metrics.count_upstream(&id.realm, FetchRow::WITHHELD, std::time::Duration::ZERO);
                return Ok(Admission::Withheld(until));
            }
        }
        Ok(Admission::Go(row.id))
    }

    /// Until when a quota allows no more for this cause.
    async fn used_up(
        &self,
        row: &FetchRow,
        quota: &Quota,
        cause: Cause,
    ) -> Result<Option<Timestamp>, StoreError> {
        let SecretId { realm, key } = &row.secret;
        let key = (quota.scope == Scope::Secret).then_some(key.as_str());
        let usage = self.parts.store.fetch_usage(realm, key, quota.window.counts_after(row.at)).await?;
        let (count, limit) = (usage.count, quota.limit);
        let is_much = |count: u64| count.saturating_mul(5) >= limit.saturating_mul(4);
        // Once for each time that the line is crossed.
        if is_much(count) && !is_much(count.saturating_sub(1)) {
            let per = quota.window.per();
            tracing::warn!(realm, key, count, limit, ?per, "80 % of a quota is used");
        }
        let allowed = if cause.is_essential() { limit } else { limit.saturating_sub(quota.reserve) };
        Ok((count > allowed).then(|| quota.window.frees_at(row.at, usage.oldest_at)))
    }

    /// How much of each quota of a secret is used.
    pub(super) async fn quota_use(&self, id: &SecretId, view: &View) -> Result<Vec<QuotaUse>, StoreError> {
        let now = self.parts.clock.now();
        let mut all = Vec::new();
        for quota in &view.policy.quotas {
            let key = (quota.scope == Scope::Secret).then_some(id.key.as_str());
            let usage = self.parts.store.fetch_usage(&id.realm, key, quota.window.counts_after(now)).await?;
            let frees_at = (usage.count > 0).then(|| quota.window.frees_at(now, usage.oldest_at));
            all.push(QuotaUse { quota: quota.clone(), used: usage.count, frees_at });
        }
        Ok(all)
    }

    /// The word for an outcome in logs and metrics.
    pub(super) fn outcome_code(outcome: &Result<Answer, Broken>) -> &'static str {
        match outcome {
            Ok(_) => FetchRow::OK,
            Err(Broken::Failed(failure)) => failure.kind.code(),
            Err(Broken::Store(_)) => "store_unavailable",
            Err(Broken::Overtaken) => "overtaken",
        }
    }

    /// Notes what became of a call. Its token counts even if this cannot be written.
    pub(super) async fn conclude(
        &self,
        call: &str,
        took: std::time::Duration,
        outcome: &Result<Answer, Broken>,
        held: Option<&TokenText>,
    ) {
        let duration_ms = Some(millis(took));
        let outcome = match outcome {
            Ok(answer) => {
                let is_repeated = held.is_some_and(|held| *held == answer.token);
                let outcome = if is_repeated { FetchRow::REPEATED } else { FetchRow::OK };
                FetchOutcome { outcome: outcome.to_owned(), duration_ms, ..FetchOutcome::default() }
            }
            Err(Broken::Failed(failure)) => FetchOutcome {
                outcome: failure.kind.code().to_owned(),
                provider_code: failure.provider.code.clone(),
                provider_message: failure.provider.message.clone(),
                duration_ms,
            },
            Err(Broken::Store(_) | Broken::Overtaken) => FetchOutcome {
                outcome: Self::outcome_code(outcome).to_owned(),
                duration_ms,
                ..FetchOutcome::default()
            },
        };
        if let Err(error) = self.parts.store.finish_fetch(call, &outcome).await {
            tracing::warn!(%error, "the outcome of a fetch could not be logged");
        }
    }
}
