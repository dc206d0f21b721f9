//! Realm rows.

use async_trait::async_trait;

use super::super::{Listed, Page, RealmFilter, RealmRow, RealmStore, StoreResult};
use super::{MemoryStore, page_of};

#[async_trait]
impl RealmStore for MemoryStore {
    async fn find_realm(&self, id: &str) -> StoreResult<Option<RealmRow>> {
        Ok(self.enter("find_realm").await?.realms.get(id).cloned())
    }

    async fn list_realms(&self, filter: &RealmFilter, page: Page) -> StoreResult<Listed<RealmRow>> {
        let keyword = filter.keyword.as_deref().unwrap_or_default().to_lowercase();
        let mentions = |text: &str| text.to_lowercase().contains(&keyword);
        let matches = |row: &&RealmRow| {
            let found = mentions(&row.id) || row.comment.as_deref().is_some_and(mentions);
            row.deleted_at.is_none() && found && filter.scopes.touch_realm(&row.id)
        };
        let rows = self
            .enter("list_realms")
            .await?
            .realms
            .values()
            .filter(matches)
            .cloned()
            .collect();
        Ok(page_of(
            rows,
            |row: &RealmRow| (-row.updated_at.epoch_ms(), row.id.clone()),
            page,
        ))
    }

    async fn insert_realm(&self, row: &RealmRow) -> StoreResult<bool> {
        let mut state = self.enter("insert_realm").await?;
        let is_new = !state.realms.contains_key(&row.id);
        state
            .realms
            .entry(row.id.clone())
            .or_insert_with(|| row.clone());
        Ok(is_new)
    }

    async fn update_realm(&self, row: &RealmRow, expected_revision: i64) -> StoreResult<bool> {
        let mut state = self.enter("update_realm").await?;
        let stored = state
            .realms
            .get_mut(&row.id)
            .filter(|stored| stored.revision == expected_revision);
        Ok(stored.map(|stored| stored.clone_from(row)).is_some())
    }
}
