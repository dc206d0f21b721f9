//! Token rows.

use async_trait::async_trait;

use super::super::{DueToken, DueWindow, StoreResult, TokenRow, TokenStore};
use super::{MemoryStore, TokenEntry};
use crate::clock::Timestamp;
use crate::secret::SecretId;

#[async_trait]
impl TokenStore for MemoryStore {
    async fn find_token(&self, id: &SecretId) -> StoreResult<Option<TokenRow>> {
        Ok(self
            .enter("find_token")
            .await?
            .tokens
            .get(id)
            .map(|entry| entry.row.clone()))
    }

    async fn list_due(
        &self,
        window: &DueWindow,
        after: Option<&DueToken>,
        most: u64,
    ) -> StoreResult<Vec<DueToken>> {
        let state = self.enter("list_due").await?;
        let is_wanted = |entry: &TokenEntry| {
            let was_asked = entry.asked_at.is_some_and(|at| at >= window.asked_since);
            let grant_ends_at = entry.row.grant.expires_at;
            was_asked || grant_ends_at.is_some_and(|at| at <= window.grants_by)
        };
        let due = state.tokens.iter().filter_map(|(id, entry)| {
            let due_at = entry.row.due_at;
            let due_at = due_at.filter(|due_at| *due_at <= window.by && is_wanted(entry))?;
            Some((due_at, id.clone()))
        });
        let after = after.map(|after| (after.due_at, after.id.clone()));
        let mut due: Vec<_> = due
            .filter(|due| after.as_ref().is_none_or(|after| due > after))
            .collect();
        due.sort();
        due.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(due
            .into_iter()
            .map(|(due_at, id)| DueToken { id, due_at })
            .collect())
    }

    async fn note_asked(&self, id: &SecretId, at: Timestamp) -> StoreResult<()> {
        if let Some(entry) = self.enter("note_asked").await?.tokens.get_mut(id) {
            entry.asked_at = Some(at);
        }
        Ok(())
    }

    async fn retire_tokens(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut state = self.enter("retire_tokens").await?;
        let is_of = |id: &SecretId| id.realm == realm && key.is_none_or(|key| key == id.key);
        for (id, entry) in state.tokens.iter_mut().filter(|(id, _)| is_of(id)) {
            let before = std::mem::replace(entry, TokenEntry::blank(id, now));
            entry.asked_at = before.asked_at;
            entry.row.version = before.row.version;
            entry.row.lease_epoch = before.row.lease_epoch + 1;
            entry.row.grant.generation = before.row.grant.generation + 1;
        }
        Ok(())
    }
}
