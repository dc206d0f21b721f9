//! The lease of a token row, and what is written under it.

use async_trait::async_trait;

use super::super::{Commit, ForeignRefreshes, Lease, LeaseStore, RecordedFailure, StoreResult};
use super::{MemoryStore, State, TokenEntry};
use crate::clock::Timestamp;
use crate::secret::SecretId;

impl State {
    /// The row, while this lease is its latest and not given back.
    fn of_lease(&mut self, lease: &Lease) -> Option<&mut TokenEntry> {
        let entry = self.tokens.get_mut(&lease.id)?;
        let is_latest = entry.row.lease_epoch == lease.epoch
            && entry.lease_owner.as_deref() == Some(&lease.owner);
        is_latest.then_some(entry)
    }
}

fn free(entry: &mut TokenEntry) {
    entry.row.lease_until = Timestamp::from_epoch_ms(0);
    entry.lease_owner = None;
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn claim_lease(
        &self,
        id: &SecretId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Option<Lease>> {
        let mut state = self.enter("claim_lease").await?;
        let entry = state
            .tokens
            .entry(id.clone())
            .or_insert_with(|| TokenEntry::blank(id, now));
        if entry.row.lease_until > now {
            return Ok(None);
        }
        entry.row.lease_epoch += 1;
        entry.row.lease_until = until;
        entry.lease_owner = Some(owner.to_owned());
        Ok(Some(Lease {
            id: id.clone(),
            owner: owner.to_owned(),
            epoch: entry.row.lease_epoch,
            until,
        }))
    }

    async fn commit_token(&self, lease: &Lease, commit: &Commit) -> StoreResult<bool> {
        let mut state = self.enter("commit_token").await?;
        let Some(entry) = state.of_lease(lease) else {
            return Ok(false);
        };
        free(entry);
        entry.row.version = commit.version;
        entry.row.token = Some(commit.token.clone());
        entry.row.due_at = commit.due_at;
        if let Some((_, until)) = &commit.previous {
            entry.row.previous_valid_until = *until;
        }
        entry.row.failed_attempts = 0;
        entry.row.repeat_count = commit.repeat_count;
        if commit.is_foreign {
            entry.row.foreign_refreshes = ForeignRefreshes {
                count: entry.row.foreign_refreshes.count + 1,
                last_at: Some(commit.at),
            };
        }
        entry.changed_at = commit.at;
        if commit.was_asked {
            entry.asked_at = Some(commit.at);
        }
        Ok(true)
    }

    async fn release_lease(
        &self,
        lease: &Lease,
        failure: Option<&RecordedFailure>,
    ) -> StoreResult<bool> {
        let mut state = self.enter("release_lease").await?;
        let Some(entry) = state.of_lease(lease) else {
            return Ok(false);
        };
        free(entry);
        if let Some(failure) = failure {
            entry.row.failure = Some(failure.clone());
            entry.row.failed_attempts += 1;
        }
        Ok(true)
    }
}
