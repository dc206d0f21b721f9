//! API keys.

use async_trait::async_trait;

use super::super::{ApiKeyRow, ApiKeyStore, LastUse, StoreResult};
use super::MemoryStore;
use crate::api_key::ApiKeyId;
use crate::clock::Timestamp;

#[async_trait]
impl ApiKeyStore for MemoryStore {
    async fn find_api_key(&self, id: &ApiKeyId) -> StoreResult<Option<ApiKeyRow>> {
        Ok(self.enter("find_api_key").await?.api_keys.get(id).cloned())
    }

    async fn list_api_keys(&self) -> StoreResult<Vec<ApiKeyRow>> {
        let state = self.enter("list_api_keys").await?;
        let live = state
            .api_keys
            .values()
            .filter(|row| row.deleted_at.is_none());
        let mut rows: Vec<_> = live.cloned().collect();
        rows.sort_by_key(|row| row.created_at);
        Ok(rows)
    }

    async fn list_changed_api_keys(&self, since: Timestamp) -> StoreResult<Vec<ApiKeyRow>> {
        let state = self.enter("list_changed_api_keys").await?;
        let changed = state
            .api_keys
            .values()
            .filter(|row| row.changed_at >= since);
        Ok(changed.cloned().collect())
    }

    async fn insert_api_key(&self, row: &ApiKeyRow) -> StoreResult<bool> {
        let mut state = self.enter("insert_api_key").await?;
        let is_new = !state.api_keys.contains_key(&row.id);
        state
            .api_keys
            .entry(row.id.clone())
            .or_insert_with(|| row.clone());
        Ok(is_new)
    }

    async fn update_api_key(&self, row: &ApiKeyRow, expected_revision: i64) -> StoreResult<bool> {
        let mut state = self.enter("update_api_key").await?;
        let stored = state
            .api_keys
            .get_mut(&row.id)
            .filter(|stored| stored.revision == expected_revision);
        let Some(stored) = stored else {
            return Ok(false);
        };
        *stored = ApiKeyRow {
            last_used: stored.last_used,
            ..row.clone()
        };
        Ok(true)
    }

    async fn note_api_key_use(&self, id: &ApiKeyId, used: LastUse) -> StoreResult<()> {
        let mut state = self.enter("note_api_key_use").await?;
        if let Some(row) = state.api_keys.get_mut(id)
            && row.last_used.is_none_or(|last| last.at < used.at)
        {
            row.last_used = Some(used);
        }
        Ok(())
    }
}
