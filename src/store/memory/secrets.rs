//! Secret rows.

use async_trait::async_trait;

use super::super::{
    Listed, Page, SecretFilter, SecretOutline, SecretRow, SecretStore, StoreResult,
};
use super::{MemoryStore, State, page_of};
use crate::clock::Timestamp;
use crate::secret::{Credentials, SecretContent, SecretId};

fn matching(state: &State, filter: &SecretFilter, page: Page) -> Listed<SecretRow> {
    let wanted = |filter: &Option<String>, value: &str| {
        filter.as_deref().is_none_or(|wanted| wanted == value)
    };
    let matches = |row: &&SecretRow| {
        row.deleted_at.is_none()
            && wanted(&filter.realm, &row.id.realm)
            && wanted(&filter.key, &row.id.key)
            && filter.scopes.allow(row.id.borrowed())
    };
    let order = |row: &SecretRow| {
        (
            -row.updated_at.epoch_ms(),
            format!("{}\0{}", row.id.realm, row.id.key),
        )
    };
    let rows = state.secrets.values().filter(matches).cloned().collect();
    page_of(rows, order, page)
}

#[async_trait]
impl SecretStore for MemoryStore {
    async fn find_secret(&self, id: &SecretId) -> StoreResult<Option<SecretRow>> {
        Ok(self.enter("find_secret").await?.secrets.get(id).cloned())
    }

    async fn list_secrets(
        &self,
        filter: &SecretFilter,
        page: Page,
    ) -> StoreResult<Listed<SecretOutline>> {
        let listed = matching(&*self.enter("list_secrets").await?, filter, page);
        Ok(Listed {
            items: listed.items.iter().map(SecretOutline::from).collect(),
            total: listed.total,
        })
    }

    async fn insert_secret(&self, row: &SecretRow) -> StoreResult<bool> {
        let mut state = self.enter("insert_secret").await?;
        let is_new = !state.secrets.contains_key(&row.id);
        state
            .secrets
            .entry(row.id.clone())
            .or_insert_with(|| row.clone());
        Ok(is_new)
    }

    async fn update_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool> {
        let mut state = self.enter("update_secret").await?;
        let stored = state
            .secrets
            .get_mut(&row.id)
            .filter(|stored| stored.revision == expected_revision);
        let Some(stored) = stored else {
            return Ok(false);
        };
        let (pushed, pushed_version) = (stored.pushed.clone(), stored.pushed_version);
        *stored = SecretRow {
            pushed,
            pushed_version,
            ..row.clone()
        };
        Ok(true)
    }

    async fn move_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool> {
        let mut state = self.enter("move_secret").await?;
        let stored = state.secrets.get_mut(&row.id).filter(|stored| {
            stored.revision == expected_revision && stored.pushed_version + 1 == row.pushed_version
        });
        let Some(stored) = stored else {
            return Ok(false);
        };
        *stored = row.clone();
        Ok(true)
    }

    async fn update_pushed(
        &self,
        id: &SecretId,
        pushed: &Credentials,
        expected_version: i64,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut state = self.enter("update_pushed").await?;
        let live = state
            .secrets
            .get_mut(id)
            .filter(|row| row.deleted_at.is_none());
        let Some(row) = live.filter(|row| row.pushed_version == expected_version) else {
            return Ok(false);
        };
        row.pushed = pushed.clone();
        row.pushed_version += 1;
        row.changed_at = now;
        Ok(true)
    }

    async fn list_next_due(&self, by: Timestamp, most: u64) -> StoreResult<Vec<SecretId>> {
        let state = self.enter("list_next_due").await?;
        let due = state.secrets.values().filter_map(|row| {
            let due_at = row
                .next
                .as_ref()
                .map(|next| next.due_at)
                .filter(|due_at| *due_at <= by)?;
            Some((due_at, row.id.clone()))
        });
        let mut due: Vec<_> = due.collect();
        due.sort();
        due.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    async fn delete_secrets(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<u64> {
        let mut state = self.enter("delete_secrets").await?;
        let is_of = |id: &SecretId| id.realm == realm && key.is_none_or(|key| key == id.key);
        let live = state
            .secrets
            .values_mut()
            .filter(|row| row.deleted_at.is_none() && is_of(&row.id));
        let mut count = 0;
        for row in live {
            row.content = SecretContent::default();
            row.next = None;
            row.pushed = Credentials::default();
            row.pushed_version += 1;
            row.version += 1;
            row.revision += 1;
            (row.updated_at, row.changed_at, row.deleted_at) = (now, now, Some(now));
            count += 1;
        }
        Ok(count)
    }
}
